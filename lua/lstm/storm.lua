-- SPDX-License-Identifier: MIT
--
-- storm.lua - notices clipping storms: when the gradients of most steps are clipped, a run no longer follows its
-- learning rate but the bound, and its log should say from when to when.

local storm = {}

local WEIGHT = 1 / 20 -- of a new step in the share of steps that were clipped
local BEGINS, ENDS = 0.5, 0.1 -- at this share

--- What a step's row of metrics begins or ends, in words, or nil. state: a table that is the run's, {} at first; plain
-- numbers, for checkpoints.
function storm.notice(state, step, row)
  local norm = row.grad_norm
  if not (row.clipped_share and norm) or norm ~= norm or norm == math.huge then return nil end
  local before = state.share or 0
  state.share = before + ((row.clipped_share > 0 and 1 or 0) - before) * WEIGHT
  if state.since then
    state.largest = math.max(state.largest, norm)
    if state.share > ENDS then return nil end
    local text = ("storm of %d steps ends, largest norm %.4g"):format(step - state.since, state.largest)
    state.since, state.largest = nil, nil
    return text
  elseif state.share >= BEGINS then
    state.since, state.largest = step, norm
    return ("storm begins: the gradients of half of the last steps were clipped, this one's norm was %.4g"):format(norm)
  end
end

return storm
