#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The snippets of docs/tools.md and docs/files.md, run in the directory of a small run by the tools that are installed
# here; those of others are skipped. Then check_tools.py, where there is a Python for it. Speaks TAP.
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
top=$(pwd)
. "$srcdir/tests/tap.sh"
[ "${SANITIZER:-no}" = no ] || skip_all "Python for the most part, and nothing of ours that other tests do not run"
find_python h5py

seq 200 | sed 's/$/ is a number/' >"$work/text"
if ! ./lstmrun "$srcdir/experiments/shakespeare.lua" --quiet --out="$work/run" data="$work/text" prime=1 batch=4 \
    seq=20 hidden=32 steps=20 eval_every=5 activations.every=10 gradients.every=10 parameters.every=10; then
    bail_out "the run failed"
fi

# Each fenced block of the documents becomes a file NUMBER.LANGUAGE.
awk -v work="$work" '
    /^```/ && file { close(file); file = ""; next }
    /^```/ { file = sprintf("%s/%02d.%s", work, ++n, substr($0, 4)); next }
    file { print > file }' "$srcdir/docs/tools.md" "$srcdir/docs/files.md"

# Where lstmplot is: beside lstmrun, run by the Python that has h5py.
mkdir "$work/bin"
printf '#!/bin/sh\nexec %s %s/src/lstmplot.py "$@"\n' "$python" "$srcdir" >"$work/bin/lstmplot"
chmod +x "$work/bin/lstmplot"
PATH=$work/bin:$top:$PATH
MPLCONFIGDIR=$work
MPLBACKEND=Agg
export PATH MPLCONFIGDIR MPLBACKEND

# The command that runs a snippet; none: its tool, or what it needs, is not installed.
runner() {
    case $1 in
    *.python)
        modules=$(sed -n 's/^import \([a-z0-9]*\).*/\1/p' "$1")
        grep -q xarray "$1" && { "$python" -c 'import netCDF4' 2>/dev/null || modules="$modules h5netcdf"; }
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
    *.lua) [ ! -e "$work/run/network.lua" ] || echo "$top/lstmrun" ;; # which the snippet before it makes, where there is PyTorch
    *.gnuplot) command -v gnuplot ;;
    *.r) Rscript -e 'library(hdf5r)' >/dev/null 2>&1 && echo Rscript ;;
    *.octave) command -v octave-cli ;;
    esac
}

for snippet in "$work"/[0-9]*; do
    name="docs/tools.md, docs/files.md: snippet ${snippet##*/}"
    command=$(runner "$snippet")
    if [ -z "$command" ]; then
        skip "$name" "no tool for it here"
    elif (cd "$work/run" && ls >../before && $command "$snippet" >../out 2>../err && ls >../after); then
        # It has printed something, or made files that are not empty.
        made=$(cd "$work/run" && comm -13 ../before ../after)
        empty=$(cd "$work/run" && for file in $made; do [ -s "$file" ] || echo "$file"; done)
        if { [ -s "$work/out" ] || [ -n "$made" ]; } && [ -z "$empty" ]; then
            result 0 "$name"
        else
            result 1 "$name: printed and made nothing"
        fi
    else
        result 1 "$name"
        sed 's/^/# /' "$work/err"
    fi
done
[ $count -ge 10 ]
result $? "the documents have snippets"
if [ "$python" = none ]; then
    done_testing
fi

# Arrays of NumPy's types, as h5py writes them, in Lua; and back.
cat >"$work/arrays.py" <<'END'
import h5py
import numpy as np

with h5py.File("arrays.h5", "w") as f:
    for name in ["f2", "f4", "f8", ">f8", "i1", "u2", "<i8", "?"]:
        f["types/" + name] = np.arange(2, dtype=name)
    f["scalar"] = 3.5
    f.create_dataset("packed", data=np.arange(600.0).reshape(100, 6), chunks=(7, 6), compression="gzip", shuffle=True)
    f["text"] = "no numbers"
    f["record"] = np.zeros(2, [("a", "f4")])
    f["empty"] = np.zeros((0, 3))
    f["six"] = np.zeros([1] * 6)
END
cat >"$work/arrays.lua" <<'END'
local lstm = require "lstm"
for _, name in ipairs { "f2", "f4", "f8", ">f8", "i1", "u2", "<i8", "?" } do
  local t = assert(lstm.tensor.load("arrays.h5", "types/" .. name))
  assert(t[1] == 0 and t[2] == 1 and #t == 2 and t.type == (name:find "f[24]" and "float" or "double"), name)
end
assert(lstm.tensor.load("arrays.h5", "scalar")[1] == 3.5)
local packed = assert(lstm.tensor.load("arrays.h5", "packed", { first = 98 }))
assert(lstm.show.shape(packed) == "[3, 6]" and packed:get(3, 6) == 599)
for name, why in pairs { text = "holds no numbers", record = "holds no numbers", empty = "is empty", six = "6 dimensions" } do
  local t, reason = lstm.tensor.load("arrays.h5", name)
  assert(t == nil and reason:find(why, 1, true) and reason:find("arrays.h5", 1, true), reason)
end
assert(lstm.tensor.save("back.h5", { ["a/packed"] = packed }))
END
(cd "$work" && "$python" arrays.py && "$top/lstmrun" arrays.lua &&
    "$python" -c 'import h5py; a = h5py.File("back.h5")["a/packed"]; assert a.shape == (3, 6) and a[2, 5] == 599') >"$work/err" 2>&1
result $? "arrays that h5py writes are read in Lua, and the other way round"
sed 's/^/# /' "$work/err"
"$python" "$srcdir/tests/check_tools.py" "$work/run" $count
