-- SPDX-License-Identifier: MIT
--
-- dryrun.lua - what an experiment would take, before anything of size is made: lstmrun SCRIPT --dry-run
--
-- The experiment's function runs up to its loop, but lstm.model and model:trainer only write down what they are asked
-- for; the objects themselves are made when the script wants more of them than that. Then the engine plans for it, and a
-- small model of the same kind is timed to know this machine's speed.

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local describe = require "lstm.describe"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local limits = require "lstm.limits"
local watch = require "lstm.watch"

local sys = core.sys
local dryrun = {}

local measured_seconds = 0.4
local usual_metrics = 9 -- of each step of a trainer
local metric_bytes = 25 -- of one at one step: 18 of metrics.csv, 7 of log.h5
local empty_log, empty_checkpoint = 64 << 10, 16 << 10 -- without a number in it

-- The object that is stood in for, made once. make(): a new one, of so many bytes; key: what the script wants of it.
local function the_real(made, make, bytes, key)
  if made[1] then return made[1] end
  local here = sys.memory()
  if here and bytes > here / 2 then
    fault.stop(("a dry run makes no network of %s, and the script wants its '%s' before the loop over run:steps")
      :format(format.bytes(bytes), tostring(key)))
  end
  made[1] = make()
  return made[1]
end

-- Stands in for an object: has the fields of its configuration, and can be closed; for all else there is the real one.
local function stand_in(typename, config, methods, real)
  return setmetatable({}, {
    __name = typename,
    __close = function(self) self:close() end,
    __index = function(_, key)
      local value = methods[key]
      if value == nil then value = config[key] end
      if value ~= nil then return value end
      local object = real(key)
      value = object[key]
      if type(value) ~= "function" then return value end
      return function(_, ...) return value(object, ...) end
    end,
  })
end

-- The engine's plan. What is wrong in a configuration is told as lstm.model and model:trainer tell it, at their lines.
local function plan_for(config, settings)
  local ok, plan = pcall(core.plan, config, settings)
  if ok then return plan end
  fault.mistake((fault.without_position(plan):gsub("#1 to 'plan'", "#1 to 'model'")
    :gsub("#2 to 'plan'", "#1 to 'trainer'")))
end

local function closing(made)
  return function() if made[1] then made[1]:close() end end
end

local function model_stand_in(config)
  local its, made = plan_for(config, { batch = 1, seq = 1 }), {}
  local function real(key)
    return the_real(made, function() return core.model(config) end, its.model_bytes, key)
  end
  local methods = { config = config, close = closing(made) }
  function methods.trainer(model, settings)
    local plan, trainer = plan_for(config, settings), {}
    return stand_in("lstm.trainer", settings, { config = settings, model = model, model_config = config, plan = plan,
      close = closing(trainer) }, function(key)
      return the_real(trainer, function() return real(key):trainer(settings) end, plan.model_bytes + plan.trainer_bytes, key)
    end)
  end
  return stand_in("lstm.model", config, methods, real)
end

--- Until the result is closed, lstm.model makes stand-ins.
function dryrun.watch()
  local lstm = require "lstm"
  local real = lstm.model
  lstm.model = model_stand_in
  return setmetatable({}, { __close = function() lstm.model = real end })
end

local function with(settings, changes)
  local result = {}
  for key, value in pairs(settings) do result[key] = value end
  for key, value in pairs(changes) do result[key] = value end
  return result
end

local function batch(model, trainer)
  local T, B = trainer.seq, trainer.batch
  local function vectors(width) return width and core.tensor.normal { T, B, width, seed = 1 } end
  local function ids(wanted) return wanted and core.tensor.zeros { T, B } or nil end
  return { x = vectors(model.input), ids = ids(model.vocab), y = vectors(model.output),
    targets = ids(not model.output) }
end

-- Arithmetic operations a second of a small model like the one that is asked for; nil when none can be made.
local function speed(fit, text)
  local asked = fit.model_config
  local small = with(asked, { hidden = math.min(asked.hidden, 256), layers = math.min(asked.layers or 1, 2) })
  small.init = nil
  local settings = with(fit.config, { batch = math.min(fit.batch, 64), seq = math.min(fit.seq, 32) })
  local plan = core.plan(small, settings)
  local model <close> = core.model(small)
  local trainer <close> = model:trainer(settings)
  local source = text or batch(small, settings)
  trainer:step(source)
  local started, steps = sys.clock(), 0
  repeat
    trainer:step(source)
    steps = steps + 1
  until sys.clock() - started > measured_seconds
  return plan.flops_per_step * steps / (sys.clock() - started)
end

--- What the networks of a captured run take together: parameters, model_bytes, trainer_bytes, flops_per_step.
function dryrun.plan(run)
  local sum = { parameters = 0, model_bytes = 0, trainer_bytes = 0, flops_per_step = 0 }
  for _, fit in ipairs(run:trainers()) do
    for name, value in pairs(sum) do sum[name] = value + fit.plan[name] end
  end
  return sum
end

