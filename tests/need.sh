# Sourced by scripts that install what they need, where they may.

say() { printf '\n== %s\n' "$*"; }

# need WHAT PACKAGE [COMMAND...]: makes sure that a program is there, or that a command succeeds.
need() {
  local what=$1 package=$2
  shift 2
  has "$what" "$@" && return
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    say "installing $package"
    apt-get update -q >/dev/null
    install_package "$package" || true
  fi
  has "$what" "$@" || { echo "$0 needs $what: install the package $package (or its like), and run again" >&2; exit 1; }
}

# Installs a package without starting the service that comes with it: the tests start what they need themselves.
install_package() {
  local policy=/usr/sbin/policy-rc.d result=0 ours=""
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    ours=yes
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$1" >/dev/null || result=$?
  [ -z "$ours" ] || rm "$policy"
  return "$result"
}

has() {
  if [ $# = 1 ]; then have "$1"; else "${@:2}" >/dev/null 2>&1; fi
}

# PostgreSQL's programs are not on Debian's PATH, and PgBouncer is only on root's.
have() {
  command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || compgen -G "${PG_BIN:-/usr/lib/postgresql/*/bin}/$1" >/dev/null
}
