/*
 * demo.c - the demo tenant: made once, with the sample content of every module.
 *
 * The generated sign-in of its first administrator is on disk before the tenant can be reached, so a
 * crash in between costs nobody the password. A second start makes what is missing and changes
 * nothing that is there.
 */
#include <assert.h>

#include "action/action.h"
#include "folder.h"
#include "serve.h"

#define DEMO AR_STR("demo")

static int keep_sign_in(const struct ar_json *reply, void *arg)
{
	struct ar_pool *pool = arg;
	const struct ar_json *admin = ar_json_get(reply, "admin");
	struct ar_buf *text = ar_buf_new(pool, 64 * 1024);
	struct ar_jw w;

	if (admin == NULL) /* no module makes administrators */
		return 0;
	ar_jw_init(&w, text);
	ar_jw_object(&w);
	ar_jw_keyz(&w, "url");
	ar_jw_str(&w, serve_url());
	ar_jw_keyz(&w, "tenant");
	ar_jw_str(&w, DEMO);
	ar_jw_keyz(&w, "email");
	ar_jw_str(&w, ar_json_text(admin, "email", AR_STR("")));
	ar_jw_keyz(&w, "password");
	ar_jw_str(&w, ar_json_text(admin, "password", AR_STR("")));
	ar_jw_object_end(&w);
	ar_buf_char(text, '\n');
	return folder_write("first-login.json", ar_buf_view(text));
}

static AR_YIELDS int make(struct ar_pool *pool)
{
	struct ar_json *input = ar_json_new(pool, AR_OBJECT), *reply;

	ar_json_set(input, AR_STR("name"), ar_json_str(pool, DEMO));
	if (ar_tenant_found(pool, input, keep_sign_in, pool, &reply) != 0) {
		if (!ar_err_is(AR_E_TENANT_EXISTS))
			return -1;
		ar_err_clear();
	}
	return 0;
}

static AR_YIELDS int fill_one(struct ar_pool *pool, struct ar_tenant *tenant,
			      const struct ar_module *module)
{
	struct ar_call call = { .pool = pool,
				.tenant = tenant,
				.who = &ar_who_system,
				.input = ar_json_new(pool, AR_OBJECT),
				.face = AR_FACE_SYSTEM,
				.reply.fd = -1 };

	ar_scope_init(&call.scope, tenant->db, pool);
	if (module->demo(&call) == 0)
		return ar_commit(&call.scope);
	ar_rollback(&call.scope);
	return -1;
}

AR_YIELDS int demo_prepare(void)
{
	struct ar_pool *pool AR_CLEANUP(ar_pool_cleanup) = ar_pool_new();
	struct ar_tenant *tenant;
	int rc = 0;

	if (make(pool) != 0 || ar_tenant_acquire(DEMO, &tenant) != 0)
		return -1;
	for (const struct ar_module *const *m = ar_modules(); *m != NULL && rc == 0; m++) {
		if ((*m)->demo != NULL)
			rc = fill_one(pool, tenant, *m);
	}
	ar_tenant_release(tenant);
	return rc;
}
