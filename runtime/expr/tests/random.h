/*
 * random.h - random expressions over one table of every type, and random rows for it.
 */
#ifndef AR_TEST_RANDOM_H
#define AR_TEST_RANDOM_H

#include "expr/expr.h"

struct column {
	const char *name;
	enum ar_expr_type type;
};
extern const struct column columns[];
extern const size_t columns_count;

extern uint64_t random_state;
size_t random_below(size_t n);

/* Appends a condition; most are well typed, some are not (the checker refuses them). */
void random_condition(struct ar_buf *out, int depth);
/* A value for a column, often null, from few values so that comparisons meet. */
struct ar_json random_cell(struct ar_pool *pool, const struct column *column);

#endif
