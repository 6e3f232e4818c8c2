-- SPDX-License-Identifier: MIT
--
-- sweep_runner.lua - runs a sweep's trials, each in a process of its own, several at a time.
--
-- What is to be done is read from what the trials wrote on the disk (trials.lua), so that any number of runners, on any
-- number of machines, can work on one directory, and one that was killed can be run again. A trial's process claims it
-- by itself; when two runners start the same one, the second process finds that out and ends.

local asha = require "lstm.asha"
local core = require "lstm.core"
local fault = require "lstm.fault"
local format = require "lstm.format"
local trials = require "lstm.trials"

local sys, process = core.sys, core.process
local runner = {}
local methods = {}
local meta = { __index = methods }

local grace = tonumber(os.getenv "LSTMRUN_GRACE") or 30 -- seconds from SIGTERM to SIGKILL
local look_again = 2 -- seconds from one look at what other runners do to the next
local signal_names = { [4] = "SIGILL", [6] = "SIGABRT", [7] = "SIGBUS", [8] = "SIGFPE", [9] = "SIGKILL", [11] = "SIGSEGV",
  [15] = "SIGTERM", [24] = "SIGXCPU", [25] = "SIGXFSZ" }

local function know(self, trial)
  self.by_id[trial.id] = trial
  self.families[trials.family_of(self.sweep, trial)] = self.sweep.prune
end

