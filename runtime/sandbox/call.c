/*
 * call.c - one call as its caller's fiber sees it: checked, queued, its host calls made, its end.
 *
 * The fiber sleeps until the executor asks or ends. Host calls run right here, with a deadline no
 * later than the wall limit. When the fiber gives up, the call goes on without it: what it asks for
 * is refused, what it answers is dropped.
 */
#include "sandbox/sandbox_int.h"

#include <assert.h>
#include <stdio.h>

const struct ar_err_def AR_E_SANDBOX_ERROR[1] = { { "sandbox/error", 500 } };
const struct ar_err_def AR_E_SANDBOX_CPU[1] = { { "sandbox/cpu-limit", 500 } };
const struct ar_err_def AR_E_SANDBOX_MEMORY[1] = { { "sandbox/memory-limit", 500 } };
const struct ar_err_def AR_E_SANDBOX_WALL[1] = { { "sandbox/wall-limit", 504 } };
const struct ar_err_def AR_E_SANDBOX_RESULT[1] = { { "sandbox/result-too-large", 500 } };
const struct ar_err_def AR_E_SANDBOX_CALLS[1] = { { "sandbox/host-calls", 500 } };
const struct ar_err_def AR_E_SANDBOX_DEPTH[1] = { { "sandbox/depth", 508 } };
const struct ar_err_def AR_E_SANDBOX_HANDLER[1] = { { "sandbox/no-handler", 500 } };
const struct ar_err_def AR_E_SANDBOX_KILLED[1] = { { "sandbox/killed", 500 } };
const struct ar_err_def AR_E_SANDBOX_SYNTAX[1] = { { "sandbox/syntax", 422 } };
const struct ar_err_def AR_E_SANDBOX_BYTECODE[1] = { { "sandbox/bytecode", 422 } };
const struct ar_err_def AR_E_SANDBOX_BUSY[1] = { { "sandbox/busy", 429 } };
const struct ar_err_def AR_E_SANDBOX_FULL[1] = { { "sandbox/full", 503 } };
const struct ar_err_def AR_E_SANDBOX_LOST[1] = { { "sandbox/lost", 503 } };

/* ---- a call's life ---- */

void sb_frame_begin(struct ar_buf *buf, size_t max)
{
	if (buf->cap > WIRE_PACKET)
		ar_buf_done(buf);
	if (buf->cap == 0)
		ar_buf_init(buf, max);
	buf->max = max;
	buf->n = 0;
	buf->over = false;
	ar_buf_room(buf, sizeof(struct wire_header));
	buf->n = sizeof(struct wire_header);
}

void sb_call_unref(struct sb_call *call)
{
	if (--call->refs > 0)
		return;
	ar_buf_done(&call->args);
	ar_buf_done(&call->logs);
	ar_pool_free(call->host_pool);
	ar_heap_free(call);
}

void sb_call_end(struct sb_call *call, const struct ar_err_def *ended)
{
	call->exec = NULL;
	call->state = SB_ENDED;
	call->ended = ended;
	ar_cond_signal(&call->changed);
}

/* The fiber waits no longer. */
static void call_leave(struct sb_call *call)
{
	call->run = NULL;
	call->pool = NULL;
	switch (call->state) {
	case SB_QUEUED:
		sb_unqueue(call);
		sb_call_unref(call); /* the queue's */
		sb_tenant_drop(call->tenant);
		break;
	case SB_ASKING: {
		struct ar_buf *frame = &call->exec->loop->scratch;

		sb_frame_begin(frame, 64);
		sb_exec_send(call->exec, call, WIRE_CANCEL, frame);
		break;
	}
	case SB_SENT:
	case SB_ENDED:
		break;
	}
	sb_call_unref(call);
}

/* ---- limits ---- */

static int64_t within(int64_t v, int64_t otherwise, int64_t lowest, int64_t highest)
{
	if (v <= 0)
		return otherwise;
	return AR_MIN(AR_MAX(v, lowest), highest);
}

