#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a run records of the network's inside, recomputed by check_watch.py. Needs Python with h5py; skips without.
set -u
for python in python3 /usr/bin/python3 none; do
    "$python" -c 'import h5py' 2>/dev/null && break
done
if [ $python = none ]; then
    echo "1..0 # SKIP no Python with h5py"
    exit
fi
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
watch() {
    ./lstmrun "${srcdir:-.}/tests/watched_run.lua" --quiet --out="$folder/$1" cell="$1" activations.every=1 gradients.every=1 \
        gradients.full=true parameters.every=1 parameters.full=true
}
if watch lstm && watch rnn; then
    "$python" "${srcdir:-.}/tests/check_watch.py" "$folder/lstm/log.h5" "$folder/rnn/log.h5"
else
    echo "Bail out! the run failed"
fi
