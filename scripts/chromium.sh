#!/bin/sh
# Prints the path of a Chromium for the browser tests; installs Debian's as root when there is none.
# CHROMIUM=/path/to/browser chooses one.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

find_chromium() {
    for candidate in ${CHROMIUM:-} chromium chromium-browser google-chrome google-chrome-stable; do
        if command -v "$candidate" >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if [ -n "${CHROMIUM:-}" ] && ! command -v "$CHROMIUM" >/dev/null 2>&1; then
    die "CHROMIUM=$CHROMIUM is not a program that can be run."
fi
if ! find_chromium; then
    if can_apt; then
        # without a font, all text would be boxes
        step "installing chromium with apt" apt_install chromium fonts-dejavu-core
    fi
    find_chromium || die "The browser tests need Chromium or Chrome and there is none.
  Debian, Ubuntu: run as root 'apt-get install chromium', then try again.
  Elsewhere: install Chromium or Google Chrome, and say CHROMIUM=/path/to/it if it is not on the PATH."
fi
