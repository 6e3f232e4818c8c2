-- SPDX-License-Identifier: MIT
--
-- arrays.lua - arrays of numbers in HDF5 files: data that other programs made, and tensors for them.
--
--     local x = assert(lstm.tensor.load("data.h5", "train/x"))       -- in Python: h5py.File("data.h5", "w")["train/x"] = x
--     assert(lstm.tensor.save("found.h5", { states = h, mean = h:mean(1) }))

local core = require "lstm.core"
local fault = require "lstm.fault"
local options = require "lstm.options"
local ranks = require "lstm.ranks"

local arrays = {}

local parts = { "first", "last" }

local function check_part(part)
  fault.check(3, "load", part, "table")
  for key, value in pairs(part) do
    if key ~= "first" and key ~= "last" then
      fault.mistake(("bad argument #3 to 'load': unknown field '%s'%s"):format(tostring(key),
        options.suggestion(tostring(key), parts)))
    end
    if not math.tointeger(value) or value < 1 then
      fault.mistake(("bad argument #3 to 'load' (field '%s': positive integer expected, got %s)"):format(key,
        tostring(value)))
    end
  end
end

--- The tensor that a dataset of any HDF5 file is; part (may be nil): { first =, last = }, indices of its first dimension,
-- from 1 on, for what is too large for memory. Floats of up to 4 bytes make a "float" tensor, all other numbers, booleans
-- too, a "double" one; a scalar one of one element. nil and a sentence when there is none, or the file cannot be read.
function arrays.load(path, name, part)
  fault.check(1, "load", path, "string")
  fault.check(2, "load", name, "string")
  if part ~= nil then check_part(part) end
  return core.log.array(path, name, part and part.first, part and part.last)
end

local function check_tensors(tensors)
  fault.check(2, "save", tensors, "table")
  local names = {}
  for name, tensor in pairs(tensors) do
    if type(name) ~= "string" then
      fault.mistake(("bad argument #2 to 'save' (tensors by name expected, got [%s])"):format(tostring(name)))
    end
    local kind = core.sys.typename(tensor)
    if kind ~= "lstm.tensor" then
      fault.mistake(("bad argument #2 to 'save' (field '%s': tensor expected, got %s)"):format(name, kind))
    end
    names[#names + 1] = name
  end
  table.sort(names)
  return names
end

--- Writes tensors, by their names ("x", "train/x"), to a file that HDF5 readers open; what was there is replaced when the
-- new one is whole. True, or nil and a sentence. Of several ranks the first one writes.
function arrays.save(path, tensors)
  fault.check(1, "save", path, "string")
  local list = {}
  for k, name in ipairs(check_tensors(tensors)) do list[k] = { name, tensors[name] } end
  if ranks.rank > 0 then return true end
  local ok, reason, mistake = core.checkpoint.write(path, nil, list, {})
  if mistake then fault.mistake(("bad argument #2 to 'save' (%s)"):format(mistake)) end
  return ok, reason
end

return arrays
