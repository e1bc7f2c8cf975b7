// One run of the fuzzer over what the confined child of berth-decompress does, in this process: the first two bytes say in
// which pieces the rest of the input comes, and whether it is good, and the output if it is, must be those of the input read at once.
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include "fuzz.h"

#define OUTPUT_LIMIT (8u << 20)

static struct {
  const uint8_t *bytes;
  size_t length, at, piece;
  uint64_t sum, written;
  ZSTD_DCtx *context;
  jmp_buf end;
} fuzzed;

static ssize_t fuzz_read(int fd, void *to, size_t most) {
  const size_t left = fuzzed.length - fuzzed.at, piece = fuzzed.piece == 0 || fuzzed.piece > most ? most : fuzzed.piece;
  const size_t count = left < piece ? left : piece;
  if (fd != STDIN_FILENO || most == 0) abort();
  if (count > 0) memcpy(to, fuzzed.bytes + fuzzed.at, count);
  fuzzed.at += count;
  return (ssize_t)count;
}

// The pipe takes as much as it likes, and what it has taken is all that counts.
static ssize_t fuzz_write(int fd, const void *from, size_t length) {
  const size_t most = fuzzed.piece == 0 ? length : 1 + fuzzed.written % 4096, count = length < most ? length : most;
  if (fd != STDOUT_FILENO) abort();
  if (fuzzed.written + count > OUTPUT_LIMIT) {
    errno = EPIPE;
    return -1;
  }
  for (size_t i = 0; i < count; i++) fuzzed.sum = (fuzzed.sum ^ ((const uint8_t *)from)[i]) * 0x100000001b3u;
  fuzzed.written += count;
  return (ssize_t)count;
}

// The child ends without giving anything back.
static ZSTD_DCtx *fuzz_context(void) { return fuzzed.context = ZSTD_createDCtx(); }

static _Noreturn void fuzz_exit(int status) { longjmp(fuzzed.end, status + 1); }

#define main berth_decompress
#define read fuzz_read
#define write fuzz_write
#define _exit fuzz_exit
#define ZSTD_createDCtx fuzz_context
#include "../tools/berth-decompress.c"
#undef main
#undef read
#undef write
#undef _exit
#undef ZSTD_createDCtx

struct outcome {
  int status;
  uint64_t sum, written;
};

static struct outcome run_once(const uint8_t *bytes, size_t length, size_t piece) {
  memset(space, 0, sizeof space);
  have = taken = ring_size = 0;
  fuzzed.bytes = bytes, fuzzed.length = length, fuzzed.at = 0, fuzzed.piece = piece;
  fuzzed.sum = 0xcbf29ce484222325u, fuzzed.written = 0, fuzzed.context = NULL;
  const int jumped = setjmp(fuzzed.end);
  const int status = jumped == 0 ? decompress() : jumped - 1;
  ZSTD_freeDCtx(fuzzed.context);
  free(ring);  // one as small as it may be finds what is written behind it
  ring = NULL;
  if (status < 0 || status >= DECOMPRESS_KILLED) abort();
  return (struct outcome){status, fuzzed.sum, fuzzed.written};
}

// libzstd compares the content with the size that a frame's header says, but for one that comes in parts and ends with an
// empty block. Nothing can pass for another layer by that: the content's hash is compared as well.
static bool is_short(const uint8_t *bytes, size_t length, const struct outcome *parts) {
  const unsigned long long told = ZSTD_findDecompressedSize(bytes, length);
  return parts->status == 0 && told != ZSTD_CONTENTSIZE_UNKNOWN && told != ZSTD_CONTENTSIZE_ERROR && told > parts->written;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = 1u + data[0] + (data[1] > 127 ? 256u * (data[1] - 127u) : 0);
  const struct outcome whole = run_once(data + 2, size - 2, 0), parts = run_once(data + 2, size - 2, piece);
  // What is wrong with a broken stream may be told differently; of a good one each byte is the same.
  if ((whole.status == 0) != (parts.status == 0) && !is_short(data + 2, size - 2, &parts)) abort();
  if (whole.status == 0 && parts.status == 0 && (whole.sum != parts.sum || whole.written != parts.written)) abort();
  return 0;
}
