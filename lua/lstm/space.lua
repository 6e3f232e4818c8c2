-- SPDX-License-Identifier: MIT
--
-- space.lua - the values that a sweep's parameters may have, and the points that are tried.
--
--     hidden = { 64, 128, 256 }                                   -- a list
--     layers = space.range(1, 4)                                  -- 1, 2, 3, 4
--     lr     = space.loguniform(1e-4, 1e-1)                       -- for method "random" or "halton"
--     dropout = space.when(function(p) return p.layers > 1 end, { 0, 0.2 })   -- there only with several layers
--     steps  = function(p) return 2000000 // (p.batch * p.seq) end            -- derived from the others
--
-- A space is a table: kind, and `values` (a list, when there is an end to them) or at(u), the value for u in [0, 1); and
-- `bounds`, a text, where it has some.

local core = require "lstm.core"
local fault = require "lstm.fault"
local options = require "lstm.options"

local space = {}
local meta = { __name = "lstm.space" }

local function wrong(name, index, expected, got)
  fault.mistake(("bad argument #%d to '%s' (%s, got %s)"):format(index, name, expected, tostring(got)))
end

local function make(fields)
  return setmetatable(fields, meta)
end

--- Whether a value is a space.
function space.is(value)
  return getmetatable(value) == meta
end

-- ---- kinds of spaces ----------------------------------------------------------------------------------------------

local most_values = 100000
local most_integer = 1 << 53 -- beyond, doubles do not have all whole numbers

local function check_bounds(name, from, to)
  for i, bound in ipairs { from, to } do
    if type(bound) ~= "number" or bound ~= bound or math.abs(bound) == math.huge then
      wrong(name, i, "number expected", bound)
    end
  end
  if type(to) ~= "number" then wrong(name, 2, "number expected", to) end
  if from > to then wrong(name, 2, ("at least %s expected"):format(tostring(from)), to) end
  if to - from + 0.0 == math.huge then wrong(name, 2, "a finite distance expected", to) end
end

-- How bounds are told.
local function between(from, to, scale)
  return ("%s to %s%s"):format(options.show(from), options.show(to), scale and ", logarithmic" or "")
end

