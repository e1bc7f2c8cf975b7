// What a fuzzer (libFuzzer, or test/fuzz.c) calls with each input.
#pragma once
#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
