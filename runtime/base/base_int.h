/*
 * base_int.h - what the files of this room share with each other and with nobody else.
 */
#ifndef AR_BASE_INT_H
#define AR_BASE_INT_H

#include "base/base.h"

/* Rises with every ar_seam_set(), so that state kept per thread starts again with the new seam. */
unsigned ar_seam_generation(void);
/* Ends the process: memory or the kernel's random numbers are not to be had. */
__attribute__((noreturn, cold)) void ar_die(const char *what);
char *ar_vprintf(struct ar_pool *pool, const char *fmt, va_list ap) AR_PRINTF(2, 0);
/* Length of the well-formed UTF-8 sequence at the front of n > 0 bytes, or 0. */
size_t ar_utf8_step(const char *p, size_t n);
void ar_random_kernel(void *buf, size_t n); /* past the seam */
uint64_t ar_siphash(const uint64_t key[2], const void *p, size_t n);
void ar_siphash128(const uint64_t key[2], const void *p, size_t n, unsigned char out[16]);

#endif
