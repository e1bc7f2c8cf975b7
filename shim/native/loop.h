// The supervisor's event loop: one event a turn, so that a handler may close and free whatever it likes.
#pragma once
#include <sys/epoll.h>

#include "common.h"

struct source {
  int fd;        // -1: none
  bool watched;
  uint32_t events;
  void (*ready)(void *owner, uint32_t events);
  void *owner;
};

bool loop_open(struct err *e);
void source_init(struct source *s, int fd, void (*ready)(void *, uint32_t), void *owner);
void source_watch(struct source *s, uint32_t events);  // hang-ups are told even with 0
void source_unwatch(struct source *s);                 // nothing is told
void source_close(struct source *s);
bool loop_turn(int timeout_ms);                         // whether there was something to do
int64_t now_ms(void);  // monotonic

// Bytes that wait to be written; no memory is held when it is empty.
struct buffer {
  char *data;
  size_t start, end, capacity;
};
bool buffer_add(struct buffer *b, const void *bytes, size_t length);
bool buffer_flush(struct buffer *b, int fd);  // false: the other side is gone
void buffer_free(struct buffer *b);
static inline size_t buffer_pending(const struct buffer *b) { return b->end - b->start; }
