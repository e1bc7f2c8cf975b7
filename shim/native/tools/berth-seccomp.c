// berth-seccomp: compiles a seccomp profile on stdin to BPF (struct sock_filter each) on stdout, by libseccomp.
// A program of its own: the daemon caches what it writes, and berth-shim needs no library.
//
//   default ACTION ERRNO         first line; what happens to a call that no rule names
//   arch NAME                    as libseccomp names it (x86_64, x86, x32, aarch64, arm …); the first one or more lines after it
//   rule ACTION ERRNO CALL [INDEX OP VALUE VALUETWO]…   the conditions of one line must all hold
//   end                          last line, so that a cut profile is none
//
// ACTION: allow errno kill_process kill_thread trap log trace. ERRNO is 0 for all but `errno` and `trace`. OP: eq ne lt le ge gt masked
// (argument & VALUE == VALUETWO). Numbers are decimal. A call that libseccomp does not know is skipped: the default
// holds for it. A rule that says what the default says is skipped as well.
// Exit 0; 1 with one line on stderr. `--version` prints the version of the output.
#include <errno.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VERSION "1"
#define ERRNO_LIMIT 4095u
#define WORDS_LIMIT 32u
#define ARGS_LIMIT 6u

static unsigned line_number;

static bool wrong(const char *what, const char *object) {
  (void)fprintf(stderr, "compile seccomp profile: line %u: %s: %s\n", line_number, object, what);
  return false;
}

static bool number(const char *text, uint64_t limit, uint64_t *out) {
  char *end;
  errno = 0;
  if (*text < '0' || *text > '9') return wrong("not a number", text);
  *out = strtoull(text, &end, 10);
  return (errno == 0 && *end == 0 && *out <= limit) || wrong("number out of range", text);
}

static bool action_of(const char *name, const char *errno_text, uint32_t *out) {
  static const struct {
    const char *name;
    uint32_t action;
  } known[] = {{"allow", SCMP_ACT_ALLOW},
               {"kill_process", SCMP_ACT_KILL_PROCESS},
               {"kill_thread", SCMP_ACT_KILL_THREAD},
               {"trap", SCMP_ACT_TRAP},
               {"log", SCMP_ACT_LOG}};
  uint64_t value;
  if (!number(errno_text, UINT16_MAX, &value)) return false;
  if (strcmp(name, "errno") == 0) {
    *out = SCMP_ACT_ERRNO((uint32_t)value);
    return value <= ERRNO_LIMIT || wrong("number out of range", errno_text);
  }
  if (strcmp(name, "trace") == 0) {
    *out = SCMP_ACT_TRACE((uint32_t)value);
    return true;
  }
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(name, known[i].name) == 0) {
      *out = known[i].action;
      return value == 0 || wrong("only the actions errno and trace have a number", name);
    }
  return wrong("no such action", name);
}

static bool compare_of(char *const *words, struct scmp_arg_cmp *out) {
  static const struct {
    const char *name;
    enum scmp_compare op;
  } known[] = {{"eq", SCMP_CMP_EQ}, {"ne", SCMP_CMP_NE}, {"lt", SCMP_CMP_LT},           {"le", SCMP_CMP_LE},
               {"ge", SCMP_CMP_GE}, {"gt", SCMP_CMP_GT}, {"masked", SCMP_CMP_MASKED_EQ}};
  uint64_t index, value, second;
  if (!number(words[0], ARGS_LIMIT - 1, &index) || !number(words[2], UINT64_MAX, &value) ||
      !number(words[3], UINT64_MAX, &second))
    return false;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(words[1], known[i].name) == 0) {
      *out = (struct scmp_arg_cmp){
          .arg = (unsigned)index, .op = known[i].op, .datum_a = value, .datum_b = second};
      return true;
    }
  return wrong("no such comparison", words[1]);
}

static bool add_rule(scmp_filter_ctx filter, uint32_t fallback, char *const *words, size_t count) {
  struct scmp_arg_cmp compares[ARGS_LIMIT];
  uint32_t action;
  if (count < 4 || (count - 4) % 4 != 0 || (count - 4) / 4 > ARGS_LIMIT) return wrong("wrong number of words", "rule");
  if (!action_of(words[1], words[2], &action)) return false;
  const unsigned used = (unsigned)(count - 4) / 4;
  for (unsigned i = 0; i < used; i++)
    if (!compare_of(words + 4 + 4 * i, &compares[i])) return false;
  const int call = seccomp_syscall_resolve_name(words[3]);
  if (call == __NR_SCMP_ERROR || action == fallback) return true;
  const int result = seccomp_rule_add_array(filter, action, call, used, compares);
  return result == 0 || wrong(strerror(-result), words[3]);
}

static bool add_arch(scmp_filter_ctx filter, const char *name) {
  const uint32_t arch = seccomp_arch_resolve_name(name);
  if (arch == 0) return wrong("no such architecture", name);
  const int result = seccomp_arch_add(filter, arch);
  return result == 0 || result == -EEXIST || wrong(strerror(-result), name);
}

static size_t split(char *line, char **words) {
  size_t count = 0;
  char *rest = line;
  for (char *word; (word = strsep(&rest, " \n")) != NULL;) {
    if (*word == 0) continue;
    if (count == WORDS_LIMIT) return WORDS_LIMIT + 1;
    words[count++] = word;
  }
  return count;
}

struct profile {
  scmp_filter_ctx filter;
  uint32_t fallback;
  bool ended;
};

static bool begin(struct profile *p, char *const *words, size_t count) {
  if (count != 3 || strcmp(words[0], "default") != 0) return wrong("the first line must be the default", words[0]);
  if (!action_of(words[1], words[2], &p->fallback)) return false;
  p->filter = seccomp_init(p->fallback);
  if (p->filter == NULL) return wrong("libseccomp refuses it", "default");
  // A binary tree: a call costs about nine comparisons and not three hundred.
  const int result = seccomp_attr_set(p->filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  return result == 0 || wrong(strerror(-result), "optimize");
}

static bool take_line(struct profile *p, char *line) {
  char *words[WORDS_LIMIT];
  const size_t count = split(line, words);
  if (count == 0) return true;
  if (count > WORDS_LIMIT) return wrong("too many words", words[0]);
  if (p->ended) return wrong("after the end", words[0]);
  if (p->filter == NULL) return begin(p, words, count);
  if (strcmp(words[0], "rule") == 0) return add_rule(p->filter, p->fallback, words, count);
  if (strcmp(words[0], "arch") == 0 && count == 2) return add_arch(p->filter, words[1]);
  p->ended = strcmp(words[0], "end") == 0 && count == 1;
  return p->ended || wrong("not understood", words[0]);
}

static bool compile(struct profile *p) {
  char *line = NULL;
  size_t capacity = 0;
  bool good = true;
  while (good && getline(&line, &capacity, stdin) > 0) {
    line_number++;
    good = take_line(p, line);
  }
  free(line);
  if (!good) return false;
  if (!p->ended) return wrong("the profile is cut", "end");
  const int result = seccomp_export_bpf(p->filter, STDOUT_FILENO);
  return result == 0 || wrong(strerror(-result), "write BPF");
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--version") == 0) return puts(VERSION) < 0;
  struct profile p = {0};
  const bool good = compile(&p);
  if (p.filter != NULL) seccomp_release(p.filter);
  return good ? 0 : 1;
}
