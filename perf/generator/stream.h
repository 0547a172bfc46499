// A socket with or without TLS, never blocking, and what every part of the generator shares.
#ifndef STREAM_H
#define STREAM_H
#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>

enum { AGAIN = -1, GONE = -2 };

struct stream {
  int fd;
  SSL *ssl; // null: plain
};

// What the client tells the far end, once or again and again; the far end answers with as many bytes as `down` says and, once it has all of `up`, with the count as 8 bytes.
// 'T' transfers, 'E' sends everything back. Numbers are in network order.
struct header {
  char magic[4]; // "ZPRF"
  char op;
  char pad[3];
  uint64_t up, down;
  uint32_t message; // size of one write of the far end
  uint32_t reserved;
} __attribute__((packed));

extern char block[1 << 20]; // what is sent; also the largest message

const char *option(const char *name, const char *fallback);
long number(const char *name, long fallback);
void die(const char *what);
double now(void); // seconds
void print_ready_and_wait(void);

int dial(const char *host, int port);
int handshake(struct stream *s); // 1, AGAIN or GONE
ssize_t get(struct stream *s, void *to, size_t most); // bytes, 0 at the end, AGAIN or GONE
ssize_t put(struct stream *s, const void *from, size_t length); // bytes, AGAIN or GONE
void end_sending(struct stream *s);
void hang_up(struct stream *s, int reset);

SSL_CTX *client_context(void);
void serve(void);
void load(const char *mode);
void ping(void);
#endif
