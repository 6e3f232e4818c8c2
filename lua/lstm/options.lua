-- SPDX-License-Identifier: MIT
--
-- options.lua - an experiment's options: names, defaults and a line of help each, changed by key=value.
--
--     local set = options.new { { "hidden", 256, "units in each layer" }, { "split", { 0.9, 0.1 }, "..." } }
--     local cfg = set:defaults()             -- { hidden = 256, split = { 0.9, 0.1 } }
--     set:assign(cfg, "hidden", "512")       -- true, or nil and a sentence
--
-- A value has the type of its default: integer, number, boolean, string, or a list (a=1,2,3) of one of these. A name
-- with dots lies in nested tables: activations.every is cfg.activations.every.

local json = require "lstm.json"

local options = {}
local set_methods = {}
local set_meta = { __index = set_methods }

--- How many letters must be added, dropped, changed or swapped with their neighbour to turn a into b.
local function distance(a, b)
  local before, last, row = {}, {}, {}
  for j = 0, #b do last[j] = j end
  for i = 1, #a do
    row = { [0] = i }
    for j = 1, #b do
      local change = a:byte(i) == b:byte(j) and 0 or 1
      row[j] = math.min(last[j] + 1, row[j - 1] + 1, last[j - 1] + change)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        row[j] = math.min(row[j], before[j - 2] + 1)
      end
    end
    before, last = last, row
  end
  return last[#b]
end

-- The longest of the names for which this one is a longer word: batch_size is one for batch, num_layers for layers.
local function shortened(name, names)
  local best
  for _, candidate in ipairs(names) do
    local longer = #candidate >= 3 and #candidate < #name
      and (name:sub(1, #candidate) == candidate or name:sub(-#candidate - 1) == "_" .. candidate)
    if longer and (not best or #candidate > #best) then best = candidate end
  end
  return best
end

-- Of learning_rate: lr.
local function initials(name)
  return (name:gsub("(%a)%a*_?", "%1"))
end

--- The name nearest to a mistyped one, nil when none is near; of equals the first.
function options.nearest(name, names)
  local short = shortened(name, names)
  if short then return short end
  for _, candidate in ipairs(names) do
    if #candidate > 1 and candidate == initials(name) then return candidate end
  end
  local best, least = nil, math.max(2, #name // 3) + 1
  for _, candidate in ipairs(names) do
    local d = distance(name:lower(), candidate:lower())
    if d < least then best, least = candidate, d end
  end
  return best
end

--- " (did you mean 'hidden'?)", or nothing.
function options.suggestion(name, names, prefix)
  local near = options.nearest(name, names)
  return near and (" (did you mean '%s%s'?)"):format(prefix or "", near) or ""
end

--- The keys of a table, in an order that does not change from one start to the next.
function options.keys(values)
  local keys = {}
  for key in pairs(values) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == "number" and type(b) == "number" then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- ---- values -------------------------------------------------------------------------------------------------------

local function kind_of(value)
  if type(value) == "number" then return math.type(value) == "integer" and "integer" or "number" end
  if type(value) == "table" then return "list" end
  return type(value)
end

local readers = {}

function readers.number(text)
  local x = tonumber(text)
  if x and x == x and math.abs(x) < math.huge then return x + 0.0 end
  return nil, "a number"
end

function readers.integer(text)
  local x = math.tointeger(tonumber(text)) -- 1e3 is an integer, too
  return x, "an integer"
end

local truths = { ["true"] = true, yes = true, on = true, ["false"] = false, no = false, off = false }

function readers.boolean(text)
  return truths[text], "true or false"
end

function readers.string(text) -- a log and a checkpoint hold it as such
  return utf8.len(text) and text, "UTF-8 text"
end

local function kind_of_items(default)
  return default[1] == nil and "string" or kind_of(default[1])
end

local function read_list(text, default)
  local reader = readers[kind_of_items(default)]
  local list = {}
  if text == "" then return list end
  for item in (text .. ","):gmatch "([^,]*)," do
    local value, expected = reader(item)
    if value == nil then return nil, "a list of values, each " .. expected end
    list[#list + 1] = value
  end
  return list
end

--- A value of the default's type from its text; nil and what was expected.
local function read(text, default)
  local kind = kind_of(default)
  if kind == "list" then return read_list(text, default) end
  return readers[kind](text)
end

local function copy(value)
  return type(value) == "table" and table.move(value, 1, #value, 1, {}) or value
end

-- Whether a value is one of an option as it is, not only as text, which would not do for a list of texts with commas.
local function fits(value, default)
  if kind_of(value) ~= kind_of(default) then return false end
  if type(value) == "number" then return math.abs(value) < math.huge end
  if type(value) == "string" then return utf8.len(value) ~= nil end
  for _, item in ipairs(type(value) == "table" and value or {}) do
    if kind_of(item) ~= kind_of_items(default) or type(item) == "string" and not utf8.len(item) then return false end
  end
  return true
end

--- Text that key=value reads back as the same value.
function options.show(value)
  if math.type(value) == "float" then return (json.number(value):gsub("%.0$", "")) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  for i, item in ipairs(value) do parts[i] = options.show(item) end
  return table.concat(parts, ",")
end

-- ---- a set of options ---------------------------------------------------------------------------------------------

local function check_default(name, default)
  local list = type(default) == "table"
  for key, item in pairs(list and default or { default }) do
    local kind = kind_of(item)
    if not readers[kind] or math.type(key) ~= "integer" or kind ~= kind_of(list and default[1] or item) then
      return ("option '%s': the default must be a number, string, boolean, or a list of one of these"):format(name)
    end
  end
  if default == nil then return ("option '%s' has no default"):format(name) end
end

-- A name must not be both an option and the group of others (a and a.b).
local function check_groups(set)
  for _, option in ipairs(set.list) do
    for stop in option.name:gmatch "()%." do
      local group = option.name:sub(1, stop - 1)
      if set.named[group] then return ("option '%s' and option '%s' exclude each other"):format(group, option.name) end
    end
  end
end

local function add(set, entry)
  if type(entry) ~= "table" then return "an option must be { \"name\", default, \"help\" }" end
  local name, default, help = entry[1], entry[2], entry[3]
  if type(name) ~= "string" or not name:find "^%a[%w_]*%f[%z.][%w_.]*$" or name:find "%.%." or name:find "%.$" then
    return ("bad name of an option: %s"):format(tostring(name))
  end
  if set.named[name] then return ("option '%s' is there twice"):format(name) end
  if help ~= nil and type(help) ~= "string" then return ("option '%s': help must be a string"):format(name) end
  local fault = check_default(name, default)
  if fault then return fault end
  local option = { name = name, default = default, kind = kind_of(default), help = help or "" }
  set.list[#set.list + 1] = option
  set.named[name] = option
end

--- A sentence about a value that is no list, as { hidden = 128 } and { 4, nil, 8 } are none; nil when it is one. of: what
-- the list is of.
function options.no_list(value, of)
  if type(value) ~= "table" then return ("a list of %s expected, got %s"):format(of, type(value)) end
  local count, last = 0, 0
  for key in pairs(value) do
    if math.type(key) ~= "integer" or key < 1 then
      return ("a list of %s expected, got a field '%s'"):format(of, tostring(key))
    end
    count, last = count + 1, math.max(last, key)
  end
  if count == last then return nil end
  local hole = 1
  while value[hole] ~= nil do hole = hole + 1 end
  return ("a list of %s expected, entry %d is nil: is a name mistyped?"):format(of, hole)
end

--- A set from a list of { name, default, help }; nil and a sentence when the list is wrong.
function options.new(entries)
  local problem = options.no_list(entries, "{ name, default, help }")
  if problem then return nil, problem end
  local set = setmetatable({ list = {}, named = {} }, set_meta)
  for _, entry in ipairs(entries) do
    local fault = add(set, entry)
    if fault then return nil, fault end
  end
  local fault = check_groups(set)
  if fault then return nil, fault end
  return set
end

--- The options' names, in order.
function set_methods:names()
  local names = {}
  for i, option in ipairs(self.list) do names[i] = option.name end
  return names
end

-- A configuration answers for a field it does not have, so that a typing error in a script is found where it is.
local function guarded(prefix, names)
  return setmetatable({}, {
    __index = function(_, key)
      if type(key) ~= "string" then return nil end
      error(("there is no option '%s%s'%s"):format(prefix, key, options.suggestion(prefix .. key, names)), 2)
    end,
  })
end

-- The table that holds an option, and the option's key in it.
local function slot(cfg, name, names)
  local prefix, parent = "", cfg
  for group in name:gmatch "([^.]+)%." do
    prefix = prefix .. group .. "."
    if rawget(parent, group) == nil then rawset(parent, group, guarded(prefix, names)) end
    parent = rawget(parent, group)
  end
  return parent, name:match "[^.]+$"
end

--- A configuration with every option at its default.
function set_methods:defaults()
  local names = self:names()
  local cfg = guarded("", names)
  for _, option in ipairs(self.list) do
    local parent, key = slot(cfg, option.name, names)
    rawset(parent, key, copy(option.default))
  end
  return cfg
end

--- The value of a (dotted) option in a configuration.
function set_methods:get(cfg, name)
  local parent, key = slot(cfg, name)
  return rawget(parent, key)
end

--- Sets an option to a value of its type.
function set_methods:set(cfg, name, value)
  local parent, key = slot(cfg, name)
  rawset(parent, key, value)
end

-- { "dropout", 0 } is easily written where 0.0 is meant.
local function fraction_hint(text, default)
  local x = math.type(default) == "integer" and tonumber(text)
  return x and x % 1 > 0 and (" (its default would be %d.0 in a script that means any number)"):format(default) or ""
end

--- An option's value from text, or from a value of its type or one like it. nil and a sentence when it cannot be one.
function set_methods:value(name, given)
  local option = self.named[name]
  if not option then return nil, ("no option '%s'%s"):format(name, options.suggestion(name, self:names())) end
  if fits(given, option.default) then return copy(given) end
  local text = options.show(given)
  local value, expected = read(text, option.default)
  if value == nil then
    return nil, ("option '%s' must be %s, got '%s'%s"):format(name, expected, text, fraction_hint(text, option.default))
  end
  return value
end

--- Sets an option from text or a value. True, or nil and a sentence.
function set_methods:assign(cfg, name, given)
  local value, problem = self:value(name, given)
  if value == nil then return nil, problem end
  self:set(cfg, name, value)
  return true
end

--- Takes over the values of a plain table (a configuration read from a file): those of options that are there, and
-- whose type fits. Returns the names in it that are not options of this set.
function set_methods:adopt(cfg, plain)
  local unknown = {}
  local function walk(group, prefix)
    for key, value in pairs(group) do
      local name = prefix .. tostring(key)
      local option, fitting = self.named[name], nil
      if option and (type(value) ~= "table" or option.kind == "list") then
        fitting = self:value(name, value)
      end
      if fitting ~= nil then
        self:set(cfg, name, fitting)
      elseif type(value) == "table" and not option then
        walk(value, name .. ".")
      else
        unknown[#unknown + 1] = name
      end
    end
  end
  walk(plain, "")
  table.sort(unknown)
  return unknown
end

--- Options that have other values in a configuration than in a plain table (which lacks some, perhaps): a list of
-- { name, value, other }, both as text.
function set_methods:changes(cfg, plain)
  local other, list = self:defaults(), {}
  self:adopt(other, plain)
  for _, option in ipairs(self.list) do
    local now, before = options.show(self:get(cfg, option.name)), options.show(self:get(other, option.name))
    if now ~= before then list[#list + 1] = { option.name, now, before } end
  end
  return list
end

--- A plain copy of a configuration's options, nested, as json.encode takes it.
function set_methods:plain(cfg)
  local result = {}
  for _, option in ipairs(self.list) do
    local parent = result
    for group in option.name:gmatch "([^.]+)%." do
      parent[group] = parent[group] or {}
      parent = parent[group]
    end
    parent[option.name:match "[^.]+$"] = copy(self:get(cfg, option.name))
  end
  return result
end

--- One line an option: name=value, with its help when asked for.
function set_methods:lines(cfg, with_help)
  local width, lines = 0, {}
  for i, option in ipairs(self.list) do
    lines[i] = option.name .. "=" .. options.show(self:get(cfg, option.name))
    width = math.max(width, math.min(#lines[i], 28))
  end
  for i, option in ipairs(self.list) do
    if with_help and option.help ~= "" then lines[i] = ("  %-" .. width .. "s  %s"):format(lines[i], option.help)
    elseif with_help then lines[i] = "  " .. lines[i] end
  end
  return lines
end

--- A sentence about an option that is given a second time; nil the first time, when there is no value of before.
function options.twice(name, before, value)
  return before ~= nil and ("option '%s' is given twice: %s and %s"):format(name, before, value) or nil
end

--- The value of a name in a list of { name, value }; nil where it is not there.
function options.value_in(list, name)
  for _, pair in ipairs(list) do
    if pair[1] == name then return pair[2] end
  end
end

return options
