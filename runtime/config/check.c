/*
 * check.c - does a text fit its setting? Says in one sentence why not.
 */
#include <arpa/inet.h>

#include "config/config_int.h"

static const char *check_range(const struct ar_setting *setting, int64_t n, struct ar_pool *pool)
{
	if (n >= setting->min && n <= setting->max)
		return NULL;
	return ar_printf(pool, "must be from %lld to %lld", (long long)setting->min,
			 (long long)setting->max);
}

static const char *check_int(const struct ar_setting *setting, struct ar_str value, int64_t *ret,
			     struct ar_pool *pool)
{
	if (!ar_str_int(value, ret))
		return ar_printf(pool, "must be a whole number from %lld to %lld",
				 (long long)setting->min, (long long)setting->max);
	return check_range(setting, *ret, pool);
}

static const char *check_size(const struct ar_setting *setting, struct ar_str value, int64_t *ret,
			      struct ar_pool *pool)
{
	int shift = 0;

	if (value.n > 1) {
		switch (value.p[value.n - 1] | 0x20) {
		case 'k':
			shift = 10;
			break;
		case 'm':
			shift = 20;
			break;
		case 'g':
			shift = 30;
			break;
		}
	}
	if (shift > 0)
		value.n--;
	if (!ar_str_int(value, ret) || *ret < 0 || *ret > INT64_MAX >> shift)
		return "must be a size such as 65536, 64k, 16m or 1g";
	*ret <<= shift;
	return check_range(setting, *ret, pool);
}

static const char *check_bool(struct ar_str value, int64_t *ret)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

	for (size_t i = 0; i < AR_COUNT(words); i++) {
		if (ar_str_caseeq(value, ar_str(words[i]))) {
			*ret = i % 2;
			return NULL;
		}
	}
	return "must be true or false";
}

static const char *check_choice(const struct ar_setting *setting, struct ar_str value,
				struct ar_pool *pool)
{
	struct ar_str rest = ar_str(setting->choices);

	while (rest.p != NULL)
		if (ar_str_eq(ar_str_cut(&rest, ' '), value))
			return NULL;
	return ar_printf(pool, "must be one of: %s", setting->choices);
}

static bool cidr_good(struct ar_str s)
{
	struct ar_str bits = s, address = ar_str_cut(&bits, '/');
	char text[INET6_ADDRSTRLEN];
	unsigned char bytes[16];
	int64_t n;
	int most;

	if (address.n == 0 || address.n >= sizeof(text))
		return false;
	memcpy(text, address.p, address.n);
	text[address.n] = 0;
	if (inet_pton(AF_INET, text, bytes) == 1)
		most = 32;
	else if (inet_pton(AF_INET6, text, bytes) == 1)
		most = 128;
	else
		return false;
	return bits.p == NULL || (ar_str_int(bits, &n) && n >= 0 && n <= most);
}

static const char *check_cidrs(struct ar_str value)
{
	while (value.p != NULL && value.n > 0)
		if (!cidr_good(ar_str_trim(ar_str_cut(&value, ','))))
			return "must be networks such as 10.0.0.0/8,fd00::/8";
	return NULL;
}

static const char *check_text(const struct ar_setting *setting, struct ar_str value,
			      struct ar_pool *pool)
{
	if (setting->max > 0 && value.n > (size_t)setting->max)
		return ar_printf(pool, "must have at most %lld bytes", (long long)setting->max);
	if (!ar_utf8_valid(value) || (value.n > 0 && memchr(value.p, 0, value.n) != NULL))
		return "must be UTF-8 text";
	if (setting->good != NULL && !setting->good(value))
		return setting->must;
	return NULL;
}

const char *ar_setting_check(const struct ar_setting *setting, struct ar_str value,
			     int64_t *ret_number, struct ar_pool *pool)
{
	*ret_number = 0;
	switch (setting->type) {
	case AR_SET_INT:
		return check_int(setting, value, ret_number, pool);
	case AR_SET_SIZE:
		return check_size(setting, value, ret_number, pool);
	case AR_SET_BOOL:
		return check_bool(value, ret_number);
	case AR_SET_CHOICE:
		return check_choice(setting, value, pool);
	case AR_SET_CIDRS:
		return check_cidrs(value);
	case AR_SET_TEXT:
		break;
	}
	return check_text(setting, value, pool);
}
