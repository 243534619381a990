/*
 * trace.c - W3C trace context, version 00: "00-<32 hex>-<16 hex>-<2 hex>".
 *
 * As the recommendation asks, a header of a later version is read as far as version 00 goes, and
 * anything that is not well formed counts as no header at all.
 */
#include "observe/observe_int.h"

static bool hex_lower(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	return true;
}

static bool all_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != '0')
			return false;
	return true;
}

static void hex_random(char *out, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	unsigned char bytes[16];

	do {
		ar_random(bytes, n / 2);
		for (size_t i = 0; i < n / 2; i++) {
			out[i * 2] = digits[bytes[i] >> 4];
			out[i * 2 + 1] = digits[bytes[i] & 15];
		}
	} while (all_zero(out, n));
	out[n] = 0;
}

void ar_trace_new(struct ar_trace *ret)
{
	hex_random(ret->trace_id, 32);
	hex_random(ret->span_id, 16);
	ret->sampled = true;
}

bool ar_trace_parse(struct ar_str header, struct ar_trace *ret)
{
	const char *p = header.p;

	if (header.n < AR_TRACEPARENT_LEN || !hex_lower(p, 2) || p[2] != '-')
		return false;
	if (p[0] == 'f' && p[1] == 'f')
		return false;
	if (header.n > AR_TRACEPARENT_LEN && (all_zero(p, 2) || p[AR_TRACEPARENT_LEN] != '-'))
		return false;
	if (!hex_lower(p + 3, 32) || all_zero(p + 3, 32) || p[35] != '-')
		return false;
	if (!hex_lower(p + 36, 16) || all_zero(p + 36, 16) || p[52] != '-' || !hex_lower(p + 53, 2))
		return false;
	memcpy(ret->trace_id, p + 3, 32);
	ret->trace_id[32] = 0;
	memcpy(ret->span_id, p + 36, 16);
	ret->span_id[16] = 0;
	/* the lowest bit of the flags, which is that of the last digit */
	ret->sampled = (p[54] >= 'a' ? p[54] - 'a' + 10 : p[54] - '0') & 1;
	return true;
}

void ar_trace_child(const struct ar_trace *parent, struct ar_trace *ret)
{
	if (ret != parent)
		*ret = *parent;
	hex_random(ret->span_id, 16);
}

void ar_trace_format(const struct ar_trace *trace, char out[AR_TRACEPARENT_LEN + 1])
{
	memcpy(out, "00-", 3);
	memcpy(out + 3, trace->trace_id, 32);
	out[35] = '-';
	memcpy(out + 36, trace->span_id, 16);
	memcpy(out + 52, trace->sampled ? "-01" : "-00", 4); /* with its NUL */
}
