#!/usr/bin/env bash
# A PostgreSQL of a test's own: its folder, its port, stopped by its process id.
#
#   postgres.sh start FOLDER     makes and starts one, prints its url; FOLDER is new or from an earlier start
#   postgres.sh stop FOLDER      stops it (fast; `stop FOLDER immediate` as a crash would)
#   postgres.sh run COMMAND...   starts one in a temporary folder, runs the command with
#                                APPRUN_TEST_STORE set to its url, stops it; the command's exit code
#
# PostgreSQL refuses to run as root: then it runs as the user postgres, or nobody. PG_OPTIONS adds
# server options (-F: without fsync, for tests where no machine crashes).
set -euo pipefail

bin=${PG_BIN:-}
if [ -z "$bin" ]; then
	for bin in $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -rV) ""; do
		[ -x "$bin/initdb" ] && break
	done
fi
[ -x "$bin/initdb" ] || { echo "postgres.sh: PostgreSQL is not installed" >&2; exit 77; }

as=() # what runs a command as who may run a server
if [ "$(id -u)" = 0 ]; then
	user=postgres
	id postgres >/dev/null 2>&1 || user=nobody
	as=(setpriv --reuid "$user" --regid "$(id -g $user)" --clear-groups --no-new-privs -- env HOME=/)
fi

free_port() { # none that connections of this machine are given: a server that restarts wants it again
	python3 - <<'END'
import random, socket
while True:
    with socket.socket() as s:
        try:
            s.bind(("127.0.0.1", random.randrange(10000, 30000)))
        except OSError:
            continue
        print(s.getsockname()[1])
        break
END
}

up() { # FOLDER PORT: until it answers, or its process has ended
	for _ in $(seq 2400); do
		"$bin/pg_isready" -q -h 127.0.0.1 -p "$2" -t 1 && return 0
		kill -0 "$(cat "$1/pid")" 2>/dev/null || return 1
		sleep 0.05
	done
	return 1
}

start() { # FOLDER
	local folder=$1 port
	mkdir -p "$folder"
	chmod 755 "$folder"
	if [ ! -d "$folder/data" ]; then
		mkdir "$folder/data"
		[ "$(id -u)" != 0 ] || chown "$user" "$folder/data"
		(cd / && "${as[@]}" "$bin/initdb" -D "$folder/data" -U apprun -A trust -E UTF8 --locale=C.UTF-8 \
			--no-sync) >"$folder/initdb.log" 2>&1 || { cat "$folder/initdb.log" >&2; return 1; }
	fi
	for _ in 1 2 3 4 5; do # somebody else may take the port in between
		port=$(cat "$folder/port" 2>/dev/null || free_port)
		# shellcheck disable=SC2086
		(cd / && exec "${as[@]}" setsid "$bin/postgres" -D "$folder/data" -h 127.0.0.1 \
			-p "$port" -k "" -c max_connections=200 -c logging_collector=off \
			${PG_OPTIONS:-}) >>"$folder/log" 2>&1 </dev/null &
		echo $! >"$folder/pid"
		if up "$folder" "$port"; then
			echo "$port" >"$folder/port"
			echo "postgres://apprun@127.0.0.1:$port/postgres"
			return 0
		fi
		rm -f "$folder/port"
	done
	tail -20 "$folder/log" >&2
	return 1
}

stop() { # FOLDER [immediate]
	local pid signal=INT
	[ "${2:-}" = immediate ] && signal=QUIT
	pid=$(head -1 "$1/data/postmaster.pid" 2>/dev/null) || return 0
	kill -"$signal" "$pid" 2>/dev/null || return 0
	# ended, or a zombie whose parent has not looked yet
	while state=$(sed 's/.*) //; s/ .*//' "/proc/$pid/stat" 2>/dev/null) && [ "$state" != Z ]; do
		sleep 0.02
	done
}

run() { # COMMAND...
	local url code=0
	folder=$(mktemp -d /tmp/apprun-postgres-XXXXXX)
	trap 'stop "$folder" immediate; rm -rf "$folder"' EXIT
	url=$(start "$folder")
	APPRUN_TEST_STORE=$url APPRUN_TEST_POSTGRES=$folder "$@" || code=$?
	return $code
}

case ${1:-} in
start | stop | run) "$@" ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
