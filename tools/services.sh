# Sourced by ./check --services: installs the Debian packages of the servers that tests start, and
# of Node.js, where they are missing, without starting or configuring any server of the system's own.
# shellcheck shell=sh

policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
mark='# put here by Headway while it installs packages'

# A line a package: its name, then commands and files of which one shows that it is there.
services() {
    cat <<'END'
postgresql initdb /usr/lib/postgresql/*/bin/initdb
rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server
redis-server redis-server
nodejs node
npm npm
openssl openssl
curl curl
END
}

# missing_services: prints the packages that have to be installed.
missing_services() {
    services | while read -r package proofs; do
        found=
        for proof in $proofs; do # a pattern among the proofs becomes the files it matches
            ! command -v "$proof" >/dev/null 2>&1 || found=yes
        done
        [ -n "$found" ] || printf '%s\n' "$package"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

put_back() {
    # Only what is marked as ours is removed, and what stood there before comes back.
    ! grep -qF "$mark" "$policy" 2>/dev/null || as_root rm -f "$policy"
    if [ ! -e "$policy" ] && [ -e "$policy.before-headway" ]; then
        as_root mv -f "$policy.before-headway" "$policy"
    fi
    [ ! -e "$clusters.before-headway" ] || as_root mv -f "$clusters.before-headway" "$clusters"
}

# With this in place, packages may be installed but no service is started (exit 101: not allowed).
forbid_services() {
    if [ -e "$policy" ]; then as_root mv "$policy" "$policy.before-headway" || return 1; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" | as_root tee "$policy" >/dev/null &&
        as_root chmod 755 "$policy"
}

# The package would otherwise make a database cluster for the system.
forbid_clusters() {
    apt_install postgresql-common &&
        as_root cp -p "$clusters" "$clusters.before-headway" &&
        printf '%s\n' 'create_main_cluster = false' | as_root tee -a "$clusters" >/dev/null
}

# apt_get ARGUMENTS...: waits for another one to finish; silent unless it fails.
apt_get() {
    printed=$(as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get --quiet=2 -o DPkg::Lock::Timeout=300 "$@" </dev/null 2>&1) || {
        printf '%s\n' "$printed"
        return 1
    }
}

apt_install() {
    apt_get install --yes --no-install-recommends "$@"
}

# install_quietly PACKAGE...: with the services forbidden, and everything put back afterwards.
install_quietly() (
    trap put_back EXIT
    trap 'exit 1' HUP INT TERM
    forbid_services && apt_get update || exit 1
    case " $* " in
        *' postgresql '*) forbid_clusters || exit 1 ;;
    esac
    apt_install "$@"
)

# install_services: installs what is missing. Returns 1, having said why, if that is not possible.
install_services() {
    put_back # what a run that was killed left behind
    missing=$(missing_services | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null 2>&1 || {
        say "missing, and there is no apt-get to install them: $missing"
        return 1
    }
    [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null || {
        say "missing; as root: apt-get install $missing"
        return 1
    }
    say "installing $missing(no service is started)"
    # shellcheck disable=SC2086 # one argument a package
    install_quietly $missing
}
