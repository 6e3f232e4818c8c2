-- SPDX-License-Identifier: MIT
--
-- run.lua - one run of an experiment: its directory, log, metrics, checkpoints, progress; how it stops and resumes.
--
--     for step in run:steps(cfg.steps, fit, text) do      -- 1 .. steps; restores, shows progress, checkpoints
--       run:log(step, fit:step(text))                     -- loss and statistics, or { any = number, ... }
--       if run:every(cfg.eval_every) then run:evaluate(step, fit:evaluate(text)) end
--       if run:every(cfg.sample_every) then run:sample(step, model:sample { ... }) end
--     end
--
-- run.state is a table for the script's own numbers, strings and tables of these: it is kept in checkpoints.
-- run.rank and run.ranks are 0 and 1, unless mpirun started several processes (ranks.lua).
-- run.directory is where the run's files are (from run:steps on); run:print(text) prints a line above the progress.
--
-- A signal ends the loop between two steps, by an error that closes what is <close> on its way out. A step is counted
-- when the loop comes round (or ends); everything a checkpoint holds is therefore the state between two steps.

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local describe = require "lstm.describe"
local directory = require "lstm.directory"
local diverge = require "lstm.diverge"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local logs = require "lstm.logs"
local progress = require "lstm.progress"
local ranks = require "lstm.ranks"
local saves = require "lstm.saves"
local script = require "lstm.script"
local series = require "lstm.series"
local storm = require "lstm.storm"
local watch = require "lstm.watch"

local quoted = format.shell_word
local sys = core.sys
local run = {}
local methods = fault.class {}
local meta = { __name = "lstm.run" }

-- run.state is the field `own`: what is put in its place is looked at, since a checkpoint holds nothing but a table there.
function meta.__index(self, key)
  if key == "state" then return rawget(self, "own") end
  return methods[key]
end

--- A field that a run does not have yet: our files give it some; a script that does means run.state, or one of its own.
function meta.__newindex(self, key, value)
  if key == "state" then
    if type(value) == "table" then return rawset(self, "own", value) end
    fault.mistake(("run.state must be a table, got %s"):format(type(value)))
  end
  if not fault.is_called_by_script() then return rawset(self, key, value) end
  fault.mistake(("attempt to set field '%s' of a run, which has none of this name; what a script keeps goes into " ..
    "run.state"):format(tostring(key)))
end

local smoothing = 0.02 -- weight of a new loss in the smoothed one
local of_updates = { grad_norm = true, clipped_norm = true, clipped_share = true, update_ratio = true }

-- What precision "auto" stands for depends on the machine; a run that goes on, or is repeated, keeps what it had.
local function settle_auto(saved, replay)
  local units = saved and saved.state.auto_units
  if replay then units = replay:auto_units() end
  core.auto_units(units)
end

--- settings: description (experiment.lua), cfg, host (the command line: command.lua), saved (checkpoint.read) or nil.
function run.new(settings)
  settle_auto(settings.saved, settings.host.replay)
  return setmetatable({
    description = settings.description, cfg = settings.cfg, host = settings.host, saved = settings.saved,
    config = settings.description.options:plain(settings.cfg), -- as it was before the script could change cfg
    replay = settings.host.replay, own = {}, others = {}, streams = {}, info = {}, rank = ranks.rank, ranks = ranks.size,
    step = 0, best = nil, smoothed = nil, rollbacks = 0, clipping = {}, series = {}, probes = {}, told = {},
    problem = false, source = false, -- rather than nil, which meta.__newindex would see filled at each step
  }, meta)
end

-- ---- what takes part ----------------------------------------------------------------------------------------------

-- Whether an object of the script's stands somewhere in its data, and can be put there.
local function has_cursor(object)
  return type(object) == "table" and object.next and object.cursor and object.seek
end

-- The text that a stream is of; nil when it was closed, which the stream does without.
local function open_text(stream)
  local text = stream.text
  return text and not text.closed and text or nil
end

-- A checkpoint has room for one text without a stream of its own.
local function refuse_second(i, first, object)
  if first and first ~= object then
    fault.mistake(("bad argument #%d to 'steps' (a second text: its place in it would not be restored; give a stream of it)")
      :format(i + 1))
  end
end

