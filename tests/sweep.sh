#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Sweeps as a user meets them: run, killed and run again, shared, pruned, and what is said when they are wrong. Speaks TAP.
# LSTMRUN names the program (default: ./lstmrun); LSTM_TORTURE: how often the sweep and its trials are killed (3).
set -u
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA LSTMRUN_SWEEP
export HOME="$work" XDG_CACHE_HOME="$work/cache" OMP_NUM_THREADS=1

silent() { [ ! -s err ]; result $? "  no complaint"; }

# ---- material -------------------------------------------------------------------------------------------------------

# A trial of 60 steps that takes half a second, and fails as it is told to.
cat >tiny.lua <<'END'
local lstm = require "lstm"
local function sleep(seconds) require "lstm.core".process.wait({}, seconds) end -- for a child, of which there is none
local function train(cfg, run)
  local model <close> = lstm.model { input = 3, hidden = cfg.hidden, output = 2, seed = cfg.seed }
  local fit <close> = model:trainer { batch = 4, seq = 8, lr = cfg.lr }
  local x = lstm.tensor.normal { 8, 4, 3, seed = cfg.seed }
  local y = lstm.tensor.zeros { 8, 4, 2 }
  for step in run:steps(cfg.steps, fit) do
    local loss = fit:step { x = x, y = y }
    run:log(step, loss)
    if run:every(5) then run:evaluate(step, loss) end
    if cfg.fault == "raise" and step == 7 then print "what it said before" error "no way" end
    if cfg.fault == "nan" and step == 7 then run:log(step, 0 / 0) end
    if cfg.fault == "kill" and step == 7 then io.popen "kill -9 $PPID":close() end
    if cfg.fault == "term" and step == 7 then io.popen "kill -TERM $PPID":close() end
    if cfg.fault == "hang" and step == 7 then while true do sleep(60) end end
    if cfg.pause > 0 then sleep(cfg.pause) end
  end
end
return lstm.experiment { run = train, options = {
  { "hidden", 4 }, { "lr", 0.01 }, { "steps", 60 }, { "pause", 0.0 }, { "fault", "" } } }
END

# sweep NAME FIELDS: a sweep of it
sweep() {
    cat >"$1.lua" <<END
local lstm = require "lstm"
return lstm.sweep { experiment = "tiny.lua", $2 }
END
}

# What must be the same however a sweep came to its end: of every trial its id, parameters, status and numbers, and the
# metrics of each step, but for what tells of time.
cat >table.lua <<'END'
local json = require "lstm.json"
local names = { "status", "step", "steps", "loss", "metric", "best", "best_step" }
for line in io.lines() do
  local trial = json.decode(line)
  local parts = { trial.id, tostring(trial.index), json.encode(trial.params), tostring(trial.seed) }
  for _, name in ipairs(names) do parts[#parts + 1] = ("%s=%s"):format(name, trial.status[name]) end
  print(table.concat(parts, " "))
  for row in io.lines(trial.directory .. "/metrics.csv") do print((row:gsub(",[^,]*,[^,]*$", ""))) end
end
END
final_table() { "$program" "$1" --list --json --out="$2" | "$program" table.lua; }

# ---- running, listing, going on ---------------------------------------------------------------------------------------

sweep plain 'params = { hidden = { 3, 5 }, lr = { 0.01, 0.1 } }, fixed = { steps = 12 }, seeds = 2'
run plain.lua --jobs=2
exits 0 "a sweep"; prints "plain: 8 trials of tiny in runs/plain; 0 done before"; matches "12/12 .* done 0:0"
prints "over    8 done"; prints "best    val_loss"; silent
run plain.lua
exits 0 "the same again"; prints "8 done before"
run plain.lua --list
exits 0 "--list"; prints "8 trials in runs/plain: 8 done"; matches "hidden +lr +seed +step +loss +val_loss +status"
run plain.lua --list hidden=3,5,7
prints "12 trials in runs/plain: 8 done, 4 pending"
run plain.lua hidden=3,5,7 --jobs=2
exits 0 "values added"; prints "12 trials of tiny in runs/plain; 8 done before"; prints "over    12 done"
run plain.lua --trial=1
exits 0 "a trial that is done"; prints "is done already"
run plain.lua --trial=99
exits 2 "a trial that is not there"; says "there is no trial 99: the sweep has 8"
run plain.lua --trial=3 --out=other
exits 0 "just one"; prints "done    12 steps"
run plain.lua --list --out=other
prints "8 trials in other: 1 done, 7 pending"
run plain.lua --shard=2/3 --out=other
exits 0 "--shard"; prints "3 trials of tiny"
run plain.lua --shard=3/3 --out=other --quiet
exits 0 "  quietly"; [ ! -s out ]; result $? "  prints nothing"
run plain.lua --shard=4/3
exits 2 "a shard that is none"; says "option '--shard' needs I/N"
run plain.lua --out=other --json
exits 0 "--json"; prints '"event": "sweep_start"'; prints '"event": "trial_end"'; prints '"event": "sweep_end"'
final_table plain.lua runs/plain >table-1 && final_table plain.lua other >table-2 && cmp table-1 table-2 && [ -s table-1 ]
result $? "  the table is the same, run whole or in parts"
sweep plain 'params = { hidden = { 3, 5 }, lr = { 0.01, 0.1 } }, fixed = { steps = 12 }, seeds = 2, metric = "loss",
  table = { "lr", "hidden" }'
id=$(run plain.lua --list --json; sed -n '1s/.*"id": "\([0-9a-f]*\)".*/\1/p' out)
least=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "loss") k = i } NR > 1 && $k != "" { print $k }' \
    runs/plain/trials/$id/metrics.csv | sort -g | head -1)