--- settings: sweep, list (of trials), directory, command (function: trial -> { program, argument, ... }), jobs,
-- display (sweep_display.lua), fail_fast (boolean), retry (true: failed trials, however often they failed; "any": pruned
-- ones, too), reports (boolean: the display is told of what other runners' trials come to).
function runner.new(settings)
  local self = setmetatable({ running = {}, again = {}, others = {}, cursor = 0, looked_at = {}, next_look = 0,
    by_id = {}, families = {} }, meta)
  for key, value in pairs(settings) do self[key] = value end
  for _, trial in ipairs(self.list) do know(self, trial) end
  self.deadline = self.sweep.budget.seconds and sys.clock() + self.sweep.budget.seconds
  self.display.goes_on = function(trial) return self:goes_on(trial) end
  return self
end

--- Whether a status is one that a sweep ends with.
function runner.is_over(status)
  return status.status == "done" or status.status == "failed" or status.status == "pruned"
end

-- ---- which trial is next ------------------------------------------------------------------------------------------

local function may_retry(self, status)
  if status.exit == fault.DIVERGED or status.exit == fault.USAGE then return false end
  if fault.is_certain(status.reason or "") then return false end
  return status.failures <= self.sweep.retries
end

-- Whether a trial that stands so is to be run.
local function is_open(self, status)
  if status.status == "pending" or status.status == "stopped" then return true end
  if status.status == "pruned" and not self.families[status.family] then return true end -- by another rule, or none now
  if self.retry == "any" then return status.status == "failed" or status.status == "pruned" end
  return status.status == "failed" and (self.retry or may_retry(self, status))
end

--- The trials that are to be run: a list.
function methods:open()
  local list = {}
  for _, trial in ipairs(self.list) do
    if is_open(self, trial.status) then list[#list + 1] = trial end
  end
  return list
end

--- Whether a trial is running or still to be run here.
function methods:goes_on(trial)
  if self.running[trial.id] then return true end
  for _, other in ipairs(self.again) do
    if other == trial then return true end
  end
  return self.by_id[trial.id] ~= nil and not self.looked_at[trial.id] and is_open(self, trial.status)
end

-- Reads how a trial stands. What others are at is kept, to be looked at again; what they brought to its end is told of.
local function see(self, trial)
  local was_over = trial.status and runner.is_over(trial.status)
  trial.status = trials.status(trial)
  if self.running[trial.id] then return end
  self.others[trial.id] = trial.status.status == "running" and trial or nil
  if self.reports and not was_over and runner.is_over(trial.status) then
    self.display:ended({ trial = trial }, false)
  end
end

-- Looks at a trial: whether it is to be started.
local function look(self, trial)
  if trial.status and trial.status.status == "done" then return false end
  see(self, trial)
  return is_open(self, trial.status)
end

local function from_list(self)
  while self.cursor < #self.list do
    self.cursor = self.cursor + 1
    local trial = self.list[self.cursor]
    self.looked_at[trial.id] = true
    if look(self, trial) then return trial end
  end
end

-- Trials that were not in the list from the beginning.
local function from_chooser(self)
  local new = self.chooser and self.chooser:next()
  if not new then return nil end
  for _, trial in ipairs(new) do
    if not self.by_id[trial.id] then
      self.list[#self.list + 1] = trial
      know(self, trial)
    end
  end
  self.display:grown()
  return from_list(self) or from_chooser(self)
end

local function from_others(self)
  for _, trial in pairs(self.others) do
    if look(self, trial) then return trial end
  end
end

-- A paused trial that may go on. Those that had not begun or were done are not read again, but for `all`.
local function promoted(self, all)
  local list = {}
  for _, trial in ipairs(self.list) do
    local known = trial.status and trial.status.status
    if all or known ~= "pending" and known ~= "done" then see(self, trial) end
    trial.status.id = trial.id
    if self.running[trial.id] then trial.status.status = "running" end -- whether it has come so far to say so or not
    if self.families[trial.status.family] then list[#list + 1] = trial.status end
  end
  return self.by_id[asha.next(list, self.sweep.metric, self.sweep.budget.eta)]
end

local function next_trial(self)
  if #self.again > 0 then return table.remove(self.again, 1) end
  local now = sys.clock()
  local due = now >= self.next_look and next(self.others)
  if due then self.next_look = now + look_again end
  if self.sweep.prune == "asha" and (self.changed or due) then
    local trial = promoted(self, due or not self.looked)
    self.looked = true
    if trial then return trial end
    self.changed = false
  end
  return from_list(self) or from_chooser(self) or due and from_others(self) or nil
end

-- What has become of the trials that other runners are at: not more often than costs a fiftieth of the time.
local function report_others(self)
  local now = sys.clock()
  if not self.reports or now < (self.next_report or 0) then return end
  for _, trial in ipairs(self.list) do
    if not self.running[trial.id] and not runner.is_over(trial.status) then see(self, trial) end
  end
  local after = sys.clock()
  self.next_report = after + math.max(look_again, 50 * (after - now))
end

-- ---- starting and ending ------------------------------------------------------------------------------------------

local function start(self, trial)
  trials.create(trial)
  local pid, reason = process.spawn(self.command(trial), trial.directory .. "/output.txt")
  if not pid then fault.stop("cannot start a trial: " .. reason) end
  local job = { trial = trial, pid = pid, started = sys.clock() }
  job.deadline = self.sweep.timeout and job.started + self.sweep.timeout
  self.running[trial.id] = job
  self.display:started(job)
end

local function fill(self)
  local n = 0
  for _ in pairs(self.running) do n = n + 1 end
  while n < self.jobs and not self.stopping do
    if self.deadline and sys.clock() > self.deadline then
      self.out_of_time = true
      return
    end
    local trial = next_trial(self)
    if not trial then return end
    start(self, trial)
    n = n + 1
  end
end

-- SIGTERM lets a trial write a checkpoint; one that does not heed it within the time of grace is killed.
local function tell_to_end(job)
  process.kill(job.pid, job.told and "KILL" or "TERM")
  job.told, job.deadline = true, sys.clock() + grace
end

local function end_all(self)
  for _, job in pairs(self.running) do
    if not job.told then tell_to_end(job) end
  end
end

-- What the process itself could not write.
local function note_failure(trial, status, reason, exit)
  status.status, status.reason, status.exit, status.attempt = "failed", reason, exit, status.claims
  status.failures = status.failures + 1
  local ok, problem = trials.write_status(trial, status, true)
  if not ok then fault.stop("cannot write the sweep's files: " .. problem) end
end

local function reason_of(trial, how, code)
  if how == "signal" then
    local hint = code == 9 and ", by somebody or because memory ran out" or ""
    return ("killed by %s%s"):format(signal_names[code] or "signal " .. code, hint)
  end
  local tail = trials.tail(trial, 1)[1]
  return tail and tail:gsub("^lstmrun: ", "") or ("ended with status %d, without a word"):format(code)
end

-- The status of a job that has ended.
local function status_after(self, job, how, code)
  local trial = job.trial
  local status = trials.status(trial)
  if job.timed_out and status.status ~= "done" then
    note_failure(trial, status, ("took longer than timeout=%g seconds"):format(self.sweep.timeout), 124)
  elseif status.status == "pending" or status.status == "stopped" and (how == "signal" or status.exit == nil) then
    note_failure(trial, status, reason_of(trial, how, code), how == "signal" and 128 + code or code)
  end
  return status
end

local function ended(self, job, how, code)
  local trial = job.trial
  self.running[trial.id], self.changed = nil, true
  local stopping = self.stopping and (how == "signal" or code == fault.RESUMABLE or code == fault.INTERRUPTED)
  trial.status = stopping and trials.status(trial) or status_after(self, job, how, code)
  local status = trial.status
  self.others[trial.id] = status.status == "running" and trial or nil
  local retry = status.status == "failed" and may_retry(self, status) and not self.stopping
  if retry then self.again[#self.again + 1] = trial end
  self.display:ended(job, retry)
  if status.status == "failed" and not retry and self.fail_fast and not self.stopping then
    self.stopping = "failed"
    end_all(self)
  end
end

local function enforce_timeouts(self)
  local now = sys.clock()
  for _, job in pairs(self.running) do
    if job.deadline and now > job.deadline then
      job.timed_out = job.timed_out or not job.told
      tell_to_end(job)
    end
  end
end

-- Waits until a job ends or the display is due.
local function wait(self)
  local pids, by_pid, seconds = {}, {}, self.display:patience()
  local now = sys.clock()
  if next(self.others) then seconds = math.min(seconds, look_again) end
  for _, job in pairs(self.running) do
    pids[#pids + 1], by_pid[job.pid] = job.pid, job
    if job.deadline then seconds = math.min(seconds, math.max(0, job.deadline - now) + 0.01) end
  end
  local pid, how, code = process.wait(pids, seconds)
  while pid do
    ended(self, by_pid[pid], how, code)
    by_pid[pid] = nil
    pids = {}
    for other in pairs(by_pid) do pids[#pids + 1] = other end
    pid, how, code = process.wait(pids, 0)
  end
end

local function check_signal(self)
  if self.stopping then return end
  local signal = sys.stop_signal()
  if not signal then return end
  self.stopping = signal
  self.display:say "stopping: the trials finish their steps and write checkpoints (again to quit at once)"
  for _, job in pairs(self.running) do process.kill(job.pid, "TERM") end
end

-- Nothing is left but what other processes are at.
local function tell_waiting(self)
  if self.waiting_told then return end
  self.waiting_told = true
  local n = 0
  for _ in pairs(self.others) do n = n + 1 end
  local _, trial = next(self.others)
  self.display:print(("waiting for %s that others are at work on (%s: process %s on %s)"):format(
    format.plural(n, "trial"), trial.id, tostring(trial.status.pid), tostring(trial.status.host)))
end

--- Runs what is to be run. Returns why it ended early: "failed" (fail_fast), the name of a signal, "time", or nil.
function methods:run()
  self.changed = true
  sys.on_signal "note"
  process.setenv("LSTMRUN_SWEEP", tostring(sys.pid()))
  process.setenv("LSTMRUN_MPI", "no") -- a trial trains by itself
  repeat
    check_signal(self)
    fill(self)
    local busy = next(self.running) ~= nil
    local waits = not self.stopping and not self.out_of_time and next(self.others) ~= nil
    if not busy and waits then tell_waiting(self) end
    if busy or waits then
      wait(self)
      enforce_timeouts(self)
      report_others(self)
      self.display:tick(self.running)
    end
  until not busy and not waits
  return self.stopping or self.out_of_time and "time" or nil
end

return runner
