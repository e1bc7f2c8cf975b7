// berth-decompress LIMIT <compressed >pipe 3>result
//
// Reads gzip (of any number of members), zstd (of any number of frames) or a plain stream, told by its first bytes, and
// gives what was compressed. A child without any system call but read, write and memory decompresses: it is all that the
// bytes reach. This process beside it counts and hashes what comes out, so that no flaw in a decompressor or in what reads
// the output can make a layer pass for another; tee(2) hands the pages on as they are, so what was hashed is what is read.
//
// Writes to descriptor 3: the SHA-256 of the output in hex. Exit: 0; an enum status; 64 for a wrong command line.
// It is a program of its own, since Debian has libisal as a shared library alone, which berth-shim cannot load.
#define OPENSSL_SUPPRESS_DEPRECATED  // EVP takes a millisecond to begin
#include <errno.h>
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/sha.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#define ZSTD_STATIC_LINKING_ONLY  // the block at a time: libzstd is linked in, so its way in stays as it is
#define ZSTD_DISABLE_DEPRECATE_WARNINGS
#include <zstd.h>
#include <zstd_errors.h>

#include "../decompress.h"

#define PIPE_SIZE (1 << 20)
#define CHUNK (256u << 10)
#define BEFORE 16u  // igzip reads ahead, and steps back at the end of a member
#define WINDOW_LOG_MAX 27  // what zstd itself takes without being asked for more: 128 MiB
#define MEMORY ((rlim_t)512 << 20)

static uint8_t space[BEFORE + CHUNK], output[CHUNK];
static uint8_t *const input = space + BEFORE;
static size_t have;  // bytes in `input`; 0 at the end

// Adds to what `input` has; 0 at the end.
static size_t more(void) {
  ssize_t count;
  do count = read(STDIN_FILENO, input + have, CHUNK - have);
  while (count < 0 && errno == EINTR);
  // The daemon's end of the socket was closed with bytes in it: a transfer that broke.
  if (count < 0 && errno != ECONNRESET) _exit(DECOMPRESS_FAILED);
  have += count < 0 ? 0 : (size_t)count;
  return count < 0 ? 0 : (size_t)count;
}

static void fill(void) {
  memmove(space, space + have, BEFORE);
  have = 0;
  (void)more();
}

static void put(const uint8_t *bytes, size_t length) {
  while (length > 0) {
    const ssize_t count = write(STDOUT_FILENO, bytes, length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) _exit(errno == EPIPE ? DECOMPRESS_GONE : DECOMPRESS_FAILED);
    bytes += count;
    length -= (size_t)count;
  }
}

static int pass(void) {
  for (; have > 0; fill()) put(input, have);
  return 0;
}

// Another member, or zeros to the end, as tape drives and gzip itself have them.
static bool is_padding(const uint8_t *bytes, size_t length) {
  while (length > 0 && *bytes == 0) bytes++, length--;
  return length == 0;
}

static int skip_padding(const uint8_t *bytes, size_t length) {
  while (is_padding(bytes, length)) {
    fill();
    if (have == 0) return 0;
    bytes = input;
    length = have;
  }
  return DECOMPRESS_BEHIND;
}

static int gunzip(void) {
  static struct inflate_state state;
  struct isal_gzip_header header;
  isal_inflate_init(&state);
  for (;;) {
    // A member. isal_inflate forgets the flags of a header that comes in two parts, so it does not read it.
    bool begun = false;
    isal_gzip_header_init(&header);
    state.crc_flag = ISAL_GZIP_NO_HDR_VER;
    state.next_in = input;
    state.avail_in = (uint32_t)have;
    do {
      if (state.avail_in == 0) {
        fill();
        if (have == 0) return DECOMPRESS_CUT;
        state.next_in = input;
        state.avail_in = (uint32_t)have;
      }
      if (!begun) {
        const int result = isal_read_gzip_header(&state, &header);
        if (result < 0) return result == ISAL_INCORRECT_CHECKSUM ? DECOMPRESS_CHECKSUM : DECOMPRESS_INVALID;
        if (result == ISAL_END_INPUT) continue;
        begun = true;
      }
      do {
        state.next_out = output;
        state.avail_out = CHUNK;
        const int result = isal_inflate(&state);
        if (result < 0) return result == ISAL_INCORRECT_CHECKSUM ? DECOMPRESS_CHECKSUM : DECOMPRESS_INVALID;
        put(output, CHUNK - state.avail_out);
      } while (state.avail_out == 0 && state.block_state != ISAL_BLOCK_FINISH);
    } while (state.block_state != ISAL_BLOCK_FINISH);
    const size_t left = state.avail_in;
    memmove(input, state.next_in, left);
    have = left;
    if (left == 0) fill();
    if (have == 0) return 0;
    if (*input == 0) return skip_padding(input, have);
    if (*input != 0x1f) return DECOMPRESS_BEHIND;
    isal_inflate_reset(&state);
  }
}

