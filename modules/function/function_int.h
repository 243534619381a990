/*
 * function_int.h - what the files of function share.
 */
#ifndef FUNCTION_INT_H
#define FUNCTION_INT_H

#include "action/action.h"
#include "action/list.h"
#include "bus/bus.h"
#include "function/function.h"
#include "sandbox/sandbox.h"

extern const struct ar_err_def FUNCTION_E_FAILED[1];     /* 500 function/failed */
extern const struct ar_err_def FUNCTION_E_LIMIT[1];      /* 500 function/limit */
extern const struct ar_err_def FUNCTION_E_ESCALATION[1]; /* 403 function/escalation */
extern const struct ar_err_def FUNCTION_E_LIBRARY[1];    /* 422 function/library */
extern const struct ar_err_def FUNCTION_E_REPLY[1];      /* 500 function/reply */
/* What code says with error{status = ...}: one row for each status that it may choose. */
extern const struct ar_err_def *function_refused(int64_t status); /* NULL: not one of them */
/* The slug of what a refusal says that has no words of its own. */
const char *function_refused_words(const struct ar_err_def *def);

#define FUNCTION_ALLOW "functions.call" /* who may call, when the function does not say */

/* ---- code.c: what a call needs of a function ---- */

struct function_code {
	struct ar_pool *pool;
	struct ar_str name, version, allow;
	struct ar_json *permissions; /* array of strings */
	struct ar_who *who;          /* as whom the code acts */
	struct ar_sandbox_code code;
	struct ar_sandbox_code *modules;
	size_t nmodules;
	struct ar_sandbox_limits limits;
	bool library;
};
/* Valid until pool ends. AR_E_NOT_FOUND. */
AR_YIELDS int function_code_get(struct ar_tenant *tenant, struct ar_pool *pool, struct ar_str name,
				struct function_code **ret);
/* Functions change with the scope's unit of work. */
int function_changes(struct ar_tenant *tenant, struct ar_scope *scope);
extern struct ar_tenant_slot function_slot;

/* ---- call.c ---- */

struct function_call {
	struct ar_tenant *tenant;
	struct ar_pool *pool;
	struct ar_str name;
	const struct ar_json *input;
	const char *cause; /* "http", "event", "call" */
	struct ar_str trace_id;
	struct ar_str language; /* of who hears of a refusal; empty: English */
	int depth;
	const struct ar_who *caller; /* whose right to call was checked; goes into the context */
};
/* Runs it once and records the run. ret_run (its id) is set on failure too. */
AR_YIELDS int function_run(const struct function_call *call, struct function_code *code,
			   struct ar_json **ret, struct ar_str *ret_run);
AR_YIELDS int function_http(struct ar_call *call);
AR_YIELDS int function_execute(struct ar_call *call);
AR_YIELDS int function_deliver(struct ar_delivery *delivery);

/* `status` of what code returned or raised: a whole number, also one of a division; else 0. */
int64_t function_status(const struct ar_json *value);

/* ---- http.c ---- */

int function_http_input(struct ar_call *call, struct ar_json **ret);
int function_http_reply(struct ar_call *call, struct ar_json *output);

/* ---- run.c ---- */

struct function_run_record {
	struct ar_str id, function, version, trace_id;
	const char *cause;
	const struct ar_json *input;
	const struct ar_sandbox_result *result;
	const char *error; /* slug; NULL: it went well */
	int64_t created_ms;
};
/* Copies what it needs; written soon after, in a batch. */
void function_run_record(struct ar_tenant *tenant, const struct function_run_record *record);
AR_YIELDS int function_run_list(struct ar_call *call);
AR_YIELDS int function_run_get(struct ar_call *call);
AR_YIELDS int function_runs_start(void);  /* on each loop */
AR_YIELDS void function_runs_flush(void); /* this loop's: before it ends */

/* ---- deploy.c ---- */

AR_YIELDS int function_put(struct ar_call *call);
AR_YIELDS int function_get(struct ar_call *call);
AR_YIELDS int function_list(struct ar_call *call);
AR_YIELDS int function_delete(struct ar_call *call);
AR_YIELDS int function_version_list(struct ar_call *call);
AR_YIELDS int function_version_get(struct ar_call *call);
AR_YIELDS int function_demo(struct ar_call *call);

/* ---- sweep.c ---- */

AR_YIELDS int function_sweep(struct ar_scope *scope, struct ar_str database, bool *ret_more);

#endif