run plain.lua --list --json
grep -q "\"best\": $least" out; result $? "another metric is read from the logs of what is done"
run plain.lua
matches "^ +lr +hidden=3 +hidden=5$"; matches "^ +0\.1 +[0-9.e-]+ \+- "
run tiny.lua --jobs=2
exits 2 "a sweep's option for an experiment"; says "option '--jobs' is for sweeps, tiny.lua is none"
run plain.lua --resume
exits 2 "an experiment's option for a sweep"; says "option '--resume' is for experiments, plain.lua is a sweep"
run plain.lua --help
exits 0 "--help"; prints "hidden=3,5"; prints "steps=12"; prints "--shard=I/N"
run plain.lua --dry-run lr=0.01 hidden=3,1000000000 --out=planned
exits 0 "--dry-run"; prints "4 trials (2 configurations, 2 seeds)"; prints "memory  at most"; prints "time    about"
[ ! -e planned ]; result $? "  makes nothing"
sed 's/local loss = fit:step/local loss, s = fit:step/; s/run:log(step, loss)$/run:log(step, loss, s)/' tiny.lua >logs.lua
sed 's/tiny.lua/logs.lua/' plain.lua >room.lua
run room.lua --dry-run --json lr=0.01 hidden=3 steps=3000
planned=$(sed -n 's/.*"trial_disk_bytes": \([0-9]*\).*/\1/p' out)
run room.lua --trial=1 lr=0.01 hidden=3 steps=3000
taken=$(du -sk runs/room | cut -f 1)
echo "planned $planned bytes, taken $taken KiB" >err
[ $((planned * 5)) -gt $((taken * 1024 * 4)) ] && [ $((planned * 4)) -lt $((taken * 1024 * 5)) ]
result $? "  it tells the room on the disk to a fifth"
run plain.lua --dry-run hidden=3,-8 lr=0.01
exits 0 "  of a configuration that would fail"; matches "fails .*hidden=-8 lr=0.01\): tiny.lua:4: .*'hidden': positive integer"
run plain.lua --dry-run hidden=-8
exits 1 "  of nothing but these"; prints "fails "
run plain.lua --dry-run hidden=-8 --json
exits 1 "  as JSON"; prints '"reason": "tiny.lua:4: '
run plain.lua hiden=3
exits 2 "an option mistyped"; says "no option 'hiden' (did you mean 'hidden'?)"