// Of zstd, the first bytes of `input` that are still to be decompressed.
static size_t taken;

// Has so many bytes there, one behind the other; false when the stream ends before them.
static bool want(size_t count) {
  if (have - taken >= count) return true;
  memmove(input, input + taken, have - taken);
  have -= taken;
  taken = 0;
  while (have < count)
    if (more() == 0) return false;
  return true;
}

static int zstd_status(size_t error, bool begun) {
  switch (ZSTD_getErrorCode(error)) {
    case ZSTD_error_prefix_unknown: return begun ? DECOMPRESS_BEHIND : DECOMPRESS_INVALID;
    case ZSTD_error_checksum_wrong: return DECOMPRESS_CHECKSUM;
    case ZSTD_error_frameParameter_windowTooLarge: return DECOMPRESS_WINDOW;
    case ZSTD_error_dictionary_wrong: return DECOMPRESS_DICTIONARY;
    case ZSTD_error_memory_allocation: return DECOMPRESS_FAILED;
    default: return DECOMPRESS_INVALID;
  }
}

static int skip(uint64_t left) {
  while (left > 0) {
    if (!want(1)) return DECOMPRESS_CUT;
    const size_t part = left < have - taken ? (size_t)left : have - taken;
    taken += part;
    left -= part;
  }
  return 0;
}

// Where the blocks of a frame go, each behind the one before, for they refer to what is up to a window back. They are
// given from here: ZSTD_decompressStream has such a ring as well, and copies each block out of it.
static uint8_t *ring;
static size_t ring_size;

static int unzstd_frame(ZSTD_DCtx *context, const ZSTD_frameHeader *header) {
  const uint64_t window = header->windowSize < 1024 ? 1024 : header->windowSize;  // the least that zstd itself takes
  if (window > (uint64_t)1 << WINDOW_LOG_MAX) return DECOMPRESS_WINDOW;
  const size_t size = ZSTD_decodingBufferSize_min(window, header->frameContentSize);
  if (ZSTD_isError(size) || ZSTD_isError(ZSTD_decompressBegin(context))) return DECOMPRESS_FAILED;
  if (ring == NULL || size > ring_size) {
    free(ring);
    ring = malloc(size + 1);
    if (ring == NULL) return DECOMPRESS_FAILED;
    ring_size = size;
  }
  const bool wraps = header->frameContentSize > size;  // also where it is not known
  size_t end = 0;
  uint64_t given = 0;
  for (size_t length; (length = ZSTD_nextSrcSizeToDecompress(context)) > 0; taken += length) {
    if (!want(length)) return DECOMPRESS_CUT;
    if (wraps && size - end < header->blockSizeMax) end = 0;
    const size_t count = ZSTD_decompressContinue(context, ring + end, size - end, input + taken, length);
    if (ZSTD_isError(count)) return zstd_status(count, true);
    put(ring + end, count);
    end += count;
    given += count;
  }
  // libzstd compares them too, but not behind an empty last block.
  return header->frameContentSize == ZSTD_CONTENTSIZE_UNKNOWN || given == header->frameContentSize ? 0 : DECOMPRESS_INVALID;
}

static int unzstd(void) {
  ZSTD_DCtx *context = ZSTD_createDCtx();
  if (context == NULL) return DECOMPRESS_FAILED;
  for (bool begun = false; want(1); begun = true) {
    ZSTD_frameHeader header;
    for (size_t missing; (missing = ZSTD_getFrameHeader(&header, input + taken, have - taken)) > 0;) {
      if (ZSTD_isError(missing)) return zstd_status(missing, begun);
      if (!want(missing)) return DECOMPRESS_CUT;
    }
    const bool skipped = header.frameType == ZSTD_skippableFrame;
    const int status = skipped ? skip(ZSTD_SKIPPABLEHEADERSIZE + header.frameContentSize) : unzstd_frame(context, &header);
    if (status != 0) return status;
  }
  return 0;
}

