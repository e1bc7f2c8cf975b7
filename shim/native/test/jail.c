// The unpacker's confinement holds for each of its threads: one that makes a call which is not allowed ends the process.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../sys.h"
#include "../unpack.h"
#include "tap.h"

static atomic_int order;  // of the call that the other thread is to make; then -1
static atomic_bool begun;

static _Noreturn void *obey(void *unused) {
  (void)unused;
  atomic_store(&begun, true);
  while (atomic_load(&order) == 0) continue;
  (void)syscall(atomic_load(&order));
  atomic_store(&order, -1);
  for (;;) continue;
}

// What the process ends with in which another thread, begun before the confinement as unpack-early.c's is, makes the call.
static int end_with(const char *dir, int call) {
  struct err e = {0};
  pthread_t thread;
  const pid_t pid = fork();
  if (pid == 0) {
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || pthread_create(&thread, NULL, obey, NULL) != 0) _exit(2);
    // How a thread begins may need more than the filter allows; unpack-early.c waits for its own as well.
    while (!atomic_load(&begun)) continue;
    // No more than seconds of a processor: both threads wait with all their might.
    if (!unpack_confine(fd, 5, &e)) _exit(3);
    atomic_store(&order, call);
    while (atomic_load(&order) != -1) continue;
    (void)syscall(SYS_exit_group, 0);  // around _exit the sanitizer makes calls of its own
  }
  int status = -1;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  return status;
}

int main(void) {
  char dir[] = "/tmp/berth-jail-XXXXXX";
  if (mkdtemp(dir) == NULL) return 1;
  const int allowed = end_with(dir, SYS_sync_file_range), forbidden = end_with(dir, SYS_getppid);
  claim(WIFEXITED(allowed) && WEXITSTATUS(allowed) == 0, "a thread of the unpacker may begin writes");
  claim(WIFSIGNALED(forbidden) && WTERMSIG(forbidden) == SIGSYS, "a thread that makes a forbidden call is killed with the process");
  (void)rmdir(dir);
  return tap_done();
}