mkdir apart away && sed 's/"tiny.lua"/"small.lua"/' plain.lua >apart/plain.lua && cp tiny.lua apart/small.lua
(cd away && "$program" ../apart/plain.lua --trial=1 --out=one) >out 2>err; status=$?
exits 0 "an experiment beside the sweep's script, from elsewhere"; prints "done    12 steps"
run replay away/one/trials/*
exits 0 "  its trial is repeated"; prints "equal   steps 1 to 12"
echo "-- changed" >>apart/small.lua
run replay away/one/trials/*
prints "here too (modules have changed)"
mv apart/small.lua small.lua
run apart/plain.lua --list
exits 0 "  one in the working directory will do"
rm small.lua
run apart/plain.lua --list
exits 1 "  and one that is nowhere"; says "there is no 'small.lua', neither beside the script nor here, nor among those that came"

cat >own.lua <<'END'
return require "lstm".sweep { experiment = function() end, params = { { "lr", { 1, 2 } }, { "a", { 3 } } },
  fixed = { zeta = 1, eta = 2, theta = 3, beta = 4, alpha = 5 } }
END
run own.lua --help
[ "$(sed -n 's/^  \([a-z]*ta\|alpha\)=[1-5]$/\1/p' out | tr '\n' ' ')" = "alpha beta eta theta zeta " ]
result $? "options of a sweep's own function are in the same order each time"

# ---- trials that fail -------------------------------------------------------------------------------------------------

sweep faults 'params = { fault = { "", "raise", "nan", "kill" } }, fixed = { steps = 12 }'
run faults.lua --jobs=2
exits 1 "trials that fail do not stop the others"; prints "1 done"; prints "3 failed"
matches "raise .* failed: tiny.lua:[0-9]+: no way; once more"; prints "    | what it said before"
matches "nan .* failed: loss became NaN at step 7"; matches "kill .* failed: killed by SIGKILL"
says "failed: "; says "--trial="; says "fault=raise"
[ "$(grep -c 'nan .* failed' out)" -eq 1 ]; result $? "  what diverged is not tried again: it would diverge again"
run faults.lua fault=none hidden=-8 --jobs=2 --out=wrong
exits 1 "a trial that makes no sense"; [ "$(grep -c "'hidden': positive integer expected, got -8" out)" -eq 1 ]
result $? "  is not tried again: it would fail again"
run faults.lua
exits 1 "failed trials that have had their retries"; [ "$(grep -c 'once more' out)" -eq 0 ]
result $? "  are left alone"
run faults.lua --retry --jobs=2
exits 1 "--retry"; matches "raise .* failed: tiny.lua:[0-9]+: no way"
command=$(sed -n 's/^ *\(.*--trial=.*\)$/\1/p' err | head -1)
sh -c "$command" >out 2>err
says "tiny.lua:"; [ "$(grep -c 'no way' err)" -eq 1 ] && ! grep -q '^over' out
result $? "  the command that is shown runs just that one"
LSTMRUN_GRACE=0.2 run faults.lua fault=raise,hang --fail-fast --jobs=2 --out=fast
exits 1 "--fail-fast"; says "stopped: a trial failed (--fail-fast). Go on with:"
sweep hangs 'params = { fault = { "hang", "" } }, fixed = { steps = 12 }, timeout = 4, retries = 0'
LSTMRUN_GRACE=0.3 run hangs.lua --jobs=2
exits 1 "a trial that hangs"; matches "failed: took longer than timeout=4 seconds"; prints "1 done"
sweep told 'params = { fault = { "", "term" } }, fixed = { steps = 12 }'
run told.lua
exits 75 "a trial that somebody told to stop"; prints "1 done, 1 stopped"; says "stopped: a trial was told to stop. Go on with:"
run told.lua
exits 0 "  and on"; prints "2 done"
sweep diverges 'params = { fault = { "", "nan" } }, fixed = { steps = 12 }'
run diverges.lua
exits 0 "a trial that diverges is a result, not an error"; prints "1 failed"

# ---- trials of another version of the script --------------------------------------------------------------------------

cp tiny.lua version.lua
sweep versions 'params = { hidden = { 3, 5 }, fault = { "", "term" } }, fixed = { steps = 12 }'
sed -i 's/tiny.lua/version.lua/' versions.lua
run versions.lua
run versions.lua --list
prints "2 done, 2 stopped"; ! grep -q '^code' out; result $? "  the same version is not told of"
sed -i 's/batch = 4, seq = 8,/& clip_norm = 0.001,/' version.lua
run versions.lua hidden=3,5,7 fault= --jobs=1
exits 0 "trials of another version of the script, and a new one"
[ "$(grep -c '^code    2 trials are of another version of version.lua or its modules; --redo makes them anew' out)" -eq 2 ]
result $? "  are told of before it begins, and above what is best"
run versions.lua
exits 0 "trials that go on with another version"
for option in --list --dry-run --collect; do
    run versions.lua $option
    prints "code    4 trials are of another version of version.lua"
    run versions.lua $option --quiet --json
    [ $option = --list ] || prints '"other_code": 4'
done
run versions.lua --redo --list
exits 2 "--redo that runs nothing"; says "option '--redo' runs trials, '--list' runs none"
run versions.lua --redo fault= --jobs=2
exits 0 "--redo"; prints "redo    2 trials; what they left is kept, as runs/versions/trials/ID-1 and so on"
prints "2 trials of version in runs/versions; 0 done before"; ! grep -q '^code' out; result $? "  leaves none of the other version"
[ "$(ls -d runs/versions/trials/*-1 | wc -l)" -eq 2 ]; result $? "  keeps what was there"
run versions.lua fault= --out=fresh
sed -i 's/"", "term"/""/' versions.lua
final_table versions.lua runs/versions >table-1; final_table versions.lua fresh >table-2
cmp table-1 table-2 && [ -s table-1 ]; result $? "  and makes what a new sweep makes"
run versions.lua --redo
exits 0 "  once more"; prints "redo    nothing"; prints "2 done before"
run versions.lua --trial=1 --redo
exits 0 "--redo of one trial, whatever its version"; prints "done    12 steps"
[ "$(ls -d runs/versions/trials/*-2 | wc -l)" -eq 1 ]; result $? "  keeps that, too"

# ---- killed, and run again --------------------------------------------------------------------------------------------

sweep long 'params = { hidden = { 3, 5, 7 }, lr = { 0.01, 0.1 } }, retries = 1000,
  fixed = { pause = 0.005, checkpoint_every = 10 }'
run long.lua --jobs=2 --out=whole
exits 0 "a sweep that nobody disturbs"
final_table long.lua whole >table-1

children() { grep -l "^PPid:[[:space:]]*$1\$" /proc/[0-9]*/status 2>/dev/null | cut -d/ -f3; }
# of every trial that is done: its attempts, and when its status was written
done_ones() {
    for f in "$1"/trials/*/status.json; do
        grep -q '"status": "done"' "$f" && echo "$f $(ls "${f%/*}" | grep -c claim) $(stat -c %y "$f")"
    done 2>/dev/null
}
again=0 kills=${LSTM_TORTURE:-3} k=0
: >before
while [ $k -lt "$kills" ]; do
    k=$((k + 1))
    "$program" long.lua --jobs=2 --out=killed >out 2>err &
    pid=$!
    sleep 0.$((10 + (k * 37) % 60))
    [ $((k % 2)) -eq 0 ] || kill -9 $(children $pid | head -1) 2>/dev/null # a trial
    sleep 0.$((5 + (k * 23) % 30))
    kill -9 $pid 2>/dev/null # the sweep
    wait $pid 2>/dev/null
    while read -r line; do
        done_ones killed | grep -qxF "$line" || again=$((again + 1))
    done <before
    done_ones killed >before
done
run long.lua --jobs=2 --out=killed
exits 0 "a sweep that was killed $kills times, and trials of it, run once more"
final_table long.lua killed >table-2
cmp table-1 table-2 && [ "$(grep -c '=done' table-2)" -eq 6 ]; result $? "  its table is that of the undisturbed one"
[ $again -eq 0 ]; result $? "  no trial was touched after it was done"

"$program" long.lua --jobs=1 --out=shared >out-1 2>err-1 &
first=$!
run long.lua --jobs=1 --out=shared
exits 0 "two sweeps on one directory"
wait $first; result $? "  the other, too"
final_table long.lua shared >table-2
cmp table-1 table-2; result $? "  the table is the same"
[ "$(cat out out-1 | grep -c ' done 0:')" -eq 6 ]; result $? "  each trial was done by one of them"
[ "$(ls -d shared/trials/*/claim-* | wc -l)" -eq 6 ]; result $? "  and begun once"
! grep -q ' done 0:' out || ! grep -q ' done 0:' out-1; shares=$?
result $((1 - shares)) "  and both did some"

