// One run of the fuzzer over what the confined child of berth-decompress does, in this process: the first two bytes say in
// which pieces the rest of the input comes, and whether it is good, and the output if it is, must be those of the input read
// at once, and for zstd those of libzstd's own way, which has a ring of its own.
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

#define FIRST_SUM 0xcbf29ce484222325u

static uint64_t sum_of(uint64_t sum, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) sum = (sum ^ bytes[i]) * 0x100000001b3u;
  return sum;
}

// The pipe takes as much as it likes, and what it has taken is all that counts.
static ssize_t fuzz_write(int fd, const void *from, size_t length) {
  const size_t most = fuzzed.piece == 0 ? length : 1 + fuzzed.written % 4096, count = length < most ? length : most;
  if (fd != STDOUT_FILENO) abort();
  if (fuzzed.written + count > OUTPUT_LIMIT) {
    errno = EPIPE;
    return -1;
  }
  fuzzed.sum = sum_of(fuzzed.sum, from, count);
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
  fuzzed.sum = FIRST_SUM, fuzzed.written = 0, fuzzed.context = NULL;
  const int jumped = setjmp(fuzzed.end);
  const int status = jumped == 0 ? decompress() : jumped - 1;
  ZSTD_freeDCtx(fuzzed.context);
  free(ring);  // one as small as it may be finds what is written behind it
  ring = NULL;
  if (status < 0 || status >= DECOMPRESS_KILLED) abort();
  return (struct outcome){status, fuzzed.sum, fuzzed.written};
}

// Each frame in a context of its own, which has no ring of a frame before, and from the first bytes on one at a time, so
// that none is decompressed at once where its content has room. It takes a frame that has not what its header says where an
// empty block ends it.
static struct outcome ask_libzstd(const uint8_t *bytes, size_t length) {
  static uint8_t content[ZSTD_BLOCKSIZE_MAX];
  struct outcome found = {0, FIRST_SUM, 0};
  for (size_t at = 0; at < length && found.status == 0;) {
    ZSTD_DCtx *context = ZSTD_createDCtx();
    size_t left = ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    ZSTD_outBuffer out;
    const size_t begin = at;
    const uint64_t told = ZSTD_getFrameContentSize(bytes + at, length - at), before = found.written;
    do {
      const size_t most = at - begin < ZSTD_FRAMEHEADERSIZE_MAX && at < length ? 1 : length - at;
      ZSTD_inBuffer in = {.src = bytes + at, .size = most};
      out = (ZSTD_outBuffer){.dst = content, .size = sizeof content};
      left = ZSTD_decompressStream(context, &out, &in);
      found.sum = sum_of(found.sum, content, out.pos);
      found.written += out.pos;
      at += in.pos;
    } while (left > 0 && !ZSTD_isError(left) && found.written <= OUTPUT_LIMIT && (at < length || out.pos == out.size));
    const bool whole = told >= ZSTD_CONTENTSIZE_ERROR || told == found.written - before;
    found.status = left == 0 && whole && found.written <= OUTPUT_LIMIT ? 0 : DECOMPRESS_INVALID;
    ZSTD_freeDCtx(context);
  }
  return found;
}

static bool is_zstd(const uint8_t *bytes, size_t length) {
  uint32_t magic = 0;
  if (length >= 4) memcpy(&magic, bytes, 4);
  return magic == ZSTD_MAGICNUMBER || (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  const size_t piece = 1u + data[0] + (data[1] > 127 ? 256u * (data[1] - 127u) : 0);
  const struct outcome whole = run_once(data + 2, size - 2, 0), parts = run_once(data + 2, size - 2, piece);
  // What is wrong with a broken stream may be told differently; of a good one each byte is the same.
  if ((whole.status == 0) != (parts.status == 0)) abort();
  if (whole.status == 0 && parts.status == 0 && (whole.sum != parts.sum || whole.written != parts.written)) abort();
  if (!is_zstd(data + 2, size - 2)) return 0;
  const struct outcome own = ask_libzstd(data + 2, size - 2);
  if (whole.status == 0 && (own.status != 0 || whole.sum != own.sum || whole.written != own.written)) abort();
  // libzstd takes frames of before zstd 1.0 as well (RFC 8878 has them not).
  if (own.status == 0 && whole.status != 0 && whole.status != DECOMPRESS_BEHIND) abort();
  return 0;
}
