#!/bin/sh
# SPDX-License-Identifier: MIT
#
# lstmrun replay, kept checkpoints, and what a run does that diverges. Speaks TAP. LSTMRUN and LSTMLOG name the programs
# (default: ./lstmrun, ./lstmlog).
set -u
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA LSTM_KERNEL
export OMP_NUM_THREADS=2

there() { [ -s "$1" ]; result $? "  $1 is there"; }
gone() { [ ! -e "$1" ]; result $? "  $1 is not there"; }

# ---- material -------------------------------------------------------------------------------------------------------

write_text >text

# Dropout, carried state, a shuffled stream beside the text, a schedule; steps 30 to 32 at another rate, by a factor.
cat >tiny.lua <<'END2'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { path = cfg.data, split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = 10, layers = 2, dropout = 0.3, seed = cfg.seed }
  local fit <close> = model:trainer { batch = 4, seq = 8, clip_norm = 1 }
  local other = text:stream { part = "train", batch = 4, seq = 8, order = "shuffled", seed = cfg.seed }
  local second = lstm.model { vocab = text.vocab, hidden = 5, dropout = 0.1, seed = 7 }:trainer { batch = 2, seq = 6 }
  for step in run:steps(cfg.steps, fit, second, text, other) do
    fit.lr = lstm.schedule.cosine(step, 50, cfg.lr, { warmup = 5 })
    if step >= 30 and step <= 32 then fit.lr = fit.lr * cfg.burst end
    local loss, statistics = fit:step(math.random(3) == 1 and other or text)
    statistics.second_loss = second:step(text)
    run:log(step, loss, statistics)
    if run:every(5) then run:evaluate(step, fit:evaluate(text)) end
    if step == tonumber(os.getenv "STOP_AT") then io.popen("kill -TERM $PPID"):close() end
  end
end
return lstm.experiment {
  name = "tiny", run = train,
  options = { { "data", "text", "a file" }, { "lr", 0.02, "rate" }, { "burst", 1.0, "factor of it in steps 30 to 32" },
    { "steps", 50, "steps" } },
  changeable = { "lr" },
}
END2

# ---- a finished run --------------------------------------------------------------------------------------------------

run tiny.lua --quiet --out=whole keep_every=4
exits 0 "a run that keeps checkpoints"
[ "$(cd whole && echo checkpoint-0*)" = "checkpoint-000008.h5 checkpoint-000016.h5 checkpoint-000024.h5 \
checkpoint-000032.h5 checkpoint-000040.h5 checkpoint-000048.h5" ]; result $? "  thinned to every eighth step"
run replay whole --from=27 --to=31 activations.every=1 gradients.full=true
exits 0 "lstmrun replay"
prints "steps 27 to 31 of whole, from checkpoint-000024.h5, step 24, into whole/replay-27-31"
prints "equal   steps 25 to 31 are the logged ones, bit for bit; in whole/replay-27-31"
log show whole/replay-27-31
prints "metrics: 5 rows, steps 27 to 31"; prints "activations: 5 records, steps 27 to 31"
prints "gradients: 5 records"; prints "  dh  "; prints "replay_from        27"
log diff whole whole/replay-27-31
prints "metrics are the same, bit for bit"; prints "config gradients.full: false | true"
log ls whole
prints "replay "
run replay whole --from=20 --to=30 gradients.every=1 --out=more
log diff whole/replay-27-31 more
prints "gradients are the same, bit for bit, in the 4 records that both have"; prints "activations: only in the first"
run replay whole --from=27 --to=31
prints "into whole/replay-27-31-2"
run replay whole --from=27 --to=28 --quiet
[ "$(cut -c1-7 out)" = "equal  " ]; result $? "  with --quiet: the verdict, and nothing else"
LSTM_KERNEL=scalar run replay whole/log.h5 --from=3 --to=12 --threads=1 --out=scalar
exits 0 "with other threads and another kernel"; prints "from its beginning, into scalar"
prints "equal   steps 1 to 12"
"$program" --version | grep -q 'kernel *scalar' || prints "here too (kernel scalar, was"
run replay whole --out=all
exits 0 "the whole run"; prints "equal   steps 1 to 50 are the logged ones"
gone all/checkpoint-latest.h5

