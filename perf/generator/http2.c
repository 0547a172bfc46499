// Frames of HTTP/2, for both ends of a run.
#include "http2.h"
#include "stream.h"
#include <stdlib.h>
#include <string.h>

enum { DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITISED = 32 };
enum { WINDOW = 8 * 1024 * 1024, FRAME_HEAD = 9 };

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_LENGTH = sizeof PREFACE - 1 };

char *room(struct bytes *b, size_t want) {
  if (b->from == b->to) b->from = b->to = 0;
  if (b->to + want > b->size && b->from > 0) {
    memmove(b->at, b->at + b->from, b->to - b->from);
    b->to -= b->from;
    b->from = 0;
  }
  if (b->to + want > b->size) {
    b->size = b->to + want < 4096 ? 4096 : (b->to + want) * 2;
    b->at = realloc(b->at, b->size);
  }
  return b->at + b->to;
}

void append(struct bytes *b, const void *from, size_t length) {
  memcpy(room(b, length), from, length);
  b->to += length;
}

static void put32(unsigned char *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static uint32_t get32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void frame(struct h2 *h, int type, int flags, uint32_t id, const void *payload, size_t length) {
  unsigned char head[FRAME_HEAD] = {(unsigned char)(length >> 16), (unsigned char)(length >> 8), (unsigned char)length,
                                    (unsigned char)type, (unsigned char)flags};
  put32(head + 5, id);
  append(h->out, head, sizeof head);
  append(h->out, payload, length);
}

static void give_window(struct h2 *h, uint32_t id, uint32_t count) {
  unsigned char text[4];
  put32(text, count);
  frame(h, WINDOW_UPDATE, 0, id, text, sizeof text);
}

void h2_start(struct h2 *h, int is_server, const struct h2_events *events, struct bytes *out, void *owner) {
  // 3: streams at once, 4: window of each.
  unsigned char settings[12] = {0, 3, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0};
  put32(settings + 2, 512);
  put32(settings + 8, WINDOW);
  *h = (struct h2){.events = events, .owner = owner, .out = out, .is_server = is_server, .window = 65535, .initial = 65535, .next = 1};
  if (!is_server) append(out, PREFACE, PREFACE_LENGTH);
  frame(h, SETTINGS, 0, 0, settings, sizeof settings);
  give_window(h, 0, WINDOW);
}

static struct h2_stream *place(struct h2 *h, uint32_t id) { return &h->streams[(id / 2) % H2_SLOTS]; }

static struct h2_stream *begin(struct h2 *h, uint32_t id) {
  struct h2_stream *s = place(h, id);
  if (s->id != 0) return NULL;
  *s = (struct h2_stream){.id = id, .window = h->initial};
  return s;
}

struct h2_stream *h2_open(struct h2 *h) {
  struct h2_stream *s = begin(h, h->next);
  if (s != NULL) h->next += 2;
  return s;
}

void h2_close(struct h2_stream *s) { s->id = 0; }

void h2_head(struct h2 *h, struct h2_stream *s, const char *block, size_t length, uint64_t body) {
  int is_whole = body == 0 && h->trailers == NULL;
  frame(h, HEADERS, END_HEADERS | (is_whole ? END_STREAM : 0), s->id, block, length);
  if (is_whole) return;
  s->left = body;
  s->is_sending = 1;
  h->sending[h->sending_count++] = s->id;
}

// Returns whether the body is out.
static int fill(struct h2 *h, struct h2_stream *s) {
  while (s->left > 0) {
    size_t piece = s->left < H2_FRAME ? (size_t)s->left : H2_FRAME;
    if (h->out->to - h->out->from > H2_OUT_MOST) return 0;
    if ((int64_t)piece > h->window) piece = h->window > 0 ? (size_t)h->window : 0;
    if ((int64_t)piece > s->window) piece = s->window > 0 ? (size_t)s->window : 0;
    if (piece == 0) return 0;
    s->left -= piece;
    s->window -= (int64_t)piece;
    h->window -= (int64_t)piece;
    frame(h, DATA, s->left == 0 && h->trailers == NULL ? END_STREAM : 0, s->id, block, piece);
  }
  if (h->trailers != NULL) frame(h, HEADERS, END_HEADERS | END_STREAM, s->id, h->trailers, h->trailers_length);
  return 1;
}

void h2_fill(struct h2 *h) {
  long kept = 0;
  for (long i = 0; i < h->sending_count; i++) {
    struct h2_stream *s = place(h, h->sending[i]);
    if (s->id != h->sending[i]) continue; // it has ended
    if (!fill(h, s)) {
      h->sending[kept++] = h->sending[i];
      continue;
    }
    s->is_sending = 0;
    if (h->is_server) h2_close(s);
  }
  h->sending_count = kept;
}

static void settings(struct h2 *h, const unsigned char *at, size_t length) {
  for (size_t i = 0; i + 6 <= length; i += 6) {
    if (at[i] != 0 || at[i + 1] != 4) continue;
    int64_t initial = get32(at + i + 2), change = initial - h->initial;
    h->initial = initial;
    for (int k = 0; k < H2_SLOTS; k++)
      if (h->streams[k].id != 0) h->streams[k].window += change;
  }
  frame(h, SETTINGS, ACK, 0, "", 0);
}

// An encoder may begin with new sizes of its dynamic table; `:status: 200` is entry 8 of the static one.
static int status_of(const unsigned char *at, size_t length) {
  size_t i = 0;
  while (i < length && (at[i] & 0xe0) == 0x20) {
    int is_long = (at[i++] & 0x1f) == 0x1f;
    while (is_long && i < length && (at[i++] & 0x80) != 0) {}
  }
  return i < length && at[i] == 0x88 ? 200 : 0;
}

static void take_window(struct h2 *h, struct h2_stream *s, size_t length) {
  h->taken += length;
  if (h->taken > WINDOW / 2) {
    give_window(h, 0, (uint32_t)h->taken);
    h->taken = 0;
  }
  // A stream of more than its window gives back all at once what came so far.
  if (s != NULL && s->got / (WINDOW / 2) != (s->got + length) / (WINDOW / 2)) give_window(h, s->id, WINDOW / 2);
}

static int on_frame(struct h2 *h, int type, int flags, uint32_t id, const unsigned char *at, size_t length) {
  struct h2_stream *s = id == 0 ? NULL : place(h, id);
  size_t padding = 0, whole = length;
  if (s != NULL && s->id != id) s = NULL;
  if ((type == DATA || type == HEADERS) && (flags & PADDED) != 0) {
    padding = (size_t)at[0] + 1;
    if (padding > length) return -1;
    at++;
    length -= padding;
  }
  switch (type) {
    case DATA:
      take_window(h, s, whole);
      if (s == NULL) return -1;
      s->got += length;
      return h->events->data(h, s, length, flags & END_STREAM);
    case HEADERS:
      if ((flags & END_HEADERS) == 0) return -1;
      if ((flags & PRIORITISED) != 0) at += 5, length -= 5;
      if (s == NULL && h->is_server) s = begin(h, id);
      if (s == NULL) return -1;
      s->heads++;
      return h->events->head(h, s, h->is_server ? 0 : status_of(at, length), flags & END_STREAM);
    case SETTINGS:
      if ((flags & ACK) == 0) settings(h, at, length);
      return 0;
    case PING:
      if ((flags & ACK) == 0) frame(h, PING, ACK, 0, at, length);
      return 0;
    case WINDOW_UPDATE:
      if (id == 0) h->window += get32(at) & 0x7fffffff;
      else if (s != NULL) s->window += get32(at) & 0x7fffffff;
      return 0;
    case GOAWAY: h->ended = 1; return 0;
    case RST_STREAM: return s == NULL ? 0 : -1;
    case PRIORITY: return 0;
    default: return -1;
  }
}

int h2_take(struct h2 *h, struct bytes *in) {
  if (h->is_server && !h->preface_seen) {
    if (in->to - in->from < PREFACE_LENGTH) return 0;
    if (memcmp(in->at + in->from, PREFACE, PREFACE_LENGTH) != 0) return -1;
    in->from += PREFACE_LENGTH;
    h->preface_seen = 1;
  }
  while (in->to - in->from >= FRAME_HEAD) {
    const unsigned char *at = (const unsigned char *)in->at + in->from;
    size_t length = (size_t)at[0] << 16 | (size_t)at[1] << 8 | at[2];
    if (in->to - in->from < FRAME_HEAD + length) break;
    if (on_frame(h, at[3], at[4], get32(at + 5) & 0x7fffffff, at + FRAME_HEAD, length) < 0) return -1;
    in->from += FRAME_HEAD + length;
  }
  return 0;
}
