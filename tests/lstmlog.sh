#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The program lstmlog on runs that are done, stopped, killed, diverged and under way, and on files that are damaged or
# not ours. check_lstmlog.py reads back what it exports, when there is a Python with numpy and h5py. Speaks TAP.
set -u
build=$PWD
here=$(cd "${srcdir:-.}/tests" && pwd)
. "${srcdir:-.}/tests/tap.sh"
find_python h5py numpy
cd "$work" || exit 99
export OMP_NUM_THREADS=1

# log ARGUMENT...: keeps output in out and err, exit status in status
log() { "$build/lstmlog" "$@" >out 2>err; status=$?; }
one_line() { [ "$(wc -l <err)" -eq 1 ] && grep -q '^lstmlog: ' err; result $? "  one line of complaint"; }

# ---- material -------------------------------------------------------------------------------------------------------

i=0
while [ $i -lt 60 ]; do
    echo "line $i of a text, with tabs	and naïve characters — $((i * i % 17))"
    i=$((i + 1))
done >text

cat >tiny.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { path = cfg.data, tokens = "chars", split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = 6, layers = 2, seed = cfg.seed }
  local fit <close> = model:trainer { batch = 3, seq = 5, lr = cfg.lr }
  for step in run:steps(cfg.steps, fit, text) do
    run:log(step, fit:step(text))
    if run:every(4) then run:evaluate(step, fit:evaluate(text)) end
    if step == cfg.nan_at then run:log(step, 0 / 0) end
    if step == 15 then run:log(step, { late = 1 }) end
    if step == cfg.break_at then break end
    if step == cfg.error_at then error "mine" end
    if step == cfg.term_at then io.popen "kill -TERM $PPID":close() end
    if step == cfg.kill_at then io.popen "kill -9 $PPID":close() end
    if cfg.pause > 0 then os.execute("sleep " .. cfg.pause) end
  end
end
return lstm.experiment { name = "tiny", run = train, options = {
  { "data", "text", "text" }, { "steps", 12, "steps" }, { "lr", 0.01, "rate" }, { "pause", 0.0, "seconds a step" },
  { "nan_at", 0, "step" }, { "term_at", 0, "step" }, { "kill_at", 0, "step" },
  { "break_at", 0, "step" }, { "error_at", 0, "step" } }, changeable = { "kill_at", "break_at" } }
END
cat >ids.lua <<'END'
local lstm = require "lstm"
local function train(_, run)
  local model <close> = lstm.model { vocab = 5, hidden = 4 }
  local fit <close> = model:trainer { batch = 1, seq = 4 }
  local list = lstm.sequences { batch = 1, { ids = { 0, 1, 2, 3 }, y = { 1, 2, 3, 4 } } }
  for step in run:steps(3, fit, list) do run:log(step, fit:step(list)) end
end
return lstm.experiment { name = "ids", run = train }
END
run() { # NAME OPTION...
    name=$1
    shift
    "$build/lstmrun" tiny.lua --quiet --out="runs/$name" "$@" >out 2>err
}
run done activations.every=1 gradients.every=3 parameters.every=6 watch.rows=2
result $? "a run to look at"
run other lr=0.02 activations.every=1 watch.rows=2
run same/again activations.every=4 --threads=1
run diverged nan_at=5
run stopped term_at=7
run killed kill_at=6 checkpoint_every=3
run broken break_at=5
run broken-killed break_at=5
"$build/lstmrun" tiny.lua --quiet --resume=runs/broken-killed kill_at=9 break_at=0 2>err
run failed error_at=5
run none steps=0

# ---- ls -------------------------------------------------------------------------------------------------------------

log ls
exits 0 "ls of the folder runs"
matches '^runs/done +done +12 +[0-9.]+ +[0-9.]+ +20[0-9-]+ [0-9:]+$'
matches '^runs/other +done +12 '
matches '^runs/same/again +done +12 '
matches '^runs/diverged +diverged +5 '
matches '^runs/stopped +stopped +7 '
matches '^runs/killed +stopped '
matches '^runs/broken +done +5 '
matches '^runs/broken-killed +stopped '
matches '^runs/failed +stopped +5 '
matches '^runs/none +done '
if env --ignore-signal=CHLD true 2>/dev/null; then
    env --ignore-signal=CHLD "$build/lstmlog" ls runs/done >out 2>err; status=$?
    exits 0 "ls, started by a program that ignores its children's ends"
    matches '^runs/done +done '
