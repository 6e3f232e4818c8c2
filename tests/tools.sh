#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The snippets of docs/tools.md, run in the directory of a small run by the tools that are installed here; those of
# others are skipped. Then check_tools.py, where there is a Python for it. Speaks TAP.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
top=$(pwd)
for python in python3 /usr/bin/python3 none; do
    "$python" -c 'import h5py' 2>/dev/null && break
done
folder=$(mktemp -d) || exit 1
trap 'rm -rf "$folder"' EXIT
count=0
report() { # RESULT TEXT
    count=$((count + 1))
    echo "$1 $count - $2"
}

seq 200 | sed 's/$/ is a number/' >"$folder/text"
if ! ./lstmrun "$srcdir/experiments/shakespeare.lua" --quiet --out="$folder/run" data="$folder/text" prime=1 batch=4 \
    seq=20 hidden=32 steps=20 eval_every=5 activations.every=10 gradients.every=10 parameters.every=10; then
    echo "Bail out! the run failed"
    exit
fi

# Each fenced block of the document becomes a file NUMBER.LANGUAGE.
awk -v folder="$folder" '
    /^```/ && file { close(file); file = ""; next }
    /^```/ { file = sprintf("%s/%02d.%s", folder, ++n, substr($0, 4)); next }
    file { print > file }' "$srcdir/docs/tools.md"

# Where lstmplot is: beside lstmrun, run by the Python that has h5py.
mkdir "$folder/bin"
printf '#!/bin/sh\nexec %s %s/src/lstmplot.py "$@"\n' "$python" "$srcdir" >"$folder/bin/lstmplot"
chmod +x "$folder/bin/lstmplot"
PATH=$folder/bin:$top:$PATH
MPLCONFIGDIR=$folder
MPLBACKEND=Agg
export PATH MPLCONFIGDIR MPLBACKEND

# The command that runs a snippet; none: its tool, or what it needs, is not installed.
runner() {
    case $1 in
    *.python)
        modules=$(sed -n 's/^import \([a-z0-9]*\).*/\1/p' "$1")
        grep -q h5netcdf "$1" && modules="$modules h5netcdf"
        grep -q netcdf4 "$1" && modules="$modules netCDF4"
        grep -q 'plot' "$1" && modules="$modules matplotlib"
        for module in $modules; do
            "$python" -c "import $module" 2>/dev/null || return
        done
        echo "$python" ;;
    *.sh)
        for tool in $(sed 's/ .*//' "$1"); do
            command -v "$tool" >/dev/null || return
        done
        grep -q lstmplot "$1" && { "$python" -c 'import matplotlib' 2>/dev/null || return; }
        echo "sh -e" ;;
    *.gnuplot) command -v gnuplot ;;
    *.r) Rscript -e 'library(hdf5r)' >/dev/null 2>&1 && echo Rscript ;;
    *.octave) command -v octave-cli ;;
    esac
}

for snippet in "$folder"/[0-9]*; do
    name="docs/tools.md: snippet ${snippet##*/}"
    command=$(runner "$snippet")
    if [ -z "$command" ]; then
        report ok "$name # SKIP no tool for it here"
    elif (cd "$folder/run" && ls >../before && $command "$snippet" >../out 2>../err && ls >../after); then
        # It has printed something, or made files that are not empty.
        made=$(cd "$folder/run" && comm -13 ../before ../after)
        empty=$(cd "$folder/run" && for file in $made; do [ -s "$file" ] || echo "$file"; done)
        if { [ -s "$folder/out" ] || [ -n "$made" ]; } && [ -z "$empty" ]; then
            report ok "$name"
        else
            report "not ok" "$name: printed and made nothing"
        fi
    else
        report "not ok" "$name"
        sed 's/^/# /' "$folder/err"
    fi
done
if [ $count -lt 10 ]; then
    report "not ok" "the document has snippets"
fi
if [ "$python" = none ]; then
    echo "1..$count"
    exit
fi
"$python" "$srcdir/tests/check_tools.py" "$folder/run" $count