--- The trainers that the run keeps: the first, which is the one that is shown and recorded, and the others.
function methods:trainers()
  return table.move(self.others, 1, #self.others, 2, { self.fit })
end

-- A model is kept by way of its trainer.
local function refuse_alone(self, models)
  local kept = {}
  for _, fit in ipairs(self:trainers()) do kept[fit.model] = true end
  for i, model in pairs(models) do
    if not kept[model] then
      fault.mistake(("bad argument #%d to 'steps' (a model without its trainer: the run would not keep it)"):format(i + 1))
    end
  end
end

-- Two of one model would each write all of its parameters.
local function attach_trainer(self, i, fit)
  for _, other in ipairs(self:trainers()) do
    if other == fit then return end
    if other.model == fit.model then
      fault.mistake(("bad argument #%d to 'steps' (a second trainer of the same model)"):format(i + 1))
    end
  end
  if self.fit then self.others[#self.others + 1] = fit else self.fit = fit end
end

local function attach(self, ...)
  local text
  local models = {}
  for i = 1, select("#", ...) do
    local object = select(i, ...)
    local kind = sys.typename(object)
    if kind == "lstm.trainer" then
      attach_trainer(self, i, object)
    elseif kind == "lstm.corpus" then
      refuse_second(i, text, object)
      self.text, text = object, object
    elseif kind == "lstm.model" then models[i] = object
    elseif kind == "lstm.stream" or has_cursor(object) then
      self.streams[#self.streams + 1] = object
      self.text = self.text or kind == "lstm.stream" and open_text(object) or nil
    else
      fault.mistake(("bad argument #%d to 'steps' (trainer, text, stream or model expected, or an object with " ..
        "next, cursor and seek; got %s)"):format(i + 1, kind))
    end
  end
  refuse_alone(self, models)
end

local function tokens_per_step(self)
  return self.fit and self.fit.batch * self.fit.seq
end

function methods:vocabulary()
  return self.text and self.text.vocab or self.fit and self.fit.model.vocab
end

--- With precision "auto": whether it was chosen as where there are matrix units; otherwise nil.
function methods:auto_units()
  local fit = self.fit
  if fit and fit.model.config.precision == "auto" then return core.auto_units() end
end

--- Whether the run goes back when it diverges. A replay repeats what was logged instead.
function methods:rolls_back()
  return self.fit ~= nil and not self.replay and self:option "on_diverge" == "rollback"
end

--- The value of an option, which the experiment need not have defined itself.
function methods:option(name)
  return self.description.options:get(self.cfg, name)
end

-- ---- failures -----------------------------------------------------------------------------------------------------

local function close_logs(self)
  local logs, lock = self.logs, self.lock
  self.logs, self.lock = nil, nil
  local ok, reason = true, nil
  if logs then
    local flushed, problem = logs:flush()
    self.committed = logs:committed_step() -- what is closed does not tell
    ok, reason = logs:close()
    if ok and not flushed then ok, reason = flushed, problem end
  end
  if lock then lock:close() end
  return ok, reason
end

local function step_name(step)
  return "step " .. format.count(step)
end

-- Ends the run as fault.stop does, whatever the script catches: who goes on with a run that has ended, or returns as if
-- nothing had been, raises the same again.
local function end_by(self, message, status)
  local _, stop = pcall(fault.stop, message, status)
  self.finished, self.ended = true, stop
  error(stop, 0)
end

local function check_not_ended(self)
  if self.ended ~= nil then error(self.ended, 0) end
end

local function check_self(self, name)
  if getmetatable(self) ~= meta then fault.mistake(("run.%s: it takes a colon, run:%s(...)"):format(name, name)) end
end

-- Closed, a trainer has nothing more to tell of the step, and nothing for a checkpoint.
local function check_open(self)
  local closed = false
  for _, fit in ipairs(self:trainers()) do closed = closed or fit.closed end
  if closed then
    fault.mistake "the trainer that run:steps was given is closed, or its model; close it when the run needs it no more"
  end
end

local function check_step(self, step, name)
  check_self(self, name)
  check_not_ended(self)
  if not self.current then
    fault.mistake(("run:%s: there is no step yet; use it in the loop over run:steps"):format(name))
  end
  if step ~= self.current then
    fault.mistake(("run:%s: this is step %s, got %s"):format(name, tostring(self.current), tostring(step)))
  end
end

-- The disk is full, or worse: say what is safe.
local function broken(self, reason)
  self.finished = true
  self.progress:finish()
  local committed = self.logs and self.logs:committed_step() or self.committed or -1
  local log = committed >= 0 and "the log is whole up to " .. step_name(committed) or "the log is empty"
  local kept = self.kept_step and "checkpoint at " .. step_name(self.kept_step) or "no checkpoint yet"
  close_logs(self)
  end_by(self, ("%s. Training stopped at %s; %s, %s"):format(reason, step_name(self.step), log, kept))
end

-- What the log or a checkpoint answered. mistake: the script's, which gave what cannot be logged.
local function must(self, ok, reason, mistake)
  if mistake then fault.mistake(mistake) end
  if not ok then broken(self, reason) end
  return ok
end

-- ---- files --------------------------------------------------------------------------------------------------------

-- What a replay or a later run needs to know of where this one came from.
local function origin(self)
  local host, text, fit = self.host, self.text, self.fit
  local path, modules = host.script_path, script.modules()
  return {
    { "experiment", self.description.name }, { "script", host.script },
    { "script_path", path and sys.realpath(path) }, { "script_sha256", path and script.hash(path) },
    { "modules", modules and json.encode(modules) }, { "command_line", host.command_line },
    { "ranks", ranks.size }, { "seed", rawget(self.cfg, "seed") }, { "data", text and text.path },
    { "data_sha256", text and text.sha256 }, { "precision", fit and fit.precision },
    { "tiles", fit and describe.tiles(fit.model.config.precision, fit.precision) },
    { "began_from", host.init_from or self.saved and not self.saved.in_place and self.saved.path or nil },
    { "auto_units", self:auto_units() ~= nil and tostring(self:auto_units()) or nil },
    { self.saved and self.saved.in_place and "resumed" or "started", os.date "!%Y-%m-%dT%H:%M:%SZ" },
  }
end

-- A run that goes on: what has changed since then. The log has the values of before for good.
local function note_differences(self, before, now)
  local code = describe.differences(now, before, describe.code)
  if #code > 0 then self.code_changes = code end
  for _, change in ipairs(self.saved.in_place and describe.changes(now, before) or {}) do
    must(self, self.logs:event(self.step, "environment", ("%s=%s, was %s"):format(table.unpack(change))))
  end
end

-- The script and the modules that it has required so far; what is there already stays.
local function keep_sources(self)
  local count = script.modules_so_far()
  if self.modules_kept == count then return end
  self.modules_kept = count
  for _, file in ipairs(script.sources(self.host.script_path)) do must(self, self.logs:source(file[1], file[2])) end
end

local function describe_run(self, before)
  local environment, now = describe.surroundings(), {}
  for _, list in ipairs { origin(self), self.replay and self.replay:origin() } do
    for _, pair in ipairs(list) do environment[#environment + 1] = pair end
  end
  for _, pair in ipairs(environment) do now[pair[1]] = pair[2] end
  must(self, self.logs:describe(environment, self.description.options, self.cfg))
  keep_sources(self)
  local vocab = self:vocabulary()
  if vocab then must(self, self.logs:vocabulary(describe.symbols(vocab))) end
  if self.replay then self.replay:compare_environment(now) end
  if before then note_differences(self, before, now) end
end

-- A run that goes on with other options: the log has them for good, and when they changed. Whether there are any.
local function note_changes(self)
  local saved, changed = self.saved, {}
  if saved then changed = self.description.options:changes(self.cfg, saved.config) end
  for _, change in ipairs(changed) do
    must(self, self.logs:event(self.step, "option", ("%s=%s, was %s"):format(table.unpack(change))))
  end
  return #changed > 0
end

local function take_directory(self)
  if self.replay and not self.host.out then return self.replay:make_directory() end
  if self.saved and self.saved.in_place then return self.saved.directory, directory.lock(self.saved.directory) end
  if self.host.out then return directory.named(self.host.out, self.saved or self.replay) end
  return directory.fresh(self.host.runs .. "/" .. self.description.name, os.date "%Y-%m-%d-%H%M")
end

-- What can be done about a log that a run cannot go on with.
local function way_out(reason)
  local damaged = reason:find "^cannot read " or reason:find "^cannot go on with " or reason:find " is damaged"
  return damaged and "; to go on in a new directory, with a new log, add --out=DIR" or ""
end

-- Returns the environment of the run that goes on.
local function open_logs(self)
  local continued = self.saved and self.saved.in_place
  self.directory, self.lock = take_directory(self)
  local before = self.saved and not self.replay and logs.environment(self.saved.directory)
  local logs, reason = logs.open(self.directory, continued and self.step, self.description.metrics, self.cfg)
  if not logs then fault.stop(reason .. (continued and way_out(reason) or "")) end
  self.logs = logs
  return before
end

-- After the logs have been opened, or opened again: the log knows what the script has announced so far.
local function announce_series(self)
  for _, one in ipairs(self.series) do must(self, self.logs:announce(one)) end
end

local function check_options(self)
  for _, check in ipairs { saves.check, logs.check, watch.check, diverge.check } do
    local sound, problem = check(function(name) return self:option(name) end, self.fit)
    if not sound then fault.stop(problem, fault.USAGE) end
  end
end

-- Rank 0 has the files; the others know where they are.
local function open_files(self)
  local before
  if ranks.rank == 0 then before = open_logs(self) else self.logs = logs.none() end
  self.directory = ranks.broadcast(self.directory)
  describe_run(self, before)
  announce_series(self)
end

-- ---- what is said at the beginning --------------------------------------------------------------------------------

local function run_line(self)
  if self.replay then return self.replay:line(self.directory) end
  local line = ("run     %s (log.h5, metrics.csv, checkpoints)"):format(self.directory)
  if not self.saved then return line end
  if self.saved.in_place then return line .. (", going on after %s"):format(step_name(self.step)) end
  return line .. (", going on from %s, %s"):format(self.saved.path, step_name(self.step))
end

local function new_progress(self)
  local host = self.host
  local text = self.text
  local summed = self.fit and self.fit.config.reduction == "sum" -- a sum over positions is not so many bits a token
  local unit = text and not summed and ({ bytes = "char", chars = "char", words = "word" })[text.vocab.tokens]
  return progress.new {
    kind = ranks.rank > 0 and "quiet" or host.progress, silent = ranks.rank > 0,
    out = io.stdout, clock = sys.clock, width = function() return sys.width(1) end,
    steps = self.replay and self.replay.to or self.total, first = self.step, tokens = tokens_per_step(self),
    unit = unit,
  }
end

local function ranks_line(self)
  return ("ranks   %d, each with %s of the batch's %d"):format(ranks.size, format.plural(self.fit.rows, "row"),
    self.fit.batch)
end

local function announce(self)
  if self.text then self.progress:tell(describe.text(self.text)) end
  for _, fit in ipairs(self:trainers()) do self.progress:print(describe.model(fit.model)) end
  local precision = self.fit and describe.precision(self.fit.model.config.precision, self.fit.precision)
  if precision then self.progress:print("numbers " .. precision) end
  if ranks.size > 1 and self.fit then self.progress:print(ranks_line(self)) end
  self.progress:tell(run_line(self))
  for _, change in ipairs(self.code_changes or {}) do
    self.progress:tell(("        %s since then (SHA-256 differs)"):format(change))
  end
  if self.saved and not self.replay and self.step == self.total then
    self.progress:print(("        all of its %s are done; to train longer, give steps=MORE")
      :format(format.plural(self.total, "step")))
  end
  self.progress:event("start", { experiment = self.description.name, directory = self.directory, step = self.step,
    steps = self.total, ranks = ranks.size, code_changes = self.code_changes, config = self.config,
    parameters = self.fit and self.fit.model.size, data = self.text and self.text.path,
    data_sha256 = self.text and self.text.sha256 })
end

-- A text too short to train on is told before there are files.
local function check_text(self)
  if not (self.text and self.fit) or #self.streams > 0 then return end
  local ok, problem = pcall(self.fit.stream, self.fit, self.text)
  if not ok then fault.stop(fault.without_position(problem)) end
end

-- ---- the loop -----------------------------------------------------------------------------------------------------

--- Seconds of training so far, those before a resume included.
function methods:seconds()
  return (self.seconds_before or 0) + (self.started and sys.clock() - self.started or 0)
end

local function fingerprints(self)
  local list = {}
  for i, fit in ipairs(self:trainers()) do list[i] = fit:fingerprint() end
  return table.concat(list, " ")
end

-- Ranks that begin differently would never agree again.
local function compare_ranks(self)
  if ranks.size == 1 then return end
  for _, what in ipairs { { "options", json.encode(self.config) }, { "a text", self.text and self.text.sha256 },
    { "steps", tostring(self.total) }, { "a checkpoint", self.saved and self.saved.path .. " " .. self.step },
    { "a precision", self.fit and self.fit.precision },
    { "parameters", fingerprints(self) } } do
    local other = ranks.other(what[2] or "")
    if other then
      fault.stop(("rank %d has %s other than rank 0: all ranks must read the same files and make the same model")
        :format(other, what[1]))
    end
  end
end

-- Sentences that no error is made of.
local function tell(self, sentences)
  for _, line in ipairs(sentences) do self.progress:say("lstmrun: " .. line) end
end

local function begin(self)
  self.rates_at_start = {}
  for i, fit in ipairs(self:trainers()) do self.rates_at_start[i] = fit.lr end
  check_text(self)
  if self.replay then self.replay:check_data(self.text) end
  if self.saved then saves.restore(self) end
  if self.host.init_from then checkpoint.init(self.host.init_from, self.fit.model, self:vocabulary()) end
  compare_ranks(self)
  self.progress = new_progress(self)
  open_files(self)
  if not self.replay then must(self, saves.settle(self, note_changes(self))) end
  self.watcher = watch.new(self.cfg, self.fit)
  self.started = sys.clock()
  self.kept_time, self.row_time = self.started, self.started
  announce(self)
  self.first = self.step
  local replay = self.replay
  local from, to = replay and replay.from - 1 or self.first, replay and replay.to or self.total
  if self.watcher then tell(self, self.watcher:not_due(from, to)) end
  core.keep_trainers(table.unpack(self:trainers()))
  if self.host.trial then self.host.trial:begin(self, self.step, self.total) end
end

-- A replay leaves no checkpoints, and a state that is not finite replaces none.
local function save_latest(self)
  if not self.replay and not self.problem then must(self, saves.latest(self)) end
end

-- How this program was started; the bits are those of so many ranks.
local function program(self)
  return ranks.command() .. quoted(self.host.program)
end

local function resume_command(self)
  local between = self.directory:find "=" or self.directory:find "^%-" -- the next word would be another option
  local keyword = self.directory == "latest" or self.directory == "best"
  return ("%s %s --resume%s%s"):format(program(self), quoted(self.host.script), between and "=" or " ",
    quoted(keyword and "./" .. self.directory or self.directory))
end

-- What there is to go on from, in words.
local function stopped_line(self)
  if self.replay then return ("stopped at step %d; a replay is made again from its beginning"):format(self.step) end
  if self.kept_latest == self.step then
    return ("stopped at step %d, checkpoint written. Go on with:  %s"):format(self.step, resume_command(self))
  end
  return ("stopped at step %d, where loss or gradient is not finite; the last checkpoint is %s"):format(self.step,
    self.kept_step and "of " .. step_name(self.kept_step) or "none yet")
end

local function stop(self, signal, status)
  save_latest(self)
  must(self, self.logs:event(self.step, "stop", "stopped by SIG" .. signal))
  self.finished = true
  must(self, close_logs(self))
  self.progress:event("end", self:summary "stopped")
  self.progress:say(stopped_line(self))
  end_by(self, nil, status)
end

-- A trial of a sweep that does not look worth going on with: it can be resumed.
local function pause(self)
  save_latest(self)
  must(self, self.logs:event(self.step, "pause", self.pause))
  self.finished = true
  must(self, close_logs(self))
  self.progress:event("end", self:summary "paused")
  self.progress:say("paused: " .. self.pause)
  end_by(self, nil, 0)
end

-- A replay is through, or as far as the run came; one to the run's end comes here after what the script does behind its
-- loop. problem: what is not finite any more, or nil. Ends the program.
local function end_replay(self, problem)
  local equal, verdict = self.replay:verdict(self, problem)
  self.logs.muted = false
  must(self, self.logs:event(self.step, "replay", verdict))
  self.finished = true
  must(self, close_logs(self))
  self.progress:finish()
  local summary = self:summary(equal and "equal" or "different")
  summary.verdict = verdict
  self.progress:event("end", summary)
  if equal then self.progress:answer(("equal   %s; in %s"):format(verdict, self.directory)) end
  end_by(self, not equal and verdict .. "; in " .. self.directory or nil, equal and 0 or fault.ERROR)
end

-- With log.on_error=continue, said once.
local function tell_lost(self)
  if not self.logs.lost or self.lost_told then return end
  self.lost_told = true
  self.progress:say(("lstmrun: %s; going on without logging"):format(self.logs.lost))
end

local look_after_lock = 10 -- seconds from one look to the next

-- What is written into a directory that another run has would spoil that one's files; closing ours is writing, too.
local function check_lock(self)
  local now = sys.clock()
  if not self.lock or now < (self.lock_time or 0) then return end
  self.lock_time = now + look_after_lock
  if not self.lock:lost() then return end
  self.progress:finish()
  io.stderr:write(("lstmrun: another process has taken %s over: this one had been stopped for so long that it was " ..
    "taken for dead. It ends, at step %d, and writes nothing more\n"):format(fault.one_line(self.directory), self.step))
  sys.quit(fault.ERROR)
end

-- What the trainer did in this step: "backward", "forward" alone, or nil.
local function pass_of(self)
  local fit = self.fit
  if fit:counters().passes > self.counters.passes then return "backward" end
  return fit.forwards > self.forwards and "forward" or nil
end

-- What is recorded of the step's inside, and the end of its row.
local function end_rows(self, step)
  if self.watcher then must(self, self.logs:watch(self.watcher, step, pass_of(self))) end
  must(self, self.logs:end_step(step))
end

-- With on_diverge=continue: loss and gradient are as they should be again.
local function note_finite(self, step)
  if not self.problem_since or self.problem then return end
  must(self, self.logs:event(step, "finite", ("finite again, after %s"):format(
    format.plural(step - self.problem_since, "step"))))
  self.problem_since = nil
end

-- The log is cut at the state to which the run goes back; what it was called before is said in an event.
local function reopen_logs(self)
  self.watcher, self.probes = watch.new(self.cfg, self.fit), {}
  local old = self.logs
  if old.lost or ranks.rank > 0 then return end
  self.logs = nil
  must(self, old:close())
  local reason
  self.logs, reason = logs.open(self.directory, self.step, self.description.metrics, self.cfg)
  must(self, self.logs, reason)
  announce_series(self)
end

-- With on_diverge=rollback, after the step in which that became necessary.
local function go_back(self)
  local back = self.rolling_back
  self.rolling_back, self.in_body, self.current = nil, false, nil
  saves.go_back(self, back.saved)
  for _, fit in ipairs(self:trainers()) do fit.lr_scale = back.lr_scale end
  self.rollbacks = self.rollbacks + 1
  reopen_logs(self)
  local line = ("%s at %s; back to %s, learning rate x %s"):format(back.problem, step_name(back.step),
    step_name(self.step), json.number(back.lr_scale))
  must(self, self.logs:event(self.step, "rollback", line))
  must(self, saves.latest(self))
  self.progress:back(self.step)
  self.progress:event("rollback", { step = self.step, from = back.step, problem = back.problem,
    lr_scale = back.lr_scale })
  if self.host.progress ~= "json" then self.progress:say("lstmrun: " .. line) end
end

-- A step is over: its row is in the log, its evaluation done.
local function count_step(self, step)
  self.step = step
  check_lock(self)
  end_rows(self, step)
  tell_lost(self)
  note_finite(self, step)
  if self.host.trial then self.pause = self.host.trial:step(step) end
  if not self.replay and not self.problem then must(self, saves.step(self)) end
  if step < self.total then self.progress:step(step, self.info) end -- complete shows the last
end

local function complete(self)
  save_latest(self)
  tell_lost(self)
  if self.watcher and not self.logs.lost then tell(self, self.watcher:not_recorded(self.first, self.step)) end
  self.progress:show(self.step, self.info)
  self.progress:finish()
  self.finished = true
  sys.on_signal "raise"
end

-- Whether a checkpoint keeps the place in what batches come from.
local function keeps(self, source)
  if rawequal(source, self.text) then return true end
  for _, stream in ipairs(self.streams) do
    if rawequal(source, stream) then return true end
  end
  local of_trainer = self.text and self.fit:stream_cursor() and self.fit:stream(self.text)
  return rawequal(source, of_trainer)
end

local function tell_once(self, line)
  if not self.told[line] then tell(self, { line }) end
  self.told[line] = true
end

-- What serves one step alone is nothing to keep; and a script may put a stream in its place itself.
local function check_source(self)
  local source, before = self.fit.source or false, self.source
  self.source = source
  if not source or not rawequal(source, before) or keeps(self, source) then return end
  if type(source) == "table" and not has_cursor(source) then
    tell_once(self, "batches come from an object without cursor and seek: unless the script sees to that itself, a " ..
      "resumed run begins with its first ones again")
  else
    tell_once(self, ("the loop takes its batches from a %s that run:steps was not given: unless the script sees to that " ..
      "itself, a resumed run begins with its first ones again"):format(
      sys.typename(source) == "lstm.corpus" and "text" or "stream"))
  end
end

-- What is trained from step to step should be in checkpoints.
local function check_kept(self)
  if self.replay then return end
  if core.updates_of_others() > 0 then
    tell_once(self, self.fit and "the loop trains with another trainer than the one that run:steps was given: " ..
      "checkpoints do not have it, and a resumed run begins anew with it" or "the loop trains with a trainer that " ..
      "run:steps was not given: checkpoints do not have it, a resumed run begins anew with it, and nothing of it is " ..
      "recorded; give it as in run:steps(n, fit)")
  end
  if self.fit then check_source(self) end
end

-- The body of the loop is through: the step counts, or the run goes back.
local function end_step(self)
  check_open(self)
  check_kept(self)
  if self.rolling_back then go_back(self) else count_step(self, self.current) end
end

local function next_step(self, step)
  check_not_ended(self)
  if self.in_body then
    end_step(self)
    step = self.step
  end
  if step >= self.total then
    complete(self)
    return nil
  end
  if self.replay and step >= self.replay.to then end_replay(self) end
  local signal, status = ranks.stop_signal()
  if signal then stop(self, signal, status) end
  if self.pause then pause(self) end
  self.in_body = true
  if self.fit then self.counters, self.forwards = self.fit:counters(), self.fit.forwards end
  self.current, self.problem = step + 1, false
  self.smoothed_before, self.time_before = self.smoothed, self.row_time -- a step may log its loss more than once
  if self.replay then self.replay:enter(self, step + 1) end
  return step + 1
end

-- The log's texts end at a NUL.
local function without_nul(value)
  return (tostring(value):gsub("\0", "\u{FFFD}"))
end

-- The loop was left by break (count the step if it was done), or by an error (keep what is on the disk as it is).
local function leave(self, err)
  if self.finished then return end
  self.progress:finish()
  if err ~= nil then
    self.logs:end_step(self.current)
    self.logs:event(self.current, "failed", without_nul(err))
    close_logs(self)
    self.finished, self.ended = true, err
    return
  end
  check_open(self)
  if self.in_body and (self.rolling_back or not self.fit or self.fit:counters().passes > self.counters.passes) then
    end_step(self)
  end
  complete(self)
end

-- What a run would read, and where it would write, before it is begun.
local function check_files(self)
  local host = self.host
  if host.init_from then checkpoint.check(host.init_from) end
  if host.out then directory.check_free(host.out, self.saved) end
end

--- Iterator over the steps that are left: 1 .. steps for a new run. The trainer, text and streams given (in any order)
-- are what a checkpoint keeps and a resumed run restores.
function methods:steps(steps, ...)
  check_self(self, "steps")
  if math.type(steps) ~= "integer" or steps < 0 then
    fault.mistake(("bad argument #1 to 'steps' (number of steps expected, got %s)"):format(tostring(steps)))
  end
  if self.total then fault.mistake "run:steps: a run has one loop over its steps, and this one had it" end
  attach(self, ...)
  self.total = steps
  check_options(self)
  if self.host.dry_run then
    check_files(self)
    return self.host.dry_run.report(self)
  end
  begin(self)
  sys.on_signal "note"
  local closing = setmetatable({}, { __close = function(_, err) leave(self, err) end })
  return next_step, self, self.step, closing
end

--- Whether this is one of the steps n, 2n, 3n, ..., or the last; never when n is 0, nor in a step whose loss or
-- gradient was not finite: a network of NaN is not worth a look.
function methods:every(n)
  check_self(self, "every")
  if not self.current then fault.mistake "run:every: there is no step yet; use it in the loop over run:steps" end
  if type(n) ~= "number" or n < 0 or n % 1 ~= 0 then
    fault.mistake(("bad argument #1 to 'every' (number of steps expected, got %s)"):format(tostring(n)))
  end
  return n > 0 and not self.problem and (self.current % n == 0 or self.current == self.total)
end

-- ---- what a step reports ------------------------------------------------------------------------------------------

local function write_row(self, step, row)
  if self.host.trial then self.host.trial:row(step, row) end
  if self.replay then self.replay:check(self, step, row) end
  must(self, self.logs:row(step, row))
  local missing = self.columns_told == nil and self.logs:left_out()
  if missing then
    self.columns_told = true
    self.progress:say(("lstmrun: metrics.csv has no column '%s', log.h5 has; name it in the experiment's field " ..
      "'metrics'"):format(missing))
  end
end

-- "the best checkpoint is step 4,000"
local function kept_line(self)
  if self.best then return "the best checkpoint is " .. step_name(self.best.step) end
  return self.kept_step and "the last checkpoint is " .. step_name(self.kept_step) or "there is no checkpoint yet"
end

-- "seed 7, lr 0.1"
local function circumstances(self)
  local list, seed = {}, rawget(self.cfg, "seed")
  if seed then list[#list + 1] = "seed " .. tostring(seed) end
  if self.fit then list[#list + 1] = "lr " .. format.rate(self.fit.lr * self.fit.lr_scale) end
  if self.rollbacks > 0 then list[#list + 1] = "after " .. format.plural(self.rollbacks, "rollback") end
  return table.concat(list, ", ")
end

-- A loss that is not finite before the first update is no matter of the learning rate.
local function advice(self, problem)
  if self.fit and self.counters.updates == 0 and problem:find "^loss" then
    return "Nothing has been learnt yet: targets, or the parameters that init made, are not finite or far too large"
  end
  return "Try a smaller learning rate"
end

local looked_back = 20 -- steps before the one that diverged

local function diverged(self, problem, step)
  end_rows(self, step)
  self.step = step
  if self.replay then end_replay(self, problem) end
  must(self, self.logs:event(step, "diverged", problem))
  self.finished = true
  must(self, close_logs(self))
  self.progress:finish()
  self.progress:event("end", self:summary "diverged")
  end_by(self, ("%s at %s (%s). Log flushed, in %s; %s. %s, or look what happened: %s replay %s --from %d " ..
    "activations.every=1 gradients.every=1"):format(problem, step_name(step), circumstances(self), self.directory,
    kept_line(self), advice(self, problem), program(self), quoted(self.directory), math.max(1, step - looked_back)),
    fault.DIVERGED)
end

local function go_on(self, problem, step)
  self.problem = problem
  if self.problem_since then return end
  self.problem_since = step
  must(self, self.logs:event(step, "nonfinite", problem))
  self.progress:say(("lstmrun: %s at %s; going on (on_diverge=continue); no checkpoint is written until it is finite")
    :format(problem, step_name(step)))
end

-- Loss or gradient is not finite. Rolling back, what is left of this step works with sound parameters again, and none
-- of it counts.
local function act_on(self, problem, step)
  local policy = self:option "on_diverge"
  if policy == "continue" then
    go_on(self, problem, step)
  elseif self:rolls_back() and self.rollbacks < self:option "rollback.most" then
    local lr_scale = self.fit.lr_scale * self:option "rollback.factor"
    self.rolling_back = { problem = problem, step = step, lr_scale = lr_scale, saved = saves.undo(self) }
  else
    diverged(self, problem, step)
  end
end

-- While gradients accumulate over several steps, the trainer has nothing to tell of an update.
local function is_about_no_update(statistics, name)
  return statistics.updated == false and statistics.grad_norm == 0 and of_updates[name]
end

local most_numbers = 250 -- in one call of run:log
local measured = { smoothed_loss = true, tokens_per_second = true, seconds = true }

local function take(row, name, value)
  if type(name) ~= "string" or name:find "\0" then
    fault.mistake(("run:log: names of metrics expected, got '%s'"):format(tostring(name)))
  elseif measured[name] then
    fault.mistake(("run:log: '%s' is what the run measures itself; give the value another name"):format(name))
  elseif type(value) == "number" then
    row[name] = value + 0.0
  elseif name ~= "updated" or type(value) ~= "boolean" then -- a yes or no among the trainer's statistics
    fault.mistake(("run:log: '%s' must be a number, got %s"):format(tostring(name), sys.typename(value)))
  end
end

local function check_row(loss, statistics)
  if loss == nil and statistics == nil then
    fault.mistake "run:log: a loss or a table { name = number, ... } expected, got nil"
  elseif statistics ~= nil and type(statistics) ~= "table" then
    fault.mistake("run:log: a table of numbers expected, got " .. sys.typename(statistics))
  end
end

--- Logs a row: run:log(step, loss, statistics), or run:log(step, { name = number, ... }). Rows of one step add up.
-- A loss or gradient that is not finite ends the run.
function methods:log(step, loss, statistics)
  check_step(self, step, "log")
  check_row(loss, statistics)
  if self.rolling_back then return end
  if type(loss) == "table" then statistics, loss = loss, loss.loss end
  local row = {}
  local count = 0
  for name, value in pairs(statistics or row) do
    if not is_about_no_update(statistics, name) then take(row, name, value) end
    count = count + 1
  end
  if count > most_numbers then
    fault.mistake(("run:log: at most %d numbers at once expected, got %d; more of them are a tensor: run:tensor"):format(
      most_numbers, count))
  end
  if loss ~= nil then
    take(row, "loss", loss)
    local weight, before = math.max(smoothing, 1 / step), self.smoothed_before
    self.smoothed = before and diverge.is_finite(before) and before + (loss - before) * weight or loss
    row.smoothed_loss = self.smoothed
    local now = sys.clock()
    if self.fit then
      row.lr = self.fit.lr * self.fit.lr_scale
      row.tokens_per_second = tokens_per_step(self) / math.max(now - self.time_before, 1e-9)
    end
    row.seconds, self.row_time = self:seconds(), now
  end
  write_row(self, step, row)
  local clipping = storm.notice(self.clipping, step, row)
  if clipping then must(self, self.logs:event(step, "clipping", clipping)) end
  local info = self.info
  info.smoothed, info.lr, info.grad_norm = self.smoothed, row.lr or info.lr, row.grad_norm or info.grad_norm
  local problem = diverge.problem(row)
  if problem then act_on(self, problem, step) end
end

--- Reports the loss on the validation text. The smallest so far makes this step's checkpoint the best one.
function methods:evaluate(step, loss)
  check_step(self, step, "evaluate")
  if type(loss) ~= "number" then
    fault.mistake("run:evaluate: the loss must be a number, got " .. type(loss))
  end
  if self.rolling_back then return end
  write_row(self, step, { val_loss = loss })
  if diverge.is_finite(loss) and not self.problem and (not self.best or loss < self.best.value) then
    self.best, self.new_best = { value = loss, step = step }, true
  end
  self.info.val, self.info.val_is_best = loss, self.best ~= nil and self.best.step == step
  self.progress:event("evaluation", { step = step, val_loss = loss, best = self.info.val_is_best })
  if self.finished then -- after the loop
    check_open(self)
    if not self.replay then must(self, saves.evaluation(self)) end
  end
end

--- Keeps a text that the model wrote, and shows it.
function methods:sample(step, text)
  check_step(self, step, "sample")
  if type(text) ~= "string" then fault.mistake("run:sample: a text expected, got " .. sys.typename(text)) end
  if self.rolling_back then return end
  must(self, self.logs:sample(step, text))
  self.progress:sample(step, text, self.info)
end

local function add_series(self, one)
  if self.logs then must(self, self.logs:announce(one)) end
  self.series[#self.series + 1], self.series[one.name] = one, one
end

--- Says what run:tensor will record; before run:steps, so that the log has the series from its beginning:
-- run:announce { name = "mine/attention", dims = { { "time", 64 }, { "x", { -0.5, 0, 0.5 } } } }. A dimension has a
-- size, or coordinates: numbers or texts. Further fields: type ("double", or "float"), title, units.
function methods:announce(given)
  check_self(self, "announce")
  local one = series.announced(given)
  if self.series[one.name] then fault.mistake(("run:announce: '%s' was announced already"):format(one.name)) end
  add_series(self, one)
end

--- Logs any tensor: run:tensor(step, "mine/attention", t, { "time", "unit" }) adds a record to series `name`, which the
-- first call announces with the tensor's shape and these names of its dimensions, where run:announce has not. Records
-- may be smaller. A dimension may have coordinates, numbers or texts: { { "x", { -0.5, 0, 0.5 } }, "unit" }.
function methods:tensor(step, name, tensor, dims)
  check_step(self, step, "tensor")
  if sys.typename(tensor) ~= "lstm.tensor" then
    fault.mistake("run:tensor: a tensor expected, got " .. sys.typename(tensor))
  end
  if self.rolling_back then return end
  local known = name and self.series[name]
  if not known then add_series(self, series.of_tensor(name, tensor, dims)) end
  if known and #known.dims ~= #tensor.shape then
    fault.mistake(("run:tensor: '%s' has %s, this tensor %d"):format(name, format.plural(#known.dims, "dimension"),
      #tensor.shape))
  end
  if known and known.announced and dims then
    fault.mistake(("run:tensor: '%s' was announced, its dimensions are known: leave them out here"):format(name))
  end
  must(self, self.logs:tensor(name, step, tensor))
end

--- Logs the inside of any trainer, as activations.every does that of the run's own: run:watch(step, fit, "probe") adds a
-- record to each of the series probe/i, f, g, o, c, h and to what was fed in. options: of = { "f", "dh" }, output =
-- "logits" or "probabilities", rows.
function methods:watch(step, fit, name, options)
  check_step(self, step, "watch")
  if sys.typename(fit) ~= "lstm.trainer" then
    fault.mistake("run:watch: a trainer expected, got " .. sys.typename(fit))
  end
  series.check_group(name)
  if options ~= nil and type(options) ~= "table" then
    fault.mistake("run:watch: a table of options expected, got " .. sys.typename(options))
  end
  if self.rolling_back then return end
  local before = self.probes[name]
  local now, problem = watch.probe(self.cfg, fit, name, options)
  if not now then fault.mistake("run:watch: " .. problem) end
  if before and before.sizes ~= now.sizes then
    fault.mistake(("run:watch: records of group '%s' have %s, this one has %s; take another name"):format(name,
      before.sizes, now.sizes))
  end
  if before then now.announced = before.announced end
  self.probes[name] = now
  must(self, self.logs:watch(now, step))
end

--- Notes something that happened, in the log's events: run:event(step, "mark", "from here on with noise"). The text may
-- be left out.
function methods:event(step, kind, text)
  check_step(self, step, "event")
  if type(kind) ~= "string" then
    fault.mistake("run:event: the event's kind, a word or two, expected, got " .. sys.typename(kind))
  end
  if self.rolling_back then return end
  must(self, self.logs:event(step, without_nul(kind), text ~= nil and without_nul(text) or ""))
end

-- As print puts them.
local function line_of(...)
  local texts = table.pack(...)
  for i = 1, texts.n do texts[i] = tostring(texts[i]) end
  return table.concat(texts, "\t")
end

--- Prints a line above the progress (print would write into it).
function methods:print(...)
  check_self(self, "print")
  local text = line_of(...)
  if self.progress then self.progress:print(text)
  elseif self.host.progress ~= "json" and self.host.progress ~= "quiet" then print(text) end
end

-- ---- the end ------------------------------------------------------------------------------------------------------

--- Numbers of the run for the last line.
function methods:summary(status)
  return { status = status, step = self.step, steps = self.replay and self.replay.to or self.total, loss = self.smoothed,
    val_loss = self.info.val, best_val_loss = self.best and self.best.value, best_step = self.best and self.best.step,
    seconds = self:seconds(), directory = self.directory }
end

--- The script's function has returned.
function methods:finish()
  if not self.directory then return end -- it never began
  check_not_ended(self)
  if not self.finished then leave(self) end -- of a loop in a coroutine, which nobody closed
  if self.replay then end_replay(self) end
  keep_sources(self)
  if self.step < self.total then
    must(self, self.logs:event(self.step, "ended", ("ended by the script, at step %d of %d"):format(self.step, self.total)))
  end
  local waited, dropped = self.logs:cost()
  must(self, close_logs(self))
  if waited >= 0.1 then self.progress:print(("log     training waited %.1f s for the disk"):format(waited)) end
  if dropped > 0 then self.progress:print(("log     %s did not get written, the disk was too slow")
    :format(format.plural(dropped, "record"))) end
  self.progress:event("end", self:summary "done")
  local line = ("done    %s in %s"):format(format.plural(self.step, "step"), format.duration(self:seconds()))
  if self.smoothed then line = line .. ", smoothed loss " .. format.fixed(self.smoothed, 3) end
  if self.best then line = line .. (", best val %.3f at step %d"):format(self.best.value, self.best.step) end
  self.progress:tell(line .. ", in " .. self.directory)
end

--- The script raised an error, or was interrupted outside of its steps.
function methods:abort()
  if self.progress then self.progress:finish() end
  close_logs(self)
end

return run
