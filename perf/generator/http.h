// What load generator and far end of HTTP share.
#ifndef HTTP_H
#define HTTP_H
#include "http2.h"
#include "stream.h"

struct http1_head {
  int status; // of an answer; 0 of a request
  uint64_t length;
  int has_length, is_chunked;
};

// Bytes of the head; 0 while it is not whole, -1 for what is none.
int http1_head(const char *at, size_t there, struct http1_head *head);
// A literal header without indexing: its name by the index of the static table, or by itself where that is 0. Gives back its length.
size_t literal(char *to, int index, const char *name, const char *value);
// As much of a body as is good to send at once; gives back how much.
size_t fill_body(struct bytes *out, uint64_t left);

int listen_at(const char *host, int port, int *bound);
void http_serve(void);
void http_load(void);
#endif
