/*
 * offload.c - threads for what would block a loop: two pools, file and library work (IO) and
 * computing (CPU), so that fifty sign-ins do not hold up a commit.
 *
 * Threads are started as work comes, up to a limit, and stay. Each queue is bounded: beyond it the
 * caller gets AR_E_UNAVAILABLE at once. A fiber that is cancelled, or whose deadline passes, while
 * its job is queued takes the job out and returns; once a thread has it, the fiber waits for it.
 * CPU threads run at a lower priority than the loops.
 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fiber/fiber_int.h"

#define IO_QUEUE_MAX   4096
#define CPU_QUEUE_MAX  256 /* of a bcrypt's 200 ms each: nobody waits longer than that anyway */
#define IO_THREADS_MIN 4
#define THREADS_MAX    64
#define THREAD_STACK   (1024 * 1024)
#define CPU_NICE       5

struct job {
	struct job *next, *prev;
	bool queued;
	int (*fn)(void *arg);    /* of a fiber that waits */
	void (*post)(void *arg); /* or of somebody who does not: then the job is on the heap */
	void *arg;
	struct ar_loop *loop;
	void (*done)(void *arg);
	int result;
	struct ar_fiber *fiber;
	struct ar_errstack *errors;
	struct ar_log_context *log;
	struct pool *pool;
	bool finished; /* the loop's thread has seen the result */
	struct ar_message message;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct job *first;
	size_t queued, queue_max;
	int idle, nthreads, threads_max;
	pthread_t threads[THREADS_MAX];
	int nice;
	bool running, stopping;
};

static struct pool pools[2] = {
	[AR_OFFLOAD_IO] = { .lock = PTHREAD_MUTEX_INITIALIZER,
			    .work = PTHREAD_COND_INITIALIZER,
			    .queue_max = IO_QUEUE_MAX },
	[AR_OFFLOAD_CPU] = { .lock = PTHREAD_MUTEX_INITIALIZER,
			     .work = PTHREAD_COND_INITIALIZER,
			     .queue_max = CPU_QUEUE_MAX,
			     .nice = CPU_NICE },
};

/* ---- the queue: under the pool's lock ---- */

static void queue_add(struct pool *pool, struct job *job)
{
	DL_APPEND(pool->first, job);
	job->queued = true;
	pool->queued++;
}

static void queue_remove(struct pool *pool, struct job *job)
{
	DL_DELETE(pool->first, job);
	job->queued = false;
	pool->queued--;
}

/* ---- threads ---- */

static void job_run(struct job *job)
{
	struct ar_log_context *log = ar_log_context_use(job->log);

	ar_err_clear();
	if (job->fn != NULL) {
		job->result = job->fn(job->arg);
		/* the fiber waits, so its error stack is ours for the moment */
		if (job->result != 0 && ar_err() != NULL) {
			struct ar_errstack *own = ar_errstack_use(job->errors);

			ar_errstack_use(own);
			ar_errstack_move(job->errors, own);
		}
		ar_log_context_use(log);
		ar_post_message(job->loop, &job->message);
		return;
	}
	job->post(job->arg);
	ar_log_context_use(log);
	if (job->loop != NULL && job->done != NULL)
		ar_post(job->loop, job->done, job->arg);
	ar_heap_free(job);
}