static void set_limits(struct ar_sandbox_limits *l, const struct ar_sandbox_limits *given)
{
	l->cpu_soft_ms = within(given->cpu_soft_ms, 100, 1, 30000);
	l->cpu_hard_ms = within(given->cpu_hard_ms, 1000, 10, 30000);
	l->cpu_soft_ms = AR_MIN(l->cpu_soft_ms, l->cpu_hard_ms);
	l->wall_ms = within(given->wall_ms, 30000, 10, 24 * 3600 * 1000);
	l->memory = (size_t)within((int64_t)given->memory, 32 << 20, 1 << 20, 256 << 20);
	l->output_max = (size_t)within((int64_t)given->output_max, 1 << 20, 1, 6 << 20);
	l->log_max = (size_t)within((int64_t)given->log_max, 64 << 10, 1, 1 << 20);
	l->host_calls = (int)within(given->host_calls, 1000, 1, 100000);
}

static int check_code(const struct ar_sandbox_code *code)
{
	assert(code->name.n > 0 && code->name.n <= 120);
	if (code->source.n > AR_SANDBOX_SOURCE_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "source");
	if (code->source.n > 0 && code->source.p[0] == '\x1b')
		return ar_fail(AR_E_SANDBOX_BYTECODE);
	return 0;
}

static int check_run(const struct ar_sandbox_run *run)
{
	assert(run->tenant.n > 0);
	if (run->depth > AR_SANDBOX_DEPTH_MAX) {
		char limit[16];

		snprintf(limit, sizeof(limit), "%d", AR_SANDBOX_DEPTH_MAX);
		return ar_fail(AR_E_SANDBOX_DEPTH, "limit", limit);
	}
	if (run->nmodules > AR_SANDBOX_MODULES_MAX)
		return ar_fail(AR_E_TOO_LARGE, "what", "modules");
	if (check_code(&run->code) != 0)
		return -1;
	for (size_t i = 0; i < run->nmodules; i++) {
		if (check_code(&run->modules[i]) != 0)
			return -1;
	}
	return 0;
}

/* ---- beginning ---- */

static int call_new(struct ar_pool *pool, const struct ar_sandbox_run *run, bool check,
		    struct sb_call **ret)
{
	struct sb_call *call = ar_heap_new(struct sb_call);

	call->refs = 1;
	call->run = run;
	call->pool = pool;
	call->check = check;
	set_limits(&call->limits, &run->limits);
	call->now_ms = run->now_ms != 0 ? run->now_ms : ar_now_ms();
	call->seed = run->seed;
	while (call->seed == 0)
		call->seed = ar_random_u64();
	ar_buf_init(&call->args, 2 * AR_SANDBOX_INPUT_MAX);
	if (sb_value_write(&call->args, run->input) != 0 ||
	    sb_value_write(&call->args, run->context) != 0) {
		sb_call_unref(call);
		return ar_fail(AR_E_TOO_LARGE, "what", "input");
	}
	*ret = call;
	return 0;
}

static int call_begin(struct sb_call *call)
{
	struct sb_loop *loop = sb_loop;
	struct sb_tenant *tenant;

	assert(loop != NULL); /* ar_sandbox_attach() */
	if (loop->ending)
		return ar_fail(AR_E_SANDBOX_FULL);
	tenant = sb_tenant_get(loop, call->run->tenant);
	if (tenant->queued >= sb_options.queue_max)
		return ar_fail(AR_E_SANDBOX_BUSY);
	call->tenant = tenant;
	call->id = ++loop->next_id;
	SB_COUNT(calls, 1);
	sb_share_called(tenant);
	call->refs++; /* the queue's, then the executor's */
	sb_enqueue(call);
	sb_pump(tenant);
	return 0;
}

