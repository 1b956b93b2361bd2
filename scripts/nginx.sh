#!/bin/sh
# Prints the path of an nginx for the tests of docs/server.md; installs Debian's as root when there is none.
# NGINX_PROGRAM=/path/to/nginx chooses one (nginx itself reads NGINX, for sockets that it inherits). The tests start it themselves, not as a service.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

# Debian installs it in a folder that is not on the PATH of every user.
PATH=$PATH:/usr/sbin:/usr/local/sbin

find_nginx() { command -v "${NGINX_PROGRAM:-nginx}" 2>/dev/null; }
complete() { find_nginx >/dev/null && command -v openssl >/dev/null 2>&1; }

if [ -n "${NGINX_PROGRAM:-}" ] && ! find_nginx >/dev/null; then
    die "NGINX_PROGRAM=$NGINX_PROGRAM is not a program that can be run."
fi
if ! complete; then
    if can_apt; then
        # Debian would start the service after the installation, but port 80 may be in use.
        step "installing nginx with apt" apt_install_unstarted nginx-light openssl
    fi
    complete || die "The tests of the reverse proxy need nginx and openssl, and they are not both there.
  Debian, Ubuntu: run as root 'apt-get install nginx-light openssl', then try again.
  Elsewhere: install both, and say NGINX_PROGRAM=/path/to/nginx if it is not on the PATH."
fi
find_nginx
