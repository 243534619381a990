/*
 * address.c - which addresses strangers may make us connect to.
 *
 * Deny by default: of IPv6 only 2000::/3 is public, less what is reserved in it; of IPv4 all but
 * the special ranges of RFC 6890 and its followers. An IPv6 address that carries an IPv4 one
 * (mapped, NAT64, 6to4, ISATAP) is as public as that one. Ranges that the operator opened come
 * first. The list is set before threads start and read without a lock.
 */
#include <arpa/inet.h>
#include <stdio.h>

#include "client/client_int.h"

struct range {
	struct in6_addr base;
	int bits; /* of 128 */
};

/* IPv4 as a.b.c.d/bits */
#define V4(a, b, c, bits)                                                                          \
	{                                                                                          \
		{ { { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, a, b, c, 0 } } }, 96 + (bits)      \
	}
#define V6(bits, ...)                                                                              \
	{                                                                                          \
		{ { { __VA_ARGS__ } } }, bits                                                      \
	}

static const struct range closed[] = {
	V4(0, 0, 0, 8),       /* this network */
	V4(10, 0, 0, 8),      /* private */
	V4(100, 64, 0, 10),   /* carrier-grade NAT */
	V4(127, 0, 0, 8),     /* loopback */
	V4(169, 254, 0, 16),  /* link-local, clouds' metadata */
	V4(172, 16, 0, 12),   /* private */
	V4(192, 0, 0, 24),    /* protocol assignments */
	V4(192, 0, 2, 24),    /* documentation */
	V4(192, 31, 196, 24), /* AS112 */
	V4(192, 52, 193, 24), /* AMT */
	V4(192, 88, 99, 24),  /* 6to4 relays */
	V4(192, 168, 0, 16),  /* private */
	V4(192, 175, 48, 24), /* AS112 */
	V4(198, 18, 0, 15),   /* benchmarks */
	V4(198, 51, 100, 24), /* documentation */
	V4(203, 0, 113, 24),  /* documentation */
	V4(224, 0, 0, 4),     /* multicast */
	V4(240, 0, 0, 4),     /* reserved, broadcast */
	V6(23, 0x20, 0x01),   /* 2001::/23, protocol assignments: Teredo, ORCHID, benchmarks */
	V6(32, 0x20, 0x01, 0x0D, 0xB8),             /* documentation */
	V6(48, 0x26, 0x20, 0x00, 0x4F, 0x80, 0x00), /* AS112 */
	V6(20, 0x3F, 0xFF),                         /* documentation */
};
static const struct range global_v6 = V6(3, 0x20);
static const struct range mapped = V4(0, 0, 0, 0);
static const struct range nat64 = V6(96, 0x00, 0x64, 0xFF, 0x9B);
static const struct range six_to_four = V6(16, 0x20, 0x02);

#define OPENED_MAX 256
static struct range opened[OPENED_MAX];
static size_t nopened;

static bool range_has(const struct range *range, const struct in6_addr *addr)
{
	int bytes = range->bits / 8, rest = range->bits % 8;

	if (memcmp(range->base.s6_addr, addr->s6_addr, bytes) != 0)
		return false;
	return rest == 0 ||
	       ((range->base.s6_addr[bytes] ^ addr->s6_addr[bytes]) >> (8 - rest)) == 0;
}

static bool is_opened(const struct in6_addr *addr)
{
	for (size_t i = 0; i < nopened; i++) {
		if (range_has(&opened[i], addr))
			return true;
	}
	return false;
}

/* The IPv4 address that four bytes of an IPv6 one stand for. */
static struct in6_addr inner(const struct in6_addr *addr, int at)
{
	struct in6_addr v4 = mapped.base;

	memcpy(v4.s6_addr + 12, addr->s6_addr + at, 4);
	return v4;
}

