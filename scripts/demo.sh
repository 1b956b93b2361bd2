#!/bin/sh
# make demo: sets up what is missing, then starts a simulated build, shown live in JupyterLab and in this terminal.
# DEMO_ARGS holds further arguments for `buildwidget demo`, for example DEMO_ARGS='plan-failure --speed 5'.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
# shellcheck disable=SC2086 # DEMO_ARGS is a list of words
exec .venv/bin/python -m buildwidget demo --lab ${DEMO_ARGS:-} "$@"