static void *thread_main(void *arg)
{
	struct pool *pool = arg;

	if (pool->nice != 0) /* Linux: of this thread alone */
		setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), pool->nice);
	pthread_mutex_lock(&pool->lock);
	for (;;) {
		struct job *job = pool->first;

		if (job == NULL) {
			if (pool->stopping)
				break;
			pool->idle++;
			pthread_cond_wait(&pool->work, &pool->lock);
			pool->idle--;
			continue;
		}
		queue_remove(pool, job);
		pthread_mutex_unlock(&pool->lock);
		job_run(job);
		pthread_mutex_lock(&pool->lock);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Under the lock. Fails only when there is no thread at all. */
static int pool_need_thread(struct pool *pool)
{
	pthread_attr_t attr;
	int rc;

	if ((size_t)pool->idle > pool->queued || pool->nthreads >= pool->threads_max)
		return 0;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	rc = pthread_create(&pool->threads[pool->nthreads], &attr, thread_main, pool);
	pthread_attr_destroy(&attr);
	if (rc == 0)
		pool->nthreads++;
	return pool->nthreads > 0 ? 0 : -1;
}

static int job_submit(struct pool *pool, struct job *job)
{
	int rc = -1;

	pthread_mutex_lock(&pool->lock);
	if (pool->running && !pool->stopping && pool->queued < pool->queue_max &&
	    pool_need_thread(pool) == 0) {
		queue_add(pool, job);
		pthread_cond_signal(&pool->work);
		rc = 0;
	}
	pthread_mutex_unlock(&pool->lock);
	return rc == 0 ? 0 : ar_fail(AR_E_UNAVAILABLE, "what", "offload");
}

int ar_offload_start(int threads)
{
	int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
	int cpu = threads > 0 ? threads : AR_MAX(1, cores);
	int io = threads > 0 ? threads : AR_MAX(IO_THREADS_MIN, 2 * cores);

	pools[AR_OFFLOAD_CPU].threads_max = AR_MIN(cpu, THREADS_MAX);
	pools[AR_OFFLOAD_IO].threads_max = AR_MIN(io, THREADS_MAX);
	for (size_t i = 0; i < AR_COUNT(pools); i++) {
		pthread_mutex_lock(&pools[i].lock);
		assert(!pools[i].running);
		pools[i].running = true;
		pools[i].stopping = false;
		pthread_mutex_unlock(&pools[i].lock);
	}
	return 0;
}

void ar_offload_stop(void)
{
	for (size_t i = 0; i < AR_COUNT(pools); i++) {
		struct pool *pool = &pools[i];

		pthread_mutex_lock(&pool->lock);
		pool->stopping = true;
		pthread_cond_broadcast(&pool->work);
		pthread_mutex_unlock(&pool->lock);
		for (int t = 0; t < pool->nthreads; t++)
			pthread_join(pool->threads[t], NULL);
		pool->nthreads = 0;
		pool->running = false;
	}
}

/* ---- callers ---- */

static void job_arrive(void *arg)
{
	struct job *job = arg;

	job->finished = true;
	if (job->fiber->waiting)
		ar_fiber_ready(job->fiber, AR_WHY_WOKEN);
}

static bool job_give_up(struct ar_fiber *fiber, void *arg)
{
	struct job *job = arg;
	bool taken;

	pthread_mutex_lock(&job->pool->lock);
	taken = job->queued;
	if (taken)
		queue_remove(job->pool, job);
	pthread_mutex_unlock(&job->pool->lock);
	return taken;
}

int ar_offload(enum ar_offload_kind kind, int (*fn)(void *arg), void *arg)
{
	struct ar_fiber *fiber = ar_self();
	struct job job = {
		.fn = fn,
		.arg = arg,
		.pool = &pools[kind],
		.fiber = fiber,
		.message = { .fn = job_arrive, .arg = &job },
	};

	if (ar_fiber_check(fiber) != 0)
		return -1;
	job.loop = fiber->loop;
	job.errors = fiber->errors;
	job.log = ar_log_context_use(NULL);
	ar_log_context_use(job.log);
	if (job_submit(job.pool, &job) != 0)
		return -1;
	if (ar_fiber_result(ar_fiber_wait(job_give_up, &job, AR_NO_DEADLINE)) != 0)
		return -1;
	assert(job.finished);
	return job.result;
}

int ar_offload_post(enum ar_offload_kind kind, void (*fn)(void *arg), struct ar_loop *loop,
		    void (*done)(void *arg), void *arg)
{
	struct job *job = ar_heap_new(struct job);

	job->post = fn;
	job->arg = arg;
	job->loop = loop;
	job->done = done;
	job->pool = &pools[kind];
	if (job_submit(job->pool, job) != 0) {
		ar_heap_free(job);
		return -1;
	}
	return 0;
}
