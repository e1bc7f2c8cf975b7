// keyring: prints the id of its session keyring. keyring add NAME SECONDS: adds a key to it that lives so long.
// keyring hold NAME SECONDS PROGRAM…: joins a new session keyring, adds such a key, and becomes the program.
// keyring find NAME: prints "found" or "nothing", looking from the session keyring and from all that is reached from it.
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static long add(const char *name, const char *seconds) {
  const long key = syscall(SYS_add_key, "user", name, "secret", 6, KEY_SPEC_SESSION_KEYRING);
  return key < 0 ? key : syscall(SYS_keyctl, KEYCTL_SET_TIMEOUT, key, atoi(seconds));
}

int main(int argc, char **argv) {
  const int session = KEY_SPEC_SESSION_KEYRING;
  if (argc > 4 && strcmp(argv[1], "hold") == 0) {
    if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 || add(argv[2], argv[3]) < 0) return perror("keyctl"), 1;
    execv(argv[4], argv + 4);
    return perror(argv[4]), 1;
  } else if (argc == 1) {
    const long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, session, 0);
    if (id < 0) return perror("keyctl"), 1;
    printf("%ld\n", id);
  } else if (argc == 4 && strcmp(argv[1], "add") == 0) {
    if (add(argv[2], argv[3]) < 0) return perror("add_key"), 1;
    printf("added\n");
  } else if (argc == 3 && strcmp(argv[1], "find") == 0) {
    const long key = syscall(SYS_keyctl, KEYCTL_SEARCH, session, "user", argv[2], 0);
    if (key < 0 && errno != ENOKEY) return perror("keyctl"), 1;
    printf(key < 0 ? "nothing\n" : "found\n");
  } else return 2;
  return 0;
}
