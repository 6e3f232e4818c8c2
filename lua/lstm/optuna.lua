-- SPDX-License-Identifier: MIT
--
-- optuna.lua - method = "optuna": Optuna (https://optuna.org) chooses the configurations, by ask and tell.
--
-- Optuna runs in a Python process (optuna_bridge.py) for as long as this one. It keeps nothing: the configurations are
-- in the sweep's directory (asked.lua), what they found in their trials, and both are told to each new process. So a sweep
-- goes on where it was, several runners share one, and a configuration depends on those before it and the seed alone.

local asked = require "lstm.asked"
local core = require "lstm.core"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local trials = require "lstm.trials"

local quoted = format.shell_word

local optuna = {}
local methods = {}
local meta = { __index = methods, __gc = function(self) self:close() end }

local most_attempts = 64 -- as often as such come that were there before; then the spaces are used up

-- ---- the Python process -------------------------------------------------------------------------------------------

-- A Python that has Optuna: $LSTMRUN_PYTHON, or what is found. The distribution's packages are those of
-- /usr/bin/python3, which another one may hide.
local function find_python()
  local test = "import importlib.util as u, sys; sys.exit(u.find_spec('optuna') is None)"
  local told = os.getenv "LSTMRUN_PYTHON"
  for _, python in ipairs(told and { told } or { "python3", "/usr/bin/python3" }) do
    if os.execute(("%s -c %s >/dev/null 2>&1"):format(quoted(python), quoted(test))) then return quoted(python) end
  end
  fault.stop(('method "optuna" needs Python with the package optuna (Debian: python3-optuna; elsewhere: pip install ' ..
    'optuna; a Python of your own: LSTMRUN_PYTHON=PATH), and %s. Methods "random" and "halton" need nothing')
    :format(told and told .. " has none" or "none was found"))
end

local function start_bridge(self)
  local bridge = package.searchpath("lstm.optuna", package.path):gsub("%.lua$", "_bridge.py")
  local python = find_python()
  core.sys.ignore_pipe()
  self.base = os.tmpname() -- a file, for complaints; beside it a pipe for the answers
  self.pipe = self.base .. ".pipe"
  if not os.execute("mkfifo -m 600 " .. quoted(self.pipe)) then fault.stop("cannot make a pipe at " .. self.pipe) end
  self.requests = assert(io.popen(("exec %s %s >%s 2>%s"):format(python, quoted(bridge), quoted(self.pipe),
    quoted(self.base)), "w"))
  self.answers = assert(io.open(self.pipe, "r"))
  self.requests:setvbuf "line"
end

-- The last line of what Python complained of.
local function complaint(self)
  local last
  for line in io.lines(self.base) do last = line:find "%S" and line or last end
  return last or "it ended without a word"
end

local function call(self, request)
  self.requests:write(json.encode(request), "\n")
  local line = self.answers:read "l"
  local answer = line and json.decode(line)
  if not answer then fault.stop("Optuna cannot be used: " .. complaint(self)) end
  if answer.problem then fault.stop("Optuna refuses: " .. answer.problem) end
  return answer
end

--- Ends the Python process.
function methods:close()
  for _, file in ipairs { self.requests or false, self.answers or false } do
    if file and io.type(file) == "file" then file:close() end
  end
  for _, path in ipairs { self.pipe or false, self.base or false } do
    if path then os.remove(path) end
  end
  self.requests, self.answers, self.pipe, self.base = nil, nil, nil, nil
end

-- ---- what is known ------------------------------------------------------------------------------------------------

-- What Optuna makes of a space. Numbers of a range have an order, those of a list may not.
local function kind_of(this)
  if this.at then return "float", 0 end
  return this.kind == "choice" and "choice" or "int", #this.values
end

local function described(self, coordinates)
  local list = {}
  for i, one in ipairs(coordinates) do
    for _, param in ipairs(self.sweep.spaces) do
      if param.name == one.name then
        local kind, size = kind_of(param.space)
        list[i] = { name = one.name, at = one.at, kind = kind, size = size }
      end
    end
  end
  return list
end

-- How a configuration stands: "done" with the mean over its seeds, "pruned" with that of how far they came and a step,
-- "failed", or "running": some of its trials are not over.
local function outcome(self, entry)
  local sum, n, step, worst = 0.0, 0, 0, "done"
  for _, trial in ipairs(entry.trials) do
    local status = trials.status(trial)
    local state = status.status
    if state ~= "done" and state ~= "pruned" and state ~= "failed" then return "running" end
    local again = status.failures <= self.sweep.retries and status.exit ~= fault.DIVERGED
    if state == "failed" and again then return "running" end
    if state == "failed" or state == "pruned" and worst == "done" then worst = state end
    if status.best then sum, n, step = sum + status.best, n + 1, math.max(step, status.step or 0) end
  end
  local value = n > 0 and sum / n or nil
  if not value or value ~= value or math.abs(value) == math.huge then return "failed" end
  return worst, value, step
end

local function tell(self, entry)
  if entry.told then return end
  local state, value, step = outcome(self, entry)
  if state == "running" and entry.in_study then return end
  call(self, { ["do"] = "known", n = entry.n, coordinates = described(self, entry.coordinates), state = state,
    value = value, step = step })
  entry.in_study, entry.told = true, state ~= "running"
end

local function key_of(params)
  return json.encode { params }
end

-- Takes in what is in the directory and not known here; returns the new trials.
local function take_in(self)
  local list, last = asked.list(self.sweep, self.directory)
  local new = {}
  for _, entry in ipairs(list) do
    local key = key_of(entry.params)
    if not self.by_number[entry.n] and not self.by_key[key] then
      entry.trials = {}
      for k, seed in ipairs(self.sweep.seeds) do
        entry.trials[k] = trials.new(self.sweep, self.directory, entry.params, seed, self.count + k)
        new[#new + 1] = entry.trials[k]
      end
      self.count = self.count + #entry.trials
      self.entries[#self.entries + 1] = entry
      self.by_number[entry.n], self.by_key[key] = entry, entry
    end
  end
  self.last = last
  return new
end

-- ---- asking -------------------------------------------------------------------------------------------------------

-- Asks for a configuration: its parameters and coordinates. number: of the random numbers that it takes.
local function ask(self, number)
  local coordinates = {}
  call(self, { ["do"] = "ask", number = number })
  local params = self.sweep:assemble(function(param)
    local kind, size = kind_of(param.space)
    local at = call(self, { ["do"] = "suggest", name = param.name, kind = kind, size = size }).at
    coordinates[#coordinates + 1] = asked.coordinate(param, at)
    return asked.value(param.space, at)
  end)
  return params, coordinates
end

-- Adds a configuration to the directory; nil when only such come that are there already.
local function add(self)
  for attempt = 1, most_attempts do
    local n = self.last + 1
    local params, coordinates = ask(self, n * most_attempts + attempt)
    if self.by_key[key_of(params)] then
      call(self, { ["do"] = "drop" })
    elseif asked.put(self.directory, n, coordinates) then
      call(self, { ["do"] = "keep", n = n })
      local new = take_in(self)
      self.by_number[n].in_study = true
      return new
    else -- another runner was faster
      call(self, { ["do"] = "drop" })
      return take_in(self)
    end
  end
end

--- The chooser for a sweep, whose trials so far are not in it yet.
function optuna.new(sweep, directory)
  local self = setmetatable({ sweep = sweep, directory = directory, entries = {}, by_number = {}, by_key = {},
    count = 0, last = 0 }, meta)
  take_in(self)
  return self
end

--- Trials to be done next, new to this process: a configuration with each seed. nil: there are to be no more.
function methods:next()
  local new = take_in(self)
  if #new > 0 then return new end
  if self.used_up or #self.entries >= self.sweep.trials then return nil end
  if not self.requests then
    start_bridge(self)
    call(self, { ["do"] = "start", direction = self.sweep.metric.goal, seed = self.sweep.seed,
      sampler = self.sweep.sampler.name, options = self.sweep.sampler.options })
  end
  for _, entry in ipairs(self.entries) do tell(self, entry) end
  new = add(self)
  self.used_up = new == nil
  return new
end

return optuna
