-- SPDX-License-Identifier: MIT
--
-- sweep_table.lua - a sweep's metric by two of its parameters, as a table to print: its field table = { rows, columns }.

local format = require "lstm.format"
local options = require "lstm.options"

local sweep_table = {}

-- The values that a parameter has in the trials, numbers in order; "-" where a trial has none.
local function values_of(list, name)
  local values, known = {}, {}
  for _, trial in ipairs(list) do
    local value = options.value_in(trial.params, name)
    local label = value == nil and "-" or options.show(value)
    if not known[label] then values[#values + 1] = { label = label, number = tonumber(value) or nil } end
    known[label] = true
  end
  local numbers = true
  for _, value in ipairs(values) do numbers = numbers and value.number ~= nil end
  if numbers then table.sort(values, function(a, b) return a.number < b.number end) end
  return values
end

local function has(trial, name, label)
  local value = options.value_in(trial.params, name)
  return (value == nil and "-" or options.show(value)) == label
end

-- "1.523 +- 0.004": mean and, of several, standard deviation of the best metric of trials that are done; "(2 of 10)" where
-- others are not; "2.427 @60" of one that was stopped after 60 steps.
local function cell(list)
  local sum, squares, n, stopped = 0.0, 0.0, 0, ""
  for _, trial in ipairs(list) do
    local status = trial.status
    if status.status == "done" and status.best then sum, n = sum + status.best, n + 1
    elseif status.status == "pruned" and status.best then stopped = ("%.4g @%d"):format(status.best, status.step) end
  end
  if n == 0 then return stopped end
  local mean, part = sum / n, n < #list and (" (%d of %d)"):format(n, #list) or ""
  for _, trial in ipairs(list) do
    if trial.status.status == "done" and trial.status.best then squares = squares + (trial.status.best - mean) ^ 2 end
  end
  if n == 1 then return ("%.4g%s"):format(mean, part) end
  local deviation = math.sqrt(squares / (n - 1))
  if deviation < 1e-12 * math.abs(mean) then deviation = 0 end -- equal values, but for the rounding of their mean
  return ("%.4g +- %.2g%s"):format(mean, deviation, part)
end

-- The trials of a row and column.
local function those(list, name_r, label_r, name_c, label_c)
  local some = {}
  for _, trial in ipairs(list) do
    if has(trial, name_r, label_r) and (not name_c or has(trial, name_c, label_c)) then some[#some + 1] = trial end
  end
  return some
end

local function aligned(rows, indent)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for k, text in ipairs(row) do widths[k] = math.max(widths[k] or 0, #text) end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for k, text in ipairs(row) do cells[k] = (" "):rep(widths[k] - #text) .. text end
    lines[i] = indent .. table.concat(cells, "   ")
  end
  return lines
end

--- The lines of the table; none when the sweep has no field `table`, or nothing is done. list: of trials with `status`.
function sweep_table.lines(sweep, list)
  if not sweep.table then return {} end
  local name_r, name_c = sweep.table[1], sweep.table[2]
  local values_r, values_c = values_of(list, name_r), name_c and values_of(list, name_c) or { { label = "" } }
  local rows, done = { { name_r } }, 0
  for k, value in ipairs(values_c) do rows[1][k + 1] = name_c and name_c .. "=" .. value.label or "" end
  for _, value_r in ipairs(values_r) do
    local row = { value_r.label }
    for k, value_c in ipairs(values_c) do
      row[k + 1] = cell(those(list, name_r, value_r.label, name_c, value_c.label))
      if row[k + 1] ~= "" then done = done + 1 end
    end
    rows[#rows + 1] = row
  end
  if done == 0 then return {} end
  local seeds = format.plural(#sweep.seeds, "seed")
  local of = #sweep.seeds > 1 and ", mean and standard deviation over " .. seeds or ""
  local lines = aligned(rows, "        ")
  table.insert(lines, 1, ("table   best %s%s%s"):format(sweep.metric.name, of,
    sweep.prune and "; @60: stopped early, at step 60" or ""))
  return lines
end

return sweep_table
