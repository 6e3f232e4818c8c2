-- SPDX-License-Identifier: MIT
--
-- chance.lua - math.random of an experiment: seeded by the run, and its place can be kept and restored. Lua's own begins
-- anywhere, and does not tell where it stands.
--
-- The numbers are those of Lua 5.4 after math.randomseed(seed): xoshiro256** (Blackman & Vigna 2021, "Scrambled linear
-- pseudorandom number generators").

local fault = require "lstm.fault"
local hash = require "lstm.random".hash

local chance = {}

local s -- the generator's four numbers
local seed_of_run

local function rotate(x, k) return (x << k) | (x >> (64 - k)) end

local function next_bits()
  local a, b, c, d = s[1], s[2], s[3], s[4]
  c, d = c ~ a, d ~ b
  s[1], s[2], s[3], s[4] = a ~ d, b ~ c, c ~ (b << 17), rotate(d, 45)
  return rotate(b * 5, 7) * 9
end

local function seed(high, low)
  s = { high, 0xff, low, 0 }
  for _ = 1, 16 do next_bits() end
  return high, low
end

-- A number from 0 to most, as unsigned numbers: the first that is, of those cut to as many bits as most has.
local function up_to(most)
  local bits = most
  for _, k in ipairs { 1, 2, 4, 8, 16, 32 } do bits = bits | (bits >> k) end
  local x
  repeat x = next_bits() & bits until math.ult(x, most + 1) or most == -1
  return x
end

local function random(...)
  local n, low, high = select("#", ...), ...
  if n == 0 then return (next_bits() >> 11) * 0x1p-53 end
  if n > 2 then fault.mistake "wrong number of arguments" end
  for k = 1, n do fault.check(k, "random", (select(k, ...)), "integer") end
  if n == 1 and low == 0 then return next_bits() end
  low, high = math.tointeger(n == 1 and 1 or low), math.tointeger(n == 1 and low or high)
  if low > high then fault.mistake(("bad argument #%d to 'random' (interval is empty)"):format(n)) end
  return low + up_to(high - low)
end

local function integer(x, k)
  fault.check(k, "randomseed", x, "number")
  return math.tointeger(x) or string.unpack("j", string.pack("n", x))
end

-- Without arguments: as the run began, since there is no chance in it.
local function randomseed(...)
  local n, high, low = select("#", ...), ...
  if n == 0 then return seed(seed_of_run, 0) end
  return seed(integer(high, 1), n > 1 and integer(low, 2) or 0)
end

--- From now on math.random and math.randomseed are these. run_seed: the run's option `seed`.
function chance.begin(run_seed)
  seed_of_run = math.tointeger(run_seed) or hash(tostring(run_seed)) -- an experiment may have one of its own kind
  seed(seed_of_run, 0)
  math.random, math.randomseed = random, randomseed
end

--- Where it stands, for a checkpoint: a list of integers; nil when it has not begun.
function chance.state()
  return s and table.move(s, 1, 4, 1, {})
end

--- Puts it there; checkpoints of programs that did not keep it have nil.
function chance.restore(state)
  if not state then return end
  for k = 1, 4 do
    if type(state) ~= "table" or math.type(state[k]) ~= "integer" then
      fault.stop "the checkpoint's place in the numbers of math.random makes no sense"
    end
  end
  s = table.move(state, 1, 4, 1, {})
end

return chance
