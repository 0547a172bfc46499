// Many connections at once, in one epoll loop. `bulk`: all are open, then bytes flow. `rate`: each is opened, answered and closed, then the next;
// with `per-second`, so many are opened each second, while not more than `connections` are open.
// `hold`: all are open and answered, and stay so until a line comes.
#define _GNU_SOURCE
#include "stream.h"
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum phase { CONNECTING, SHAKING, HELLO, WAITING, HEADER, RUNNING, CLOSING };
enum mode { BULK, RATE, HOLD };
enum { OPENING_MOST = 32 };

struct client {
  struct stream s;
  enum phase phase;
  uint32_t interest;
  int is_set_up;
  size_t sent; // of hello or header
  uint64_t up, down; // left; `down` counts the 8 bytes of the answer too
  uint64_t asked, answer; // of what came up
  double started;
};

static struct {
  enum mode mode;
  const char *host, *sni;
  int port, tls, reset, resume;
  long connections, total, started, opening, open, done, resumed, errors;
  size_t message, hello_length;
  unsigned char *hello;
  struct header header, first;
  uint64_t up, down, up_done, down_done;
  double rate, began; // bytes a second, 0 is no limit
  double per_second;  // new connections, 0 is no limit
  int going;
  char first_error[128];
  SSL_CTX *context;
  struct client **clients;
  float *times;
  int poller;
} run;

enum { TICKETS_MOST = 256 };
static SSL_SESSION *tickets[TICKETS_MOST];
static int ticket_count;
static char scratch[256 * 1024];

static int keep_ticket(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  if (ticket_count == TICKETS_MOST) return 0;
  tickets[ticket_count++] = session;
  return 1;
}

// OpenSSL uses a ticket of TLS 1.3 once; one of TLS 1.2 serves for all.
static void offer_ticket(SSL *ssl) {
  if (ticket_count == 0) return;
  SSL_SESSION *ticket = tickets[ticket_count - 1];
  SSL_set_session(ssl, ticket);
  if (SSL_SESSION_get_protocol_version(ticket) < TLS1_3_VERSION) return;
  ticket_count--;
  SSL_SESSION_free(ticket);
}

