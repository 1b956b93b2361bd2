#!/bin/sh
# make matrix: the tests that need no browser, with every other installed Python. PYTHONS chooses the versions, PYTEST_ARGS
# goes to pytest. For each Python, also checks that the dependencies can be installed as wheels.
set -eu
cd "$(dirname "$0")/.."
. scripts/common.sh

sh scripts/setup.sh dev
rm -rf "$logs/dist"
step 'building the wheel' "$python" -m hatchling build -t wheel --directory "$logs/dist"
wheel=$(ls "$logs"/dist/*.whl)
ran=0
failed=''
for candidate in ${PYTHONS:-python3.12 python3.13 python3.14}; do
    if ! version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        # a Python that pyenv has installed but not selected
        candidate=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"${candidate#python}".*/bin/python 2>/dev/null | tail -n 1)
        [ -n "$candidate" ] || continue
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    fi
    say "Python $version ($candidate)"
    ran=$((ran + 1))
    place=.venv-$version
    [ -x "$place/bin/python" ] || step "making $place" "$candidate" -m venv "$place"
    step "resolving the dependencies for $version, wheels alone" \
        "$python" -m pip install --disable-pip-version-check --no-input --dry-run --ignore-installed \
        --target "$logs/none" --python-version "$version" --only-binary=:all: "$wheel[all]" ||
        failed="$failed resolve-$version"
    step "installing into $place" sh -c "
        '$place/bin/python' -m pip install --disable-pip-version-check --no-input --upgrade 'pip>=25.1' &&
        '$place/bin/python' -m pip install --disable-pip-version-check --no-input --group dev '$wheel[all]'" || {
        failed="$failed install-$version"
        continue
    }
    "$place/bin/python" -m pytest -q -p no:cacheprovider -m 'not lab' --ignore tests/page ${PYTEST_ARGS:-} </dev/null ||
        failed="$failed tests-$version"
done
[ "$ran" -gt 0 ] || say 'No other Python was found (3.12, 3.13 and 3.14 by default): nothing was tested.'
[ -z "$failed" ] || die "failed:$failed"
