/*
 * client_int.h - what the files of the client room share; libcurl
 * shows in url.c, mux.c, fetch.c and mail.c.
 */
#ifndef AR_CLIENT_INT_H
#define AR_CLIENT_INT_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "client/client.h"
#include "fiber/fiber.h"

/* ---- address.c: who may be connected to ---- */

/* IPv6, or IPv4 as ::ffff:a.b.c.d. */
bool client_addr_of(const struct sockaddr *sa, struct in6_addr *ret);
bool client_addr_parse(const char *text, struct in6_addr *ret);
/* Public, or opened by the operator. */
bool client_addr_open(const struct in6_addr *addr);
bool client_sockaddr_open(const struct sockaddr *sa);
/* Text of an address; size INET6_ADDRSTRLEN. IPv4 is written as IPv4. */
void client_addr_print(const struct in6_addr *addr, char *out);

/* ---- crew.c: threads for what blocks and takes long ---- */

/* Unlike the offload pool a crew may be filled with waiting for strangers; so each kind of work
 * has its own, and no key (a host) may take more than its share. */
struct crew_job {
	void (*run)(struct crew_job *job); /* on a crew's thread; frees the job */
	const char *key;                   /* as long as the job */
	struct crew_job *next;
};
struct crew {
	int threads_max, per_key, queue_max;
	struct crew_key *keys;
	struct crew_job *first, **last;
	int queued, threads, idle;
};
int crew_add(struct crew *crew, struct crew_job *job); /* -1: AR_E_CLIENT_BUSY; any thread */

/* ---- resolve.c: names to addresses, off the loop, kept a while ---- */

#define CLIENT_ADDRS_MAX 16

struct client_addrs {
	struct in6_addr addr[CLIENT_ADDRS_MAX];
	int n;
};
struct resolver; /* one a loop */
struct resolver *resolver_new(void);
/* Those who wait get AR_E_CANCELLED. */
void resolver_close(struct resolver *resolver);
/* host: lower-case ASCII. AR_E_CLIENT_FAILED when there is no such name now. */
AR_YIELDS int resolver_find(struct resolver *resolver, const char *host, struct client_addrs *ret);

/* ---- url.c: through libcurl's parser, so that both understand the same ---- */

struct client_url {
	char *text;   /* without fragment, host in ASCII */
	char *host;   /* lower-case ASCII without brackets */
	char *origin; /* scheme://host:port */
	int port;
	bool secure, literal; /* https; the host is an address */
};
int client_url_parse(struct ar_pool *pool, struct ar_str text, struct client_url *ret);
/* International names are encoded. False: not a name or address. Lower case. */
bool client_host_ascii(struct ar_pool *pool, struct ar_str host, struct ar_str *ret);

/* ---- mux.c: libcurl on the loop ---- */

struct client_guard {
	bool on;      /* only open addresses */
	bool refused; /* one was refused; means something when the transfer failed */
};

struct mux_call {   /* one transfer, in the frame of the fiber that waits for it */
	void *easy; /* CURL *; its CURLOPT_PRIVATE is this */
	const char *host;
	struct ar_cond done;
	bool finished;
	int code; /* CURLcode */
	struct mux *mux;
	struct mux_call *prev, *next;
};
struct resolver *client_resolver(void); /* this loop's */
/* What every handle must have: the guard, verification of certificates, no proxy, no signals. */
void client_easy_setup(void *easy, struct client_guard *guard);
/* Runs it to its end. The handle is out of the multi in any case. -1: cancelled, deadline, busy. */
AR_YIELDS int mux_run(struct mux_call *call);
void client_start(void); /* libcurl, once per process */

/* ---- message.c ---- */

/* name@domain, international domains encoded. False: not an address that we send to. */
bool mail_address(struct ar_pool *pool, struct ar_str address, struct ar_str *ret);

#endif