SSL_CTX *client_context(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  const char *cert = option("cert", NULL);
  int version = strcmp(option("max", "1.3"), "1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  // The same cipher whoever answers: servers differ in what they prefer, and sidecars (BoringSSL) name this one first.
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set_cipher_list(context, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, keep_ticket);
  if (cert != NULL && (SSL_CTX_use_certificate_chain_file(context, cert) != 1 ||
                       SSL_CTX_use_PrivateKey_file(context, option("key", cert), SSL_FILETYPE_PEM) != 1))
    die("certificate of the client");
  return context;
}

static void watch(struct client *c, int operation) {
  int to_send = c->phase <= HELLO ? c->phase != SHAKING : c->phase == HEADER || (c->phase == RUNNING && c->up > 0 && run.rate == 0);
  struct epoll_event event = {.events = EPOLLIN | (to_send ? EPOLLOUT : 0u), .data.ptr = c};
  if (event.events == c->interest && operation == EPOLL_CTL_MOD) return;
  c->interest = event.events;
  epoll_ctl(run.poller, operation, c->s.fd, &event);
}

static void ask(struct client *c, uint64_t up, uint64_t down) {
  c->phase = c->phase == WAITING ? HEADER : c->phase;
  c->up = c->asked = up;
  c->down = down + 8;
}

static void open_one(struct client *c) {
  memset(c, 0, sizeof *c);
  c->s.fd = dial(run.host, run.port);
  c->started = now();
  ask(c, run.mode == BULK ? 0 : run.up, run.mode == BULK ? 0 : run.down);
  if (run.tls) {
    c->s.ssl = SSL_new(run.context);
    SSL_set_fd(c->s.ssl, c->s.fd);
    SSL_set_tlsext_host_name(c->s.ssl, run.sni);
    // As a sidecar says it.
    SSL_set_alpn_protos(c->s.ssl, (const unsigned char *)"\004kuma", 5);
    SSL_set_connect_state(c->s.ssl);
    if (run.resume) offer_ticket(c->s.ssl);
  }
  run.started++;
  run.opening++;
  run.open++;
  watch(c, EPOLL_CTL_ADD);
}

static int is_due(void) { return run.per_second == 0 || !run.going || (double)run.started < run.per_second * (now() - run.began); }

static void open_more(void) {
  while (is_due() && run.started < run.total && run.opening < OPENING_MOST && run.open < run.connections) open_one(run.clients[run.open]);
}

static void failed(struct client *c, const char *what) {
  run.errors++;
  if (run.first_error[0] == 0) snprintf(run.first_error, sizeof run.first_error, "%s in phase %d", what, c->phase);
}

// The client's place is free for the next. The array keeps who is open in front.
static void over(struct client *c, int reset) {
  if (!c->is_set_up) run.opening--;
  if (c->s.ssl != NULL && SSL_session_reused(c->s.ssl)) run.resumed++;
  hang_up(&c->s, reset);
  run.times[run.done++] = (float)(now() - c->started);
  for (long i = 0; i < run.open; i++) {
    if (run.clients[i] != c) continue;
    run.clients[i] = run.clients[run.open - 1];
    run.clients[run.open - 1] = c;
    break;
  }
  run.open--;
}

static int send_of(struct client *c, const void *from, size_t length) {
  ssize_t sent = put(&c->s, (const char *)from + c->sent, length - c->sent);
  if (sent == GONE) return GONE;
  if (sent > 0) c->sent += (size_t)sent;
  if (c->sent < length) return AGAIN;
  c->sent = 0;
  return 1;
}

static void set_up(struct client *c) {
  run.opening--;
  c->is_set_up = 1;
}

// Returns GONE when the connection has to go, 1 when it is finished.
static int turn(struct client *c) {
  int error = 0;
  socklen_t length = sizeof error;
  int result;
  switch (c->phase) {
    case CONNECTING:
      getsockopt(c->s.fd, SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) return GONE;
      c->phase = SHAKING; // fall through
    case SHAKING:
      if ((result = handshake(&c->s)) != 1) return result == AGAIN ? 0 : GONE;
      c->phase = HELLO; // fall through
    case HELLO:
      if (run.hello_length > 0 && (result = send_of(c, run.hello, run.hello_length)) != 1) return result == AGAIN ? 0 : GONE;
      if (run.mode == RATE) set_up(c);
      c->phase = HEADER; // fall through
    case HEADER:
      if ((result = send_of(c, run.going ? &run.header : &run.first, sizeof run.header)) != 1) return result == AGAIN ? 0 : GONE;
      c->phase = RUNNING; // fall through
    case RUNNING: break;
    case WAITING: return get(&c->s, scratch, 1) == AGAIN ? 0 : GONE;
    case CLOSING: {
      ssize_t got = get(&c->s, scratch, sizeof scratch);
      return got == 0 || got == GONE ? 1 : 0;
    }
  }
  for (int i = 0; i < 64 && c->up > 0; i++) {
    if (run.rate > 0 && (double)run.up_done > run.rate * (now() - run.began)) break;
    ssize_t sent = put(&c->s, block, c->up < run.message ? (size_t)c->up : run.message);
    if (sent == GONE) return GONE;
    if (sent == AGAIN) break;
    c->up -= (uint64_t)sent;
    run.up_done += (uint64_t)sent;
    if (run.message >= 65536 && run.rate == 0) break;
  }
  ssize_t got = get(&c->s, scratch, sizeof scratch);
  if (got == 0 || got == GONE) return GONE;
  if (got > 0) {
    // The answer is the last 8 bytes.
    for (ssize_t i = got > 8 ? got - 8 : 0; i < got; i++) c->answer = (c->answer << 8) | (unsigned char)scratch[i];
    if ((uint64_t)got > c->down) return GONE;
    c->down -= (uint64_t)got;
    run.down_done += (uint64_t)got;
  }
  if (c->down > 0) return 0;
  if (c->up > 0 || c->answer != c->asked) return GONE;
  if (!c->is_set_up) { // all the way to the far end
    set_up(c);
    c->phase = WAITING;
    return 0;
  }
  if (run.reset) return 1;
  end_sending(&c->s);
  c->phase = CLOSING;
  return 0;
}

static void loop_until(int (*enough)(void)) {
  struct epoll_event events[256];
  while (!enough()) {
    int count = epoll_wait(run.poller, events, 256, (run.rate > 0 || run.per_second > 0) && run.going ? 1 : 10000);
    if (count == 0 && run.rate == 0 && run.per_second == 0) {
      failed(run.clients[0], "nothing happened for 10 s");
      break;
    }
    for (int i = 0; i < count; i++) {
      struct client *c = events[i].data.ptr;
      int result = turn(c);
      if (result == 0) {
        watch(c, EPOLL_CTL_MOD);
        continue;
      }
      if (result == GONE) failed(c, "the connection ended early");
      over(c, run.reset);
    }
    if (run.rate > 0 && run.going) // a paced connection is not told when it may go on
      for (long i = run.open - 1; i >= 0; i--) {
        struct client *c = run.clients[i];
        if (c->phase != RUNNING || c->up == 0) continue;
        int result = turn(c);
        if (result != 0) over(c, run.reset);
        if (result == GONE) failed(c, "the connection ended early");
      }
    if (run.mode == RATE || !run.going) open_more();
  }
}

static int all_set_up(void) { return (run.started == run.total && run.opening == 0) || run.errors > 0; }
static int all_over(void) { return run.done >= run.total; }

static int by_value(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return x < y ? -1 : x > y;
}

static double at(double share) {
  if (run.done == 0) return 0;
  return 1e6 * (double)run.times[(long)((double)(run.done - 1) * share)];
}

// Only later connections are measured: the first ones, which bring the tickets, are over before.
static void get_tickets(void) {
  long total = run.total;
  run.total = run.connections < total ? run.connections : total;
  run.going = 1;
  open_more();
  loop_until(all_over);
  run.total = total;
  run.started = run.done = run.resumed = run.going = 0;
  run.up_done = run.down_done = 0;
}

static void parse_hello(void) {
  const char *hex = option("hello", "");
  run.hello_length = strlen(hex) / 2;
  run.hello = malloc(run.hello_length + 1);
  for (size_t i = 0; i < run.hello_length; i++) sscanf(hex + 2 * i, "%2hhx", &run.hello[i]);
}

void load(const char *mode) {
  run.mode = strcmp(mode, "bulk") == 0 ? BULK : strcmp(mode, "rate") == 0 ? RATE : HOLD;
  run.host = option("host", "127.0.0.1");
  run.port = (int)number("port", 0);
  run.tls = (int)number("tls", 0);
  run.sni = option("sni", "");
  run.reset = strcmp(option("close", "fin"), "rst") == 0;
  run.resume = (int)number("resume", 0);
  run.connections = number("connections", 1);
  run.total = number("total", run.connections);
  run.message = (size_t)number("message", sizeof block);
  run.rate = (double)number("rate", 0);
  run.per_second = (double)number("per-second", 0);
  run.up = (uint64_t)number("up", 0) / (uint64_t)run.connections;
  run.down = (uint64_t)number("down", 0) / (uint64_t)run.connections;
  run.header = (struct header){.magic = {'Z', 'P', 'R', 'F'}, .op = 'T', .up = htobe64(run.up), .down = htobe64(run.down),
                               .message = htonl((uint32_t)run.message)};
  run.first = run.header;
  run.first.up = run.first.down = 0;
  parse_hello();
  if (run.tls) run.context = client_context();
  run.poller = epoll_create1(EPOLL_CLOEXEC);
  run.clients = calloc((size_t)run.connections, sizeof *run.clients);
  for (long i = 0; i < run.connections; i++) run.clients[i] = malloc(sizeof **run.clients);
  run.times = calloc((size_t)run.total + 1, sizeof *run.times);

  if (run.mode != RATE) {
    open_more();
    loop_until(all_set_up);
    run.up_done = run.down_done = 0;
    if (run.errors > 0) {
      fprintf(stderr, "generator: opened %ld of %ld connections: %s\n", run.started, run.total, run.first_error);
      exit(1);
    }
  }
  if (run.mode == RATE && run.resume) get_tickets();
  print_ready_and_wait();
  run.began = now();
  run.going = 1;
  if (run.mode == HOLD) {
    for (long i = 0; i < run.open; i++) {
      if (get(&run.clients[i]->s, scratch, 1) != AGAIN) failed(run.clients[i], "a held connection was ended");
      hang_up(&run.clients[i]->s, run.reset);
    }
    run.done = run.open;
  } else {
    if (run.mode == BULK)
      for (long i = 0; i < run.open; i++) {
        ask(run.clients[i], run.up, run.down);
        watch(run.clients[i], EPOLL_CTL_MOD);
      }
    else open_more();
    loop_until(all_over);
  }
  double seconds = now() - run.began;
  if (run.mode == RATE) qsort(run.times, (size_t)run.done, sizeof *run.times, by_value);
  printf("{\"seconds\":%.6f,\"up\":%llu,\"down\":%llu,\"connections\":%ld,\"resumed\":%ld,\"errors\":%ld,\"firstError\":\"%s\","
         "\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}\n",
         seconds, (unsigned long long)run.up_done, (unsigned long long)run.down_done, run.done, run.resumed, run.errors,
         run.first_error, run.mode == RATE ? at(0.5) : 0, run.mode == RATE ? at(0.99) : 0, run.mode == RATE ? at(1) : 0);
}
