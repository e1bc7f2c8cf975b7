// What berth-decompress ends with; berth-shim unpack passes it on, and images/layers/unpack.ts has the words.
#pragma once

enum {
  DECOMPRESS_FAILED = 1,   // the machine's fault
  DECOMPRESS_LARGE = 2,    // more came out than the limit
  DECOMPRESS_GONE = 3,     // who reads the output has gone
  DECOMPRESS_CUT = 10,     // the rest are the stream's: it ends in the middle
  DECOMPRESS_INVALID = 11,
  DECOMPRESS_CHECKSUM = 12,
  DECOMPRESS_BEHIND = 13,  // what follows the stream is not one
  DECOMPRESS_WINDOW = 14,  // needs more memory than a layer may
  DECOMPRESS_DICTIONARY = 15,
  DECOMPRESS_KILLED = 128,  // and the signal: the child was killed
};
