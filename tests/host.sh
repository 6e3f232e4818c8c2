#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The program as a user meets it: options, exit statuses, signals, stopping and resuming. Speaks TAP.
# LSTMRUN names the program (default: ./lstmrun).
set -u
# Whoever runs the tests in the background has SIGINT ignored, and a shell cannot take that back; env can.
if [ -z "${HOST_SIGNALS-}" ] && env --default-signal true 2>/dev/null; then
    HOST_SIGNALS=default exec env --default-signal sh "$0" "$@"
fi
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA
export HOME="$work" XDG_CACHE_HOME="$work/cache" OMP_NUM_THREADS=2

silent() { [ ! -s err ]; result $? "  no complaint"; }

# ---- material -------------------------------------------------------------------------------------------------------

write_text >text

# Sends itself a signal at step stop_at, as many times as there are words in $SIGNALS.
cat >tiny.lua <<'END'
local lstm = require "lstm"
local function signal(cfg, step)
  if step ~= cfg.stop_at then return end
  for name in os.getenv "SIGNALS":gmatch "%S+" do
    io.popen("kill -" .. name .. " $PPID; sleep 0.2"):close() -- or two of them are one request
  end
end
local function train(cfg, run)
  local text = assert(lstm.corpus { path = cfg.data, split = { 0.8, 0.2 } })
  local model <close> = lstm.model {
    vocab = text.vocab, hidden = cfg.hidden, layers = 2, dropout = 0.3, seed = cfg.seed,
  }
  local fit <close> = model:trainer { batch = 4, seq = cfg.seq, clip_norm = 1, accumulate = 2 }
  run.state.sum = 0
  for step in run:steps(cfg.steps, model, fit, text) do
    fit.lr = cfg.lr / step
    local loss, statistics = fit:step(text)
    run.state.sum = run.state.sum + loss
    statistics.sum = run.state.sum
    run:log(step, loss, statistics)
    if run:every(3) then run:evaluate(step, fit:evaluate(text)) end
    if run:every(4) then run:sample(step, model:sample { prime = "line", length = 40, seed = step }) end
    signal(cfg, step)
  end
end
return lstm.experiment {
  help = "A tiny experiment.", run = train,
  options = { { "data", "text", "a file" }, { "hidden", 12, "units" }, { "seq", 10, "length" }, { "lr", 0.01, "rate" },
    { "steps", 12, "steps" }, { "stop_at", 0, "sends $SIGNALS" } },
  changeable = { "stop_at" },
  presets = { short = { steps = 3, hidden = 7 }, wide = { hidden = 20 } },
}
END

# Metrics without the last two columns, which tell of time.
same_metrics() {
    sed 's/,[^,]*,[^,]*$//' "$1" >metrics-1 && sed 's/,[^,]*,[^,]*$//' "$2" >metrics-2 && cmp metrics-1 metrics-2
}
reports() { grep -h -e '"event": "sample"' -e '"event": "evaluation"' "$@"; }

# ---- names with control characters ----------------------------------------------------------------------------------

odd=$(printf 'ru\033[31mns\nx')
run tiny.lua steps=2 --out="$odd"
exits 0 "a run in a directory with control characters in its name"; silent
! tr -d '\n' <out | LC_ALL=C grep -q '[[:cntrl:]]'
result $? "  no line shows them as they are"
matches '^run     ru\\x1b\[31mns\\nx \(log.h5'; matches '^done    2 steps .* in ru\\x1b\[31mns\\nx$'
cp "$odd/checkpoint-latest.h5" "$odd/checkpoint-previous.h5"; : >"$odd/checkpoint-latest.h5"
run tiny.lua steps=4 --resume="$odd"
exits 0 "  which goes on"
says 'going on from ru\x1b[31mns\nx/checkpoint-previous.h5, step 2'
rm -r "$odd"

# ---- options --------------------------------------------------------------------------------------------------------

run --help
exits 0 "--help"; prints "usage: lstmrun"; prints "--resume"; prints "gradients, "; prints "shakespeare"; silent
run --version
exits 0 "--version"; prints "lstmrun "; prints "hdf5"; prints "kernel"; silent
run
exits 2 "no script"; says "no script is given"
run tiny.lua --help
exits 0 "an experiment's --help"; prints "hidden=12"; prints "units"; prints "A tiny experiment."
prints "checkpoint_every=0"
run --help tiny.lua
exits 0 "the same before the script"; prints "hidden=12"
run tiny.lua hiden=3
exits 2 "an option mistyped"; says "tiny.lua has no option 'hiden' (did you mean 'hidden'?)"; says "tiny.lua --help"
run tiny.lua hidden=many
exits 2 "a value of the wrong type"; says "option 'hidden' must be an integer, got 'many'"
run tiny.lua hidden
exits 2 "a word too many"; says "unexpected argument 'hidden'"
run tiny.lua --resum
exits 2 "an unknown option"; says "unknown option '--resum' (did you mean '--resume'?)"
run --quite tiny.lua
exits 2 "an unknown option before the script"; says "did you mean '--quiet'"
run tiny.lua --steps=3
exits 2 "an option of the experiment's with dashes"; says "unknown option '--steps=3' (an option of the experiment has no dashes: steps=3)"
run tiny.lua --hidden 3
exits 2 "  or without its value"; says "has no dashes: hidden=VALUE"
run tiny.lua --seed
exits 2 "a value missing"; says "option '--seed' needs a value"
run tiny.lua --quiet=yes
exits 2 "a value too many"; says "takes no value"
run tiny.lua --threads=none
exits 2 "threads that are no number"; says "option '--threads' needs a whole number"
run tiny.lua --threads=5000
exits 2 "too many threads"; says "from 1 to 4096, got '5000'"
run tiny.lua --seed=x
exits 2 "a seed that is no number"; says "option 'seed' must be an integer, got 'x'"
run tiny.lua --print-config lr=1e-5 --seed=9
exits 0 "--print-config"; prints "lr=1e-05"; prints "seed=9"; prints "hidden=12"
run tiny.lua --print-config hidden=9 preset=short
exits 0 "a preset"; prints "steps=3"; prints "hidden=9"
run tiny.lua --print-config hidden=8 hidden=9
exits 2 "an option given twice"; says "lstmrun: option 'hidden' is given twice: 8 and 9"
run tiny.lua --out=a --out b
exits 2 "  or one of lstmrun's"; says "option '--out' is given twice: a and b"
run --out=a tiny.lua --out=b
exits 2 "  before and after the script"; says "option '--out' is given twice"
run tiny.lua --seed=3 seed=4
exits 2 "  or the seed in two ways"; says "option 'seed' is given twice: 4 and 3"
run tiny.lua --help
prints "preset"; prints "short, wide"
run tiny.lua log.on_error=ignore
exits 2 "a wrong way of taking errors of the log"; says "must be stop or continue, got 'ignore'"
run tiny.lua log.commit_records=-1
exits 2 "a number of records below none"; says "option 'log.commit_records' must be at least 0, got -1"
for option in checkpoint_every checkpoint_seconds keep_every; do
    run tiny.lua $option=-1 --out=never
    exits 2 "$option=-1"; says "option '$option' must be at least 0, got -1"
