-- SPDX-License-Identifier: MIT
--
-- When a run says that most gradients are clipped.

local tap = require "tap"
local json = require "lstm.json"
local storm = require "lstm.storm"

-- Steps of which clipped(step) are clipped, after a stop and resume at one of them: what is said, by step.
local function said(steps, clipped, resumed_at)
  local state, list = {}, {}
  for step = 1, steps do
    if step == resumed_at then state = json.decode(json.encode(state)) end
    local text = storm.notice(state, step, { grad_norm = step + 0.5, clipped_share = clipped(step) and 1.0 or 0.0 })
    if text then list[#list + 1] = step .. ": " .. text end
  end
  return table.concat(list, "\n")
end

tap.is(said(1000, function() return false end), "", "no clipping, no storm")
tap.is(said(1000, function(step) return step % 3 == 0 end), "", "every third is none, either")
local one = "114: storm begins: the gradients of half of the last steps were clipped, this one's norm was 114.5\n" ..
  "245: storm of 131 steps ends, largest norm 245.5"
local function from_101_to_200(step) return step > 100 and step <= 200 end
tap.is(said(1000, from_101_to_200), one, "a storm begins and ends")
tap.is(said(1000, from_101_to_200, 150), one, "also when the run was resumed in it")
local state = {}
for step = 1, 30 do storm.notice(state, step, { grad_norm = math.huge, clipped_share = 1.0 }) end
storm.notice(state, 31, { loss = 1.0 })
tap.ok(next(state) == nil, "infinite gradients and steps without one do not count")
tap.done()
