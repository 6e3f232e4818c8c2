-- SPDX-License-Identifier: MIT
--
-- Runs from the inside: what run:log and its neighbours take and refuse, what is written, what is restored. How a
-- whole program stops and resumes is in tests/host.sh.

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local experiment = require "lstm.experiment"
local lstm = require "lstm"
local run = require "lstm.run"
local tap = require "tap"

local sys = core.sys
local directory = os.tmpname()
os.remove(directory)
assert(sys.make_directory(directory))

local text = assert(lstm.corpus { text = ("to be or not to be, that is the question. "):rep(40), split = { 0.9, 0.1 } })
local description = experiment {
  name = "test", run = function() end, options = { { "hidden", 6 }, { "rate", 0.5 } }, metrics = { "late" },
}

local function new_run(fields)
  local host = { runs = directory, program = "lstmrun", script = "run.lua", command_line = "", progress = "quiet" }
  for key, value in pairs(fields or {}) do host[key] = value end
  return run.new { description = description, cfg = description.options:defaults(), host = host, saved = host.saved }
end

local function new_trainer()
  local model = lstm.model { vocab = text.vocab, hidden = 6, seed = 3 }
  return model:trainer { batch = 2, seq = 5, lr = 0.01 }, model
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

local function resumed(from)
  local found = checkpoint.locate(from, directory)
  local saved = checkpoint.read(found)
  saved.directory, saved.in_place = found.directory, found.in_place
  return saved
end

-- ---- a run of four steps ------------------------------------------------------------------------------------------

