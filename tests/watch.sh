#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a run records of the network's inside, recomputed by check_watch.py. Needs Python with h5py; skips without.
set -u
. "${srcdir:-.}/tests/tap.sh"
find_python h5py || skip_all "no Python with h5py"
# watch NAME OPTION...
watch() {
    name=$1
    shift
    ./lstmrun "${srcdir:-.}/tests/watched_run.lua" --quiet --out="$work/$name" activations.every=1 gradients.every=1 \
        gradients.full=true parameters.every=1 parameters.full=true "$@"
}
if watch lstm saturation.every=1 activations.output=probabilities && watch rnn cell=rnn activations.output=logits &&
    watch sequences data=sequences saturation.every=1 && watch last data=sequences last=true saturation.every=1; then
    "$python" "${srcdir:-.}/tests/check_watch.py" "$work/lstm/log.h5" "$work/rnn/log.h5" "$work/sequences/log.h5" \
        "$work/last/log.h5"
else
    bail_out "the run failed"
fi
