#!/bin/sh
# SPDX-License-Identifier: MIT
#
# mpirun: several processes share a sweep's trials; or train one model, over MPI: the same losses as one process has,
# the same bits each time, one log and one checkpoint for all; and what happens when one of them fails. Speaks TAP.
# LSTMRUN names the program (default: ./lstmrun), MPIRUN what starts several (default: mpirun).
set -u
if [ -z "${HOST_SIGNALS-}" ] && env --default-signal true 2>/dev/null; then
    HOST_SIGNALS=default exec env --default-signal sh "$0" "$@"
fi
mpirun=${MPIRUN:-mpirun}
. "${srcdir:-.}/tests/tap.sh"
[ "${SANITIZER:-no}" = no ] || skip_all "MPI libraries keep memory that the sanitizer would count as lost"
command -v "$mpirun" >/dev/null 2>&1 || skip_all "no $mpirun"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA LSTMRUN_MPI
export HOME="$work" OMP_NUM_THREADS=1
# Open MPI: more ranks than processors, as root, in a container, without ssh.
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_plm=isolated

# run N ARGUMENT...: N ranks; output in out and err, exit status in status
run() {
    ranks=$1
    shift
    timeout 120 "$mpirun" -n "$ranks" "$program" "$@" >out 2>err </dev/null
    status=$?
}
alone() { "$program" "$@" >out 2>err; status=$?; }
# said N TEXT: on N lines of standard error
said() { [ "$(grep -cF -e "$2" err)" -eq "$1" ]; result $? "  said $1 times: $2"; }
run 2 --version
[ "$status" -eq 0 ] || skip_all "$mpirun does not start processes here: $(head -1 err)"

# ---- a sweep, for which lstmrun needs no MPI ------------------------------------------------------------------------

cat >sweep.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  for step in run:steps(3) do
    if cfg.x == cfg.bad then error "mine" end
    run:log(step, 1 / (step + cfg.x))
    run:evaluate(step, 1 / (step + cfg.x))
  end
end
local plain = lstm.experiment { name = "plain", run = train,
  options = { { "x", 1, "x" }, { "bad", 0, "x that fails" } } }
