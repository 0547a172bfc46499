// One connection, one small message there and back, again and again: the time of each.
#define _GNU_SOURCE
#include "stream.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct stream s;

static void wait_for(short what) {
  struct pollfd one = {.fd = s.fd, .events = what};
  poll(&one, 1, -1);
}

static void send_all(const void *from, size_t length) {
  for (size_t sent = 0; sent < length;) {
    ssize_t n = put(&s, (const char *)from + sent, length - sent);
    if (n == GONE) die("ping: the connection ended early");
    if (n == AGAIN) wait_for(POLLOUT);
    else sent += (size_t)n;
  }
}

static void get_all(void *to, size_t length) {
  for (size_t got = 0; got < length;) {
    ssize_t n = get(&s, (char *)to + got, length - got);
    if (n == GONE || n == 0) die("ping: the connection ended early");
    if (n == AGAIN) wait_for(POLLIN);
    else got += (size_t)n;
  }
}

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

void ping(void) {
  const char *hex = option("hello", "");
  size_t size = (size_t)number("size", 512), hello_length = strlen(hex) / 2;
  long count = number("total", 10000), warm = number("warm", 500);
  unsigned char *hello = malloc(hello_length + 1);
  static char answer[1 << 16];
  float *times = calloc((size_t)count, sizeof *times);
  struct header header = {.magic = {'Z', 'P', 'R', 'F'}, .op = 'E'};
  if (size == 0 || size > sizeof answer) die("ping: size is at most 65536");
  for (size_t i = 0; i < hello_length; i++) sscanf(hex + 2 * i, "%2hhx", &hello[i]);

  s.fd = dial(option("host", "127.0.0.1"), (int)number("port", 0));
  wait_for(POLLOUT);
  if (number("tls", 0)) {
    int done;
    s.ssl = SSL_new(client_context());
    SSL_set_fd(s.ssl, s.fd);
    SSL_set_tlsext_host_name(s.ssl, option("sni", ""));
    SSL_set_connect_state(s.ssl);
    while ((done = handshake(&s)) == AGAIN) wait_for(POLLIN);
    if (done != 1) die("ping: handshake");
  }
  send_all(hello, hello_length);
  send_all(&header, sizeof header);
  for (long i = -warm; i < count; i++) {
    if (i == 0) print_ready_and_wait();
    double began = now();
    send_all(block, size);
    get_all(answer, size);
    if (i >= 0) times[i] = (float)(now() - began);
  }
  double seconds = 0;
  for (long i = 0; i < count; i++) seconds += (double)times[i];
  qsort(times, (size_t)count, sizeof *times, by_value);
  printf("{\"seconds\":%.6f,\"connections\":1,\"errors\":0,\"firstError\":\"\",\"up\":%ld,\"down\":%ld,\"resumed\":0,\"p50\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f}\n",
         seconds, count * (long)size, count * (long)size, 1e6 * (double)times[(long)((double)(count - 1) * 0.5)],
         1e6 * (double)times[(long)((double)(count - 1) * 0.99)], 1e6 * (double)times[(long)((double)(count - 1) * 0.999)],
         1e6 * (double)times[count - 1]);
}
