/*
 * resolve.c - names to addresses with the system's resolver, on threads, remembered per loop.
 *
 * getaddrinfo() may take half a minute and cannot be stopped. So it runs on a crew of its own; a
 * fiber waits for the name, not for the thread, and may be cancelled; all who ask for one name
 * share one look-up. Answers are kept for 30 s, failures for 2 s.
 */
#include <netdb.h>
#include <pthread.h>

#include "client/client_int.h"

#define KEEP_MS        30000
#define KEEP_FAILED_MS 2000
#define NAMES_MAX      1024
#define HOST_MAX       253

static struct crew crew = { .threads_max = 32, .per_key = 2, .queue_max = 1024 };

struct name {
	struct client_addrs addrs;
	bool pending, failed;
	int64_t until; /* ar_mono_ms() */
	int users;     /* fibers that wait */
	struct ar_cond done;
};

struct resolver {
	struct ar_map *names;
	struct lookup *lookups; /* in flight */
	int users;              /* fibers that wait */
	bool closed;
};

/* Belongs to its thread until it is posted back; the resolver may have ended by then. */
struct lookup {
	struct crew_job job;
	struct ar_loop *loop;      /* NULL: nobody wants it any more */
	struct resolver *resolver; /* NULL with it */
	char host[HOST_MAX + 1];
	struct client_addrs addrs;
	bool failed;
	struct lookup *next;
};

/* Guards lookup->loop, and with it the loop's life while a result is posted. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

struct resolver *resolver_new(void)
{
	struct resolver *resolver = ar_heap_new(struct resolver);

	resolver->names = ar_map_new();
	return resolver;
}

static void resolver_end(struct resolver *resolver)
{
	if (!resolver->closed || resolver->users > 0)
		return;
	ar_map_free(resolver->names, ar_heap_free);
	ar_heap_free(resolver);
}

static bool name_wake(struct ar_str key AR_UNUSED, void *value, void *arg AR_UNUSED)
{
	struct name *name = value;

	ar_cond_broadcast(&name->done);
	return true;
}

void resolver_close(struct resolver *resolver)
{
	if (resolver == NULL)
		return;
	pthread_mutex_lock(&lock);
	for (struct lookup *l = resolver->lookups; l != NULL; l = l->next) {
		l->loop = NULL;
		l->resolver = NULL;
	}
	pthread_mutex_unlock(&lock);
	resolver->closed = true;
	ar_map_each(resolver->names, name_wake, NULL);
	resolver_end(resolver);
}

/* ---- on the crew's thread ---- */

static void addrs_add(struct client_addrs *addrs, const struct sockaddr *sa)
{
	struct in6_addr addr;

	if (addrs->n == CLIENT_ADDRS_MAX || !client_addr_of(sa, &addr))
		return;
	for (int i = 0; i < addrs->n; i++) {
		if (memcmp(&addrs->addr[i], &addr, sizeof(addr)) == 0)
			return;
	}
	addrs->addr[addrs->n++] = addr;
}

static void lookup_done(void *arg);

static void lookup_run(struct crew_job *job)
{
	struct lookup *l = AR_CONTAINER(job, struct lookup, job);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	bool wanted;

	l->failed = getaddrinfo(l->host, NULL, &hints, &list) != 0;
	for (struct addrinfo *a = list; a != NULL; a = a->ai_next)
		addrs_add(&l->addrs, a->ai_addr);
	if (list != NULL)
		freeaddrinfo(list);
	l->failed = l->failed || l->addrs.n == 0;
	pthread_mutex_lock(&lock);
	wanted = l->loop != NULL;
	if (wanted)
		ar_post(l->loop, lookup_done, l);
	pthread_mutex_unlock(&lock);
	if (!wanted)
		ar_heap_free(l);
}

/* ---- on the loop ---- */

static void lookup_done(void *arg)
{
	struct lookup *l = arg;
	struct resolver *resolver = l->resolver;
	struct name *name;

	if (resolver == NULL) {
		ar_heap_free(l);
		return;
	}
	for (struct lookup **at = &resolver->lookups; *at != NULL; at = &(*at)->next) {
		if (*at == l) {
			*at = l->next;
			break;
		}
	}
	name = ar_map_get(resolver->names, ar_str(l->host));
	name->addrs = l->addrs;
	name->failed = l->failed;
	name->pending = false;
	name->until = ar_mono_ms() + (l->failed ? KEEP_FAILED_MS : KEEP_MS);
	ar_cond_broadcast(&name->done);
	ar_heap_free(l);
}

static int lookup_start(struct resolver *resolver, const char *host)
{
	struct lookup *l = ar_heap_new(struct lookup);

	l->job.run = lookup_run;
	l->job.key = l->host;
	l->loop = ar_loop();
	l->resolver = resolver;
	memcpy(l->host, host, strlen(host) + 1);
	l->next = resolver->lookups;
	resolver->lookups = l;
	if (crew_add(&crew, &l->job) == 0)
		return 0;
	resolver->lookups = l->next;
	ar_heap_free(l);
	return -1;
}

struct sweep {
	struct resolver *resolver;
	int64_t now;
	bool all;
};

static bool sweep_name(struct ar_str key, void *value, void *arg)
{
	struct sweep *sweep = arg;
	struct name *name = value;

	if (!name->pending && name->users == 0 && (sweep->all || name->until <= sweep->now)) {
		ar_map_remove(sweep->resolver->names, key);
		ar_heap_free(name);
	}
	return true;
}

static struct name *name_get(struct resolver *resolver, const char *host)
{
	struct name *name = ar_map_get(resolver->names, ar_str(host));
	struct sweep sweep = { resolver, ar_mono_ms(), false };

	if (name != NULL)
		return name;
	if (ar_map_count(resolver->names) >= NAMES_MAX)
		ar_map_each(resolver->names, sweep_name, &sweep);
	sweep.all = true;
	if (ar_map_count(resolver->names) >= NAMES_MAX)
		ar_map_each(resolver->names, sweep_name, &sweep);
	if (ar_map_count(resolver->names) >= NAMES_MAX) {
		ar_fail(AR_E_CLIENT_BUSY);
		return NULL;
	}
	name = ar_heap_new(struct name);
	ar_map_set(resolver->names, ar_str(host), name);
	return name;
}

int resolver_find(struct resolver *resolver, const char *host, struct client_addrs *ret)
{
	struct name *name;
	int rc = 0;

	if (strlen(host) > HOST_MAX)
		return ar_fail(AR_E_CLIENT_URL);
	name = name_get(resolver, host);
	if (name == NULL)
		return -1;
	if (!name->pending && name->until <= ar_mono_ms()) {
		if (lookup_start(resolver, host) != 0)
			return -1;
		name->pending = true;
	}
	name->users++;
	resolver->users++;
	while (name->pending && !resolver->closed && rc == 0)
		rc = ar_cond_wait(&name->done);
	if (rc == 0 && resolver->closed)
		rc = ar_fail(AR_E_CANCELLED);
	name->users--;
	resolver->users--;
	if (rc != 0) {
		resolver_end(resolver);
		return -1;
	}
	if (name->failed)
		return ar_fail(AR_E_CLIENT_FAILED, "host", host);
	*ret = name->addrs;
	return 0;
}
