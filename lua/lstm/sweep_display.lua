-- SPDX-License-Identifier: MIT
--
-- sweep_display.lua - tells the person in front of a sweep how it goes: a line for each trial that has ended and, on a
-- terminal, below these a line for each that runs and one for the whole, drawn again and again. With --json objects.

local asha = require "lstm.asha"
local core = require "lstm.core"
local format = require "lstm.format"
local json = require "lstm.json"
local options = require "lstm.options"
local trials = require "lstm.trials"

local sys = core.sys
local display = {}
local methods = {}
local meta = { __index = methods }

local periods = { terminal = 0.5, lines = 2, json = 2, quiet = 60 } -- seconds from one look to the next
local least_line, most_line = 10, 120 -- seconds between lines about the whole, not on a terminal
local tail_lines = 4
local bar_width = 20

-- ---- columns ------------------------------------------------------------------------------------------------------

--- The columns of a sweep's parameters: list of { name, width }.
function display.columns(list)
  local columns, known = {}, {}
  for _, trial in ipairs(list) do
    for _, pair in ipairs(trial.params) do
      local column = known[pair[1]]
      if not column then
        column = { name = pair[1], width = #pair[1] }
        known[pair[1]], columns[#columns + 1] = column, column
      end
      column.width = math.min(24, math.max(column.width, #options.show(pair[2])))
    end
  end
  return columns
end

local function pad(text, width)
  return (" "):rep(width - #text) .. text:sub(1, width)
end

--- The part of a row that says which trial it is: id, parameters, seed.
function display.name_cells(trial, columns)
  local values, cells = {}, { trial.id:sub(1, 8) }
  for _, pair in ipairs(trial.params) do values[pair[1]] = options.show(pair[2]) end
  for _, column in ipairs(columns) do cells[#cells + 1] = pad(values[column.name] or "-", column.width) end
  cells[#cells + 1] = pad(tostring(trial.seed), 4)
  return table.concat(cells, "  ")
end

local function number(x)
  return type(x) == "number" and ("%.4g"):format(x) or ""
end

--- The part that says how it stands: steps, loss, metric.
function display.state_cells(status)
  local step = status.steps and ("%d/%d"):format(status.step or 0, status.steps) or ""
  return ("%13s  %7s  %13s"):format(step, number(status.loss), number(status.best or status.metric))
end

--- The heads of the columns.
function display.heads(columns, metric)
  local cells = { "trial   " }
  for _, column in ipairs(columns) do cells[#cells + 1] = pad(column.name, column.width) end
  cells[#cells + 1] = "seed"
  return ("  %s  %13s  %7s  %13s"):format(table.concat(cells, "  "), "step", "loss", metric:sub(-13))
end

-- ---- writing ------------------------------------------------------------------------------------------------------

--- kind: "terminal", "lines", "json" or "quiet" (progress.kind); sweep, list; expected: how long the
-- list will be, when it grows; rerun: function from a trial to the
-- command that runs just that one; silent: nothing is said on standard error, either. goes_on: function from a trial to
-- whether it is running or still to be run, however it ended before; nil: none is.
function display.new(settings)
  local self = setmetatable({ drawn = 0, next_draw = 0, units = 0, begun = {}, live = {} }, meta)
  for key, value in pairs(settings) do self[key] = value end
  self.columns = display.columns(self.list)
  self.started_at = sys.clock()
  self.next_line = self.started_at + least_line
  self.count = { done = 0, failed = 0, pruned = 0 }
  return self
end

local function write(text)
  io.stdout:write(text)
  io.stdout:flush()
end

local function clear(self)
  if self.drawn > 0 then write(("\27[%dA\r\27[J"):format(self.drawn)) end
  self.drawn = 0
end

--- A line that stays.
function methods:print(text)
  if self.kind == "json" or self.kind == "quiet" then return end
  clear(self)
  write(text .. "\n")
  self.next_draw = 0
end

--- Something the person must know, whatever the manner of display.
function methods:say(text)
  if self.silent then return end
  clear(self)
  io.stderr:write(text, "\n")
end

--- An object, with --json only.
function methods:event(name, fields)
  if self.kind ~= "json" then return end
  write(('{"event": "%s", %s\n'):format(name, json.utf8(fields):sub(2)))
end

-- Trials, with those that are still to be chosen.
local function size(self)
  return math.max(#self.list, self.expected or 0)
end

--- The list has become longer.
function methods:grown()
  self.columns = display.columns(self.list)
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

local function share(status)
  return (status.step or 0) / math.max(1, status.steps or 1)
end

-- Counts how the trials stand. Returns the number of those that will not go on.
local function survey(self)
  local count = { done = 0, failed = 0, pruned = 0 }
  self.best = nil
  for _, trial in ipairs(self.list) do
    local status = trial.status
    if status and count[status.status] and not (self.goes_on and self.goes_on(trial)) then
      count[status.status] = count[status.status] + 1
    end
    local value = status and status.status == "done" and status.best
    if value and (not self.best or asha.better(value, self.best.status.best, self.sweep.metric.goal)) then
      self.best = trial
    end
  end
  self.count = count
  return count.done + count.failed + count.pruned
end

-- Seconds left, from the trials' worth of work that was done since this began.
local function time_left(self, running)
  local under_way, missing = 0, 0
  for id in pairs(running) do
    local status = self.live[id] or {}
    under_way = under_way + share(status) - (self.begun[id] or 0)
    missing = missing + 1 - share(status)
  end
  local units, elapsed = self.units + under_way, sys.clock() - self.started_at
  if units < 0.02 or elapsed < 1 then return nil end
  local over, busy = survey(self), 0
  for _ in pairs(running) do busy = busy + 1 end
  missing = missing + math.max(0, size(self) - over - busy)
  return missing / units * elapsed
end

local function whole_line(self, running)
  local over = survey(self)
  local parts = {}
  if self.kind == "terminal" then
    local full = math.floor(over / math.max(1, size(self)) * bar_width)
    parts[1] = "[" .. ("#"):rep(full) .. ("."):rep(bar_width - full) .. "]"
  end
  parts[#parts + 1] = ("%d of %s over"):format(over, format.plural(size(self), "trial"))
  for _, name in ipairs { "pruned", "failed" } do
    if self.count[name] > 0 then parts[#parts + 1] = ("%d %s"):format(self.count[name], name) end
  end
  local left = self.sweep.prune ~= "asha" and time_left(self, running)
  if left then parts[#parts + 1] = "about " .. format.duration(left) .. " left" end
  if self.best then
    parts[#parts + 1] = ("best %s %s (%s)"):format(self.sweep.metric.name, number(self.best.status.best),
      trials.show(self.best, #self.sweep.seeds > 1))
  end
  return table.concat(parts, "  ")
end

local function running_line(self, job)
  local status = self.live[job.trial.id] or {}
  local line = "  " .. display.name_cells(job.trial, self.columns) .. "  " .. display.state_cells(status)
  local done = share(status) - (self.begun[job.trial.id] or 0)
  if done > 0 then
    line = line .. "  " .. format.duration((sys.clock() - job.started) / done * (1 - share(status))) .. " left"
  end
  return line
end

local function sorted_jobs(running)
  local jobs = {}
  for _, job in pairs(running) do jobs[#jobs + 1] = job end
  table.sort(jobs, function(a, b) return a.started < b.started end)
  return jobs
end

local function print_heads(self)
  if not self.headed then self:print(display.heads(self.columns, self.sweep.metric.name)) end
  self.headed = true
end

local function draw(self, running)
  print_heads(self)
  clear(self)
  local width, lines = (sys.width(1) or 80) - 1, {}
  for _, job in ipairs(sorted_jobs(running)) do
    if #lines < 16 then lines[#lines + 1] = running_line(self, job):sub(1, width) end
  end
  lines[#lines + 1] = whole_line(self, running):sub(1, width)
  write(table.concat(lines, "\n") .. "\n")
  self.drawn = #lines
end

-- ---- what the runner tells ----------------------------------------------------------------------------------------

--- Seconds until there is something to show.
function methods:patience()
  return periods[self.kind]
end

--- A trial was started.
function methods:started(job)
  local trial = job.trial
  self.begun[trial.id] = trial.status and share(trial.status) or 0
  self.live[trial.id] = nil
  self:event("trial_start", { id = trial.id, index = trial.index, params = trials.show(trial), seed = trial.seed,
    directory = trial.directory })
end

local function note(self, job, retry)
  local status = job.trial.status
  if status.status == "done" then
    return ("done%s"):format(status.seconds and " " .. format.duration(status.seconds) or "")
  end
  local reason = status.reason and ": " .. status.reason or ""
  local word = status.status == "pruned" and self.sweep.prune == "asha" and "paused" or status.status
  return word .. reason .. (retry and "; once more" or "")
end

-- What an experiment printed before it failed, but for its last words, which are the reason.
local function print_tail(self, trial)
  local lines = trials.tail(trial, tail_lines + 1)
  for i = 1, #lines - 1 do self:print("    | " .. format.printable(lines[i])) end
end

--- A trial's process has ended; trial.status is how it stands. retry: it will be begun again.
function methods:ended(job, retry)
  local trial = job.trial
  local status = trial.status
  self.units = self.units + math.max(0, (status.status == "done" and 1 or share(status)) - (self.begun[trial.id] or 0))
  self:event("trial_end", { id = trial.id, status = status.status, step = status.step, best = status.best,
    best_step = status.best_step, seconds = status.seconds, reason = status.reason, retry = retry })
  if self.kind ~= "terminal" and self.kind ~= "lines" then return end
  if status.status == "running" then return end -- somebody else was faster
  print_heads(self)
  self:print("  " .. display.name_cells(trial, self.columns) .. "  " .. display.state_cells(status) .. "  " ..
    note(self, job, retry))
  if status.status == "failed" and status.exit ~= 3 then print_tail(self, trial) end
end

local function look(self, running)
  for id, job in pairs(running) do self.live[id] = trials.status(job.trial) end
end

--- Time has passed.
function methods:tick(running)
  local now = sys.clock()
  if self.kind == "terminal" and now >= self.next_draw then
    look(self, running)
    draw(self, running)
    self.next_draw = now + periods.terminal
  elseif self.kind ~= "terminal" and self.kind ~= "quiet" and now >= self.next_line then
    look(self, running)
    self:event("progress", { over = survey(self), trials = size(self), seconds_left = time_left(self, running) })
    self:print(whole_line(self, running))
    self.next_line = now + math.max(least_line, math.min(most_line, (now - self.started_at) / 10))
  end
end

--- No more is drawn, and no trial goes on.
function methods:finish()
  clear(self)
  self.goes_on = nil
  survey(self)
end

return display
