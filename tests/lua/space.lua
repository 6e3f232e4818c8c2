-- SPDX-License-Identifier: MIT
--
-- Parameter spaces, the points made of them, and the configurations of a sweep.

local space = require "lstm.space"
local sweep = require "lstm.sweep"
local tap = require "tap"

local function values(s) return table.concat(s.values, " ") end

-- ---- spaces -------------------------------------------------------------------------------------------------------

tap.is(values(space.range(1, 4)), "1 2 3 4", "a range of whole numbers")
tap.is(values(space.range(0, 0.3, 0.1)), "0.0 0.1 0.2 0.3", "a range that ends where rounding nearly misses it")
tap.is(values(space.int(3, 5)), "3 4 5", "whole numbers have an end")
tap.is(space.int(1, 10 ^ 9).values, nil, "  unless there are too many")
tap.is(space.at(space.uniform(2, 4), 0), 2.0, "uniform begins")
tap.is(space.at(space.uniform(2, 4), 0.99999), 4.0, "  and ends at its bounds")
tap.is(space.at(space.loguniform(1e-4, 1), 0.5), 0.01, "the middle of a logarithmic space")
tap.is(space.at(space.choice { "a", "b" }, 0.6), "b", "a choice")
local counts = {}
for i = 1, 1000 do
  local x = space.at(space.int(1, 4), space.random(1, i, "x"))
  counts[x] = (counts[x] or 0) + 1
end
-- 250 expected of each; the standard deviation is 14, and these points are always the same
for x = 1, 4 do tap.ok(math.abs(counts[x] - 250) < 60, ("%d comes up about as often as the others"):format(x)) end

tap.is(space.range(0, 1, 0.1).values[4], 0.3, "its values are as one would write them")
tap.is(space.range(1 / 3, 1).values[1], 1 / 3, "but its first one is what was given")
tap.fails(function() space.range(1, 0) end, "bad argument #2 to 'range' (at least 1 expected, got 0)", "a range backwards")
tap.fails(function() space.range(0, 1, 0) end, "positive number expected", "a step of 0")
tap.fails(function() space.uniform("a", 1) end, "number expected, got a", "a bound that is no number")
tap.fails(function() space.loguniform(0, 1) end, "positive number expected, got 0", "the logarithm of 0")
tap.fails(function() space.uniform(-1e308, 1e308) end, "bad argument #2 to 'uniform' (a finite distance", "too far apart")
tap.fails(function() space.loguniform(1e-200, 1e200) end, "bad argument #2 to 'loguniform' (a finite multiple", "too far up")
tap.fails(function() space.int(math.mininteger, math.maxinteger) end, "at most 2^53", "integers that doubles do not have")
tap.fails(function() space.int(1, math.maxinteger, "log") end, "bad argument #2 to 'int' (at most 2^53", "one bound of them")
tap.fails(function() space.int(1, 2.5) end, "whole number expected, got 2.5", "half a whole number")
tap.fails(function() space.choice {} end, "list of values expected", "nothing to choose from")
tap.fails(function() space.choice { 4, nil, 8 } end, "a list of values expected, entry 2 is nil", "a choice with a hole")
tap.fails(function() space.when(true, { 1 }) end, "function expected", "a condition that is none")

local function square(x) return x * x end
tap.is(space.solve(square, 50, 1, 100), 7, "the whole number whose square is nearest to 50")
tap.is(space.solve(square, 57, 1, 100), 8, "  to 57")
tap.is(space.solve(square, 1e9, 1, 100), 100, "  within bounds")
tap.is(space.solve(square, -5, 3, 100), 3, "  both of them")
tap.fails(function() space.solve(square, 5, 3, 2) end, "bad argument #4 to 'solve'", "bounds the wrong way round")

-- ---- points -------------------------------------------------------------------------------------------------------

tap.ok(space.random(1, 5, "lr") == space.random(1, 5, "lr"), "a random point is a function of its number")
tap.ok(space.random(1, 5, "lr") ~= space.random(2, 5, "lr"), "  and of the seed")
-- Of the first 2^k points of base 2 each interval of length 2^-k has one, whatever the digits' order.
for _, case in ipairs { { 1, 16 }, { 2, 27 }, { 3, 25 } } do
  local d, n = case[1], case[2]
  local hit, all = {}, true
  for i = 1, n do hit[math.floor(space.halton(7, i, d) * n)] = true end
  for k = 0, n - 1 do all = all and hit[k] end
  tap.ok(all, ("%d points of dimension %d are in %d intervals"):format(n, d, n))
