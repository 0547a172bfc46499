// Requests of HTTP over many connections, in one epoll loop: as fast as answers come, or at a rate, by the clock: then the time of a request begins when it was due.
// `each=1`: each has a connection of its own. `hold=1`: each connection carries one request and stays until a line comes.
#define _GNU_SOURCE
#include "http.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum phase { CONNECTING, SHAKING, RUNNING };
enum { READ_MOST = 65536, OPENING_MOST = 32 };

struct client {
  struct stream s;
  enum phase phase;
  uint32_t interest;
  struct bytes in, out;
  struct h2 *h2;
  long running;
  // Of HTTP/1.1:
  int in_body;
  uint64_t up, left;
  double began;
};

static struct {
  const char *host, *sni;
  int port, tls, h2, grpc, each, hold, going;
  long connections, streams, total, begun, done, open, opening, errors;
  uint64_t up, down, up_done, down_done;
  double rate, began_at;
  char first_error[128], head[1024];
  size_t head_length;
  SSL_CTX *context;
  struct client **clients;
  float *times;
  int poller, timer;
} run;

static void failed(const char *what) {
  run.errors++;
  if (run.first_error[0] == 0) snprintf(run.first_error, sizeof run.first_error, "%s", what);
}

static void prepare(void) {
  static const char AGENT[] = "load/1", ID[] = "1c2f0a54-7f8e-4a0e-9d1b-6b1f9c1d2e3f";
  const char *method = run.up > 0 || run.grpc ? "POST" : "GET", *path = "/shop/items/4711?view=full";
  char length[24], *to = run.head;
  snprintf(length, sizeof length, "%llu", (unsigned long long)run.up);
  if (!run.h2) {
    run.head_length = (size_t)snprintf(run.head, sizeof run.head,
        "%s %s HTTP/1.1\r\nhost: shop.mesh\r\nuser-agent: %s\r\naccept: */*\r\naccept-encoding: gzip\r\nx-forwarded-proto: http\r\nx-request-id: %s\r\n",
        method, path, AGENT, ID);
    if (run.up > 0)
      run.head_length += (size_t)snprintf(run.head + run.head_length, sizeof run.head - run.head_length,
          "content-type: application/json\r\ncontent-length: %s\r\n", length);
    memcpy(run.head + run.head_length, "\r\n", 2);
    run.head_length += 2;
    return;
  }
  *to++ = (char)(method[0] == 'G' ? 0x82 : 0x83);
  *to++ = (char)0x87; // :scheme https
  to += literal(to, 4, NULL, path);
  to += literal(to, 1, NULL, "shop.mesh");
  to += literal(to, 58, NULL, AGENT);
  to += literal(to, 19, NULL, "*/*");
  to += literal(to, 16, NULL, "gzip");
  to += literal(to, 0, "x-forwarded-proto", "http");
  to += literal(to, 0, "x-request-id", ID);
  if (run.grpc) to += literal(to, 0, "te", "trailers");
  if (run.grpc || run.up > 0) to += literal(to, 31, NULL, run.grpc ? "application/grpc" : "application/json");
  if (!run.grpc && run.up > 0) to += literal(to, 28, NULL, length);
  run.head_length = (size_t)(to - run.head);
}

static void begin(struct client *c, double since) {
  c->running++;
  run.begun++;
  if (c->h2 == NULL) {
    append(&c->out, run.head, run.head_length);
    c->up = run.up;
    c->began = since;
    return;
  }
  struct h2_stream *s = h2_open(c->h2);
  if (s == NULL) die("a stream outlives a thousand others");
  s->began = since;
  h2_head(c->h2, s, run.head, run.head_length, run.up);
}

static void finish(struct client *c, double since) {
  c->running--;
  run.times[run.done++] = (float)(now() - since);
  run.up_done += run.up;
  run.down_done += run.down;
}

static int on_head(struct h2 *h, struct h2_stream *s, int status, int ends) {
  if (s->heads == 1) {
    if (status != 200) return failed("an answer other than 200"), -1;
    if (run.down > 0 || run.grpc) return ends ? (failed("an answer without its body"), -1) : 0;
  } else if (!run.grpc || !ends || s->got != run.down) return failed("trailers at the wrong place"), -1;
  finish(h->owner, s->began);
  h2_close(s);
  return 0;
}

static int on_data(struct h2 *h, struct h2_stream *s, size_t length, int ends) {
  (void)length;
  if (s->got > run.down) return failed("more bytes than were asked for"), -1;
  if (!ends) return 0;
  if (run.grpc || s->got != run.down || s->is_sending) return failed("an answer with the wrong bytes"), -1;
  finish(h->owner, s->began);
  h2_close(s);
  return 0;
}

static const struct h2_events EVENTS = {on_head, on_data};

