/*
 * list.h - lists whose links lie in what they hold: utlist's, the one place that includes it.
 *
 * A struct x in a list has `struct x *next, *prev`; the list is a pointer to the first, NULL when
 * empty. The first's prev is the last, and the last's next is NULL:
 *
 *	DL_APPEND(list, x)   DL_PREPEND(list, x)   DL_DELETE(list, x)   list->prev: the last one
 *
 * What was taken out keeps its old links.
 */
#ifndef AR_LIST_LINKS_H
#define AR_LIST_LINKS_H

#include <assert.h>
#include <utlist.h>

/* The same, and the analyzer is told what it cannot see: a first one that is not alone has a next. */
#undef DL_DELETE
#define DL_DELETE(list, x)                                                                         \
	do {                                                                                       \
		assert((x) != (list) || (x)->prev == (x) || (x)->next != NULL);                    \
		DL_DELETE2(list, x, prev, next);                                                   \
	} while (0)

#endif
