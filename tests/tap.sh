# SPDX-License-Identifier: MIT
#
# What the shell tests share; to be sourced, after `set -u`: . "${srcdir:-.}/tests/tap.sh"
#
# TAP, the programs that are tested, a folder that is removed at the end ($work), the search for a Python that has what a
# test needs, a text to learn and the comparison of checkpoints.

work=$(mktemp -d "${TMPDIR:-/tmp}/lstmrun-test.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
count=0 failed=0

# LSTMRUN and LSTMLOG name the programs. run ARGUMENT..., log ARGUMENT...: keep output in out and err, exit status in status
program=${LSTMRUN:-./lstmrun} lstmlog=${LSTMLOG:-./lstmlog}
case $program in /*) ;; *) program=$PWD/$program ;; esac
case $lstmlog in /*) ;; *) lstmlog=$PWD/$lstmlog ;; esac
run() { "$program" "$@" >out 2>err; status=$?; }
log() { "$lstmlog" "$@" >out 2>err; status=$?; }

# result STATUS TEXT: one test. Of a failed one the files out and err of the current folder are shown.
result() {
    count=$((count + 1))
    if [ "$1" -eq 0 ]; then echo "ok $count - $2"; return; fi
    failed=1
    echo "not ok $count - $2"
    sed 's/^/# out: /' out 2>/dev/null | head -20
    sed 's/^/# err: /' err 2>/dev/null | head -20
}
# skip TEXT REASON: a test that cannot be made here
skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}
# Of what the last command left in out, err and $status:
exits() { [ "$status" -eq "$1" ]; result $? "$2 (exit $1)"; }
says() { grep -qF -e "$1" err; result $? "  says: $1"; }
prints() { grep -qF -e "$1" out; result $? "  prints: $1"; }
matches() { grep -qE -e "$1" out; result $? "  prints: $1"; }

skip_all() { # REASON
    echo "1..0 # SKIP $1"
    exit 0
}
bail_out() { # REASON
    echo "Bail out! $1"
    exit 1
}
done_testing() {
    echo "1..$count"
    exit $failed
}

# find_python MODULE...: sets python to one that has these modules; to "none", with status 1, when there is none. The
# distribution's packages are those of /usr/bin/python3, which another one may hide. It leaves nothing beside our sources.
find_python() {
    PYTHONDONTWRITEBYTECODE=1
    export PYTHONDONTWRITEBYTECODE
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $(echo "$@" | tr ' ' ,)" 2>/dev/null && return
    done
    python=none
    return 1
}

# write_text: 60 lines to learn from
write_text() {
    i=0
    while [ $i -lt 60 ]; do
        echo "line $i of a text that nobody wrote, $((i * i % 17)) and $((i * 7 % 13))."
        i=$((i + 1))
    done
}

# same_checkpoint A B: every tensor is equal, bit for bit; for tests that have $program
same_checkpoint() {
    cat >"$work/same.lua" <<'END_OF_SCRIPT'
local lstm, core = require "lstm", require "lstm.core"
local a, b = assert(core.checkpoint.read(arg[1])), assert(core.checkpoint.read(arg[2]))
local names = a:names()
assert(#names > 5 and table.concat(names, " ") == table.concat(b:names(), " "), "other tensors")
for _, name in ipairs(names) do
  local shape = a:shape(name)
  shape.type = "float"
  local x, y = lstm.tensor.zeros(shape), lstm.tensor.zeros(shape)
  assert(a:load(name, x))
  assert(b:load(name, y))
  assert(x:equal(y), name .. " differs")
end
END_OF_SCRIPT
    "$program" "$work/same.lua" "$1" "$2"
}