static int fail_limit(const struct sb_call *call, const struct ar_err_def *def)
{
	char limit[32];
	const struct ar_sandbox_limits *l = &call->limits;
	long long v = def == AR_E_SANDBOX_CPU      ? l->cpu_soft_ms
		      : def == AR_E_SANDBOX_MEMORY ? (long long)(l->memory >> 20)
		      : def == AR_E_SANDBOX_WALL   ? l->wall_ms
		      : def == AR_E_SANDBOX_RESULT ? (long long)l->output_max
		      : def == AR_E_SANDBOX_CALLS  ? l->host_calls
						   : -1;

	if (v < 0)
		return ar_fail(def);
	snprintf(limit, sizeof(limit), "%lld", v);
	return ar_fail(def, "limit", limit);
}

/* ---- host calls ---- */

/* The error stack's memory ends before the answer does. */
static struct ar_str copy(struct ar_pool *pool, const char *z)
{
	return ar_str_dup(pool, ar_str(z));
}

static void add_params(struct ar_pool *pool, struct ar_json *to, const struct ar_err_param *p)
{
	for (; p != NULL; p = p->next)
		if (ar_json_get(to, p->key) == NULL)
			ar_json_set(to, copy(pool, p->key),
				    ar_json_str(pool, copy(pool, p->value)));
}

/* fields: {path: code}, and fieldParams: {path: {name: value}} where a code has some. */
static void add_fields(struct ar_pool *pool, struct ar_json *to, const struct ar_err_field *f)
{
	struct ar_json *fields = ar_json_new(pool, AR_OBJECT);
	struct ar_json *params = ar_json_new(pool, AR_OBJECT);

	for (; f != NULL; f = f->next) {
		struct ar_json *own = ar_json_new(pool, AR_OBJECT);

		add_params(pool, own, f->params);
		ar_json_set(fields, copy(pool, f->path), ar_json_str(pool, copy(pool, f->code)));
		if (own->count > 0)
			ar_json_set(params, copy(pool, f->path), own);
	}
	if (fields->count > 0)
		ar_json_set(to, AR_STR("fields"), fields);
	if (params->count > 0)
		ar_json_set(to, AR_STR("fieldParams"), params);
}

/* {code, status, message, fields, and the parameters}; what is for the log only stays here. */
static struct ar_json *error_value(struct ar_pool *pool, const struct ar_err *err)
{
	struct ar_json *v = ar_json_new(pool, AR_OBJECT);
	struct ar_str message = ar_str(err->def->slug);

	for (const struct ar_err_param *p = err->params; p != NULL; p = p->next)
		message = ar_strf(pool, "%.*s%s%s: %s", AR_FMT(message),
				  p == err->params ? " (" : ", ", p->key, p->value);
	if (err->params != NULL)
		message = ar_strf(pool, "%.*s)", AR_FMT(message));
	ar_json_set(v, AR_STR("code"), ar_json_str(pool, ar_str(err->def->slug)));
	ar_json_set(v, AR_STR("status"), ar_json_int(pool, err->def->status));
	ar_json_set(v, AR_STR("message"), ar_json_str(pool, message));
	add_fields(pool, v, err->fields);
	add_params(pool, v, err->params);
	return v;
}

static int answer(struct sb_call *call, struct ar_pool *pool, bool ok, const struct ar_json *value)
{
	static const struct ar_json null = { .type = AR_NULL };
	struct ar_buf *frame = &call->exec->loop->scratch;

	sb_frame_begin(frame, AR_SANDBOX_INPUT_MAX + 64);
	ar_buf_char(frame, ok);
	if (sb_value_write(frame, value != NULL ? value : &null) != 0) {
		struct ar_json *err = error_value(pool, ar_err());

		ar_err_clear();
		sb_frame_begin(frame, AR_SANDBOX_INPUT_MAX + 64);
		ar_buf_char(frame, false);
		if (sb_value_write(frame, err) != 0)
			return -1;
	}
	sb_exec_send(call->exec, call, WIRE_ANSWER, frame);
	return 0;
}

