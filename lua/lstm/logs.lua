-- SPDX-License-Identifier: MIT
--
-- logs.lua - what a run writes down as it goes: log.h5 (h5log.h) and metrics.csv (csvlog.h), written together.
--
-- Functions return true, or nil and a sentence when a file cannot be written; when it is what they were given that
-- cannot be logged, a name, say, that sentence is a third value, too, without our own name of the argument.

local core = require "lstm.core"
local json = require "lstm.json"
local options = require "lstm.options"
local ranks = require "lstm.ranks"

local logs = {}
local methods = {}
local meta = { __index = methods }

local first_columns = { "loss", "smoothed_loss", "val_loss", "lr", "grad_norm", "clipped_norm", "clipped_share",
  "update_ratio" }
local nowhere = setmetatable({}, { __index = function() return function() return true end end }) -- a log that takes all
local last_columns = { "tokens_per_second", "seconds" } -- what differs from one run to the next of the same bits

logs.options = {
  { "log.deflate", 1, "compression of log.h5: 0 none, 9 most" },
  { "log.commit_seconds", 2.0, "seconds from one commit of log.h5 to the next" },
  { "log.commit_records", 0, "and after so many rows and records, if that is sooner; 0: by time only" },
  { "log.drop", false, "when the disk is too slow, drop records rather than wait" },
  { "log.on_error", "stop", "when the log cannot be written: stop, or continue without" },
}

--- Whether the options' values make sense: true, or nil and a sentence. get: a function, the value of an option.
function logs.check(get)
  local deflate, on_error = get "log.deflate", get "log.on_error"
  if deflate < 0 or deflate > 9 then return nil, "option 'log.deflate' must be 0 to 9, got " .. deflate end
  for _, name in ipairs { "log.commit_seconds", "log.commit_records" } do
    local value = get(name)
    if not (value >= 0 and value < math.huge) then
      return nil, ("option '%s' must be at least 0, got %g"):format(name, value)
    end
  end
  if on_error ~= "stop" and on_error ~= "continue" then
    return nil, ("option 'log.on_error' must be stop or continue, got '%s'"):format(on_error)
  end
  return true
end

--- The logs in a directory: new ones, or with after_step those of a run that goes on there. names: columns that do not
-- appear in the first step. cfg: the options' values.
function logs.open(directory, after_step, names, cfg)
  local function open(module, path, settings)
    if after_step then return module.resume(path, after_step, settings) end
    return module.create(path, settings)
  end
  local log, csv, reason
  log, reason = open(core.log, directory .. "/log.h5",
    { deflate = cfg.log.deflate, commit_seconds = cfg.log.commit_seconds, commit_records = cfg.log.commit_records,
      drop = cfg.log.drop })
  if not log then return nil, reason end
  csv, reason = open(core.csv, directory .. "/metrics.csv")
  if not csv then
    log:close()
    return nil, reason
  end
  return setmetatable({ log = log, csv = csv, names = names, first_row = {},
    goes_on = cfg.log.on_error == "continue" }, meta)
end

--- What the log in a directory says of where its run ran: { name = text }; nil when it does not.
function logs.environment(directory)
  local reader <close> = core.log.read(directory .. "/log.h5")
  return reader and reader:attributes "environment"
end

-- What a log answered. Where the run shall go on without, a failure ends both logs and is kept in self.lost.
local function answer(self, ok, reason, mistake)
  if ok or mistake or not self.goes_on then return ok, reason, mistake end
  self.lost = self.lost or reason
  self.log:abandon()
  return true
end

-- Calls method name of the log or the csv; nothing once they are lost, or while self.muted.
local function call(self, which, name, ...)
  if self.lost or self.muted then return true end
  return answer(self, self[which][name](self[which], ...))
end

local function call_both(self, name, ...)
  local ok, reason, mistake = call(self, "log", name, ...)
  if ok then return call(self, "csv", name, ...) end
  return ok, reason, mistake
end

