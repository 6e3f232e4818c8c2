-- SPDX-License-Identifier: MIT
--
-- logs.lua - what a run writes down as it goes: log.h5 (h5log.h) and metrics.csv (csvlog.h), written together.
--
-- Functions return true, or nil and a sentence when a file cannot be written.

local core = require "lstm.core"
local json = require "lstm.json"
local options = require "lstm.options"

local logs = {}
local methods = {}
local meta = { __index = methods }

local first_columns = { "loss", "smoothed_loss", "val_loss", "lr", "grad_norm", "clipped_norm", "clipped_share",
  "update_ratio" }
local last_columns = { "tokens_per_second", "seconds" } -- what differs from one run to the next of the same bits

--- The logs in a directory: new ones, or with after_step those of a run that goes on there. names: columns that do not
-- appear in the first step.
function logs.open(directory, after_step, names)
  local function open(module, path)
    if after_step then return module.resume(path, after_step) end
    return module.create(path)
  end
  local log, csv, reason
  log, reason = open(core.log, directory .. "/log.h5")
  if not log then return nil, reason end
  csv, reason = open(core.csv, directory .. "/metrics.csv")
  if not csv then
    log:close()
    return nil, reason
  end
  return setmetatable({ log = log, csv = csv, names = names, first_row = {} }, meta)
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
  if not self.columns then -- still in the first step, whose rows say which columns there are
    for name, value in pairs(row) do self.first_row[name] = value end
    return true
  end
  local ok, reason = self.log:row(step, row)
  if ok then ok, reason = self.csv:row(step, row) end
  return ok, reason
end

--- A step is over; after the first one the columns are known.
function methods:end_step(step)
  if self.columns or not next(self.first_row) then return true end
  self.columns = columns_of(self, self.first_row)
  local ok, reason = self.log:columns(self.columns)
  if ok then ok, reason = self.csv:columns(self.columns) end
  if ok then ok, reason = self:row(step, self.first_row) end
  return ok, reason
end

--- Name of a column that came too late for metrics.csv, or nil.
function methods:left_out()
  return self.csv:left_out()
end

function methods:sample(step, text)
  return self.log:sample(step, text)
end

function methods:event(step, kind, text)
  return self.log:event(step, kind, text)
end

--- Everything so far is on the disk.
function methods:flush()
  local ok, reason = self.log:flush()
  if ok then ok, reason = self.csv:flush() end
  return ok, reason
end

--- The last step that is safely in log.h5; -1 when none is.
function methods:committed_step()
  return self.log:stats().committed_step
end

--- Closes both, in any case.
function methods:close()
  local log_ok, log_reason = self.log:close()
  local csv_ok, csv_reason = self.csv:close()
  return log_ok and csv_ok, log_reason or csv_reason
end

return logs
