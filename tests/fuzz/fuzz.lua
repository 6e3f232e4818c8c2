-- SPDX-License-Identifier: MIT
--
-- fuzz.lua - what fuzz_lua.c calls with bytes: whatever they are, an answer or nil and a sentence, never an error.

local core = require "lstm.core"
local json = require "lstm.json"
local options = require "lstm.options"
local trials = require "lstm.trials"

local fuzz = {}

local function sentence(reason, longest)
  assert(type(reason) == "string" and #reason > 0 and #reason < longest, "no sentence: " .. tostring(reason))
end

--- JSON: what could be read is written, and read again as the same.
function fuzz.json(text)
  local value, reason = json.decode(text)
  if reason then sentence(reason, 300) end
  if value == nil then return end -- null, too
  local again = json.encode(value)
  assert(json.encode(json.decode(again)) == again, "not the same after writing it")
end

local set = assert(options.new {
  { "hidden", 256, "units" }, { "lr", 1e-3, "rate" }, { "name", "x", "a text" }, { "carry", true, "or not" },
  { "split", { 0.9, 0.1 }, "shares" }, { "sizes", { 1, 2 }, "numbers" }, { "words", { "a" }, "texts" },
  { "log.every", 10, "steps" }, { "log.deflate", 1, "level" },
})

--- key=value, a line each: what was taken is shown as text that is taken as the same.
function fuzz.options(text)
  local cfg = set:defaults()
  for line in text:gmatch "[^\n]+" do
    local name, value = line:match "^([^=]*)=(.*)$"
    if name then
      local ok, reason = set:assign(cfg, name, value)
      if not ok then sentence(reason, #line + 200) end
    end
  end
  local copy = set:defaults()
  for _, name in ipairs(set:names()) do
    local shown = options.show(set:get(cfg, name))
    assert(set:assign(copy, name, shown), name .. " cannot be read back")
    assert(options.show(set:get(copy, name)) == shown, name .. " reads back as something else")
  end
  assert(#set:adopt(set:defaults(), set:plain(cfg)) == 0, "a configuration is not adopted by its own options")
end

local directory = os.getenv "FUZZ_WORK" or "/dev/shm/lstmrun-fuzz"
assert(core.sys.make_directory(directory))

local function put(name, text)
  local file = assert(io.open(directory .. "/" .. name, "wb"))
  file:write(text)
  file:close()
end

--- A trial's status.json, its claim and its trial.json: three texts with a NUL between them.
function fuzz.status(text)
  local parts = {}
  for part in (text .. "\0"):gmatch "(%Z*)%z" do parts[#parts + 1] = part end
  put("status.json", parts[1])
  put("claim-1", parts[2] or "{}")
  local status = trials.status { id = "x", directory = directory, params = {}, fixed = {} }
  assert(type(status.status) == "string" and math.type(status.attempt) == "integer", "no status")
  assert(math.type(status.failures) == "integer", "failures is no number")
  if not parts[3] then return end
  local path = directory .. "/trials/x"
  assert(core.sys.make_directory(path))
  put("trials/x/trial.json", parts[3])
  trials.load(directory, "x")
end

return fuzz
