/*
 * attr.h - attributes, small macros and the C headers that every header of this room needs.
 */
#ifndef AR_ATTR_H
#define AR_ATTR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Marks a function that may suspend the calling fiber: re-read shared state after it. */
#define AR_YIELDS
#define AR_PRINTF(fmt, args)            __attribute__((format(printf, fmt, args)))
#define AR_CLEANUP(fn)                  __attribute__((cleanup(fn)))
#define AR_UNUSED                       __attribute__((unused))
#define AR_COLD                         __attribute__((cold)) /* callers seldom get there */
#define AR_COUNT(array)                 (sizeof(array) / sizeof((array)[0]))
#define AR_MIN(a, b)                    ((a) < (b) ? (a) : (b))
#define AR_MAX(a, b)                    ((a) > (b) ? (a) : (b))
#define AR_CONTAINER(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