/* Runs the host function in this fiber, within the call's time. */
static int host_run(struct sb_call *call, struct ar_pool *pool, struct ar_str name,
		    struct ar_json *input, int64_t until, struct ar_json **ret)
{
	const struct ar_sandbox_run *run = call->run;
	int64_t before = ar_deadline();
	int r;

	if (run->host == NULL)
		return ar_fail(AR_E_NOT_FOUND, "what", "action");
	ar_deadline_set(AR_MIN(before, until));
	r = run->host(run->host_arg, pool, name, input, ret);
	ar_deadline_set(before);
	return r;
}

/* 0: go on. -1: the call is over (the error stack says why, or call->state is SB_ENDED). */
static int host_call(struct sb_call *call, int64_t until)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = call->host_pool;
	struct wire_reader r = { (const unsigned char *)call->host_frame.p,
				 (const unsigned char *)call->host_frame.p + call->host_frame.n,
				 false };
	struct ar_json *input, *value = NULL;
	struct ar_str name;
	uint16_t n;
	int result;

	call->host_pool = NULL;
	SB_COUNT(host_calls, 1);
	sb_read(&r, &n, sizeof(n));
	name = sb_read_str(&r, n);
	if (r.bad || n == 0 || n > WIRE_NAME_MAX || !ar_utf8_valid(name) ||
	    !sb_value_read(pool, &r, &input) || r.p != r.end) {
		SB_COUNT(killed, 1);
		call->state = SB_SENT; /* so that the kill finds it where it was */
		sb_exec_kill(call->exec, AR_E_SANDBOX_KILLED);
		return 0;
	}
	result = host_run(call, pool, name, input, until, &value);
	if (call->state == SB_ENDED) { /* the executor died meanwhile */
		ar_err_clear();
		return 0;
	}
	if (result != 0) {
		if (ar_cancelled())
			return -1;
		if (ar_mono_ms() >= until) {
			ar_err_clear();
			return fail_limit(call, AR_E_SANDBOX_WALL);
		}
		assert(ar_err() != NULL);
		value = error_value(pool, ar_err());
		ar_err_clear();
	}
	return answer(call, pool, result == 0, value);
}

/* ---- the end ---- */

static bool read_logs(struct ar_pool *pool, struct ar_str a, struct ar_str b,
		      struct ar_sandbox_result *ret)
{
	struct wire_reader r = { (const unsigned char *)a.p, (const unsigned char *)a.p + a.n,
				 false };
	struct ar_sandbox_log *logs;
	size_t n = 0;

	if (a.n + b.n == 0)
		return true;
	logs = ar_new_n(pool, struct ar_sandbox_log, (a.n + b.n) / 5 + 1);
	while (r.p != r.end || b.n > 0) {
		uint8_t level;

		if (r.p == r.end) {
			r.p = (const unsigned char *)b.p;
			r.end = r.p + b.n;
			b.n = 0;
		}
		sb_read(&r, &level, 1);
		logs[n].level = level;
		logs[n].text = sb_read_str32(&r);
		if (r.bad || level > AR_DEBUG || !ar_utf8_valid(logs[n].text))
			return false;
		n++;
	}
	ret->logs = logs;
	ret->nlogs = n;
	return true;
}

/* It said nonsense at the end of a call, and is still there. */
static int blame(struct sb_call *call, struct ar_sandbox_result *ret)
{
	struct sb_tenant *tenant = ar_map_get(sb_loop->tenants, call->run->tenant);

	memset(ret, 0, sizeof(*ret));
	ret->seed = call->seed;
	for (struct sb_exec *exec = tenant != NULL ? tenant->execs : NULL; exec != NULL;
	     exec = exec->next) {
		if (exec->pid == call->pid) {
			ar_warn("sandbox", "an executor broke the protocol", "how", "its result");
			SB_COUNT(killed, 1);
			sb_exec_kill(exec, AR_E_SANDBOX_KILLED);
			break;
		}
	}
	return ar_fail(AR_E_SANDBOX_KILLED);
}

