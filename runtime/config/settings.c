/*
 * settings.c - the table: every setting of apprun, its default, its bounds and what it does.
 */
#include "config/config_int.h"

static bool store_url(struct ar_str v)
{
	return v.n == 0 || ar_str_is(v, "sqlite:") || ar_str_starts(v, AR_STR("postgres://")) ||
	       ar_str_starts(v, AR_STR("postgresql://"));
}

static bool smtp_url(struct ar_str v)
{
	return v.n == 0 || ar_str_starts(v, AR_STR("smtp://")) ||
	       ar_str_starts(v, AR_STR("smtps://"));
}

static bool host_name(struct ar_str v)
{
	struct ar_str rest = v;

	if (v.n == 0)
		return true;
	while (rest.p != NULL) {
		struct ar_str label = ar_str_cut(&rest, '.');

		if (label.n == 0 || label.n > 63 || label.p[0] == '-' ||
		    label.p[label.n - 1] == '-')
			return false;
		for (size_t i = 0; i < label.n; i++) {
			char c = label.p[i];

			if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
				return false;
		}
	}
	return true;
}

static bool token(struct ar_str v)
{
	return v.n == 0 || v.n >= 24;
}

#define INT(min_, max_)  .type = AR_SET_INT, .min = (min_), .max = (max_)
#define SIZE(min_, max_) .type = AR_SET_SIZE, .min = (min_), .max = (max_)
#define TEXT(max_)       .type = AR_SET_TEXT, .max = (max_)

#define DAY INT64_C(86400)
#define MIB (INT64_C(1) << 20)

