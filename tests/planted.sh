#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# planted.sh: are the tests of reliability able to fail? In a copy of this (built) tree one fault after another is put
# into the source; the harness that is there for it must fail. Run by `make planted`; speaks TAP.
set -u
copy=$(mktemp -d "${TMPDIR:-/tmp}/lstmrun-planted.XXXXXX") || exit 99
trap 'rm -rf "$copy"' EXIT
# tar says 1 when a file changed meanwhile, such as a log that somebody writes.
{ tar -cf - --exclude='./*-build' --exclude=./fuzz-corpus . 2>/dev/null || [ $? -eq 1 ]; } | tar -xf - -C "$copy" &&
    cd "$copy" || exit 99
export LUA_PATH="$copy/tests/?.lua;;" srcdir=.
count=0 missed=0

# plant WHAT FILE SED-EXPRESSION TARGET COMMAND...: the command passes before, and must fail with the fault.
plant() {
    local what=$1 file=$2 change=$3 target=$4
    shift 4
    count=$((count + 1))
    cp -p "$file" "$copy/original"
    sed -i "$change" "$file"
    if cmp -s "$file" "$copy/original"; then
        echo "not ok $count - $what: there is no place for this fault in $file any more"
        missed=1
    elif ! make $target >"$copy/make.log" 2>&1; then
        echo "not ok $count - $what: does not build"
        tail -5 "$copy/make.log" | sed 's/^/# /'
        missed=1
    elif "$@" >"$copy/out.log" 2>&1 </dev/null; then
        echo "not ok $count - $what: $* did not notice"
        missed=1
    else
        echo "ok $count - $what: noticed by $*"
        grep -m 1 -E '^not ok|ERROR|broken promise|SUMMARY|warning:' "$copy/out.log" | cut -c1-150 | sed 's/^/# /'
    fi
    cp "$copy/original" "$file"
    touch "$file"
}

plant "a checkpoint is renamed before it is on the disk" src/h5image.c \
    's/error = fileio_sync(fd);/error = 0;/' tests/test_faults tests/test_faults
plant "the directory is not synced" src/fileio.c \
    's/fd < 0 ? errno : fileio_sync(fd)/fd < 0 ? errno : 0/' tests/test_faults tests/test_faults
plant "the checkpoint before is not kept" src/h5image.c \
    's/error = rename(kept, previous) != 0 ? errno : fileio_sync_directory(path);/error = unlink(kept);/' \
    tests/test_checkpoint tests/test_checkpoint
plant "a checkpoint's checksum is not looked at" src/h5checkpoint.c \
    's/memcmp(digest, trailer + 32, sizeof digest) != 0/im->size == 0/' tests/test_checkpoint tests/test_checkpoint
plant "libhdf5 reads a checkpoint here first" src/h5probe.c \
    's/^    pid_t child = fork();/    if (seconds > 0) return H5PROBE_GOOD;\n    pid_t child = fork();/' \
    tests/test_mutants tests/test_mutants
plant "libhdf5 reads a log here first" src/h5read.c \
    's/return h5probe_file(look_at_all, r, r->path, err) ? -1 : /(void)look_at_all;\n    return /' \
    tests/test_mutants tests/test_mutants
plant "a log's journal is not synced" src/h5txn.c \
    's/error = sync_data(f->journal_fd);/error = 0;/' tests/test_faults tests/test_faults
plant "what write() says is not believed" src/fileio.c \
    '/^int fileio_write/,/^}/ s/error = errno;/error = 0, n = size;/' lstmrun-faulty \
    env LSTM_TORTURE=33 sh tests/faults.sh
plant "memory is not given back" src/corpus.c \
    's/^    free(c->name);//' tests/test_lua_memory tests/test_lua_memory
plant "a size is not checked" lua/lstm/tasks.lua \
    's/value > LARGEST then/false then/' tests/test_wrong_calls tests/test_wrong_calls
plant "a file that is opened is not closed" src/csvlog.c \
    's/^static int scan(/int leak(void);\nint leak(void)\n{\n    FILE *f = fopen("x", "r");\n    return f != 0;\n}\n\n&/' \
    "" make lint
plant "a journal's empty superblock is applied" src/h5journal.c \
    's/r.class == H5RUN_SUPERBLOCK \&\& r.length == 0/r.offset == 1 \&\& r.length == 0/' "" make fuzz FUZZ_SECONDS=2
plant "memory is used before it is set" src/memory.c \
    's/^    memset(arena, 0, rounded);//' lstmrun make memcheck

# Last, since from here on everything is built for the thread sanitizer.
archer=/usr/lib/llvm-14/lib/libarcher.so
if [ -r $archer ] && command -v clang-14 >/dev/null; then
    make clean >"$copy/make.log" 2>&1
    plant "a thread does not wait for the others" src/backward.c \
        '/^static void layer_back/,/^}/ s/^            team_barrier(me);/            (void)0;/' \
        "CC=clang-14 CFLAGS=-fsanitize=thread LDFLAGS=-fsanitize=thread tests/test_exact" \
        env OMP_TOOL_LIBRARIES=$archer TSAN_OPTIONS="ignore_noninstrumented_modules=1 exitcode=66" \
        tests/test_exact --races
else
    count=$((count + 1))
    echo "ok $count - a thread does not wait for the others # SKIP clang-14 and libomp-14-dev are not here"
fi

echo "1..$count"
exit $missed
