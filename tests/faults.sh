#!/bin/sh
# SPDX-License-Identifier: MIT
#
# A whole run on a disk that fails: at the n-th call that changes a file of the run, once or from then on, with "No space
# left on device" or "Input/output error" (lstmrun-faulty is lstmrun with such calls, see faultinject.c). The run either
# goes on to its end, or ends with exit status 1 and a line that names file and reason; it is never killed. What it leaves
# can be resumed to the end, with the losses of an undisturbed run.
#
# LSTM_TORTURE=N: so many points of each kind instead of 3.
set -u
. "${srcdir:-.}/tests/tap.sh"
program=$PWD/lstmrun-faulty
cd "$work" || exit 99
[ -d /proc/self/fd ] || skip_all "needs /proc to know the files that calls are about"
unset LSTMRUN_TRACEBACK LSTMRUN_DATA
export HOME="$work" XDG_CACHE_HOME="$work/cache" OMP_NUM_THREADS=1

cat >tiny.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { text = ("to be or not to be\n"):rep(20), split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = 6, dropout = 0.2 }
  local fit <close> = model:trainer { batch = 2, seq = 5 }
  for step in run:steps(cfg.steps, model, fit, text) do
    run:log(step, (fit:step(text)))
    if run:every(3) then run:evaluate(step, fit:evaluate(text)) end
    if run:every(4) then run:sample(step, "a sample") end
  end
end
return lstm.experiment { run = train, options = { { "steps", 8, "steps" } } }
END

losses() { cut -d, -f1,2 run/metrics.csv 2>/dev/null; }

export FAULT_PATH="$work/run/"
FAULT_COUNT=$work/count "$program" tiny.lua --quiet --out=run >out 2>err
status=$?
exits 0 "an undisturbed run"
calls=$(cat count 2>/dev/null || echo 0)
losses >wanted
[ "$calls" -gt 20 ] && [ "$(wc -l <wanted)" -eq 9 ]
result $? "  makes $calls calls that change files"

# Goes on with what is there, on a disk that works.
resume() {
    if "$program" tiny.lua --quiet --resume=run >out 2>err; then
        [ "$(losses)" = "$(cat wanted)" ] || fault="$fault, other losses after resuming"
    else
        grep -q "there is checkpoint-best.h5 still" err || fault="$fault, not resumed"
    fi
}

# strike KIND ERRNO REASON: at points spread over the run
strike() {
    points=${LSTM_TORTURE:-3} bad=0 ended=0 went_on=0 k=0
    [ "$points" -lt "$calls" ] || points=$calls
    while [ $k -lt "$points" ]; do
        at=$((1 + k * calls / points + (points < calls) * calls / points / 2)) k=$((k + 1)) fault=
        rm -rf run
        FAULT_AT=$at FAULT_KIND=$1 FAULT_ERRNO=$2 "$program" tiny.lua --quiet --out=run >out 2>err
        status=$?
        case $status in
        0) went_on=$((went_on + 1)) ;;
        1) ended=$((ended + 1)) && grep -q "run.*$3" err || fault="no line with file and reason" ;;
        *) fault="exit $status" ;;
        esac
        cp err first
        if [ $status -eq 0 ] || grep -q "checkpoint at step" first; then resume; fi
        [ -n "$fault" ] || continue
        bad=$((bad + 1))
        echo "# call $at, $1, $3: $fault"
        sed 's/^/#   /' first err
    done
    [ $bad -eq 0 ]
    result $? "$points times '$3' $1: $ended runs ended with a line, $went_on went on"
}
strike once 28 "No space left on device"
strike always 28 "No space left on device"
strike once 5 "Input/output error"
strike always 5 "Input/output error"

done_testing
