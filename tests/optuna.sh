#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Sweeps whose configurations Optuna chooses: they get better, and are the same after kills. Speaks TAP.
# LSTMRUN names the program (default: ./lstmrun).
set -u
. "${srcdir:-.}/tests/tap.sh"
[ "${SANITIZER:-no}" = no ] || skip_all "Python for the most part, and nothing of ours that other tests do not run"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_SWEEP
export HOME="$work" OMP_NUM_THREADS=1

# A bowl with its bottom at lr=3e-3 layers=2 kind=good; with several layers the parameter `drop` is there, too.
cat >bowl.lua <<'END'
local lstm = require "lstm"
local space = lstm.space
local function train(cfg, run)
  local stop = os.getenv "STOP_AT"
  for step in run:steps(2) do
    run:log(step, (math.log(cfg.lr) - math.log(3e-3)) ^ 2 + (cfg.kind == "good" and 0 or 1) + (cfg.layers - 2) ^ 2 +
      (cfg.drop - 0.3) ^ 2)
    if stop and step == 1 then
      local begun <close> = io.open("begun", "a")
      if begun:write(".") and begun:seek "end" == tonumber(stop) then io.popen 'kill -9 "$LSTMRUN_SWEEP" $PPID':close() end
    end
  end
end
return lstm.sweep { name = "bowl", experiment = train, method = "optuna", trials = 8, metric = "loss",
  options = { { "drop", 0.0 } }, optuna = { n_startup_trials = 3 },
  params = { { "lr", space.loguniform(1e-5, 1) }, { "layers", space.range(1, 4) }, { "kind", { "bad", "good" } },
    { "drop", space.when(function(p) return p.layers > 1 end, space.uniform(0, 1)) } } }
END
sed 's/optuna = {/& sampler = "TPESampller",/' bowl.lua >unknown.lua
sed 's/method = "optuna"/method = "random"/' bowl.lua >random.lua

LSTMRUN_PYTHON=/nonexistent/python run bowl.lua
exits 1 "no Optuna"; says "pip install optuna"; says "/nonexistent/python has none"
run random.lua
exits 1 "options of Optuna without it"; says "field 'optuna': only for method 'optuna'"
run bowl.lua --shard=1/2
exits 2 "a part of it"; says "option '--shard' is not for method 'optuna'"
run bowl.lua --dry-run
exits 0 "--dry-run"; prints "8 trials (8 configurations, 1 seed) of bowl"
if ! find_python optuna; then
    skip "configurations that Optuna chooses" "Python has no optuna"
    done_testing
fi
export LSTMRUN_PYTHON="$python"

run unknown.lua
exits 1 "an unknown sampler"; says "Optuna refuses: there is no sampler 'TPESampller'"; says "TPESampler"

run bowl.lua --jobs=1 --out=whole
exits 0 "a sweep"; prints "8 trials of bowl in whole; 0 done before"; prints "over    8 done"
run bowl.lua --list --out=whole
prints "8 trials in whole: 8 done"
run bowl.lua --jobs=1 --out=whole
exits 0 "the same again"; prints "8 done before"

# Killed, with its trial, in the 6th of them; then it goes on.
STOP_AT=6 run bowl.lua --jobs=1 --out=killed
exits 137 "killed"
run bowl.lua --jobs=1 --out=killed
exits 0 "it goes on"
cat whole/asked/*.json >one; cat killed/asked/*.json >other
cmp one other >out 2>&1
result $? "  and chooses what it would have chosen"
cut -d, -f 1-12 whole/sweep.csv >one; cut -d, -f 1-12 killed/sweep.csv >other
cmp one other >out 2>&1
result $? "  with the same results"

# Two at a time share one directory.
"$program" bowl.lua --jobs=1 --out=shared >out2 2>&1 &
run bowl.lua --jobs=1 --out=shared
wait $!
result $? "two sweeps on one directory"
run bowl.lua --collect --out=shared
prints "sweep   bowl: 8 done"
ls shared/trials | wc -l >out
matches "^ *8$"
done_testing
