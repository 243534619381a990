/*
 * action.h - every capability is an action: one row of a table, entered through one door.
 *
 * From a row come the REST route, the Lua call, the workflow step, the OpenAPI operation, the SDK
 * method, the CLI call and the console's form. Whoever enters, ar_action_enter() does the same
 * things in the same order: permission, validation, idempotency, the row's function, one commit,
 * metrics. The row's function neither commits nor checks rights nor logs: it decodes, works on
 * call->scope, publishes, replies.
 *
 * The door commits after `run` returned 0 and before the reply goes out; on -1 it rolls back. What
 * must be in the same commit as the action's effect (the idempotency record, a workflow's step
 * result) rides along as a before-commit hook on call->scope. So an action that writes must not
 * wait for anything but the store after its first write: slow work (hashing, files, network) first.
 */
#ifndef AR_ACTION_H
#define AR_ACTION_H

#include "json/field.h"
#include "store/store.h"
#include "tenant/tenant.h"

struct ar_call;
struct ar_http;

extern const struct ar_err_def AR_E_ACTION_UNKNOWN[1]; /* 404 action/unknown: "action" */
extern const struct ar_err_def AR_E_ACTION_FACE[1];    /* 422 action/face: not from here */
extern const struct ar_err_def AR_E_ACTION_DEPTH[1];   /* 422 action/depth: calls inside calls */
extern const struct ar_err_def AR_E_KEY_REUSED[1];     /* 422 action/key-reused */
extern const struct ar_err_def AR_E_KEY_RUNNING[1];    /* 409 action/key-running */
extern const struct ar_err_def AR_E_KEY_SECRET[1]; /* 409 action/key-secret: done, not repeated */
extern const struct ar_err_def AR_E_KEYS_FULL[1];  /* 429 action/keys-full: too much is kept */
#define AR_CALL_DEPTH_MAX 8

/* ---- the row ---- */

#define AR_ALLOW_ANYONE    "-" /* also without a token */
#define AR_ALLOW_SIGNED_IN "+" /* any valid token or key */

enum ar_action_flag {
	AR_A_WRITE = 1 << 0,     /* changes something: takes Idempotency-Key, is audited */
	AR_A_OUTSIDE = 1 << 1,   /* has effects outside of the store: at least once in a workflow */
	AR_A_RAW_IN = 1 << 2,    /* the REST body is bytes, in call->body */
	AR_A_RAW_OUT = 1 << 3,   /* replies bytes, with a content type of their own */
	AR_A_PLATFORM = 1 << 4,  /* under /platform/v1, for operators; call->tenant is NULL */
	AR_A_REST_ONLY = 1 << 5, /* makes no sense from Lua or a workflow (it speaks HTTP) */
	AR_A_ROOT = 1 << 6,      /* the route stands outside of /api/v1 (/.well-known/...) */
	AR_A_LIST = 1 << 7,      /* takes filter, sort, fields, limit, cursor... (action/list.h) */
	/*
	 * The reply holds a token, a key, a password: it is kept nowhere. A replay under its
	 * Idempotency-Key is AR_E_KEY_SECRET, and workflows, which keep results, cannot call it.
	 */
	AR_A_SECRET_OUT = 1 << 8,
	AR_A_MAKES = 1 << 9, /* answers 201 when it made something, 200 when it was there */
};

struct ar_action {
	const char *name; /* "auth.create_user" */
	const char *
		route; /* "POST /auth/users", "GET /buckets/{bucket}/objects/{key...}"; "ANY /fn/...".
			    * The {rest...} of an ANY row may also be nothing: "/fn/f" */
	const char *allow; /* a permission, AR_ALLOW_ANYONE or AR_ALLOW_SIGNED_IN; never NULL */
	/*
	 * What goes in, one table for every face. REST fills it from the path ({names} of the route),
	 * the query (GET, HEAD and DELETE, and fields with .query), the headers (ifMatch, ifNoneMatch)
	 * and the body's members; or, when `body` names a field, the whole body goes there.
	 */
	const struct ar_field *in;
	const char *body;
	/* NULL: no body (204) unless the action says otherwise; no rows: any JSON */
	const struct ar_field *out;
	AR_YIELDS int (*run)(struct ar_call *call);
	unsigned flags;      /* enum ar_action_flag */
	int status;          /* of success; 0: 200, or 204 when nothing was replied */
	int64_t deadline_ms; /* 0: the server's default */
	const char *help;    /* one line, English: OpenAPI summary, CLI help */
	const char *alias;   /* another name, as a design writes it: "data-model.validate_schema" */
	const char
		*wants; /* permissions that `run` asks for itself, spaces between: a workflow with
			      * such a step has them */
};

