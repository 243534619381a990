/*
 * field_print.c - a struct written as JSON, and a table written as JSON Schema (2020-12).
 */
#include "json/json_int.h"

#include <assert.h>
#include <stdio.h>

static void print_text(struct ar_jw *w, const struct ar_field *f, struct ar_str s)
{
	if (s.n == 0 && f->nullable)
		ar_jw_null(w);
	else
		ar_jw_str(w, s);
}

static void print_value(struct ar_jw *w, const struct ar_field *f, const struct ar_json *value)
{
	if (value != NULL)
		ar_jw_value(w, value);
	else if (f->nullable || f->type == AR_F_JSON)
		ar_jw_null(w);
	else
		ar_jw_raw(w, f->type == AR_F_ARRAY ? AR_STR("[]") : AR_STR("{}"));
}

static void print_member(struct ar_jw *w, const struct ar_field *f, const void *at)
{
	switch (f->type) {
	case AR_F_BOOL:
		ar_jw_bool(w, *(const bool *)at);
		return;
	case AR_F_INT:
		ar_jw_int(w, *(const int64_t *)at);
		return;
	case AR_F_FLOAT:
		ar_jw_float(w, *(const double *)at);
		return;
	case AR_F_TIME:
		if (*(const int64_t *)at == 0 && f->nullable)
			ar_jw_null(w);
		else
			ar_jw_time(w, *(const int64_t *)at);
		return;
	case AR_F_TEXT:
	case AR_F_EMAIL:
	case AR_F_ID:
	case AR_F_DATE:
	case AR_F_ENUM:
		print_text(w, f, *(const struct ar_str *)at);
		return;
	case AR_F_JSON:
	case AR_F_OBJECT:
	case AR_F_ARRAY:
		print_value(w, f, *(struct ar_json *const *)at);
		return;
	}
}

void ar_fields_print_members(struct ar_jw *w, const struct ar_field *fields, const void *value)
{
	for (const struct ar_field *f = fields; f->name != NULL; f++) {
		if (f->secret || f->offset == AR_FIELD_NO_MEMBER)
			continue;
		ar_jw_keyz(w, f->name);
		print_member(w, f, (const char *)value + f->offset);
	}
}

void ar_fields_print(struct ar_jw *w, const struct ar_field *fields, const void *value)
{
	ar_jw_object(w);
	ar_fields_print_members(w, fields, value);
	ar_jw_object_end(w);
}

struct ar_json ar_field_value(const struct ar_field *f, const void *value)
{
	const void *at = (const char *)value + f->offset;
	const struct ar_json *json;
	struct ar_str s;

	switch (f->type) {
	case AR_F_BOOL:
		return AR_J_BOOL(*(const bool *)at);
	case AR_F_INT:
		return AR_J_INT(*(const int64_t *)at);
	case AR_F_FLOAT:
		return AR_J_FLOAT(*(const double *)at);
	case AR_F_TIME:
		if (*(const int64_t *)at == 0 && f->nullable)
			return AR_J_NULL;
		return AR_J_INT(*(const int64_t *)at);
	case AR_F_JSON:
	case AR_F_OBJECT:
	case AR_F_ARRAY:
		json = *(struct ar_json *const *)at;
		return json != NULL ? *json : AR_J_NULL;
	default:
		s = *(const struct ar_str *)at;
		return s.n == 0 && f->nullable ? AR_J_NULL : AR_J_STR(s);
	}
}

/* ---- schema ---- */

static const struct {
	const char *type, *format;
} kinds[] = {
	[AR_F_BOOL] = { "boolean", NULL },     [AR_F_INT] = { "integer", "int64" },
	[AR_F_FLOAT] = { "number", "double" }, [AR_F_TEXT] = { "string", NULL },
	[AR_F_EMAIL] = { "string", "email" },  [AR_F_ID] = { "string", "uuid" },
	[AR_F_DATE] = { "string", "date" },    [AR_F_TIME] = { "string", "date-time" },
	[AR_F_ENUM] = { "string", NULL },      [AR_F_JSON] = { NULL, NULL },
	[AR_F_OBJECT] = { "object", NULL },    [AR_F_ARRAY] = { "array", NULL },
};

