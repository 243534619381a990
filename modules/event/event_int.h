/*
 * event_int.h - what the files of event share.
 */
#ifndef EVENT_INT_H
#define EVENT_INT_H

#include "action/action.h"
#include "action/list.h"
#include "bus/bus.h"
#include "event/event.h"

extern const struct ar_err_def EVENT_E_RESERVED[1]; /* 422 event/reserved: topic */
extern const struct ar_err_def EVENT_E_NAME[1];     /* 422 event/name: name */

AR_YIELDS int event_publish(struct ar_call *call);
AR_YIELDS int event_list(struct ar_call *call);
AR_YIELDS int event_subscription_list(struct ar_call *call);
AR_YIELDS int event_subscription_put(struct ar_call *call);
AR_YIELDS int event_subscription_delete(struct ar_call *call);
AR_YIELDS int event_dead_list(struct ar_call *call);
AR_YIELDS int event_dead_redrive(struct ar_call *call);
AR_YIELDS int event_dead_delete(struct ar_call *call);

#endif