done
run tiny.lua "hid
en=3"
exits 2 "an option with a newline in it"; [ "$(wc -l <err)" -eq 1 ]; result $? "  one line"
run tiny.lua activations.every=1 activations.of=f,x
exits 2 "a state there is not"; says "option 'activations.of' must name some of i,f,g,o,c,h, got 'x'"
sed "s/lstm.model {/& cell = 'rnn',/" tiny.lua >plain.lua
run plain.lua saturation.every=2
exits 2 "saturation of no gates"
says "option 'saturation.every' counts the values of gates, which a network with cell=rnn does not have"
run tiny.lua watch.keepbits=23
exits 2 "more bits than there are"; says "option 'watch.keepbits' must be 0 to 22, got 23"
(ulimit -f 400; "$program" tiny.lua steps=80 activations.every=1 watch.rows=0 log.deflate=0 log.on_error=continue --out=nolog) \
    >out 2>err
status=$?
exits 0 "a log that cannot grow, and a run that goes on without"
says "cannot write nolog/log.h5: File too large; going on without logging"
[ -s nolog/checkpoint-latest.h5 ]; result $? "  its checkpoint is there"
(ulimit -f 400; "$program" tiny.lua steps=80 activations.every=1 watch.rows=0 log.deflate=0 --out=stopped) >out 2>err
status=$?
exits 1 "a log that cannot grow, and a run that stops"
says "cannot write stopped/log.h5: File too large. Training stopped"
cat >late.lua <<'END2'
local lstm = require "lstm"
return lstm.experiment { run = function(cfg, run)
  local fit = lstm.model { vocab = 3, hidden = 4 }:trainer { batch = 1, seq = 2 }
  for step in run:steps(9, fit) do
    run:log(step, fit:step { ids = { 0, 1 }, targets = { 1, 2 } })
    if step == 9 then run:tensor(step, "mine/large", lstm.tensor.normal { 500, 500 }) end
  end
end }
END2
(ulimit -f 400; "$program" late.lua log.commit_records=1 --out=late) >out 2>err
status=$?
exits 1 "a log that cannot take the last record"; says "Training stopped at step 9; the log is whole up to step "
run tiny.lua preset=shrt
exits 2 "an unknown preset"; says "has no preset 'shrt'; it has: short, wide"
run tiny.lua --dry-run
exits 0 "--dry-run"; prints "parameters"; prints "memory"; prints "time"; silent
matches '^disk +about [0-9.]+ KiB .metrics [0-9.]+ KiB, checkpoints [0-9.]+ KiB., of [0-9.]+ [GTP]iB free$'
# f and h of 2 layers, 5 time steps, 2 rows, 6 units; initial h and c; tokens; output; targets; losses, in double. 4 records
# of 4 bytes each. And dL/dc.
run tiny.lua --dry-run --json steps=8 seq=5 hidden=6 activations.every=2 activations.of=f,h watch.rows=2 \
    activations.output=logits gradients.every=4 gradients.full=true gradients.of=dc
