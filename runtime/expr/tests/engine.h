/*
 * engine.h - a store that answers: which rows of table r does a condition find?
 */
#ifndef AR_TEST_ENGINE_H
#define AR_TEST_ENGINE_H

#include "expr/tests/random.h"

#define ROWS        24
#define COLUMNS_MAX 16

struct engine {
	enum ar_expr_dialect dialect;
	bool (*open)(void); /* false: not there */
	void (*fill)(struct ar_pool *pool, struct ar_json cells[ROWS][COLUMNS_MAX]);
	/* Rows as bits; problem is the engine's own word when it refuses the SQL. */
	uint64_t (*ask)(struct ar_pool *pool, struct ar_sql *sql, const char **problem);
};
extern const struct engine engine; /* one per program */

#endif
