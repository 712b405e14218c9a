#!/bin/sh
# Makes the peers' environments beside this file, one for each name given; all when none is.
#     benchmarks/peers/install.sh torch
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
[ $# -gt 0 ] || set -- torch
for name in "$@"; do
    "$python" -m venv "$here/environments/$name"
    "$here/environments/$name/bin/python" -m pip install --quiet --requirement "$here/$name.txt"
done
