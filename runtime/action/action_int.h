/*
 * action_int.h - inside the action room.
 */
#ifndef AR_ACTION_INT_H
#define AR_ACTION_INT_H

#include <stdatomic.h>

#include "action/action.h"
#include "observe/observe.h"

#define ACTIONS_MAX    1024
#define MODULES_MAX    64
#define REPLY_JSON_MAX (32u << 20)

/* registry.c */
size_t action_count(void);
const struct ar_action *action_at(size_t index);
size_t action_index(const struct ar_action *action); /* asserts that it is registered */
const char *action_module(size_t index);
#define RESULTS 3       /* ok, refused, failed */
struct action_metrics { /* found at the first call */
	struct ar_series *_Atomic calls[RESULTS], *_Atomic seconds;
};
struct action_metrics *action_metrics(const struct ar_action *action);

/* router.c: routes are "METHOD /path" */
void router_add(const struct ar_action *action);
void router_done(void);
enum ar_route_space router_space(const struct ar_action *action);
bool router_has_part(const struct ar_action *action, struct ar_str name); /* {name} or {name...} */
/* "a%20b" decoded: AR_E_MALFORMED for bad escapes, NUL and invalid UTF-8. plus: '+' is a space. */
int percent_decode(struct ar_pool *pool, struct ar_str s, bool plus, struct ar_str *ret);
int method_index(struct ar_str method); /* -1: none that we know; ANY is METHOD_ANY */
enum {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_POST,
	METHOD_PUT,
	METHOD_PATCH,
	METHOD_DELETE,
	METHOD_OPTIONS,
	METHODS,
	METHOD_ANY = METHODS
};
extern const char *const method_names[METHODS];

/* input.c */
int call_check_input(struct ar_call *call); /* holds call->input against the row's tables */
extern const struct ar_field list_fields[]; /* list.c: what AR_A_LIST adds to a row's `in` */

/* idempotency.c */
struct idempotency {
	bool held;  /* this call runs under its key */
	char *name; /* in the table of running ones; heap */
	struct ar_str caller, hash;
};
/* 0: go on (held or not needed), 1: the stored reply is in call->reply, -1. */
AR_YIELDS int idempotency_enter(struct ar_call *call, struct idempotency *ret);
AR_YIELDS int idempotency_store(struct ar_call *call, const struct idempotency *idempotency);
void idempotency_leave(struct idempotency *idempotency);

/* replies.c */
AR_YIELDS int replies_room(struct ar_call *call, int64_t keep_ms); /* AR_E_KEYS_FULL */
/* A reply of so many bytes is about to be stored; returns what its row takes. */
int64_t replies_add(const struct ar_call *call, int64_t bytes);
void replies_done(void);

/* openapi.c */
AR_YIELDS int openapi_make(struct ar_call *call, struct ar_str *ret); /* empty: too large */
void openapi_done(void);

/* openapi_kept.c */
int openapi_start(void);
AR_YIELDS int openapi_run(struct ar_call *call);

/* mask.c: names of secret inputs, learnt from the tables */
void mask_learn(const struct ar_action *action);
void mask_done(void);

/* message.c */
void messages_done(void);
/* A refused field's message; err: whose field it is. */
struct ar_str error_field_text(struct ar_pool *pool, struct ar_str accept_language,
			       const struct ar_err *err, const struct ar_err_field *field);

#endif
