#!/bin/sh
# Sets up everything in .venv: packages of the lock file, the front end, the package itself (editable).
#   sh scripts/setup.sh        what the demo needs
#   sh scripts/setup.sh dev    and the tools for tests and lint
# Run it as often as you like: what is done already is not done again.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

find_python() {
    for candidate in ${PYTHON:-} python3.11 python3 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer was not found. Install it (Debian 12: apt-get install python3), or say PYTHON=/path/to/python3."
}

# Debian ships venv without ensurepip; the rest is in a package of its own.
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

make_venv() {
    base=$(find_python)
    venv_package=$("$base" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    rm -rf "$venv"
    if ! has_venv "$base" && can_apt; then
        step "installing $venv_package with apt" apt_install "$venv_package" || say "  going on without it"
    fi
    if has_venv "$base"; then
        step "making $venv with $base" "$base" -m venv "$venv"
    elif "$base" -m virtualenv --version >/dev/null 2>&1; then
        step "making $venv with virtualenv" "$base" -m virtualenv "$venv"
    elif "$base" -m pip --version >/dev/null 2>&1; then
        step "making $venv without ensurepip" "$base" -m venv --without-pip "$venv"
        step "installing pip into it" "$base" -m pip --python "$python" install pip
    elif command -v uv >/dev/null 2>&1; then
        step "making $venv with uv" uv venv --quiet --seed --python "$base" "$venv"
    else
        die "$base cannot make a virtual environment. Run this as root and try again: apt-get install $venv_package"
    fi
}

# A half-made environment does not start, or has no pip. A moved one still points to its old place.
venv_works() {
    "$python" -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || return 1
    [ ! -f "$stamps/root" ] || stamp_is root "$root"
}

install_lock() {
    key="$(hash_of "$1") $("$python" -V)"
    if ! stamp_is "$1" "$key"; then
        step "installing the packages of $1" "$python" -m pip install --disable-pip-version-check --no-input -r "$1"
        stamp_set "$1" "$key"
    fi
}

need_node() {
    if ! node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null || ! npm -v >/dev/null 2>&1; then
        die "Node.js 20 or newer with npm is needed to build the front end, and is not on the PATH."
    fi
}

build_front_end() {
    "$python" hatch_build.py assets # says nothing when there is nothing to do
}

install_package() {
    key="$(hash_of pyproject.toml hatch_build.py buildwidget/_version.py) $root $("$python" -V)"
    if ! stamp_is package "$key"; then
        step "installing buildwidget (editable)" \
            "$python" -m pip install --disable-pip-version-check --no-input --no-deps --no-build-isolation -e .
        stamp_set package "$key"
    fi
}

venv_works || make_venv
stamp_set root "$root"
if [ "${1:-}" = dev ]; then
    install_lock requirements-dev.lock # holds all of requirements.lock too
else
    stamp_is requirements-dev.lock "$(hash_of requirements-dev.lock) $("$python" -V)" || install_lock requirements.lock
fi
need_node
build_front_end
install_package
