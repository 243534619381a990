/*
 * router.c - from a method and a path to the row: a trie of the routes' parts.
 *
 * A literal part wins over a {part}, a {part} over a {rest...}; the search goes back when the more
 * special way ends. A path without '%' is matched without copying anything. Names of parts belong
 * to the action, not to the trie, so two routes may name the same position differently.
 */
#include <assert.h>
#include <stdio.h>

#include "action/action_int.h"

#define PARTS_MAX      32
#define PATH_MAX_BYTES 8192

struct node {
	struct ar_str literal;  /* of the edge that leads here */
	struct node **children; /* literal ones, sorted */
	size_t nchildren;
	struct node *part, *rest;
	const struct ar_action *rows[METHODS + 1];
};

static struct node *roots[AR_ROUTE_SPACES];

const char *const method_names[METHODS] = { "GET",   "HEAD",   "POST",   "PUT",
					    "PATCH", "DELETE", "OPTIONS" };

int method_index(struct ar_str method)
{
	for (int i = 0; i < METHODS; i++) {
		if (ar_str_is(method, method_names[i]))
			return i;
	}
	return ar_str_is(method, "ANY") ? METHOD_ANY : -1;
}

/* ---- building ---- */

enum ar_route_space router_space(const struct ar_action *action)
{
	if (action->flags & AR_A_PLATFORM)
		return AR_ROUTES_PLATFORM;
	return action->flags & AR_A_ROOT ? AR_ROUTES_ROOT : AR_ROUTES_API;
}

static struct ar_str route_path(const struct ar_action *action, struct ar_str *ret_method)
{
	struct ar_str rest = ar_str(action->route);

	*ret_method = ar_str_cut(&rest, ' ');
	assert(rest.n > 1 && rest.p[0] == '/');
	return ar_str_sub(rest, 1, rest.n);
}

static bool is_part(struct ar_str s)
{
	return s.n > 2 && s.p[0] == '{' && s.p[s.n - 1] == '}';
}

static bool is_rest(struct ar_str s)
{
	return is_part(s) && ar_str_ends(s, AR_STR("...}"));
}

static struct ar_str part_name(struct ar_str s)
{
	return ar_str_sub(s, 1, s.n - (is_rest(s) ? 5 : 2));
}

static size_t child_find(const struct node *node, struct ar_str literal, bool *ret_found)
{
	size_t low = 0, high = node->nchildren;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = ar_str_cmp(node->children[mid]->literal, literal);

		if (c == 0) {
			*ret_found = true;
			return mid;
		}
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*ret_found = false;
	return low;
}

static struct node *child_make(struct node *node, struct ar_str literal)
{
	bool found;
	size_t at = child_find(node, literal, &found);

	if (found)
		return node->children[at];
	struct node *child = ar_heap_new(struct node);

	child->literal = literal;
	node->children =
		ar_heap_realloc(node->children, (node->nchildren + 1) * sizeof(struct node *));
	memmove(node->children + at + 1, node->children + at,
		(node->nchildren - at) * sizeof(struct node *));
	node->children[at] = child;
	node->nchildren++;
	return child;
}

static struct node *edge_make(struct node *node, struct ar_str part)
{
	struct node **at = is_rest(part) ? &node->rest : &node->part;

	if (!is_part(part))
		return child_make(node, part);
	if (*at == NULL)
		*at = ar_heap_new(struct node);
	return *at;
}

/* Every face but REST has nothing but the input, so each {part} must be one of its fields. */
static void check_part(const struct ar_action *action, struct ar_str part)
{
	if (is_part(part) && !(is_rest(part) && action->flags & AR_A_REST_ONLY))
		assert(action->in != NULL && ar_fields_find(action->in, part_name(part)) != NULL);
}

