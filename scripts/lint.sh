#!/bin/sh
# All static checks. Runs every check, then fails if one of them failed.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

failed=0
check() { step "$@" || failed=1; }

check 'ruff format' "$python" -m ruff format --check .
check 'ruff check' "$python" -m ruff check .
check 'pyright, strict' .venv/bin/basedpyright --level error
check 'biome' npm --prefix js run --silent lint
check 'tsc' npm --prefix js run --silent check
check 'generated files are current' "$python" tools/generate_protocol.py --check
check 'generated words are current' "$python" tools/generate_words.py --check
exit "$failed"
