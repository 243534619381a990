/*
 * registry.c - which modules and actions there are: filled at start, read-only once loops run.
 *
 * Registration asserts what a reader of a table could get wrong: a name or route twice, a route
 * whose {part} no input field takes, a missing permission. Those are bugs of ours, found at start.
 */
#include <assert.h>

#include "action/action_int.h"

static const struct ar_module *modules[MODULES_MAX + 1];
static size_t nmodules;
static struct {
	const struct ar_action *action;
	const char *module;
	struct action_metrics metrics;
} actions[ACTIONS_MAX];
static size_t nactions;
static struct ar_map *by_name; /* also by alias; value: index + 1 */
static ar_authenticate_fn *authenticate;

const struct ar_err_def AR_E_ACTION_UNKNOWN[1] = { { "action/unknown", 404 } };
const struct ar_err_def AR_E_ACTION_FACE[1] = { { "action/face", 422 } };
const struct ar_err_def AR_E_ACTION_DEPTH[1] = { { "action/depth", 422 } };
const struct ar_err_def AR_E_KEY_REUSED[1] = { { "action/key-reused", 422 } };
const struct ar_err_def AR_E_KEY_RUNNING[1] = { { "action/key-running", 409 } };
const struct ar_err_def AR_E_KEY_SECRET[1] = { { "action/key-secret", 409 } };
const struct ar_err_def AR_E_KEYS_FULL[1] = { { "action/keys-full", 429 } };

static void name_add(const char *name)
{
	void *before = ar_map_set(by_name, ar_str(name), (void *)(uintptr_t)(nactions + 1));

	assert(before == NULL); /* two actions of one name */
	(void)before;
}

static void action_add(const struct ar_module *module, const struct ar_action *action)
{
	assert(nactions < ACTIONS_MAX);
	assert(action->route != NULL && action->allow != NULL && action->run != NULL);
	name_add(action->name);
	if (action->alias != NULL)
		name_add(action->alias);
	if (action->body != NULL)
		assert(ar_fields_find(action->in, ar_str(action->body)) != NULL);
	actions[nactions].action = action;
	actions[nactions++].module = module->name;
	router_add(action);
	mask_learn(action);
}

void ar_action_register(const struct ar_module *module)
{
	assert(nmodules < MODULES_MAX);
	for (size_t i = 0; i < nmodules; i++)
		assert(strcmp(modules[i]->name, module->name) != 0);
	if (by_name == NULL)
		by_name = ar_map_new();
	modules[nmodules++] = module;
	for (const struct ar_action *a = module->actions; a != NULL && a->name != NULL; a++)
		action_add(module, a);
}

void ar_action_done(void)
{
	ar_map_free(by_name, NULL);
	by_name = NULL;
	memset(modules, 0, sizeof(modules));
	nmodules = nactions = 0;
	authenticate = NULL;
	router_done();
	memset(actions, 0, sizeof(actions));
	openapi_done();
	messages_done();
	mask_done();
	replies_done();
}

const struct ar_module *const *ar_modules(void)
{
	return modules;
}

static size_t find_index(struct ar_str name)
{
	return by_name != NULL ? (uintptr_t)ar_map_get(by_name, name) : 0;
}

const struct ar_action *ar_action_find(struct ar_str name)
{
	size_t index = find_index(name);

	return index > 0 ? actions[index - 1].action : NULL;
}

size_t action_count(void)
{
	return nactions;
}

const struct ar_action *action_at(size_t index)
{
	return actions[index].action;
}

const char *action_module(size_t index)
{
	return actions[index].module;
}

size_t action_index(const struct ar_action *action)
{
	size_t index = find_index(ar_str(action->name));

	assert(index > 0);
	return index - 1;
}

struct action_metrics *action_metrics(const struct ar_action *action)
{
	return &actions[action_index(action)].metrics;
}

void ar_action_set_authenticate(ar_authenticate_fn *fn)
{
	authenticate = fn;
}

ar_authenticate_fn *ar_action_authenticate(void)
{
	return authenticate;
}