void router_add(const struct ar_action *action)
{
	enum ar_route_space space = router_space(action);
	struct ar_str method, path = route_path(action, &method);
	size_t nparts = 0;

	if (roots[space] == NULL)
		roots[space] = ar_heap_new(struct node);
	struct node *node = roots[space];

	while (path.p != NULL) {
		struct ar_str part = ar_str_cut(&path, '/');

		assert(part.n > 0 && (!is_rest(part) || path.p == NULL));
		nparts++;
		assert(nparts <= PARTS_MAX);
		check_part(action, part);
		node = edge_make(node, part);
	}
	int index = method_index(method);

	assert(index >= 0 && node->rows[index] == NULL); /* a route twice, or no method */
	node->rows[index] = action;
}

bool router_has_part(const struct ar_action *action, struct ar_str name)
{
	struct ar_str method, path = route_path(action, &method);

	while (path.p != NULL) {
		struct ar_str part = ar_str_cut(&path, '/');

		if (is_part(part) && ar_str_eq(part_name(part), name))
			return true;
	}
	return false;
}

static void node_free(struct node *node)
{
	if (node == NULL)
		return;
	for (size_t i = 0; i < node->nchildren; i++)
		node_free(node->children[i]);
	node_free(node->part);
	node_free(node->rest);
	ar_heap_free(node->children);
	ar_heap_free(node);
}

void router_done(void)
{
	for (int i = 0; i < AR_ROUTE_SPACES; i++) {
		node_free(roots[i]);
		roots[i] = NULL;
	}
}

/* ---- decoding ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int fail_path(const char *reason)
{
	return ar_fail(AR_E_MALFORMED, "what", "address", "reason", reason);
}

/* As nearly all parts are: nothing in it stands for something else or must be looked at twice. */
static bool is_plain(struct ar_str s, bool plus)
{
	bool special = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		special |= c == '\0' || c >= 0x80 || c == '%' || (plus && c == '+');
	}
	return !special;
}

int percent_decode(struct ar_pool *pool, struct ar_str s, bool plus, struct ar_str *ret)
{
	if (s.n == 0) {
		*ret = AR_STR("");
		return 0;
	}
	if (is_plain(s, plus)) {
		*ret = s;
		return 0;
	}
	if (memchr(s.p, '%', s.n) != NULL || (plus && memchr(s.p, '+', s.n) != NULL)) {
		char *out = ar_alloc(pool, s.n);
		size_t n = 0;

		for (size_t i = 0; i < s.n; i++) {
			int c = (unsigned char)s.p[i];

			if (c == '%') {
				int high = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
				int low = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

				if (high < 0 || low < 0)
					return fail_path("a % without two hexadecimal digits");
				c = high * 16 + low;
				i += 2;
			} else if (c == '+' && plus) {
				c = ' ';
			}
			out[n++] = (char)c;
		}
		s = ar_str_n(out, n);
	}
	if (memchr(s.p, '\0', s.n) != NULL)
		return fail_path("a NUL character");
	if (!ar_utf8_valid(s))
		return fail_path("not UTF-8");
	*ret = s;
	return 0;
}

/* "..", also behind an encoded slash. */
static bool climbs(struct ar_str s)
{
	if (s.n == 0 || memchr(s.p, '.', s.n) == NULL)
		return false;
	while (s.p != NULL) {
		struct ar_str part = ar_str_cut(&s, '/');

		if (ar_str_is(part, ".") || ar_str_is(part, ".."))
			return true;
	}
	return false;
}

/* ---- matching ---- */

struct path {
	struct ar_pool *pool;
	struct ar_str parts[PARTS_MAX]; /* decoded */
	const char *starts[PARTS_MAX];  /* of the part as sent */
	const char *end;
	size_t nparts; /* may be more than PARTS_MAX: then only {rest...} can match */
	int method;
	unsigned allowed;
	size_t rest_at; /* the part with which {rest...} began; SIZE_MAX */
};

