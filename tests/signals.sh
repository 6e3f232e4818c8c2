#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Signals at random moments of a run: it ends within a step, with the documented exit status and a checkpoint of that step,
# from which it goes on to the same end, bit for bit. And places that are taken away from a run. Speaks TAP.
#
# LSTM_TORTURE=N: so many moments, instead of 4.
set -u
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
# What a shell starts in the background has SIGINT ignored; env can take that back.
env --default-signal=INT true 2>/dev/null || skip_all "env cannot set signals"
unset LSTMRUN_TRACEBACK LSTMRUN_DATA
export OMP_NUM_THREADS=1

write_text >text

# Tells in the file `now` which step it is at. At step 7 it runs the command that is in $TAKE.
cat >tiny.lua <<'END2'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { path = "text", split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = 48, layers = 2, dropout = 0.3 }
  local fit <close> = model:trainer { batch = 8, seq = 25 }
  local now <close> = assert(io.open("now", "w"))
  for step in run:steps(cfg.steps, fit, text) do
    now:seek "set"
    now:write(("%06d\n"):format(step)):flush()
    run:log(step, fit:step(text))
    if run:every(20) then run:evaluate(step, fit:evaluate(text)) end
    if step == 7 and os.getenv "TAKE" then os.execute(os.getenv "TAKE") end
  end
end
return lstm.experiment { run = train, options = { { "steps", 200, "steps" } } }
END2
cat >step.lua <<'END2'
local state = assert(require("lstm.core").checkpoint.read(arg[1])):text "state"
print(require("lstm.json").decode(state).step)
END2

# Metrics without the last two columns, which tell of time.
losses() { sed 's/,[^,]*,[^,]*$//' "$1"/metrics.csv; }
number() { sed 's/^0*//' now 2>/dev/null || true; }

"$program" tiny.lua --quiet --out=whole >out 2>err
result $? "an undisturbed run"
losses whole >wanted

# ---- signals --------------------------------------------------------------------------------------------------------

# stop SIGNAL STEP: sends a signal some time after that step began. Sets status, before, after: the steps it was at.
stop() {
    rm -rf part now
    env --default-signal=INT "$program" tiny.lua --quiet --out=part checkpoint_seconds=1000 >out 2>err &
    pid=$!
    while before=$(number) && [ "${before:-0}" -lt "$2" ] && kill -0 $pid 2>/dev/null; do sleep 0.002; done
    kill -"$1" $pid 2>/dev/null
    after=$(number)
    wait $pid
    status=$?
}

# is_sound STATUS: what the last stop left is as documented.
is_sound() {
    [ "$status" -eq "$1" ] || return 1
    step=$("$program" step.lua part/checkpoint-latest.h5 2>>err) || return 1
    echo "# at step $before to $after, checkpoint of step $step" >>err
    [ "$step" -ge $((before - 1)) ] && [ "$step" -le "$after" ] || return 1
    grep -q "stopped at step $step, checkpoint written" err || return 1
    "$program" tiny.lua --quiet --resume part >out 2>>err && losses part | cmp -s - wanted
}

moments=${LSTM_TORTURE:-4}
[ "$moments" -gt 100 ] && moments=100
k=0 sound=0 late=0
while [ $k -lt "$moments" ]; do
    case $((k % 4)) in
    0) signal=TERM wanted_status=75 ;;
    1) signal=INT wanted_status=130 ;;
    2) signal=USR1 wanted_status=75 ;;
    3) signal=HUP wanted_status=75 ;;
    esac
    k=$((k + 1))
    stop $signal "$(awk -v k=$k 'BEGIN { srand(k); print 1 + int(rand() * 120) }')"
    if [ $status -eq 0 ]; then
        late=$((late + 1))
    elif is_sound $wanted_status; then
        sound=$((sound + 1))
    else
        result 1 "SIG$signal, moment $k (status $status)"
    fi
done
[ $((sound + late)) -eq "$moments" ] && [ $((2 * late)) -le "$moments" ]
result $? "$sound signals at random moments: a checkpoint within one step, the same end ($late came after the last step)"

# A Ctrl-C that arrives twice at once, from the terminal and by a program that passes it on, is one.
rm -rf part now
env --default-signal=INT "$program" tiny.lua --quiet --out=part checkpoint_seconds=1000 >out 2>err &
pid=$!
while before=$(number) && [ "${before:-0}" -lt 5 ] && kill -0 $pid 2>/dev/null; do sleep 0.002; done
kill -INT $pid && kill -INT $pid
wait $pid
status=$?
exits 130 "Ctrl-C twice at once"; says "checkpoint written"

# ---- places that are taken away -------------------------------------------------------------------------------------

TAKE="rm -rf gone" "$program" tiny.lua --quiet --out=gone checkpoint_every=5 >out 2>err
status=$?
exits 1 "the run's directory removed"; says "gone/log.h5: No such file"; says "Training stopped at step 10"
TAKE="mv away moved" "$program" tiny.lua --quiet --out=away checkpoint_every=5 >out 2>err
status=$?
exits 1 "the run's directory moved"; says "away/log.h5: No such file"
"$program" tiny.lua --quiet --resume moved >out 2>err && losses moved | cmp -s - wanted
result $? "  it is resumed where it is"

# Permissions mean nothing to root.
as_user=
if [ "$(id -u)" -eq 0 ]; then as_user="setpriv --reuid=65534 --regid=65534 --clear-groups"; fi
chmod 755 . && mkdir closed && cp -r whole closed/whole && chmod -R a-w closed && rm -f now && : >now && chmod 666 now
if $as_user "$program" --version >/dev/null 2>&1 && ! $as_user touch closed/x 2>/dev/null; then
    $as_user "$program" tiny.lua --quiet --out=closed/run >out 2>err
    status=$?
    exits 1 "a run in a directory that cannot be written"; says "closed/run: Permission denied; choose another place by --out"
    $as_user "$program" tiny.lua --quiet --resume closed/whole steps=201 >out 2>err
    status=$?
    exits 1 "resuming one there"; says "closed/whole/"; says "Permission denied"
    $as_user "$program" replay closed/whole --to=3 --quiet >out 2>err
    status=$?
    exits 1 "replaying it into itself"; says "Permission denied; choose another place by --out"
    mkdir open && chmod 777 open
    $as_user "$program" replay closed/whole --to=3 --out=open/replay >out 2>err
    status=$?
    exits 0 "replaying it elsewhere"; prints "steps 1 to 3 are the logged ones"
else
    skip "a directory that cannot be written" "no other user can run $program"
fi
chmod -R u+w closed

done_testing