/* The code's own failure: message, module, trace, value. */
static int read_error(struct sb_call *call, struct ar_pool *pool, const struct wire_done *done,
		      struct wire_reader *r, struct ar_sandbox_result *ret)
{
	struct ar_json *e = ar_json_new(pool, AR_OBJECT), *value = NULL;
	struct ar_str texts[3];
	uint8_t has = 0;
	char line[16];

	for (size_t i = 0; i < 3; i++) {
		texts[i] = sb_read_str32(r);
		if (!ar_utf8_valid(texts[i]))
			r->bad = true;
	}
	sb_read(r, &has, 1);
	if (has && !r->bad)
		sb_value_read(pool, r, &value);
	if (r->bad || r->p != r->end)
		return blame(call, ret);
	ar_json_set(e, AR_STR("message"), ar_json_str(pool, texts[0]));
	ar_json_set(e, AR_STR("line"), ar_json_int(pool, done->line));
	ar_json_set(e, AR_STR("module"), ar_json_str(pool, texts[1]));
	ar_json_set(e, AR_STR("trace"), ar_json_str(pool, texts[2]));
	if (value != NULL)
		ar_json_set(e, AR_STR("value"), value);
	ret->error = e;
	snprintf(line, sizeof(line), "%u", done->line);
	return ar_fail(done->status == WIRE_SYNTAX ? AR_E_SANDBOX_SYNTAX : AR_E_SANDBOX_ERROR,
		       "message", ar_strz(pool, texts[0]), "line", line);
}

static int read_done(struct sb_call *call, struct ar_pool *pool, struct ar_sandbox_result *ret)
{
	static const struct ar_err_def *const of_status[WIRE_STATUSES] = {
		[WIRE_CPU] = AR_E_SANDBOX_CPU,         [WIRE_MEMORY] = AR_E_SANDBOX_MEMORY,
		[WIRE_RESULT] = AR_E_SANDBOX_RESULT,   [WIRE_CALLS] = AR_E_SANDBOX_CALLS,
		[WIRE_HANDLER] = AR_E_SANDBOX_HANDLER,
	};
	struct wire_reader r = { (const unsigned char *)call->done_frame.p,
				 (const unsigned char *)call->done_frame.p + call->done_frame.n,
				 false };
	struct wire_done done;
	struct ar_str logs;

	sb_read(&r, &done, sizeof(done));
	logs = sb_read_str(&r, done.logs_len);
	if (r.bad || !read_logs(pool, ar_str_dup(pool, ar_buf_view(&call->logs)), logs, ret))
		return blame(call, ret);
	ret->logs_cut = done.logs_cut != 0;
	ret->cpu_us = (int64_t)done.cpu_us;
	ret->memory_peak = done.memory_peak;
	if (done.status == WIRE_ERROR || done.status == WIRE_SYNTAX)
		return read_error(call, pool, &done, &r, ret);
	if (done.status != WIRE_OK)
		return fail_limit(call, of_status[done.status]);
	if (call->check) {
		ret->output = ar_json_new(pool, AR_NULL);
		return 0;
	}
	if (!sb_value_read(pool, &r, &ret->output) || r.p != r.end)
		return blame(call, ret);
	return 0;
}

static int call_result(struct sb_call *call, struct ar_pool *pool, struct ar_sandbox_result *ret)
{
	if (call->ended == NULL)
		return read_done(call, pool, ret);
	if (!read_logs(pool, ar_str_dup(pool, ar_buf_view(&call->logs)), AR_STR_NONE, ret)) {
		ret->logs = NULL;
		ret->nlogs = 0;
	}
	ret->cpu_us = call->cpu_us;
	return fail_limit(call, call->ended);
}

/* The time is over: who made it so? */
static int call_late(struct sb_call *call)
{
	ar_err_clear();
	if (call->state == SB_QUEUED)
		return ar_fail(call->tenant->nexecs > 0 ? AR_E_SANDBOX_BUSY : AR_E_SANDBOX_FULL);
	if (call->state == SB_SENT && sb_exec_running(call->exec) == call) {
		SB_COUNT(killed, 1);
		sb_exec_kill(call->exec, AR_E_SANDBOX_WALL); /* it has no right to be there still */
	}
	return fail_limit(call, AR_E_SANDBOX_WALL);
}