static void schema_type(struct ar_jw *w, const struct ar_field *f)
{
	if (kinds[f->type].type != NULL) {
		ar_jw_keyz(w, "type");
		if (f->nullable) {
			ar_jw_array(w);
			ar_jw_strz(w, kinds[f->type].type);
			ar_jw_strz(w, "null");
			ar_jw_array_end(w);
		} else {
			ar_jw_strz(w, kinds[f->type].type);
		}
	}
	if (kinds[f->type].format != NULL) {
		ar_jw_keyz(w, "format");
		ar_jw_strz(w, kinds[f->type].format);
	}
	if (f->type == AR_F_ENUM && f->values != NULL) {
		ar_jw_keyz(w, "enum");
		ar_jw_array(w);
		for (const char *const *v = f->values; *v != NULL; v++)
			ar_jw_strz(w, *v);
		if (f->nullable)
			ar_jw_null(w);
		ar_jw_array_end(w);
	}
}

static void schema_range(struct ar_jw *w, const struct ar_field *f)
{
	static const struct {
		const char *min, *max;
	} words[] = {
		[AR_F_INT] = { "minimum", "maximum" },
		[AR_F_FLOAT] = { "minimum", "maximum" },
		[AR_F_TEXT] = { "minLength", "maxLength" },
		[AR_F_EMAIL] = { "minLength", "maxLength" },
		[AR_F_OBJECT] = { "minProperties", "maxProperties" },
		[AR_F_ARRAY] = { "minItems", "maxItems" },
	};

	if ((f->min == 0 && f->max == 0) || words[f->type].min == NULL)
		return;
	if (f->min != 0 || f->type == AR_F_INT || f->type == AR_F_FLOAT) {
		ar_jw_keyz(w, words[f->type].min);
		ar_jw_int(w, f->min);
	}
	if (f->max != 0 || f->min < 0) {
		ar_jw_keyz(w, words[f->type].max);
		ar_jw_int(w, f->max);
	}
}

/* A pattern means the whole text; a regular expression of JSON Schema means any part of it. */
static void schema_pattern(struct ar_jw *w, const char *pattern)
{
	char text[256];
	int n = snprintf(text, sizeof(text), "^%s$", pattern);

	assert(n > 0 && (size_t)n < sizeof(text)); /* a constant of the program */
	ar_jw_keyz(w, "pattern");
	ar_jw_str(w, ar_str_n(text, (size_t)n));
}

static bool in_schema(const struct ar_field *f, bool for_input)
{
	return for_input ? !f->read_only : !f->secret;
}

static bool always_there(const struct ar_field *f, bool for_input)
{
	return f->required || (!for_input && f->offset != AR_FIELD_NO_MEMBER);
}

static void schema_members(struct ar_jw *w, const struct ar_field *fields, bool for_input)
{
	bool any = false;

	ar_jw_keyz(w, "properties");
	ar_jw_object(w);
	for (const struct ar_field *f = fields; f->name != NULL; f++) {
		if (!in_schema(f, for_input))
			continue;
		ar_jw_keyz(w, f->name);
		ar_field_schema(w, f, for_input);
		any = any || always_there(f, for_input);
	}
	ar_jw_object_end(w);
	if (any) {
		ar_jw_keyz(w, "required");
		ar_jw_array(w);
		for (const struct ar_field *f = fields; f->name != NULL; f++) {
			if (in_schema(f, for_input) && always_there(f, for_input))
				ar_jw_strz(w, f->name);
		}
		ar_jw_array_end(w);
	}
	if (for_input) {
		ar_jw_keyz(w, "additionalProperties");
		ar_jw_bool(w, false);
	}
}

void ar_field_schema(struct ar_jw *w, const struct ar_field *f, bool for_input)
{
	ar_jw_object(w);
	schema_type(w, f);
	schema_range(w, f);
	if (f->type == AR_F_TEXT && f->pattern != NULL)
		schema_pattern(w, f->pattern);
	if (f->type == AR_F_OBJECT && f->fields != NULL)
		schema_members(w, f->fields, for_input);
	if (f->type == AR_F_ARRAY && f->items != NULL) {
		ar_jw_keyz(w, "items");
		ar_field_schema(w, f->items, for_input);
	}
	if (f->help != NULL) {
		ar_jw_keyz(w, "description");
		ar_jw_strz(w, f->help);
	}
	if (f->otherwise != NULL) {
		ar_jw_keyz(w, "default");
		ar_jw_raw(w, ar_str(f->otherwise));
	}
	if (f->read_only || f->secret) {
		ar_jw_keyz(w, f->read_only ? "readOnly" : "writeOnly");
		ar_jw_bool(w, true);
	}
	ar_jw_object_end(w);
}

void ar_fields_schema(struct ar_jw *w, const struct ar_field *fields, bool for_input)
{
	ar_jw_object(w);
	ar_jw_keyz(w, "type");
	ar_jw_strz(w, "object");
	schema_members(w, fields, for_input);
	ar_jw_object_end(w);
}
