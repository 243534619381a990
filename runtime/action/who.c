/*
 * who.c - who calls, and what they may.
 *
 * Permissions are names with dots ("auth.users.write") or colons ("customer:read"), compared byte by
 * byte. "*" allows everything, "auth.*" what begins with "auth.". Deny is the default.
 */
#include <stdlib.h>

#include "action/action_int.h"

const char *const ar_auth_members[] = { "id",    "email",       "name", "verified",
					"roles", "permissions", NULL };

static const struct ar_str everything[1] = { { "*", 1 } };

const struct ar_who ar_who_anyone = { .kind = AR_WHO_ANYONE };
const struct ar_who ar_who_system = {
	.kind = AR_WHO_SYSTEM, .id = { "system", 6 }, .permissions = everything, .npermissions = 1
};

static bool granted(struct ar_str have, struct ar_str want)
{
	if (have.n > 0 && have.p[have.n - 1] == '*') {
		struct ar_str prefix = ar_str_sub(have, 0, have.n - 1);

		if (prefix.n == 0)
			return true;
		char last = prefix.p[prefix.n - 1];

		return (last == '.' || last == ':') && ar_str_starts(want, prefix);
	}
	return ar_str_eq(have, want);
}

bool ar_who_may(const struct ar_who *who, struct ar_str permission)
{
	if (permission.n == 0)
		return false;
	for (size_t i = 0; i < who->npermissions; i++) {
		if (granted(who->permissions[i], permission))
			return true;
	}
	return false;
}

static int by_bytes(const void *a, const void *b)
{
	return ar_str_cmp(*(const struct ar_str *)a, *(const struct ar_str *)b);
}

struct ar_who *ar_who_limited(struct ar_pool *pool, enum ar_who_kind kind, struct ar_str id,
			      const struct ar_json *permissions)
{
	struct ar_who *who = ar_new(pool, struct ar_who);
	size_t count =
		permissions != NULL && permissions->type == AR_ARRAY ? permissions->count : 0;
	struct ar_str *list = ar_new_n(pool, struct ar_str, count);

	who->kind = kind;
	who->id = ar_str_dup(pool, id);
	who->permissions = list;
	if (count == 0)
		return who;
	ar_json_each (one, permissions) {
		if (one->type == AR_STRING && one->s.n > 0)
			list[who->npermissions++] = ar_str_dup(pool, one->s);
	}
	qsort(list, who->npermissions, sizeof(*list), by_bytes);
	return who;
}
