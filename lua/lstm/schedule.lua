-- SPDX-License-Identifier: MIT
--
-- schedule.lua - learning rates as pure functions of the step.
--
--     for step in run:steps(cfg.steps, fit, text) do
--       fit.lr = lstm.schedule.cosine(step, cfg.steps, cfg.lr, { warmup = 100, floor = 0.1 })
--
-- Steps count from 1, as run:steps does. A pure function needs nothing in a checkpoint: a run that is stopped and
-- resumed has the same rates. Only + - * / are used, no pow or cos of the C library, whose last bit differs from one
-- machine to another.

local schedule = {}

local MOST_STEPS <const> = 2 ^ 53 -- beyond, doubles do not count by one; power would never end of infinitely many

-- base^n for a whole n >= 0, by squaring.
local function power(base, n)
  local result = 1.0
  while n > 0 do
    if n % 2 == 1 then result = result * base end
    base, n = base * base, n // 2
  end
  return result
end

-- sin(x)^2 for |x| <= pi/4: Taylor's series of the sine, by Horner's rule, to the last bit or two of a double.
local function sine_squared(x)
  local square, sine = x * x, 1.0
  for n = 16, 2, -2 do sine = 1 - square / (n * (n + 1)) * sine end
  return square * sine * sine
end

-- (1 + cos(pi * share)) / 2: exactly 1 at 0 and 0 at 1.
local function half_cosine(share)
  if share < 0.5 then return 1 - sine_squared(math.pi * share / 2) end
  return sine_squared(math.pi * (1 - share) / 2)
end

local function check(position, name, value, low, high)
  if type(value) ~= "number" or not (value >= low and value <= (high or math.huge)) then
    local range = high and ("a number from %g to %g"):format(low, high) or ("a number of at least %g"):format(low)
    local got = type(value) == "number" and ("%g"):format(value) or type(value)
    error(("bad argument #%d (%s: %s expected, got %s)"):format(position, name, range, got), 3)
  end
end

local shape_fields = { warmup = true, floor = true }

local function check_shape(shape)
  if type(shape) ~= "table" then
    error("bad argument #4 (shape: table { warmup =, floor = } expected, got " .. type(shape) .. ")", 3)
  end
  for name in pairs(shape) do
    if not shape_fields[name] then
      error(("bad argument #4 (unknown field '%s'; there are warmup and floor)"):format(tostring(name)), 3)
    end
  end
end

--- The same rate at every step.
function schedule.constant(_, base)
  check(2, "base", base, 0)
  return base
end

--- Grows linearly to `base` over the first `steps` steps, and stays there.
function schedule.warmup(step, base, steps)
  check(1, "step", step, 0, MOST_STEPS)
  check(2, "base", base, 0)
  check(3, "steps", steps, 0)
  return step < steps and base * (step / steps) or base
end

--- Multiplied by `decay` at every step: base * decay^(step - 1).
function schedule.exponential(step, base, decay)
  check(1, "step", step, 1, MOST_STEPS)
  check(2, "base", base, 0)
  check(3, "decay", decay, 0)
  return base * power(decay, step // 1 - 1)
end

--- Multiplied by `factor` after every `every` steps.
function schedule.step(step, base, factor, every)
  check(1, "step", step, 1, MOST_STEPS)
  check(2, "base", base, 0)
  check(3, "factor", factor, 0)
  check(4, "every", every, 1)
  return base * power(factor, (step - 1) // every)
end

--- Half a cosine from `base` at step 0, or at the end of the warm-up, to floor * base at step `steps` (Loshchilov &
-- Hutter 2017).
-- shape.warmup: steps of linear growth before it (0); shape.floor: the last rate as a share of base (0).
function schedule.cosine(step, steps, base, shape)
  check(1, "step", step, 0, MOST_STEPS)
  check(2, "steps", steps, 1)
  check(3, "base", base, 0)
  if shape ~= nil then check_shape(shape) end
  local warmup, floor = shape and shape.warmup or 0, shape and shape.floor or 0
  check(4, "warmup", warmup, 0)
  check(4, "floor", floor, 0, 1)
  if step <= warmup and warmup > 0 then return base * (step / warmup) end
  local done = steps > warmup and math.min(1, (step - warmup) / (steps - warmup)) or 1
  return base * (floor + (1 - floor) * half_cosine(done))
end

return schedule
