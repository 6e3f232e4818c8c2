-- SPDX-License-Identifier: MIT
--
-- load.lua - the model of a checkpoint: to look at, to write with, to evaluate, to train on.
--
--     local model, from = assert(lstm.load "runs/shakespeare/2026-11-26-0242")
--     print(model:sample { prime = "The ", length = 300 })

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local fault = require "lstm.fault"
local json = require "lstm.json"
local options = require "lstm.options"

-- What may be other than it was while training.
local changeable = { "precision", "dropout", "max_memory" }

local function check(path, changes)
  if type(path) ~= "string" then
    fault.mistake(("bad argument #1 to 'load' (path expected, got %s)"):format(type(path)))
  end
  if type(changes) ~= "table" then
    fault.mistake(("bad argument #2 to 'load' (table expected, got %s)"):format(type(changes)))
  end
  local known = { trainer = true }
  for _, name in ipairs(changeable) do known[name] = true end
  if changes.trainer ~= nil and (not math.tointeger(changes.trainer) or changes.trainer < 1) then
    fault.mistake(("bad argument #2 to 'load' (field 'trainer': positive integer expected, got %s)"):format(
      tostring(changes.trainer)))
  end
  for name in pairs(changes) do
    if not known[name] then
      fault.mistake(("bad argument #2 to 'load' (field '%s' cannot be changed%s; expected one of %s)"):format(name,
        options.suggestion(tostring(name), changeable), table.concat(changeable, ", ")))
    end
  end
end

local function json_of(file, name)
  local text, reason = file:text(name)
  if not text then return nil, reason end
  local value
  value, reason = json.decode(text)
  if type(value) ~= "table" then return nil, reason or name .. " is not a table" end
  return value
end

-- How many numbers the parameters in a file are; what the optimiser and the state have is in groups.
local function size_of(file, prefix)
  local size = 0
  for _, name in ipairs(file:names()) do
    local own = name:sub(1, #prefix) == prefix and not name:find("/", #prefix + 1, true)
    local product = own and 1 or 0
    for _, n in ipairs(file:shape(name) or { 0 }) do product = product * n end
    size = size + product
  end
  return size
end

-- Before memory is taken for it: a few damaged bytes may ask for any number of units. nil and a sentence when what the
-- file says of its model and its parameters differ; what else is wrong with it lstm.model says.
local function check_size(file, config, prefix)
  local known, plan = pcall(core.plan, config, { batch = 1, seq = 1 })
  local size = size_of(file, prefix)
  if not known or plan.parameters == size then return true end
  return nil, ("it has %d parameters, its model %d"):format(size, plan.parameters)
end

-- What lstm.model is to make, and the type of the numbers in the file; or nil and a sentence.
local function config_of(file, changes, prefix)
  if prefix ~= "" and not file:text(prefix .. "model") then return nil, "it has no such trainer" end
  if not file:text "model" then
    return nil, "it does not say what its model is like (lstmrun wrote it before it could be loaded): " ..
      "make the model with lstm.model and begin with --init-from"
  end
  local config, reason = json_of(file, prefix .. "model")
  if not config then return nil, reason end
  local type = config.precision == "double" and "double" or "float"
  config.init, config.forget_bias, config.max_memory = "zeros", 0, nil -- parameters come from the file
  local sound
  sound, reason = check_size(file, config, prefix)
  if not sound then return nil, reason end
  local symbols = config.vocab and file:text "vocabulary"
  if symbols then
    local vocab
    vocab, reason = core.vocabulary(symbols)
    if not vocab then return nil, reason end
    if #vocab == config.vocab then config.vocab = vocab end
  end
  for _, name in ipairs(changeable) do
    if changes[name] ~= nil then config[name] = changes[name] end
  end
  return config, type
end

-- A mistake in what was asked for is the script's, anything else the file's.
local function make(config, changes)
  local made, model = pcall(core.model, config)
  if made then return model end
  local reason = fault.without_position(model)
  reason = reason:match "^bad argument #1 to 'model' %((.*)%)$" or reason
  if changes[reason:match "^field '([%w_]+)'"] ~= nil or changes.max_memory then
    fault.mistake(("bad argument #2 to 'load' (%s)"):format(reason))
  end
  return nil, reason
end

-- Parameters that were kept in another type of numbers are rounded, or widened.
local function load_parameter(file, name, view, type)
  if view.type == type then return file:load(name, view) end
  local shape = view.shape
  shape.type = type
  local kept = core.tensor.zeros(shape)
  local ok, reason = file:load(name, kept)
  if ok then view:assign(kept) end
  return ok, reason
end

local function load_parameters(file, prefix, model, type)
  for name, view in model:parameters() do
    local ok, reason = load_parameter(file, prefix .. name, view, type)
    if not ok then
      model:close()
      return nil, reason
    end
  end
  return model
end

local function model_in(file, changes)
  local prefix = checkpoint.prefix(changes.trainer or 1)
  local config, type = config_of(file, changes, prefix)
  if not config then return nil, type end
  local model, reason = make(config, changes)
  if not model then return nil, reason end
  return load_parameters(file, prefix, model, type)
end

--- The model of a checkpoint, with its parameters and its vocabulary; and where it is from: a table of `path`, `step`,
-- `experiment` and `config`, the experiment's options (a file that lstm.save wrote has a path alone). nil and a sentence
-- when there is none, or it is damaged.
-- path: a checkpoint, a run's directory (its best one, or without validations its latest), or a directory of runs (the
-- one that was trained last). changes (may be nil): `precision`, `dropout`, `max_memory` as lstm.model has them; and
-- `trainer`: of a run that has several, the model of the second one, ...
-- The caller owns the model. Nothing is written, and a run that goes on may be looked at.
local function load(path, changes)
  changes = changes or {}
  check(path, changes)
  local found, reason = checkpoint.find_model(path)
  if not found then return nil, reason end
  local file <close>, problem = core.checkpoint.read(found.path, found.previous)
  if not file then return nil, problem end
  local from = { path = problem and found.previous or found.path, experiment = file:text "experiment" }
  local model
  model, reason = model_in(file, changes)
  if not model then return nil, ("cannot load the model of %s: %s"):format(from.path, reason) end
  from.config, from.step = json_of(file, "config") or {}, (json_of(file, "state") or {}).step
  return model, from
end

return load
