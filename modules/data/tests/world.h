/*
 * world.h - a tenant with the data module, and calls as different people, for the tests of data.
 */
#ifndef DATA_TEST_WORLD_H
#define DATA_TEST_WORLD_H

#include "bus/bus.h"
#include "data/data.h"
#include "data/data_int.h"
#include "tests/harness/house.h"

struct world {
	struct ar_pool *pool;
	struct ar_tenant *tenant;
	const struct ar_who *who; /* of the next calls */
	struct ar_who ann, bob;   /* users without permissions */
};

static inline struct ar_json *json(struct world *w, const char *text)
{
	static const struct ar_json_limits wide = { 8 << 20, 64, 1000000 };
	struct ar_json *value = NULL;

	if (ar_json_parse(w->pool, ar_str(text), &wide, &value) != 0)
		fail_msg("not JSON: %.300s", text);
	return value;
}

static inline struct ar_who user(struct world *w, const char *id)
{
	const char *auth = ar_printf(w->pool, "{\"id\":\"%s\",\"roles\":[\"staff\"]}", id);

	return (struct ar_who){ .kind = AR_WHO_USER, .id = ar_str(id), .auth = json(w, auth) };
}

/* Calls an action. The input is JSON text with ' for ". */
static inline AR_YIELDS int call(struct world *w, const char *action, const char *input,
				 struct ar_json **ret)
{
	struct ar_json *ignored;
	char *text = ar_strz(w->pool, ar_str(input));
	struct ar_invoke invoke = {
		.tenant = w->tenant, .who = w->who, .face = AR_FACE_LUA, .action = ar_str(action)
	};

	for (char *p = text; *p != '\0'; p++)
		*p = *p == '\'' ? '"' : *p;
	invoke.input = json(w, text);
	return ar_action_invoke(w->pool, &invoke, ret != NULL ? ret : &ignored);
}

#define CALL(w, action, input, ...)                                                                \
	call((w), (action), ar_printf((w)->pool, (input), ##__VA_ARGS__), NULL)

/* The call works; its reply. */
static inline AR_YIELDS struct ar_json *good(struct world *w, const char *action, const char *input)
{
	struct ar_json *ret = NULL;

	if (call(w, action, input, &ret) != 0)
		fail_msg("%s %.300s: %s %s", action, input, ar_err()->def->slug,
			 ar_err()->why != NULL ? ar_err()->why : "");
	return ret;
}
#define GOOD(w, action, input, ...)                                                                \
	good((w), (action), ar_printf((w)->pool, (input), ##__VA_ARGS__))

/* The last error blames this field with this code. */
static inline void assert_blames(const char *path, const char *code)
{
	const struct ar_err *err = ar_err();

	assert_non_null(err);
	for (const struct ar_err_field *f = err->fields; f != NULL; f = f->next)
		if (strcmp(f->path, path) == 0 && strcmp(f->code, code) == 0)
			return;
	for (const struct ar_err_field *f = err->fields; f != NULL; f = f->next)
		print_error("%s: %s\n", f->path, f->code);
	fail_msg("%s does not blame %s for %s", err->def->slug, path, code);
}
#define BLAMES(w, path, code, action, input, ...)                                                  \
	do {                                                                                       \
		assert_int_equal(CALL(w, action, input, ##__VA_ARGS__), -1);                       \
		assert_blames(path, code);                                                         \
	} while (0)

static inline const char *text_of(struct world *w, const struct ar_json *value)
{
	return ar_strz(w->pool, ar_json_print(w->pool, value));
}

static inline const char *id_of(struct world *w, const struct ar_json *record)
{
	return ar_strz(w->pool, ar_json_text(record, "id", AR_STR_NONE));
}

/* One member of each item, joined by commas. */
static inline const char *items(struct world *w, const struct ar_json *reply, const char *member)
{
	struct ar_buf *buf = ar_buf_new(w->pool, 1 << 20);

	ar_json_each (item, ar_json_get(reply, "items")) {
		const struct ar_json *v = ar_json_get(item, member);

		if (buf->n > 0)
			ar_buf_char(buf, ',');
		if (v != NULL && v->type == AR_STRING)
			ar_buf_str(buf, v->s);
		else
			ar_buf_str(buf, v != NULL ? ar_json_print(w->pool, v) : AR_STR("-"));
	}
	return ar_strz(w->pool, ar_buf_view(buf));
}

static inline void world_run(void *arg)
{
	void (*body)(struct world *) = arg;
	struct world w = { .pool = ar_pool_new(), .who = &ar_who_system };

	if (ar_tenant_delete(AR_STR("acme")) != 0) /* a server keeps it from the test before */
		ar_err_clear();
	assert_ok(ar_tenant_create(AR_STR("acme"), NULL, NULL));
	assert_ok(ar_tenant_acquire(AR_STR("acme"), &w.tenant));
	w.ann = user(&w, "ann");
	w.bob = user(&w, "bob");
	body(&w);
	ar_tenant_release(w.tenant);
	ar_pool_free(w.pool);
}

static inline void world(void (*body)(struct world *))
{
	static const struct ar_migration_set sets[] = { { "action", ar_action_migrations },
							{ "setting", ar_setting_migrations },
							{ "bus", ar_bus_migrations },

							{ "data", data_migrations },
							{ 0 } };

	ar_action_register(&data_module);
	house_open(sets);
	assert_int_equal(data_module.start(), 0);
	house_run(world_run, body);
	house_close();
	ar_action_done();
}

#define TEST(name) TEST_IN(name, world, struct world *w)

#endif
