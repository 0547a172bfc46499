// What load generator and far end need of HTTP/2 (RFC 9113): frames, flow control, bodies of equal bytes. Blocks of headers are sent without a dynamic table; of those that come,
// only the status is read. A peer that does something else is an error of the run.
#ifndef HTTP2_H
#define HTTP2_H
#include <stddef.h>
#include <stdint.h>

struct bytes {
  char *at;
  size_t from, to, size;
};

// Makes room for so many more and gives back where they go.
char *room(struct bytes *b, size_t want);
void append(struct bytes *b, const void *from, size_t length);

enum { H2_SLOTS = 1024, H2_HEAD_MOST = 1024, H2_FRAME = 16384, H2_OUT_MOST = 256 * 1024 };

struct h2_stream {
  uint32_t id; // 0: free
  int64_t window;
  uint64_t left, got;
  int heads; // blocks of headers that came
  int is_sending;
  double began;
};

struct h2;
struct h2_events {
  // `status` is 200, or 0 for anything else. Both return 0, or -1 where the peer broke the rules.
  int (*head)(struct h2 *h, struct h2_stream *s, int status, int ends);
  int (*data)(struct h2 *h, struct h2_stream *s, size_t length, int ends);
};

struct h2 {
  const struct h2_events *events;
  void *owner;
  struct bytes *out;
  int64_t window, initial;
  uint64_t taken; // bytes of bodies for which no window was given back yet
  uint32_t next;
  int is_server, preface_seen, ended;
  const char *trailers; // behind each body that is sent; null: none
  size_t trailers_length;
  long sending_count;
  uint32_t sending[H2_SLOTS];
  struct h2_stream streams[H2_SLOTS];
};

void h2_start(struct h2 *h, int is_server, const struct h2_events *events, struct bytes *out, void *owner);
struct h2_stream *h2_open(struct h2 *h); // of a client; null where its place is taken
void h2_head(struct h2 *h, struct h2_stream *s, const char *block, size_t length, uint64_t body);
void h2_close(struct h2_stream *s);
int h2_take(struct h2 *h, struct bytes *in); // parses whole frames; -1 where the connection is lost
void h2_fill(struct h2 *h); // pieces of bodies into `out`, as far as windows go
#endif
