-- SPDX-License-Identifier: MIT
--
-- random.lua - random whole numbers for data that a script makes, the same on every machine.
--
--     local draw = random.new(seed, part, number)    -- a generator for these numbers; others are unrelated to it
--     draw:integer(1, 6)
--
-- SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"). What is drawn in bulk is
-- better drawn by lstm.tensor.uniform { ..., seed = draw:seed() }.

local fault = require "lstm.fault"

local random = {}
random.__index = random

local gamma <const> = 0x9E3779B97F4A7C15

local function mix(z)
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

--- A generator that is a function of some whole numbers, in their order.
function random.new(...)
  local state = 0
  for k = 1, select("#", ...) do
    local x = select(k, ...)
    fault.check(k, "new", x, "integer")
    state = mix(state + gamma + math.tointeger(x))
  end
  return setmetatable({ state = state }, random)
end

--- The next 63 bits, as a non-negative integer: a seed for something else.
function random:seed()
  self.state = self.state + gamma
  return mix(self.state) & math.maxinteger
end

--- A whole number from low to high, both included. (Its bias, (high - low) / 2^63, is none that could be seen.)
function random:integer(low, high)
  fault.check(1, "integer", low, "integer")
  fault.check(2, "integer", high, "integer")
  low, high = math.tointeger(low), math.tointeger(high)
  if high < low then fault.mistake(("bad argument #2 to 'integer' (at least %d expected, got %d)"):format(low, high)) end
  return low + self:seed() % (high - low + 1)
end

--- A non-negative integer that is a function of a string.
function random.hash(text)
  fault.check(1, "hash", text, "string")
  local h = 0
  for k = 1, #text do h = mix(h + gamma + text:byte(k)) end
  return h & math.maxinteger
end

return random
