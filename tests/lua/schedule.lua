-- SPDX-License-Identifier: MIT
--
-- Learning rates are pure functions of the step, and those of the textbooks.

local schedule = require "lstm.schedule"
local tap = require "tap"

-- cosine: against the C library's cos, whose own error is below one unit in the last place; ours sums 11 terms.
local worst = 0
for step = 0, 1000 do
  local want = 3e-3 * (1 + math.cos(math.pi * step / 1000)) / 2
  local e = math.abs(schedule.cosine(step, 1000, 3e-3) - want)
  worst = e <= worst and worst or e -- NaN is the worst
end
tap.ok(worst <= 1e-15 * 3e-3 * 2, "cosine is half a cosine, to the last digits")
tap.is(schedule.cosine(1000, 1000, 0.5), 0.0, "cosine ends at 0")
tap.is(schedule.cosine(1000, 1000, 0.5, { floor = 0.25 }), 0.125, "or at the floor, a share of the base")
tap.is(schedule.cosine(2000, 1000, 0.5, { floor = 0.25 }), 0.125, "and stays there")
tap.is(schedule.cosine(25, 1000, 0.5, { warmup = 100 }), 0.125, "warm-up grows linearly")
tap.is(schedule.cosine(100, 1000, 0.5, { warmup = 100 }), 0.5, "up to the base")
tap.near(schedule.cosine(550, 1000, 0.5, { warmup = 100 }), 0.25, 1e-15, "and the cosine begins there")
tap.is(schedule.cosine(7, 5, 0.5, { warmup = 5, floor = 0.1 }), 0.05, "a warm-up as long as the run is no trap")
tap.is(schedule.cosine(5, 5, 0.5, { warmup = 5 }), 0.5, "  and ends at the base")
tap.is(schedule.cosine(0, 5, 0.5), 0.5, "without warm-up the cosine begins at step 0")
tap.is(schedule.cosine(1, 1, 0.5, { floor = 0.25 }), 0.125, "a run of one step has the floor")

tap.is(schedule.constant(17, 0.1), 0.1, "constant")
tap.is(schedule.warmup(5, 1.0, 20), 0.25, "warmup, on the way")
tap.is(schedule.warmup(20, 1.0, 20), 1.0, "warmup, arrived")
tap.is(schedule.warmup(1, 1.0, 0), 1.0, "warmup over no steps")

tap.is(schedule.exponential(1, 0.1, 0.5), 0.1, "exponential begins at the base")
tap.is(schedule.exponential(11, 1.0, 0.5), 2.0 ^ -10, "exponential decays at every step")
tap.near(schedule.exponential(10001, 1.0, 0.9999), math.exp(10000 * math.log(0.9999)), 1e-11, -- 14 roundings, amplified
  "exponential over many steps")

tap.is(schedule.step(10, 1.0, 0.5, 10), 1.0, "step, before")
tap.is(schedule.step(11, 1.0, 0.5, 10), 0.5, "step, after")
tap.is(schedule.step(35, 1.0, 0.5, 10), 0.125, "step, three times")

tap.fails(function() schedule.cosine("x", 10, 1.0) end, { "schedule.lua:", "step", "got string" },
  "a step that is no number")
tap.fails(function() schedule.cosine(1, 0, 1.0) end, { "steps", "at least 1", "got 0" }, "no steps")
tap.fails(function() schedule.cosine(1, 10, 1.0, { floor = 2 }) end, { "floor", "from 0 to 1", "got 2" },
  "a floor too high")
tap.fails(function() schedule.cosine(1, 10, 1.0, { warmpu = 2 }) end, { "schedule.lua:", "unknown field 'warmpu'" },
  "a shape's mistyped field")
tap.fails(function() schedule.cosine(1, 10, 1.0, 2) end, "got number", "a shape that is no table")
for name, call in pairs { constant = { 1 }, warmup = { 1, nil, 3 }, exponential = { 1, nil, 1 }, step = { 1, nil, 1, 1 },
  cosine = { 1, 10 } } do
  tap.fails(function() schedule[name](call[1], call[2] == 10 and 10 or nil, name ~= "cosine" and call[3] or nil, call[4]) end,
    { "schedule.lua:", "base: a number of at least 0 expected, got nil" }, name .. " without a base")
end
tap.fails(function() schedule.step(1, 1.0, 0.5, 0) end, { "every", "got 0" }, "every 0 steps")
tap.fails(function() schedule.exponential(0 / 0, 1.0, 0.5) end, "step", "a step that is not a number")
for name, arguments in pairs { warmup = { 1, 2 }, exponential = { 1, 0.5 }, step = { 1, 0.5, 1 }, cosine = { 10, 1 } } do
  tap.fails(function() schedule[name](math.huge, table.unpack(arguments)) end,
    { "schedule.lua:", "step: a number from ", "expected, got inf" }, name .. " at an infinite step")
end
tap.done()
