#!/bin/sh
# Makes the peers' environments beside this file, one for each name given; all when none is.
#     benchmarks/peers/install.sh torch
# NAME.txt lists what is installed with all it asks for, NAME.alone.txt, where there is one, what is
# installed without.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
[ $# -gt 0 ] || set -- torch joeynmt
for name in "$@"; do
    "$python" -m venv "$here/environments/$name"
    pip="$here/environments/$name/bin/python -m pip"
    $pip install --quiet --requirement "$here/$name.txt"
    [ ! -f "$here/$name.alone.txt" ] || $pip install --quiet --no-deps --requirement "$here/$name.alone.txt"
done