/* ---- who calls ---- */

enum ar_who_kind {
	AR_WHO_ANYONE,
	AR_WHO_USER,
	AR_WHO_KEY,
	AR_WHO_FUNCTION,
	AR_WHO_WORKFLOW,
	AR_WHO_SYSTEM,
	AR_WHO_OPERATOR
};

struct ar_who {
	enum ar_who_kind kind;
	struct ar_str id;      /* of the user, key, function...; empty for anyone */
	struct ar_str session; /* of a user's token */
	const struct ar_json
		*auth; /* what rules see as @auth: {id, email, roles, ...}; may be NULL */
	/* Permissions, sorted; "*" alone allows all, "auth.*" a branch. */
	const struct ar_str *permissions;
	size_t npermissions;
};
bool ar_who_may(const struct ar_who *who, struct ar_str permission);
extern const struct ar_who ar_who_anyone, ar_who_system; /* the system may do everything */
/* A copy with exactly these permissions, an array of strings (functions, workflows). */
struct ar_who *ar_who_limited(struct ar_pool *pool, enum ar_who_kind kind, struct ar_str id,
			      const struct ar_json *permissions);

extern const char *const ar_auth_members[]; /* the members of `auth`, and so of @auth; then NULL */

/* Turns "Authorization: Bearer ..." into who. The auth module gives it; the edge calls it.
 * AR_E_UNAUTHORIZED when the token is not good. */
typedef AR_YIELDS int ar_authenticate_fn(struct ar_call *call, struct ar_str bearer,
					 const struct ar_who **ret);
void ar_action_set_authenticate(ar_authenticate_fn *fn);
ar_authenticate_fn *ar_action_authenticate(void);

/* ---- a call ---- */

enum ar_face { AR_FACE_REST, AR_FACE_LUA, AR_FACE_WORKFLOW, AR_FACE_CLI, AR_FACE_SYSTEM };

enum ar_reply_kind { AR_REPLY_NONE, AR_REPLY_JSON, AR_REPLY_BYTES, AR_REPLY_FILE };

struct ar_reply {
	int status; /* 0: the row's */
	enum ar_reply_kind kind;
	struct ar_buf *json; /* AR_REPLY_JSON */
	struct ar_str bytes, content_type;
	int fd; /* AR_REPLY_FILE: owned by the reply */
	int64_t offset, length;
	struct ar_call_header {
		const char *name;
		struct ar_str value;
	} headers[16];
	size_t nheaders;
};

struct ar_call {
	struct ar_pool *pool;
	struct ar_tenant *tenant; /* NULL for platform actions only */
	const struct ar_who *who;
	const struct ar_action *action;
	struct ar_json *input; /* normalised by the row's table; an object */
	struct ar_str body;    /* AR_A_RAW_IN */
	struct ar_scope scope;
	struct ar_reply reply;
	enum ar_face face;
	int depth;                     /* of calls that functions make through the platform */
	struct ar_str language;        /* Accept-Language as it came */
	struct ar_str request_id;      /* UUID; the problem's instance */
	struct ar_str trace_id;        /* 32 hex digits */
	struct ar_str idempotency_key; /* empty: none */
	const struct ar_http *http;    /* AR_FACE_REST only: for what speaks HTTP; else NULL */
	struct ar_str client;          /* AR_FACE_REST only: the client's address, past the proxy */
	struct ar_str subpath;         /* what a trailing {rest...} of the route matched */
	struct ar_str target;          /* AR_FACE_REST: path and query as sent */
};

/* Runs a row on a prepared call. The reply is complete and committed, or the error stack says why. */
AR_YIELDS int ar_action_enter(struct ar_call *call, const struct ar_action *action);
/* The first thing that the door asks, alone: for a face that would rather not read the input of
 * who may not call. AR_E_UNAUTHORIZED, AR_E_FORBIDDEN. */
int ar_action_permit(const struct ar_call *call, const struct ar_action *action);

/*
 * The in-process face: calls an action by name with an input object and returns its JSON (NULL for
 * none; bytes come as a string). An action that takes bytes (AR_A_RAW_IN) gets the input's member
 * "body": a string as it is, anything else as JSON text. hook rides in the action's unit of work (may be NULL); it sees the
 * output through call->reply. It is not called when the action wrote nothing.
 */