--- The values of a list: in a grid all of them, at random any of them. So does a plain list.
function space.choice(values)
  if type(values) ~= "table" or #values == 0 then wrong("choice", 1, "list of values expected", values) end
  local problem = options.no_list(values, "values")
  if problem then fault.mistake(("bad argument #1 to 'choice' (%s)"):format(problem)) end
  return make { kind = "choice", values = table.move(values, 1, #values, 1, {}) }
end

-- 0.3 for 0.30000000000000004, which is 3 * 0.1.
local function without_noise(x)
  return math.type(x) == "integer" and x or tonumber(("%.15g"):format(x)) + 0.0
end

--- from, from + step, ..., up to and including `to`. step: 1 when not given.
function space.range(from, to, step)
  step = step or 1
  check_bounds("range", from, to)
  if type(step) ~= "number" or not (step > 0) then wrong("range", 3, "positive number expected", step) end
  local n = math.floor((to - from) / step + 1e-9) + 1
  if n > most_values then wrong("range", 3, ("at most %d values expected"):format(most_values), n) end
  local values = {}
  for i = 1, n do values[i] = i == 1 and from + 0 * step or without_noise(from + (i - 1) * step) end
  return make { kind = "range", values = values }
end

-- Four digits, so that a value can be read, told and typed.
local function rounded(x)
  return tonumber(("%.4g"):format(x)) + 0.0
end

--- Any number from `from` to `to`, in steps of a ten thousandth of the distance.
function space.uniform(from, to)
  check_bounds("uniform", from, to)
  return make { kind = "uniform", bounds = between(from, to), at = function(u)
    return tonumber(("%.12g"):format(from + math.floor(u * 10001) / 10000 * (to - from))) + 0.0
  end }
end

--- A number whose logarithm is uniform; both bounds positive. Of four digits.
function space.loguniform(from, to)
  check_bounds("loguniform", from, to)
  if from <= 0 then wrong("loguniform", 1, "positive number expected", from) end
  if to / from == math.huge then wrong("loguniform", 2, "a finite multiple of the first expected", to) end
  return make { kind = "loguniform", bounds = between(from, to, "log"), at = function(u)
    return math.max(from + 0.0, math.min(to + 0.0, rounded(from * (to / from) ^ u)))
  end }
end

local function integer_values(from, to)
  local values = {}
  for i = from, math.min(to, from + most_values) do values[#values + 1] = i end
  return to - from < most_values and values or nil
end

--- A whole number from `from` to `to`; scale "log": with a uniform logarithm.
function space.int(from, to, scale)
  check_bounds("int", from, to)
  for i, bound in ipairs { from, to } do
    if not math.tointeger(bound) then wrong("int", i, "whole number expected", bound) end
    if bound > most_integer or bound < -most_integer then wrong("int", i, "at most 2^53, either sign, expected", bound) end
  end
  from, to = math.tointeger(from), math.tointeger(to)
  if scale ~= nil and scale ~= "log" then wrong("int", 3, "\"log\" or nothing expected", scale) end
  if scale and from < 1 then wrong("int", 1, "at least 1 expected", from) end
  local function at(u)
    local x = scale and from * ((to + 1) / from) ^ u or from + u * (to - from + 1)
    return math.min(to, math.tointeger(math.floor(x)))
  end
  return make { kind = "int", bounds = between(from, to, scale), at = at, values = integer_values(from, to) }
end

--- A parameter that is there only where condition(p) is true; p: the parameters and options so far.
function space.when(condition, values)
  if type(condition) ~= "function" then wrong("when", 1, "function expected", condition) end
  local inner = space.of(values)
  if not inner then wrong("when", 2, "list or space expected", values) end
  return make { kind = inner.kind, bounds = inner.bounds, values = inner.values, at = inner.at, condition = condition }
end

--- A space from what a script may write for one: a space, or a list; nil for anything else.
function space.of(value)
  if space.is(value) then return value end
  if not options.no_list(value, "values") and #value > 0 then return space.choice(value) end
end

--- The value for u in [0, 1).
function space.at(this, u)
  if this.at then return this.at(u) end
  return this.values[math.floor(u * #this.values) + 1]
end

--- The whole number from `from` to `to` at which a rising function comes nearest to a target: hidden units for a number
-- of parameters, for example.
--     local function parameters(h) return lstm.plan({ vocab = 65, hidden = h }, { batch = 1, seq = 1 }).parameters end
--     space.solve(parameters, 1e6, 1, 4096)
function space.solve(f, target, from, to)
  if type(f) ~= "function" then wrong("solve", 1, "function expected", f) end
  if type(target) ~= "number" then wrong("solve", 2, "number expected", target) end
  if math.type(from) ~= "integer" then wrong("solve", 3, "whole number expected", from) end
  if math.type(to) ~= "integer" or to < from then wrong("solve", 4, "whole number from the first on expected", to) end
  local low, high = from, to
  while low < high do -- the first at which f is the target or more
    local middle = low + (high - low) // 2
    if f(middle) < target then low = middle + 1 else high = middle end
  end
  if low > from and target - f(low - 1) < f(low) - target then return low - 1 end
  return low
end

-- ---- points -------------------------------------------------------------------------------------------------------

local function uniform(...)
  local text = table.concat({ ... }, " ")
  return tonumber(core.sha256(text):sub(1, 13), 16) / 2.0 ^ 52
end

--- Plain random: the i-th point's coordinate for a parameter, in [0, 1): a function of these three alone, so that more
-- points, or another parameter, change none of those before.
function space.random(seed, i, name)
  return uniform("random", seed, i, name)
end

local primes = { 2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97 }
local permutations = {}

-- A random order of 0 .. base - 1 for a digit's place: Fisher and Yates.
local function permutation(seed, base, place)
  local key = table.concat({ seed, base, place }, " ")
  local p = permutations[key]
  if p then return p end
  p = {}
  for k = 0, base - 1 do p[k] = k end
  for k = base - 1, 1, -1 do
    local other = math.floor(uniform("digits", key, k) * (k + 1))
    p[k], p[other] = p[other], p[k]
  end
  permutations[key] = p
  return p
end

--- The i-th point's coordinate in dimension d of Halton's sequence, in [0, 1), with its digits permuted at random
-- (Owen, A randomized Halton algorithm in R, arXiv:1706.02808): spread more evenly than random points are.
function space.halton(seed, i, d)
  local base = primes[d]
  if not base then
    fault.mistake(("method 'halton' is for at most %d parameters; take 'random'"):format(#primes))
  end
  local n, place, scale, u = i - 1, 0, 1.0, 0.0
  while scale > 1e-12 do
    scale, place = scale / base, place + 1
    u = u + permutation(seed, base, place)[n % base] * scale
    n = n // base
  end
  return math.min(u, 1 - 2.0 ^ -53)
end

return space