static int take_h1(struct client *c) {
  struct bytes *in = &c->in;
  while (in->from < in->to) {
    size_t there = in->to - in->from;
    if (c->running == 0) return failed("bytes that were not asked for"), -1;
    if (!c->in_body) {
      struct http1_head head;
      int length = http1_head(in->at + in->from, there, &head);
      if (length == 0) return 0;
      if (length < 0 || head.status != 200) return failed("an answer other than 200"), -1;
      if (!head.has_length || head.length != run.down) return failed("an answer of another length"), -1;
      in->from += (size_t)length;
      c->left = head.length;
      c->in_body = 1;
    } else {
      size_t piece = there < c->left ? there : (size_t)c->left;
      in->from += piece;
      c->left -= piece;
    }
    if (c->left > 0) continue;
    if (c->up > 0) return failed("an answer before the end of its request"), -1;
    c->in_body = 0;
    finish(c, c->began);
  }
  return 0;
}

static void watch(struct client *c, int operation) {
  int to_send = c->phase == CONNECTING || (c->phase == RUNNING && c->out.from < c->out.to);
  struct epoll_event event = {.events = EPOLLIN | (to_send ? EPOLLOUT : 0u), .data.ptr = c};
  if (event.events == c->interest && operation == EPOLL_CTL_MOD) return;
  c->interest = event.events;
  epoll_ctl(run.poller, operation, c->s.fd, &event);
}

static void open_one(struct client *c) {
  c->s.fd = dial(run.host, run.port);
  c->began = now();
  c->phase = CONNECTING;
  c->running = 0;
  c->in_body = 0;
  c->in.from = c->in.to = c->out.from = c->out.to = 0;
  if (run.tls) {
    c->s.ssl = SSL_new(run.context);
    SSL_set_fd(c->s.ssl, c->s.fd);
    SSL_set_tlsext_host_name(c->s.ssl, run.sni);
    SSL_set_connect_state(c->s.ssl);
  }
  if (run.h2) {
    if (c->h2 == NULL) c->h2 = malloc(sizeof *c->h2);
    h2_start(c->h2, 0, &EVENTS, &c->out, c);
    c->h2->trailers = NULL;
  }
  run.open++;
  run.opening++;
  watch(c, EPOLL_CTL_ADD);
}

static int flush(struct client *c) {
  for (;;) {
    if (c->h2 != NULL) h2_fill(c->h2);
    else if (c->up > 0) c->up -= fill_body(&c->out, c->up);
    if (c->out.from == c->out.to) return 0;
    ssize_t sent = put(&c->s, c->out.at + c->out.from, c->out.to - c->out.from);
    if (sent == GONE) return failed("the connection ended while it was written"), GONE;
    if (sent == AGAIN) return 0;
    c->out.from += (size_t)sent;
  }
}

static void ask_more(struct client *c) {
  if (run.each || run.rate > 0 || !run.going) return;
  while (c->running < run.streams && run.begun < run.total) begin(c, now());
}

