#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The same run, done otherwise: with other numbers of threads, other instruction sets, stopped and resumed, built by another
# compiler. Everything that can be logged of it must be the same, bit for bit: metrics, samples, activations, gradients,
# parameters, and the moments and states in its checkpoint. Speaks TAP. LSTMRUN and LSTMLOG name the programs (default:
# ./lstmrun, ./lstmlog); OTHER_LSTMRUN, if set, one of another build.
#
# With LSTM_TORTURE set (make torture) 20 runs each, and stopped at every step.
set -u
other=${OTHER_LSTMRUN-}
case $other in /* | "") ;; *) other=$PWD/$other ;; esac
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA LSTM_KERNEL
export OMP_WAIT_POLICY=passive

# ---- material -------------------------------------------------------------------------------------------------------

write_text >text

# Dropout, carried state, a shuffled stream beside the text, warm-up, accumulated gradients; wide enough for eight threads.
cat >exact.lua <<'END2'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { path = "text", split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, embed = 12, hidden = 100, layers = 2, dropout = 0.3, seed = 4 }
  local fit <close> = model:trainer { batch = 9, seq = 4, clip_norm = 0.5, accumulate = 2 }
  local shuffled = text:stream { part = "train", batch = 9, seq = 4, order = "shuffled", seed = 4 }
  for step in run:steps(cfg.steps, fit, text, shuffled) do
    fit.lr = lstm.schedule.cosine(step, cfg.steps, 0.01, { warmup = 2 })
    run:log(step, fit:step(step % 3 == 0 and shuffled or text))
    if run:every(3) then run:evaluate(step, fit:evaluate(text)) end
    if run:every(2) then run:sample(step, model:sample { prime = "line", length = 40, seed = step }) end
    if step == tonumber(os.getenv "STOP_AT") then io.popen("kill -TERM $PPID"):close() end
  end
end
return lstm.experiment { run = train, options = { { "steps", 6, "steps" } } }
END2

all="activations.every=2 gradients.every=2 gradients.full=true parameters.every=3 parameters.full=true watch.rows=0 \
log.deflate=0"
groups="metrics samples activations gradients parameters parameter_gradients"

# train DIRECTORY [OPTION...], by $by
by=$program
train() { directory=$1; shift; "$by" exact.lua --quiet $all --out="$directory" "$@" >out 2>err; }

# is_same DIRECTORY: whether all that is logged there and in the checkpoint is what `one` has
is_same() {
    "$lstmlog" diff one "$1" >out 2>err
    for group in $groups; do grep -q "^$group are the same" out || return 1; done
    ! grep -qE "differ|only in|other types|last step" out && same_checkpoint one/checkpoint-latest.h5 \
        "$1"/checkpoint-latest.h5 2>>err
}

# repeat TIMES TEXT OPTION...: runs that must be the same
repeat() {
    times=$1 text=$2 same=0 done=0
    shift 2
    while [ $done -lt "$times" ]; do
        done=$((done + 1))
        rm -rf again
        train again "$@" && is_same again && same=$((same + 1))
    done
    [ $same -eq "$times" ]; result $? "$text: the same bits in $same of $times runs"
}

# ---- the same run ---------------------------------------------------------------------------------------------------

train one --threads=1
result $? "a run that records everything"
is_same one
result $? "  is the same as itself"
rm -rf again
STOP_AT=3 train again
! is_same again
result $? "  and not as half of it"

if [ -n "${LSTM_TORTURE-}" ]; then
    runs=20 threads="1 2 3 4 7 8" stops="1 2 3 4 5" kernels="scalar avx2 avx512"
else
    runs=1 threads=7 stops=3 kernels=scalar
fi
for n in $threads; do repeat $runs "$n threads" --threads="$n"; done
for kernel in $kernels; do
    if LSTM_KERNEL=$kernel "$program" --version >out 2>&1 && grep -q "kernel *$kernel" out; then
        export LSTM_KERNEL=$kernel
        repeat $runs "kernel $kernel" --threads=3
        unset LSTM_KERNEL
    else
        skip "kernel $kernel" "this machine has none"
    fi
done
for stop in $stops; do
    rm -rf again
    STOP_AT=$stop train again --threads=3
    "$program" exact.lua --quiet --resume again --threads=2 >out 2>err && is_same again
    result $? "stopped at step $stop and resumed, with other threads: the same bits"
done
if [ -n "$other" ]; then
    by=$other
    repeat $runs "built by $("$other" --version | sed -n 's/^compiler *//p')" --threads=3
fi

done_testing