struct ar_invoke {
	struct ar_tenant *tenant;
	const struct ar_who *who;
	enum ar_face face;
	int depth;
	struct ar_str action;
	struct ar_json *input; /* NULL: {} */
	struct ar_str idempotency_key, trace_id;
	int (*hook)(struct ar_call *call, void *arg);
	void *hook_arg;
};
AR_YIELDS int ar_action_invoke(struct ar_pool *pool, const struct ar_invoke *invoke,
			       struct ar_json **ret);

/* ---- inside a row's function ---- */

/* The input as a struct, by the row's own table: fields that were not given stay zero. */
int ar_input(struct ar_call *call, void *ret_struct, uint64_t *ret_present);
struct ar_str ar_in_str(struct ar_call *call, const char *name); /* empty when not given */
int64_t ar_in_int(struct ar_call *call, const char *name, int64_t otherwise);
bool ar_in_bool(struct ar_call *call, const char *name, bool otherwise);
struct ar_json *ar_in(struct ar_call *call, const char *name); /* NULL when not given or null */
/* A text input "a, b,c" as names; field/too-many when there are more than max. */
int ar_in_names(struct ar_call *call, const char *name, struct ar_str *names, size_t max,
		size_t *ret_count);

struct ar_jw *ar_reply_json(struct ar_call *call, int status); /* writer; status 0: the row's */
int ar_reply_struct(struct ar_call *call, const void *value);  /* printed by the row's `out` */
int ar_reply_value(struct ar_call *call, const struct ar_json *value);
int ar_reply_bytes(struct ar_call *call, struct ar_str content_type, struct ar_str bytes);
int ar_reply_none(struct ar_call *call);
void ar_reply_header(struct ar_call *call, const char *name, struct ar_str value);

/* "If-Match" against the current ETag text (with quotes): AR_E_PRECONDITION when it does not
 * match; no If-Match passes. */
int ar_check_if_match(struct ar_call *call, struct ar_str etag);
/* "If-None-Match" names the current ETag, strong or weak, or "*". */
bool ar_none_match_names(struct ar_call *call, struct ar_str etag);

/* ---- registration: at start, before the loops ---- */

struct ar_module {
	const char *name;
	const struct ar_action *actions;        /* ends with a zero row */
	const struct ar_migration *migrations;  /* of each tenant's database; may be NULL */
	const struct ar_err_def *const *errors; /* ends with NULL; each has a message in i18n/ */
	/* Permissions that no row's `allow` names, each with a line of help: name, help, ..., NULL. */
	const char *const *permissions;
	int (*start)(void);            /* once per process; may be NULL */
	AR_YIELDS int (*attach)(void); /* on each loop; may be NULL */
	AR_YIELDS void (*detach)(void);
	/*
	 * In the new tenant's first unit of work (call->scope), as the system, in order of
	 * registration; the tenant is reachable only after its commit. call->input is what the
	 * operator sent: {"name", "email"?, ...}. Members set on `reply` go back to the operator
	 * (auth sets "admin": {"email", "password"}).
	 */
	AR_YIELDS int (*tenant_created)(struct ar_call *call, struct ar_json *reply);
	/*
	 * Sample content of the demo tenant, each time apprun starts with --demo: makes what is missing,
	 * changes nothing that is there. As the system, in a unit of its own that the caller commits;
	 * it may ar_action_invoke() before its first write on call->scope.
	 */
	AR_YIELDS int (*demo)(struct ar_call *call);
	/* Adds what this tenant has of its own (its collections, say) to its OpenAPI document: members
	 * of "paths" and of "components"/"schemas"; nodes in call->pool. */
	AR_YIELDS int (*openapi)(struct ar_call *call, struct ar_json *paths,
				 struct ar_json *schemas);
	/* A number for what `openapi` would add for this caller now: another number when that changes,
	 * and never one again that meant something else in this process. With `openapi` always. */
	AR_YIELDS int (*openapi_stamp)(struct ar_call *call, uint64_t *ret);
};
void ar_action_register(
	const struct ar_module *module); /* asserts that names and routes are free */
