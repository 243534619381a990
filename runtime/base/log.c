/*
 * log.c - one line, one object, one write().
 *
 * Whatever text comes in, the line stays one valid JSON object: control characters are escaped,
 * bytes that are not UTF-8 become U+FFFD, long values are cut. A log that cannot be written is
 * no reason to stop: the line is lost.
 */
#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/base_int.h"

#define HEAD_MAX   512        /* bytes of a value that every line has, before escapes */
#define VALUE_MAX  4096       /* of any other */
#define LINE_BYTES (64 << 10) /* values past it are left out, never half written */

static atomic_int lowest = AR_INFO;
static atomic_int out_fd = STDERR_FILENO;
static __thread struct ar_log_context *context;
static const char *const level_names[] = { "error", "warn", "info", "debug" };

void ar_log_level(enum ar_level level)
{
	atomic_store(&lowest, level);
}

void ar_log_fd(int fd)
{
	atomic_store(&out_fd, fd);
}

struct ar_log_context *ar_log_context_use(struct ar_log_context *ctx)
{
	struct ar_log_context *before = context;

	context = ctx;
	return before;
}

static void put_string(struct ar_buf *line, struct ar_str s, size_t max)
{
	bool cut = s.n > max;
	size_t i = 0, len;

	s = ar_str_sub(s, 0, max);
	ar_buf_char(line, '"');
	while (i < s.n) {
		unsigned char c = s.p[i];

		len = ar_utf8_step(s.p + i, s.n - i);
		if (len == 0) {
			ar_buf_z(line, "\xEF\xBF\xBD");
			i++;
			continue;
		}
		if (c == '"' || c == '\\')
			ar_buf_printf(line, "\\%c", c);
		else if (c == '\n')
			ar_buf_z(line, "\\n");
		else if (c < 0x20 || c == 0x7F)
			ar_buf_printf(line, "\\u%04x", c);
		else
			ar_buf_add(line, s.p + i, len);
		i += len;
	}
	ar_buf_z(line, cut ? "...\"" : "\"");
}

/* "key":"value", with a comma before it unless it is the first of its object. When it does not fit
 * any more, the line stays as it was. */
static void put_pair_max(struct ar_buf *line, const char *key, struct ar_str value, size_t max)
{
	size_t before = line->n;

	if (line->over) /* what stands around the pairs did not fit: the caller takes it back */
		return;
	if (line->p[before - 1] != '{')
		ar_buf_char(line, ',');
	put_string(line, ar_str(key), HEAD_MAX);
	ar_buf_char(line, ':');
	put_string(line, value, max);
	if (line->over) {
		line->n = before;
		line->over = false;
	}
}

static void put_pair(struct ar_buf *line, const char *key, struct ar_str value)
{
	put_pair_max(line, key, value, VALUE_MAX);
}

static void line_start(struct ar_buf *line, enum ar_level level, const char *service,
		       const char *message)
{
	static const struct ar_log_context none;
	const struct ar_log_context *ctx = context != NULL ? context : &none;
	char time[AR_TIME_MAX];

	ar_time_format(ar_now_ms(), time);
	ar_buf_init(line, LINE_BYTES);
	ar_buf_char(line, '{');
	put_pair_max(line, "timestamp", ar_str(time), HEAD_MAX);
	put_pair_max(line, "level", ar_str(level_names[level]), HEAD_MAX);
	put_pair_max(line, "service", ar_str(service), HEAD_MAX);
	put_pair_max(line, "traceId", ctx->trace_id, HEAD_MAX);
	put_pair_max(line, "userId", ctx->user_id, HEAD_MAX);
	put_pair_max(line, "tenant", ctx->tenant, HEAD_MAX);
	put_pair_max(line, "message", ar_str(message), HEAD_MAX);
	ar_buf_z(line, ",\"data\":{");
}

void ar_log_lines(struct ar_str lines)
{
	int saved = errno;
	ssize_t n;

	do {
		n = write(atomic_load(&out_fd), lines.p, lines.n);
	} while (n < 0 && errno == EINTR);
	errno = saved;
}

static void line_end(struct ar_buf *line, const char *closing)
{
	line->max += 16; /* the room for what closes was kept free of values */
	ar_buf_z(line, closing);
	ar_log_lines(ar_buf_view(line));
	ar_buf_done(line);
}

bool ar_log_wants(enum ar_level level)
{
	return (int)level <= atomic_load_explicit(&lowest, memory_order_relaxed);
}

void ar_log_at(enum ar_level level, const char *service, const char *message, ...)
{
	struct ar_errstack *mine, *before;
	struct ar_buf line;
	const char *key;
	va_list ap;

	if (!ar_log_wants(level))
		return;
	/* a line that is too long fails inside; the caller's errors are not to be touched */
	mine = ar_errstack_new();
	before = ar_errstack_use(mine);
	line_start(&line, level, service, message);
	va_start(ap, message);
	while ((key = va_arg(ap, const char *)) != NULL)
		put_pair(&line, key, ar_str(va_arg(ap, const char *)));
	va_end(ap);
	line_end(&line, "}}\n");
	ar_errstack_use(before);
	ar_errstack_free(mine);
}

static const char *file_short(const char *file)
{
	while (strncmp(file, "../", 3) == 0)
		file += 3;
	return file;
}

static void put_error(struct ar_buf *line, const struct ar_err *err)
{
	size_t before = line->n;

	ar_buf_z(line, line->p[before - 1] == '[' ? "{" : ",{");
	put_pair(line, "code", ar_str(err->def->slug));
	for (const struct ar_err_param *p = err->params; p != NULL; p = p->next)
		put_pair(line, p->key, ar_str(p->value));
	if (err->fields != NULL) {
		ar_buf_z(line, ",\"fields\":{");
		for (const struct ar_err_field *f = err->fields; f != NULL; f = f->next)
			put_pair(line, f->path, ar_str(f->code));
		ar_buf_char(line, '}');
	}
	if (err->why != NULL)
		put_pair(line, "why", ar_str(err->why));
	put_pair(line, "file", ar_str(file_short(err->file)));
	ar_buf_printf(line, ",\"line\":%d}", err->line);
	if (line->over) {
		line->n = before;
		line->over = false;
	}
}

void ar_log_err(enum ar_level level, const char *service, const char *message)
{
	const struct ar_err *err = ar_err();
	struct ar_errstack *mine, *before;
	struct ar_buf line;

	if (!ar_log_wants(level))
		return;
	mine = ar_errstack_new();
	before = ar_errstack_use(mine);
	line_start(&line, level, service, message);
	ar_buf_z(&line, "\"errors\":[");
	for (; err != NULL; err = err->below)
		put_error(&line, err);
	line_end(&line, "]}}\n");
	ar_errstack_use(before);
	ar_errstack_free(mine);
}
