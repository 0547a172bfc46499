// The load generator and the far end of a run: `generator serve|bulk|rate|hold|ping|http-serve|http key=value …`. Prints JSON lines; begins when a line comes in.
// Built by perf/generator.ts with `cc -O2 *.c -lssl -lcrypto`; perf/generator/fallback.ts does the same in TypeScript, slower.
#include "http.h"
#include "stream.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/resource.h>

static int count;
static char **words;

const char *option(const char *name, const char *fallback) {
  size_t length = strlen(name);
  for (int i = 2; i < count; i++)
    if (strncmp(words[i], name, length) == 0 && words[i][length] == '=') return words[i] + length + 1;
  return fallback;
}

long number(const char *name, long fallback) {
  const char *text = option(name, NULL);
  return text == NULL ? fallback : strtol(text, NULL, 10);
}

int main(int argc, char **argv) {
  struct rlimit files;
  count = argc;
  words = argv;
  signal(SIGPIPE, SIG_IGN);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  memset(block, 0x5a, sizeof block);
  if (argc < 2) die("serve, bulk, rate, hold, ping, http-serve or http");
  errno = 0;
  if (strcmp(argv[1], "serve") == 0) serve();
  else if (strcmp(argv[1], "ping") == 0) ping();
  else if (strcmp(argv[1], "http-serve") == 0) http_serve();
  else if (strcmp(argv[1], "http") == 0) http_load();
  else load(argv[1]);
  fflush(stdout);
  return 0;
}