mkdir moved && cp -r whole moved/run && cp tiny.lua moved/other.lua && cp text moved/words
mv tiny.lua tiny.away; mv text text.away
cd moved || exit 99
run replay run --from=9 --to=10
exits 1 "a run whose script is gone"; says "tiny.lua, is not here; say where it is by --script=FILE"
run replay run --from=9 --to=10 --script=other.lua data=words
exits 0 "a script and a text that were moved"; prints "equal   steps 9 to 10"
run replay run --from=9 --to=10 --script=other.lua data=other.lua
exits 1 "another text"; says "is not the text of this run, text (its SHA-256 differs); give that by data=FILE"
sed 's/dropout = 0.3/dropout = 0.31/' other.lua >changed.lua
run replay run --from=9 --to=10 --script=changed.lua data=words
exits 1 "a script that has changed"
says "changed.lua is not the script of these steps (its SHA-256 differs); --script=FILE names another, and 'lstmlog export run --source -o DIR' has it"
says "step 9 differs: loss"; says "What is different: script has changed"
log tail -n 1 run/replay-9-10-2
prints " 10 "
cd .. || exit 99
mv tiny.away tiny.lua; mv text.away text

run replay whole --from=27 --to=31 lr=1
exits 2 "an option that would make it another run"; says "option 'lr' cannot change in a replay"
run replay whole activation.every=1
exits 2 "an option mistyped"; says "did you mean 'activations.every'?"
run replay whole --from=5 --to=4
exits 2 "an empty stretch"; says "cannot replay steps 5 to 4 of whole: --from is after --to; its log has steps 1 to 50"
run replay whole --from=5 --to=51
exits 2 "a stretch beyond the end"
run replay whole --from=60
exits 2 "a stretch after the end"; says "cannot replay steps 60 to 50 of whole: its log has steps 1 to 50"
run replay whole --out=whole
exits 1 "a replay into the run"; says "whole holds a run already; leave --out away, or choose another --out"
run tiny.lua --resume=whole --out=whole steps=60
exits 1 "a run that is to go on in itself"; says "whole holds a run already; leave --out away, or choose another --out"
run replay whole --from=x
exits 2 "a step that is none"; says "option '--from' needs the number of a step, got 'x'"
run replay nowhere
exits 1 "no such run"; says "nowhere: No such file or directory"
run replay .
exits 1 "a directory without one"; says "holds no run"
run replay
exits 2 "replay of nothing"; says "replay needs the directory of a run"
run replay --help
exits 0 "replay --help"; prints "usage: lstmrun replay RUN"
run tiny.lua --from=3
exits 2 "--from without replay"; says "option '--from' is for 'lstmrun replay'"
run tiny.lua gradients.full=true --out=none
exits 2 "an option that would record nothing"; says "'gradients.full' records nothing while gradients.every is 0"

# ---- a stopped run, resumed with another rate ------------------------------------------------------------------------

STOP_AT=23 run tiny.lua --quiet --out=part keep_every=10
run tiny.lua --quiet --resume part lr=0.01
exits 0 "a run that was stopped and went on with another rate"; there part/checkpoint-start-000023.h5
for stretch in "--from=12 --to=23" --from=24 --from=45; do
    run replay part $stretch
    exits 0 "  is repeated, $stretch"; prints "are the logged ones, bit for bit"
