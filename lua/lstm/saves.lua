-- SPDX-License-Identifier: MIT
--
-- saves.lua - which checkpoints a run (run.lua) writes and when, and how it is brought back to one of them.
--
-- Functions that write return true, or nil and a sentence. What is wrong with a file ends the program with a sentence.
-- All ranks (ranks.lua) call them: each gives what it has of a checkpoint, and rank 0 alone touches files.

local chance = require "lstm.chance"
local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local ranks = require "lstm.ranks"

local process, sys = core.process, core.sys
local saves = {}

saves.options = {
  { "checkpoint_every", 0, "steps from one checkpoint to the next; 0: by time" },
  { "checkpoint_seconds", 60.0, "seconds from one checkpoint to the next" },
  { "keep_every", 1000, "steps from one checkpoint that is kept to the next; doubled to have no more than 8; 0: none" },
}

--- Whether the options' values make sense: true, or nil and a sentence. get: a function, the value of an option.
function saves.check(get)
  for _, option in ipairs(saves.options) do
    local value = get(option[1])
    if not (value >= 0) then return nil, ("option '%s' must be at least 0, got %g"):format(option[1], value) end
  end
  return true
end

-- ---- writing ------------------------------------------------------------------------------------------------------

-- Where a stream stands. One of the script's own may say what no file can hold.
local function cursor_of(stream)
  local cursor = stream:cursor()
  local kept, problem = pcall(json.encode, cursor)
  if type(cursor) ~= "table" or not kept then
    fault.mistake(("a stream's cursor: a table of numbers and strings expected, got %s"):format(
      type(cursor) ~= "table" and sys.typename(cursor) or "one that cannot be kept in a checkpoint: " .. problem))
  end
  return cursor
end

-- What of a trainer is no tensor.
local function numbers_of(run, i, fit)
  return { counters = fit:counters(), lr = fit.lr, lr_at_start = run.rates_at_start[i], lr_scale = fit.lr_scale,
    cursor = fit:stream_cursor() }
end

local function snapshot(run)
  local cursors, others = {}, {}
  local first = run.fit and numbers_of(run, 1, run.fit) or {}
  for i, fit in ipairs(run.others) do others[i] = numbers_of(run, i + 1, fit) end
  for i, stream in ipairs(run.streams) do cursors[i] = cursor_of(stream) end
  return {
    step = run.step, seconds = run:seconds(), best = run.best, smoothed = run.smoothed, clipping = run.clipping,
    val = run.info.val, val_is_best = run.info.val_is_best,
    lr = first.lr, lr_at_start = first.lr_at_start, lr_scale = first.lr_scale, rollbacks = run.rollbacks,
    counters = first.counters, cursor = first.cursor, cursors = cursors, others = #others > 0 and others or nil,
    data_sha256 = run.text and run.text.sha256, own = run.state, auto_units = run:auto_units(),
    trial = run.host.trial and run.host.trial:snapshot(), chance = chance.state(),
  }
end

local function write(run, name, previous)
  if ranks.rank == 0 and not run.logs.lost then -- a file that was removed can be written to, but is lost
    local there, reason = sys.kind(run.directory .. "/log.h5")
    if not there then return nil, reason end
  end
  local ok, reason = run.logs:flush()
  if not ok then return nil, reason end
  local encoded, state = pcall(json.encode, snapshot(run))
  if not encoded then fault.mistake("run.state cannot be kept in a checkpoint: " .. tostring(state)) end
  ok, reason = checkpoint.write(run.directory .. "/" .. name, previous and run.directory .. "/" .. previous, {
    experiment = run.description.name, config = json.encode(run.config), state = state, fit = run.fit,
    others = run.others, vocab = run:vocabulary(),
  })
  if ok then run.kept_step = run.step end
  return ok, reason
end

--- The latest one; what was there becomes the previous one.
function saves.latest(run)
  if run.kept_latest == run.step then return true end
  local ok, reason = write(run, checkpoint.latest, checkpoint.previous)
  if ok then run.kept_latest, run.kept_time = run.step, sys.clock() end
  return ok, reason
end

local function is_latest_due(run)
  local every = run:option "checkpoint_every"
  if every > 0 then return run.step % every == 0 end
  return sys.clock() - run.kept_time >= run:option "checkpoint_seconds"
end

