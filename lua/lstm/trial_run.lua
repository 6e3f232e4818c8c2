-- SPDX-License-Identifier: MIT
--
-- trial_run.lua - one trial of a sweep: an ordinary run that reports how it stands and, when the sweep prunes, whether
-- it is worth going on with.
--
-- The run (run.lua) tells its observer, host.trial, what happens: begin, row, step; asks it whether to pause; and keeps
-- what it reported in checkpoints, so that a resumed trial reports the same as one that was never stopped.

local asha = require "lstm.asha"
local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local fault = require "lstm.fault"
local json = require "lstm.json"
local options = require "lstm.options"
local script = require "lstm.script"
local trials = require "lstm.trials"

local sys = core.sys
local trial_run = {}
local methods = {}
local meta = { __index = methods }

local report_seconds = 1 -- from one status to the next
local report_share = 0.005 -- of the steps, from one report for the median rule to the next

local function new_observer(sweep, directory, trial, status)
  status.family = trials.family_of(sweep, trial)
  status.measured = sweep.metric.name .. " " .. sweep.metric.goal
  return setmetatable({ sweep = sweep, directory = directory, trial = trial, status = status, others = {},
    reported = {}, next_time = 0 }, meta)
end

local function write(self, durable)
  self.status.heartbeat = os.time()
  self.next_time = sys.clock() + report_seconds
  local ok, reason = trials.write_status(self.trial, self.status, durable)
  if not ok then fault.stop("cannot write the trial's status: " .. reason) end
end

-- ---- what the run tells ------------------------------------------------------------------------------------------

-- What of the status is kept in a checkpoint, to go on from there.
local kept = { "measured", "metric", "best", "best_step", "rungs", "reports" }

--- What a checkpoint keeps of the reports.
function methods:snapshot()
  local state = {}
  for _, name in ipairs(kept) do state[name] = self.status[name] end
  return state
end

local function empty(self)
  for _, name in ipairs(kept) do
    if name ~= "measured" then self.status[name] = nil end
  end
end

--- The run goes on from a checkpoint of this step. One that was made when the sweep had another metric is measured by
-- its log.
function methods:restore(state, step)
  local status = self.status
  empty(self)
  if state and state.measured == status.measured then
    for _, name in ipairs(kept) do status[name] = state[name] end
  else
    local found = trials.measure(self.trial, self.sweep.metric, step)
    status.metric, status.best, status.best_step = found.metric, found.best, found.best_step
  end
end

--- The run is about to do its steps, `total` in all; `step` are done.
function methods:begin(run, step, total)
  self.run = run
  self.status.step, self.status.steps = step, total
  if self.sweep.prune == "asha" then self.rungs = asha.rungs(total, self.sweep.budget) end
  if step == 0 then empty(self) end
  write(self)
end

--- A row of the log.
function methods:row(step, row)
  for name in pairs(row) do self.reported[name] = true end
  local value, status = row[self.sweep.metric.name], self.status
  if not value then return end
  status.metric, self.fresh = value, true
  if not status.best or asha.better(value, status.best, self.sweep.metric.goal) then
    status.best, status.best_step = value, step
  end
end

local function rank_on_rung(self, step)
  local status, sweep = self.status, self.sweep
  status.rungs = status.rungs or {}
  local rung = #status.rungs + 1
  if not self.rungs[rung] or step < self.rungs[rung] then return end
  status.rungs[rung] = status.best
  write(self)
  local goes_on, rank, count = asha.promotable(trials.family(self.directory, status.family), self.trial.id, rung,
    sweep.metric, sweep.budget.eta)
  if not goes_on then return ("rung %d, step %d: %d. of %d"):format(rung, step, rank, count) end
end

