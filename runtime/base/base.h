/*
 * base.h - what every room stands on: attributes, strings, pools, buffers, errors, log, time, ids.
 *
 * Including this one header gives the whole room. Nothing here waits, and nothing here knows
 * fibers, tenants or HTTP. Allocation never returns NULL (out of memory ends the process); sizes
 * that a user controls are bounded by the caller before they reach an allocator.
 */
#ifndef AR_BASE_H
#define AR_BASE_H

#include "base/attr.h"
#include "base/str.h"
#include "base/pool.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/crypt.h"
#include "base/log.h"
#include "base/map.h"
#include "base/list.h"
#include "base/embed.h"
#include "base/file.h"

#endif
