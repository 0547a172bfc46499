// Heads of HTTP/1.1 and headers of HTTP/2, as far as a run needs them.
#define _GNU_SOURCE
#include "http.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int http1_head(const char *at, size_t there, struct http1_head *head) {
  static const char LENGTH[] = "content-length:", ENCODING[] = "transfer-encoding:";
  const char *end = memmem(at, there, "\r\n\r\n", 4);
  *head = (struct http1_head){0};
  if (end == NULL) return there > 16384 ? -1 : 0;
  if (strncmp(at, "HTTP/1.1 ", 9) == 0) head->status = atoi(at + 9);
  for (const char *line = at; line < end; line = (const char *)memchr(line, '\n', (size_t)(end + 2 - line)) + 1) {
    if (strncasecmp(line, LENGTH, sizeof LENGTH - 1) == 0) {
      head->length = strtoull(line + sizeof LENGTH - 1, NULL, 10);
      head->has_length = 1;
    } else if (strncasecmp(line, ENCODING, sizeof ENCODING - 1) == 0) head->is_chunked = 1;
  }
  return (int)(end + 4 - at);
}

// Lengths below 127 take one byte.
static size_t text(char *to, const char *from) {
  size_t length = strlen(from);
  to[0] = (char)length;
  memcpy(to + 1, from, length);
  return length + 1;
}

size_t literal(char *to, int index, const char *name, const char *value) {
  size_t at = 0;
  if (index < 15) to[at++] = (char)index;
  else {
    to[at++] = 0x0f;
    to[at++] = (char)(index - 15);
  }
  if (index == 0) at += text(to + at, name);
  return at + text(to + at, value);
}

size_t fill_body(struct bytes *out, uint64_t left) {
  size_t there = out->to - out->from;
  if (there >= H2_OUT_MOST) return 0;
  size_t piece = left < H2_OUT_MOST ? (size_t)left : H2_OUT_MOST;
  append(out, block, piece);
  return piece;
}