done
run replay part --from=20
exits 1 "  but not across that step"
says "step 24 differs: lr 0.01"; says "What is different: at step 23 the run was resumed with lr=0.01, was 0.02"
run tiny.lua --quiet --out=short steps=20
run tiny.lua --quiet --resume short steps=30
run replay short --from=15 --to=25
exits 1 "nor across one where it was given more steps"
says "steps 1 to 20 are the logged ones, bit for bit; there the script ends, and the log goes on"
says "at step 20 the run was resumed with steps=30, was 20"
run replay short --from=21
exits 0 "  but after it"; prints "equal   steps 21 to 30"
rm part/checkpoint-0* part/checkpoint-best.h5 part/checkpoint-start-*
run replay part --from=3 --to=23
exits 0 "without checkpoints, from its beginning, with the rate it had"
run tiny.lua --quiet --out=init --init-from=whole/checkpoint-best.h5 steps=8
run tiny.lua --quiet --resume init steps=12
run replay init --to=8
exits 0 "one that began with other parameters and got more steps"; prints "from checkpoint-start.h5, step 0"
rm init/checkpoint-start.h5
run replay init --to=8
exits 1 "  and not without these"; says "it began from whole/checkpoint-best.h5, and its own checkpoint of that is gone"
sed 's/kill -TERM/kill -KILL/' tiny.lua >killed.lua
STOP_AT=38 run killed.lua --quiet --out=killed checkpoint_every=10
run killed.lua --quiet --resume killed lr=9
run replay killed --from=37 --to=39
exits 0 "a killed one that went on with another rate: not from the best checkpoint of before"
sed 's/run:log/if run:every(20) then run:log/; s/statistics)$/statistics) end/' tiny.lua >sparse.lua
run sparse.lua --quiet --out=sparse
run replay sparse
exits 0 "one that logged every twentieth step"; prints "steps 1 to 50 are the logged ones"; prints "40 steps not in the log"
printf x | dd of=whole/checkpoint-000024.h5 bs=1 seek=4000 conv=notrunc 2>/dev/null
run replay whole --from=27 --to=28
exits 0 "a damaged checkpoint is not used"; prints "from checkpoint-000016.h5"

# ---- a run that went on with another script ---------------------------------------------------------------------------

cp tiny.lua old.lua && cp tiny.lua edited.lua
STOP_AT=20 run edited.lua --quiet --out=edited
sed 's/clip_norm = 1 /clip_norm = 0.001 /' old.lua >edited.lua
run edited.lua --resume edited
exits 0 "a run goes on with another script"
prints "        script has changed since then (SHA-256 differs)"
run edited.lua --resume=edited/checkpoint-best.h5 --json --out=edited-2
! grep -q '"code_changes"' out; result $? "  and does not say so where it has not"
run replay edited --from=3 --to=10
exits 1 "  its first steps are not those of that script"
says "edited.lua is not the script of these steps"; says "step 1 differs"; says "What is different: script has changed"
run replay edited --from=21
exits 0 "  its last ones are"; [ ! -s err ]; result $? "  without a complaint"
cp old.lua edited.lua
run replay edited --from=3 --to=10
exits 0 "with the first script again its first steps are the same"; [ ! -s err ]; result $? "  without a complaint"
run replay edited --from=3 --to=30
exits 1 "  and the last ones are not"; says "step 21 differs"
says "What is different: when the run went on after step 20: script has changed"
run replay edited --from=21
exits 1 "  nor by themselves"; says "edited.lua is not the script of these steps"
echo 'return 1' >late.lua
sed 's/^    run:log(/    require "late"\n&/' old.lua >lazy.lua
run lazy.lua --quiet --out=lazy
log export lazy --source -o late && [ "$(ls late | sed 's/^[^-]*-//' | tr '\n' ' ')" = "late.lua lazy.lua " ]
result $? "the log has modules that the loop required, too"
log export edited --source -o sources
exits 0 "lstmlog export --source"; first=sources/$(sha256sum old.lua | cut -c1-12)-edited.lua
[ "$(ls sources | wc -l)" -eq 2 ] && cmp "$first" old.lua; result $? "  has both scripts"
echo 'error "neither of them"' >edited.lua
run replay edited --from=3 --to=10 --script="$first"
exits 0 "  whose steps they repeat when the file is lost"; [ ! -s err ]; result $? "  without a complaint"
cp old.lua edited.lua
run edited.lua --resume=edited/checkpoint-best.h5 --out=edited-3
prints "script has changed since then"

# ---- what is logged twice, or after the loop -------------------------------------------------------------------------

