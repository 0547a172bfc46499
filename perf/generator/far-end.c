// The far end: two ports, plain and TLS, that do what the header of a connection says. A ClientHello in front of it is skipped: on the passthrough path it arrives here.
#define _GNU_SOURCE
#include "http.h"
#include "stream.h"
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { HEAD_MOST = 5 + 16384 + (int)sizeof(struct header), ECHO_MOST = 64 * 1024, READ_MOST = 256 * 1024 };

struct served {
  struct stream s;
  int shaken, ended;
  uint32_t interest;
  char *head; // until the header is complete
  size_t head_length;
  char op;
  uint64_t up, down, received;
  uint32_t message;
  char answer[8];
  size_t answered;
  char *echo;
  size_t echo_from, echo_to;
};

static int poller;
static char scratch[READ_MOST];

int listen_at(const char *host, int port, int *bound) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  socklen_t length = sizeof at;
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  inet_pton(AF_INET, host, &at.sin_addr);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0) die("listen");
  getsockname(fd, (struct sockaddr *)&at, &length);
  *bound = ntohs(at.sin_port);
  return fd;
}

// The next header may come on the same connection.
static void await_header(struct served *c) {
  c->head = malloc(HEAD_MOST);
  c->head_length = c->answered = 0;
  c->received = c->up = c->down = 0;
}

static void take(struct served *c, const char *bytes, size_t length) {
  c->received += length;
  if (c->op != 'E') return;
  memcpy(c->echo, bytes, length);
  c->echo_from = 0;
  c->echo_to = length;
}

// True when the header is there; what came behind it is taken.
static int parse(struct served *c) {
  unsigned char *at = (unsigned char *)c->head;
  size_t skip = 0;
  struct header h;
  if (c->head_length == 0) return 0;
  if (at[0] == 0x16) {
    if (c->head_length < 5) return 0;
    skip = 5 + (((size_t)at[3] << 8) | at[4]);
  }
  if (c->head_length < skip + sizeof h) return 0;
  memcpy(&h, c->head + skip, sizeof h);
  if (memcmp(h.magic, "ZPRF", 4) != 0) return -1;
  c->op = h.op;
  c->up = be64toh(h.up);
  c->down = be64toh(h.down);
  c->message = ntohl(h.message);
  if (c->message == 0 || c->message > sizeof block) c->message = sizeof block;
  uint64_t count = htobe64(c->up);
  memcpy(c->answer, &count, 8);
  if (c->op == 'E') c->echo = malloc(ECHO_MOST);
  size_t rest = c->head_length - skip - sizeof h;
  if (rest > 0) take(c, c->head + skip + sizeof h, rest);
  free(c->head);
  c->head = NULL;
  return 1;
}

static ssize_t fill_head(struct served *c) {
  ssize_t got = get(&c->s, c->head + c->head_length, (size_t)HEAD_MOST - c->head_length);
  if (got <= 0) return got == 0 ? GONE : got;
  c->head_length += (size_t)got;
  return parse(c) < 0 ? GONE : got;
}

// One read and one write a turn: who waits for a ping is not held up by who streams. GONE when the connection is over.
static int turn(struct served *c) {
  if (!c->shaken) {
    int done = handshake(&c->s);
    if (done != 1) return done == AGAIN ? 0 : GONE;
    c->shaken = 1;
  }
  if (c->head != NULL) {
    ssize_t got = fill_head(c);
    if (got == GONE) return GONE;
    if (c->head != NULL) return 0;
  } else if (!c->ended && (c->op != 'E' || c->echo_from == c->echo_to)) {
    ssize_t got = get(&c->s, scratch, c->op == 'E' ? (size_t)ECHO_MOST : sizeof scratch);
    if (got == GONE) return GONE;
    if (got == 0) c->ended = 1;
    if (got > 0) take(c, scratch, (size_t)got);
  }
  ssize_t sent = 0;
  if (c->op == 'E') {
    if (c->echo_to > c->echo_from) sent = put(&c->s, c->echo + c->echo_from, c->echo_to - c->echo_from);
    if (sent > 0) c->echo_from += (size_t)sent;
    return sent == GONE || (c->ended && c->echo_from == c->echo_to) ? GONE : 0;
  }
  // Small messages are sent until the kernel has enough, but not for ever.
  for (int i = 0; i < 64 && c->down > 0; i++) {
    sent = put(&c->s, block, c->down < c->message ? (size_t)c->down : c->message);
    if (sent < 0) break;
    c->down -= (uint64_t)sent;
    if (c->message >= 65536) break;
  }
  if (c->down == 0 && c->received >= c->up && c->answered < 8) {
    sent = put(&c->s, c->answer + c->answered, 8 - c->answered);
    if (sent > 0) c->answered += (size_t)sent;
    if (c->answered == 8) await_header(c);
  }
  return sent == GONE || c->ended ? GONE : 0;
}

