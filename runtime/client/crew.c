/*
 * crew.c - threads that start when there is work and end when there has been none for a while.
 *
 * A job waits in the queue while its key has its share of threads. Threads are detached: a look-up
 * that the C library does not give up in time holds nobody else.
 */
#include <pthread.h>
#include <time.h>

#include "client/client_int.h"

#define IDLE_SECONDS 10
#define STACK_BYTES  (512 << 10)

struct crew_key {
	char *key;
	int running;
	struct crew_key *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for moments only: one is enough */
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;

static struct crew_key **key_find(struct crew *crew, const char *key)
{
	struct crew_key **at = &crew->keys;

	while (*at != NULL && strcmp((*at)->key, key) != 0)
		at = &(*at)->next;
	return at;
}

static void key_enter(struct crew *crew, const char *key)
{
	struct crew_key **at = key_find(crew, key);

	if (*at == NULL) {
		*at = ar_heap_new(struct crew_key);
		(*at)->key = ar_heap_strz(ar_str(key));
	}
	(*at)->running++;
}

static void key_leave(struct crew *crew, const char *key)
{
	struct crew_key **at = key_find(crew, key), *k = *at;

	if (k == NULL || --k->running > 0)
		return;
	*at = k->next;
	ar_heap_free(k->key);
	ar_heap_free(k);
}

/* The first job whose key has room. */
static struct crew_job *job_take(struct crew *crew)
{
	for (struct crew_job **at = &crew->first; *at != NULL; at = &(*at)->next) {
		struct crew_job *job = *at;
		const struct crew_key *k = *key_find(crew, job->key);

		if (k != NULL && k->running >= crew->per_key)
			continue;
		*at = job->next;
		if (job->next == NULL)
			crew->last = at;
		crew->queued--;
		return job;
	}
	return NULL;
}

static void *crew_thread(void *arg)
{
	struct crew *crew = arg;
	struct timespec until;
	bool late = false;

	pthread_mutex_lock(&lock);
	for (;;) {
		struct crew_job *job = job_take(crew);
		char *key;

		if (job == NULL) {
			if (late)
				break;
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_sec += IDLE_SECONDS;
			crew->idle++;
			late = pthread_cond_timedwait(&work, &lock, &until) != 0;
			crew->idle--;
			continue;
		}
		late = false;
		key = ar_heap_strz(ar_str(job->key));
		key_enter(crew, key);
		pthread_mutex_unlock(&lock);
		job->run(job);
		ar_err_clear();
		pthread_mutex_lock(&lock);
		key_leave(crew, key);
		ar_heap_free(key);
		pthread_cond_broadcast(&work); /* a job of that key may have waited for this */
	}
	crew->threads--;
	pthread_mutex_unlock(&lock);
	return NULL;
}

static bool crew_grow(struct crew *crew)
{
	pthread_attr_t attr;
	pthread_t thread;
	bool ok;

	if (crew->idle >= crew->queued || crew->threads >= crew->threads_max)
		return crew->threads > 0;
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	ok = pthread_create(&thread, &attr, crew_thread, crew) == 0;
	pthread_attr_destroy(&attr);
	crew->threads += ok;
	return crew->threads > 0;
}

int crew_add(struct crew *crew, struct crew_job *job)
{
	bool ok;

	pthread_mutex_lock(&lock);
	if (crew->last == NULL)
		crew->last = &crew->first;
	ok = crew->queued < crew->queue_max;
	if (ok) {
		job->next = NULL;
		*crew->last = job;
		crew->last = &job->next;
		crew->queued++;
		ok = crew_grow(crew);
		if (ok) {
			pthread_cond_broadcast(&work);
		} else { /* no thread at all: then the queue held this job alone */
			crew->first = NULL;
			crew->last = &crew->first;
			crew->queued = 0;
		}
	}
	pthread_mutex_unlock(&lock);
	return ok ? 0 : ar_fail(AR_E_CLIENT_BUSY);
}
