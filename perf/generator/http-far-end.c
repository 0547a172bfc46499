// The service of HTTP: two ports, one for HTTP/1.1 and one for HTTP/2, both plain. Every request gets 200 and as many bytes as the last line of the input said, once it has come whole.
// A line `BYTES GRPC` sets that for the next requests, and prints how many came since the line before and with how many bytes of bodies.
#define _GNU_SOURCE
#include "http.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

struct served {
  struct stream s;
  struct bytes in, out;
  struct h2 *h2;
  uint32_t interest;
  int in_body;
  uint64_t left; // of the body that comes
  uint64_t down; // of the body that goes
};

static int poller;
static uint64_t down = 1024, requests, up, errors;
static int is_grpc;

static const char TYPE[] = "application/json", TYPE_GRPC[] = "application/grpc", DATE[] = "Mon, 30 Nov 2026 12:00:00 GMT";
static char head_block[512], trailer_block[64], head_text[512];
static size_t head_block_length, trailer_block_length, head_text_length;

static void prepare(void) {
  char length[24];
  snprintf(length, sizeof length, "%llu", (unsigned long long)down);
  size_t to = 0;
  head_block[to++] = (char)0x88;
  to += literal(head_block + to, 31, NULL, is_grpc ? TYPE_GRPC : TYPE);
  if (!is_grpc) to += literal(head_block + to, 28, NULL, length);
  to += literal(head_block + to, 33, NULL, DATE);
  to += literal(head_block + to, 24, NULL, "no-store");
  head_block_length = to;
  trailer_block_length = literal(trailer_block, 0, "grpc-status", "0");
  head_text_length = (size_t)snprintf(head_text, sizeof head_text,
      "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %s\r\ndate: %s\r\ncache-control: no-store\r\n\r\n", TYPE, length, DATE);
}

static void answer_h2(struct h2 *h, struct h2_stream *s) {
  requests++;
  h->trailers = is_grpc ? trailer_block : NULL;
  h->trailers_length = trailer_block_length;
  h2_head(h, s, head_block, head_block_length, down);
  if (!s->is_sending) h2_close(s);
}

static int on_head(struct h2 *h, struct h2_stream *s, int status, int ends) {
  (void)status;
  if (ends) answer_h2(h, s);
  return 0;
}

static int on_data(struct h2 *h, struct h2_stream *s, size_t length, int ends) {
  up += length;
  if (ends) answer_h2(h, s);
  return 0;
}

static const struct h2_events EVENTS = {on_head, on_data};

static int take_h1(struct served *c) {
  struct bytes *in = &c->in;
  while (in->from < in->to) {
    size_t there = in->to - in->from;
    if (!c->in_body) {
      struct http1_head head;
      int length = http1_head(in->at + in->from, there, &head);
      if (length == 0) return 0;
      if (length < 0 || head.is_chunked) return -1;
      in->from += (size_t)length;
      c->left = head.length;
      c->in_body = 1;
    } else {
      size_t piece = there < c->left ? there : (size_t)c->left;
      in->from += piece;
      c->left -= piece;
      up += piece;
    }
    if (c->left > 0) continue;
    c->in_body = 0;
    requests++;
    append(&c->out, head_text, head_text_length);
    c->down += down;
  }
  return 0;
}

static int turn(struct served *c) {
  for (;;) {
    ssize_t got = get(&c->s, room(&c->in, 65536), 65536);
    if (got == AGAIN) break;
    if (got <= 0) return GONE;
    c->in.to += (size_t)got;
    if ((c->h2 != NULL ? h2_take(c->h2, &c->in) : take_h1(c)) < 0) {
      errors++;
      return GONE;
    }
    if (got < 65536) break;
  }
  for (;;) {
    if (c->h2 != NULL) h2_fill(c->h2);
    else if (c->down > 0) c->down -= fill_body(&c->out, c->down);
    if (c->out.from == c->out.to) break;
    ssize_t sent = put(&c->s, c->out.at + c->out.from, c->out.to - c->out.from);
    if (sent == GONE) return GONE;
    if (sent == AGAIN) break;
    c->out.from += (size_t)sent;
  }
  uint32_t wanted = EPOLLIN | (c->out.from < c->out.to ? EPOLLOUT : 0u);
  if (wanted == c->interest) return 0;
  c->interest = wanted;
  epoll_ctl(poller, EPOLL_CTL_MOD, c->s.fd, &(struct epoll_event){.events = wanted, .data.ptr = c});
  return 0;
}

static void drop(struct served *c) {
  hang_up(&c->s, 0);
  free(c->in.at);
  free(c->out.at);
  free(c->h2);
  free(c);
}

static void accept_all(int fd, int is_h2) {
  for (;;) {
    int one = 1, accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return;
    struct served *c = calloc(1, sizeof *c);
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->s.fd = accepted;
    c->interest = EPOLLIN;
    if (is_h2) h2_start(c->h2 = calloc(1, sizeof *c->h2), 1, &EVENTS, &c->out, c);
    epoll_ctl(poller, EPOLL_CTL_ADD, accepted, &(struct epoll_event){.events = EPOLLIN, .data.ptr = c});
  }
}

static void obey(void) {
  char line[128];
  unsigned long long bytes;
  ssize_t got = read(0, line, sizeof line - 1);
  if (got <= 0) exit(0); // the one who started this went away
  line[got] = 0;
  if (sscanf(line, "%llu %d", &bytes, &is_grpc) != 2) die("a line is BYTES GRPC");
  down = bytes;
  prepare();
  printf("{\"requests\":%llu,\"up\":%llu,\"errors\":%llu}\n", (unsigned long long)requests, (unsigned long long)up, (unsigned long long)errors);
  fflush(stdout);
  requests = up = errors = 0;
}

void http_serve(void) {
  int h1_port = 0, h2_port = 0;
  struct epoll_event events[256];
  prepare();
  poller = epoll_create1(EPOLL_CLOEXEC);
  int h1_fd = listen_at("127.0.0.1", 0, &h1_port), h2_fd = listen_at("127.0.0.1", 0, &h2_port);
  epoll_ctl(poller, EPOLL_CTL_ADD, h1_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &h1_fd});
  epoll_ctl(poller, EPOLL_CTL_ADD, h2_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &h2_fd});
  epoll_ctl(poller, EPOLL_CTL_ADD, 0, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
  printf("{\"ready\":true,\"http1\":%d,\"http2\":%d}\n", h1_port, h2_port);
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < count; i++) {
      void *what = events[i].data.ptr;
      if (what == NULL) obey();
      else if (what == &h1_fd) accept_all(h1_fd, 0);
      else if (what == &h2_fd) accept_all(h2_fd, 1);
      else if (turn(what) == GONE) drop(what);
    }
  }
}
