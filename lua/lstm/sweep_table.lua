-- SPDX-License-Identifier: MIT
--
-- sweep_table.lua - a sweep's metric by two of its parameters, as a table to print: its field table = { rows, columns }.

local format = require "lstm.format"
local options = require "lstm.options"

local sweep_table = {}

local function value_of(trial, name)
  for _, pair in ipairs(trial.params) do
    if pair[1] == name then return pair[2] end
  end
end

-- The values that a parameter has in the trials, numbers in order; "-" where a trial has none.
local function values_of(list, name)
  local values, known = {}, {}
  for _, trial in ipairs(list) do
    local value = value_of(trial, name)
    local label = value == nil and "-" or options.show(value)
    if not known[label] then values[#values + 1] = { label = label, number = tonumber(value) or nil } end
    known[label] = true
  end
  local numbers = true
  for _, value in ipairs(values) do numbers = numbers and value.number ~= nil end
  if numbers then table.sort(values, function(a, b) return a.number < b.number end) end
  return values
end

-- "1.523 +- 0.004": mean and, of several, standard deviation of the best metric of trials that are done.
local function cell(list, name_r, label_r, name_c, label_c)
  local sum, n, squares = 0.0, 0, 0.0
  local function each(visit)
    for _, trial in ipairs(list) do
      local r, c = value_of(trial, name_r), name_c and value_of(trial, name_c)
      local here = (r == nil and "-" or options.show(r)) == label_r
        and (not name_c or (c == nil and "-" or options.show(c)) == label_c)
      if here and trial.status.status == "done" and trial.status.best then visit(trial.status.best) end
    end
  end
  each(function(x) sum, n = sum + x, n + 1 end)
  if n == 0 then return "" end
  local mean = sum / n
  each(function(x) squares = squares + (x - mean) ^ 2 end)
  if n == 1 then return ("%.4g"):format(mean) end
  return ("%.4g +- %.2g"):format(mean, math.sqrt(squares / (n - 1)))
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
      row[k + 1] = cell(list, name_r, value_r.label, name_c, value_c.label)
      if row[k + 1] ~= "" then done = done + 1 end
    end
    rows[#rows + 1] = row
  end
  if done == 0 then return {} end
  local of = #sweep.seeds > 1 and (", mean and standard deviation over %s"):format(format.plural(#sweep.seeds, "seed")) or ""
  local lines = aligned(rows, "        ")
  table.insert(lines, 1, ("table   best %s%s%s"):format(sweep.metric.name, of,
    sweep.prune and "; empty: stopped early" or ""))
  return lines
end

return sweep_table
