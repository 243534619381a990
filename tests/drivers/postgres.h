/*
 * postgres.h - a store on the PostgreSQL server of the test, with the options that a test wants.
 */
#ifndef POSTGRES_TEST_H
#define POSTGRES_TEST_H

#include "store/postgres/postgres_int.h"
#include "tests/drivers/rig.h"

static struct rig rig;
static struct ar_pool *pool;
static int server_port;

#define TEST_WITH(name, ...)                                                                       \
	static void name##_body(void *arg, int index);                                             \
	static void name(void **state)                                                             \
	{                                                                                          \
		rig_once(&rig, &(struct ar_store_options){ __VA_ARGS__ }, name##_body);            \
	}                                                                                          \
	static void name##_body(void *arg, int index)
#define TEST(name) TEST_WITH(name, .idle_ms = 0)

static inline void rows_of(struct ar_scope *scope, const char *sql, struct ar_rows *ret)
{
	CHECK(ar_query(scope, ret, sql, AR_NO_ARGS) == 0);
}

static inline void warm_up(void *arg, int index)
{
	struct ar_scope scope;
	struct ar_rows rows;
	struct ar_pool *mine = ar_pool_new();

	ar_scope_init(&scope, arg, mine);
	rows_of(&scope, "SELECT pg_sleep(0.02)", &rows);
	ar_pool_free(mine);
}

static inline int make(void **state)
{
	const char *url = getenv("APPRUN_TEST_STORE"),
		   *port = url == NULL ? NULL : strrchr(url, ':');

	assert_non_null(port);
	server_port = (int)strtol(port + 1, NULL, 10);
	pool = ar_pool_new();
	rig_make(&rig, "postgres");
	return 0;
}

static inline int unmake(void **state)
{
	ar_pool_free(pool);
	rig_remove(&rig);
	return 0;
}

#endif