const struct ar_setting ar_settings[] = {
	/* where it listens */
	{ "host", TEXT(255), .otherwise = "127.0.0.1",
	  .help = "Address to listen on; :: for all." },
	{ "port", INT(0, 65535), .otherwise = "8090",
	  .help = "Port to listen on; 0 takes a free one." },
	{ "base-domain", TEXT(253), .otherwise = "localhost", .good = host_name,
	  .must = "must be a host name in lower case",
	  .help = "Tenants also answer at TENANT.BASE-DOMAIN." },
	{ "platform-token", TEXT(512), .otherwise = "", .secret = true, .good = token,
	  .must = "must have at least 24 characters",
	  .help = "Token of operators for /platform/v1; made at the first start when empty." },

	{ "cors-origins", TEXT(4096), .otherwise = "*",
	  .help = "Web origins whose pages may call the API, with commas between; * for all (their "
		  "calls carry no cookies); empty for none." },
	{ "trust-proxy", .type = AR_SET_BOOL, .otherwise = "false",
	  .help = "A proxy on this machine says in X-Forwarded-For who the client is." },

	/* where it keeps things */
	{ "data", TEXT(1024), .otherwise = "./data", .help = "Folder of everything that is kept." },
	{ "config", TEXT(1024), .otherwise = "",
	  .help = "Settings file, JSON; apprun.json in the data folder when empty." },
	{ "store", TEXT(2048), .otherwise = "", .secret = true, .good = store_url,
	  .must = "must be empty, sqlite: or postgres://...",
	  .help = "Database: empty for SQLite files in the data folder, or "
		  "postgres://USER@HOST/NAME." },
	{ "pg-connections", INT(1, 1000), .otherwise = "16",
	  .help = "PostgreSQL connections of each loop, at most." },
	{ "slow-ms", INT(0, 3600000), .otherwise = "100",
	  .help = "Statements that take longer are logged." },

	/* how much of the machine */
	{ "loops", INT(0, 256), .otherwise = "0", .help = "Event loops; 0: one for each core." },
	{ "threads", INT(0, 64), .otherwise = "0",
	  .help = "Threads for what would block a loop, of each kind; 0: by the number of cores." },
	{ "connections-max", INT(1, 1000000), .otherwise = "10000",
	  .help = "Connections of clients at the same time." },
	{ "body-max", SIZE(1024, 1024 * MIB), .otherwise = "16m",
	  .help = "Largest body of a request; larger ones get 413." },
	{ "deadline-ms", INT(100, 3600000), .otherwise = "30000",
	  .help = "A request that takes longer is given up." },

	{ "stop-ms", INT(0, 3600000), .otherwise = "20000",
	  .help = "Time for requests in flight to finish when apprun is stopped." },
	{ "client-rate", INT(0, 1000000), .otherwise = "1000",
	  .help = "Requests a second of one client's address, in the long run; 0: no limit. "
		  "Clients on "
		  "this machine have none." },
	{ "client-burst", INT(1, 1000000), .otherwise = "2000",
	  .help = "Requests that one client may make at once before client-rate counts." },
	{ "tenant-rate", INT(0, 10000000), .otherwise = "0",
	  .help = "Requests a second of one tenant, all its clients together; 0: no limit." },
	{ "tenant-burst", INT(1, 10000000), .otherwise = "1000",
	  .help = "Requests of one tenant at once before tenant-rate counts." },

	/* what it says */
	{ "access-log", .type = AR_SET_BOOL, .otherwise = "true",
	  .help = "A log line for each request, at level info." },
	{ "log-level", .type = AR_SET_CHOICE, .otherwise = "info",
	  .choices = "error warn info debug", .help = "Lowest level that is logged." },
	{ "log-file", TEXT(1024), .otherwise = "",
	  .help = "File of the log; standard error when empty." },

	/* sign-in */
	{ "access-ttl-s", INT(10, 7 * DAY), .otherwise = "900",
	  .help = "Life of an access token, seconds." },
	{ "refresh-ttl-s", INT(60, 3650 * DAY), .otherwise = "2592000",
	  .help = "Life of a session that is not used, seconds." },
	{ "bcrypt-cost", INT(4, 16), .otherwise = "12",
	  .help = "Work for each password hash, 2 to this power; below 10 for tests only." },

	/* functions */
	{ "executors-max", INT(1, 10000), .otherwise = "64",
	  .help = "Processes that run tenants' functions, at most." },
	{ "executor-idle-s", INT(1, DAY), .otherwise = "60",
	  .help = "An executor without work ends after so many seconds." },
	{ "executors-per-tenant", INT(1, 64), .otherwise = "4",
	  .help = "Executor processes of one tenant on one loop, at most; more than one while they "
		  "are "
		  "busy. Invocations that wait share a process." },

	/* events */
	{ "event-hops-max", INT(1, 1000), .otherwise = "16",
	  .help = "Events that may lead one to another, each published by what the one before "
		  "started; one more is refused as a loop." },
	{ "events-keep-days", INT(1, 36500), .otherwise = "7",
	  .help = "Days that a delivered event stays in the log." },
	{ "events-keep-mb", INT(1, 1048576), .otherwise = "1024",
	  .help = "Size of a tenant's log of events, MiB: above it the oldest delivered go "
		  "first." },
	{ "dead-letters-keep-mb", INT(1, 1048576), .otherwise = "256",
	  .help = "Size of a tenant's dead letters, MiB: above it the oldest go." },
	{ "replies-keep-mb", INT(1, 1048576), .otherwise = "1024",
	  .help = "Size of a tenant's answers that are kept a day for Idempotency-Keys, MiB: above "
		  "it requests with a new key are refused." },
	{ "runs-keep-days", INT(1, 36500), .otherwise = "30",
	  .help = "Days that ended runs of workflows and functions are kept." },

	/* going out */
	{ "client-allow", .type = AR_SET_CIDRS, .otherwise = "",
	  .help = "Private networks that tenants' calls may reach all the same." },
	{ "smtp-url", TEXT(2048), .otherwise = "", .secret = true, .good = smtp_url,
	  .must = "must be empty, smtp://... or smtps://...",
	  .help = "Mail server of tenants that set none: smtp://USER:PASSWORD@HOST:PORT." },
	{ "smtp-from", TEXT(320), .otherwise = "", .help = "Sender of tenants that set none." },
	{ 0 },
};