local function keep(run)
  local every = run:option "keep_every"
  if every <= 0 or run.step % checkpoint.spacing(run.step, every) ~= 0 then return true end
  local ok, reason = write(run, checkpoint.kept_name(run.step))
  if ranks.rank == 0 then checkpoint.thin(run.directory, run.step, every) end
  return ok, reason
end

-- Which states can be rolled back to is a matter of steps, not of time: a run that diverges is repeatable, too.
local function save_for_rollback(run)
  if not run:rolls_back() or run.step % run:option "rollback.every" ~= 0 then return true end
  return write(run, checkpoint.rollback)
end

--- What is due after a step.
function saves.step(run)
  local ok, reason = true, nil
  local is_best, is_due = ranks.first(run.new_best, is_latest_due(run))
  run.new_best = false
  if is_best then ok, reason = write(run, checkpoint.best) end
  if ok then ok, reason = keep(run) end
  if ok then ok, reason = save_for_rollback(run) end
  if ok and run.step < run.total and is_due then ok, reason = saves.latest(run) end
  return ok, reason
end

--- After an evaluation that was made after the last step, whose checkpoints are there.
function saves.evaluation(run)
  local is_best = ranks.first(run.new_best)
  run.new_best = false
  if not is_best then return true end
  local ok, reason = write(run, checkpoint.best)
  if not ok then return nil, reason end
  return write(run, checkpoint.latest)
end

-- ---- bringing back ------------------------------------------------------------------------------------------------

