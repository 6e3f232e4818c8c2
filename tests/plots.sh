#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Figures of three small runs, one that logs everything, one that logs nothing of the network's inside and one of a plain
# RNN, checked by check_plots.py. Needs Python with h5py and matplotlib; skips without. Speaks TAP.
set -u
. "${srcdir:-.}/tests/tap.sh"
[ "${SANITIZER:-no}" = no ] || skip_all "Python for the most part, and nothing of ours that other tests do not run"
find_python h5py matplotlib || skip_all "no Python with h5py and matplotlib"
MPLCONFIGDIR=$work
export MPLCONFIGDIR
line=0
while [ $line -lt 60 ]; do
    line=$((line + 1))
    echo "Line $line costs \$$line: the rain in Spain."
done >"$work/text"
train() {
    ./lstmrun "${srcdir:-.}/experiments/shakespeare.lua" --quiet data="$work/text" prime=Line batch=4 seq=20 \
        hidden=12 steps=8 eval_every=4 "$@"
}
if train --out="$work/watched" activations.every=2 saturation.every=2 gradients.every=2 gradients.full=true parameters.every=2 \
        watch.rows=2 activations.output=logits && train --out="$work/bare" layers=1 &&
        ./lstmrun "${srcdir:-.}/experiments/remember.lua" --quiet --out="$work/rnn" cell=rnn task=copy T=6 length=2 hidden=5 \
            steps=4 eval_every=4 activations.every=2 activations.output=probabilities gradients.every=2; then
    "$python" "${srcdir:-.}/tests/check_plots.py" "${srcdir:-.}/src/lstmplot.py" "$work"
else
    bail_out "a run failed"
fi
