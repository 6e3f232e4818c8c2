#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Our files in other people's readers: makes a log and a checkpoint with the test programs and has check_log.py look at
# them, also while a log is written. Needs Python with h5py; skips without. Speaks TAP.
set -u
. "${srcdir:-.}/tests/tap.sh"
find_python h5py || skip_all "no Python with h5py"
if tests/test_log "$work/log.h5" >"$work/out" && tests/test_checkpoint "$work/checkpoint.h5" >>"$work/out"; then
    "$python" "${srcdir:-.}/tests/check_log.py" "$work/log.h5" "$work/checkpoint.h5" tests/test_log
else
    grep '^not ok' "$work/out"
    bail_out "test_log or test_checkpoint failed"
fi
