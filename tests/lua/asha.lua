-- SPDX-License-Identifier: MIT
--
-- Which trials go on: successive halving and the median rule, from tables as status.json has them.

local asha = require "lstm.asha"
local space = require "lstm.space"
local sweep = require "lstm.sweep"
local sweep_table = require "lstm.sweep_table"
local tap = require "tap"

local low, high = { name = "loss", goal = "min" }, { name = "score", goal = "max" }

-- ---- rungs --------------------------------------------------------------------------------------------------------

local function rungs(total, budget) return table.concat(asha.rungs(total, budget), " ") end
tap.is(rungs(540, { min_steps = 60, eta = 3 }), "60 180", "rungs, each three times as far as the one before, below the end")
tap.is(rungs(270, { eta = 3 }), "10 30 90", "three of them, unless told otherwise")
tap.is(rungs(5, { eta = 3 }), "1 2", "no two at the same step")
tap.is(rungs(50, { min_steps = 60, eta = 3 }), "", "none beyond the end")

-- ---- successive halving -------------------------------------------------------------------------------------------

-- Trials a, b, c, ... paused on the first rung with these values.
local function paused(values)
  local list = {}
  for i, value in ipairs(values) do list[i] = { id = ("abcdefghij"):sub(i, i), status = "pruned", rungs = { value } } end
  return list
end

local two = paused { 0.5, 0.1 }
tap.is(asha.next(two, low, 3), nil, "of two nobody is among the best third")
local three = paused { 0.5, 0.1, 0.3 }
tap.is(asha.next(three, low, 3), "b", "of three the best goes on")
tap.is(asha.next(three, high, 3), "a", "  the largest, if that is the goal")
local goes_on, rank, count = asha.promotable(three, "c", 1, low, 3)
tap.ok(not goes_on and rank == 2 and count == 3, "  the second does not")
tap.ok(asha.promotable(three, "b", 1, low, 3), "  who comes to a rung as the best need not pause")
three[2].status = "running"
tap.is(asha.next(three, low, 3), nil, "who is at work already does not go on twice")
three[2].status, three[2].rungs = "done", { 0.1, 0.05 }
tap.is(asha.next(three, low, 3), nil, "nor who is done")
local six = paused { 6, 5, 4, 3, 2, 1 }
six[6].rungs = { 1, 0.9 }
tap.is(asha.next(six, low, 3), "e", "of six the second best, where the best has gone on")
six[5].rungs, six[4].rungs = { 2, 1.9 }, { 3, 2.9 }
tap.is(asha.next(six, low, 3), "f", "the highest rung comes first")
local diverged = paused { 0.5, 0.1 }
diverged[3] = { id = "c", status = "failed", exit = 3 }
tap.is(asha.next(diverged, low, 3), "b", "who diverged on the way counts as the last")
tap.is(asha.next(paused { 0 / 0, 0.4, 0.3 }, low, 3), "c", "not a number is worse than any")
tap.is(asha.next(paused { 0.2, 0.2, 0.2 }, low, 3), "a", "of equals one goes on")

-- ---- the median rule ----------------------------------------------------------------------------------------------

local function reporting(id, ...)
  local reports = {}
  for i, value in ipairs { ... } do reports[i] = { 10 * i, value } end
  return { id = id, status = "running", steps = 100, reports = reports }
end
local list = { reporting("a", 4, 2), reporting("b", 6, 4), reporting("c", 8, 6), reporting("d", 10, 8) }
-- means up to step 20, a fifth of the way: 3, 5, 7, 9
local worse, middle = asha.below_median(list, "x", 0.2, 7, low)
tap.ok(worse and middle == 6, "worse than the median of the others' means")
tap.ok(not asha.below_median(list, "x", 0.2, 5, low), "better than it")
tap.ok(asha.below_median(list, "x", 0.2, 5, high), "  which is worse when the largest is sought")
tap.ok(not asha.below_median(list, "x", 0.3, 99, low), "nobody else has come so far")
tap.ok(not asha.below_median({ list[1], list[2], list[3] }, "x", 0.2, 99, low), "three others are too few")

-- ---- the order of trials ------------------------------------------------------------------------------------------

local function lrs(fields)
  fields.experiment = function() end
  local seen = {}
  for i, point in ipairs(sweep(fields):configurations()) do seen[i] = point[1][2] end
  return seen
end
local function without(values, removed)
  local rest = {}
  for _, value in ipairs(values) do
    if value ~= removed then rest[#rest + 1] = value end
  end
  return table.concat(rest, " ")
end
local grid = { 1, 2, 3, 4, 5, 6, 7, 8 }
local order = lrs { method = "asha", params = { lr = grid } }
tap.ok(table.concat(order, " ") ~= table.concat(grid, " "), "a grid of which most is stopped is in random order")
tap.is(without(lrs { method = "asha", params = { lr = { 1, 2, 3, 4, 5, 6, 7, 8, 9 } } }, 9), table.concat(order, " "),
  "  which others that are added do not change")
tap.is(table.concat(lrs { params = { lr = grid } }, " "), table.concat(grid, " "), "another grid is in its own")

-- ---- the table ----------------------------------------------------------------------------------------------------

local function trial(lr, kind, status, best, step)
  return { params = { { "lr", lr }, { "kind", kind } }, status = { status = status, best = best, step = step } }
end
local shown = sweep { experiment = function() end, table = { "lr", "kind" }, seeds = 2, prune = "asha", metric = "loss",
  params = { lr = { 0.1, 10.0, 2.0 }, kind = space.choice { "a", "b" } } }
local lines = sweep_table.lines(shown, { trial(10.0, "a", "done", 1), trial(10.0, "a", "done", 3), trial(2.0, "a", "pruned", 5, 7),
  trial(0.1, "b", "done", 0.5), trial(2.0, "b", "failed"), trial(0.1, "a", "done", 4), trial(0.1, "a", "running", 3) })
tap.is(table.concat(lines, "\n"):gsub(" +", " "), [[
table best loss, mean and standard deviation over 2 seeds; @60: stopped early, at step 60
 lr kind=a kind=b
 0.1 4 (1 of 2) 0.5
 2 5 @7 
 10 2 +- 1.4 ]], "mean and deviation by two parameters, and what of them is done")
tap.fails(function() sweep { experiment = function() end, params = { lr = grid }, table = { "lrr" } } end,
  "field 'table': no parameter 'lrr' (did you mean 'lr'?)", "a table of what is no parameter")

tap.done()