return lstm.sweep { name = "few", experiment = plain, params = { x = { 1, 2, 3, 4, 5, 6, 7 } } }
END
results() { cut -d, -f1-5 "$1/sweep.csv"; }
alone sweep.lua --out=few-one
run 3 sweep.lua --out=few
exits 0 "three ranks share a sweep"; prints "1 at a time on each of 3 ranks, 1 thread each"; prints "over    7 done"
[ ! -s err ]; result $? "  no complaint"
[ "$(grep -c 'done 0:00$' out)" -eq 7 ]; result $? "  one of them tells of all trials"
[ "$(ls few/trials/*/claim-1 | wc -l)" -eq 7 ] && ! ls few/trials/*/claim-2 >/dev/null 2>&1
result $? "  each is run once"
results few >few-results && results few-one | cmp - few-results
result $? "  as by one process"
run 2 sweep.lua bad=3 --out=bad
exits 1 "a trial that fails"; prints "over    6 done, 1 failed"
said 1 "failed: $(basename "$(dirname "$(grep -l '"status": *"failed"' bad/trials/*/status.json)")") (x=3"
run 2 sweep.lua --trial=1 --out=few
exits 2 "one trial"; says "start it without mpirun"
run 2 sweep.lua --list --out=few
[ "$(grep -c 'trials in few: 7 done$' out)" -eq 1 ]; result $? "one list"

if ! "$program" --version | grep '^mpi ' | grep -q 'Open MPI\|MPICH\|Intel'; then
    skip "training over MPI" "lstmrun was built without it"
    done_testing
    exit
fi

# ---- material -------------------------------------------------------------------------------------------------------

write_text >text

# 6 rows; at step stop_at something happens on rank 1 (or where there is no other).
cat >tiny.lua <<'END'
local lstm = require "lstm"
local function happen(cfg, run, step)
  if step ~= cfg.stop_at or run.rank ~= run.ranks - 1 then return end
  if cfg.what == "raise" then error "mine" end
  io.popen("kill -" .. cfg.what .. " $PPID"):close()
  if cfg.what == "KILL" then repeat until false end
end
local function train(cfg, run)
  local text = assert(lstm.corpus { path = cfg.data, split = { 0.8, 0.2 } })
  local model <close> = lstm.model {
    vocab = text.vocab, hidden = 12, layers = 2, dropout = cfg.dropout, seed = cfg.seed,
  }
  local fit <close> = model:trainer { batch = cfg.batch, seq = 10, clip_norm = 0.5, accumulate = cfg.accumulate }
  for step in run:steps(cfg.steps, fit, text) do
    fit.lr = cfg.lr
    run:log(step, fit:step(text))
    if run:every(3) then run:evaluate(step, fit:evaluate(text, { batch = 6 })) end
    if run:every(40) then run:sample(step, model:sample { prime = "line", length = 40, seed = step }) end
    happen(cfg, run, step)
  end
  if cfg.what == "late" and run.rank == 1 then error "late" end
end
return lstm.experiment {
  run = train,
  options = { { "data", "text", "a file" }, { "batch", 6, "rows" }, { "dropout", 0.3, "share" }, { "lr", 0.01, "rate" },
    { "accumulate", 1, "passes" }, { "steps", 100, "steps" }, { "stop_at", 0, "step" }, { "what", "TERM", "happens" } },
  changeable = { "stop_at", "what" },
}
END

# close.lua DIR DIR TOLERANCE: losses, smoothed losses, validation losses and gradient norms agree so far
cat >close.lua <<'END'
local tolerance, rows = tonumber(arg[3]), {}
for k = 1, 2 do
  rows[k] = {}
  for line in io.lines(arg[k] .. "/metrics.csv") do rows[k][#rows[k] + 1] = line end
end
assert(#rows[1] > 5 and #rows[1] == #rows[2], "other steps")
local worst = 0
for n = 2, #rows[1] do
  local a, b = rows[1][n]:gmatch "([^,]*),?", rows[2][n]:gmatch "([^,]*),?"
  for _ = 1, 6 do
    local x, y = a(), b()
    assert((x == "") == (y == ""), "one is missing")
    if x ~= "" then worst = math.max(worst, math.abs(x - y) / math.max(1e-3, math.abs(y))) end
  end
end
print(("worst difference %.1e"):format(worst))
assert(worst < tolerance)
END
agrees() { "$program" close.lua "$1" "$2" "$3" >out 2>err; result $? "$4 ($(cat out))"; }

same_tensors() { same_checkpoint "$1" "$2" >out 2>err; result $? "  the same tensors, bit for bit"; }
same_metrics() { # but for the last two columns, which tell of time
    sed 's/,[^,]*,[^,]*$//' "$1" >metrics-1 && sed 's/,[^,]*,[^,]*$//' "$2" >metrics-2 && cmp metrics-1 metrics-2
    result $? "  the same metrics"
}

run 2 tiny.lua steps=0 --out=none
if grep -q 'use the mpirun that belongs to it' err; then
    skip "training over MPI" "$mpirun is of another MPI than lstmrun"
    done_testing
    exit
fi

# ---- the same curve -------------------------------------------------------------------------------------------------

# Each sum over rows is rounded to float once more for each rank: 6e-8 of it, and what 100 steps make of that.
alone tiny.lua --out=one
run 2 tiny.lua --out=two
exits 0 "two ranks"; prints "ranks   2, each with 3 rows of the batch's 6"; prints "done    100 steps"
[ ! -s err ]; result $? "  no complaint"
[ "$(grep -c 'done ' out)" -eq 1 ]; result $? "  one of them speaks"
[ "$(wc -l <two/metrics.csv)" -eq 101 ]; result $? "  and writes"
agrees one two 1e-5 "the same curves with dropout, two ranks"
alone tiny.lua --out=one-plain dropout=0
run 4 tiny.lua --out=four-plain dropout=0
exits 0 "four ranks, some with one row, some with two"
agrees one-plain four-plain 1e-5 "the same curves without dropout, four ranks"

# Right answers are those of all rows.
cat >tasks.lua <<'END'
local lstm = require "lstm"
return lstm.experiment { options = { { "steps", 3, "steps" } }, metrics = { "right" }, run = function(cfg, run)
  local shares, tasks = {}, lstm.tasks
  for k, one in ipairs { tasks.adding { seq = 8 }, tasks.copy { delay = 3, length = 4 }, tasks.reber { seq = 12 } } do
    local model <close> = lstm.model { input = one.input, output = one.output, vocab = one.vocab, classes = one.classes,
      hidden = 6 }
    local fit <close> = model:trainer { batch = 7, seq = one.seq, loss_at = one.loss_at }
    shares[k] = one:right(fit, one:val { batch = 7, batches = 3 })
  end
  for step in run:steps(cfg.steps) do run:log(step, { right = shares[step] }) end
end }
END
alone tasks.lua --out=t-one
run 2 tasks.lua --out=t-two
exits 0 "right answers to tasks"
same_metrics t-one/metrics.csv t-two/metrics.csv

# ---- stopping and resuming ------------------------------------------------------------------------------------------

# Step 7 is in the middle of an accumulated gradient.
options="accumulate=2 steps=20"
alone tiny.lua $options --out=a-one
run 2 tiny.lua $options --out=a-two
agrees a-one a-two 1e-5 "the same curves with accumulated gradients"
run 2 tiny.lua $options --quiet --threads=2 --out=a-again
exits 0 "two ranks again, with more threads"; [ ! -s out ]; result $? "  --quiet"
same_tensors a-two/checkpoint-latest.h5 a-again/checkpoint-latest.h5
same_tensors a-two/checkpoint-best.h5 a-again/checkpoint-best.h5
same_metrics a-two/metrics.csv a-again/metrics.csv
run 2 replay a-two --from=2 --to=19
exits 0 "two ranks replay what two did"; prints "are the logged ones, bit for bit"
alone replay a-two --from=2 --to=19
exits 1 "one cannot"; says "What is different: ranks 1, was 2"
run 2 tiny.lua $options --out=part stop_at=7 what=USR1
exits 75 "a signal to the last rank"; said 1 "stopped at step 7, checkpoint written. Go on with:  mpirun -n 2 "
cp -r part half; cp -r part single; cp -r part three
run 2 tiny.lua --resume part stop_at=0
exits 0 "  resumed by two"; prints "going on after step 7"
same_tensors a-two/checkpoint-latest.h5 part/checkpoint-latest.h5
same_metrics a-two/metrics.csv part/metrics.csv
alone tiny.lua --resume single stop_at=0
exits 0 "  resumed by one"
agrees a-one single 1e-5 "  the same curves"
run 3 tiny.lua --resume three stop_at=0
exits 0 "  resumed by three"
agrees a-one three 1e-5 "  the same curves"
alone tiny.lua $options --out=was-one stop_at=7 what=USR1
run 2 tiny.lua --resume was-one stop_at=0
exits 0 "what one began, two go on with"
agrees a-one was-one 1e-5 "  the same curves"

# ---- when things go wrong -------------------------------------------------------------------------------------------

run 2 tiny.lua $options --out=killed stop_at=8 what=KILL checkpoint_every=3
[ "$status" -ne 0 ]; result $? "a rank that is killed ends all ($status)"
cat out err | grep -qi 'signal 9\|killed (signal'; result $? "  which is said"
run 2 tiny.lua --resume killed stop_at=0
exits 0 "  its checkpoint is whole"; prints "going on after step 6"
same_tensors a-two/checkpoint-latest.h5 killed/checkpoint-latest.h5
same_metrics a-two/metrics.csv killed/metrics.csv
run 2 tiny.lua $options --out=raised stop_at=8 what=raise checkpoint_every=3
exits 1 "a rank that raises an error ends all"; said 1 "lstmrun: rank 1: tiny.lua:4: mine"
alone tiny.lua --resume raised stop_at=0
exits 0 "  its checkpoint is whole"; prints "going on after step 6"
run 3 tiny.lua what=late steps=2 --out=late
[ "$status" -ne 0 ]; result $? "an error after the last step, on another rank"
said 1 "late"; says "lstmrun: rank 1: tiny.lua:"; prints "done    2 steps"
run 2 tiny.lua lr=1e30 --out=diverged
exits 3 "a learning rate that is too high"; said 1 "became"; said 1 "Log flushed"
run 2 tiny.lua hiden=3
exits 2 "a mistake that all make"; said 1 "tiny.lua has no option 'hiden'"
run 2 tiny.lua batch=1 --out=thin
exits 1 "fewer rows than ranks"; said 1 "field 'batch': at least 2 expected"
run 2 tiny.lua --print-config
exits 0 "a question"; [ "$(grep -c '^batch=6' out)" -eq 1 ]; result $? "  answered once"
run 2 tiny.lua --out=two
exits 1 "a directory that holds a run"; said 1 "two holds a run already"
cat >other.sh <<'END'
#!/bin/sh
exec "$1" tiny.lua --out=other --seed="${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-0}}"
END
timeout 60 "$mpirun" -n 2 sh other.sh "$program" >out 2>err </dev/null
status=$?
exits 2 "ranks of different seeds"; said 1 "rank 1 was started with other arguments"
sed 's/seed = cfg.seed,/seed = run.rank,/' tiny.lua >seeds.lua
run 2 seeds.lua --out=seeds
exits 1 "ranks that make different models"; said 1 "rank 1 has parameters other than rank 0"
LSTMRUN_MPI=no alone tiny.lua steps=3 --quiet --out=off
OMPI_COMM_WORLD_RANK=0 OMPI_COMM_WORLD_SIZE=2 LSTMRUN_MPI=no alone tiny.lua steps=3 --quiet --out=off-two
exits 0 "LSTMRUN_MPI=no"

# ---- what is seen inside --------------------------------------------------------------------------------------------

if find_python h5py numpy; then
    seen="steps=4 activations.every=2 gradients.every=2 gradients.full=true watch.rows=0"
    alone tiny.lua $seen --out=seen-one
    run 4 tiny.lua $seen --out=seen-four
    exits 0 "activations and gradients of all rows"
    cat >seen.py <<'END'
import h5py, numpy, sys
a, b = (h5py.File(name + "/log.h5") for name in sys.argv[1:])
count = 0
def compare(path, x):
    global count
    if isinstance(x, h5py.Dataset) and x.dtype.kind in "fi" and path.split("/")[0] in (
            "activations", "gradients", "saturation"):
        y = b[path]
        assert x.shape == y.shape, path
        # differences of the order of float's rounding, beside the largest value
        largest = max(1e-3, numpy.nanmax(numpy.abs(x[()])))
        assert numpy.allclose(x, y, rtol=1e-4, atol=1e-5 * largest, equal_nan=True), path
        count += 1
a.visititems(compare)
print(count, "series")
assert count > 20
END
    "$python" seen.py seen-one seen-four >out 2>err
    result $? "  are those of one process ($(cat out))"
else
    skip "activations and gradients of all rows" "no Python with h5py and numpy"
fi
done_testing