static bool is_public(const struct in6_addr *addr)
{
	struct in6_addr v4;

	for (size_t i = 0; i < AR_COUNT(closed); i++) {
		if (range_has(&closed[i], addr))
			return false;
	}
	if (range_has(&mapped, addr))
		return true;
	if (range_has(&nat64, addr)) {
		v4 = inner(addr, 12);
		return client_addr_open(&v4);
	}
	if (!range_has(&global_v6, addr))
		return false;
	if (range_has(&six_to_four, addr)) {
		v4 = inner(addr, 2);
		return client_addr_open(&v4);
	}
	if ((addr->s6_addr[8] & 0xFD) == 0 && addr->s6_addr[9] == 0 && addr->s6_addr[10] == 0x5E &&
	    addr->s6_addr[11] == 0xFE) { /* ISATAP */
		v4 = inner(addr, 12);
		return client_addr_open(&v4);
	}
	return true;
}

bool client_addr_open(const struct in6_addr *addr)
{
	return is_opened(addr) || is_public(addr);
}

bool client_addr_of(const struct sockaddr *sa, struct in6_addr *ret)
{
	if (sa->sa_family == AF_INET6) {
		*ret = ((const struct sockaddr_in6 *)sa)->sin6_addr;
		return true;
	}
	if (sa->sa_family != AF_INET)
		return false;
	*ret = mapped.base;
	memcpy(ret->s6_addr + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	return true;
}

bool client_sockaddr_open(const struct sockaddr *sa)
{
	struct in6_addr addr;

	return client_addr_of(sa, &addr) && client_addr_open(&addr);
}

bool client_addr_parse(const char *text, struct in6_addr *ret)
{
	struct in_addr v4;

	if (inet_pton(AF_INET6, text, ret) == 1)
		return true;
	if (inet_pton(AF_INET, text, &v4) != 1)
		return false;
	*ret = mapped.base;
	memcpy(ret->s6_addr + 12, &v4, 4);
	return true;
}

void client_addr_print(const struct in6_addr *addr, char *out)
{
	if (range_has(&mapped, addr))
		inet_ntop(AF_INET, addr->s6_addr + 12, out, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, addr, out, INET6_ADDRSTRLEN);
}

bool ar_client_public(struct ar_str address)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (address.n >= sizeof(text) || ar_str_find(address, '\0') >= 0)
		return false;
	snprintf(text, sizeof(text), "%.*s", AR_FMT(address));
	return client_addr_parse(text, &addr) && client_addr_open(&addr);
}

/* "10.1.0.0/16", "fd00::/8", or an address alone. */
static bool range_parse(struct ar_str s, struct range *ret)
{
	struct ar_str rest = s, address = ar_str_cut(&rest, '/');
	char text[INET6_ADDRSTRLEN];
	int64_t bits, most;

	if (address.n >= sizeof(text))
		return false;
	snprintf(text, sizeof(text), "%.*s", AR_FMT(address));
	if (!client_addr_parse(text, &ret->base))
		return false;
	most = ar_str_find(address, ':') >= 0 ? 128 : 32;
	bits = most;
	if (rest.p != NULL && (!ar_str_int(rest, &bits) || bits < 0 || bits > most))
		return false;
	ret->bits = (int)(bits + 128 - most);
	return true;
}

int ar_client_allow(struct ar_str cidrs)
{
	struct range list[OPENED_MAX];
	size_t n = 0;

	while (cidrs.p != NULL) {
		struct ar_str one = ar_str_trim(ar_str_cut(&cidrs, ','));
		char text[64];

		if (one.n == 0)
			continue;
		if (n == OPENED_MAX || !range_parse(one, &list[n])) {
			snprintf(text, sizeof(text), "%.*s", AR_FMT(ar_str_sub(one, 0, 63)));
			ar_err_clear();
			return ar_fail_field("allow", "format", "format", "CIDR", "value", text);
		}
		n++;
	}
	memcpy(opened, list, n * sizeof(list[0]));
	nopened = n;
	return 0;
}
