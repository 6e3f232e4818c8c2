#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# coverage.sh check               are the tools there?
# coverage.sh report DIRECTORY    sums up what gcov counted in a tree built with --coverage, in which tests have run: a
#                                 line for each source file, and whether the goals are met (exit status 0 if so).
#
# Branches of the kernels are not counted in the sum: each instruction set has its own of one source line, and those of
# an instruction set that the machine lacks cannot be taken.
# What was compiled several times, per precision or instruction set, counts as executed when one of them was. Branches
# marked GCOVR_EXCL_BR_LINE do not count; each mark has its reason beside it.
set -u -o pipefail

# Every branch is to be taken in what writes and reads checkpoints, and in all that parses bytes from elsewhere, as far as
# it is C: the targets of `make fuzz`. (key=value, JSON and a sweep's files are parsed in Lua, which gcov does not see.)
whole="h5checkpoint h5image h5probe h5journal csvlog corpus vocab utf8 sha256"
goal_lines=90
goal_branches=80

check() {
    if ! gcovr --version >/dev/null 2>&1; then
        echo "make coverage: needs gcovr (Debian: apt install gcovr)" >&2
        exit 1
    fi
}

report() {
    cd "$1" || exit 1
    gcovr -j2 -r . -f src/ --csv=- src | awk -F, -v whole=" $whole " -v goal_lines=$goal_lines \
        -v goal_branches=$goal_branches '
    function percent(part, of) { return of ? 100 * part / of : 100 }
    function row(name, lines, of_lines, branches, of_branches, mark) {
        printf "%-26s %5d of %5d  %5.1f%%   %5d of %5d  %5.1f%%%s\n", name, lines, of_lines, percent(lines, of_lines),
            branches, of_branches, percent(branches, of_branches), mark
    }
    function goal(met, text) {
        printf "%s: %s\n", met ? "met" : "NOT MET", text
        missed += !met
    }
    NR == 1 { print "file                                  lines                    branches"; next }
    {
        name = $1
        sub(/.*\//, "", name)
        sub(/\.[ch]$/, "", name)
        every = index(whole, " " name " ") > 0
        row($1, $3, $2, $6, $5, every ? "  all" : "")
        lines += $3; of_lines += $2
        if ($1 !~ /^src\/kern\//) { branches += $6; of_branches += $5 }
        if (every) { taken += $6; of_taken += $5 }
    }
    END {
        row("all files", lines, of_lines, branches, of_branches, "")
        print ""
        goal(NR > 1 && percent(lines, of_lines) >= goal_lines, "at least " goal_lines "% of the lines")
        goal(NR > 1 && percent(branches, of_branches) >= goal_branches, "at least " goal_branches "% of the branches")
        goal(NR > 1 && taken == of_taken, sprintf("all branches of the files marked \"all\" (checkpoints and parsers): " \
            "%d of %d", taken, of_taken))
        exit missed > 0
    }'
}

"$@"
