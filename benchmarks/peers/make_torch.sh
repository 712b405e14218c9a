#!/bin/sh
# Makes the environment of torch_decoding.py: make_torch.sh FOLDER
set -e
python3 -m venv "$1"
"$1/bin/pip" install --quiet torch==2.13.0 numpy
