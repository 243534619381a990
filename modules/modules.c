/*
 * modules.c - the visible list. Order is meaning: migrations and hooks run in it, ends in reverse.
 */
#include "modules.h"

#include "auth/auth.h"
#include "data/data.h"
#include "event/event.h"
#include "function/function.h"
#include "i18n/i18n.h"
#include "notify/notify.h"
#include "storage/storage.h"
#include "workflow/workflow.h"

const struct ar_module *const ar_all_modules[] = {
	&ar_core_module,  &auth_module,     &data_module, &event_module,  &storage_module,
	&function_module, &workflow_module, &i18n_module, &notify_module, NULL,
};
