# Shared by scripts/start and scripts/test: where the tree is, and what must be installed.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)

say() { printf '\n== %s\n' "$*"; }

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"
	elif command -v sudo >/dev/null; then sudo "$@"
	else echo "This step needs root, and there is no sudo: $*" >&2; return 1
	fi
}

# packages_of PURPOSE...: the names listed for them
packages_of() {
	local purpose
	for purpose in "$@"; do sed -n "s/^$purpose: //p" "$root/scripts/dev/packages"; done | tr '\n' ' '
}

# A command that did not come from Debian's package still counts (Node from elsewhere, for instance).
is_there() {
	case $1 in
	nodejs) command -v node >/dev/null && return ;;
	npm) command -v npm >/dev/null && return ;;
	nginx-light) command -v nginx >/dev/null && return ;;
	esac
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_missing() {
	local name missing=()
	for name in $(packages_of "$@"); do is_there "$name" || missing+=("$name"); done
	[ ${#missing[@]} = 0 ] && return
	say "installing: ${missing[*]}"
	as_root apt-get update -q
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# npm_install FOLDER: exactly what its lock file says, once per lock file
npm_install() {
	local dir=$root/$1 stamp
	stamp=$(sha256sum "$dir/package-lock.json" | cut -c1-64)
	[ "$(cat "$dir/node_modules/.stamp" 2>/dev/null)" = "$stamp" ] && return
	say "npm packages of $1"
	(cd "$dir" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	echo "$stamp" >"$dir/node_modules/.stamp"
}

# build FOLDER MESON-OPTIONS...
build() {
	local dir=$root/$1
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$root" "$@" >"$dir.log" 2>&1 ||
		{ tail -40 "$dir.log"; return 1; }
	ninja -C "$dir" --quiet
}
