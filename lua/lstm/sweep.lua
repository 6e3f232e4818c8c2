-- SPDX-License-Identifier: MIT
--
-- sweep.lua - many runs of one experiment: what a script returns to have lstmrun try parameters.
--
--     return lstm.sweep {
--       name = "width", experiment = "shakespeare",
--       params = { hidden = { 64, 128, 256 }, lr = { 1e-3, 4e-3 } }, seeds = 3, metric = { "val_loss", "min" },
--     }
--
-- docs/sweeps.md says what every field means. Here they are checked, and points are made of spaces; trials.lua has the
-- trials on the disk, sweep_runner.lua runs them.

local core = require "lstm.core"
local experiment = require "lstm.experiment"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local options = require "lstm.options"
local script = require "lstm.script"
local space = require "lstm.space"

local sweep = {}
local methods = {}
local meta = { __name = "lstm.sweep", __index = methods }

local fields = {
  name = { "string" }, experiment = { "string", "function", "lstm.experiment" }, options = { "table" },
  metrics = { "table" }, method = { "string" }, metric = { "table", "string" }, params = { "table" }, fixed = { "table" },
  derive = { "function" }, seeds = { "integer", "table" }, seed = { "integer" }, trials = { "integer" },
  budget = { "table" }, prune = { "string" }, retries = { "integer" }, timeout = { "number" }, data = { "string" },
  help = { "string" }, optuna = { "table" }, table = { "table" },
}
local field_names = {}
for name in pairs(fields) do field_names[#field_names + 1] = name end
table.sort(field_names)

local budget_names = { "min_steps", "eta", "seconds" }
local points = { grid = true, list = true, random = true, halton = true, asha = true, optuna = true }
local point_names = { "grid", "list", "random", "halton", "asha", "optuna" }
local prune_names = { "asha", "median" }

local function wrong(field, text, ...)
  fault.mistake(("bad argument #1 to 'sweep' (field '%s': %s)"):format(field, text:format(...)))
end

-- ---- fields -------------------------------------------------------------------------------------------------------

local function has_type(value, kinds)
  for _, kind in ipairs(kinds) do
    local found = core.sys.typename(value)
    if kind == "integer" and math.type(value) == "integer" or kind ~= "integer" and kind == found then return true end
  end
  return false
end

local function check_list(field, value, of)
  local problem = options.no_list(value, of)
  if problem then wrong(field, "%s", problem) end
end

local function check_fields(given)
  if type(given) ~= "table" then
    fault.mistake("bad argument #1 to 'sweep' (table expected, got " .. type(given) .. ")")
  end
  fault.no_colon("sweep", given)
  for key, value in pairs(given) do
    local kinds = fields[key]
    if not kinds then wrong(tostring(key), "unknown field%s", options.suggestion(tostring(key), field_names)) end
    if not has_type(value, kinds) then
      wrong(key, "%s expected, got %s", table.concat(kinds, " or "), core.sys.typename(value))
    end
  end
  for _, needed in ipairs { "experiment", "params" } do
    if given[needed] == nil then wrong(needed, "needed, got nil") end
  end
  for field, of in pairs { options = "{ name, default, help }", metrics = "names", table = "names" } do
    if given[field] then check_list(field, given[field], of) end
  end
  if type(given.seeds) == "table" then check_list("seeds", given.seeds, "whole numbers") end
end

local function check_name(name)
  if name == "" or name:find "[%c/]" or name:find "^%." then
    wrong("name", "a name for a directory expected, got '%s'", name)
  end
end

local function check_least(field, value, least)
  if value and value < least then wrong(field, "at least %s expected, got %s", least, tostring(value)) end
end

local function one_of(field, value, names)
  for _, name in ipairs(names) do
    if name == value then return value end
  end
  wrong(field, "unknown '%s'%s; there are: %s", tostring(value), options.suggestion(tostring(value), names),
    table.concat(names, ", "))
end

local function make_metric(given)
  local metric = given or { "val_loss", "min" }
  if type(metric) == "string" then metric = { metric, "min" } end
  local name, goal = metric[1], metric[2] or "min"
  if type(name) ~= "string" or #metric > 2 then wrong("metric", "{ \"name\", \"min\" or \"max\" } expected") end
  one_of("metric", goal, { "min", "max" })
  return { name = name, goal = goal }
end

local function make_seeds(given)
  given = given or 1
  if type(given) == "table" then
    local known = {}
    for i, seed in ipairs(given) do
      if math.type(seed) ~= "integer" then wrong("seeds", "whole numbers expected, got %s", tostring(seed)) end
      if known[seed] then wrong("seeds", "%d is there twice", seed) end
      known[seed] = i
    end
    if #given == 0 then wrong("seeds", "the list is empty") end
    return given
  end
  check_least("seeds", given, 1)
  local list = {}
  for seed = 1, given do list[seed] = seed end
  return list
end

local function make_budget(given)
  local budget = { eta = 3 }
  for name, value in pairs(given or {}) do
    local known = false
    for _, each in ipairs(budget_names) do known = known or each == name end
    if not known then
      wrong("budget", "unknown '%s'%s", tostring(name), options.suggestion(tostring(name), budget_names))
    end
    if type(value) ~= "number" or not (value > 0) then
      wrong("budget", "'%s' must be a positive number, got %s", name, tostring(value))
    end
    budget[name] = value
  end
  if budget.eta <= 1 then wrong("budget", "'eta' must be more than 1, got %s", tostring(budget.eta)) end
  return budget
end

-- { sampler = name, option = value, ... } of Optuna.
local function make_sampler(given, method)
  if given and method ~= "optuna" then wrong("optuna", "only for method 'optuna'") end
  local sampler = { name = "TPESampler", options = {} }
  for name, value in pairs(given or {}) do
    if type(name) ~= "string" then wrong("optuna", "{ sampler = \"name\", option = value, ... } expected") end
    if name ~= "sampler" then sampler.options[name] = value
    elseif type(value) ~= "string" then wrong("optuna", "'sampler' must be a name, got %s", type(value))
    else sampler.name = value end
  end
  return sampler
end

-- ---- the experiment -----------------------------------------------------------------------------------------------

local function default_of(values)
  local given = space.of(values)
  return given and space.at(given, 0)
end

-- Values of which one has a fraction are numbers, and so is the option that takes them.
local function default_of_all(values)
  local default = default_of(values)
  for _, value in ipairs(math.type(default) == "integer" and type(values) == "table" and values or {}) do
    if math.type(value) == "float" then return default + 0.0 end
  end
  return default
end

-- A function of the sweep's own: its options are those of the field `options`, and the parameters.
local function wrap(run, given)
  local entries, known = {}, { seed = true }
  for _, entry in ipairs(given.options or {}) do
    entries[#entries + 1] = entry
    if type(entry) == "table" then known[entry[1] or ""] = true end
  end
  local function add(name, default)
    if type(name) == "string" and default ~= nil and not known[name] then
      entries[#entries + 1] = { name, default, "" }
      known[name] = true
    end
  end
  for _, key in ipairs(options.keys(given.fixed or {})) do add(key, given.fixed[key]) end
  for _, key in ipairs(options.keys(given.params)) do
    local value = given.params[key]
    if type(key) == "string" then add(key, default_of_all(value))
    elseif given.method == "list" then for _, name in ipairs(options.keys(value)) do add(name, value[name]) end
    elseif type(value) == "table" then add(value[1], default_of_all(value[2])) end
  end
  local metrics = { make_metric(given.metric).name, table.unpack(given.metrics or {}) }
  return experiment { run = run, options = entries, name = given.name, metrics = metrics }
end

local function find(name)
  if name:find "%.lua$" then return script.named(name) end
  local module = name:gsub("/", ".")
  return package.searchpath(module, package.path) or package.searchpath("experiments." .. module, package.path)
end

local function load_experiment(name)
  local path = find(name)
  if not path then
    wrong("experiment", "there is no '%s', neither beside the script nor here, nor among those that came with lstmrun", name)
  end
  script.note(name, path)
  local description = script.load(path)(name, path)
  if not experiment.is(description) then wrong("experiment", "%s does not return lstm.experiment {...}", path) end
  return description
end

local function make_experiment(given)
  local what = given.experiment
  if type(what) == "function" then return wrap(what, given) end
  for _, field in ipairs { "options", "metrics" } do
    if given[field] then wrong(field, "only for an experiment that is a function") end
  end
  return type(what) == "string" and load_experiment(what) or what
end

-- ---- parameters ---------------------------------------------------------------------------------------------------

-- { name = space, ... } sorted by name, or { { name, space }, ... } as it stands -> list of { name, space }.
local function pairs_of(params)
  local list = {}
  if params[1] ~= nil then
    check_list("params", params, "{ \"name\", values }")
    for i, pair in ipairs(params) do
      if type(pair) ~= "table" or type(pair[1]) ~= "string" then
        wrong("params", "entry %d must be { \"name\", values }", i)
      end
      list[i] = pair
    end
    return list
  end
  for name, values in pairs(params) do list[#list + 1] = { tostring(name), values } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

local function check_value(self, field, name, value)
  local set = self.experiment.options
  if not set.named[name] then
    wrong(field, "experiment '%s' has no option '%s'%s", self.experiment.name, tostring(name),
      options.suggestion(tostring(name), set:names()))
  end
  if name == "seed" then wrong(field, "'seed' is given by the field 'seeds'") end
  local fitting, problem = set:value(name, value) -- 1 for a number is 1.0
  if fitting == nil then wrong(field, "%s", problem) end
  local presets = self.experiment.presets
  if name == "preset" and next(presets) and fitting ~= "" and not presets[fitting] then
    wrong(field, "experiment '%s' has no preset '%s'", self.experiment.name, fitting)
  end
  return fitting
end

local function check_space(self, name, given)
  for i, value in ipairs(given.values or { space.at(given, 0), space.at(given, 0.999) }) do
    local fitting = check_value(self, "params", name, value)
    if given.values then given.values[i] = fitting end
  end
  if self.points == "grid" and not given.values then
    wrong("params", "'%s' is %s, of which a grid cannot have all values: give a list, or take method 'random' or 'halton'",
      name, given.kind)
  end
end

-- Spaces first, then those that depend on others, then functions of all of them.
local function make_params(self, params)
  local plain, conditional, derived, known = {}, {}, {}, {}
  for _, pair in ipairs(pairs_of(params)) do
    local name, values = pair[1], pair[2]
    if known[name] then wrong("params", "'%s' is there twice", name) end
    known[name] = true
    local given = space.of(values)
    if type(values) == "function" then
      derived[#derived + 1] = { name = name, derive = values }
    elseif not given and type(values) == "table" and next(values) ~= nil then
      wrong("params", "'%s': %s", name, options.no_list(values, "values"))
    elseif not given then
      wrong("params", "'%s' needs a list of values, a space or a function, got %s", name,
        type(values) == "table" and "an empty list" or tostring(values))
    else
      check_space(self, name, given)
      local into = given.condition and conditional or plain
      into[#into + 1] = { name = name, space = given }
    end
  end
  table.move(conditional, 1, #conditional, #plain + 1, plain)
  if #plain == 0 then wrong("params", "there is nothing to try: no parameter has values") end
  self.spaces, self.derived = plain, derived
end

local function make_list(self, params)
  if #params == 0 then wrong("params", "there is nothing to try: the list is empty") end
  check_list("params", params, "tables { name = value, ... }")
  for i, values in ipairs(params) do
    if type(values) ~= "table" then wrong("params", "entry %d must be a table { name = value, ... }", i) end
    local point = {}
    for name, value in pairs(values) do point[name] = check_value(self, "params", name, value) end
    self.list[i] = point
  end
end

local function make_fixed(self, given)
  for name, value in pairs(given or {}) do self.fixed[name] = check_value(self, "fixed", name, value) end
  for _, param in ipairs(self.spaces or {}) do
    if self.fixed[param.name] ~= nil then wrong("fixed", "'%s' is a parameter, too", param.name) end
  end
end

local function known_names(self, params)
  local known = {}
  for _, entry in ipairs(self.spaces or {}) do known[entry.name] = true end
  for _, entry in ipairs(self.derived) do known[entry.name] = true end
  for _, values in ipairs(self.points == "list" and params or {}) do
    for name in pairs(values) do known[name] = true end
  end
  return options.keys(known), known
end

-- table = { rows, columns }: names of parameters, the second may be left out.
local function check_table(self, given, params)
  if not given then return end
  if #given < 1 or #given > 2 then wrong("table", "{ \"rows\", \"columns\" } expected") end
  local names, known = known_names(self, params)
  for _, name in ipairs(given) do
    if not known[name] then
      wrong("table", "no parameter '%s'%s", tostring(name), options.suggestion(tostring(name), names))
    end
  end
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

local function is_finite(params)
  for _, pair in ipairs(pairs_of(params)) do
    local given = type(pair[2]) ~= "function" and space.of(pair[2])
    if given and not given.values then return false end
  end
  return true
end

-- How points are chosen. asha takes what suits the spaces.
local function choose_points(given, method)
  if method ~= "asha" then return method end
  return not given.trials and is_finite(given.params) and "grid" or "random"
end

local function new(given)
  check_fields(given)
  if given.name then check_name(given.name) end
  local method = one_of("method", given.method or "grid", point_names)
  for field, least in pairs { trials = 1, retries = 0, timeout = 0.001 } do check_least(field, given[field], least) end
  local self = setmetatable({
    given = given, name = given.name, method = method, points = choose_points(given, method),
    metric = make_metric(given.metric), seeds = make_seeds(given.seeds), seed = given.seed or 1,
    trials = given.trials, budget = make_budget(given.budget), retries = given.retries or 1, timeout = given.timeout,
    prune = given.prune and one_of("prune", given.prune, prune_names) or method == "asha" and "asha" or nil,
    sampler = make_sampler(given.optuna, method), derive = given.derive, data = given.data, help = given.help or "",
    table = given.table, fixed = {}, list = {}, derived = {}, overridden = {},
  }, meta)
  if (self.points == "random" or self.points == "halton" or self.points == "optuna") and not self.trials then
    wrong("trials", "method '%s' needs a number of them", method)
  elseif (self.points == "grid" or self.points == "list") and self.trials then
    wrong("trials", "only with method 'random', 'halton', 'asha' or 'optuna'; '%s' tries all there are", method)
  end
  self.shuffled = self.prune ~= nil and (self.points == "grid" or self.points == "list")
  self.experiment = make_experiment(given)
  if self.points == "list" then make_list(self, given.params) else make_params(self, given.params) end
  make_fixed(self, given.fixed)
  check_table(self, given.table, given.params)
  experiment.note "sweep"
  return self
end

--- Whether a value is a sweep.
function sweep.is(value)
  return getmetatable(value) == meta
end

--- The same sweep with other fixed options or other lists of values, as the command line has them: list of
-- { name, text }. A parameter takes a list of values, a,b,c; any other option one value, which wins over what the field
-- derive says.
function methods:with(pairs_given)
  local given, fixed, params, overridden = {}, {}, {}, {}
  for key, value in pairs(self.given) do given[key] = value end
  for name, value in pairs(given.fixed or {}) do fixed[name] = value end
  for name, value in pairs(given.params) do params[name] = value end
  local set = self.experiment.options
  for _, pair in ipairs(pairs_given) do
    local name, text = pair[1], pair[2]
    local at = self:param_key(name)
    if not set.named[name] then return nil, ("no option '%s'%s"):format(name, options.suggestion(name, set:names())) end
    if self:lists(name) then
      return nil, ("option '%s' has its values in the sweep's list of configurations"):format(name)
    end
    local values = {}
    for item in (text .. (at and "," or "\0")):gmatch(at and "([^,]*)," or "(.-)%z") do
      local value, problem = set:value(name, item)
      if value == nil then return nil, problem end
      values[#values + 1] = value
    end
    if at then params[at] = type(at) == "string" and values or { name, values }
    else fixed[name], overridden[name] = values[1], true end
  end
  given.params, given.fixed, given.name = params, fixed, self.name
  local changed = new(given)
  changed.overridden = overridden
  return changed
end

--- Whether a configuration of method "list" has a value of this option.
function methods:lists(name)
  for _, values in ipairs(self.list) do
    if values[name] ~= nil then return true end
  end
  return false
end

--- Where a parameter stands in the field params: its name or number; nil when it is none.
function methods:param_key(name)
  if self.points == "list" then return nil end
  for key, value in pairs(self.given.params) do
    if key == name or type(key) == "number" and type(value) == "table" and value[1] == name then return key end
  end
end

local function shown_values(values)
  local parts = {}
  for i, value in ipairs(values) do parts[i] = options.show(value) end
  return table.concat(parts, ",")
end

--- A line for each parameter: what is tried.
function methods:describe()
  local lines = {}
  if self.points == "list" then lines[1] = format.plural(#self.list, "configuration") .. ", listed" end
  for _, param in ipairs(self.spaces or {}) do
    local given = param.space
    local what = self.points ~= "grid" and given.bounds or given.values and shown_values(given.values)
    lines[#lines + 1] = ("%s=%s%s"):format(param.name, what, given.condition and "  (under a condition)" or "")
  end
  for _, param in ipairs(self.derived) do lines[#lines + 1] = param.name .. "  (derived from the others)" end
  if self.derive then lines[#lines + 1] = "and what is derived from these" end
  return lines
end

-- ---- configurations -----------------------------------------------------------------------------------------------

local function listed(values)
  local list = {}
  for i, name in ipairs(options.keys(values)) do list[i] = { name, values[name] } end
  return list
end

--- Every option of a trial: defaults, what is fixed, and the point { { name, value }, ... } so far.
function methods:configuration(point)
  return self.experiment:configuration { listed(self.fixed), point }
end

local function applies(self, param, point)
  return not param.space.condition or param.space.condition(self:configuration(point))
end

local function extended(point, name, value)
  local longer = table.move(point, 1, #point, 1, {})
  longer[#longer + 1] = { name, value }
  return longer
end

-- Every point of the grid from parameter k on; the last parameter changes fastest.
local function walk_grid(self, k, point, visit)
  local param = self.spaces[k]
  if not param then return visit(point) end
  if not applies(self, param, point) then return walk_grid(self, k + 1, point, visit) end
  for _, value in ipairs(param.space.values) do
    walk_grid(self, k + 1, extended(point, param.name, value), visit)
  end
end

-- A point of values that choose(param, place) returns; nil when it returns nil for a parameter that applies.
local function assemble(self, choose)
  local point = {}
  for d, param in ipairs(self.spaces) do
    if applies(self, param, point) then
      local value = choose(param, d)
      if value == nil then return nil end
      point[#point + 1] = { param.name, check_value(self, "params", param.name, value) }
    end
  end
  return point
end

local function sampled_point(self, i)
  return assemble(self, function(param, d)
    local u = self.points == "halton" and space.halton(self.seed, i, d) or space.random(self.seed, i, param.name)
    return space.at(param.space, u)
  end)
end

-- Adds derived parameters to a point.
local function derive(self, point)
  local cfg = self:configuration(point)
  for _, param in ipairs(self.derived) do
    local value = param.derive(cfg)
    if value == nil then wrong("params", "the function for '%s' returned nothing", param.name) end
    point[#point + 1] = { param.name, check_value(self, "params", param.name, value) }
  end
  if not self.derive then return point end
  local more = self.derive(self:configuration(point))
  if type(more) ~= "table" then wrong("derive", "must return a table, got %s", type(more)) end
  for _, pair in ipairs(listed(more)) do
    local value = check_value(self, "derive", pair[1], pair[2])
    if not self.overridden[pair[1]] then point[#point + 1] = { pair[1], value } end
  end
  return point
end

--- A configuration from a point { { name, value }, ... } of this sweep's parameters: with what is derived from it.
function methods:complete(point)
  return derive(self, point)
end

--- The configuration of values that choose({ name, space }) returns, with what is derived from them; nil when it
-- returns nil for a parameter that applies.
function methods:assemble(choose)
  local point = assemble(self, choose)
  return point and derive(self, point)
end

local function sampled(self, visit)
  local known, found, i = {}, 0, 0
  while found < self.trials and i < 20 * self.trials + 100 do
    i = i + 1
    local point = derive(self, sampled_point(self, i))
    local key = json.encode { point }
    if not known[key] then
      known[key], found = true, found + 1
      visit(point)
    end
  end
end

-- Whoever comes first is compared with nobody: in the order of a grid, from the smallest value to the largest, successive
-- halving would stop all, or none. A point's place depends on the point alone, so that others can be added.
local function shuffle(self, list)
  local keys = {}
  for _, point in ipairs(list) do keys[point] = space.random(self.seed, 0, json.encode { point }) end
  table.sort(list, function(a, b) return keys[a] < keys[b] end)
  return list
end

--- As many configurations as method "optuna" is to choose, at random: to tell what it would take.
function methods:examples()
  local list = {}
  sampled(self, function(point) list[#list + 1] = point end)
  return list
end

--- The configurations to try, each a list of { name, value }: the parameters in order, then what is derived. Two that
-- are equal are one. Where trials are stopped early a grid or list is in random order. None for method "optuna", which
-- finds them one by one.
function methods:configurations()
  local list, known = {}, {}
  local function visit(point)
    local key = json.encode { point }
    if not known[key] then list[#list + 1] = point end
    known[key] = true
  end
  if self.points == "grid" then walk_grid(self, 1, {}, function(point) visit(derive(self, point)) end)
  elseif self.points == "list" then for _, values in ipairs(self.list) do visit(derive(self, listed(values))) end
  elseif self.points ~= "optuna" then sampled(self, visit) end
  return self.shuffled and shuffle(self, list) or list
end

return setmetatable(sweep, { __call = function(_, given) return new(given) end })