# Of containers that share a directory each has a process 1.
cat >claims.lua <<'END'
local core = require "lstm.core"
local who, taken, torn = os.getenv "WHO", 0, 0
while not core.sys.kind "claims/go" do end
for k = 1, 400 do
  local made, reason = core.process.put("claims/claim-" .. k, who)
  if made == nil then error(reason) end
  if made then taken = taken + 1 end
  assert(core.process.replace("claims/table", who:rep(1000)))
  local file <close> = assert(io.open "claims/table")
  local text = file:read "a"
  if text ~= text:sub(1, 1):rep(1000) then torn = torn + 1 end
end
print(torn == 0 and "whole" or "torn", "process " .. core.sys.pid(), taken)
END
apart="unshare --pid --fork"
$apart true 2>/dev/null || apart="unshare --map-root-user --pid --fork"
if $apart true 2>/dev/null; then
    mkdir claims
    WHO=a $apart "$program" claims.lua >out-1 2>err-1 &
    first=$!
    { sleep 0.2; : >claims/go; } &
    WHO=b $apart "$program" claims.lua >out 2>err; status=$?
    exits 0 "two processes of one number, in containers of their own"
    wait $first; result $? "  the other, too"
    [ "$(cut -f 2 out)" = "$(cut -f 2 out-1)" ]; result $? "  they do have the same number"
    [ "$(cat out out-1 | awk '{ sum += $NF } END { print sum }')" -eq 400 ]; result $? "  every claim is of one of them"
    prints whole; grep -q whole out-1; result $? "  what both replace is of one of them"
    [ "$(ls claims | wc -l)" -eq 402 ]; result $? "  and nothing is left behind"
