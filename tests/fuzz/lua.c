/*
 * libFuzzer: the code of a tenant, run as an executor runs it, with its limits and our library.
 *
 * Whatever it does: it ends, within its time and memory, in a frame that the supervisor takes. A
 * second run from the compiled code, in a restored state, says the same as a third one. (Stock Lua's
 * own memory is an arena here, which no sanitizer sees; what our library does with texts is seen.)
 * Run: build-fuzz/tests/fuzz/fuzz_lua -max_total_time=60
 */
#include <signal.h>
#include <sys/time.h>

#include "sandbox/executor.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { SOFT_US = 20000, PATIENCE_US = 3000000, MEMORY = 4 << 20 };

static const char *const seeds[] = {
	"local t = {} for w, n in ('a1 b22'):gmatch('(%a)(%d+)') do t[w] = tonumber(n) end return "
	"function() return t end",
	"return function() return {(('x'):rep(40)):find('a-b$'), ('%b()'):match('[^%w]%f[%a]'), "
	"('k=v'):gsub('(%w)=(%w)', '%2=%1')} end",
	"return function() return string.format('%5.2f|%-8s|%q|%x|%c', 1.5, 'a', 'b\\n', 255, 65) "
	"end",
	"return function() return json.decode(json.encode({a = json.array{1, 2.5}, b = json.null, "
	"c = 'x'})) end",
	"return function() local ok, e = pcall(apprun.a.b, {x = 1}) return {ok, e, "
	"apprun.a.c{}} end",
	"return function() table.sort({3, 1, 2}, function(a, b) return a > b end) return "
	"table.concat({1, 2}, ',') .. table.unpack({'x'}) end",
	"return function() local c = coroutine.wrap(function(a) local b = coroutine.yield(a) "
	"error({code = b}) end) c(1) c(2) end",
	"return function() return {os.time{year = 2024, month = 2, day = 30}, "
	"os.date('!%Y-%m-%d', 0), math.random(10), utf8.char(228)} end",
	"return function() setmetatable({}, {__index = function(t, k) return t[k + 1] end})[1] = 2 "
	"while true do end end",
	"log.warn('x', nil, {}) print(require('m').x) return function() return tostring(1e15) end",
	"local s = 'a' while true do s = s .. s end",
	"goto x do local a <close> = setmetatable({}, {__close = print}) end ::x:: return load",
	"return function() return ('a'):rep(1e9):byte(-1) end",
};
FUZZ_SEEDS(seeds)

static struct call *call;
static const unsigned char empty[] = { WIRE_OBJECT, 0, 0, 0, 0, WIRE_OBJECT, 0, 0, 0, 0 };

static void code_set(struct code *code, const char *name, struct ar_str text)
{
	ar_heap_free(code->text);
	code->name = (char *)(uintptr_t)name;
	code->text = ar_heap_strz(text);
	code->n = text.n;
	code->compiled = false;
}

static struct wire_reader reader_of(const struct ar_buf *buf)
{
	const unsigned char *p = buf->n > 0 ? (const unsigned char *)buf->p : empty;

	return (struct wire_reader){ p, p + buf->n, false };
}

/* A result that the supervisor would take; false when there is none because of a limit. */
static bool check_done(const struct wire_done *done, const struct ar_buf *out)
{
	struct ar_pool *pool = ar_pool_new();
	struct wire_reader r = reader_of(out);
	struct ar_json *value;
	uint8_t has = 1;

	must(done->status < WIRE_STATUSES && done->memory_peak <= MEMORY);
	if (done->status == WIRE_ERROR || done->status == WIRE_SYNTAX) {
		for (int i = 0; i < 3; i++)
			must(ar_utf8_valid(sb_read_str32(&r)) && !r.bad);
		sb_read(&r, &has, 1);
	}
	if (out->n > 0)
		must((!has || sb_value_read(pool, &r, &value)) && !r.bad && r.p == r.end);
	ar_pool_free(pool);
	return done->status <= WIRE_SYNTAX;
}

static void check_host_call(void)
{
	struct ar_pool *pool = ar_pool_new();
	struct wire_reader r = reader_of(&call->out);
	struct ar_json *input;
	struct ar_str name;
	uint16_t n;

	sb_read_str(&r, sizeof(struct wire_header)); /* room for it */
	sb_read(&r, &n, sizeof(n));
	name = sb_read_str(&r, n);
	must(!r.bad && n > 0 && n <= WIRE_NAME_MAX && ar_utf8_valid(name));
	must(sb_value_read(pool, &r, &input) && r.p == r.end);
	ar_buf_done(&call->out);
	ar_pool_free(pool);
}

static bool run(struct ar_buf *out)
{
	uint64_t began = sb_cpu_us();
	struct wire_done done = { 0 };
	int status;

	call->args = (struct wire_reader){ empty, empty + sizeof(empty), false };
	must(sb_place_ready(call, call->head.memory));
	sb_lua_begin(call);
	while ((status = sb_lua_turn(call)) == LUA_YIELD) {
		check_host_call();
		call->answer_ok = call->host_calls % 2 == 1;
		call->answer = (struct wire_reader){ empty, empty + 5, false };
	}
	sb_lua_done(call, status, &done, out);
	must(sb_cpu_us() - began < PATIENCE_US);
	ar_buf_done(&call->out);
	ar_buf_done(&call->log);
	return check_done(&done, out);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const struct itimerval every = { { 0, TICK_US }, { 0, TICK_US } };
	struct sigaction act = { .sa_handler = sb_tick, .sa_flags = SA_RESTART };

	sb_executor_prepare();
	call = &sb_executor.calls[0];
	call->head = (struct wire_call){ .seed = 1,
					 .now_ms = 1700000000000,
					 .cpu_soft_us = SOFT_US,
					 .memory = MEMORY,
					 .output_max = 64 << 10,
					 .log_max = 2000, /* so that none is sent before the end */
					 .host_calls = 4,
					 .nmodules = 1 };
	call->modules[0] = 1;
	code_set(&sb_executor.codes[1], "=m", AR_STR("return {x = 1}"));
	must(sigaction(SIGPROF, &act, NULL) == 0 && setitimer(ITIMER_PROF, &every, NULL) == 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct code *code = &sb_executor.codes[0];
	struct ar_str text = { (const char *)data, size };
	struct ar_buf out[3] = { 0 };
	bool whole = true;

	sb_executor.stack = __builtin_frame_address(0);
	code_set(code, "=f", text);
	code_set(&sb_executor.codes[1], "=m", AR_STR("return {x = 1}"));
	for (int i = 0; i < 3 && whole; i++) {
		ar_buf_init(&out[i], 1 << 20);
		whole = run(&out[i]);
	}
	if (whole && code->compiled && memmem(data, size, "clock", 5) == NULL)
		must(ar_str_eq(ar_buf_view(&out[1]), ar_buf_view(&out[2])));
	for (int i = 0; i < 3; i++)
		ar_buf_done(&out[i]);
	return 0;
}
