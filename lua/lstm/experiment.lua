-- SPDX-License-Identifier: MIT
--
-- experiment.lua - what a script returns to be run by lstmrun, or required by a sweep.
--
--     return lstm.experiment {
--       help    = "A language model of Shakespeare's plays.",
--       options = { { "hidden", 256, "units in each layer" }, { "lr", 2e-3, "learning rate" } },
--       run     = function(cfg, run) ... end,
--     }
--
-- Fields:
--   run         function(cfg, run): cfg has a field for every option, run is described in run.lua
--   options     list of { name, default, help }: options.lua
--   name        names the run's directory; default: the script's name
--   help        a sentence or two for --help
--   changeable  names of options that may be changed when a run is resumed, beside those of every run
--   metrics     names of further columns in metrics.csv that are not logged in the first step
--   data        function(cfg) that returns the path of the data, whose hash then is part of the ids of a sweep's trials;
--               default: the option `data`
--   presets     { name = { option = value, ... }, ... }: what preset=name changes of the defaults

local diverge = require "lstm.diverge"
local fault = require "lstm.fault"
local limits = require "lstm.limits"
local logs = require "lstm.logs"
local options = require "lstm.options"
local saves = require "lstm.saves"
local watch = require "lstm.watch"

local experiment = {}
local methods = {}
local meta = { __name = "lstm.experiment", __index = methods }

local fields = { run = "function", options = "table", name = "string", help = "string", changeable = "table",
  metrics = "table", presets = "table", data = "function" }
local field_names = { "run", "options", "name", "help", "changeable", "metrics", "presets", "data" }

-- Options of every run. An experiment's own option of the same name replaces one.
local common = {
  { "seed", 1, "of everything random" },
}
for _, more in ipairs { saves.options, limits.options, diverge.options, watch.options, logs.options } do
  table.move(more, 1, #more, #common + 1, common)
end
local common_changeable = { "steps", "checkpoint_every", "checkpoint_seconds", "keep_every", "max_memory", "on_diverge",
  "rollback.every", "rollback.factor", "rollback.most", "activations.every", "activations.of", "activations.output",
  "saturation.every", "gradients.every", "gradients.of", "gradients.full", "parameters.every", "parameters.full",
  "watch.deflate", "log.deflate", "log.commit_seconds", "log.commit_records", "log.drop", "log.on_error" }

local function wrong(field, text)
  fault.mistake(("bad argument #1 to 'experiment' (field '%s': %s)"):format(field, text))
end

local function check_fields(description)
  if type(description) ~= "table" then
    fault.mistake("bad argument #1 to 'experiment' (table expected, got " .. type(description) .. ")")
  end
  fault.no_colon("experiment", description)
  for key, value in pairs(description) do
    local want = fields[key]
    if not want then
      wrong(tostring(key), "unknown field" .. options.suggestion(tostring(key), field_names))
    elseif type(value) ~= want then
      wrong(key, ("%s expected, got %s"):format(want, type(value)))
    end
  end
  for field, of in pairs { options = "{ name, default, help }", changeable = "names", metrics = "names" } do
    local problem = description[field] and options.no_list(description[field], of)
    if problem then wrong(field, problem) end
  end
  if not description.run then wrong("run", "function expected, got nil") end
end

local function names_of(presets)
  local names = {}
  for name in pairs(presets) do names[#names + 1] = tostring(name) end
  table.sort(names)
  return names
end

local function make_options(entries, presets)
  local own, all = {}, {}
  for _, entry in ipairs(entries) do
    if type(entry) == "table" and entry[1] then own[entry[1]] = true end
    all[#all + 1] = entry
  end
  if presets then
    all[#all + 1] = { "preset", "", "other defaults for all of these: " .. table.concat(names_of(presets), ", ") }
  end
  for _, entry in ipairs(common) do
    if not own[entry[1]] then all[#all + 1] = entry end
  end
  local set, problem = options.new(all)
  if not set then wrong("options", problem) end
  return set
end

local function make_changeable(names, set)
  local changeable = {}
  for _, name in ipairs(common_changeable) do changeable[name] = true end
  for _, name in ipairs(names) do
    if not set.named[name] then
      wrong("changeable", ("no option '%s'%s"):format(tostring(name), options.suggestion(tostring(name), set:names())))
    end
    changeable[name] = true
  end
  return changeable
end

local function check_presets(presets, set)
  for preset, values in pairs(presets) do
    if type(values) ~= "table" then wrong("presets", ("'%s' must be a table"):format(tostring(preset))) end
    for name, value in pairs(values) do
      local ok, problem = nil, "no such option"
      if set.named[name] then ok, problem = set:assign(set:defaults(), name, value) end
      if not ok then wrong("presets", ("'%s.%s': %s"):format(preset, tostring(name), problem)) end
    end
  end
end

-- "shakespeare" for a function from experiments/shakespeare.lua
local function name_of(run)
  local source = debug.getinfo(run, "S").source
  return (source:match "([^/@]+)%.lua$" or source:match "([^/@]+)$" or "experiment"):gsub("[^%w_.-]", "_")
end

local made = {} -- where scripts made experiments, by the scripts' paths

--- Remembers that a script made something to be returned, of this kind ("experiment"), unless it returns it at once.
function experiment.note(kind)
  local info = fault.caller()
  if info then made[info.source:gsub("^@", "")] = { kind = kind, line = info.currentline } end
end

--- What the script of this path made last without returning it at once: { kind, line }; nil when there is nothing.
function experiment.made_by(path)
  return made[path]
end

local function new(description)
  check_fields(description)
  local set = make_options(description.options or {}, description.presets)
  if description.presets then check_presets(description.presets, set) end
  local name = description.name or name_of(description.run)
  if name == "" or name:find "[%c/]" or name:find "^%." then
    wrong("name", ("a name for a directory expected, got '%s'"):format(name))
  end
  experiment.note "experiment"
  return setmetatable({
    name = name,
    help = description.help or "",
    options = set,
    own_options = #(description.options or {}) + (description.presets and 1 or 0),
    changeable = make_changeable(description.changeable or {}, set),
    metrics = description.metrics or {},
    presets = description.presets or {},
    data = description.data,
    run = description.run,
  }, meta)
end

--- The configuration that lists of { name, value } make of the defaults: a later one wins, and a preset that they name
-- comes before all of them.
function methods:configuration(lists)
  local set, preset = self.options, nil
  local cfg = set:defaults()
  for _, list in ipairs(lists) do preset = options.value_in(list, "preset") or preset end
  for name, value in pairs(self.presets[preset] or {}) do set:assign(cfg, name, value) end
  for _, list in ipairs(lists) do
    for _, pair in ipairs(list) do set:set(cfg, pair[1], pair[2]) end
  end
  return cfg
end

--- Whether a value is an experiment.
function experiment.is(value)
  return getmetatable(value) == meta
end

return setmetatable(experiment, { __call = function(_, description) return new(description) end })
