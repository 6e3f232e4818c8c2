#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh SECONDS: builds the fuzz targets with clang's libFuzzer and the address and undefined-behaviour sanitizers and
# runs each for so long on the corpus kept here. Run by `make fuzz`, which sets the variables below. A new input that is
# worth keeping is left in fuzz-corpus/TARGET of the build directory, one that breaks a promise in fuzz-TARGET-*.
set -u -o pipefail
seconds=${1:-80}
: "${FUZZ_CC:=clang-14}" "${HDF5_CFLAGS=}" "${HDF5_LIBS:=-lhdf5}" "${LUA_CFLAGS=}" "${LUA_LIBS:=-llua5.4}"
source=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=$PWD/fuzz-build corpus=$PWD/fuzz-corpus
if ! command -v "$FUZZ_CC" >/dev/null; then
    echo "$FUZZ_CC, which brings libFuzzer, is not installed" >&2
    exit 1
fi
mkdir -p "$build" "$corpus" || exit 1
sanitizers=fuzzer,address,undefined
passed=0 failed=0

# compile NAME SOURCES... [-- LIBRARIES...]
compile() {
    local name=$1 files=() file
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        files+=("$source/$1")
        shift
    done
    [ $# -eq 0 ] || shift
    # shellcheck disable=SC2086
    "$FUZZ_CC" -std=gnu11 -g -O1 -fsanitize="$sanitizers" -fno-sanitize-recover=all -I"$source/src" \
        $HDF5_CFLAGS $LUA_CFLAGS -o "$build/$name" "${files[@]}" "$@"
}

# fuzz TARGET PROGRAM LENGTH: one target for the given time, on inputs up to LENGTH bytes.
fuzz() {
    local target=$1 program=$2 length=$3 log="$build/$1.log" words=() dictionary="$source/tests/fuzz/$1.dict"
    [ ! -r "$dictionary" ] || words=("-dict=$dictionary")
    mkdir -p "$corpus/$target"
    if FUZZ_TARGET=$target FUZZ_SCRIPT=$source/tests/fuzz/fuzz.lua FUZZ_WORK=$build/work \
        LUA_PATH="$source/lua/?.lua;$source/lua/?/init.lua" LUA_CPATH="$PWD/lib/?.so" \
        ASAN_OPTIONS=allocator_may_return_null=1 \
        "$build/$program" "$corpus/$target" "$source/tests/fuzz/corpus/$target" "${words[@]}" -max_len="$length" \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -artifact_prefix="fuzz-$target-" >"$log" 2>&1; then
        passed=$((passed + 1))
        echo "PASS: fuzz $target: $(sed -n 's/^Done \([0-9]*\) runs in \([0-9]*\).*/\1 runs in \2 s/p' "$log"), clean"
    else
        failed=$((failed + 1))
        echo "FAIL: fuzz $target"
        tail -40 "$log"
    fi
}

base="src/error.c src/sha256.c src/utf8.c src/fileio.c"
# shellcheck disable=SC2086
{
    compile text tests/fuzz/fuzz_text.c $base src/vocab.c src/corpus.c &&
        compile csv tests/fuzz/fuzz_csv.c $base src/csvlog.c &&
        compile journal tests/fuzz/fuzz_journal.c $base src/h5journal.c &&
        compile checkpoint tests/fuzz/fuzz_checkpoint.c $base src/h5checkpoint.c src/h5image.c -- .libs/libh5.a \
            .libs/libengine.a $HDF5_LIBS -lgomp -lm &&
        sanitizers=fuzzer compile lua tests/fuzz/fuzz_lua.c -- $LUA_LIBS -rdynamic
} || exit 1

fuzz text text 4096
fuzz csv csv 4096
fuzz journal journal 4096
fuzz checkpoint checkpoint 8192
fuzz json lua 4096
fuzz options lua 1024
fuzz status lua 1024

echo "# PASS:  $passed"
echo "# FAIL:  $failed"
[ "$failed" -eq 0 ]
