-- SPDX-License-Identifier: MIT
--
-- asked.lua - configurations that were chosen one after the other (optuna.lua), as the sweep's directory keeps them.
--
-- DIR/asked/N.json is the N-th: what was chosen for each parameter, as a coordinate of its space. It is made by
-- link(2), in which one of all who try succeeds, and never changes. One that does not fit the sweep as it is now (other spaces)
-- is passed over.

local core = require "lstm.core"
local fault = require "lstm.fault"
local json = require "lstm.json"
local options = require "lstm.options"
local space = require "lstm.space"

local sys, process = core.sys, core.process
local asked = {}

local function path_of(directory, n)
  return ("%s/asked/%d.json"):format(directory, n)
end

-- What a space is, as text: a coordinate of another one means something else.
local function signature(this)
  if this.at then return this.kind .. " " .. this.bounds end
  local values = {}
  for i, value in ipairs(this.values) do values[i] = options.show(value) end
  return this.kind .. " " .. table.concat(values, ",")
end

local function read(directory, n)
  local file = io.open(path_of(directory, n), "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  local entry = json.decode(text)
  return type(entry) == "table" and entry or {}
end

--- The value at a coordinate: of a space without end u in [0, 1], of others the place in the list, from 0.
function asked.value(this, coordinate)
  if this.at then return space.at(this, math.min(coordinate, 1 - 2.0 ^ -53)) end
  return this.values[math.tointeger(coordinate) + 1]
end

-- The configuration of an entry, or nil.
local function point_of(sweep, entry)
  local coordinates, used = {}, 0
  for _, one in ipairs(entry.coordinates or {}) do coordinates[one.name] = one end
  local point = sweep:assemble(function(param)
    local one = coordinates[param.name]
    if not one or one.space ~= signature(param.space) then return nil end
    used = used + 1
    return asked.value(param.space, one.at)
  end)
  return point and used == #(entry.coordinates or {}) and point or nil
end

--- All that fit the sweep: list of { n, params, coordinates = { { name, at, space }, ... } }; and how many there are,
-- fitting or not.
function asked.list(sweep, directory)
  local list, n = {}, 0
  if not sys.kind(directory .. "/asked") then return list, 0 end
  while true do
    local entry = read(directory, n + 1)
    if not entry then return list, n end
    n = n + 1
    local params = point_of(sweep, entry)
    if params then list[#list + 1] = { n = n, params = params, coordinates = entry.coordinates } end
  end
end

--- A coordinate, as an entry has it.
function asked.coordinate(param, at)
  return { name = param.name, at = at, space = signature(param.space) }
end

--- Adds the n-th configuration. False: somebody else was faster.
function asked.put(directory, n, coordinates)
  local ok, reason = sys.make_directory(directory .. "/asked")
  if ok then ok, reason = process.put(path_of(directory, n), json.encode { coordinates = coordinates } .. "\n") end
  if ok ~= nil then return ok end
  fault.stop("cannot write the sweep's files: " .. reason .. "; choose another place by --out=DIR")
end

return asked
