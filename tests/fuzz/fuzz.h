/*
 * fuzz.h - what the libFuzzer targets share.
 *
 * A target gives FUZZ_SEEDS() an array of texts: now and then a run starts over from one of them, as
 * it is or changed, so that there are no files to carry around.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#define must(holds) must_at((holds), #holds, __FILE__, __LINE__)

static inline void must_at(bool holds, const char *what, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: must hold: %s\n", file, line, what);
	abort();
}

static inline size_t fuzz_mutate(const char *const *seeds, size_t count, uint8_t *data, size_t size,
				 size_t max_size, unsigned seed)
{
	if (size < 2 || seed % 64 == 0) {
		const char *text = seeds[seed / 64 % count];

		size = AR_MIN(strlen(text), max_size);
		memcpy(data, text, size);
		if (seed / 64 % 5 == 0)
			return size;
	}
	return LLVMFuzzerMutate(data, size, max_size);
}

#define FUZZ_SEEDS(seeds)                                                                          \
	size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed) \
	{                                                                                          \
		return fuzz_mutate(seeds, AR_COUNT(seeds), data, size, max_size, seed);            \
	}

#endif