symbols=$(grep -o . text | sort -u | wc -l); symbols=$((symbols + 1)) # and the end of a line
prints "\"record_bytes\": $((16 * (2 * 2 * 5 * 2 * 6 + 2 * 2 * 2 * 6 + 5 * 2 * (1 + symbols + 1 + 2)) + 8 * 2 * 5 * 2 * 6)),"
run tiny.lua --dry-run steps=8 activations.every=2 activations.of=y
exits 2 "--dry-run of options that do not fit"; says "option 'activations.of' must name some of"
run tiny.lua --dry-run steps=1000000000 activations.every=1
prints "MORE than the"
[ ! -e runs ]; result $? "  makes no run"
run tiny.lua --dry-run hidden=0
exits 1 "--dry-run of what cannot be"
says "tiny.lua:$(grep -n 'lstm.model {' tiny.lua | cut -d: -f1): bad argument #1 to 'model' (field 'hidden'"
sed "s/lstm.model {/& init = 'orthogonl',/" tiny.lua >scheme.lua
run scheme.lua --dry-run
exits 1 "--dry-run of a scheme there is not"
says "bad argument #1 to 'model' (field 'init': no scheme 'orthogonl', did you mean 'orthogonal'?)"
cat >looks.lua <<'END2'
local lstm = require "lstm"
return lstm.experiment { options = { { "hidden", 8, "units" } }, run = function(cfg, run)
  local model <close> = lstm.model { vocab = 3, hidden = cfg.hidden, init = "zeros" }
  local names = {}
  for name in model:parameters() do names[#names + 1] = name end
  assert(#names == 5 and model:parameter "head.weight":norm() == 0 and model.size > 0)
  local fit <close> = model:trainer { batch = 1, seq = 2 }
  fit.lr = 0.5
  assert(math.abs(fit:forward { ids = { 0, 1 }, targets = { 1, 2 } } - math.log(3)) < 1e-6 and fit.lr == 0.5)
  for step in run:steps(3, fit) do run:log(step, fit:step { ids = { 0, 1 }, targets = { 1, 2 } }) end
end }
END2
sed 's/for step in run:steps(3, fit) do/& if step == 2 then os.exit(0) end/' looks.lua >leaves.lua
run leaves.lua --quiet --out=leaves
exits 0 "os.exit in the loop"; [ -s leaves/checkpoint-latest.h5 ] && [ ! -e leaves/lock ] && [ ! -e leaves/log.h5.journal ]
result $? "  the run is over, with its checkpoint"
run looks.lua --dry-run --out=leaves
exits 1 "--dry-run in a directory that holds a run"; says "leaves holds a run already"
run looks.lua --dry-run --init-from=nothing.h5
exits 1 "--dry-run of what begins with a file that is not there"; says "cannot read nothing.h5: No such file"
sed 's/run:log(step/for k = 1, 300 do many[k .. ""] = k end run:log(step, many) &/; s/local names = {}/local names, many = {}, {}/' looks.lua >many.lua
run many.lua --quiet --out=many
exits 1 "too many numbers at once"; says "run:log: at most 250 numbers at once expected, got 300"
run looks.lua --dry-run
exits 0 "--dry-run of a script that looks at its network before the loop"; prints "parameters"; silent
run looks.lua --dry-run hidden=1000000
exits 1 "  which is too large to be made"; says "makes no network of "; says "wants its 'parameters' before the loop"
run tiny.lua --dry-run hidden=1000000
exits 0 "--dry-run of what is too large for any machine"; prints "GiB"; prints "MORE than"

# ---- scripts --------------------------------------------------------------------------------------------------------

run nosuch.lua
exits 1 "no such script"; says "there is no script 'nosuch.lua'"
run "$work"
exits 1 "a directory"; says "is a directory, not a script"
echo 'print(arg[0], arg[1], arg[2], select("#", ...), math.type(1))' >plain.lua
run plain.lua a --flag
exits 0 "a plain program"; prints "plain.lua	a	--flag	2	integer"; silent
run plain.lua key=value
prints "key=value"
run --dry-run plain.lua
exits 2 "lstmrun's options for a plain program"; says "plain.lua is a program, not an experiment: '--dry-run' means"
run --out=there plain.lua
exits 2 "  any of them"; says "'--out' means nothing to it"
run key=value plain.lua
exits 2 "  and what is before it"; says "'key=value' means nothing to it"
run --threads=1 --quiet plain.lua
exits 0 "  but those that do no harm"; silent
echo 'print "hello"' >hello.lua
run hello.lua --resume
exits 2 "an argument for a program that reads none"; prints "hello"
says "lstmrun: hello.lua is a program that does not read its arguments: '--resume' means nothing to it"
echo 'print("said: " .. arg[1])' >said.lua
echo 'require "said"' >says.lua
run says.lua --resume
exits 0 "  and one whose module does"; prints "said: --resume"; silent
printf 'local lstm = require "lstm"\nlocal e = lstm.experiment { run = function() end }\n' >forgotten.lua
run forgotten.lua stepz=5 --out=forgotten
exits 2 "an experiment that is not returned"
says "forgotten.lua:2: the experiment made here is not returned, so that nothing was run; write 'return lstm.experiment"
[ "$(wc -l <err)" -eq 1 ] && [ ! -e forgotten ]; result $? "  one line, no run"
printf 'local lstm = require "lstm"\nlstm.sweep { experiment = function() end, params = { a = { 1 } } }\n' >forgotten.lua
run forgotten.lua --list
exits 2 "a sweep that is not returned"; says "forgotten.lua:2: the sweep made here is not returned"
printf 'local e = require "lstm".experiment { run = function() end }\nreturn e\n' >later.lua
run later.lua --help
exits 0 "an experiment that is returned later"; prints "usage: lstmrun later.lua"; silent
echo 'local cfg = require "lstm".arguments({ { "rate", 0.5, "of it" }, { "names", { "a" } } }, ...)
print(cfg.rate * 2, #cfg.names)' >options.lua
run options.lua rate=4 names=b,c
exits 0 "a plain program with options"; prints "8.0	2"; silent
run options.lua --help
exits 0 "  its --help"; prints "usage: lstmrun options.lua [key=value ...]"; prints "rate=0.5  of it"; silent
run options.lua rte=1
exits 2 "  an option mistyped"; says "lstmrun: options.lua: no option 'rte' (did you mean 'rate'?)"
says ". See: lstmrun options.lua --help"
run options.lua rate=1 names=c rate=2
exits 2 "  an option given twice"; says "options.lua: option 'rate' is given twice: 1 and 2"
echo 'require "lstm".arguments({}, 3)' >no-word.lua
run no-word.lua
exits 1 "  what is no word"; says "no-word.lua:1: bad argument #2 to 'arguments' (string expected, got 3)"
run options.lua names="a,$(printf 'b\377')"
exits 2 "  a value that is not UTF-8"; says "options.lua: option 'names' must be a list of values, each UTF-8 text, got 'a,b"
run options.lua rate=big
exits 2 "  a value of the wrong type"; says "options.lua: option 'rate' must be a number, got 'big'"
run options.lua 4
exits 2 "  a word too many"; says "options.lua: unexpected argument '4'"
echo 'io.popen("kill -INT $PPID"):close() local stop = os.time() + 20 while os.time() < stop do end' >loop.lua
run loop.lua
exits 130 "Ctrl-C in a plain program"; says "interrupted"
sed 's/-INT/-TERM/' loop.lua >term.lua
run term.lua
[ "$status" -eq 143 ]; result $? "SIGTERM in a plain program: as in any other"
sed 's/run.state.sum = 0/io.popen("kill -TERM $PPID"):close() local stop = os.time() + 20 while os.time() < stop do end/' tiny.lua >early.lua
run early.lua
exits 75 "SIGTERM before an experiment's first step"; says "interrupted"
echo 'os.exit(7)' >seven.lua
run seven.lua
exits 7 "a program's own exit status"
echo 'local x = = 1' >syntax.lua
run syntax.lua
exits 1 "a syntax error"; says "syntax.lua:1:"
printf 'local lstm = require "lstm"\n\nlstm.model { vocab = 5, hidden = -4 }\n' >mine.lua
run mine.lua
exits 1 "a wrong argument"; says "mine.lua:3: bad argument #1 to 'model' (field 'hidden'"
! grep -q traceback err; result $? "  without a traceback"
run --traceback mine.lua
says "stack traceback"
cat >typo.lua <<'END'
local lstm = require "lstm"
return lstm.experiment { run = function(cfg) print(cfg.hiden) end, options = { { "hidden", 1 } } }
END
run typo.lua
exits 1 "an option that the script misspells"; says "typo.lua:2: there is no option 'hiden' (did you mean 'hidden'?)"
# calls STATEMENT: runs it after a model and a trainer have been made.
calls() {
    printf 'local lstm = require "lstm"
local model = lstm.model { vocab = 3, hidden = 3 }
local fit = model:trainer { batch = 1, seq = 2 }
%s\n' "$1" >calls.lua
    run calls.lua
}
calls 'fit:stpe { }'
exits 1 "a method mistyped"; says "calls.lua:4: a lstm.trainer has no field or method 'stpe', did you mean 'step'?"
calls 'lstm.tasks.adding { seq = 3 }:trian { batch = 1 }'
exits 1 "  of an object that is a table"; says "(method 'trian') (did you mean 'train'?)"
calls 'lstm.modle { }'
exits 1 "  a function"; says "(field 'modle') (did you mean 'model'?)"
calls 'lstm.shedule.cosine(1, 2)'
exits 1 "  a module not yet loaded"; says "(field 'shedule') (did you mean 'schedule'?)"
calls 'lstm.schedule.cosine(1, 2, 3) lstm.schedule.cosin(1, 2, 3)'
exits 1 "  a module's function"; says "(field 'cosin') (did you mean 'cosine'?)"
calls 'return lstm.experiment { run = function(_, run) for step in run:steps(1, fit) do run:lgo(step, {}) end end }'
exits 1 "  a run's"; says "(method 'lgo') (did you mean 'log'?)"
calls 'model:step { }'
exits 1 "another object's method"; says "has no field or method 'step'"
! grep -q "did you mean" err; result $? "  for which nothing else is suggested"
calls 'fit:foo { }'
exits 1 "a method that is near to none"; says "has no field or method 'foo'"
! grep -q "did you mean" err; result $? "  for which nothing is suggested"
calls 'model:close() return lstm.experiment { run = function(_, run) for _ in run:steps(3, fit) do end end }'
exits 1 "a trainer whose model was closed, for run:steps"; says "calls.lua:4: attempt to call "; says "closed"
[ "$(wc -l <err)" -eq 1 ]; result $? "  one line"
calls 'error { code = 3 }'
exits 1 "an error that is no text"; says "calls.lua:4: an error value of type table was raised"
calls 'error(setmetatable({}, { __tostring = function() return "my own" end }))'
exits 1 "  and one that tells itself"; says "lstmrun: my own"
calls 'error()'
exits 1 "  and none"; says "calls.lua:4: an error value of type nil was raised"
printf 'io.open("binary.lua", "wb"):write(string.dump(function() print "loaded" end)):close()' >dump.lua
run dump.lua
run binary.lua
exits 1 "precompiled Lua"; says "attempt to load a binary chunk"
echo 'require "binary"' >requires.lua
run requires.lua
exits 1 "precompiled Lua by require"; says "attempt to load a binary chunk"
echo 'return require("experiments.shakespeare")' >borrowed.lua
run borrowed.lua --help
exits 0 "an experiment that came with lstmrun, by require"; prints "hidden="
mkdir -p beside/parts
cat >beside/main.lua <<'END'
local util, part = require "util", require "parts.one"
local lstm = require "lstm"
return lstm.experiment { options = { { "steps", util.steps + part.steps, "steps" } }, run = function(cfg, run)
  for step in run:steps(cfg.steps) do run:log(step, util.loss(step)) end
end }
END
echo 'return { steps = 2, loss = function(step) return 1 / step end }' >beside/util.lua
echo 'return { steps = 1 }' >beside/parts/one.lua
echo 'return { steps = 70 }' >util.lua
run beside/main.lua --quiet --out=beside-run
exits 0 "modules beside the script"; silent
[ "$(wc -l <beside-run/metrics.csv)" -eq 4 ]; result $? "  rather than in the working directory"
mkdir -p far && (cd far && "$program" replay ../beside-run >../out 2>../err)
status=$?
exits 0 "  for a replay, too, from elsewhere"; prints "equal"
echo 'return require "lstm".sweep { experiment = "main", params = { steps = { 1, 2 } }, metric = "loss" }' >beside/many.lua
run beside/many.lua --quiet --out=beside-sweep
exits 0 "  and for the trials of a sweep, and the experiment that it names"
rm util.lua
echo 'require "utli"' >beside/typo.lua
run beside/typo.lua
exits 1 "a module that is not there"
says "beside/typo.lua:1: module 'utli' not found, neither beside the script nor in package.path (did you mean 'util'?)"
[ "$(wc -l <err)" -eq 1 ]; result $? "  one line"
echo 'require "lstmm"' >typo-lstm.lua
run typo-lstm.lua
exits 1 "  nor is this"; says "module 'lstmm' not found"; says "(did you mean 'lstm'?)"
echo 'return { = }' >beside/broken.lua
echo 'require "broken"' >beside/breaks.lua
run beside/breaks.lua
exits 1 "a module with a syntax error"; says "beside/broken.lua:1: unexpected symbol near '='"
[ "$(wc -l <err)" -eq 1 ]; result $? "  one line"
run shakespeare --help
exits 0 "and by its name"; prints "hidden="
run gradients
exits 0 "experiments/gradients.lua"; silent
[ "$(wc -l <out)" -eq 11 ]; result $? "  a line for each cell and length"
awk '$1 == "rnn" && $2 == 100 { rnn = $3 } $1 == "lstm" && $2 == 100 { exit !(rnn > 0 && $3 > 1e6 * rnn) }' out
result $? "  an LSTM remembers longer"

# ---- a run ----------------------------------------------------------------------------------------------------------

run tiny.lua --json --out=whole
exits 0 "a run"; prints '"event": "start"'; prints '"status": "done"'; silent
cp out whole.json
for file in log.h5 metrics.csv checkpoint-latest.h5 checkpoint-best.h5; do
    [ -s whole/$file ]; result $? "  writes $file"
done
[ "$(cat whole/metrics.csv | wc -l)" -eq 13 ]; result $? "  a line of metrics for each step"
head -1 whole/metrics.csv | grep -q '^step,loss,.*val_loss,.*,sum,tokens_per_second,seconds$'
result $? "  with their names"
run tiny.lua
exits 0 "a run with lines of progress"; prints "step 12/12"; prints "bit/char"; prints "done    12 steps"
prints "runs/tiny/20"
prints "text    text, "; prints "model   lstm "; silent
run tiny.lua
[ "$(ls runs/tiny | wc -l)" -eq 2 ]; result $? "  every run has a directory of its own"
run tiny.lua --quiet --out=quiet
exits 0 "--quiet"; [ ! -s out ]; result $? "  says nothing"
run tiny.lua --quiet --out=threads --threads=1
same_checkpoint whole/checkpoint-latest.h5 threads/checkpoint-latest.h5; result $? "one thread or two: the same bits"
run tiny.lua --quiet --out=seed2 --seed=2
! same_checkpoint whole/checkpoint-latest.h5 seed2/checkpoint-latest.h5 2>/dev/null; result $? "another seed: others"
run tiny.lua --out=whole
exits 1 "a directory that has a run"; says "whole holds a run already; go on with it by --resume=whole"
cat >brief.lua <<'END'
local lstm = require "lstm"
return lstm.experiment { options = { { "fault", "" } }, run = function(cfg, run)
  local model <close> = lstm.model { input = 1, output = 1, hidden = 4, init = function() return cfg.fault == "nan" and 0 / 0 or 0.1 end }
  local fit <close> = model:trainer { batch = 1, seq = 2 }
  for step in run:steps(3, fit) do
    run:log(step, fit:step { x = { 1, 0 }, y = { 1, 0 } })
    if cfg.fault == "error" then error "mine" end
  end
end }
END
run brief.lua --out=brief fault=error --quiet
exits 1 "an error of the script's"; says "brief.lua:7: mine"
run brief.lua --out=brief --quiet
says "brief holds a run already; it left no checkpoint to go on from: remove it, or choose another --out"
run brief.lua --out=nans fault=nan --quiet
exits 3 "parameters that are not finite"; says "Nothing has been learnt yet: targets, or the parameters that init made"
run tiny.lua --out=/proc/none
exits 1 "a directory that cannot be made"; says "cannot make the run's directory: /proc/none"
mkdir elsewhere; (cd elsewhere && touch runs && "$program" ../tiny.lua data=../text >../out 2>../err)
status=$?
exits 1 "a file where runs should be"; says "cannot make the run's directory"; says "--out=DIR"
run tiny.lua data=nothing.txt
exits 1 "a text that is not there"; says "nothing.txt: No such file or directory"
echo short >short
run tiny.lua data=short --out=short-run
exits 1 "a text too short for a batch"; says "lstmrun: the train part of text 'short' has 4 symbols"
says "smaller batch or seq"
[ ! -e short-run ]; result $? "  makes no run"
run tiny.lua --init-from=whole/checkpoint-best.h5 --quiet --out=init
exits 0 "--init-from"
run tiny.lua --init-from=whole/checkpoint-best.h5 hidden=13 --quiet --out=init13
exits 1 "  into a model that is too large"; says "does not fit this model"
run tiny.lua --init-from=text --quiet --out=init-text
exits 1 "  from what is no checkpoint"; says "cannot begin with these parameters: text"

cat >looks.lua <<'END'
local lstm = require "lstm"
return lstm.experiment { options = { { "mode", "forward", "or evaluate, step" }, { "layers", 1 } }, run = function(cfg, run)
  local model <close> = lstm.model { input = 1, output = 1, hidden = 4, layers = cfg.layers }
  local fit <close> = model:trainer { batch = 1, seq = 3 }
  local batch = { x = { 1, 1, 0 }, y = { 1, 1, 0 } }
  for step in run:steps(3, fit) do run:log(step, (fit[cfg.mode](fit, batch))) end
end }
END
run looks.lua --quiet --out=looks activations.every=1 parameters.every=2 saturation.every=4
exits 0 "a loop that goes forward only"; says "saturation.every=4 records nothing in steps 1 to 3"
log show looks; prints "activations: 3 records"; prints "parameters: 1 record"
run looks.lua --quiet --out=looks-not mode=evaluate activations.every=2 parameters.every=2
exits 0 "a loop in which the trainer does nothing"
says "activations.every=2 recorded nothing: the trainer that run:steps was given did nothing in those steps"
log show looks-not; prints "parameters: 1 record"
run looks.lua --quiet --out=deep mode=step layers=300 activations.every=1 gradients.every=1 parameters.every=1
exits 0 "a record of 300 layers"
log show deep; prints "gradients: 3 records"; matches "dh_norm +float64 .record 3, layer 300, time 3"

run whole/log.h5
exits 1 "a log instead of a script"; says "lstmrun: whole/log.h5 is an HDF5 file"; says "'lstmlog show whole/log.h5'"
says "'lstmrun SCRIPT --resume=whole'"; says "'lstmrun replay whole'"
echo 'print("from a pipe", ...)' >piped.lua
status=0; cat piped.lua | "$program" /dev/stdin one >out 2>err || status=$?
exits 0 "a script from a pipe"; prints "from a pipe	one"
echo 'options = arg[1]' >reads.lua && echo 'dofile "reads.lua" print(options)' >main.lua
run main.lua lr=3
exits 0 "a program whose other file reads its arguments"; prints "lr=3"
cat >describes.lua <<'END'
local experiment = require "lstm".experiment { run = function() end, options = {} }
if arg[1] == "describe" then print "described" return end
return experiment
END
run describes.lua describe
exits 0 "an experiment that has something else to do"; prints "described"
cat >streams.lua <<'END'
local lstm = require "lstm"
return lstm.experiment { options = { { "more", false } }, changeable = { "more" }, run = function(cfg, run)
  local task = lstm.tasks.adding { seq = 4 }
  local model <close> = lstm.model { input = 2, output = 1, hidden = 3 }
  local fit <close> = model:trainer { batch = 2, seq = 4, loss_at = "last" }
  local data = task:train { batch = 2 }
  local more = { cfg.more and task:val { batch = 2 } or nil }
  for step in run:steps(3, fit, data, table.unpack(more)) do run:log(step, fit:step(data)) end
end }
END
run streams.lua --quiet --out=streams
run streams.lua --quiet --resume=streams more=true
exits 1 "a run that goes on with more streams"
says "cannot resume: run:steps is given 2 streams, the checkpoint has places of 1; give it those that it had"

run write prime="line " length=30
exits 0 "experiments/write.lua"; says "runs/tiny/20"; says "/checkpoint-best.h5, step "
[ "$(wc -c <out)" -eq 36 ] && grep -q '^line ' out; result $? "  writes prime and length, and nothing else"
cp out written
run write from=whole prime="line " length=30
cmp -s out written; result $? "  the same network and seed: the same text"
run write from=whole/checkpoint-latest.h5 texts=2 seed=5 precision=bf16
exits 0 "  by a checkpoint, in another precision"; says "whole/checkpoint-latest.h5, step 12, bf16"
"$program" write from=whole length=5 >/dev/full 2>err
[ $? -eq 1 ] && grep -qx "lstmrun: cannot write all of standard output; is a disk full?" err
result $? "  onto a full disk"
run write from=nowhere
exits 1 "  without one"; says "cannot load nowhere: No such file or directory"

# ---- stopping and resuming ------------------------------------------------------------------------------------------

for stop in 1 2 3 4 5 6 7 8 9 10 11; do
    rm -rf part
    SIGNALS=TERM run tiny.lua --json --out=part stop_at=$stop
    exits 75 "SIGTERM at step $stop"
    cp out part.json
    run tiny.lua --json --resume part stop_at=0
    exits 0 "  resumed"
    same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5 >out 2>err; result $? "  the same tensors"
    same_checkpoint whole/checkpoint-best.h5 part/checkpoint-best.h5 >out 2>err; result $? "  the same best tensors"
    same_metrics whole/metrics.csv part/metrics.csv >out 2>err; result $? "  the same metrics"
    "$program" tiny.lua --json --resume part >/dev/null 2>&1
done
rm -rf part
SIGNALS=TERM run tiny.lua --json --out=part stop_at=5
cp out part-1.json
SIGNALS=USR2 run tiny.lua --json --resume=part stop_at=9
exits 75 "resumed and stopped again, by SIGUSR2"
cp out part-2.json
run tiny.lua --json --resume=part/checkpoint-latest.h5 stop_at=0 --threads=1
exits 0 "  and again, with other threads"
reports whole.json >expected; reports part-1.json part-2.json out >got
[ -s expected ] && cmp expected got >out 2>err; result $? "  the same samples and evaluations"
same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5; result $? "  the same tensors"
same_metrics whole/metrics.csv part/metrics.csv; result $? "  the same metrics"

rm -rf part
SIGNALS=INT run tiny.lua --out=part stop_at=5
exits 130 "Ctrl-C"; says "stopped at step 5, checkpoint written. Go on with:"
says "$program tiny.lua --resume part"
command=$(sed -n 's/.*Go on with:  //p' err)
$command stop_at=0 --quiet >out 2>err
same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5
result $? "  and its line goes on: the same tensors"
SIGNALS=INT run tiny.lua --out=runs/lr=0.1 stop_at=5
says "$program tiny.lua --resume=runs/lr=0.1"
SIGNALS=INT run tiny.lua --out=latest stop_at=5
says "$program tiny.lua --resume ./latest"
rm -r latest
run tiny.lua --quiet --resume runs/lr=0.1 stop_at=0
exits 0 "a directory with = in its name"
rm -rf part runs/lr=0.1
SIGNALS="INT INT" run tiny.lua --out=part stop_at=5
exits 130 "Ctrl-C twice"; [ ! -e part/checkpoint-latest.h5 ]; result $? "  quits at once"
cat >slow.lua <<'END'
return require "lstm".experiment { options = {}, run = function(cfg, run)
  for step in run:steps(3) do
    io.popen "kill -INT $PPID":close()
    local from = os.time()
    repeat until os.time() > from + 2
  end
end }
END
if script -qec true /dev/null >/dev/null 2>&1 </dev/null; then
    script -qec "$program slow.lua --out=slow" /dev/null >out 2>&1 </dev/null; status=$?
    exits 130 "Ctrl-C in a long step, at a terminal"; prints "stopping after this step (again to quit at once)"
    prints "stopped at step 1, checkpoint written"
else
    skip "Ctrl-C in a long step, at a terminal" "no program that has a terminal here"
fi
rm -rf part
SIGNALS=KILL run tiny.lua --quiet --out=part stop_at=8 checkpoint_every=3
[ "$status" -eq 137 ]; result $? "SIGKILL"
run tiny.lua --quiet --resume part stop_at=0
exits 0 "  resumed from the checkpoint before"
same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5; result $? "  the same tensors"
same_metrics whole/metrics.csv part/metrics.csv; result $? "  the same metrics"

rm -rf timed
SIGNALS=KILL run tiny.lua --quiet --out=timed stop_at=8 checkpoint_seconds=0
run tiny.lua --out=timed --resume stop_at=0
prints "going on after step 7"

run tiny.lua --resume part
exits 0 "resuming what is done"; prints "all of its 12 steps are done"
run tiny.lua --resume part steps=5
exits 2 "to fewer steps than are done"; says "past steps=5"
run tiny.lua --resume part steps=14
exits 0 "to more steps"; prints "step 14/14"
run tiny.lua --resume part hidden=13
exits 2 "with another model"; says "option 'hidden' is 12 in this run and cannot change"; says "--init-from"
run tiny.lua --resume part hidden=12 --print-config
exits 0 "with the same"; prints "steps=14"
run tiny.lua --resume part data=tiny.lua
exits 2 "with another text"; says "option 'data' is text in this run"
run tiny.lua --resume nowhere
exits 1 "from nowhere"; says "nowhere: No such file"
mkdir empty
run tiny.lua --resume empty
exits 1 "from a directory without a run"; says "empty has no checkpoint"
mkdir begun && cp part/log.h5 begun
run tiny.lua --resume begun
exits 1 "from a run that was killed before its first checkpoint"; says "begun has no checkpoint"; says "nothing to resume"
mkdir -p runs-here/0 && cp -r part runs-here/first
run tiny.lua --resume runs-here
exits 1 "from a directory of runs"; says "it is a directory of runs; the one trained last is --resume=runs-here/first"
mkdir held && cp part/checkpoint-best.h5 held
cat >hold.lua <<'END'
local lock <close> = assert(require "lstm.core".lock.take "held/lock")
os.execute(arg[1] .. " tiny.lua --resume held")
END
run hold.lua "$program"
says "held is in use: process"; says "; when that has ended, it can be resumed"
run tiny.lua --resume held
exits 1 "from a run that has only its best checkpoint"; says "there is checkpoint-best.h5 still: --resume=held/checkpoint-best"
sed 's/help = "A tiny experiment."/name = "other"/' tiny.lua >other.lua
run other.lua --resume part
exits 1 "a run of another experiment"; says "is of experiment 'tiny', not of 'other'"
echo more >>text
run tiny.lua --resume part steps=20
exits 1 "after the text was changed"; says "is not the text that this run began with"
sed '$d' text >text.new && mv text.new text
rm -rf runs
run tiny.lua --resume
exits 1 "the latest when there is none"; says "no run with a checkpoint below runs/tiny"
SIGNALS=TERM run tiny.lua stop_at=6
run tiny.lua --resume stop_at=0
exits 0 "the latest run"; prints "going on after step 6"
run tiny.lua --resume=best
exits 0 "the best checkpoint"; prints "going on from runs/tiny/"
[ "$(ls runs/tiny | wc -l)" -eq 2 ]; result $? "  goes on in a new directory: nothing logged is lost"
[ "$(ls runs/tiny/*/checkpoint-best.h5 | wc -l)" -eq 2 ]; result $? "  which has the best checkpoint, too"

# ---- interrupted in a long call -------------------------------------------------------------------------------------

cat >long.lua <<'END'
local lstm = require "lstm"
local text = lstm.corpus { text = ("abcde"):rep(2000000), split = { 0.1, 0.9 } }
local model = lstm.model { vocab = text.vocab, hidden = 256 }
io.popen "{ sleep 0.5; kill -INT $PPID; } >/dev/null 2>&1 &":close()
if arg[1] == "sample" then model:sample { length = 20000000 } end -- minutes
model:evaluate(text, { batch = 1, seq = 1 }) -- minutes, too
END
for what in sample evaluate; do
    timeout -k 1 20 "$program" long.lua $what >out 2>err; status=$?
    exits 130 "interrupted in a long call of $what"; says "interrupted"
done

# ---- a damaged log ---------------------------------------------------------------------------------------------------

cp -r part torn
# Zeros where the first group's links are (a fractal heap's header, "FRHP"): libhdf5 1.10 crashes over some of these.
LC_ALL=C sed -i 's/FRHP/\x00\x00\x00\x00/' torn/log.h5
before=$(cksum <torn/log.h5)
run tiny.lua --resume torn
exits 1 "a damaged log"; says "torn/log.h5"; says "; to go on in a new directory, with a new log, add --out=DIR"
[ "$(cksum <torn/log.h5)" = "$before" ]; result $? "  is left as it is"
run replay torn --out=torn-again
exits 1 "and cannot be replayed"; says "torn/log.h5"
run tiny.lua --resume torn --out=mended
exits 0 "without it, a new directory"

# ---- the best checkpoint of a run that goes on elsewhere ------------------------------------------------------------

cat >early.lua <<'END'
local lstm = require "lstm"
return lstm.experiment {
  options = { { "data", "text" }, { "steps", 6 } },
  run = function(cfg, run)
    local text = assert(lstm.corpus { path = cfg.data, split = { 0.8, 0.2 } })
    local model <close> = lstm.model { vocab = text.vocab, hidden = 4 }
    local fit <close> = model:trainer { batch = 2, seq = 5 }
    for step in run:steps(cfg.steps, fit, text) do
      run:log(step, fit:step(text))
      run:evaluate(step, ({ 9, 3, 5, 4, 2, 8, 7, 7 })[step])
    end
  end,
}
END
run early.lua --quiet --out=early steps=4 keep_every=1 && run early.lua --resume=early --out=farther steps=4
cmp -s early/checkpoint-best.h5 farther/checkpoint-best.h5; result $? "resumed elsewhere: the best checkpoint comes along"
run early.lua --resume=early steps=6 && run early.lua --resume=early/checkpoint-000004.h5 --out=onward steps=4
cmp -s early/checkpoint-000002.h5 onward/checkpoint-best.h5; result $? "  or the kept one of its step"
rm early/checkpoint-000002.h5
run early.lua --resume=early/checkpoint-000004.h5 --out=without steps=4
[ "$status" -eq 0 ] && [ ! -e without/checkpoint-best.h5 ]; result $? "  but none from later than where it begins"

# ---- a script that chooses a language -------------------------------------------------------------------------------

cat >comma <<'END'
LC_NUMERIC
decimal_point ","
thousands_sep ""
grouping -1
END LC_NUMERIC
END
cat >ascii <<'END'
<code_set_name> ANSI_X3.4-1968
<comment_char> %
<escape_char> /
CHARMAP
<U0000>..<U007F> /x00
END CHARMAP
END
mkdir locales
localedef -c -f ./ascii -i ./comma locales/comma >/dev/null 2>&1
{ echo 'print(os.setlocale "comma" and "chosen", os.setlocale("comma", "numeric"), 0.5)'; cat tiny.lua; } >comma.lua
# glibc loses a few bytes over $LOCPATH, which is not ours to count.
in_comma() { LOCPATH="$work/locales" ASAN_OPTIONS="${ASAN_OPTIONS-}:detect_leaks=0" run comma.lua "$@"; }
in_comma --quiet --out=comma.run steps=6
if grep -q chosen out; then
    exits 0 "a script in whose language numbers have a comma"; matches '^chosen	nil	0\.5$'
    sed 1d comma.run/metrics.csv | grep -qE '^1,[0-9]+\.[0-9]+,'; result $? "  metrics.csv has points"
    in_comma --resume comma.run steps=8
    exits 0 "  and the run is resumed"; prints "step 8/8"
else
    skip "a script in whose language numbers have a comma" "localedef makes none"
fi

# ---- when things go wrong -------------------------------------------------------------------------------------------

rm -rf part
SIGNALS=TERM run tiny.lua --quiet --out=part stop_at=8 checkpoint_every=3
printf 'x' | dd of=part/checkpoint-latest.h5 bs=1 seek=4000 conv=notrunc 2>/dev/null
run tiny.lua --resume part stop_at=0
exits 0 "a damaged checkpoint"; says "going on from part/checkpoint-previous.h5, step 6"; says "checkpoint-latest.h5"
[ -e part/checkpoint-damaged.h5 ]; result $? "  the damaged file is set aside"
same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5; result $? "  the same tensors in the end"
same_metrics whole/metrics.csv part/metrics.csv; result $? "  the same metrics"
rm -rf part
SIGNALS=TERM run tiny.lua --quiet --out=part stop_at=8 checkpoint_every=3
: >part/checkpoint-latest.h5; : >part/checkpoint-previous.h5
run tiny.lua --resume part stop_at=0
exits 1 "both generations damaged"; says "cannot resume"; says "part/checkpoint-latest.h5"

rm -rf part
run tiny.lua --out=part lr=1e30 steps=50 checkpoint_every=1
exits 3 "a learning rate that is too high"; says "became"; says "seed 1"; says "Log flushed"
says "smaller learning rate"
head -c 8 part/checkpoint-latest.h5 | grep -q HDF; result $? "  leaves the checkpoints alone"
rm -rf part
run tiny.lua --json --out=part lr=1e30 steps=50
prints '"status": "diverged"'

run tiny.lua --quiet --out=closed >&-
exits 0 "standard output closed"
echo 'print(os.execute "exit 3")' >children.lua
if env --ignore-signal=CHLD true 2>/dev/null; then
    env --ignore-signal=CHLD "$program" children.lua >out 2>err; status=$?
    exits 0 "started by a program that ignores its children's ends"; prints "exit	3"
fi
{ "$program" tiny.lua --json --out=pipe 2>err; echo $? >status; } | true
status=$(cat status)
exits 0 "nobody reads standard output"
same_checkpoint whole/checkpoint-latest.h5 pipe/checkpoint-latest.h5 >out 2>&1; result $? "  the run went on to its end"

sed 's/run:every(3)/step == 7/; s/run:evaluate(step, fit:evaluate(text))/error "mine"/' tiny.lua >raises.lua
run raises.lua --quiet --out=raises checkpoint_every=5
exits 1 "an error in the script"; says "raises.lua:"; says "mine"
[ "$(cat raises/metrics.csv | wc -l)" -eq 8 ]; result $? "  the metrics are there"
sed 's/run:every(3)/step == 7/; s/run:evaluate(step, fit:evaluate(text))/break/' tiny.lua >breaks.lua
run breaks.lua --out=breaks
exits 0 "a loop that is left"; prints "done    7 steps"
run breaks.lua --out=again --resume=breaks/checkpoint-latest.h5
prints "step 7"

sed 's/run:every(3)/step == 7/; s/run:evaluate(step, fit:evaluate(text))/os.remove(run.directory .. "\/log.h5")/' \
    tiny.lua >removes.lua
run removes.lua --quiet --out=removed checkpoint_every=5
exits 1 "the log removed under the run"; says "removed/log.h5: No such file"; says "Training stopped at step 10"

# ---- where the text comes from --------------------------------------------------------------------------------------

# No network here: curl and wget are ours.
mkdir bin given
cat >bin/curl <<'END'
#!/bin/sh
while [ $# -gt 1 ]; do case $1 in -o) echo "not Shakespeare" >"$2" ;; esac; shift; done
END
printf '#!/bin/sh\nexit 4\n' >bin/wget
chmod +x bin/curl bin/wget
PATH=$work/bin:$PATH
hamlet=/usr/share/gocode/src/github.com/golang/leveldb/testdata/hamlet-act-1.txt
tiny_shakespeare="hidden=4 layers=1 steps=1 batch=2 seq=5 --quiet"
falls_back() { # what happens without the text, with this machine's packages
    if [ -e $hamlet ]; then
        exits 0 "$1"; says "Hamlet's first act instead"
    else
        exits 1 "$1"; says "no text to learn from"
    fi
    [ -z "$(find cache -type f 2>/dev/null)" ]; result $? "  leaves nothing in the cache"
}
run shakespeare $tiny_shakespeare
falls_back "a download that is something else"; says "SHA-256 differs"
printf '#!/bin/sh\nexit 6\n' >bin/curl
run shakespeare $tiny_shakespeare
falls_back "no network"; says "could not download https://"
cp text given/tinyshakespeare.txt
LSTMRUN_DATA=given run shakespeare ${tiny_shakespeare% --quiet}
exits 0 "\$LSTMRUN_DATA"; prints "text    tinyshakespeare.txt, 2,784 bytes"; silent
mkdir -p cache/lstmrun && cp text cache/lstmrun/hamlet-act-1.txt
run sweep_precision --list
exits 0 "a sweep"
[ "$(grep -c downloading err)" -eq 1 ]; result $? "  tries once, not for each of its trials"
mv cache/lstmrun/hamlet-act-1.txt cache/lstmrun/tinyshakespeare.txt
run shakespeare ${tiny_shakespeare% --quiet}
exits 0 "the cache"; prints "text    tinyshakespeare.txt, 2,784 bytes"; silent
run shakespeare ${tiny_shakespeare% --quiet} data=tiny.lua
exits 0 "data=FILE"; prints "text    tiny.lua, "
run shakespeare $tiny_shakespeare data=tiny.lua --out=narrower
run shakespeare --resume=narrower steps=2 precision=bf16
exits 0 "gone on with in another precision"; prints "bf16"

done_testing