sed 's/    run:log(step, loss, statistics)/    run:log(step, { loss = 0, other = step })\n&/
s/^  end$/  end\n  run:log(cfg.steps, { other = 7 })\n  run:evaluate(cfg.steps, 0.5)\n  run:sample(cfg.steps, "a sample")/' tiny.lua >twice.lua
run twice.lua --quiet --out=twice
exits 0 "metrics that are logged twice in a step, and once more after the loop"
run replay twice --from=40
exits 0 "  are repeated"; prints "equal   steps 1 to 50 are the logged ones, bit for bit"
log diff twice twice/replay-40-50
prints "samples are the same, bit for bit, in the 1 record that both have"
sed 's/other = 7/other = 8/' twice.lua >thrice.lua
run replay twice --script=thrice.lua
exits 1 "  and compared"; says "step 50 differs: other 8.0 here, 7.0 in the log"

# ---- runs that diverge -----------------------------------------------------------------------------------------------

run tiny.lua --quiet --out=stop burst=1e30 keep_every=10
exits 3 "on_diverge=stop"; says "the weights' change became infinite at step 30"; says "replay stop --from 10"
there stop/checkpoint-000020.h5; gone stop/checkpoint-000030.h5
run replay stop --from=25
exits 0 "  is repeated"; prints "the weights' change became infinite at the last one, as it did"
run tiny.lua --resume stop
exits 1 "  and says what there is to go on from"; says "checkpoint-000020.h5 still: --resume=stop/checkpoint-000020.h5"

run tiny.lua --quiet --out=back burst=1e30 on_diverge=rollback rollback.every=12 rollback.factor=1e-28 checkpoint_every=1
exits 0 "on_diverge=rollback"
says "the weights' change became infinite at step 30; back to step 24, learning rate x 1e-28"
there back/checkpoint-latest.h5
[ "$(wc -l <back/metrics.csv)" -eq 51 ]; result $? "  a line of metrics for each step"
log show back
prints "events: "
for from in 20 26 31; do
    run replay back --from=$from
    exits 0 "  is repeated from step $from"; prints "are the logged ones, bit for bit"
done
STOP_AT=28 run tiny.lua --quiet --out=other burst=1e30 on_diverge=rollback rollback.every=12 rollback.factor=1e-28
run tiny.lua --quiet --resume other lr=0.01
exits 0 "  not further back than where it went on with another rate"; says "at step 30; back to step 28"
run replay other --from=29
exits 0 "  is repeated"
run tiny.lua --quiet --threads=1 --out=again burst=1e30 on_diverge=rollback rollback.every=12 rollback.factor=1e-28
log diff back again
prints "metrics are the same, bit for bit"
run tiny.lua --quiet --out=most burst=1e30 on_diverge=rollback rollback.every=12 rollback.most=2
exits 3 "rollback.most"; says "learning rate x 0.25"; says "after 2 rollbacks"

run tiny.lua --out=on burst=1e30 on_diverge=continue checkpoint_every=1
exits 0 "on_diverge=continue"; says "at step 30; going on (on_diverge=continue); no checkpoint is written"
prints "loss nan"
cat >step.lua <<'END2'
local json = require "lstm.json"
print(json.decode(assert(require("lstm.core").checkpoint.read(arg[1])):text "state").step)
END2
[ "$("$program" step.lua on/checkpoint-latest.h5)" -lt 31 ]; result $? "  the latest checkpoint is from before"
[ "$("$program" step.lua on/checkpoint-best.h5)" -lt 31 ]; result $? "  the best one, too"
run tiny.lua on_diverge=ignore --out=none
exits 2 "an unknown policy"; says "option 'on_diverge' must be stop, rollback or continue, got 'ignore'"

# ---- memory ----------------------------------------------------------------------------------------------------------

run tiny.lua --quiet --out=little max_memory=600K
exits 1 "a limit on memory"; says "not enough memory"; says "max_memory"
run tiny.lua --quiet --out=enough max_memory=200M
exits 0 "  that suffices"
run tiny.lua max_memory=much
exits 2 "  that makes no sense"; says "option 'max_memory' must be a size such as 500M or 4G, got 'much'"
cat >grow.lua <<'END2'
return require "lstm".experiment { run = function(_, run)
  local all = {}
  for step in run:steps(1000) do
    run:log(step, { x = 1 })
    for k = 1, 1000 do all[#all + 1] = { k } end
  end
end }
END2
run grow.lua --quiet --out=grow max_memory=8M
exits 1 "  that tables reach"; says "not enough memory: max_memory=8M"
log verify grow
exits 0 "  with a sound log"

done_testing
