-- SPDX-License-Identifier: MIT
--
-- math.random of an experiment: Lua's numbers, from a place that can be kept.

local tap = require "tap"

local lua_random, lua_seed = math.random, math.randomseed
local chance = require "lstm.chance"

-- What every Lua 5.4 has in common: numbers by halving, since other ranges are cut differently by some of them.
local calls = { {}, { 0 }, { 4096 }, { math.mininteger, math.maxinteger }, { -8, 7 }, { 3, 3 } }
for _, seed in ipairs { 0, 1, 42, -7, math.maxinteger } do
  lua_seed(seed)
  local wanted = {}
  for k = 1, 600 do wanted[k] = lua_random(table.unpack(calls[k % #calls + 1])) end
  chance.begin(seed)
  local same = true
  for k = 1, 600 do same = same and math.random(table.unpack(calls[k % #calls + 1])) == wanted[k] end
  tap.ok(same, ("seed %d: the numbers of Lua's own generator"):format(seed))
end
lua_seed(5, 6)
math.randomseed(5, 6)
tap.is(math.random(0), lua_random(0), "two numbers as a seed")

do
  chance.begin(3)
  local first = math.random()
  math.randomseed()
  tap.is(math.random(), first, "math.randomseed() begins where the run began")
  chance.begin "three"
  local text = math.random()
  chance.begin "three"
  tap.ok(math.random() == text and text ~= first, "an option seed of another kind will do")
end

do
  local count = { 0, 0, 0, 0, 0, 0 }
  for _ = 1, 6000 do
    local k = math.random(6)
    count[k] = count[k] + 1
  end
  -- Each count has mean 1000 and deviation 29: five of them are far beyond chance.
  local fair = true
  for k = 1, 6 do fair = fair and math.abs(count[k] - 1000) < 145 end
  tap.ok(fair, "a die is fair: " .. table.concat(count, " "))
end

do
  local place = chance.state()
  local wanted = { math.random(), math.random(100), math.random(0) }
  math.random()
  chance.restore(place)
  tap.ok(math.random() == wanted[1] and math.random(100) == wanted[2] and math.random(0) == wanted[3],
    "back at a place that was kept: the same numbers")
  chance.restore(nil)
  tap.fails(function() chance.restore { 1, 2, "x", 4 } end, "makes no sense", "a place that is none")
end

tap.fails(function() math.random(3, 1) end, "bad argument #2 to 'random' (interval is empty)", "nothing to choose from")
tap.fails(function() math.random(0.5) end, "integer expected, got 0.5", "half a number")
tap.fails(function() math.random(1, 2, 3) end, "wrong number of arguments", "three arguments")
tap.done()
