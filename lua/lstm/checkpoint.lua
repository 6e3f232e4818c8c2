-- SPDX-License-Identifier: MIT
--
-- checkpoint.lua - what a run keeps to go on later as if it had never stopped, and how it is found again.
--
-- A checkpoint file (h5checkpoint.h) has the trainer's tensors by their names, and texts:
--   config      the options, JSON            experiment  the experiment's name
--   model       what lstm.model would make it from, JSON (model.config)
--   state       step, best, cursors, counters and the script's own run.state, JSON
--   vocabulary  of the model, as vocab:serialize() writes it
--   version     of lstmrun
-- Files of a run's directory: checkpoint-latest.h5, checkpoint-previous.h5 (the one before), checkpoint-best.h5;
-- checkpoint-001000.h5 and so on, which are kept to replay from; checkpoint-start.h5, where a run began in a state that
-- its options alone do not lead to, and checkpoint-start-000500.h5, where it went on with other options;
-- checkpoint-rollback.h5 (diverge.lua).

local core = require "lstm.core"
local fault = require "lstm.fault"
local json = require "lstm.json"
local ranks = require "lstm.ranks"

local sys = core.sys
local checkpoint = {}

checkpoint.latest, checkpoint.previous, checkpoint.best, checkpoint.start, checkpoint.rollback =
  "checkpoint-latest.h5", "checkpoint-previous.h5", "checkpoint-best.h5", "checkpoint-start.h5",
  "checkpoint-rollback.h5"