fi
log ls --json runs/done
exits 0 "ls --json"
matches '^\{"path": "runs/done", "status": "done", "step": 12, "loss": [0-9.]+, "best_val_loss": [0-9.]+, "best_step"'
mkdir torn && cp -r runs/done runs/other torn
LC_ALL=C sed -i 's/FRHP/\x00\x00\x00\x00/' torn/other/log.h5
log ls torn
exits 1 "ls of a folder with a damaged log"
matches '^torn/done +done +12 '; says "torn/other/log.h5"; one_line
mkdir empty
log ls empty
exits 1 "ls of an empty folder"
says "no runs below empty"
mkdir unborn newborn
head -c 8192 /dev/zero >unborn/log.h5; : >unborn/log.h5.journal
log ls unborn
exits 1 "ls of a run that was killed before its first commit"
one_line; says "nothing was ever committed"
if flock unborn/log.h5.journal true 2>/dev/null; then
    cp unborn/* newborn
    flock newborn/log.h5.journal sh -c 'sleep 1.5; cp runs/done/log.h5 newborn/new; mv newborn/new newborn/log.h5' &
    i=0
    while flock -n newborn/log.h5.journal true && [ $i -lt 100 ]; do
        sleep 0.02
        i=$((i + 1))
    done
    log ls newborn
    exits 0 "ls of a run that has just begun waits for its first commit"
    wait
fi
log ls nowhere
exits 1 "ls of a missing folder"
one_line

# ---- show -----------------------------------------------------------------------------------------------------------

log show runs/done
exits 0 "show of a run"
matches '^runs/done/log.h5: log, done, step 12, '
matches '^  steps +12$'
matches '^  experiment +tiny$'
prints "metrics: 12 rows, steps 1 to 12"
prints "activations: 12 records, steps 1 to 12"
matches '^  h +float32 \[record 12, layer 2, time 5, batch 2, unit 6\] +.* of +5.6 KiB  hidden state$'
matches '^  step +int64 \[step 12\] '
log show runs/broken-killed
matches '^  step 5 +20[0-9-]+ [0-9:]+  resume$'
matches '^  step 5 +20[0-9-]+ [0-9:]+  option +break_at=0, was 5$'
log show runs/done/checkpoint-latest.h5
exits 0 "show of a checkpoint"
prints "checkpoint, checksum correct"
matches '^  lstm.weight_hh_l1 +float32 \[24, 6\] '

# ---- verify and recover ---------------------------------------------------------------------------------------------

log verify runs/done runs/other/log.h5 runs/stopped
exits 0 "verify of sound runs"
prints "runs/done/log.h5: sound log"
prints "runs/done/checkpoint-latest.h5: sound checkpoint"
prints "runs/other/log.h5: sound log"
log verify runs/killed
exits 0 "verify of a killed run"
prints "not closed: its writer was killed"
log recover runs/killed
exits 0 "recover"
prints "runs/killed/log.h5: "
[ ! -e runs/killed/log.h5.journal ]
result $? "  takes the journal away"
log recover runs/killed
prints "sound, nothing to do"

kib=16384
: >short
while [ $kib -le 40960 ]; do # from too little to begin with to enough
    (ulimit -v $kib; exec "$build/lstmlog" verify runs/done/log.h5) >out 2>err
    head -n 1 err >>short
    kib=$((kib + 512))
done
! grep "is damaged at /" short; result $? "a sound log is not called damaged where memory is short"

mkdir bad
size=$(wc -c <runs/done/log.h5)
head -c $((size / 2)) runs/done/log.h5 >bad/half.h5
checkpoint=runs/done/checkpoint-latest.h5
{ head -c 3000 $checkpoint; printf x; tail -c +3002 $checkpoint; } >bad/checkpoint.h5
: >bad/empty.h5
head -c 5000 /dev/zero >bad/zeros.h5
for file in half.h5 checkpoint.h5 empty.h5 zeros.h5 missing.h5 ../text; do
    log verify "bad/$file"
    exits 1 "verify of bad/$file"
    one_line
done
log verify bad/checkpoint.h5 runs/done
prints "runs/done/log.h5: sound log"
exits 1 "one damaged file among sound ones"
cp text text.copy
log recover text
exits 1 "recover of what is not ours"
cmp -s text text.copy
result $? "  leaves it alone"
log show .
exits 1 "show of a folder that is no run"
says ". holds no log.h5"

# ---- names with control characters ----------------------------------------------------------------------------------

# plain TEXT: what was printed has no control character but the ends of lines.
plain() { [ -s out ] && ! LC_ALL=C tr -d '\n' <out | LC_ALL=C grep -q '[[:cntrl:]]'; result $? "  $1"; }

odd=$(printf 'odd/ru\033[31mns\nx')
mkdir odd
cp -r runs/done "$odd"
cp -r runs/done odd/plain
log ls odd
exits 0 "ls of a run with control characters in its name"
plain "shows them by their values"
matches '^odd/ru\\x1b\[31mns\\x0ax  done  '; matches '^odd/plain {14}done  '
log ls --json odd
prints 'ru\u001b[31mns\u000ax'
raw=$(printf 'raw/\303\244\377\376"\303')
mkdir raw
if cp -r runs/done "$raw" 2>/dev/null; then # some file systems have only names in UTF-8
    log ls --json raw
    exits 0 "ls --json of a name that is no UTF-8"
    prints '{"path": "raw/ä��\"�", '
else
    skip "ls --json of a name that is no UTF-8" "no such names here"
fi
log show "$odd"
plain "show does, too"
matches '^odd/ru\\x1b\[31mns\\x0ax/log.h5: log, done, step 12, '
log show "$odd/checkpoint-latest.h5"
plain "  of a checkpoint"
log verify "$odd"
plain "and verify"
prints 'x/log.h5: sound log'; prints 'x/checkpoint-latest.h5: sound checkpoint'
log recover "$odd"
plain "and recover"

# ---- diff -----------------------------------------------------------------------------------------------------------

log diff runs/done runs/same/again
exits 1 "diff of runs that differ in what they log"
prints "config activations.every: 1 | 4"
prints "metrics are the same, bit for bit"
log diff runs/done runs/done
exits 0 "diff of a run with itself"
log diff runs/done runs/other
exits 1 "diff of runs that differ"
prints "config lr: 0.01 | 0.02"
matches "^activations differ from step 2: [a-z]+, and [0-9]+ more, there or later$"
prints "gradients: only in the first"
matches '^metrics differ from step 1: lr 0.01 \| 0.02'
odd=$(printf 'a text\nof two lines')
cp text "$odd"
run odd data="$odd" steps=4
run seed seed=2
log diff runs/done runs/seed
prints "config seed: 1 | 2"
! grep -q "environment seed" out; result $? "  the seed is told once"
log diff runs/odd runs/done
exits 1 "diff of options of several lines"
matches '^config data: a text\\x0aof two lines \| text$'
mkdir "$odd.d"; : >"$odd.d/file"
log export runs/done --numpy -o "$odd.d"
exits 1 "export to such a folder, which is not empty"
one_line
log diff runs/stopped runs/done
prints "metrics last step: 7 | 12"
prints "metrics are the same, bit for bit"
"$program" tiny.lua --quiet --resume=runs/stopped --out=later >out 2>err
log diff runs/done later
exits 1 "diff with a run that went on elsewhere"
prints "metrics first step: 1 | 8"; prints "metrics are the same, bit for bit"
for option in --help --version; do
    if [ -w /dev/full ]; then
        "$build/lstmlog" $option >/dev/full 2>err; status=$?
        exits 1 "$option to a full disk"; says "cannot write to standard output: "; one_line
    fi
done

sed 's/if step == cfg.nan_at/if step == 2 then run:event(step, ("long"):rep(30), "") end &/' tiny.lua >kinds.lua
"$program" kinds.lua --quiet --out=kinds nan_at=5 >out 2>err
log ls kinds
matches '^kinds +diverged +'

# ---- tail -----------------------------------------------------------------------------------------------------------

log tail -n 3 runs/done
exits 0 "tail"
[ "$(awk '{ print $1 }' out | tr '\n' ' ')" = "step 10 11 12 " ]
result $? "  head and three rows"
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    script -qec "stty cols 62; '$build/lstmlog' tail runs/done" /dev/null </dev/null 2>err | tr -d '\r' >out
    [ "$(sed 1q out | tr -s ' ')" = " step loss smoothed_loss val_loss lr " ]
    result $? "  of as many columns as the terminal has room for"
else
    skip "  of as many columns as the terminal has room for" "no program 'script'"
fi
log tail --columns=loss,val_loss runs/done/log.h5
[ "$(sed 1q out | tr -s ' ')" = " step loss val_loss " ]
result $? "  of the columns asked for"
log tail --columns=loss,val_los,lr runs/done
exits 1 "  one of which is not there"
says "runs/done has no metric 'val_los'; lstmlog show lists them"
run nothing steps=0
log tail runs/nothing
exits 1 "tail of a run without steps"
says "runs/nothing has no metrics"
log verify runs/nothing
exits 0 "  which is sound"
run live pause=0.1 steps=30 checkpoint_every=5 log.commit_seconds=0.3 &
runner=$!
i=0
until [ -e runs/live/log.h5 ] || [ $i -gt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
log ls runs/live
matches '^runs/live +running '
log recover runs/live
exits 1 "recover of a run that goes on"
says "is being written"
log tail -f -n 100 runs/live
exits 0 "tail -f ends with the run"
wait $runner
awk '$1 != "step" { print $1 }' out >steps
i=1
while [ $i -le 30 ]; do
    echo $i
    i=$((i + 1))
done | cmp -s - steps
result $? "  and has printed each step once"
grep '^ *step' out | tail -n 1 | grep -q ' late *$'
result $? "  and a head with the column that came later"
log ls runs/live
matches '^runs/live +done +30 '

# ---- export ---------------------------------------------------------------------------------------------------------

log export runs/done --csv
exits 0 "export --csv"
cut -d, -f1-9 out >exported
cut -d, -f1-9 runs/done/metrics.csv | cmp -s - exported
result $? "  the same numbers as metrics.csv"
log export runs/done --csv=activations/h -o csv
exits 0 "export --csv of a series"
[ "$(sed 1q csv/activations-h.csv)" = record,step,layer,time,batch,unit,value ] &&
    [ "$(wc -l <csv/activations-h.csv)" -eq 1441 ]
result $? "  a line for each element"
log export runs/done --csv=gradients/norm
prints "0,3,lstm.weight_ih_l0,"
log export runs/done --csv=activations/x
exits 1 "export of a series that is not there"
says "has no series 'activations/x'"
log export runs/done "--csv=activations
/x"
one_line
log export runs/done --numpy -o numpy
exits 0 "export --numpy"
log export runs/done --numpy -o numpy
exits 1 "export into a folder that is not empty"
one_line
log export runs/done --source -o source
exits 0 "export --source"; cmp source/*-tiny.lua tiny.lua; result $? "  is the script that ran"
log export runs/done --source
exits 2 "  needs a folder"; says "-o DIR expected"
log export runs/done --lstmvis --row=1 -o vis
exits 0 "export --lstmvis"
grep -q '^␣ ' vis/words.dict && ! grep -qvE '^[^ ]+ [0-9]+$' vis/words.dict
result $? "  a dictionary of words without blanks"
mkdir alone && cp runs/done/log.h5 alone
log export alone/log.h5 --lstmvis --row=1 -o vis1
# HDF5 writes the time of day into its headers: a few bytes may differ, but not the 360 states' 1,440.
cmp -s vis/words.dict vis1/words.dict && [ "$(wc -c <vis/h.h5)" -eq "$(wc -c <vis1/h.h5)" ] &&
    [ "$(cmp -l vis/h.h5 vis1/h.h5 | wc -l)" -le 100 ]
result $? "  the log alone will do"
"$build/lstmrun" ids.lua --quiet --out=runs/ids activations.every=1 >out 2>err
log export runs/ids --lstmvis -o vis6
exits 0 "export of a run of numbers without a text"
[ "$(tr '\n' , <vis6/words.dict)" = "0 0,1 1,2 2,3 3," ]
result $? "  whose words are the numbers"
log export runs/done --lstmvis --row=2 -o vis2
exits 1 "export of a row that was not logged"
log export runs/stopped --lstmvis -o vis3
exits 1 "export of activations that were not logged"
says "activations.every=1"
log export runs/same/again --lstmvis --steps=1:8 -o vis4
exits 0 "export of chosen steps"
matches '^vis4/lstm.yml$'
if [ "$python" = none ]; then
    no_python="no Python with h5py and numpy"
    skip "what was exported, read by Python" "$no_python"
    skip "logs with wrong columns" "$no_python"
    skip "a log in the middle of a commit" "$no_python"
else
    "$python" "$here/check_lstmlog.py" exports runs/done numpy vis csv >out 2>err
    result $? "what was exported, read by Python"
    cp runs/done/log.h5 bad/back.h5
    for bad in short long huge vast unnamed stepless; do cp runs/done/log.h5 bad/$bad.h5; done
    "$python" "$here/check_lstmlog.py" spoil bad/back.h5 bad/short.h5 bad/long.h5 bad/huge.h5 bad/vast.h5 \
        bad/unnamed.h5 bad/stepless.h5
    log verify bad/back.h5
    says "goes back from"
    log verify bad/short.h5
    says "/metrics/loss has 11 rows, /metrics/step has 12"
    log verify bad/long.h5
    says "/metrics/loss has 35184372088832 rows, /metrics/step has 12"
    log verify bad/huge.h5
    says "bad/huge.h5 is damaged: /metrics/step claims 2199023255552 rows in "
    log verify bad/vast.h5
    says "bad/vast.h5 is damaged: /activations/vast claims 12 rows in 0 bytes"
    log verify bad/unnamed.h5
    exits 1 "verify of a log that lacks a scale"; says "bad/unnamed.h5: /activations/i has a dimension without a name"
    log verify bad/stepless.h5
    exits 1 "verify of a log that lacks the steps of a group"; says "bad/stepless.h5 lacks /activations/step"
    for bad in long huge vast; do
        for form in "--numpy -o bad/$bad" --csv=activations/h --csv; do
            # shellcheck disable=SC2086 # limits: such an export would neither end nor fit on the disk
            (ulimit -t 20; ulimit -f 20000; exec "$build/lstmlog" export bad/$bad.h5 $form) >out 2>err; status=$?
            exits 1 "export of bad/$bad.h5 $form"
            one_line; says "bad/$bad.h5 is damaged: "
        done
        log tail bad/$bad.h5
        exits 1 "tail of bad/$bad.h5"; says "bad/$bad.h5 is damaged: "
    done
    cp -R runs/done bad/version
    "$python" "$here/check_lstmlog.py" version bad/version/log.h5
    for words in "ls bad/version" "show bad/version" "tail bad/version" "verify bad/version/log.h5" \
        "recover bad/version" "diff runs/done bad/version" "export bad/version --csv"; do
        # shellcheck disable=SC2086
        log $words
        exits 1 "a log of another version: lstmlog $words"
        one_line; says "bad/version/log.h5 has format_version 99, this program knows 1: use the lstmrun that wrote it"
    done
    sha256sum bad/version/* >sums
    "$build/lstmrun" tiny.lua --quiet --resume=bad/version steps=20 >out 2>err; status=$?
    exits 1 "  --resume"
    says "bad/version/log.h5 has format_version 99, this program knows 1"
    sha256sum bad/version/* | cmp -s - sums; result $? "  nothing in the run has changed"
    cp -R runs/done runs/interrupted
    "$python" "$here/check_lstmlog.py" interrupt runs/interrupted/log.h5
    log ls runs/interrupted
    matches '^runs/interrupted +done +12 '
    log verify runs/interrupted
    exits 1 "verify of a log in the middle of a commit"
    says "lstmlog recover runs/interrupted/log.h5"
    log diff runs/interrupted runs/done
    exits 0 "  it is read as of that commit"
    log recover runs/interrupted
    prints "an unfinished commit was completed"
    log verify runs/interrupted
    exits 0 "  and sound when recovered"
    cmp -s runs/interrupted/log.h5 runs/done/log.h5
    result $? "  as it was"
fi

# ---- the command line -----------------------------------------------------------------------------------------------

log --help
exits 0 "--help"
prints "verify RUN|FILE..."
log --version
matches '^lstmlog [0-9]+\.[0-9]+\.[0-9]+$'
for words in "" nothing show "show a b" "ls --nothing" "tail -n x a" "export a" "export a --csv --numpy" \
    "export a --numpy" "tail -n 1 -n 2 a" "export a --csv --csv=activations/h" "ls --json --json" "show --json a"; do
    # shellcheck disable=SC2086
    log $words
    exits 2 "usage: lstmlog $words"
done
for words in "--csv --row=1" "--csv --steps=1:2" "--csv=activations/h --steps=1:2" "--numpy --row=1 -o form" \
    "--source --row=1 -o form" "--steps=1:2 --source -o form"; do
    # shellcheck disable=SC2086
    log export runs/done $words
    exits 2 "no option is ignored: export $words"
    one_line; says "this export has no option --"; [ ! -e form ]; result $? "  nothing is made"
done
"$build/lstmlog" show runs/done >/dev/full 2>err
[ $? -eq 1 ] && grep -q "cannot write standard output" err
result $? "a full disk below standard output"

done_testing
