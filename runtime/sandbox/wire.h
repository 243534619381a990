/*
 * wire.h - what supervisor and executor say to each other, and how a value looks in it.
 *
 * A packet of the SOCK_SEQPACKET pair is a header and up to WIRE_PAYLOAD bytes; a frame is one
 * packet, or several of the same type and call with WIRE_MORE on all but the last. Numbers are in
 * the machine's order: both ends are one program. An executor works strictly in the order of what it
 * was sent: each CALL, ANSWER and CANCEL is a piece of work that ends with one HOST or DONE frame
 * of that call, and only LOG frames of that call come before. Anything else is a broken executor.
 *
 * A value is a tag byte and what it says. Small integers and short strings are in the tag.
 */
#ifndef AR_SANDBOX_WIRE_H
#define AR_SANDBOX_WIRE_H

#include "json/json.h"

enum {
	WIRE_PACKET = 65536,
	WIRE_FRAME_MAX = 20 << 20, /* what either end puts together at most */
	WIRE_CODE_SLOTS = 256,     /* compiled sources that an executor keeps */
	WIRE_DEPTH = 64,
	WIRE_NODES = 100000,
	WIRE_NAME_MAX = 200, /* of an action */
};

enum wire_type {
	WIRE_CALL = 1,   /* struct wire_call, then its parts */
	WIRE_ANSWER = 2, /* u8 ok, value: result or error table */
	WIRE_CANCEL = 3, /* empty */
	WIRE_LOG = 16,   /* log entries: u8 level, u32 length, text */
	WIRE_HOST = 17,  /* u16 length, name, value */
	WIRE_DONE = 18,  /* struct wire_done, log entries, then by status */
	WIRE_OBIT = 32,  /* from the zygote: i32 wait status */
};

enum { WIRE_MORE = 1 };

struct wire_header {
	uint8_t type, flags;
	uint16_t zero;
	uint32_t call;
};
#define WIRE_PAYLOAD (WIRE_PACKET - sizeof(struct wire_header))

enum { WIRE_CHECK_ONLY = 1 };
#define WIRE_CACHED UINT32_MAX

/* Followed by: ndrop u16 code slots to empty; 1 + nmodules times struct wire_code with name and
 * source; the value of the input; the value of the context. */
struct wire_call {
	uint64_t seed;
	int64_t now_ms;
	uint64_t cpu_soft_us, memory, output_max, log_max;
	uint32_t host_calls;
	uint16_t flags, nmodules, ndrop, zero[3];
};
struct wire_code {
	uint16_t slot, name_len;
	uint32_t source_len; /* WIRE_CACHED: the slot has it */
};

enum wire_status {
	WIRE_OK,     /* value */
	WIRE_ERROR,  /* message, module, trace (u32 length, text each), u8 has value, value */
	WIRE_SYNTAX, /* message, module, trace */
	WIRE_CPU,
	WIRE_MEMORY,
	WIRE_RESULT, /* too large, deep or many */
	WIRE_CALLS,
	WIRE_HANDLER,
	WIRE_CANCELLED,
	WIRE_STATUSES,
};
struct wire_done {
	uint8_t status, retire; /* retire: not fit for another call */
	uint8_t logs_cut, zero;
	uint32_t line, host_calls, logs_len;
	uint64_t cpu_us, memory_peak;
};

enum wire_tag {
	WIRE_NULL,
	WIRE_FALSE,
	WIRE_TRUE,
	WIRE_INT,    /* i64 */
	WIRE_FLOAT,  /* double, finite */
	WIRE_STRING, /* u32 length, bytes: UTF-8 without NUL */
	WIRE_ARRAY,  /* u32 count, values */
	WIRE_OBJECT, /* u32 count, then a string value and a value each, keys strictly ascending */
	WIRE_SMALL_INT = 0x40, /* 0 to 63 */
	WIRE_SHORT = 0x80,     /* string of 0 to 127 bytes */
};

/* Reads what was sent, never past its end. After a read that failed, `bad` stays set. */
struct wire_reader {
	const unsigned char *p, *end;
	bool bad;
};
void sb_read(struct wire_reader *r, void *to, size_t n);
struct ar_str sb_read_str(struct wire_reader *r, size_t n); /* points into the frame */
struct ar_str sb_read_str32(struct wire_reader *r);

/* ---- values, on the supervisor's side ---- */

/* Objects of the house keep their order; -1 (AR_E_TOO_LARGE) for depth, count or a full buffer. */
int sb_value_write(struct ar_buf *buf, const struct ar_json *value); /* NULL: an empty object */
/* A value from an executor. False when it is not exactly well-formed. Strings point into the frame,
 * which must live as long as the pool. */
bool sb_value_read(struct ar_pool *pool, struct wire_reader *r, struct ar_json **ret);

#endif
