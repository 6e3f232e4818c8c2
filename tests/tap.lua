-- SPDX-License-Identifier: MIT
--
-- tap.lua - what a Lua test needs to speak TAP (Test Anything Protocol).
--
--     local tap = require "tap"
--     tap.ok(#text.vocab == 65, "65 symbols")
--     tap.is(model.config.hidden, 8, "hidden is kept")            -- ==
--     tap.near(loss, 4.17, 1e-9, "loss")                          -- relative tolerance
--     tap.fails(function() lstm.model { hidden = -4 } end, "field 'hidden'", "a negative size is refused")
--     tap.done()                                                  -- prints the plan, ends the program
--
-- Every check returns whether it passed.

local tap = {}

local count, failed = 0, 0

local function place()
  local level = 2
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then return "?" end
    if not info.short_src:find "tap%.lua$" then return info.short_src .. ":" .. info.currentline end
    level = level + 1
  end
end

--- A line (or more) of explanation, shown in the log.
function tap.note(text)
  print("# " .. tostring(text):gsub("\n", "\n# "))
end

function tap.ok(passed, text)
  count = count + 1
  print(("%s %d - %s"):format(passed and "ok" or "not ok", count, text or ""))
  if not passed then
    failed = failed + 1
    tap.note("failed at " .. place())
  end
  io.stdout:flush() -- what ran before a crash stays visible
  return not not passed
end

local function compare(passed, text, got, want)
  tap.ok(passed, text)
  if not passed then tap.note(("got %s, expected %s"):format(got, want)) end
  return passed
end

local function show(value)
  if type(value) == "string" then return ("%q"):format(value) end
  if math.type(value) == "float" then return ("%.17g"):format(value) end
  return tostring(value)
end

function tap.is(got, want, text)
  return compare(got == want, text, show(got), show(want))
end

--- |got - want| <= tolerance * |want|; never true for NaN or what is no number.
function tap.near(got, want, tolerance, text)
  local passed = type(got) == "number" and (got == want or
    math.abs(want) < math.huge and math.abs(got - want) <= tolerance * math.abs(want))
  return compare(passed, text, show(got), ("%s, relative tolerance %g"):format(show(want), tolerance))
end

--- A string in which `part` occurs literally.
function tap.contains(got, part, text)
  local passed = type(got) == "string" and got:find(part, 1, true) ~= nil
  return compare(passed, text, show(got), "to contain " .. show(part))
end

--- f() must raise an error whose message contains every given part (a string or a list of them) literally.
function tap.fails(f, parts, text)
  local ok, message = pcall(f)
  if ok then return compare(false, text, "no error", "an error") end
  message = tostring(message)
  for _, part in ipairs(type(parts) == "table" and parts or { parts }) do
    if not message:find(part, 1, true) then return compare(false, text, show(message), "to contain " .. show(part)) end
  end
  return tap.ok(true, text)
end

--- Stands in for a check that cannot run here.
function tap.skip(reason)
  count = count + 1
  print(("ok %d # SKIP %s"):format(count, reason))
end

--- Ends a program none of whose checks can run here.
function tap.skip_all(reason)
  print("1..0 # SKIP " .. reason)
  os.exit(true, true)
end

--- Prints the plan and ends the program; closing the state lets leaks show under a sanitizer.
function tap.done()
  print(("1..%d"):format(count))
  os.exit(failed == 0, true)
end

return tap
