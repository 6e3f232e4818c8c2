-- SPDX-License-Identifier: MIT
--
-- diverge.lua - when loss or gradient is no longer finite, and what a run does about it, by the options of every one:
--
--     on_diverge=stop        ends with exit status 3; the checkpoints are from before
--     on_diverge=rollback    goes back to the last good checkpoint of every rollback.every steps, and on from there
--                            with rollback.factor times the learning rate; rollback.most times, then stops
--     on_diverge=continue    goes on, and writes no checkpoint before loss and gradient are finite again

local diverge = {}

diverge.options = {
  { "on_diverge", "stop", "when loss or gradient is not finite: stop, rollback or continue" },
  { "rollback.every", 100, "steps from one state that can be rolled back to, to the next" },
  { "rollback.factor", 0.5, "what the learning rate is multiplied by when that happens" },
  { "rollback.most", 5, "how often it may happen before the run stops" },
}

local policies = { stop = true, rollback = true, continue = true }

--- Whether the options' values make sense: true, or nil and a sentence. get: a function, the value of an option.
function diverge.check(get)
  local policy, factor = get "on_diverge", get "rollback.factor"
  if not policies[policy] then
    return nil, ("option 'on_diverge' must be stop, rollback or continue, got '%s'"):format(policy)
  end
  if get "rollback.every" < 1 then return nil, "option 'rollback.every' must be at least 1" end
  if get "rollback.most" < 0 then return nil, "option 'rollback.most' must be at least 0" end
  if not (factor > 0 and factor < 1) then
    return nil, ("option 'rollback.factor' must be between 0 and 1, got %g"):format(factor)
  end
  return true
end

function diverge.is_finite(x)
  return x == x and x ~= math.huge and x ~= -math.huge
end

--- What of a step is not finite, in words: "loss became NaN"; nil when all is well. row: what was logged.
function diverge.problem(row)
  for _, pair in ipairs { { "loss", "loss" }, { "grad_norm", "the gradient" },
    { "update_ratio", "the weights' change" } } do
    local value = row[pair[1]]
    if value and not diverge.is_finite(value) then
      return ("%s became %s"):format(pair[2], value ~= value and "NaN" or "infinite")
    end
  end
end

return diverge