else
    skip "two processes of one number, in containers of their own" "unshare cannot make them"
fi

# stop DIRECTORY ARGUMENT...: runs long.lua there, and sends it SIGTERM when a trial is at work
stop() {
    directory=$1
    shift
    "$program" long.lua "$@" --out="$directory" >out 2>err &
    pid=$!
    tries=0 # a slow machine may take its time
    until grep -q '"status": "running"' "$directory"/trials/*/status.json 2>/dev/null || [ $tries -eq 300 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    kill -TERM $pid
    wait $pid; status=$?
}
stop stopped --jobs=2
exits 75 "SIGTERM"; says "stopped: SIGTERM. Go on with:"
run long.lua --list --out=stopped
matches "stopped: stopped by SIGTERM"; matches "[1-6] stopped"
run long.lua --jobs=2 --out=stopped
exits 0 "  and on"
final_table long.lua stopped >table-2
cmp table-1 table-2; result $? "  to the same table"
for pair in "--trial=1 --list" "--trial=1 --dry-run" "--list --collect" "--trial=1 --shard=1/2"; do
    run long.lua $pair --out=stopped
    exits 2 "$pair"; says "exclude each other"
done
run long.lua --queued --out=stopped
exits 2 "--queued of no trial"; says "only for one trial"
stop typed hidden=3,9 lr=0.01 --jobs=1 --no-prune
command=$(sed -n 's/^stopped: .* Go on with:  //p' err)
case $command in *" long.lua --out=typed hidden=3,9 lr=0.01 --jobs=1 --no-prune") ;; *) false ;; esac
result $? "  the command that is shown has what was typed: $command"
sh -c "$command" >out 2>err; status=$?
exits 0 "  it"; prints "over    2 done"; [ "$(ls typed/trials | wc -l)" -eq 2 ]; result $? "  goes on with these trials"

# ---- pruning ----------------------------------------------------------------------------------------------------------

sweep halving 'method = "asha", params = { lr = { 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 0.5 } },
  fixed = { steps = 45, hidden = 6 }, budget = { min_steps = 5 }'
run halving.lua --jobs=1
exits 0 "successive halving"; prints "pruned"; matches "paused: rung 1, step 5: [0-9]+\. of [0-9]+"
run halving.lua --list
matches "45/45 .* done"; matches " 5/45 .* pruned"
run halving.lua --no-prune --jobs=2
exits 0 "--no-prune"; prints "9 done"; [ "$(grep -c pruned out)" -eq 0 ]; result $? "  goes on with what was stopped"
sweep medians 'params = { lr = { 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001 } }, prune = "median",
  fixed = { steps = 40, hidden = 6 }'
run medians.lua --jobs=1
exits 0 "the median rule"; matches "pruned: step [0-9]+: val_loss .* is worse than the others' median"

# ---- those that come with it ------------------------------------------------------------------------------------------

for _ in 1 2 3 4 5 6 7 8 9; do cat tiny.lua; done >text.txt
for name in sweep_hidden:16 sweep_init:30 sweep_length:24 sweep_lr:27 sweep_precision:40; do
    run ${name%:*} --list data=text.txt
    exits 0 "${name%:*}"; prints "${name#*:} trials in runs/${name%:*}: ${name#*:} pending"
done
run sweep_length data=text.txt seq=8 updates=4 characters=1000 hidden=3 --jobs=2
exits 0 "text, adding and copying"; prints "6 done"; matches "^ +seq +task=text +task=adding +task=copy"; silent

# ---- what is wrong ----------------------------------------------------------------------------------------------------

sweep empty 'params = { hidden = {} }'
run empty.lua
exits 1 "an empty space"; says "empty.lua: bad argument #1 to 'sweep' (field 'params': 'hidden' needs a list of values"
sweep holes 'params = { hidden = { 4, typo, 8 } }'
run holes.lua
exits 1 "a list with a hole"; says "(field 'params': 'hidden': a list of values expected, entry 2 is nil: is a name mistyped?)"
sweep unknown 'params = { hiden = { 1 } }'
run unknown.lua
exits 1 "an unknown parameter"; says "experiment 'tiny' has no option 'hiden' (did you mean 'hidden'?)"
sweep metric 'params = { hidden = { 3 } }, metric = { "val_lss", "min" }, fixed = { steps = 12 }, retries = 0'
run metric.lua
exits 1 "a metric that is never reported"
says "the experiment never reported the sweep's metric 'val_lss' (did you mean 'val_loss'?); it reports"
: >file
run plain.lua --out=file/x
exits 1 "a directory that cannot be"; says "cannot write the sweep's files: file: Not a directory; choose another place by --out=DIR"
id=$("$program" plain.lua --list --json | sed -n '1s/.*"id": "\([0-9a-f]*\)".*/\1/p')
echo '{"status": "do' >runs/plain/trials/$id/status.json
run plain.lua --list
matches "stopped: its status.json is damaged"
run plain.lua
exits 0 "a damaged status"; prints "7 done before"; prints "8 done"
echo one >text
sweep texts 'params = { hidden = { 3 } }, fixed = { steps = 12 }, data = "text"'
run texts.lua --list --json
id=$(sed -n '1s/.*"id": "\([0-9a-f]*\)".*/\1/p' out)
run texts.lua
echo two >text
run texts.lua --list
prints "1 trial in runs/texts: 1 pending"
rm runs/texts/trials/$id/status.json
run texts.lua --trial=$id
exits 1 "a trial of other data"; says "was planned for other data: 'text' is not what it was then"
id=$("$program" plain.lua --list --json | sed -n '1s/.*"id": "\([0-9a-f]*\)".*/\1/p')
# A process of another machine, whose clock is wrong, and which is gone since an hour by the file system's clock.
rm runs/plain/trials/$id/claim-2
sed -i 's/"machine": "[^"]*"/"machine": "elsewhere"/' runs/plain/trials/$id/claim-1
printf '{"status": "running", "attempt": 1, "heartbeat": 9999999999, "host": "far", "pid": 1}' >runs/plain/trials/$id/status.json
run plain.lua --list
matches " running"
touch -d '1 hour ago' runs/plain/trials/$id/claim-1
run plain.lua --list
matches "stopped: interrupted: process [0-9]+ on .* is gone"
run plain.lua
exits 0 "a trial of a dead machine is taken over"; prints "8 done"

done_testing