-- The list that core.checkpoint.write wants.
local function parameters(model)
  local tensors = {}
  for name, view in model:parameters() do tensors[#tensors + 1] = { name, view } end
  return tensors
end

-- ---- writing ------------------------------------------------------------------------------------------------------

--- What is in front of the names that belong to the i-th trainer of a run.
function checkpoint.prefix(i)
  return i == 1 and "" or ("trainer%d/"):format(i)
end

--- Writes a checkpoint; what was at path is kept as `previous` (may be nil). True, or nil and a sentence. Of several
-- ranks, each of which must call this, the first one writes what all have.
-- what: experiment (name), config and state (JSON), fit, others (a list of further trainers) and vocab (may be nil). A
-- model instead of all these: what can be said of it alone, which a run can begin with, but not go on from.
function checkpoint.write(path, previous, what)
  local model = what.model or what.fit and what.fit.model
  local tensors = what.fit and what.fit:checkpoint_tensors() or model and parameters(model) or {}
  local values = {
    experiment = what.experiment,
    config = what.config,
    state = what.state,
    model = model and json.encode(model.config),
    vocabulary = what.vocab and what.vocab:serialize(),
    version = core.version,
  }
  for i, fit in ipairs(what.others or {}) do
    local prefix = checkpoint.prefix(i + 1)
    values[prefix .. "model"] = json.encode(fit.model.config)
    for _, entry in ipairs(fit:checkpoint_tensors()) do
      tensors[#tensors + 1] = { prefix .. entry[1], entry[2] }
    end
  end
  if ranks.rank > 0 then return true end
  return core.checkpoint.write(path, previous, tensors, values)
end

-- ---- kept ones ----------------------------------------------------------------------------------------------------

local most_kept = 8

--- Steps from one kept checkpoint to the next when a run is at `step`: `every`, doubled until there are few. A function
-- of the step alone, so that a run that was stopped and resumed keeps the same ones.
function checkpoint.spacing(step, every)
  local spacing = every
  while step // spacing > most_kept do spacing = spacing * 2 end
  return spacing
end

function checkpoint.kept_name(step)
  return ("checkpoint-%06d.h5"):format(step)
end

--- Where a run goes on with other options after a step.
function checkpoint.start_name(step)
  return ("checkpoint-start-%06d.h5"):format(step)
end

-- Files of a directory whose names have a step: list of { path, step }, by step.
local function numbered(directory, pattern)
  local list = {}
  for _, name in ipairs(sys.list(directory) or {}) do
    local step = math.tointeger(tonumber(name:match(pattern)))
    if step then list[#list + 1] = { path = directory .. "/" .. name, step = step } end
  end
  table.sort(list, function(a, b) return a.step < b.step end)
  return list
end

--- Kept checkpoints of a directory: list of { path, step }, by step.
function checkpoint.kept(directory)
  return numbered(directory, "^checkpoint%-(%d%d%d%d%d%d+)%.h5$")
end

--- Those from where it went on with other options: the same.
function checkpoint.starts(directory)
  return numbered(directory, "^checkpoint%-start%-(%d%d%d%d%d%d+)%.h5$")
end

--- Removes those that are too many by now, and those beyond `step`, which the run left behind when it went back.
function checkpoint.thin(directory, step, every)
  local spacing = checkpoint.spacing(step, every)
  for _, kept in ipairs(checkpoint.kept(directory)) do
    if kept.step % spacing ~= 0 or kept.step > step then os.remove(kept.path) end
  end
end

-- ---- finding ------------------------------------------------------------------------------------------------------

local function exists(path)
  return sys.kind(path) ~= nil
end

local function holds_checkpoint(directory)
  return exists(directory .. "/" .. checkpoint.latest) or exists(directory .. "/" .. checkpoint.previous)
end

-- The run below `parent`, at most `depth` levels, whose checkpoint was written last; and when.
local function newest_run(parent, depth)
  local best, best_time
  for _, name in ipairs(sys.list(parent) or {}) do
    local directory = parent .. "/" .. name
    local time = sys.modified(directory .. "/" .. checkpoint.latest)
      or sys.modified(directory .. "/" .. checkpoint.previous)
    if not time and depth > 1 then directory, time = newest_run(directory, depth - 1) end
    if time and (not best or time > best_time) then best, best_time = directory, time end
  end
  return best, best_time
end

-- The latest one of a run's directory, and the one before.
local function generations(directory)
  return { path = directory .. "/" .. checkpoint.latest, previous = directory .. "/" .. checkpoint.previous }
end

-- Without the latest or the previous one: where else there is something to go on from.
local function elsewhere(directory)
  local kept = checkpoint.kept(directory)
  local last = kept[#kept]
  local name = last and checkpoint.kept_name(last.step) or checkpoint.best
  local path = last and last.path or directory .. "/" .. name
  local run = not exists(path) and newest_run(directory, 2)
  if run then return (": it is a directory of runs; the one trained last is --resume=%s"):format(run) end
  return exists(path) and ("; there is %s still: --resume=%s"):format(name, path)
end

-- Ends the program when the run is still going on: what it will leave to go on from is not there yet.
local function refuse_running(directory)
  local path = directory .. "/lock"
  if ranks.rank > 0 or not exists(path) then return end
  local lock <close>, reason = core.lock.take(path)
  if not lock then fault.stop(reason .. "; when that has ended, it can be resumed") end
end

local function in_directory(directory)
  if not holds_checkpoint(directory) then
    refuse_running(directory)
    fault.stop(("%s has no %s%s"):format(directory, checkpoint.latest, elsewhere(directory) or
      ": there is nothing to resume; start again without --resume"))
  end
  local found = generations(directory)
  found.directory, found.in_place = directory, true
  return found
end

--- Where --resume=spec goes on from: { path, previous, directory, in_place }. in_place: the run goes on in the same
-- directory; otherwise in a new one, so that nothing logged after that checkpoint is lost.
-- spec: "latest", "best", a run's directory or a checkpoint file; parent: where the experiment's runs are; out: --out.
function checkpoint.locate(spec, parent, out)
  if spec == "latest" or spec == "best" then
    local directory = out or newest_run(parent, 1)
    if not directory then
      fault.stop(("no run with a checkpoint below %s: there is nothing to resume"):format(parent))
    end
    local found = in_directory(directory)
    if spec == "latest" then return found end
    return { path = directory .. "/" .. checkpoint.best, directory = directory, in_place = false }
  end
  local kind, reason = sys.kind(spec)
  if not kind then fault.stop("cannot resume " .. reason) end
  local found
  if kind == "directory" then
    found = in_directory((spec:gsub("(.)/+$", "%1")))
  else
    local directory, name = spec:match "^(.*)/([^/]*)$"
    directory, name = directory or ".", name or spec
    if name == checkpoint.latest then found = in_directory(directory)
    else found = { path = spec, directory = directory, in_place = false } end
  end
  if out then found.in_place = false end
  return found
end

--- Which checkpoint has the model that `path` means: { path, previous }, or nil and a sentence. path: a checkpoint; a
-- run's directory (the best one, or without one the latest); a directory of runs, or of directories of them.
function checkpoint.find_model(path)
  local kind, reason = sys.kind(path)
  if not kind then return nil, "cannot load " .. reason end
  if kind ~= "directory" then return { path = path } end
  local directory = (path:gsub("(.)/+$", "%1"))
  local best = directory .. "/" .. checkpoint.best
  if exists(best) then return { path = best } end
  if holds_checkpoint(directory) then return generations(directory) end
  local run = newest_run(directory, 2)
  if run then return checkpoint.find_model(run) end
  return nil, ("cannot load a model from %s: there is no checkpoint in it, nor a run that has one"):format(path)
end

-- ---- reading ------------------------------------------------------------------------------------------------------

local function decoded(file, path, name)
  local text, reason = file:text(name)
  local value
  if text then value, reason = json.decode(text) end
  if type(value) ~= "table" then
    fault.stop(("%s is not the checkpoint of a run: %s"):format(path, reason or name .. " is not a table"))
  end
  return value
end

--- Reads what checkpoint.locate found: { file, path, config, state, experiment, fallback }. fallback: the reason why
-- the previous generation was taken, or nil.
function checkpoint.read(found)
  local file, reason = core.checkpoint.read(found.path, found.previous)
  if not file then
    fault.stop("cannot resume: " .. reason .. (found.previous and elsewhere(found.directory) or ""))
  end
  local path = reason and found.previous or found.path
  return {
    file = file, path = path, fallback = reason,
    config = decoded(file, path, "config"), state = decoded(file, path, "state"),
    experiment = file:text "experiment",
  }
end

local function load_all(file, path, tensors, prefix)
  for _, entry in ipairs(tensors) do
    local ok, reason = file:load(prefix .. entry[1], entry[2])
    if not ok then fault.stop(("%s does not fit this model: %s"):format(path, reason)) end
  end
end

-- Tensors of the state are those of the whole batch: a rank that has some of its rows takes these.
local function take_state(fit, tensors)
  local state = { h = {}, c = {} }
  for _, entry in ipairs(tensors) do
    local kind, layer = entry[1]:match "^state%.([hc])/l(%d+)$"
    if kind then state[kind][math.tointeger(layer)] = entry[2] end
  end
  fit:set_state(state)
end

--- Brings the i-th trainer of a run to where it was: tensors and counters.
function checkpoint.restore(saved, i, fit, counters)
  fit:set_counters(counters)
  local tensors = fit:checkpoint_tensors()
  load_all(saved.file, saved.path, tensors, checkpoint.prefix(i))
  if ranks.size > 1 then take_state(fit, tensors) end
end

--- Ends the program when a checkpoint to begin with cannot be read.
function checkpoint.check(path)
  local file <close>, reason = core.checkpoint.read(path)
  if not file then fault.stop("cannot begin with these parameters: " .. reason) end
end

--- Gives a model the parameters of a checkpoint, and nothing else. vocab (may be nil): must be the checkpoint's.
function checkpoint.init(path, model, vocab)
  local file <close>, reason = core.checkpoint.read(path)
  if not file then fault.stop("cannot begin with these parameters: " .. reason) end
  local text = file:text "vocabulary"
  if text and vocab and text ~= vocab:serialize() then
    fault.stop(("cannot begin with the parameters of %s: it was trained on a text with other symbols"):format(path))
  end
  load_all(file, path, parameters(model), "")
end

return checkpoint
