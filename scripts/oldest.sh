#!/bin/sh
# The server's tests with other versions than those of the lock file: the oldest that are supported, or the ones given.
#   sh scripts/oldest.sh                      # uvicorn 0.30, starlette 0.41.3, websockets 13.1
#   sh scripts/oldest.sh 'uvicorn==0.32.1' 'fastapi==0.115.6' 'starlette==0.41.3' 'websockets==13.1'
# The environment is made outside the tree, in $OLDEST_VENV (a temporary folder by default), and is kept there.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- 'uvicorn==0.30.0' 'starlette==0.41.3' 'fastapi==0.115.6' 'websockets==13.1'
venv="${OLDEST_VENV:-$(mktemp -d)/venv}"
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --editable . "$@" \
    pytest pytest-asyncio pytest-timeout pytest-xdist psutil httpx hypothesis jsonschema
# uvicorn's WebSocket of that time is written for a websockets of before its own warnings.
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider -n 2 \
    -W 'ignore:remove second argument:DeprecationWarning' -W 'ignore::DeprecationWarning:websockets' \
    tests/test_server_stream.py tests/test_server_operations.py tests/test_server_http.py tests/test_server_pressure.py