static int turn(struct client *c) {
  int error = 0, result;
  socklen_t length = sizeof error;
  if (c->phase == CONNECTING) {
    getsockopt(c->s.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return failed("the connection was refused"), GONE;
    c->phase = SHAKING;
  }
  if (c->phase == SHAKING) {
    if ((result = handshake(&c->s)) != 1) return result == AGAIN ? 0 : (failed("handshake"), GONE);
    c->phase = RUNNING;
    run.opening--;
    // The first request of a connection goes all the way to the service.
    begin(c, c->began);
  }
  for (;;) {
    ssize_t got = get(&c->s, room(&c->in, READ_MOST), READ_MOST);
    if (got == AGAIN) break;
    if (got <= 0) return failed("the connection ended"), GONE;
    c->in.to += (size_t)got;
    if ((c->h2 != NULL ? h2_take(c->h2, &c->in) : take_h1(c)) < 0) return failed("what came is no HTTP"), GONE;
  }
  if (run.each && c->running == 0) return 1;
  ask_more(c);
  return flush(c);
}

static void begin_due(void) {
  static long next = 0;
  double at = now();
  long tried = 0;
  while (run.begun < run.total && tried < run.connections) {
    double due = run.began_at + (double)run.begun / run.rate;
    if (due > at) break;
    struct client *c = run.clients[next++ % run.connections];
    tried++;
    if (c->running >= run.streams) continue;
    tried = 0;
    begin(c, due);
    if (flush(c) != 0) return;
    watch(c, EPOLL_CTL_MOD);
  }
  if (run.begun >= run.total) return;
  double wait = run.began_at + (double)run.begun / run.rate - now();
  if (wait < 1e-6) wait = tried > 0 ? 1e-3 : 1e-6;
  struct itimerspec spec = {.it_value = {.tv_sec = (time_t)wait, .tv_nsec = (long)((wait - (double)(time_t)wait) * 1e9) + 1}};
  timerfd_settime(run.timer, 0, &spec, NULL);
}

static long least(long a, long b) { return a < b ? a : b; }

static void open_more(long most) {
  while (run.open < most && run.opening < OPENING_MOST) open_one(run.clients[run.open]);
}

// The array keeps those that are open in front.
static void over(struct client *c) {
  hang_up(&c->s, 0);
  for (long i = 0; i < run.open; i++) {
    if (run.clients[i] != c) continue;
    run.clients[i] = run.clients[run.open - 1];
    run.clients[run.open - 1] = c;
    break;
  }
  run.open--;
}

// Until so many requests are over, or something went wrong.
static void loop_until(long done) {
  struct epoll_event events[256];
  while (run.done < done && run.errors == 0) {
    if (run.rate > 0 && run.going) begin_due();
    int count = epoll_wait(run.poller, events, 256, 20000);
    if (count == 0) failed("nothing happened for 20 s");
    for (int i = 0; i < count && run.errors == 0; i++) {
      struct client *c = events[i].data.ptr;
      uint64_t times;
      if (c == NULL) {
        if (read(run.timer, &times, sizeof times) < 0 && errno != EAGAIN) die("timer");
        continue;
      }
      int result = turn(c);
      if (result == 0) watch(c, EPOLL_CTL_MOD);
      else if (result == 1) over(c);
    }
    if (run.each) open_more(least(run.connections, run.open + done - run.begun - run.opening));
    else if (!run.going) open_more(run.connections);
  }
}

static double own_cpu(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

static double at(double share) {
  return run.done == 0 ? 0 : 1e6 * (double)run.times[(long)((double)(run.done - 1) * share)];
}

void http_load(void) {
  run.host = option("host", "127.0.0.1");
  run.port = (int)number("port", 0);
  run.sni = option("sni", "");
  run.tls = (int)number("tls", 0);
  run.h2 = strcmp(option("protocol", "http1"), "http2") == 0;
  run.grpc = (int)number("grpc", 0);
  run.each = (int)number("each", 0);
  run.hold = (int)number("hold", 0);
  run.connections = number("connections", 1);
  run.streams = run.h2 ? number("streams", 1) : 1;
  run.total = number("total", 1000);
  run.up = (uint64_t)number("up", 0);
  run.down = (uint64_t)number("down", 1024);
  run.rate = (double)number("rate", 0);
  if (run.grpc && run.up == 0) die("a call of gRPC has a message");
  prepare();
  if (run.tls) run.context = client_context();
  run.poller = epoll_create1(EPOLL_CLOEXEC);
  run.timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  epoll_ctl(run.poller, EPOLL_CTL_ADD, run.timer, &(struct epoll_event){.events = EPOLLIN, .data.ptr = NULL});
  run.clients = calloc((size_t)run.connections, sizeof *run.clients);
  for (long i = 0; i < run.connections; i++) run.clients[i] = calloc(1, sizeof **run.clients);
  run.times = calloc((size_t)(run.total + run.connections) + 1, sizeof *run.times);
  if (!run.each) {
    open_more(run.connections);
    loop_until(run.connections);
    if (run.errors > 0) {
      fprintf(stderr, "generator: opened %ld of %ld connections: %s\n", run.done, run.connections, run.first_error);
      exit(1);
    }
  }
  run.begun = run.done = 0;
  run.up_done = run.down_done = 0;
  print_ready_and_wait();
  double cpu = own_cpu();
  run.began_at = now();
  run.going = 1;
  if (run.hold) {
    char byte;
    for (long i = 0; i < run.open; i++) {
      // A frame of HTTP/2 that asks for nothing may have come.
      ssize_t got;
      while ((got = get(&run.clients[i]->s, &byte, 1)) > 0) {}
      if (got != AGAIN) failed("a held connection was ended");
      hang_up(&run.clients[i]->s, 0);
    }
  } else {
    if (run.each) open_more(least(run.connections, run.total));
    else if (run.rate == 0)
      for (long i = 0; i < run.open && run.errors == 0; i++) {
        ask_more(run.clients[i]);
        if (flush(run.clients[i]) == 0) watch(run.clients[i], EPOLL_CTL_MOD);
      }
    loop_until(run.total);
  }
  double seconds = now() - run.began_at;
  cpu = own_cpu() - cpu;
  qsort(run.times, (size_t)run.done, sizeof *run.times, by_value);
  printf("{\"seconds\":%.6f,\"up\":%llu,\"down\":%llu,\"connections\":%ld,\"resumed\":0,\"errors\":%ld,\"firstError\":\"%s\","
         "\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f,\"ownCpu\":%.6f}\n",
         seconds, (unsigned long long)run.up_done, (unsigned long long)run.down_done, run.hold ? run.open : run.done, run.errors,
         run.first_error, at(0.5), at(0.99), at(1), cpu);
}