/* The room's own: GET /openapi.json, and the operators' /platform/v1/tenants. Register it first. */
extern const struct ar_module ar_core_module;
/* Bytes of replies that are kept for a tenant's Idempotency-Keys. At start; default 1 GiB. */
void ar_action_replies_max(int64_t bytes);
void ar_action_forget(struct ar_str tenant); /* it is deleted: what is counted of it goes */
void ar_action_done(void); /* after the loops ended: forgets what was registered */
const struct ar_module *const *ar_modules(void);            /* NULL-terminated */
const struct ar_action *ar_action_find(struct ar_str name); /* also by alias; or NULL */

/* A route that matches: names and values of its {parts}, percent-decoded. */
struct ar_route_match {
	const struct ar_action *action;
	struct {
		struct ar_str name, value;
	} params[8];
	size_t nparams;
	struct ar_str rest;       /* of {name...} */
	unsigned allowed_methods; /* when action is NULL: what the path would take, else 404 */
};
enum ar_route_space { AR_ROUTES_API, AR_ROUTES_PLATFORM, AR_ROUTES_ROOT, AR_ROUTE_SPACES };
/*
 * path: what follows /api/v1 or /platform/v1, or the whole path for AR_ROUTES_ROOT; as sent.
 * AR_E_NOT_FOUND; AR_E_METHOD (ret->allowed_methods is set); AR_E_MALFORMED: bad percent-encoding,
 * NUL, ".", "..", invalid UTF-8. HEAD finds GET.
 */
int ar_route_match(struct ar_pool *pool, struct ar_str method, struct ar_str path,
		   enum ar_route_space space, struct ar_route_match *ret);
void ar_route_methods(unsigned methods, char *out, size_t cap); /* "GET, POST": for Allow */

/* ---- what a record of a call must not show ---- */

/*
 * The value without secrets: members that some action's `in` keeps secret, those that `more` (an
 * object, or NULL) names, and everywhere the texts of `texts` (an array of strings, or NULL) are
 * "***". The value itself when there are none; else new nodes, which share what is clean.
 */
struct ar_json *ar_mask(struct ar_pool *pool, const struct ar_json *value,
			const struct ar_json *more, const struct ar_json *texts);
/* Adds the secret texts in a value to the array `texts`. */
void ar_mask_gather(struct ar_pool *pool, const struct ar_json *value, const struct ar_json *more,
		    struct ar_json *texts);

/* ---- a call from HTTP ---- */

/* What the edge knows of a request, as sent. Empty texts: not there. */
struct ar_rest {
	const struct ar_route_match *match;
	struct ar_str method, query, content_type, body, if_match, if_none_match;
};
/*
 * Fills call->input, call->body and call->subpath; the door checks them by the row's table.
 * AR_E_MALFORMED, AR_E_MEDIA_TYPE, AR_E_TOO_LARGE, AR_E_INVALID.
 */
int ar_rest_input(struct ar_call *call, const struct ar_rest *rest);
/* Takes the next parameter off a query string, decoded: 1, 0 at its end, -1 with AR_E_MALFORMED. */
int ar_query_next(struct ar_pool *pool, struct ar_str *rest, struct ar_str *ret_name,
		  struct ar_str *ret_value);

/* ---- problem+json ---- */

/* Writes the top of the current error stack for the client. Returns the status. */
int ar_problem(struct ar_pool *pool, const struct ar_err *err, struct ar_str accept_language,
	       struct ar_str request_id, struct ar_buf *out);
/* The message of a slug in the best language of Accept-Language; {name} is replaced. */
struct ar_str ar_message(struct ar_pool *pool, struct ar_str accept_language, const char *slug,
			 const struct ar_err_param *params);
/* What an error says, with its causes where the message names them; its slug when it has none. */
struct ar_str ar_error_text(struct ar_pool *pool, struct ar_str accept_language,
			    const struct ar_err *err);

/* The language that ar_message() picks: "en" or "zh-CN". */
const char *ar_language(struct ar_str accept_language);

/* ---- the machine ---- */

extern const struct ar_migration ar_action_migrations[]; /* of each tenant's database */
/*
 * Makes a tenant and runs the modules' tenant_created; input {"name", ...}; ret {"name", "id",
 * ...what the hooks said}. keep (may be NULL) gets that before anybody can reach the tenant: what it
 * writes down is not lost when the process ends here; -1 from it and there is no tenant.
 */
AR_YIELDS int ar_tenant_found(struct ar_pool *pool, struct ar_json *input,
			      int (*keep)(const struct ar_json *reply, void *arg), void *arg,
			      struct ar_json **ret);

#endif
