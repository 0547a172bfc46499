// A socket with or without TLS: open, read, write, close.
#define _GNU_SOURCE
#include "stream.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

char block[1 << 20];

void die(const char *what) {
  fprintf(stderr, "generator: %s: %s\n", what, errno != 0 ? strerror(errno) : "");
  exit(1);
}

double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

// The measurement begins when the one who measures says so.
void print_ready_and_wait(void) {
  char line[16];
  puts("{\"ready\":true}");
  fflush(stdout);
  if (fgets(line, sizeof line, stdin) == NULL) exit(0);
}

int dial(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) die(host);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect");
  return fd;
}

static int of_ssl(struct stream *s, int result) {
  int error = SSL_get_error(s->ssl, result);
  // The queue of errors is the thread's: what one connection leaves there would be taken for an error of the next.
  ERR_clear_error();
  switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return AGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    default: return GONE;
  }
}

int handshake(struct stream *s) {
  if (s->ssl == NULL) return 1;
  int result = SSL_do_handshake(s->ssl);
  if (result == 1) return 1;
  return of_ssl(s, result) == AGAIN ? AGAIN : GONE;
}

ssize_t get(struct stream *s, void *to, size_t most) {
  if (s->ssl != NULL) {
    int got = SSL_read(s->ssl, to, (int)most);
    return got > 0 ? got : of_ssl(s, got);
  }
  ssize_t got = read(s->fd, to, most);
  if (got >= 0) return got;
  return errno == EAGAIN ? AGAIN : GONE;
}

ssize_t put(struct stream *s, const void *from, size_t length) {
  if (s->ssl != NULL) {
    int sent = SSL_write(s->ssl, from, (int)length);
    if (sent > 0) return sent;
    return of_ssl(s, sent) == AGAIN ? AGAIN : GONE;
  }
  ssize_t sent = send(s->fd, from, length, MSG_NOSIGNAL);
  if (sent >= 0) return sent;
  return errno == EAGAIN ? AGAIN : GONE;
}

void end_sending(struct stream *s) {
  if (s->ssl != NULL) SSL_shutdown(s->ssl);
  ERR_clear_error();
  shutdown(s->fd, SHUT_WR);
}

void hang_up(struct stream *s, int reset) {
  if (s->ssl != NULL) {
    // Otherwise OpenSSL takes the session for a broken one and does not resume it.
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
  }
  if (reset) {
    struct linger at_once = {1, 0};
    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  }
  close(s->fd);
}
