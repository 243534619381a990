/*
 * error.c - the generic codes, and stacks of errors.
 *
 * A stack owns one pool that holds every byte of it; a new stack is built before the old one ends,
 * so that a parameter may come from the error it replaces. A stack that grows without end is a bug
 * of a loop: past DEPTH_MAX it starts again. Fields past FIELDS_MAX are dropped, because a stranger
 * decides how many there are.
 */
#include <pthread.h>

#include "base/base_int.h"

#define DEPTH_MAX  64
#define FIELDS_MAX 64

const struct ar_err_def AR_E_MALFORMED[1] = { { "malformed", 400 } };
const struct ar_err_def AR_E_UNAUTHORIZED[1] = { { "unauthorized", 401 } };
const struct ar_err_def AR_E_FORBIDDEN[1] = { { "forbidden", 403 } };
const struct ar_err_def AR_E_NOT_FOUND[1] = { { "not-found", 404 } };
const struct ar_err_def AR_E_METHOD[1] = { { "method-not-allowed", 405 } };
const struct ar_err_def AR_E_CONFLICT[1] = { { "conflict", 409 } };
const struct ar_err_def AR_E_PRECONDITION[1] = { { "precondition-failed", 412 } };
const struct ar_err_def AR_E_TOO_LARGE[1] = { { "too-large", 413 } };
const struct ar_err_def AR_E_MEDIA_TYPE[1] = { { "unsupported-media-type", 415 } };
const struct ar_err_def AR_E_RANGE[1] = { { "range-not-satisfiable", 416 } };
const struct ar_err_def AR_E_INVALID[1] = { { "invalid", 422 } };
const struct ar_err_def AR_E_TOO_MANY[1] = { { "too-many-requests", 429 } };
const struct ar_err_def AR_E_INTERNAL[1] = { { "internal", 500 } };
const struct ar_err_def AR_E_UNAVAILABLE[1] = { { "unavailable", 503 } };
const struct ar_err_def AR_E_DEADLINE[1] = { { "deadline", 504 } };
const struct ar_err_def AR_E_CANCELLED[1] = { { "cancelled", 499 } };

struct ar_errstack {
	struct ar_pool *pool; /* NULL while there is no error */
	struct ar_err *top;
	int depth, fields; /* fields: of the top */
};

static __thread struct ar_errstack own; /* until a fiber brings its own */
static __thread struct ar_errstack *current;
static pthread_key_t own_key;
static pthread_once_t own_once = PTHREAD_ONCE_INIT;

static void stack_clear(struct ar_errstack *stack)
{
	ar_pool_free(stack->pool);
	*stack = (struct ar_errstack){ 0 };
}

static void own_end(void *stack)
{
	stack_clear(stack);
}

static void own_start(void)
{
	if (pthread_key_create(&own_key, own_end) != 0)
		ar_die("no thread keys left");
}

static struct ar_errstack *stack_current(void)
{
	return current != NULL ? current : &own;
}

/* Puts an empty error on top: of the stack as it is, or of a new one. The pool that the new one
 * replaces is returned for the caller to free when the parameters are copied. */
static struct ar_pool *stack_push(const char *file, int line, bool over,
				  const struct ar_err_def *def)
{
	struct ar_errstack *stack = stack_current();
	struct ar_pool *old = NULL;
	struct ar_err *err;

	if (stack == &own && stack->pool == NULL) {
		pthread_once(&own_once, own_start);
		pthread_setspecific(own_key, &own); /* so that own_end runs on this thread */
	}
	if (!over || stack->top == NULL || stack->depth >= DEPTH_MAX) {
		old = stack->pool;
		*stack = (struct ar_errstack){ .pool = ar_pool_new() };
	}
	err = ar_new(stack->pool, struct ar_err);
	*err = (struct ar_err){ .def = def, .file = file, .line = line, .below = stack->top };
	stack->top = err;
	stack->depth++;
	stack->fields = 0;
	return old;
}

static struct ar_err_param *params_copy(struct ar_pool *pool, va_list ap)
{
	struct ar_err_param *first = NULL, **last = &first;
	const char *key, *value;

