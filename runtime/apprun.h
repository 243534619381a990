/*
 * apprun.h - the one header that a module needs: actions, lists, the store, events.
 */
#ifndef APPRUN_H
#define APPRUN_H

#include "action/action.h"
#include "action/list.h"
#include "bus/bus.h"

#endif