/* Until the executor has ended it: 0. Else -1, and the call is to be left. */
static int call_attend(struct sb_call *call)
{
	int64_t until = ar_mono_ms() + call->limits.wall_ms;

	for (;;) {
		switch (call->state) {
		case SB_ENDED:
			return 0;
		case SB_ASKING:
			if (host_call(call, until) != 0)
				return -1;
			break;
		case SB_QUEUED:
		case SB_SENT: {
			int64_t left = until - ar_mono_ms();

			if (left > 0 && ar_cond_wait_for(&call->changed, left) == 0)
				break;
			if (ar_cancelled())
				return -1;
			if (call->state != SB_ENDED)
				return call_late(call);
			break;
		}
		}
	}
}

static int call_run(struct ar_pool *pool, const struct ar_sandbox_run *run, bool check,
		    struct ar_sandbox_result *ret)
{
	int64_t start = sb_real_us();
	struct sb_call *call = NULL;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (check_run(run) != 0 || call_new(pool, run, check, &call) != 0)
		return -1;
	ret->seed = call->seed;
	if (call_begin(call) != 0) {
		sb_call_unref(call);
		return -1;
	}
	r = call_attend(call);
	if (r == 0)
		r = call_result(call, pool, ret);
	ret->host_calls = call->host_calls;
	ret->wall_us = sb_real_us() - start;
	call_leave(call);
	return r;
}

int ar_sandbox_call(struct ar_pool *pool, const struct ar_sandbox_run *run,
		    struct ar_sandbox_result *ret)
{
	return call_run(pool, run, false, ret);
}

int ar_sandbox_check(struct ar_str tenant, struct ar_str name, struct ar_str source)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_sandbox_run run = { .tenant = tenant,
				      .code = { .name = name, .source = source },
				      .limits = { .cpu_soft_ms = 1000, .memory = 128 << 20 } };
	struct ar_sandbox_result result;

	return call_run(pool, &run, true, &result);
}

/* ---- the loop's part ---- */

void ar_sandbox_attach(void)
{
	struct sb_loop *loop = ar_heap_new(struct sb_loop);

	assert(sb_loop == NULL);
	loop->tenants = ar_map_new();
	loop->execs_max = AR_MAX(sb_options.executors_max / sb_options.loops, 1);
	loop->control = -1;
	sb_loop = loop;
	sb_watch_start(loop);
}

static bool end_tenant(struct ar_str key, void *value, void *arg)
{
	struct sb_tenant *tenant = value;

	(void)key;
	(void)arg;
	while (tenant->execs != NULL)
		sb_exec_kill(tenant->execs, AR_E_SANDBOX_KILLED);
	while (tenant->first != NULL) {
		struct sb_call *call = tenant->first;

		sb_unqueue(call);
		sb_call_end(call, AR_E_SANDBOX_KILLED);
		sb_call_unref(call);
	}
	return true;
}

static void free_tenant(void *value)
{
	struct sb_tenant *tenant = value;

	ar_heap_free((void *)(uintptr_t)tenant->name.p);
	ar_heap_free(tenant);
}

void ar_sandbox_detach(void)
{
	struct sb_loop *loop = sb_loop;

	loop->ending = true;
	ar_cond_broadcast(&loop->watch_cond);
	ar_join(loop->watch);
	ar_fiber_drop(loop->watch);
	ar_map_each(loop->tenants, end_tenant, NULL);
	sb_spawn_forget(loop);
	ar_pause(); /* fibers that were told look at what they were told */
	ar_map_free(loop->tenants, free_tenant);
	ar_buf_done(&loop->scratch);
	sb_loop = NULL;
	ar_heap_free(loop);
}
