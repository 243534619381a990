/*
 * workflow.h - what other modules may ask of workflows. Everything else goes through its actions.
 */
#ifndef WORKFLOW_H
#define WORKFLOW_H

#include "action/action.h"

extern const struct ar_module workflow_module;

#endif
