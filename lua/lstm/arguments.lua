-- SPDX-License-Identifier: MIT
--
-- arguments.lua - key=value for a script that is a program, not an experiment; with the same manners: values have the
-- type of their default, a name that is not there is refused, --help lists them.
--
--     local cfg = lstm.arguments({ { "seed", 1, "of the weights" } }, ...)      -- cfg.seed

local fault = require "lstm.fault"
local options = require "lstm.options"

local function print_help(script, set)
  local has = #set.list > 0 and " [key=value ...]\n\noptions, with their defaults:" or ""
  print(("usage: lstmrun %s%s"):format(script, has))
  for _, line in ipairs(set:lines(set:defaults(), true)) do print(line) end
end

-- Takes one word of `...` over into cfg, or returns nil and a sentence. seen: values that options were given before.
local function take(set, cfg, seen, word)
  local key, value = word:match "^(%a[%w_.]*)=(.*)$"
  if not key then return nil, ("unexpected argument '%s' (options are key=value)"):format(word) end
  local problem = options.twice(key, seen[key], value)
  if problem then return nil, problem end
  seen[key] = value
  return set:assign(cfg, key, value)
end

--- The options of a list of { name, default, help }, changed by the words that follow: the script's own `...`.
-- --help prints them and ends the program; a word that is wrong ends it with a sentence.
local function arguments(entries, ...)
  local set, problem = options.new(entries)
  if not set then fault.mistake("bad argument #1 to 'arguments' (" .. problem .. ")") end
  local script = arg and arg[0] or "SCRIPT"
  local cfg, seen = set:defaults(), {}
  for k, word in ipairs { ... } do
    fault.check(k + 1, "arguments", word, "string")
    if word == "--help" or word == "-h" then
      print_help(script, set)
      os.exit(true, true)
    end
    local ok, wrong = take(set, cfg, seen, word)
    if not ok then fault.stop(("%s: %s. See: lstmrun %s --help"):format(script, wrong, script), fault.USAGE) end
  end
  return cfg
end

return arguments
