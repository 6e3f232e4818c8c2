# SPDX-License-Identifier: MIT
#
# What the shell tests share; to be sourced, after `set -u`: . "${srcdir:-.}/tests/tap.sh"
#
# TAP, a folder that is removed at the end ($work), and the search for a Python that has what a test needs.

work=$(mktemp -d "${TMPDIR:-/tmp}/lstmrun-test.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
count=0 failed=0

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
# distribution's packages are those of /usr/bin/python3, which another one may hide.
find_python() {
    for python in python3 /usr/bin/python3; do
        "$python" -c "import $(echo "$@" | tr ' ' ,)" 2>/dev/null && return
    done
    python=none
    return 1
}
