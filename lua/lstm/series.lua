-- SPDX-License-Identifier: MIT
--
-- series.lua - the series of tensors that a script records of its own: what run:announce and run:tensor are given, as
-- the log takes it (lua_watch.c).
--
--     { name = "group/name", type = "double", dims = { { "time", 64 }, { "x", 2, { -0.5, 0.5 } } }, title = , units = }

local fault = require "lstm.fault"
local options = require "lstm.options"

local series = {}

local fields = { name = "string", dims = "table", type = "string", title = "string", units = "string" }
local field_names = { "name", "dims", "type", "title", "units" }

local most_dims = 5

-- Whether the log's C strings can hold it; what else is wrong with it the log says.
local function is_name(value)
  return type(value) == "string" and not value:find "\0"
end

local ours = { activations = true, config = true, environment = true, events = true, gradients = true, inputs = true,
  metrics = true, parameter_gradients = true, parameters = true, samples = true, saturation = true,
  source = true, vocabulary = true }

-- What the run records itself goes by names of ours, today or when it is resumed with other options.
local function is_ours(name)
  return ours[name:match "^/?([^/]*)/"] or false
end

--- Whether run:watch may record into a group of this name.
function series.check_group(name)
  if type(name) ~= "string" or not name:find "^[%w_][%w_.-]*$" then
    fault.mistake("run:watch: a name of letters, digits and _ expected for its group, got " ..
      (type(name) == "string" and "'" .. name .. "'" or type(name)))
  elseif is_ours(name .. "/") then
    fault.mistake(("run:watch: group '%s' is for what runs record themselves; take another name"):format(name))
  end
end

-- Numbers or texts, all of one kind.
local function are_coordinates(list)
  if type(list) ~= "table" or #list == 0 then return false end
  for _, value in ipairs(list) do
    if type(value) ~= type(list[1]) then return false end
    if type(value) ~= "number" and not (is_name(value) and utf8.len(value)) then return false end
  end
  return true
end

-- { name, size [, coordinates] } of dimension d of a tensor. given: its name, or { name, coordinates }, or nil.
local function dimension_of(given, d, size)
  if given == nil then return { "dim" .. d, size } end
  if is_name(given) then return { given, size } end
  if type(given) ~= "table" or not is_name(given[1]) or not are_coordinates(given[2]) or #given[2] ~= size then
    fault.mistake(("run:tensor: dimension %d: a name, or { name, list of %d numbers or texts (UTF-8) } expected")
      :format(d, size))
  end
  return { given[1], size, given[2] }
end

--- What the first run:tensor(step, name, tensor, dims) says of its series.
function series.of_tensor(name, tensor, dims)
  local list, shape = {}, tensor.shape
  if not is_name(name) then
    fault.mistake("run:tensor: a name expected, got " .. (type(name) == "string" and name or type(name)))
  end
  if is_ours(name) then
    fault.mistake(("run:tensor: '%s': this group is for what runs record themselves; give the series another, such as " ..
      "'mine/%s'"):format(name, name:match "[^/]*$"))
  end
  if dims and (type(dims) ~= "table" or #dims > #shape) then
    fault.mistake(("run:tensor: a list of at most %d dimensions expected"):format(#shape))
  end
  for d, size in ipairs(shape) do list[d] = dimension_of(dims and dims[d], d, size) end
  return { name = name, type = tensor.type, dims = list }
end

local function wrong(field, text)
  fault.mistake(("bad argument #1 to 'announce' (field '%s': %s)"):format(field, text))
end

-- The same of a dimension that run:announce is given: { name, size } or { name, coordinates }.
local function announced_dimension(given, d)
  local name, size = table.unpack(type(given) == "table" and given or {})
  if is_name(name) and math.type(size) == "integer" and size > 0 then return { name, size } end
  if is_name(name) and are_coordinates(size) then return { name, #size, size } end
  wrong("dims", ("dimension %d: { name, size } or { name, list of numbers or texts (UTF-8) } expected"):format(d))
end

--- What run:announce { ... } says of a series, checked.
function series.announced(given)
  if type(given) ~= "table" then
    fault.mistake("bad argument #1 to 'announce' (table expected, got " .. type(given) .. ")")
  end
  for key, value in pairs(given) do
    local want = fields[key]
    if not want then wrong(tostring(key), "unknown field" .. options.suggestion(tostring(key), field_names)) end
    if type(value) ~= want then wrong(key, ("%s expected, got %s"):format(want, type(value))) end
  end
  if not is_name(given.name) then wrong("name", "a name expected, got " .. (given.name or "nil")) end
  if is_ours(given.name) then
    wrong("name", ("a group of the script's own expected, such as 'mine/%s', got %s"):format(given.name:match "[^/]*$",
      given.name))
  end
  local kind = given.type or "double" -- as lstm.tensor has it
  if kind ~= "float" and kind ~= "double" then wrong("type", ("float or double expected, got '%s'"):format(kind)) end
  local dims = {}
  if #(given.dims or dims) > most_dims then wrong("dims", ("at most %d expected"):format(most_dims)) end
  for d, dim in ipairs(given.dims or {}) do dims[d] = announced_dimension(dim, d) end
  return { name = given.name, type = kind, dims = dims, title = given.title, units = given.units, announced = true }
end

return series
