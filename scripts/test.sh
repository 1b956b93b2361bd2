#!/bin/sh
# make test: sets up what is missing, then runs every check and every test.
# All stages run, so that one failure does not hide another. PYTEST_ARGS goes to pytest.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

say 'Set-up'
sh scripts/setup.sh dev
CHROMIUM=$(sh scripts/chromium.sh)
NGINX_PROGRAM=$(sh scripts/nginx.sh)
export CHROMIUM NGINX_PROGRAM
"$python" hatch_build.py packages
say "  ready: $("$python" -V), node $(node --version), $("$CHROMIUM" --version 2>/dev/null || echo "$CHROMIUM")"

failed=''
say 'Lint'
sh scripts/lint.sh || failed="$failed lint"

say 'Front end (vitest in Chromium)'
npm --prefix js test </dev/null || failed="$failed front-end"

say 'Notebooks'
"$python" -m pytest --nbval-lax --nbval-cell-timeout=60 -p no:cacheprovider -q notebooks </dev/null ||
    failed="$failed notebooks"

say 'Python'
if [ -n "${PYTEST_ARGS:-}" ]; then
    # shellcheck disable=SC2086 # a list of words
    "$python" -m pytest $PYTEST_ARGS </dev/null || failed="$failed python"
else
    # Two at a time, then those that need the machine for themselves. Last, so that a closing line ends the output.
    "$python" -m pytest -q -n 2 --dist loadfile -m 'not alone' </dev/null || failed="$failed python"
    "$python" -m pytest -m alone </dev/null || failed="$failed python-alone"
fi

if [ -n "$failed" ]; then
    say "FAILED:$failed"
    exit 1
fi