static int path_split(struct ar_pool *pool, struct ar_str path, struct path *ret)
{
	if (path.n == 0 || path.p[0] != '/')
		return fail_path("it does not begin with /");
	if (path.n > PATH_MAX_BYTES)
		return fail_path("too long");
	struct ar_str rest = ar_str_sub(path, 1, path.n);

	ret->pool = pool;
	ret->end = path.p + path.n;
	while (rest.p != NULL) {
		struct ar_str decoded, raw = ar_str_cut(&rest, '/');

		if (percent_decode(pool, raw, false, &decoded) != 0)
			return -1;
		if (climbs(decoded))
			return fail_path("a part . or ..");
		if (ret->nparts < PARTS_MAX) {
			ret->parts[ret->nparts] = decoded;
			ret->starts[ret->nparts] = raw.p;
		}
		ret->nparts++;
	}
	return 0;
}

static const struct ar_action *node_row(const struct node *node, struct path *path)
{
	const struct ar_action *any = node->rows[METHOD_ANY];

	for (int i = 0; i < METHODS; i++) {
		if (node->rows[i] != NULL || any != NULL)
			path->allowed |= 1u << i;
	}
	if (path->method < 0)
		return NULL;
	const struct ar_action *row = node->rows[path->method];

	if (row == NULL && path->method == METHOD_HEAD)
		row = node->rows[METHOD_GET];
	return row != NULL ? row : any;
}

static const struct ar_action *walk(const struct node *node, struct path *path, size_t at)
{
	const struct ar_action *row;
	bool found;

	if (at == path->nparts) {
		row = node_row(node, path);
		if (row == NULL && node->rest != NULL && node->rest->rows[METHOD_ANY] != NULL) {
			path->rest_at = at;
			row = node_row(node->rest, path);
		}
		return row;
	}
	if (at >= PARTS_MAX)
		return NULL;
	size_t child = child_find(node, path->parts[at], &found);

	if (found && (row = walk(node->children[child], path, at + 1)) != NULL)
		return row;
	if (node->part != NULL && path->parts[at].n > 0 &&
	    (row = walk(node->part, path, at + 1)) != NULL)
		return row;
	if (node->rest == NULL || (row = node_row(node->rest, path)) == NULL)
		return NULL;
	path->rest_at = at;
	return row;
}

static int match_params(const struct path *path, struct ar_route_match *match)
{
	struct ar_str method, route = route_path(match->action, &method);

	for (size_t i = 0; route.p != NULL; i++) {
		struct ar_str value, part = ar_str_cut(&route, '/');

		if (!is_part(part))
			continue;
		value = i < path->nparts ? path->parts[i] : AR_STR("");
		if (i == path->rest_at && i < path->nparts) {
			const char *start = path->starts[i];

			if (percent_decode(path->pool, ar_str_n(start, (size_t)(path->end - start)),
					   false, &value) != 0)
				return -1;
			match->rest = value;
		}
		assert(match->nparams < AR_COUNT(match->params));
		match->params[match->nparams].name = part_name(part);
		match->params[match->nparams++].value = value;
	}
	return 0;
}

int ar_route_match(struct ar_pool *pool, struct ar_str method, struct ar_str path,
		   enum ar_route_space space, struct ar_route_match *ret)
{
	struct path split = { .method = method_index(method), .rest_at = SIZE_MAX };
	struct ar_route_match match = { 0 };

	if (split.method == METHOD_ANY)
		split.method = -1;
	if (path_split(pool, path, &split) != 0)
		return -1;
	match.action = roots[space] != NULL ? walk(roots[space], &split, 0) : NULL;
	if (match.action == NULL) {
		if (split.allowed == 0)
			return ar_fail(AR_E_NOT_FOUND, "what", "address");
		ret->allowed_methods = split.allowed;
		return ar_fail(AR_E_METHOD);
	}
	if (match_params(&split, &match) != 0)
		return -1;
	*ret = match;
	return 0;
}

void ar_route_methods(unsigned methods, char *out, size_t cap)
{
	size_t n = 0;

	assert(cap > 0);
	if (methods & 1u << METHOD_GET)
		methods |= 1u << METHOD_HEAD;
	out[0] = '\0';
	for (int i = 0; i < METHODS; i++) {
		if (methods & 1u << i) {
			int more = snprintf(out + n, cap - n, "%s%s", n > 0 ? ", " : "",
					    method_names[i]);

			n = AR_MIN(n + (size_t)more, cap - 1);
		}
	}
}
