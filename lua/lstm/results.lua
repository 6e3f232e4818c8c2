-- SPDX-License-Identifier: MIT
--
-- results.lua - what a sweep found: sweep.h5 and sweep.csv in its directory, and a summary to print.
--
-- A trial is what trials.lua has: { id, params = { { name, value }, ... }, seed, directory, status = what status.json
-- says }. Its place in the list is its number.

local core = require "lstm.core"
local format = require "lstm.format"
local json = require "lstm.json"
local options = require "lstm.options"

local process, sys = core.process, core.sys
local results = {}

-- ---- the table ----------------------------------------------------------------------------------------------------

-- The names of all parameters, in the order in which the trials have them.
local function parameter_names(list)
  local names, known = {}, {}
  for _, trial in ipairs(list) do
    for _, pair in ipairs(trial.params) do
      if not known[pair[1]] then names[#names + 1] = pair[1] end
      known[pair[1]] = true
    end
  end
  return names
end

-- The kind of a column that holds these values, of which some may be missing.
local function kind_of(values, n)
  local kinds, count = {}, 0
  for i = 1, n do
    local value = values[i]
    local kind = type(value) == "number" and math.type(value) or type(value)
    kinds[kind] = true
  end
  for _ in pairs(kinds) do count = count + 1 end
  if count == 1 and kinds.integer then return "integer" end
  if count == 1 and kinds.boolean then return "boolean" end
  kinds.integer, kinds.float, kinds["nil"] = nil, nil, nil
  return next(kinds) and "text" or "number"
end

local function parameter_column(list, name)
  local values = {}
  for i, trial in ipairs(list) do values[i] = options.value_in(trial.params, name) end
  local kind = kind_of(values, #list)
  if kind == "text" then
    for i = 1, #list do values[i] = values[i] ~= nil and options.show(values[i]) or "" end
  end
  return { name = name, kind = kind, values = values, title = "parameter " .. name }
end

local function has_field(fields, name)
  for _, field in ipairs(fields) do
    if field[1] == name then return true end
  end
  return name == "trial" or name == "id"
end

-- What is known of a trial beside its parameters: name, kind, what it is, and its value. What differs from one
-- execution of the same trial to the next comes last. A metric called as another column is last_METRIC.
local function fields_of(sweep)
  local metric = sweep.metric.name
  local function of_status(name, missing)
    return function(trial)
      local value = trial.status[name]
      if value == nil then return missing end
      return value
    end
  end
  local fields = {
    { "seed", "integer", "seed", function(trial) return trial.seed end },
    { "status", "text", "pending, running, done, failed, pruned or stopped", of_status("status", "pending") },
    { "best_step", "integer", "step of the best " .. metric .. "; -1: none", of_status("best_step", -1) },
    { "step", "integer", "steps done", of_status("step", 0) },
    { "reason", "text", "why it failed, was stopped or pruned", of_status("reason", "") },
    { "attempt", "integer", "times it was begun or resumed", of_status("attempt", 0) },
    { "seconds", "number", "seconds of training", of_status "seconds" },
    { "host", "text", "machine", of_status("host", "") },
  }
  if metric ~= "smoothed_loss" then
    table.insert(fields, 4, { "smoothed_loss", "number", "last smoothed loss of training", of_status "loss" })
  end
  local last = has_field(fields, metric) and "last_" .. metric or metric
  table.insert(fields, 3, { last, "number", "last " .. metric, of_status "metric" })
  table.insert(fields, 4, { "best_" .. metric, "number", "best " .. metric, of_status "best" })
  return fields
end

--- The table of a sweep: a list of columns { name, kind, title, values }. A parameter whose name is that of another
-- column is called param_NAME.
function results.columns(sweep, list)
  local front = {
    { "trial", "integer", "number of the trial", function(_, i) return i end },
    { "id", "text", "id of the trial", function(trial) return trial.id end },
  }
  local fields, columns, taken = fields_of(sweep), {}, {}
  local function add(field)
    local values = {}
    for i, trial in ipairs(list) do values[i] = field[4](trial, i) end
    columns[#columns + 1] = { name = field[1], kind = field[2], title = field[3], values = values }
  end
  for _, field in ipairs(front) do add(field) taken[field[1]] = true end
  for _, field in ipairs(fields) do taken[field[1]] = true end
  for _, name in ipairs(parameter_names(list)) do
    local column = parameter_column(list, name)
    if taken[name] then column.name = "param_" .. name end
    columns[#columns + 1] = column
  end
  for _, field in ipairs(fields) do add(field) end
  return columns
end

-- ---- sweep.csv ----------------------------------------------------------------------------------------------------

local function cell(value)
  if value == nil or value ~= value then return "" end
  if math.type(value) == "float" then return json.number(value) end
  local text = tostring(value)
  return text:find '[,"\r\n]' and '"' .. text:gsub('"', '""') .. '"' or text
end

local function csv_of(columns, n)
  local lines, cells = {}, {}
  for k, column in ipairs(columns) do cells[k] = cell(column.name) end
  lines[1] = table.concat(cells, ",")
  for i = 1, n do
    for k, column in ipairs(columns) do cells[k] = cell(column.values[i]) end
    lines[i + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- sweep.h5 -----------------------------------------------------------------------------------------------------

local function attributes_of(sweep)
  return {
    { "name", sweep.name }, { "experiment", sweep.experiment.name }, { "method", sweep.method },
    { "metric", sweep.metric.name }, { "goal", sweep.metric.goal }, { "parameters", "" },
  }
end

-- The parameters' columns, for programs that want to know which these are.
local function list_parameters(attributes, list, columns)
  local names = parameter_names(list)
  for k in ipairs(names) do names[k] = columns[k + 2].name end
  attributes[#attributes][2] = table.concat(names, " ")
end

local function write_h5(sweep, list, columns, path)
  local ids, logs, paths = {}, {}, {}
  for i, trial in ipairs(list) do
    local log = trial.directory .. "/log.h5"
    local there = sys.kind(log) == "file"
    ids[i], logs[i], paths[i] = trial.id, there and ("trials/%s/log.h5"):format(trial.id), there and log
  end
  local attributes = attributes_of(sweep)
  list_parameters(attributes, list, columns)
  return core.results.write(path, {
    trials = #list, attributes = attributes, columns = columns, signal = "best_" .. sweep.metric.name,
    curve_signal = sweep.metric.name, ids = ids, logs = logs, paths = paths,
  })
end

-- What a reader of sweep.h5 must know.
local function remarks(info)
  local lines = {}
  if info.steps_per_place > 1 then
    lines[1] = ("sweep.h5 has the last value of every %d steps of the curves; the trials' logs have all")
      :format(info.steps_per_place)
  end
  local bad = info.unreadable
  if #bad > 0 then
    local trials = format.plural(#bad, "trial")
    lines[#lines + 1] = ("the curves of %s are left out of sweep.h5: %s"):format(trials, bad[1][2])
  end
  return lines
end

--- Writes sweep.h5 and sweep.csv into the sweep's directory. Returns a list of sentences about them, or nil and a
-- sentence when they can't be written; each file is then the old one, whole.
function results.write(sweep, list, directory)
  local columns = results.columns(sweep, list)
  local ok, reason = process.replace(directory .. "/sweep.csv", csv_of(columns, #list))
  if not ok then return nil, reason end
  local info
  info, reason = write_h5(sweep, list, columns, directory .. "/sweep.h5")
  if not info then return nil, reason end
  return remarks(info)
end

-- ---- the summary --------------------------------------------------------------------------------------------------

-- Mean and, of several, standard deviation (n - 1).
local function moments(values)
  local sum, squares = 0.0, 0.0
  for _, value in ipairs(values) do sum = sum + value end
  local mean = sum / #values
  for _, value in ipairs(values) do squares = squares + (value - mean) ^ 2 end
  return mean, #values > 1 and (squares / (#values - 1)) ^ 0.5 or nil
end

local function shown(params)
  local parts = {}
  for i, pair in ipairs(params) do parts[i] = pair[1] .. "=" .. options.show(pair[2]) end
  return table.concat(parts, " ")
end

local function is_number(x)
  return type(x) == "number" and x == x and math.abs(x) < math.huge
end

-- Configurations with the best metric of their trials (one a seed) of which `counts` is true: list of { params,
-- values, mean, deviation }, best first.
local function configurations(sweep, list, counts)
  local by_key, found = {}, {}
  for _, trial in ipairs(list) do
    if counts(trial.status) and is_number(trial.status.best) then
      local key = shown(trial.params)
      local each = by_key[key]
      if not each then
        each = { params = trial.params, key = key, values = {}, place = #found }
        by_key[key], found[#found + 1] = each, each
      end
      each.values[#each.values + 1] = trial.status.best
    end
  end
  for _, each in ipairs(found) do each.mean, each.deviation = moments(each.values) end
  local sign = sweep.metric.goal == "max" and -1 or 1
  table.sort(found, function(a, b)
    if a.mean ~= b.mean then return sign * a.mean < sign * b.mean end
    return a.place < b.place
  end)
  return found
end

local function is_done(status) return status.status == "done" end
local function is_over(status) return status.status == "done" or status.status == "pruned" end

local function best_lines(sweep, list, most)
  local found = configurations(sweep, list, is_done)
  if #found == 0 then return {} end
  local seeds = 1
  for _, each in ipairs(found) do seeds = math.max(seeds, #each.values) end
  local lines = { ("best    %s%s"):format(sweep.metric.name,
    seeds > 1 and ", mean and standard deviation over seeds" or "") }
  for k = 1, math.min(most, #found) do
    local each = found[k]
    local spread = each.deviation and (" +- %-9.3g"):format(each.deviation) or seeds > 1 and (" "):rep(13) or ""
    local count = seeds > 1 and (" %-9s"):format(format.plural(#each.values, "seed")) or ""
    lines[#lines + 1] = ("        %-10.5g%s%s  %s"):format(each.mean, spread, count, each.key)
  end
  if #found > most then lines[#lines + 1] = ("        ... and %d more, in sweep.csv"):format(#found - most) end
  return lines
end

-- ---- the effect of a parameter ------------------------------------------------------------------------------------

local most_groups = 8

local function less(a, b)
  if type(a) == "number" and type(b) == "number" then return a < b end
  return options.show(a) < options.show(b)
end

-- Configurations by the value of a parameter: list of { label, values }, by value; numbers with many values in four
-- groups of equal size.
local function groups_of(found, name)
  local points, groups = {}, {}
  local distinct, numbers = {}, true
  for _, each in ipairs(found) do
    local value = options.value_in(each.params, name)
    if value ~= nil then
      points[#points + 1] = { value = value, mean = each.mean, place = #points }
      distinct[options.show(value)] = true
      numbers = numbers and type(value) == "number"
    end
  end
  table.sort(points, function(a, b)
    if a.value ~= b.value then return less(a.value, b.value) end
    return a.place < b.place
  end)
  local count = 0
  for _ in pairs(distinct) do count = count + 1 end
  local quarters = numbers and count > most_groups
  for i, point in ipairs(points) do
    local label = math.type(point.value) == "float" and ("%.4g"):format(point.value) or options.show(point.value)
    local key = quarters and (i - 1) * 4 // #points or label
    local group = groups[#groups]
    if not group or group.key ~= key then
      group = { key = key, label = label, values = {} }
      groups[#groups + 1] = group
    end
    group.values[#group.values + 1] = point.mean
    if quarters then group.last = label end
  end
  return groups
end

-- The share of the variance of the configurations' means that lies between the groups.
local function explained(groups)
  local all, between, total = {}, 0.0, 0.0
  for _, group in ipairs(groups) do table.move(group.values, 1, #group.values, #all + 1, all) end
  local mean = moments(all)
  for _, group in ipairs(groups) do between = between + #group.values * (moments(group.values) - mean) ^ 2 end
  for _, value in ipairs(all) do total = total + (value - mean) ^ 2 end
  return total > 0 and between / total or 0
end

local function effect(found, name)
  local groups = groups_of(found, name)
  if #groups < 2 then return nil end
  local parts = {}
  for k, group in ipairs(groups) do
    local label = group.last and group.last ~= group.label and group.label .. ".." .. group.last or group.label
    if k <= most_groups then parts[k] = ("%s: %.5g"):format(label, (moments(group.values))) end
  end
  if #groups > most_groups then parts[#parts + 1] = ("... %d more"):format(#groups - most_groups) end
  return { name = name, share = explained(groups), text = table.concat(parts, "   ") }
end

local function effect_lines(sweep, list)
  local found = configurations(sweep, list, is_over)
  local effects, width, names = {}, 0, parameter_names(list)
  for _, name in ipairs(names) do
    local one = effect(found, name)
    if one then
      effects[#effects + 1] = one
      width = math.max(width, #name)
    end
  end
  if #effects == 0 or #found < 3 then return {} end
  local lines = { ("effect  of each parameter: share of the variance, and mean of the best %s%s"):format(
    sweep.metric.name, sweep.prune and " (pruned trials count as far as they came)" or "") }
  for _, one in ipairs(effects) do
    lines[#lines + 1] = ("        %-" .. width .. "s %4.0f%%   %s"):format(one.name, 100 * one.share, one.text)
  end
  return lines
end

--- What to print at the end: a list of lines. most: best configurations shown (5).
function results.summary(sweep, list, most)
  local lines = best_lines(sweep, list, most or 5)
  local effects = effect_lines(sweep, list)
  return table.move(effects, 1, #effects, #lines + 1, lines)
end

return results
