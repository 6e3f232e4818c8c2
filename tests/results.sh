#!/bin/sh
# SPDX-License-Identifier: MIT
#
# What a sweep leaves behind: sweep.csv, sweep.h5 and the summary. Readers are check_results.py's. Speaks TAP.
# LSTMRUN names the program (default: ./lstmrun).
set -u
srcdir=$(cd "${srcdir:-.}" && pwd)
. "$srcdir/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_SWEEP
export HOME="$work" OMP_NUM_THREADS=1

# The loss is known: 10 a + seed + 1 / step; longer by `more` steps. A parameter is called as a column is, one is text.
cat >known.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  for step in run:steps(cfg.more + 4) do
    run:log(step, { loss = 10 * cfg.a + cfg.seed + 1 / step, ["a,b"] = step })
    if cfg.status == "bad, \"very\"" and step == 3 then error "no way" end
  end
end
return lstm.sweep { name = "known", experiment = train, metric = "loss", seeds = 2, retries = 0,
  options = { { "more", 0 } },
  params = { { "a", { 1, 2, 3 } }, { "more", function(p) return p.a == 3 and 3 or 0 end },
    { "status", { "good", "bad, \"very\"" } } } }
END

run known.lua --jobs=2
exits 1 "a sweep of which some trials fail"
matches "^best    loss, mean and standard deviation over seeds"
matches "^ +11\.75 +\+- 0\.707 +2 seeds +a=1 status=good more=0"
matches "^effect  of each parameter"
matches "^ +a +[0-9]+% +1: 11\.75   2: 21\.75   3: 31\.643"
prints "files   runs/known/sweep.h5, sweep.csv"
cut -d, -f1,3-6,8-9 runs/known/sweep.csv | head -2 >out
prints 'trial,a,param_status,more,seed,loss,best_loss'
prints '1,1,good,0,1,11.25,11.25'
grep -c '"bad, ""very""",[03],[12],failed,.*no way' runs/known/sweep.csv >out
prints 6
cp runs/known/sweep.csv before.csv
run known.lua --collect
exits 0 "--collect"; prints "sweep   known: 6 done, 6 failed"; cmp -s before.csv runs/known/sweep.csv
result $? "  writes the same again"
run known.lua --collect --json
prints '{"event": "collected", "counts": {"done": 6, "failed": 6}'
run known.lua --collect --out=nowhere
exits 1 "--collect of nothing"; says "there are no trials in nowhere"

# A log that can't be read costs its curve, and only that.
id=$(sed -n '2s/^1,\([^,]*\),.*/\1/p' runs/known/sweep.csv)
cp -r runs/known damaged
head -c 2000 runs/known/trials/"$id"/log.h5 >damaged/trials/"$id"/log.h5
run known.lua --collect --out=damaged
exits 0 "a damaged log"; prints "the curves of 1 trial are left out of sweep.h5: cannot read damaged/trials/$id/log.h5"

sed 's/metric = "loss"/metric = "seconds"/' known.lua >seconds.lua
run seconds.lua --collect --out=damaged
exits 0 "a metric that is called as a column"
head -1 damaged/sweep.csv >out; prints ',status,last_seconds,best_seconds,best_step,'
sed 's/metric = "loss"/metric = { "a,b", "max" }/' known.lua >comma.lua
run comma.lua --list --out=damaged
exits 0 "a metric with a comma in its name"; matches " 4/4 .* 4  done"

# What cannot be written is told; what was there stays.
cp runs/known/sweep.h5 before.h5
[ -f before.h5 ] || bail_out "the sweep wrote no results"
mkdir runs/known/sweep.csv.keep && mv runs/known/sweep.csv runs/known/sweep.csv.keep && mkdir runs/known/sweep.csv
run known.lua --collect
exits 1 "a table that cannot be written"; says "sweep.csv"
cmp -s before.h5 runs/known/sweep.h5
result $? "  what was there stays"
rmdir runs/known/sweep.csv && mv runs/known/sweep.csv.keep/sweep.csv runs/known

# Long curves are thinned: the last value of every K steps, K a power of two.
cat >thin.lua <<'END'
local results = require "lstm.core".results
local function write(places)
  return assert(results.write("runs/known/thin.h5", { trials = 1, attributes = {}, columns = {
    { name = "trial", kind = "integer", values = { 1 } } }, signal = "trial", curve_signal = "loss", ids = { "x" },
    logs = { false }, paths = { arg[1] }, places = places }))
end
for _, places in ipairs { 7, 4, 3, 1 } do
  local info = write(places)
  print(places, info.steps_per_place, info.steps, #info.unreadable)
end
write(3)
END
log=runs/known/trials/$(awk -F, '$3 == 3 && $4 == "good" { print $2; exit }' runs/known/sweep.csv)/log.h5
run thin.lua "$log"
printf '7\t1\t7\t0\n4\t2\t4\t0\n3\t4\t2\t0\n1\t8\t1\t0\n' >expected
cmp -s out expected
result $? "long curves are thinned"

if find_python h5py; then
    "$python" "$srcdir/tests/check_results.py" runs/known $count
    [ $? -eq 0 ] && [ $failed -eq 0 ]
    exit $?
fi
skip "sweep.h5 in h5py, pandas and xarray" "no Python with h5py"
done_testing