local function check(run, state)
  if math.type(state.step) ~= "integer" or state.step < 0 then
    fault.stop "cannot resume: the checkpoint names no step"
  end
  if state.step > run.total then
    fault.stop(("cannot resume: the run is at step %s already, past steps=%d"):format(format.count(state.step),
      run.total), fault.USAGE)
  end
  if run.text and state.data_sha256 and run.text.sha256 ~= state.data_sha256 then
    fault.stop(("cannot resume: '%s' is not the text that this run began with (its SHA-256 differs)")
      :format(run.text.name))
  end
  if run.fit and not state.counters then fault.stop "cannot resume: the checkpoint has no trainer" end
  if #run.others ~= #(state.others or {}) then
    fault.stop(("cannot resume: run:steps is given %s, the checkpoint has %d"):format(
      format.plural(#run.others + 1, "trainer"), #(state.others or {}) + 1))
  end
  local streams, places = #run.streams, #(state.cursors or {})
  if streams ~= places then
    fault.stop(("cannot resume: run:steps is given %s, the checkpoint has places of %d; give it those that it had")
      :format(format.plural(streams, "stream"), places))
  end
end

-- A rate that the script changes as it goes must be carried on; one that was given anew for the resumed run must not
-- be overwritten.
local function restore_rate(fit, numbers)
  if numbers.lr and fit.lr == numbers.lr_at_start then fit.lr = numbers.lr end
  fit.lr_scale = numbers.lr_scale or 1
end

-- The numbers of the i-th of a run's trainers.
local function numbers_in(state, i)
  return i == 1 and state or state.others[i - 1]
end

local function restore_objects(run, saved)
  local state = saved.state
  for i, fit in ipairs(run:trainers()) do
    local numbers = numbers_in(state, i)
    checkpoint.restore(saved, i, fit, numbers.counters)
    restore_rate(fit, numbers)
    if numbers.cursor then fit:stream(run.text):seek(numbers.cursor) end
  end
  for i, stream in ipairs(run.streams) do stream:seek(state.cursors[i]) end
end

-- The script may hold run.state: what is in it changes, not the table.
local function refill(own, from)
  for key in pairs(own) do own[key] = nil end
  for key, value in pairs(from) do own[key] = value end
end

local function restore_numbers(run, state)
  run.step, run.smoothed, run.clipping = state.step, state.smoothed, state.clipping or {}
  run.info.val, run.info.val_is_best = state.val, state.val_is_best
  refill(run.state, state.own or {})
  chance.restore(state.chance)
  if run.host.trial then run.host.trial:restore(state.trial, run.step) end
end

--- Brings a run that begins to where run.saved (checkpoint.read) was. A file can be whole and yet hold what makes no
-- sense: that is the file's fault, not the script's or ours.
function saves.restore(run)
  local saved = run.saved
  local state = saved.state
  check(run, state)
  local ok, problem = pcall(restore_objects, run, saved)
  if not ok and fault.is_stop(problem) then error(problem, 0) end
  if not ok then fault.stop(("cannot resume from %s: %s"):format(saved.path, fault.without_position(problem))) end
  restore_numbers(run, state)
  run.best, run.rollbacks, run.seconds_before = state.best, state.rollbacks or 0, state.seconds
  saved.file:close()
  run.kept_latest = saved.in_place and not saved.fallback and state.step or nil
  run.kept_step = state.step
end

-- ---- rolling back -------------------------------------------------------------------------------------------------

--- Brings the trainer and the data back to the state that a run can be rolled back to, which is returned.
function saves.undo(run)
  local saved = checkpoint.read { path = run.directory .. "/" .. checkpoint.rollback, directory = run.directory }
  local other = ranks.other(tostring(saved.state.step))
  if other then
    fault.stop(("rank %d sees another %s than rank 0 wrote: ranks must share the file system"):format(other, saved.path))
  end
  restore_objects(run, saved)
  return saved
end

--- Brings everything back to it, but for the best checkpoint, which stays, and for what the run counts.
function saves.go_back(run, saved)
  restore_objects(run, saved)
  for i, fit in ipairs(run:trainers()) do fit.lr = numbers_in(saved.state, i).lr or fit.lr end
  restore_numbers(run, saved.state)
  saved.file:close()
  run.new_best, run.kept_latest = false, nil
  local every = run:option "keep_every"
  if every > 0 and ranks.rank == 0 then checkpoint.thin(run.directory, run.step, every) end
end

-- ---- what a run that went on elsewhere had ------------------------------------------------------------------------

-- The step of a checkpoint; nil when there is none, or it is damaged.
local function step_of(path)
  local file <close> = sys.kind(path) and core.checkpoint.read(path)
  local state = file and json.decode(file:text "state" or "")
  return type(state) == "table" and math.tointeger(state.step)
end

local function copy_file(from, to)
  local source <close>, reason = io.open(from, "rb")
  local bytes
  if source then bytes, reason = source:read "a" end
  if not bytes then return nil, reason end
  return process.replace(to, bytes, true)
end

-- Whether what the saved run could go back to is there for this one, too, and not from later than where it is.
local function took_over(run)
  local saved = run.saved
  local from = saved and saved.directory .. "/" .. checkpoint.rollback
  local step = from and step_of(from)
  if not step or step > run.step then return false end
  return saved.in_place or copy_file(from, run.directory .. "/" .. checkpoint.rollback)
end

-- Where the saved run has the best checkpoint that was the best when it was saved; nil where it has a better one by now.
local function best_of(saved, step)
  for _, name in ipairs { checkpoint.best, checkpoint.kept_name(step) } do
    local path = saved.directory .. "/" .. name
    if step_of(path) == step then return path end
  end
end

-- In a new directory there must be the best checkpoint so far, too.
local function take_best(run)
  if not run.best then return true end
  if run.best.step == run.step then return write(run, checkpoint.best) end
  local reason = ""
  local from = ranks.rank == 0 and best_of(run.saved, run.best.step)
  if from then
    local ok, why = copy_file(from, run.directory .. "/" .. checkpoint.best)
    reason = ok and "" or why
  end
  reason = ranks.broadcast(reason)
  if reason ~= "" then return nil, reason end
  return true
end

-- ---- when a run begins --------------------------------------------------------------------------------------------

-- A run that goes on knows where it could go back to before; any other one can go back to where it begins, and so can
-- one that goes on with other options, which would be lost further back.
local function settle_rollback(run, changed)
  if not run:rolls_back() then return true end
  if not changed and ranks.first(ranks.rank == 0 and took_over(run)) then return true end
  return write(run, checkpoint.rollback)
end

local function settle_saved(run)
  local saved = run.saved
  if saved.fallback and saved.in_place then -- a damaged file must not become the previous generation of the next one
    if ranks.rank == 0 then
      os.rename(saved.directory .. "/" .. checkpoint.latest, saved.directory .. "/checkpoint-damaged.h5")
    end
  elseif not saved.in_place then
    return take_best(run)
  end
  return true
end

--- When the run's files are open. changed: whether it goes on with other options than it began with.
function saves.settle(run, changed)
  local ok, reason = true, nil
  if run.saved then ok, reason = settle_saved(run) end
  if ok then ok, reason = settle_rollback(run, changed) end
  local begins_elsewhere = run.host.init_from or run.saved and not run.saved.in_place
  if ok and begins_elsewhere then return write(run, checkpoint.start) end
  if ok and changed then return write(run, checkpoint.start_name(run.step)) end
  return ok, reason
end

return saves
