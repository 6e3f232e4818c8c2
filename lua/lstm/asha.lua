-- SPDX-License-Identifier: MIT
--
-- asha.lua - which trials are worth going on with, told by the reports of all of them: asynchronous successive halving,
-- and the median rule.
--
-- Successive halving (Li et al. 2020, A system for massively parallel hyperparameter tuning, algorithm 2): a trial pauses
-- at rungs, which are eta times as many steps apart as the one before. It goes on from a rung when it is among the best
-- 1/eta of all that have come there; whoever has time looks for one that is. Nobody waits until a rung is full, and no
-- server decides: a trial's status.json has its values at the rungs, `rungs`, and everybody reads them.
--
-- Functions of lists of status tables (trials.lua), each with an id; nothing is read or written here.

local asha = {}

--- The steps at which a run of `total` steps is looked at: below total, eta times as many each time. From min_steps on
-- (nil: such that there are three of them).
function asha.rungs(total, budget)
  local steps, at = {}, budget.min_steps or total / budget.eta ^ 3
  while at < total do
    local step = math.max(1, math.ceil(at - 1e-9))
    if step < total and step ~= steps[#steps] then steps[#steps + 1] = step end
    at = at * budget.eta
  end
  return steps
end

--- Whether a is better than b.
function asha.better(a, b, goal)
  if a ~= a then return false end
  if b ~= b then return true end
  if goal == "max" then return a > b end
  return a < b
end

local function diverged_below(status, rung)
  return status.status == "failed" and status.exit == 3 and #(status.rungs or {}) == rung - 1
end

-- Those that came to a rung, best first; and their number, with those that diverged on the way.
local function ranking(list, rung, goal)
  local there, count = {}, 0
  for _, status in ipairs(list) do
    if status.rungs and status.rungs[rung] then there[#there + 1] = status end
    if diverged_below(status, rung) then count = count + 1 end
  end
  table.sort(there, function(a, b)
    local x, y = a.rungs[rung], b.rungs[rung]
    if asha.better(x, y, goal) or asha.better(y, x, goal) then return asha.better(x, y, goal) end
    return a.id < b.id
  end)
  return there, count + #there
end

--- Whether the trial with this id is among the best 1/eta of those that came to a rung (1, 2, ...), and where it stands:
-- second and third result its rank and their number. Trials that diverged on the way there came there, too, and last.
function asha.promotable(list, id, rung, metric, eta)
  local there, count = ranking(list, rung, metric.goal)
  for rank, status in ipairs(there) do
    if status.id == id then return rank <= math.floor(count / eta), rank, count end
  end
  return false, count + 1, count
end

local function highest_rung(list)
  local most = 0
  for _, status in ipairs(list) do
    if status.status == "pruned" then most = math.max(most, #(status.rungs or {})) end
  end
  return most
end

--- The id of a paused trial that may go on: the one on the highest rung, the best of them; nil when there is none.
function asha.next(list, metric, eta)
  for rung = highest_rung(list), 1, -1 do
    local there, count = ranking(list, rung, metric.goal)
    for rank = 1, math.min(#there, math.floor(count / eta)) do
      if there[rank].status == "pruned" and #there[rank].rungs == rung then return there[rank].id end
    end
  end
end

-- ---- the median rule ----------------------------------------------------------------------------------------------

local least_others = 4 -- that must have come as far before anybody is judged

-- The mean of a trial's reports up to a share of its steps; nil when it has not come that far.
local function running_mean(status, share)
  local reports, steps = status.reports or {}, status.steps or 0
  local last = reports[#reports]
  if not last or steps <= 0 or last[1] / steps < share - 1e-9 then return nil end
  local sum, n = 0.0, 0
  for _, report in ipairs(reports) do
    if report[1] / steps <= share + 1e-9 then sum, n = sum + report[2], n + 1 end
  end
  return n > 0 and sum / n or nil
end

local function median(values)
  table.sort(values)
  local n = #values
  return (values[(n + 1) // 2] + values[n // 2 + 1]) / 2
end

--- Whether a trial should stop after a share of its steps, by the median rule of Golovin et al. 2017 (Google Vizier):
-- its best value so far is worse than the median of the others' means up to there. Second result: that median.
function asha.below_median(list, id, share, best, metric)
  local means = {}
  for _, status in ipairs(list) do
    local mean = status.id ~= id and running_mean(status, share)
    if mean and mean == mean then means[#means + 1] = mean end
  end
  if #means < least_others then return false end
  local middle = median(means)
  return asha.better(middle, best, metric.goal), middle
end

return asha