local function compare_with_median(self, step)
  local status, sweep = self.status, self.sweep
  status.reports = status.reports or {}
  local last = status.reports[#status.reports]
  if last and step - last[1] < report_share * status.steps then return end
  status.reports[#status.reports + 1] = { step, status.metric }
  if step < (sweep.budget.min_steps or status.steps / 10) then return end
  local worse, middle = asha.below_median(trials.family(self.directory, status.family), self.trial.id,
    step / status.steps, status.best, sweep.metric)
  if worse then
    return ("step %d: %s %.4g is worse than the others' median %.4g"):format(step, sweep.metric.name, status.best, middle)
  end
end

local judges = { asha = rank_on_rung, median = compare_with_median }

--- A step is over. Returns a reason for which the run should pause, or nil.
function methods:step(step)
  local status, fresh = self.status, self.fresh
  status.step, self.fresh = step, nil
  if sys.clock() >= self.next_time then
    if not trials.holds(self.trial, status) then
      self.lost = true
      fault.stop(("trial %s was taken over by another process, which took this one for dead"):format(self.trial.id))
    end
    status.loss, status.seconds = self.run.smoothed, self.run:seconds()
    write(self)
  end
  local judge = judges[self.sweep.prune]
  if judge and fresh and step < status.steps then self.pause = judge(self, step) end
  return self.pause
end

-- ---- the end ------------------------------------------------------------------------------------------------------

local function check_metric(self)
  if self.status.best then return end
  local name, names = self.sweep.metric.name, options.keys(self.reported)
  local what = #names > 0 and "it reports " .. table.concat(names, ", ") or "it reported nothing"
  fault.stop(("the experiment never reported the sweep's metric '%s'%s; %s"):format(name,
    options.suggestion(name, names), what), fault.USAGE)
end

local function first_line(message)
  return (fault.is_stop(message) and message.message or tostring(message)):match "^[^\n]*"
end

-- The status of a run that ended by an error, as it goes up.
local function outcome(self, err)
  if self.pause then return "pruned", self.pause, 0 end
  local signal, status = sys.stop_signal()
  if fault.is_stop(err) then
    if err.status == fault.RESUMABLE or err.status == fault.INTERRUPTED then
      return "stopped", signal and "stopped by SIG" .. signal, err.status
    end
    return "failed", first_line(err), err.status
  end
  if signal and tostring(err):find "interrupted" then return "stopped", "stopped by SIG" .. signal, status end
  return "failed", first_line(err), fault.ERROR
end

local function finish(self, name, reason, exit)
  local status = self.status
  status.status, status.reason, status.exit = name, reason, exit
  if self.run then status.step, status.loss, status.seconds = self.run.step, self.run.smoothed, self.run:seconds() end
  if name == "failed" then status.failures = status.failures + 1 end
  write(self, true)
end

-- ---- running it ---------------------------------------------------------------------------------------------------

-- What a run leaves that was killed before its first checkpoint.
local function remove_remnants(directory)
  for _, name in ipairs { "log.h5", "log.h5.journal", "metrics.csv" } do os.remove(directory .. "/" .. name) end
end

-- What command.lua would have read from a command line.
local function arguments(trial)
  local given = {}
  for _, name in ipairs { checkpoint.latest, checkpoint.previous } do
    if sys.kind(trial.directory .. "/" .. name) then
      given.resume = trial.directory
      return given
    end
  end
  remove_remnants(trial.directory)
  for _, list in ipairs { trial.fixed, trial.params, { { "seed", trial.seed } } } do
    for _, pair in ipairs(list) do given[#given + 1] = { pair[1], pair[2] } end
  end
  return given
end

-- Of which code a trial is: of all that has worked on it, one after the other.
local function note_code(status, code, goes_on)
  local before = goes_on and status.code
  if not goes_on then status.code = code
  elseif before and code and before:sub(-#code) ~= code then status.code = before .. " " .. code end
end

local function refuse(trial, status)
  if status.status == "done" then
    print(("trial %s is done already, in %s"):format(trial.id, trial.directory))
    return false
  end
  fault.stop(("trial %s is at work already: process %s on %s; it is not begun twice"):format(trial.id,
    tostring(status.pid), tostring(status.host)))
end

--- Runs a trial, in its directory, as command.run_experiment does it (run_experiment). Errors go on to the caller after
-- they are noted in the status. Returns false when there is nothing to do.
function trial_run.run(sweep, directory, trial, host, run_experiment)
  trials.create(trial)
  local status, other = trials.claim(trial)
  if not status then return refuse(trial, other) end
  trials.keep(trial, status)
  local self, given = new_observer(sweep, directory, trial, status), arguments(trial)
  note_code(status, script.code(sweep.experiment.run), given.resume)
  write(self)
  host.trial, host.out = self, not given.resume and trial.directory or nil
  local ok, err = xpcall(function()
    trials.check_data(sweep, trial)
    run_experiment(sweep.experiment, given, host)
    check_metric(self)
  end, fault.handler(false))
  if self.lost then error(err, 0) end
  if ok then finish(self, "done", nil, 0) else finish(self, outcome(self, err)) end
  if not ok then error(err, 0) end
end

return trial_run