end
tap.fails(function() space.halton(1, 1, 99) end, "at most 25 parameters", "more dimensions than there are primes")

-- ---- configurations -----------------------------------------------------------------------------------------------

local function run() end
local function make(fields)
  fields.experiment = fields.experiment or run
  return sweep(fields)
end
local function shown(s)
  local lines = {}
  for i, point in ipairs(s:configurations()) do
    local parts = {}
    for k, pair in ipairs(point) do parts[k] = pair[1] .. "=" .. tostring(pair[2]) end
    lines[i] = table.concat(parts, ",")
  end
  return table.concat(lines, " ")
end

tap.is(shown(make { params = { b = { 1, 2 }, a = { 0.5, 1 } } }), "a=0.5,b=1 a=0.5,b=2 a=1.0,b=1 a=1.0,b=2",
  "a grid, sorted by name, with the options' types")
tap.is(shown(make { params = { { "b", { 1, 2 } }, { "a", { 3 } } } }), "b=1,a=3 b=2,a=3", "a grid in a given order")
tap.is(shown(make { params = { a = { 1, 2 }, d = space.when(function(p) return p.a > 1 end, { 0.1, 0.2 }) } }),
  "a=1 a=2,d=0.1 a=2,d=0.2", "a conditional parameter")
tap.is(shown(make { params = { a = { 1, 2 }, steps = function(p) return 100 // p.a end }, fixed = { steps = 1 } }),
  "a=1,steps=100 a=2,steps=50", "a derived parameter")
tap.is(shown(make { params = { a = { 1, 2 } }, fixed = { n = 5, steps = 0 },
  derive = function(p) return { steps = p.a * p.n } end }), "a=1,steps=5 a=2,steps=10", "the function `derive`")
tap.is(shown(make { method = "list", params = { { a = 1 }, { b = 2, a = 3 } } }), "a=1 a=3,b=2", "a list")
tap.is(shown(make { params = { a = { 1, 1, 2 } } }), "a=1 a=2", "the same value twice is one trial")

local task = require "lstm.experiment" { name = "task", run = run, options = { { "T", 1, "" }, { "n", 2, "" },
  { "words", { "a" }, "" } }, presets = { long = { T = 100, n = 200, words = { "so, it is", "b" } } } }
local preset = make { experiment = task, params = { preset = { "", "long" } }, fixed = { n = 3 } }
local cfg = preset:configuration { { "preset", "long" } }
tap.is(cfg.T .. " " .. cfg.n, "100 3", "a preset as a parameter; options given beside it win")
tap.is(table.concat(cfg.words, "|"), "so, it is|b", "  its texts keep their commas")
tap.is(preset:configuration({ { "preset", "" } }).T, 1, "  none")

local random = make { method = "random", trials = 5, params = { lr = space.loguniform(1e-4, 1), k = { 1, 2 } } }
local more = make { method = "random", trials = 8, params = { lr = space.loguniform(1e-4, 1), k = { 1, 2 } } }
tap.is(#random:configurations(), 5, "as many random configurations as asked for")
tap.is(shown(more):sub(1, #shown(random)), shown(random), "more of them keep those before")
tap.is(#make { method = "random", trials = 50, params = { k = { 1, 2, 3 } } }:configurations(), 3,
  "no more of them than there are")
tap.is(#make { method = "halton", trials = 9, params = { lr = space.uniform(0, 1) } }:configurations(), 9, "halton")
tap.is(make { method = "asha", params = { a = { 1, 2 } } }.points, "grid", "asha takes a grid of lists")
tap.is(make { method = "asha", trials = 3, params = { a = space.uniform(0, 1) } }.points, "random", "  else random points")

tap.is(shown(assert(make { params = { a = { 1, 2 } } }:with { { "a", "7,8" } })), "a=7 a=8", "other values by key=value")
local _, problem = make { params = { a = { 1, 2 } } }:with { { "aa", "7" } }
tap.is(problem, "no option 'aa' (did you mean 'a'?)", "  of an option that is not there")
_, problem = make { params = { a = { 1, 2 } } }:with { { "a", "x" } }
tap.is(problem, "option 'a' must be an integer, got 'x'", "  of a wrong type")
local derived = make { params = { a = { 1, 2 } }, fixed = { n = 5, steps = 0 },
  derive = function(p) return { steps = p.a * p.n, n = 6 } end }
tap.is(shown(assert(derived:with { { "steps", "9" } })), "a=1,n=6 a=2,n=6", "  wins over what `derive` says")
tap.is(assert(derived:with { { "steps", "9" } }):configuration({}).steps, 9, "  and is the one that counts")
_, problem = make { method = "list", params = { { a = 1 }, { b = 2 } } }:with { { "b", "3" } }
tap.is(problem, "option 'b' has its values in the sweep's list of configurations", "  of an option that is listed")

-- ---- what is refused ----------------------------------------------------------------------------------------------

local experiment = require "lstm.experiment" { run = run, name = "e", options = { { "hidden", 8 }, { "lr", 0.1 } } }
local function refused(fields, parts, text)
  fields.experiment = fields.experiment or experiment
  fields.params = fields.params or { hidden = { 1 } }
  tap.fails(function() sweep(fields) end, parts, text)
end
refused({ parms = {} }, "field 'parms': unknown field (did you mean 'params'?)", "an unknown field")
refused({ params = {} }, "field 'params': there is nothing to try", "an empty space")
refused({ params = { hidden = {} } }, "'hidden' needs a list of values, a space or a function, got an empty list",
  "an empty list")
refused({ params = { hidden = { nil, 8 } } }, "'hidden': a list of values expected, entry 1 is nil: is a name mistyped?",
  "a list with a hole")
refused({ params = { { "hidden", { 1 } }, nil, { "lr", { 1 } } } }, "field 'params': a list of { \"name\", values } expected",
  "parameters with a hole")
refused({ method = "list", params = { { hidden = 1 }, nil, { hidden = 2 } } }, "entry 2 is nil", "configurations with a hole")
refused({ seeds = { 1, nil, 3 } }, "field 'seeds': a list of whole numbers expected, entry 2 is nil", "seeds with a hole")
refused({ params = { hiden = { 1 } } }, "experiment 'e' has no option 'hiden' (did you mean 'hidden'?)",
  "an unknown parameter")
refused({ experiment = task, params = { n = { 1 } }, fixed = { preset = "lang" } },
  "experiment 'task' has no preset 'lang'", "an unknown preset")
refused({ params = { hidden = { 1, "x" } } }, "option 'hidden' must be an integer, got 'x'", "a value of the wrong type")
refused({ params = { lr = space.uniform(0, 1) } }, "'lr' is uniform, of which a grid cannot have all values",
  "a grid of what has no end")
refused({ trials = 5 }, "field 'trials': only with method 'random', 'halton', 'asha' or 'optuna'; 'grid' tries all",
  "a number of trials of what has its own")
refused({ metrics = { "right" } }, "field 'metrics': only for an experiment that is a function", "metrics of an experiment")
refused({ experiment = run, params = { bias = { 0 }, { "gain", { 1 } } } }, "expected, got a field 'bias'",
  "parameters of which some have names, others places")
local own = sweep { experiment = run, params = { bias = { 0, 0.5 } } }
tap.is(math.type(own.experiment.options.named.bias.default), "float", "values of which one has a fraction are numbers")
own = sweep { experiment = run, params = { { "gain", { 1, 2 } } }, metrics = { "right" } }
tap.is(math.type(own.experiment.options.named.gain.default), "integer", "  and integers otherwise")
tap.is(table.concat(own.experiment.metrics, " "), "val_loss right", "a function's metrics")
refused({ method = "grd" }, "unknown 'grd' (did you mean 'grid'?)", "an unknown method")
refused({ method = "random" }, "field 'trials': method 'random' needs a number of them", "random without a number")
refused({ metric = { "loss", "least" } }, "field 'metric': unknown 'least'", "a goal that is none")
refused({ seeds = 0 }, "field 'seeds': at least 1 expected, got 0", "no seeds")
refused({ seeds = { 1, 1 } }, "field 'seeds': 1 is there twice", "a seed twice")
refused({ retries = -1 }, "field 'retries': at least 0 expected", "negative retries")
refused({ budget = { min_step = 3 } }, "unknown 'min_step' (did you mean 'min_steps'?)", "a wrong field of the budget")
refused({ budget = { eta = 1 } }, "'eta' must be more than 1", "halving by 1")
refused({ experiment = "nosuch" }, "field 'experiment': there is no 'nosuch'", "an experiment that is not there")
refused({ name = "a/b" }, "field 'name': a name for a directory expected", "a name that is a path")
refused({ params = { seed = { 1 } } }, "'seed' is given by the field 'seeds'", "the seed as a parameter")
refused({ fixed = { hidden = 3 } }, "field 'fixed': 'hidden' is a parameter, too", "fixed and a parameter")
tap.fails(function() make { params = { a = { 1 }, b = function(p) return p.c end } }:configurations() end,
  { "space.lua:", "there is no option 'c'" }, "a function that asks for what is not there")

tap.done()
