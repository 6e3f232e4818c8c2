#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Figures of two small runs, one that logs everything and one that logs nothing of the network's inside, checked by
# check_plots.py. Needs Python with h5py and matplotlib; skips without. Speaks TAP.
set -u
for python in python3 /usr/bin/python3 none; do
    "$python" -c 'import h5py, matplotlib' 2>/dev/null && break
done
if [ $python = none ]; then
    echo "1..0 # SKIP no Python with h5py and matplotlib"
    exit
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
MPLCONFIGDIR=$folder
export MPLCONFIGDIR
line=0
while [ $line -lt 60 ]; do
    line=$((line + 1))
    echo "Line $line costs \$$line: the rain in Spain."
done >"$folder/text"
train() {
    ./lstmrun "${srcdir:-.}/experiments/shakespeare.lua" --quiet data="$folder/text" prime=Line batch=4 seq=20 \
        hidden=12 steps=8 eval_every=4 "$@"
}
if train --out="$folder/watched" activations.every=2 gradients.every=2 parameters.every=2 watch.rows=2 &&
        train --out="$folder/bare" layers=1; then
    "$python" "${srcdir:-.}/tests/check_plots.py" "${srcdir:-.}/src/lstmplot.py" "$folder"
else
    echo "Bail out! a run failed"
fi
