-- SPDX-License-Identifier: MIT
--
-- limits.lua - how much memory a run may take, by an option of every one: max_memory=500M, max_memory=4G.
--
-- Counted are models, trainers and texts, and all that Lua holds, tensors among it. The log's queue comes on top: up to
-- 64 MiB when much is recorded.

local core = require "lstm.core"
local fault = require "lstm.fault"

local limits = {}

limits.options = {
  { "max_memory", "", "memory that the run may take, such as 500M or 4G; empty: no limit" },
}

local units = { [""] = 1, K = 1024, M = 1024 ^ 2, G = 1024 ^ 3, T = 1024 ^ 4 }

--- "1.5G", "500MiB", "2000000" -> bytes, a whole number; nil when a text is no size.
function limits.bytes(text)
  local number, unit = text:upper():match "^(%d+%.?%d*)%s*([KMGT]?)I?B?$"
  local bytes = tonumber(number) and tonumber(number) * units[unit]
  return bytes and bytes >= 1 and bytes < 2 ^ 62 and bytes // 1 | 0 or nil
end

--- Sets the limit that a run's options ask for. Ends the program when that makes no sense.
function limits.apply(text)
  if text == "" then return end
  local bytes = limits.bytes(text)
  if not bytes then
    fault.stop(("option 'max_memory' must be a size such as 500M or 4G, got '%s'"):format(text), fault.USAGE)
  end
  limits.set = text
  core.max_memory(bytes)
end

--- Lua's own message, which does not know of the limit. The program is about to end, and there must be room to say so.
function limits.explain(message)
  if message ~= "not enough memory" or not limits.set then return message end
  core.max_memory(math.maxinteger)
  return message .. ": max_memory=" .. limits.set
end

return limits
