#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# coverage.sh DIRECTORY: sums up what gcov counted in a tree built with --coverage, in which tests have run: for each
# source file and for all together the share of lines that were executed and of branches that were taken.
set -u -o pipefail
cd "${1:-.}" || exit 1

# Where a source was compiled several times (per precision, per instruction set), the best of them counts.
find src -name '*.gcda' | sort | while read -r data; do
    gcov -n -b "$data" 2>/dev/null
done | awk '
    /^File / { file = $2; gsub("\047", "", file); sub(".*/src/", "src/", file) }
    /^Lines executed/ { split($0, part, /[:% ]+/); lines = part[3]; of_lines = $NF; branches = of_branches = 0; keep() }
    /^Taken at least once/ { split($0, part, /[:% ]+/); branches = part[5]; of_branches = $NF; keep() }
    function keep() {
        if (file !~ /^src\//) return
        if (lines * of_lines >= best[file] * total[file]) { best[file] = lines; total[file] = of_lines }
        if (branches * of_branches >= best_b[file] * total_b[file]) {
            best_b[file] = branches
            total_b[file] = of_branches
        }
    }
    END {
        for (file in total) {
            printf "%6.1f%% of %5d lines  %6.1f%% of %5d branches  %s\n", best[file], total[file], best_b[file],
                total_b[file], file | "sort -k8"
            sum += best[file] * total[file]
            n += total[file]
            sum_b += best_b[file] * total_b[file]
            n_b += total_b[file]
        }
        close("sort -k8")
        printf "%6.1f%% of %5d lines  %6.1f%% of %5d branches  all\n", sum / n, n, sum_b / n_b, n_b
    }'