static void watch(struct served *c, int operation) {
  int to_send = c->head == NULL && (c->op == 'E' ? c->echo_to > c->echo_from
                                                 : c->down > 0 || (c->received >= c->up && c->answered < 8));
  int to_read = c->head != NULL || c->op != 'E' || c->echo_from == c->echo_to;
  uint32_t wanted = (to_read ? EPOLLIN : 0u) | (to_send ? EPOLLOUT : 0u);
  struct epoll_event event = {.events = wanted, .data.ptr = c};
  if (wanted == c->interest && operation == EPOLL_CTL_MOD) return;
  c->interest = wanted;
  epoll_ctl(poller, operation, c->s.fd, &event);
}

static void drop(struct served *c) {
  hang_up(&c->s, 0);
  free(c->head);
  free(c->echo);
  free(c);
}

static void accept_all(int fd, SSL_CTX *tls) {
  for (;;) {
    int one = 1, accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return;
    struct served *c = calloc(1, sizeof *c);
    setsockopt(accepted, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
    c->s.fd = accepted;
    await_header(c);
    if (tls != NULL) {
      c->s.ssl = SSL_new(tls);
      SSL_set_fd(c->s.ssl, accepted);
      SSL_set_accept_state(c->s.ssl);
    }
    watch(c, EPOLL_CTL_ADD);
  }
}

void serve(void) {
  const char *host = option("host", "127.0.0.1"), *cert = option("cert", NULL);
  int plain_port = 0, tls_port = 0, tls_fd = -1;
  SSL_CTX *tls = NULL;
  poller = epoll_create1(EPOLL_CLOEXEC);
  int plain_fd = listen_at(host, (int)number("port", 0), &plain_port);
  epoll_ctl(poller, EPOLL_CTL_ADD, plain_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &plain_fd});
  if (cert != NULL) {
    tls = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    if (SSL_CTX_use_certificate_chain_file(tls, cert) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, option("key", cert), SSL_FILETYPE_PEM) != 1)
      die("certificate of the far end");
    tls_fd = listen_at(host, (int)number("tls-port", 0), &tls_port);
    epoll_ctl(poller, EPOLL_CTL_ADD, tls_fd, &(struct epoll_event){.events = EPOLLIN, .data.ptr = &tls_fd});
  }
  epoll_ctl(poller, EPOLL_CTL_ADD, 0, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
  printf("{\"ready\":true,\"plain\":%d,\"tls\":%d}\n", plain_port, tls_port);
  fflush(stdout);

  struct epoll_event events[256];
  for (;;) {
    int count = epoll_wait(poller, events, 256, -1);
    for (int i = 0; i < count; i++) {
      void *what = events[i].data.ptr;
      if (what == NULL) {
        char end[64];
        if (read(0, end, sizeof end) <= 0) exit(0); // whoever started this went away
      } else if (what == &plain_fd) accept_all(plain_fd, NULL);
      else if (what == &tls_fd) accept_all(tls_fd, tls);
      else if (turn(what) == GONE) drop(what);
      else watch(what, EPOLL_CTL_MOD);
    }
  }
}
