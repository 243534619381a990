/*
 * format.c - i18n.format: one number, amount of money, date or time, as a locale writes it.
 */
#include "i18n/i18n_int.h"

static int number_format(struct ar_call *call, struct ar_str kind, struct ar_str *ret)
{
	struct ar_str currency = ar_in_str(call, "currency"),
		      skeleton = ar_in_str(call, "skeleton");

	if (ar_str_is(kind, "currency")) {
		if (!i18n_currency_valid(currency))
			return ar_fail_field("currency", currency.n > 0 ? "format" : "required");
		skeleton = ar_strf(call->pool, "currency/%.*s", AR_FMT(currency));
	} else if (ar_str_is(kind, "percent")) {
		skeleton = AR_STR("percent scale/100 precision-integer");
	} else if (ar_str_is(kind, "integer")) {
		skeleton = AR_STR("precision-integer");
	}
	return i18n_number(call->pool, i18n_locale_in(call), skeleton, ar_in(call, "value"), ret);
}

static int time_format(struct ar_call *call, struct ar_str kind, struct ar_str *ret)
{
	struct i18n_moment moment = { .zone = ar_in_str(call, "timeZone"),
				      .skeleton = ar_in_str(call, "skeleton") };
	enum i18n_style style = I18N_MEDIUM;

	i18n_style_of(ar_in_str(call, "style"), &style);
	if (!i18n_time_of(ar_in(call, "value"), &moment))
		return ar_fail_field("value", "format");
	if (!ar_str_is(kind, "time"))
		moment.date = style;
	if (!ar_str_is(kind, "date"))
		moment.time = style;
	return i18n_date(call->pool, i18n_locale_in(call), &moment, ret);
}

AR_YIELDS int i18n_format(struct ar_call *call)
{
	struct ar_str kind = ar_in_str(call, "kind"), text;
	bool time =
		ar_str_is(kind, "date") || ar_str_is(kind, "time") || ar_str_is(kind, "datetime");
	struct ar_jw *w;

	if (ar_in(call, "value") == NULL)
		return ar_fail_field("value", "required");
	if ((time ? time_format(call, kind, &text) : number_format(call, kind, &text)) != 0)
		return -1;
	w = ar_reply_json(call, 0);
	ar_jw_object(w);
	ar_jw_keyz(w, "text");
	ar_jw_str(w, text);
	ar_jw_object_end(w);
	return 0;
}