--- Says what the run is. environment: list of { name, value }; set, cfg: the options (options.lua).
function methods:describe(environment, set, cfg)
  local ok, reason = self.log:json(json.encode(set:plain(cfg)))
  for _, pair in ipairs(environment) do
    if ok and pair[2] ~= nil then ok, reason = self.log:set("environment", pair[1], pair[2]) end
  end
  for _, option in ipairs(set.list) do
    local value = set:get(cfg, option.name)
    if type(value) ~= "number" then value = options.show(value) end
    if ok then ok, reason = self.log:set("config", option.name, value) end
  end
  return ok, reason
end

--- Keeps the text of a script or module.
function methods:source(name, text)
  return self.log:texts("source", name, { text })
end

--- Keeps the symbols of the token ids.
function methods:vocabulary(symbols)
  return self.log:texts("vocabulary", "symbol", symbols)
end

-- The columns: the usual ones, those announced, those of the first step, and what tells of time.
local function columns_of(self, row)
  local known, columns, extra = {}, {}, {}
  local function add(names)
    for _, name in ipairs(names) do
      if not known[name] then columns[#columns + 1] = name end
      known[name] = true
    end
  end
  add(first_columns)
  add(self.names)
  for _, name in ipairs(last_columns) do known[name] = true end
  for name in pairs(row) do
    if not known[name] then extra[#extra + 1] = name end
  end
  table.sort(extra)
  add(extra)
  return table.move(last_columns, 1, #last_columns, #columns + 1, columns)
end

--- Adds numbers { name = value, ... } to a step's row.
function methods:row(step, row)
  if self.muted then return true end
  if not self.columns then -- still in the first step, whose rows say which columns there are
    for name, value in pairs(row) do self.first_row[name] = value end
    return true
  end
  return call_both(self, "row", step, row)
end

--- A step is over; after the first one the columns are known.
function methods:end_step(step)
  if self.columns or not next(self.first_row) then return true end
  self.columns = columns_of(self, self.first_row)
  local ok, reason, mistake = call_both(self, "columns", self.columns)
  if ok then return self:row(step, self.first_row) end
  return ok, reason, mistake
end

--- Name of a column that came too late for metrics.csv, or nil.
function methods:left_out()
  return self.csv:left_out()
end

function methods:sample(step, text)
  return call(self, "log", "sample", step, text)
end

function methods:event(step, kind, text)
  return call(self, "log", "event", step, kind, text)
end

--- Records what a watch (watch.lua) has to record.
function methods:watch(watch, step, pass)
  if self.muted or self.lost and ranks.size == 1 then return true end
  return answer(self, watch:record(self.lost and nowhere or self.log, step, pass))
end

--- Announces a series and logs a tensor to it, as lua_watch.c has it.
function methods:announce(series)
  if self.lost then return true end
  return answer(self, self.log:announce(series))
end

function methods:tensor(name, step, tensor)
  return call(self, "log", "tensors", name, step, tensor)
end

--- Everything so far is on the disk.
function methods:flush()
  return call_both(self, "flush")
end

--- What the disk's slowness cost: seconds waited, records dropped.
function methods:cost()
  local stats = self.log:stats()
  return stats.wait_seconds, stats.dropped
end

--- The last step that is safely in log.h5; -1 when none is.
function methods:committed_step()
  return self.log:stats().committed_step
end

--- Closes both, in any case.
function methods:close()
  local log_ok, log_reason = self.log:close()
  local csv_ok, csv_reason = self.csv:close()
  if self.goes_on and not (log_ok and csv_ok) then
    self.lost = self.lost or log_reason or csv_reason
    return true
  end
  return log_ok and csv_ok, log_reason or csv_reason
end

-- ---- a process that writes nothing, because rank 0 does -------------------------------------------------------------

local silent = {}
for name in pairs(methods) do silent[name] = function() return true end end

function silent:watch(watch, step, pass) -- every rank has a part of what is recorded
  if self.muted then return true end
  return watch:record(nowhere, step, pass)
end

function silent:left_out() end
function silent:cost() return 0, 0 end
function silent:committed_step() return -1 end

--- Logs that take everything and write nothing.
function logs.none()
  return setmetatable({}, { __index = silent })
end

return logs