static int decompress(void) {
  // The first four bytes tell.
  while (have < 4)
    if (more() == 0) break;
  if (have >= 4 && input[0] == 0x1f && input[1] == 0x8b) return gunzip();
  uint32_t magic = 0;
  if (have >= 4) memcpy(&magic, input, 4);
  // A frame, or a skippable one, as some tools begin with.
  if (magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START) return unzstd();
  return pass();
}

static bool confine(uint64_t limit) {
  static const int calls[] = {SCMP_SYS(read),   SCMP_SYS(write),   SCMP_SYS(munmap),       SCMP_SYS(mremap),
                              SCMP_SYS(madvise), SCMP_SYS(brk),     SCMP_SYS(rt_sigreturn), SCMP_SYS(exit_group),
                              SCMP_SYS(restart_syscall)};
  const struct rlimit memory = {MEMORY, MEMORY}, core = {0, 0}, cpu = {60 + (limit >> 20), 60 + (limit >> 20)};
  if (setrlimit(RLIMIT_AS, &memory) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 || setrlimit(RLIMIT_CPU, &cpu) < 0) return false;
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
  if (filter == NULL) return false;
  bool good = seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 1) == 0;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    good = good && seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0) == 0;
  const struct scmp_arg_cmp data = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
  good = good && seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &data) == 0;
  return good && seccomp_load(filter) == 0;
}

static int child(int out, uint64_t limit) {
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || dup2(out, STDOUT_FILENO) < 0) return DECOMPRESS_FAILED;
  if (close_range(STDERR_FILENO, ~0u, 0) < 0 || !confine(limit)) return DECOMPRESS_FAILED;
  return decompress();
}

static int pass_on(int from, uint64_t limit, SHA256_CTX *hash) {
  for (uint64_t total = 0;;) {
    ssize_t shared;
    do shared = tee(from, STDOUT_FILENO, PIPE_SIZE, 0);
    while (shared < 0 && errno == EINTR);
    if (shared < 0) return errno == EPIPE ? DECOMPRESS_GONE : DECOMPRESS_FAILED;
    if (shared == 0) return 0;
    total += (uint64_t)shared;
    if (total > limit) return DECOMPRESS_LARGE;
    while (shared > 0) {
      const ssize_t count = read(from, output, (size_t)shared < CHUNK ? (size_t)shared : CHUNK);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return DECOMPRESS_FAILED;
      SHA256_Update(hash, output, (size_t)count);
      shared -= count;
    }
  }
}

static int end_of(pid_t pid) {
  int status;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return DECOMPRESS_FAILED;
  return WIFEXITED(status) ? WEXITSTATUS(status) : DECOMPRESS_KILLED + WTERMSIG(status);
}

static bool tell(SHA256_CTX *hash) {
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256_Final(digest, hash);
  for (size_t i = 0; i < sizeof digest; i++)
    if (dprintf(3, "%02x", digest[i]) != 2) return false;
  return true;
}

int main(int argc, char **argv) {
  char *end = NULL;
  const uint64_t limit = argc == 2 ? strtoull(argv[1], &end, 10) : 0;
  int plain[2];
  if (end == NULL || *end != 0 || limit == 0) return 64;
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) return DECOMPRESS_FAILED;
  (void)signal(SIGPIPE, SIG_IGN);
  if (pipe2(plain, O_CLOEXEC) < 0) return DECOMPRESS_FAILED;
  // Where the limit of the user's pipes is reached, small ones do as well.
  (void)fcntl(plain[1], F_SETPIPE_SZ, PIPE_SIZE);
  (void)fcntl(STDOUT_FILENO, F_SETPIPE_SZ, PIPE_SIZE);
  const pid_t pid = fork();
  if (pid < 0) return DECOMPRESS_FAILED;
  if (pid == 0) _exit(child(plain[1], limit));
  close(plain[1]);
  close(STDIN_FILENO);  // the sender sees the child's end
  SHA256_CTX hash;
  SHA256_Init(&hash);
  const int passed = pass_on(plain[0], limit, &hash);
  if (passed != 0) kill(pid, SIGKILL);
  const int ended = end_of(pid);
  if (passed != 0 || ended != 0) return passed != 0 ? passed : ended;
  return tell(&hash) ? 0 : DECOMPRESS_FAILED;
}
