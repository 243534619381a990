/*
 * log.h - one JSON object a line on standard error (or the file given), written with one write().
 *
 * Every line has timestamp, level, service, traceId, userId, tenant, message and data. Trace, user
 * and tenant come from the current log context, which the fiber room switches with the fiber.
 * Nothing secret goes in: callers pass names of things, never tokens, passwords or bodies.
 */
#ifndef AR_LOG_H
#define AR_LOG_H

#include "base/str.h"

enum ar_level { AR_ERROR, AR_WARN, AR_INFO, AR_DEBUG };

struct ar_log_context {
	struct ar_str trace_id, user_id, tenant; /* memory of whoever set the context */
	int64_t hops; /* events that led to what runs now, one from another (bus) */
};

void ar_log_level(enum ar_level lowest);
void ar_log_fd(int fd);                                                /* default 2 */
struct ar_log_context *ar_log_context_use(struct ar_log_context *ctx); /* returns the last one */

/* data: key, value pairs of const char *, ending with NULL. */
#define ar_error(service, message, ...)                                                            \
	ar_log_at(AR_ERROR, (service), (message), ##__VA_ARGS__, NULL)
#define ar_warn(service, message, ...) ar_log_at(AR_WARN, (service), (message), ##__VA_ARGS__, NULL)
#define ar_info(service, message, ...) ar_log_at(AR_INFO, (service), (message), ##__VA_ARGS__, NULL)
#define ar_debug(service, message, ...)                                                            \
	ar_log_at(AR_DEBUG, (service), (message), ##__VA_ARGS__, NULL)
void ar_log_at(enum ar_level level, const char *service, const char *message, ...)
	__attribute__((sentinel));
bool ar_log_wants(enum ar_level level); /* would a line of this level be written? */
/* Writes lines that are made already (each one JSON object and a newline) with one write(). For what
 * gathers many: the access log. */
void ar_log_lines(struct ar_str lines);
/* Writes the current error stack, whole, as one line. */
void ar_log_err(enum ar_level level, const char *service, const char *message);

#endif
