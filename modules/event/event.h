/*
 * event.h - what other modules may ask of events: nothing but their actions. They publish by the bus.
 */
#ifndef EVENT_H
#define EVENT_H

#include "action/action.h"

extern const struct ar_module event_module;

#endif
