/*
 * khash.h - stands in for the klib header that h2o's http2_internal.h includes and Debian does not
 * ship: the layout of khash 0.2.8, as libh2o-evloop 2.2.5 was built with, and a look-up. Tables are
 * made and changed by h2o alone.
 */
#ifndef AR_COMPAT_KHASH_H
#define AR_COMPAT_KHASH_H

#include <stdint.h>

typedef uint32_t khiter_t;

#define KHASH_MAP_INIT_INT64(name, value)                                                          \
	struct kh_##name {                                                                         \
		uint32_t n_buckets, size, n_occupied, upper_bound;                                 \
		uint32_t *flags; /* two bits a bucket: 2 empty, 1 deleted */                       \
		uint64_t *keys;                                                                    \
		value *vals;                                                                       \
	};                                                                                         \
	static inline khiter_t kh_get_##name(const struct kh_##name *h, uint64_t key)              \
	{                                                                                          \
		uint32_t i, first, step = 0, flag;                                                 \
                                                                                                   \
		if (h->n_buckets == 0)                                                             \
			return 0;                                                                  \
		first = i = (uint32_t)(key >> 33 ^ key ^ key << 11) & (h->n_buckets - 1);          \
		do {                                                                               \
			flag = h->flags[i >> 4] >> ((i & 15) << 1) & 3;                            \
			if (flag == 0 && h->keys[i] == key)                                        \
				return i;                                                          \
			i = (i + ++step) & (h->n_buckets - 1);                                     \
		} while ((flag & 2) == 0 && i != first);                                           \
		return h->n_buckets;                                                               \
	}

#define khash_t(name)        struct kh_##name
#define kh_get(name, h, key) kh_get_##name(h, key)
#define kh_end(h)            ((h)->n_buckets)
#define kh_val(h, i)         ((h)->vals[i])

#endif