	while ((key = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		*last = ar_new(pool, struct ar_err_param);
		(*last)->key = ar_strz(pool, ar_str(key));
		(*last)->value = ar_strz(pool, ar_str(value));
		last = &(*last)->next;
	}
	return first;
}

int ar_fail_at(const char *file, int line, bool over, const struct ar_err_def *def, ...)
{
	struct ar_pool *old = stack_push(file, line, over, def);
	struct ar_errstack *stack = stack_current();
	va_list ap;

	va_start(ap, def);
	stack->top->params = params_copy(stack->pool, ap);
	va_end(ap);
	ar_pool_free(old);
	return -1;
}

int ar_fail_why_at(const char *file, int line, const struct ar_err_def *def, const char *fmt, ...)
{
	struct ar_pool *old = stack_push(file, line, false, def);
	struct ar_errstack *stack = stack_current();
	va_list ap;

	va_start(ap, fmt);
	stack->top->why = ar_vprintf(stack->pool, fmt, ap);
	va_end(ap);
	ar_pool_free(old);
	return -1;
}

static void field_add(struct ar_errstack *stack, const char *path, const char *code, va_list ap)
{
	struct ar_err_field *field, **last;

	if (stack->fields >= FIELDS_MAX)
		return;
	field = ar_new(stack->pool, struct ar_err_field);
	field->path = ar_strz(stack->pool, ar_str(path));
	field->code = ar_strz(stack->pool, ar_str(code));
	field->params = params_copy(stack->pool, ap);
	for (last = &stack->top->fields; *last != NULL; last = &(*last)->next)
		;
	*last = field;
	stack->fields++;
}

int ar_fail_field_at(const char *file, int line, const struct ar_err_def *def, const char *path,
		     const char *code, ...)
{
	struct ar_errstack *stack = stack_current();
	struct ar_pool *old = NULL;
	va_list ap;

	if (stack->top == NULL || stack->top->def != def)
		old = stack_push(file, line, false, def);
	va_start(ap, code);
	field_add(stack, path, code, ap);
	va_end(ap);
	ar_pool_free(old);
	return -1;
}

int ar_fail_field_over_at(const char *file, int line, const char *path, const char *code, ...)
{
	struct ar_pool *old = stack_push(file, line, true, AR_E_INVALID);
	va_list ap;

	va_start(ap, code);
	field_add(stack_current(), path, code, ap);
	va_end(ap);
	ar_pool_free(old);
	return -1;
}

const struct ar_err *ar_err(void)
{
	return stack_current()->top;
}

bool ar_err_is(const struct ar_err_def *def)
{
	for (const struct ar_err *err = ar_err(); err != NULL; err = err->below) {
		if (err->def == def)
			return true;
	}
	return false;
}

void ar_err_clear(void)
{
	stack_clear(stack_current());
}

const char *ar_err_param(const struct ar_err *err, const char *key)
{
	if (err == NULL)
		return NULL;
	for (const struct ar_err_param *p = err->params; p != NULL; p = p->next) {
		if (strcmp(p->key, key) == 0)
			return p->value;
	}
	return NULL;
}

struct ar_errstack *ar_errstack_new(void)
{
	return ar_heap_new(struct ar_errstack);
}

void ar_errstack_free(struct ar_errstack *stack)
{
	if (stack == NULL)
		return;
	if (current == stack)
		current = NULL;
	stack_clear(stack);
	ar_heap_free(stack);
}

struct ar_errstack *ar_errstack_use(struct ar_errstack *stack)
{
	struct ar_errstack *before = stack_current();

	current = stack;
	return before;
}

void ar_errstack_move(struct ar_errstack *dst, struct ar_errstack *src)
{
	dst = dst != NULL ? dst : stack_current();
	src = src != NULL ? src : stack_current();
	if (dst == src)
		return;
	/* every byte is in the pool, which belongs to no thread: handing it over is the deep copy */
	ar_pool_free(dst->pool);
	*dst = *src;
	*src = (struct ar_errstack){ 0 };
}
