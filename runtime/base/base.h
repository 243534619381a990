/*
 * base.h - what every room stands on: attributes, strings, pools, buffers, errors, log, time, ids.
 *
 * Including this one header gives the whole room. Nothing here waits, and nothing here knows
 * fibers, tenants or HTTP. Allocation never returns NULL (out of memory ends the process); sizes
 * that a user controls are bounded by the caller before they reach an allocator.
 */
#ifndef AR_BASE_H
#define AR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Marks a function that may suspend the calling fiber: re-read shared state after it. */
#define AR_YIELDS
#define AR_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define AR_CLEANUP(fn) __attribute__((cleanup(fn)))
#define AR_UNUSED __attribute__((unused))
#define AR_COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AR_MIN(a, b) ((a) < (b) ? (a) : (b))
#define AR_MAX(a, b) ((a) > (b) ? (a) : (b))
#define AR_CONTAINER(ptr, type, member) ((type *)((char *)(ptr) - offsetof(type, member)))

#include "base/str.h"
#include "base/pool.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/crypt.h"
#include "base/log.h"
#include "base/map.h"
#include "base/embed.h"

#endif
