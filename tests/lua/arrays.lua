-- SPDX-License-Identifier: MIT
--
-- lstm.tensor.load and save: arrays of numbers in HDF5 files. What h5py writes: tests/tools.sh.

local lstm = require "lstm"
local tap = require "tap"

local tensor = lstm.tensor
local path = os.tmpname()
local x = tensor.normal { 3, 2, 4, seed = 1 }
local half = tensor.normal { 5, seed = 2, type = "float" }

tap.is(tensor.save(path, { x = x, ["train/half"] = half, part = x:slice(2, 2, 2) }), true, "tensors are saved")
tap.ok(assert(tensor.load(path, "x")):equal(x), "the same bits come back")
tap.ok(assert(tensor.load(path, "train/half")):equal(half) and tensor.load(path, "/train/half").type == "float",
  "in their type, from a group")
tap.ok(assert(tensor.load(path, "part")):equal(x:slice(2, 2, 2):copy()), "a view is saved as what it shows")
tap.ok(assert(tensor.load(path, "x", { first = 2, last = 3 })):equal(x:slice(1, 2, 3):copy()), "some of it")
tap.ok(assert(tensor.load(path, "x", { first = 3 })):equal(x:slice(1, 3, 3):copy()), "from an index on")

local function refuses(name, part, why)
  local value, reason = tensor.load(path, name, part)
  tap.ok(value == nil, "refused: " .. why)
  tap.contains(reason, why, "says so")
  tap.contains(reason, path, "and the file")
end
refuses("y", nil, "has no numbers 'y'; it has: part, train/half, x")
refuses("train", nil, "has no numbers 'train'")
refuses("x", { first = 2, last = 4 }, "'x' has indices 1 to 3, got 2 to 4")
refuses("x", { first = 3, last = 2 }, "'x' has indices 1 to 3, got 3 to 2")

local function fails(call, why) tap.fails(call, why, why) end
fails(function() tensor.load(path) end, "bad argument #2 to 'load' (string expected, got nil)")
fails(function() tensor.load(path, "x", { frist = 1 }) end, "unknown field 'frist' (did you mean 'first'?)")
fails(function() tensor.load(path, "x", { last = 0 }) end, "field 'last': positive integer expected, got 0")
fails(function() tensor.save(path, { x }) end, "bad argument #2 to 'save' (tensors by name expected, got [1])")
fails(function() tensor.save(path, { x = 3 }) end, "bad argument #2 to 'save' (field 'x': tensor expected, got number)")
fails(function() tensor.save(path, { ["a//b"] = x }) end, "bad argument #2 to 'save' ('a//b' cannot be a name")
tap.ok(tensor.load(path, "x"):equal(x), "what was there stays")

do -- damaged files: none crashes, each is whole or refused
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  local sound = 0
  for k = 1, 60 do
    local at = 1 + (k * 7919) % #bytes
    file = assert(io.open(path, "wb"))
    file:write(bytes:sub(1, at - 1), string.char(bytes:byte(at) ~ 255), bytes:sub(at + 1)):close()
    local value, reason = tensor.load(path, "x")
    if value or type(reason) == "string" and reason:find(path, 1, true) then sound = sound + 1 end
  end
  tap.is(sound, 60, "files with a byte changed: read or refused")
  file = assert(io.open(path, "wb"))
  file:write(bytes:sub(1, #bytes // 2)):close()
  tap.is(tensor.load(path, "x"), nil, "half a file is refused")
end
os.remove(path)
local value, reason = tensor.load(path, "x")
tap.ok(value == nil and reason:find "No such file", "a file that is not there")
tap.is((tensor.load("/", "x")), nil, "a directory")
tap.done()
