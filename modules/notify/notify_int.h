/*
 * notify_int.h - what the files of notify share.
 */
#ifndef NOTIFY_INT_H
#define NOTIFY_INT_H

#include "action/action.h"
#include "notify/notify.h"

AR_YIELDS int notify_send_email(struct ar_call *call);
AR_YIELDS int notify_smtp_get(struct ar_call *call);
AR_YIELDS int notify_smtp_put(struct ar_call *call);
AR_YIELDS int notify_smtp_delete(struct ar_call *call);

#endif
