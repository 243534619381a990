/*
 * locale.c - a tenant's locales, the chain in which messages are looked for, and the slot that
 * remembers locales and messages until they change.
 */
#include "i18n/i18n_int.h"

#include "i18n/remember.h"

static void locale_free(void *value)
{
	ar_heap_free(value);
}

static void remembered_free(void *value)
{
	struct i18n_remembered *r = value;

	ar_map_free(r->fallbacks, locale_free);
	ar_map_free(r->messages, locale_free);
	ar_pool_free(r->pool);
}

AR_YIELDS static int remembered_load(struct ar_tenant *tenant, void **ret)
{
	struct ar_pool *pool = ar_pool_new();
	struct i18n_remembered *r = ar_new(pool, struct i18n_remembered);
	struct ar_scope scope;
	struct ar_rows rows;

	r->pool = pool;
	r->fallbacks = ar_map_new();
	r->messages = ar_map_new();
	r->otherwise = AR_STR("en");
	ar_scope_init(&scope, tenant->db, pool);
	if (ar_query(&scope, &rows,
		     "SELECT locale, fallback, is_default FROM i18n_locales LIMIT 500",
		     AR_NO_ARGS) != 0) {
		remembered_free(r);
		return -1;
	}
	while (ar_rows_next(&rows)) {
		ar_heap_free(ar_map_set(r->fallbacks, ar_col_str(&rows, 0),
					ar_heap_strz(ar_col_str(&rows, 1))));
		if (ar_col_int(&rows, 2) != 0)
			r->otherwise = ar_str_dup(pool, ar_col_str(&rows, 0));
	}
	*ret = r;
	return 0;
}

struct ar_tenant_slot i18n_slot = { .name = "i18n",
				    .load = remembered_load,
				    .unload = remembered_free };

int i18n_changes(struct ar_call *call)
{
	return ar_tenant_changes(call->tenant, &i18n_slot, &call->scope);
}

AR_YIELDS int i18n_remembered_get(struct ar_call *call, struct i18n_remembered **ret)
{
	void *value;

	if (ar_tenant_use(call->tenant, &i18n_slot, call->pool, &value) != 0)
		return -1;
	*ret = value;
	return 0;
}

static bool listed(const struct ar_str *chain, size_t n, struct ar_str locale)
{
	for (size_t i = 0; i < n; i++)
		if (ar_str_eq(chain[i], locale))
			return true;
	return false;
}

struct ar_str i18n_locale_in(struct ar_call *call)
{
	return i18n_locale_canonical(call->pool, ar_in_str(call, "locale"));
}

/* Adds a locale and what it falls back to, as long as there is room for the default. */
static void chain_add(struct ar_call *call, const struct i18n_remembered *r, struct ar_str locale,
		      struct ar_str *chain, size_t *n)
{
	struct ar_str at = locale;

	while (at.n > 0 && *n < I18N_CHAIN_MAX - 1 && !listed(chain, *n, at)) {
		const char *fallback = ar_map_get(r->fallbacks, at);

		chain[(*n)++] = at;
		at = fallback != NULL && fallback[0] != 0 ? ar_str(fallback)
							  : i18n_locale_parent(call->pool, at);
	}
}

#define ASKED_MAX 5 /* languages of one Accept-Language */

struct asked {
	struct ar_str locale;
	double weight;
};

/* "fr-CH, fr;q=0.9, *;q=0.5": in order of weight, as sent among equals. What is no locale is left out. */
static size_t accepted(struct ar_call *call, struct asked *asked)
{
	struct ar_str rest = call->language;
	size_t n = 0, at;

	while (rest.p != NULL && n < ASKED_MAX) {
		struct ar_str params = ar_str_cut(&rest, ','), tag = ar_str_cut(&params, ';'),
			      value;
		struct asked one = { i18n_locale_canonical(call->pool, ar_str_trim(tag)), 1 };

		value = params;
		ar_str_cut(&value, '=');
		if (params.n > 0 && !ar_str_float(ar_str_trim(value), &one.weight))
			continue;
		if (!i18n_locale_valid(one.locale) || one.weight <= 0)
			continue;
		for (at = n++; at > 0 && asked[at - 1].weight < one.weight; at--)
			asked[at] = asked[at - 1];
		asked[at] = one;
	}
	return n;
}

AR_YIELDS int i18n_chain(struct ar_call *call, struct ar_str *chain, size_t *ret_n,
			 struct ar_str *ret_asked)
{
	struct asked asked[ASKED_MAX] = { { i18n_locale_in(call), 1 } };
	size_t nasked = asked[0].locale.n > 0 ? 1 : accepted(call, asked), n = 0;
	struct i18n_remembered *r;

	if (i18n_remembered_get(call, &r) != 0)
		return -1;
	for (size_t i = 0; i < nasked; i++)
		chain_add(call, r, asked[i].locale, chain, &n);
	if (!listed(chain, n, r->otherwise))
		chain[n++] = r->otherwise;
	*ret_n = n;
	*ret_asked = nasked > 0 ? asked[0].locale : r->otherwise;
	return 0;
}

/* ---- the actions ---- */

AR_YIELDS int i18n_locales_get(struct ar_call *call)
{
	struct ar_rows rows;
	struct ar_jw *w;

	if (ar_query(&call->scope, &rows,
		     "SELECT locale, fallback, is_default FROM i18n_locales ORDER BY locale LIMIT "
		     "500",
		     AR_NO_ARGS) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "locales");
	ar_jw_array(w);
	while (ar_rows_next(&rows)) {
		ar_jw_object(w);
		ar_jw_keyz(w, "locale");
		ar_jw_str(w, ar_col_str(&rows, 0));
		ar_jw_keyz(w, "fallback");
		ar_jw_str(w, ar_col_str(&rows, 1));
		ar_jw_keyz(w, "default");
		ar_jw_bool(w, ar_col_int(&rows, 2) != 0);
		ar_jw_object_end(w);
	}
	ar_jw_array_end(w);
	ar_jw_object_end(w);
	return 0;
}

/* Replaces the list; messages of a locale that is no longer in it stay. */
AR_YIELDS int i18n_locales_put(struct ar_call *call)
{
	const struct ar_json *locales = ar_in(call, "locales");
	int defaults = 0;

	if (ar_exec(&call->scope, "DELETE FROM i18n_locales", AR_NO_ARGS, NULL) != 0)
		return -1;
	ar_json_each (l, locales) {
		bool is_default = ar_json_truth(l, "default", false);
		struct ar_str locale = ar_json_text(l, "locale", AR_STR(""));
		struct ar_str fallback = ar_json_text(l, "fallback", AR_STR(""));

		defaults += is_default;
		locale = i18n_locale_canonical(call->pool, locale);
		fallback = i18n_locale_canonical(call->pool, fallback);
		if (ar_exec(&call->scope,
			    "INSERT INTO i18n_locales (locale, fallback, is_default) VALUES (?, ?, "
			    "?)",
			    AR_ARGS(AR_J_STR(locale), AR_J_STR(fallback),
				    AR_J_INT(is_default ? 1 : 0)),
			    NULL) != 0)
			return ar_err_is(AR_E_UNIQUE) ? ar_fail_field("locales", "unique") : -1;
	}
	if (defaults != 1)
		return ar_fail_field("locales", "one-default");
	return i18n_changes(call) != 0 ? -1 : i18n_locales_get(call);
}
