# shellcheck shell=sh disable=SC2034
# Shared by the scripts of this folder: `. scripts/common.sh` from the root of the repository.
# POSIX sh. Says what it is doing and how long that took; keeps the full output in .logs/.

venv=.venv
python=$venv/bin/python
stamps=$venv/.buildwidget
logs=.logs
root=$(pwd)

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# step 'what it does' command…: run quietly; on failure show the end of its output.
step() {
    what=$1
    shift
    mkdir -p "$logs"
    log=$logs/$(printf '%s' "$what" | tr -c 'A-Za-z0-9\n' '-').log
    began=$(date +%s)
    printf '  %s … ' "$what" >&2
    status=0
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if [ "$status" -eq 0 ]; then
        say "done ($(($(date +%s) - began)) s)"
        return 0
    fi
    say "FAILED (exit code $status)"
    tail -n 60 "$log" | sed 's/^/    /' >&2
    say "  The whole output is in $log"
    return "$status"
}

# hash_of file…: one hash of the contents.
hash_of() {
    if command -v sha256sum >/dev/null 2>&1; then
        cat "$@" | sha256sum | cut -d ' ' -f 1
    else
        cat "$@" | shasum -a 256 | cut -d ' ' -f 1
    fi
}

# A stamp file holds the key of a finished step: the step is current while its key is the same.
stamp_is() { [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$2" ]; }
stamp_set() {
    mkdir -p "$stamps"
    printf '%s\n' "$2" >"$stamps/$1"
}

can_apt() { [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; }

apt_install() {
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update
    apt-get -qq -y install --no-install-recommends "$@"
}

# apt_install_unstarted package…: the same, but no service of the packages is started.
apt_install_unstarted() {
    refusal=/usr/sbin/policy-rc.d
    if [ -e "$refusal" ]; then # this system already has a policy for services
        apt_install "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' >"$refusal"
    chmod +x "$refusal"
    status=0
    apt_install "$@" || status=$?
    rm -f "$refusal"
    return "$status"
}