local fit, model = new_trainer()
local this = new_run()
local seen, due = {}, {}
for step in this:steps(4, fit, text) do
  seen[#seen + 1] = step
  if this:every(3) then due[#due + 1] = step end
  tap.ok(not this:every(0), "every 0 steps: never")
  local loss, statistics = fit:step(text)
  this:log(step, loss, statistics)
  this:log(step, { mine = step * 1.5 })
  if step == 2 then
    this:log(step, { late = 7 })
    this:evaluate(step, 3.25)
    tap.fails(function() this:log(1, loss) end, { "run.lua:", "this is step 2, got 1" }, "a row of another step")
    tap.fails(function() this:log(step, "low") end, "'loss' must be a number, got string", "a loss that is no number")
    tap.fails(function() this:log(step, { 1.5 }) end, { "run.lua:", "names of metrics expected, got '1'" }, "a list")
    tap.fails(function() this:log(step, { seconds = 3 }) end,
      { "run.lua:", "run:log: 'seconds' is what the run measures itself; give the value another name" }, "our column")
    tap.fails(function() this.stat = 3 end, { "run.lua:", "set field 'stat' of a run", "goes into run.state" }, "no field")
    tap.fails(function() this.state = 3 end, { "run.lua:", "run.state must be a table, got number" }, "no number")
    tap.fails(function() this:log(step, { acc = {} }) end, "'acc' must be a number, got table", "a value that is none")
    local pair = lstm.tensor { 1, 2 }
    for _, dim in ipairs { { "x", { 1 } }, { "x", { 1, "2" } }, { "x", { "\xff", "a" } }, { "x" }, { { 1, 2 }, "x" } } do
      tap.fails(function() this:tensor(step, "mine/pair", pair, { dim }) end,
        "dimension 1: a name, or { name, list of 2 numbers or texts (UTF-8) } expected", "coordinates that are none")
    end
    tap.fails(function() this:log(step, 1, 5) end, { "run.lua:", "table of numbers expected, got number" }, "no table")
    tap.fails(function() this:every() end, { "run.lua:", "number of steps expected, got nil" }, "every nothing")
    tap.fails(function() this:sample(step) end, { "run.lua:", "a text expected, got nil" }, "a sample of nothing")
    tap.fails(function() this:evaluate(step, nil) end, "must be a number, got nil", "an evaluation of nothing")
    tap.fails(function() this:steps(3) end, "one loop", "a loop in the loop")
    for what, call in pairs {
      ["run.log: it takes a colon"] = function() this.log(step, { acc = 1 }) end,
      ["run.every: it takes a colon"] = function() this.every(3) end,
      ["run.print: it takes a colon"] = function() this.print "x" end,
      ["a loss or a table { name = number, ... } expected, got nil"] = function() this:log(step) end,
      ["'acc' must be a number, got boolean"] = function() this:log(step, { acc = true }) end,
      ["'loss' must be a number, got lstm.tensor"] = function() this:log(step, lstm.tensor { 1 }) end,
      ["number of steps expected, got 2.5"] = function() this:every(2.5) end,
      ["number of steps expected, got -1"] = function() this:every(-1) end,
      ["a text expected, got table"] = function() this:sample(step, { 1, 2 }) end,
      ["the event's kind, a word or two, expected, got nil"] = function() this:event(step, nil, "x") end,
    } do
      tap.fails(call, { "run.lua:", what }, "a wrong call: " .. what)
    end
    this:event(step, "mark")
  end
  this.state.sum = (this.state.sum or 0) + loss
  this.state.note = "é\n"
end
this:finish()
tap.is(table.concat(seen, " "), "1 2 3 4", "steps count from 1")
tap.is(table.concat(due, " "), "3 4", "every third step, and the last")

local lines = {}
for line in read(this.directory .. "/metrics.csv"):gmatch "[^\n]+" do lines[#lines + 1] = line end
tap.is(#lines, 5, "a line of metrics for each step")
tap.is(lines[1], "step,loss,smoothed_loss,val_loss,lr,grad_norm,clipped_norm,clipped_share,update_ratio,late,mine," ..
  "tokens_per_second,seconds", "columns of the first step, and those announced")
tap.ok(lines[3]:find "^2,[%d.]+,[%d.]+,3%.25,0%.01," ~= nil, "an evaluation is in its step's line")
for _, name in ipairs { "log.h5", checkpoint.latest, checkpoint.best } do
  tap.is(sys.kind(this.directory .. "/" .. name), "file", name .. " is there")
end

-- ---- after the loop -----------------------------------------------------------------------------------------------

local fit0 = new_trainer()
local after = new_run()
for step in after:steps(3, fit0, text) do
  after:log(step, fit0:step(text))
  after:evaluate(step, step)
end
after:log(3, { late = 0.5 })
after:evaluate(3, 0.25)
after:finish()
do
  local steps, last = {}, nil
  for line in read(after.directory .. "/metrics.csv"):gmatch "[^\n]+" do
    steps[#steps + 1], last = line:match "^[^,]*", line
  end
  tap.is(table.concat(steps, " "), "step 1 2 3", "what is logged after the loop gets no line of its own")
  tap.ok(last:find "^3,[%d.]+,[%d.]+,0%.25,.*,0%.5,[%d.e-]+,[%d.e-]+$" ~= nil, "it is in the last step's: " .. last)
  local best = resumed(after.directory .. "/" .. checkpoint.best).state
  tap.is(best.step .. " " .. best.best.value, "3 0.25", "an evaluation after the loop makes the best checkpoint")
  tap.is(resumed(after.directory).state.best.value, 0.25, "and the latest one knows")
end

-- ---- what a checkpoint restores -----------------------------------------------------------------------------------

local saved = resumed(this.directory)
tap.is(saved.experiment, "test", "a checkpoint knows its experiment")
tap.is(saved.config.hidden, 6, "its options")
tap.is(saved.state.step, 4, "its step")
tap.is(saved.state.best.value, 3.25, "and the best metric")

local fit2, model2 = new_trainer()
local again = new_run { saved = saved }
fit.lr = 0.002 -- not that of the checkpoint
local first
for step in again:steps(5, fit2, text) do
  first = first or step
  tap.is(again.state.sum, this.state.sum, "run.state is restored")
  tap.is(again.state.note, "é\n", "texts in it, too")
  local same = true
  for name, view in model:parameters() do same = same and view:equal(model2:parameter(name)) end
  tap.ok(same, "parameters are restored")
  tap.is(fit2.lr, 0.01, "the rate is restored")
  tap.is(fit2:stream_cursor().position, fit:stream_cursor().position, "the place in the text is restored")
  again:log(step, fit2:step(text))
end
again:finish()
tap.is(first, 5, "the loop goes on where it was")
tap.is(again.directory, this.directory, "in the same directory")

local fit3 = new_trainer()
fit3.lr = 0.2 -- asked for anew
local branch = new_run { saved = resumed(this.directory .. "/" .. checkpoint.best) }
for step in branch:steps(3, fit3, text) do
  tap.is(step, 3, "the best checkpoint is of step 2")
  tap.is(fit3.lr, 0.2, "a rate that was given anew stays")
  branch:log(step, fit3:step(text))
end
branch:finish()
tap.ok(branch.directory ~= this.directory, "it goes on in a directory of its own")

-- ---- a run of two trainers ----------------------------------------------------------------------------------------

do
  local function two(fields, last)
    local one = new_trainer()
    local other = lstm.model { vocab = text.vocab, hidden = 4, dropout = 0.2, seed = 9 }:trainer { batch = 1, seq = 7 }
    local its = new_run(fields)
    for step in its:steps(last, one, other, text) do
      other.lr = 0.1 / step
      its:log(step, one:step(text))
      its:log(step, { other_loss = other:step(text) })
    end
    its:finish()
    return its, one, other
  end
  local _, whole_one, whole_other = two({}, 6)
  local half = two({}, 3)
  local rest, rest_one, rest_other = two({ saved = resumed(half.directory) }, 6)
  tap.ok(rest_one:fingerprint() == whole_one:fingerprint() and rest_other:fingerprint() == whole_other:fingerprint(),
    "two trainers, stopped and resumed: the same parameters of both")
  local same = rest_other.lr == whole_other.lr and rest_other:stream_cursor().position == whole_other:stream_cursor().position
  for k, entry in ipairs(whole_other:checkpoint_tensors()) do
    same = same and entry[2]:equal(rest_other:checkpoint_tensors()[k][2])
  end
  tap.ok(same, "and all else of the second")
  local loaded = assert(lstm.load(rest.directory, { trainer = 2 }))
  same = loaded.config.hidden == 4 and assert(lstm.load(rest.directory)).config.hidden == 6
  for name, view in loaded:parameters() do same = same and view:equal(rest_other.model:parameter(name)) end
  tap.ok(same, "its model is loaded by its number")
  local none, reason = lstm.load(rest.directory, { trainer = 3 })
  tap.ok(none == nil and reason:find "no such trainer", "where there is one of it")
  tap.fails(function() lstm.load(rest.directory, { trainer = 0 }) end, "field 'trainer': positive integer expected, got 0", "0")
  tap.fails(function()
    for _ in new_run { saved = resumed(rest.directory) }:steps(7, new_trainer(), text) do end
  end, "run:steps is given 1 trainer, the checkpoint has 2", "another number of trainers than before")
end

-- ---- the ways out of a loop ---------------------------------------------------------------------------------------

local fit4 = new_trainer()
local left = new_run()
for step in left:steps(9, fit4, text) do
  if step == 3 then break end
  left:log(step, fit4:step(text))
end
left:finish()
tap.is(resumed(left.directory).state.step, 2, "a loop that is left before the step was done")

local fit5 = new_trainer()
local raised = new_run()
local ok, message = pcall(function()
  for step in raised:steps(9, fit5, text) do
    raised:log(step, fit5:step(text))
    if step == 2 then error "mine" end
  end
end)
tap.ok(not ok and message:find "mine", "an error in the loop comes through")
tap.ok(sys.kind(raised.directory .. "/" .. checkpoint.latest) == nil, "and leaves no checkpoint of half a step")
tap.is(select(2, read(raised.directory .. "/metrics.csv"):gsub("\n", "")), 3, "but the metrics")
tap.fails(function() raised:finish() end, "mine", "a script that catches it has not ended well")

local diverges = new_run()
local caught
tap.fails(function()
  for step in diverges:steps(4) do
    caught = not pcall(diverges.log, diverges, step, step == 2 and 0 / 0 or 1) or caught
    tap.ok(step <= 2, "no step after a run has ended")
  end
end, "loss became NaN at step 2", "the end of a run that a script catches")
tap.ok(caught, "it was caught")
tap.fails(function() diverges:evaluate(2, 1) end, "loss became NaN at step 2", "who goes on with it hears the same")
tap.is(tostring(select(2, pcall(require "lstm.fault".stop))), "the run has ended", "an end without a sentence")

local suspended = new_run()
for step in coroutine.wrap(function() for step in suspended:steps(9) do coroutine.yield(step) end end) do
  suspended:log(step, 1)
  if step == 3 then break end
end
suspended:finish()
tap.is(resumed(suspended.directory).state.step, 3, "a loop in a coroutine that nobody closes")

local spiky = new_run()
spiky.cfg.on_diverge = "continue"
for step in spiky:steps(4) do spiky:log(step, step == 2 and 0 / 0 or step) end
spiky:finish()
tap.is(resumed(spiky.directory).state.smoothed, 3.25, "a loss that was no number once does not spoil the smoothed one")

local overridden = new_run()
local overridden_fit = new_trainer()
for step in overridden:steps(3, overridden_fit, text) do
  overridden:log(step, overridden_fit:step(text))
  overridden:log(step, 100)
  overridden:log(step, { loss = step })
end
overridden:finish()
do
  local log <close> = assert(core.log.read(overridden.directory .. "/log.h5"))
  tap.is(table.concat(log:numbers "metrics/loss", " "), "1.0 2.0 3.0", "the last loss that a step was given counts")
  tap.is(table.concat(log:numbers "metrics/smoothed_loss", " "), "1.0 1.5 2.0", "  in the smoothed one, too")
  local sum = 0
  for _, speed in ipairs(log:numbers "metrics/tokens_per_second") do sum = sum + 2 * 5 / speed end
  tap.ok(sum >= log:numbers "metrics/seconds"[2], "  and its speed is that of the whole step")
end

local fit7, model7 = new_trainer()
local closed = new_run()
tap.fails(function()
  for step in closed:steps(2, fit7, text) do
    closed:log(step, fit7:step(text))
    model7:close()
  end
end, { "run.lua:", "the trainer that run:steps was given is closed, or its model" }, "a model that is closed in the loop")
local fit8 = new_trainer()
tap.fails(function()
  for _ in new_run():steps(2, fit8, text) do
    fit8:close()
    break
  end
end, "is closed", "a trainer that is closed, and the loop left")

local holds = new_run()
tap.fails(function()
  for _ in holds:steps(1) do holds.state.f = print end
end, { "run.state cannot be kept", "function" }, "a state that no file can hold")
tap.fails(function() new_run():log(1, 2.5) end, { "run.lua:", "no step yet" }, "a row before the loop")
tap.fails(function() new_run():every(3) end, "no step yet", "every before the loop")
tap.fails(function() new_run():steps(-1) end, { "run.lua:", "bad argument #1 to 'steps'" }, "fewer steps than none")
tap.fails(function() new_run():steps(2.5) end, "number of steps expected, got 2.5", "half a step")

-- What cannot be recorded of this group, in a loop with this body.
local function not_recorded(group, body, expected, what)
  local its, its_fit = new_run(), new_trainer()
  its.cfg[group].every = 1
  tap.fails(function()
    for step in its:steps(2, its_fit, text) do body(its, its_fit, step) end
  end, expected, what)
end
local function probes(its, its_fit, step)
  its:log(step, its_fit:step(text))
  its_fit:forward(text)
end
not_recorded("gradients", probes, "cannot record the gradients of step 1", "a forward in the place of what is to be recorded")
not_recorded("activations", probes, "cannot record the activations of step 1", "  activations, too")
not_recorded("gradients", function(its, its_fit, step) its:log(step, its_fit:forward(text)) end,
  { "cannot record the gradients of step 1", "it went forward only" }, "gradients of what did not go backward")
local other_fit, other_text = new_trainer(), lstm.corpus { text = "or not" }
tap.fails(function() new_run():steps(2, fit, fit.model:trainer { batch = 1, seq = 2 }) end,
  { "bad argument #3 to 'steps'", "second trainer of the same model" }, "two trainers of one model")
tap.fails(function() new_run():steps(2, text, fit, other_text) end, { "bad argument #4", "second text" }, "such a text")
tap.fails(function() new_run():steps(2, other_fit.model, fit, text) end, { "bad argument #2", "without its trainer" },
  "a model that would not be kept")
tap.fails(function() new_run():steps(2, {}) end, { "bad argument #2", "got table" }, "an object that no run knows")

-- What a run says, besides its progress, while its loop of n steps has this body.
local function told(n, kept, body)
  local its, lines = new_run(), {}
  for step in its:steps(n, table.unpack(kept)) do
    its.progress.say = function(_, line) lines[#lines + 1] = line end
    body(step)
  end
  its:finish()
  return table.concat(lines, "\n")
end

local unknown = told(3, {}, function() fit:step(text) end)
tap.ok(unknown:find "the loop trains with a trainer that run:steps was not given", "a trainer that is not given to the run")
tap.is(select(2, unknown:gsub("\n", "")), 0, "  is told of once")
local given = new_trainer()
for source, what in pairs { [text] = "text", [text:train { batch = 2, seq = 5 }] = "stream",
  [lstm.tasks.copy { symbols = 8, length = 1, delay = 2 }:train { batch = 2 }] = "stream" } do
  local its_fit = what == "text" and given or type(source) ~= "table" and new_trainer()
    or lstm.model { vocab = 10, hidden = 3 }:trainer { batch = 2, seq = 20 }
  tap.ok(told(3, { its_fit }, function() its_fit:step(source) end):find("takes its batches from a " .. what ..
    " that run:steps was not given", 1, true), "such a source: " .. what)
  tap.is(told(3, { its_fit, source }, function() its_fit:step(source) end), "", "  and one that is given")
end
local function draw() return { ids = { { 1, 2 } }, targets = { { 1, 2 } } } end
tap.is(told(2, { given }, function() given:step { next = draw } end), "", "an object of its own in every step")
local drawn = { next = draw }
tap.ok(told(2, { given }, function() given:step(drawn) end):find "object without cursor and seek", "one for all steps")
local held_out = text:val { batch = 2, seq = 5, order = "stream" }
tap.is(told(3, { given, text }, function()
  given:step(text)
  given:forward(held_out)
end), "", "a stream that nothing is trained on")
tap.ok(told(2, { given, text }, function()
  given:step(text)
  fit:step(text)
end):find "with another trainer than the one", "a second trainer")
for wrong, cursor in pairs { ["got number"] = 3, ["got nil"] = false, ["cannot be kept in a checkpoint"] = { f = print } } do
  local odd = { next = function() return { ids = { 1 }, targets = { 1 } } end, seek = function() end,
    cursor = function() return cursor or nil end }
  local its_fit = lstm.model { vocab = 3, hidden = 2 }:trainer { batch = 1, seq = 1 }
  tap.fails(function()
    for _ in new_run():steps(1, its_fit, odd) do its_fit:step(odd) end
  end, { "a stream's cursor: a table of numbers and strings expected", wrong }, "a cursor that no file can hold: " .. wrong)
end
for _, name in ipairs { "gradients/mine", "metrics/mine" } do
  tap.fails(function() new_run():announce { name = name, dims = {} } end,
    { "run.lua:", "field 'name': a group of the script's own expected, such as 'mine/mine', got " .. name }, "our " .. name)
  tap.fails(function()
    local its = new_run()
    for step in its:steps(1) do its:tensor(step, name, lstm.tensor { 1 }) end
  end, { "run.lua:", "this group is for what runs record themselves" }, "  as a tensor")
end
for count, wrong in pairs { [1] = lstm.tensor { { 1, 2 } }, [2] = lstm.tensor { 1, 2 } } do
  tap.fails(function()
    local its = new_run()
    for step in its:steps(1) do
      its:tensor(step, "mine/pair", count == 1 and lstm.tensor { 1, 2 } or lstm.tensor { { 1, 2 } })
      its:tensor(step, "mine/pair", wrong)
    end
  end, { "run.lua:", ("'mine/pair' has %d dimension"):format(count), ("this tensor %d"):format(3 - count) },
    "a tensor of other dimensions than those of the first")
end
for wrong, arguments in pairs {
  ["run:watch: a trainer expected, got lstm.corpus"] = { text, "probe" },
  ["run:watch: a name of letters, digits and _ expected for its group, got nil"] = { given },
  ["run:watch: a name of letters, digits and _ expected for its group, got 'a/b'"] = { given, "a/b" },
  ["run:watch: a name of letters, digits and _ expected for its group, got '..'"] = { given, ".." },
  ["run:watch: group 'activations' is for what runs record themselves"] = { given, "activations" },
  ["run:watch: a table of options expected, got number"] = { given, "probe", 3 },
  ["run:watch: unknown field 'off' (did you mean 'of'?)"] = { given, "probe", { off = { "f" } } },
  ["run:watch: field 'of' must name some of i,f,g,o,c,h,dh,dc,di,df,dg,do, got 'x'"] = { given, "probe", { of = { "x" } } },
  ["run:watch: field 'of': a list of some of i,f,g"] = { given, "probe", { of = "f" } },
  ["run:watch: field 'output': none, logits or probabilities expected, got 'x'"] = { given, "probe", { output = "x" } },
  ["run:watch: field 'rows': integer from 1 to 2 expected, got 3"] = { given, "probe", { rows = 3 } },
} do
  local its = new_run()
  tap.fails(function()
    for step in its:steps(1) do
      given:forward(text)
      its:watch(step, table.unpack(arguments, 1, 3))
    end
  end, { "run.lua:", wrong }, wrong)
end
tap.fails(function()
  for step in new_run():steps(1) do new_run():watch(step, new_trainer(), "probe") end
end, "no step yet", "run:watch before the loop")
for wrong, given_of in pairs { ["the trainer has nothing to show"] = { "h" }, ["there is no dh yet"] = { "dh" } } do
  local its, shy = new_run(), new_trainer()
  tap.fails(function()
    for step in its:steps(1) do
      if given_of[1] == "dh" then shy:forward(text) end
      its:watch(step, shy, "probe", { of = given_of })
    end
  end, { "run.lua:", "run:watch: " .. wrong }, "run:watch: " .. wrong)
end
local sizes = new_run()
tap.fails(function()
  for step in sizes:steps(1) do
    local longer = given.model:trainer { batch = 2, seq = 7 }
    longer:forward(text)
    sizes:watch(step, given, "probe")
    sizes:watch(step, longer, "probe")
  end
end, { "run.lua:", "records of group 'probe' have 1 layers, 5 time steps", "this one has 1 layers, 7 time steps" },
  "run:watch of another shape")
tap.is(told(3, { given }, function()
  given:step(text:train { batch = 2, seq = 5 })
  new_trainer():step(text)
end), "", "what serves one step alone need not be kept")

-- What a stream of the script's own, or an object that has a cursor, gives after a resume.
local function resumes(what, new_fit, new_source)
  local function losses_of(last, saved_run)
    local fit6, source = new_fit(), new_source()
    local its = new_run { saved = saved_run }
    local losses = {}
    for step in its:steps(9, fit6, source) do
      local loss, statistics = fit6:step(source)
      losses[#losses + 1] = ("%a"):format(loss)
      its:log(step, loss, statistics)
      if step == last then break end
    end
    its:finish()
    return losses, its.directory
  end
  local whole = losses_of(9)
  local part, place = losses_of(4)
  table.move(losses_of(9, resumed(place)), 1, 5, 5, part)
  tap.is(table.concat(part, " "), table.concat(whole, " "), what .. " goes on where it was: the same losses")
  return place
end

local of_stream = resumes("a shuffled stream", new_trainer, function()
  return text:stream { part = "train", batch = 2, seq = 5, order = "shuffled", seed = 4 }
end)
do
  local log <close> = assert(core.log.read(of_stream .. "/log.h5"))
  tap.is(log:attributes "environment".data_sha256, text.sha256, "the log names the text that a stream is of")
end
local task = lstm.tasks.adding { seq = 6 }
resumes("a task's stream", function()
  local adder = lstm.model { input = task.input, output = task.output, hidden = 5 }
  return adder:trainer { batch = 3, seq = task.seq, loss_at = task.loss_at }
end, function() return task:train { batch = 3, batches = 3 } end) -- of which a run of nine steps has three epochs
resumes("a list of sequences", function()
  return lstm.model { vocab = 4, hidden = 5 }:trainer { batch = 1, seq = 3 }
end, function()
  return lstm.sequences { batch = 1, shuffle = true, { ids = { 0, 1, 2 }, y = { 1, 2, 3 } }, { ids = { 3 }, y = { 1 } } }
end)

-- ---- tensors of the script's own ------------------------------------------------------------------------------------

local told = new_run()
told.cfg.log.on_error = "continue" -- a mistake is no broken disk
told:announce { name = "mine/pair", dims = { { "x", { -0.5, 2 } }, { "unit", 3 } }, type = "float", title = "a pair" }
told:announce { name = "mine/never", dims = { { "x", { -0.5, 2 } } } }
for _, case in ipairs {
  { "a text", "table expected, got string" },
  { {}, "field 'name': a name expected, got nil" },
  { { name = "a/b\0c" }, "field 'name': a name expected, got a/b\\x00c" },
  { { name = "a/b", dims = { { "a", 1 }, { "b", 1 }, { "c", 1 }, { "d", 1 }, { "e", 1 }, { "f", 1 } } }, "at most 5" },
  { { name = "a/b", dim = {} }, "field 'dim': unknown field (did you mean 'dims'?)" },
  { { name = "a/b", dims = 3 }, "field 'dims': table expected, got number" },
  { { name = "a/b", dims = { "x" } }, "field 'dims': dimension 1: { name, size } or" },
  { { name = "a/b", dims = { { "x", 2 }, { "y", 0 } } }, "field 'dims': dimension 2: " },
  { { name = "a/b", dims = { { "x", {} } } }, "field 'dims': dimension 1: " },
  { { name = "a/b", type = "half" }, "field 'type': float or double expected, got 'half'" },
  { { name = "mine/pair" }, "'mine/pair' was announced already" },
} do
  tap.fails(function() told:announce(case[1]) end, { "run.lua:", case[2] }, "announcing: " .. case[2])
end
local pair = lstm.tensor { { 1, 2, 3 }, { 4, 5, 6 }, type = "float" }
for step in told:steps(2) do
  told:log(step, { x = step })
  told:tensor(step, "mine/pair", pair)
  told:tensor(step, "mine/other", pair, { "x", "unit" })
  local zeros = lstm.tensor.zeros
  for what, call in pairs {
    ["'unit' of group 'mine' has size 3 already"] = function()
      told:announce { name = "mine/late", dims = { { "unit", 4 } } }
    end,
    ["leave them out here"] = function() told:tensor(step, "mine/pair", pair, { "x", "unit" }) end,
    ["holds float32, this tensor is float64"] = function() told:tensor(step, "mine/pair", zeros { 2, 3 }) end,
    ["size 3 in dimension 'x' is more than the 2"] = function()
      told:tensor(step, "mine/pair", zeros { 3, 3, type = "float" })
    end,
    ["'mine/a\\nb' cannot name a series"] = function() told:tensor(step, "mine/a\nb", pair) end,
    ["list of at most 2 dimensions"] = function() told:tensor(step, "mine/new", pair, { "a", "b", "c" }) end,
    ["a name expected, got nil"] = function() told:tensor(step, nil, pair) end,
  } do
    tap.fails(call, { "run.lua:", what }, "recording: " .. what)
  end
  if step == 2 then
    tap.fails(function() told:log(step, { ["a/b"] = 1 }) end, { "run.lua:", "'a/b' cannot be a name in the log" },
      "a metric's name")
  end
end
told:finish()
do
  local log <close> = assert(core.log.read(told.directory .. "/log.h5"))
  tap.is(#assert(log:numbers "mine/step"), 2, "what was no mistake is in the log")
end

-- A run without a trainer is a run, too.
local bare = new_run()
for step in bare:steps(3) do bare:log(step, { x = step }) end
bare:finish()
tap.ok(read(bare.directory .. "/metrics.csv"):find "\n3," ~= nil, "a run of plain numbers")

os.execute("rm -rf '" .. directory .. "'")
tap.done()