--- Seconds that a step of a captured run would take, by a measurement; nil when none can be made.
function dryrun.seconds_per_step(run)
  local known, rate = pcall(speed, run.fit, run.text)
  return known and dryrun.plan(run).flops_per_step / rate or nil
end

--- ", of 15.6 GiB in this machine", or a warning. max_memory (may be nil): a bound, as the option has it.
function dryrun.compared_to_machine(bytes, max_memory)
  local most = max_memory and limits.bytes(max_memory)
  if most and bytes > most then return (": MORE than max_memory=%s"):format(max_memory) end
  local here = sys.memory()
  if not here then return "" end
  return (bytes > here and ": MORE than the %s of this machine" or ", of %s in this machine"):format(format.bytes(here))
end

--- Bytes that a captured run leaves on the disk: { metrics (when each step has a row), records (of the network's inside),
-- checkpoints (each with the parameters and two moments of them), all }.
function dryrun.disk(run)
  local fit, plan = run.fit, dryrun.plan(run)
  local metrics = empty_log + run.total * (usual_metrics + #run.description.metrics) * metric_bytes
  local records = watch.bytes(function(name) return run:option(name) end, fit.model_config, fit.config,
    fit.plan.parameters, run.total)
  local keep_every = run:option "keep_every"
  local kept = keep_every > 0 and run.total // checkpoint.spacing(run.total, keep_every) or 0
  local real = fit.model_config.precision == "double" and 8 or 4
  local checkpoints = (3 + kept) * (empty_checkpoint + 3 * plan.parameters * real) -- latest, previous, best
  return { metrics = metrics, records = records, checkpoints = checkpoints, all = metrics + records + checkpoints }
end

-- Free bytes where a path is, or will be; nil when unknown.
local function free_bytes(path)
  while path:find "[^/]/" and not sys.kind(path) do path = path:match "^(.*[^/])/+[^/]*/*$" end
  return sys.free(sys.kind(path) and path or path:find "^/" and "/" or ".")
end

--- ", of 73.9 GiB free", or a warning. path: where they shall be.
function dryrun.compared_to_disk(bytes, path)
  local free = free_bytes(path)
  if not free then return "" end
  return (bytes > free and ": MORE than the %s that are free" or ", of %s free"):format(format.bytes(free))
end

local function disk_line(disk, host)
  local parts = {}
  for _, name in ipairs { "metrics", "records", "checkpoints" } do
    if disk[name] > 0 then parts[#parts + 1] = name .. " " .. format.bytes(disk[name]) end
  end
  return ("disk        about %s (%s)%s"):format(format.bytes(disk.all), table.concat(parts, ", "),
    dryrun.compared_to_disk(disk.all, host.out or host.runs))
end

local function report(run)
  local fit, plan = run.fit, dryrun.plan(run)
  local disk = dryrun.disk(run)
  local seconds = dryrun.seconds_per_step(run)
  if run.host.progress == "json" then
    io.stdout:write(json.utf8 { event = "plan", parameters = plan.parameters, model_bytes = plan.model_bytes,
      trainer_bytes = plan.trainer_bytes, metric_bytes = disk.metrics, record_bytes = disk.records,
      checkpoint_bytes = disk.checkpoints, precision = fit.plan.precision, steps = run.total, seconds_per_step = seconds,
      seconds = seconds and seconds * run.total or nil }, "\n")
    return
  end
  print(("parameters  %s"):format(format.count(plan.parameters)))
  local bytes = plan.model_bytes + plan.trainer_bytes
  print(("memory      %s (model %s, training %s)%s"):format(format.bytes(bytes), format.bytes(plan.model_bytes),
    format.bytes(plan.trainer_bytes), dryrun.compared_to_machine(bytes, run:option "max_memory")))
  print(disk_line(disk, run.host))
  local precision = describe.precision(fit.model_config.precision, fit.plan.precision)
  if precision then print("precision   " .. precision) end
  if not seconds then print "time        unknown" return end
  local each = seconds < 1 and ("%.3g ms"):format(1000 * seconds) or format.duration(seconds)
  print(("time        about %s for %s (%s a step)"):format(format.duration(seconds * run.total),
    format.plural(run.total, "step"), each))
end

--- Runs an experiment's function with a configuration up to its loop: the run, with `fit` (a stand-in that has `plan`; nil
-- when nothing is trained), `text` and `total`; nil when there is no loop.
function dryrun.capture(description, cfg, host)
  local captured, marker = nil, {}
  local restore <close> = dryrun.watch()
  local this = require "lstm.run".new { description = description, cfg = cfg, host = with(host, { dry_run = {
    report = function(run)
      captured = run
      error(marker, 0)
    end } }) }
  local ok, err = xpcall(description.run, function(problem)
    return problem == marker and marker or fault.handler(false)(problem)
  end, cfg, this)
  if not ok and err ~= marker then error(err, 0) end
  return captured
end

--- Says what the run would take, and ends the program.
function dryrun.report(run)
  if run.fit then report(run) else print "run:steps was given no trainer: no plan" end
  fault.stop(nil, 0)
end

return dryrun
