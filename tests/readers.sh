#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Our files in other people's readers: makes a log and a checkpoint with the test programs and has check_log.py look at
# them, also while a log is written. Needs Python with h5py; skips without. Speaks TAP.
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
if tests/test_log "$folder/log.h5" >"$folder/out" && tests/test_checkpoint "$folder/checkpoint.h5" >>"$folder/out"; then
    "$python" "${srcdir:-.}/tests/check_log.py" "$folder/log.h5" "$folder/checkpoint.h5" tests/test_log
else
    grep '^not ok' "$folder/out"
    echo "Bail out! test_log or test_checkpoint failed"
fi
