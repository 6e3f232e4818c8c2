-- SPDX-License-Identifier: MIT
--
-- sweep_plan.lua - what a sweep would take: memory and time of its trials, before any of them begins.
--
-- The experiment's function runs up to its loop (dryrun.lua) for the configurations, or for some of them when there are
-- many; a few networks, from the smallest to the largest, are timed.

local core = require "lstm.core"
local dryrun = require "lstm.dryrun"
local fault = require "lstm.fault"
local json = require "lstm.json"

local sys = core.sys
local plan = {}

local most_planned, most_timed = 48, 5
local program_bytes = 32 << 20 -- of a process beside its network

-- n of a list's entries, as evenly spread as can be.
local function spread(list, n)
  if #list <= n then return list end
  local some = {}
  for k = 1, n do some[k] = list[math.floor(1.5 + (k - 1) * (#list - 1) / (n - 1))] end
  return some
end

-- One trial of each configuration.
local function configurations(list)
  local firsts, known = {}, {}
  for _, trial in ipairs(list) do
    local key = json.encode { trial.params }
    if not known[key] then firsts[#firsts + 1] = trial end
    known[key] = true
  end
  return firsts
end

-- The run of a trial up to its loop; nil and a sentence when it would not come so far.
local function try(sweep, trial, host)
  local ok, run = pcall(dryrun.capture, sweep.experiment, sweep:configuration(trial.params), host)
  if not ok and sys.stop_signal() then error(run, 0) end
  if not ok then return nil, fault.is_stop(run) and run.message or tostring(run):match "^[^\n]*" end
  if not run then return nil, "it has no loop over run:steps" end
  return run
end

-- { trial, run, steps, step_flops, bytes, disk } of trials, smallest first; { trial, problem } of those that would fail;
-- and the number of those in which nothing is trained.
local function plan_all(sweep, firsts, host)
  local plans, problems, unknown = {}, {}, 0
  for _, trial in ipairs(firsts) do
    local run, problem = try(sweep, trial, host)
    if not run then problems[#problems + 1] = { trial = trial, problem = problem }
    elseif not run.fit then unknown = unknown + 1
    else
      local its = dryrun.plan(run)
      plans[#plans + 1] = { trial = trial, run = run, steps = run.total, step_flops = its.flops_per_step,
        bytes = its.model_bytes + its.trainer_bytes + program_bytes,
        disk = dryrun.disk(run).all }
    end
  end
  table.sort(plans, function(a, b)
    if a.step_flops ~= b.step_flops then return a.step_flops < b.step_flops end
    return a.trial.index < b.trial.index
  end)
  return plans, problems, unknown
end

-- Some of the plans get the seconds that a step takes, the others those of their neighbour, scaled.
local function time_some(plans)
  for _, each in ipairs(spread(plans, most_timed)) do each.step_seconds = dryrun.seconds_per_step(each.run) end
  local last
  for _, each in ipairs(plans) do
    if each.step_seconds then last = each
    elseif last then each.step_seconds = last.step_seconds * each.step_flops / last.step_flops end
    each.seconds = each.step_seconds and each.step_seconds * each.steps
  end
end

local function share_left(trial)
  local status = trial.status
  if not status or not status.steps or status.steps <= 0 then return 1 end
  return 1 - math.min(1, (status.step or 0) / status.steps)
end

-- Trials' worth of work that is left.
local function work_left(list)
  local left = 0
  for _, trial in ipairs(list) do
    if trial.status.status ~= "done" then left = left + share_left(trial) end
  end
  return left
end

local function extremes(plans, result)
  local sum, n = 0, 0
  for _, each in ipairs(plans) do
    result.disk = (result.disk or 0) + each.disk / #plans
    result.bytes = math.max(result.bytes or 0, each.bytes)
    if each.seconds then
      sum, n = sum + each.seconds, n + 1
      if not result.shortest or each.seconds < result.shortest.seconds then result.shortest = each end
      if not result.longest or each.seconds > result.longest.seconds then result.longest = each end
    end
  end
  return n > 0 and sum / n or nil
end

--- What the trials of a list (each with `status`) that are not done would take with so many at a time, of so many threads
-- each: { configurations, planned (how many of these were looked at), problems (a list of { trial, problem }: which would
-- fail), unknown (how many train nothing), bytes (of the largest process), disk (bytes that a trial leaves there, the
-- mean), seconds (of the whole), shortest and longest: { trial, seconds } }. bytes, disk, seconds, shortest and longest may be nil.
function plan.estimate(sweep, list, jobs, threads, host)
  local firsts = configurations(list)
  core.threads(threads)
  local some = spread(firsts, most_planned)
  local plans, problems, unknown = plan_all(sweep, some, host)
  time_some(plans)
  local result = { configurations = #firsts, planned = #some, problems = problems, unknown = unknown }
  local mean = extremes(plans, result)
  if mean then
    local left = work_left(list)
    result.seconds = math.max(left * mean / jobs, left > 0 and mean or 0)
  end
  return result
end

return plan
