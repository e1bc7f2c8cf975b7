// Has the disk begin with finished files, so that the sync at the end is short. A thread of its own does it: beginning a
// write waits where the kernel holds writers back (wbt, a commit of the journal), and unpacking goes on meanwhile.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "sys.h"
#include "unpack.h"

// So many may wait for the disk; the sync at the end has the others.
#define WAITING 256
#define STACK (64u << 10)

static int queue[2] = {-1, -1};
static atomic_int waiting;
static atomic_bool begun;

static void *begin_writes(void *unused) {
  int fd;
  (void)unused;
  atomic_store(&begun, true);
  // Less than a descriptor is never written to a pipe, nor read from it.
  while (read(queue[0], &fd, sizeof fd) == sizeof fd) {
    (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);  // the sync at the end tells of errors
    close(fd);
    atomic_fetch_sub(&waiting, 1);
  }
  return NULL;
}

bool early_start(struct err *e) {
  pthread_attr_t attributes;
  pthread_t thread;
  if (pipe2(queue, O_CLOEXEC) < 0) return fail_errno(e, "pipe", "unpacker");
  (void)pthread_attr_init(&attributes);
  (void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  (void)pthread_attr_setstacksize(&attributes, STACK);
  const int number = pthread_create(&thread, &attributes, begin_writes, NULL);
  (void)pthread_attr_destroy(&attributes);
  if (number != 0) return fail(e, number, "make thread", "unpacker");
  // How a thread begins is the C library's affair, and may need more than the filter allows.
  while (!atomic_load(&begun)) (void)sched_yield();
  return true;
}

bool early_take(int fd) {
  if (queue[1] < 0 || atomic_load(&waiting) >= WAITING) return false;
  atomic_fetch_add(&waiting, 1);
  if (write(queue[1], &fd, sizeof fd) == sizeof fd) return true;
  atomic_fetch_sub(&waiting, 1);
  return false;
}
