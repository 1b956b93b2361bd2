#!/bin/sh
# make oldest: the server's tests beside other versions of its libraries than those of the lock file. OLDEST holds sets
# of pins, one a line (or between semicolons); TESTS and PYTEST_ARGS go to pytest. By default the oldest versions that
# are supported, a uvicorn between the oldest and the newest, and (`lock`) those of the lock file.
#   make oldest OLDEST='uvicorn==0.40.0' TESTS=tests/test_server_http.py
# An environment is made once for each set and kept, in .venv-oldest/.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

beside='starlette==0.41.3 fastapi==0.115.6 websockets==13.1'
sets=${OLDEST:-"uvicorn==0.30.0 $beside;uvicorn==0.32.1 $beside;lock"}
tests=${TESTS:-"tests/test_server_*.py tests/test_websocket_conformance.py tests/test_broadcast.py
    tests/test_foreign_clients.py tests/test_client.py tests/test_compat.py"}

sh scripts/setup.sh dev
failed=''
newline='
'
IFS=";$newline"
for pins in $sets; do
    unset IFS
    pins=$(printf '%s' "$pins" | tr -s ' ' | sed 's/^ //; s/ $//')
    [ -n "$pins" ] || continue
    say "$pins"
    if [ "$pins" = lock ]; then
        chosen=$python
    else
        place=.venv-oldest/$(printf '%s' "$pins" | tr -cs 'A-Za-z0-9.\n' '-')
        chosen=$place/bin/python
        [ -x "$chosen" ] || step "making $place" "$python" -m venv "$place"
        # shellcheck disable=SC2086
        step "installing into $place" sh -c '
            "$0" -m pip install --disable-pip-version-check --no-input --upgrade "pip>=25.1" &&
            "$0" -m pip install --disable-pip-version-check --no-input --group test --editable ".[server,fastapi]" "$@" &&
            "$0" -m pip check' "$chosen" $pins || {
            failed="$failed install:$pins;"
            continue
        }
    fi
    # An older uvicorn uses names of websockets that warn since 13, and attributes too.
    # shellcheck disable=SC2086
    "$chosen" -m pytest -q -p no:cacheprovider -W 'ignore:remove second argument of ws_handler:DeprecationWarning' \
        -W 'ignore:websockets:DeprecationWarning' -W 'ignore:ConnectionClosed.code:DeprecationWarning' ${PYTEST_ARGS:-} $tests </dev/null || failed="$failed tests:$pins;"
done
[ -z "$failed" ] || die "failed:$failed"
