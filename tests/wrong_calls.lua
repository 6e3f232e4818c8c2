-- SPDX-License-Identifier: MIT
--
-- Wrong calls, made by the hundred: wherever a call takes something, everything is put that it does not take. Each must
-- raise an error (or, where a file is to blame, return nil and a sentence) that begins with the script's line and names
-- the argument or the field, and must open nothing and change nothing. Run by test_wrong_calls.c.

local core = require "lstm.core"
local lstm = require "lstm"

local directory = os.tmpname()
os.remove(directory)
assert(core.sys.make_directory(directory))

-- ---- what there is -------------------------------------------------------------------------------------------------

local text = assert(lstm.corpus { text = ("to be or not to be, that is the question\n"):rep(20), split = { 0.8, 0.2 } })
local model = lstm.model { vocab = text.vocab, hidden = 8, layers = 2, seed = 3 }
local fit = model:trainer { batch = 2, seq = 4 }
local stranger = lstm.model { vocab = 5, hidden = 3 }
local things = {
  text = text, vocab = text.vocab, model = model, fit = fit, stream = text:train { batch = 2, seq = 4 },
  matrix = lstm.tensor { { 1, 2, 3 }, { 4, 5, 6 } }, stranger = stranger,
  log = assert(core.log.create(directory .. "/log.h5")), csv = assert(core.csv.create(directory .. "/metrics.csv")),
}
assert(core.checkpoint.write(directory .. "/c.h5", nil, fit:checkpoint_tensors(), { step = 1, config = "{}" }))
things.saved = assert(core.checkpoint.read(directory .. "/c.h5"))

local closed = {
  text = assert(lstm.corpus { text = "abcabc" }), model = lstm.model { vocab = 5, hidden = 4 },
  log = assert(core.log.create(directory .. "/other.h5")), csv = assert(core.csv.create(directory .. "/other.csv")),
  saved = assert(core.checkpoint.read(directory .. "/c.h5")),
}
closed.fit = closed.model:trainer { batch = 1, seq = 1 }
closed.matrix = closed.model:parameter "head.bias"
closed.stream = closed.text:train { batch = 1, seq = 1 }
for _, name in ipairs { "text", "model", "log", "csv", "saved", "stream" } do closed[name]:close() end

-- ---- values, by what they are not ----------------------------------------------------------------------------------

local junk = { "{}", "print", "coroutine.create(print)", "true", "'x'", "closed.model", "model" }
local odd_numbers = { "nan", "inf", "-inf", "-1", "0.5", "2^53", "2^31", "1 << 62", "math.mininteger" }

local function joined(...)
  local all = {}
  for _, list in ipairs { ... } do table.move(list, 1, #list, #all + 1, all) end
  return all
end

local function without(list, ...)
  local left = {}
  for _, value in ipairs(list) do
    local drop = false
    for _, name in ipairs { ... } do drop = drop or name == value end
    if not drop then left[#left + 1] = value end
  end
  return left
end

local wrong_for = {
  size = joined(junk, odd_numbers, { "0", "'7'" }),
  count = without(joined(junk, odd_numbers, { "'7'" }), "2^53", "2^31", "1 << 62"),
  index = without(joined(junk, odd_numbers, { "'7'" })),
  integer = without(joined(junk, { "nan", "inf", "0.5" })),
  number = joined(junk, { "nan", "inf", "-inf", "'0.5'" }),
  share = joined(junk, { "nan", "inf", "-inf", "-1", "2", "'0.5'" }),
  boolean = without(joined(junk, { "nan", "1", "0", "'true'" }), "true"),
  string = without(joined(junk, { "nil" }), "'x'"),
  choice = joined(junk, { "1", "nan" }),
  scheme = without(joined(junk, { "1", "nan" }), "{}", "print"),
  shares = without(joined(junk, { "1", "nan" }), "{}"),
  ids = without(joined(junk, { "1", "nan", "nil" }), "{}"),
  name = without(junk, "'x'"),
  table = without(joined(junk, { "1", "nil" }), "{}"),
  tensor = joined(junk, { "1", "nil", "closed.matrix" }),
  source = joined(without(junk, "model"), { "1", "nil", "closed.text", "closed.stream" }),
}

-- ---- where they are put --------------------------------------------------------------------------------------------

-- { call, what the error names, kind of value }: %s is the place.
local places = {}

local function field(call, name, kind)
  places[#places + 1] = { call:format(name .. " = %s"), name, kind }
end

local function fields(call, list)
  for name, kind in pairs(list) do field(call, name, kind) end
end

fields("lstm.model { vocab = 5, %s }", { hidden = "size" })
fields("lstm.model { hidden = 4, %s }", { vocab = "size" })
fields("lstm.model { vocab = 5, hidden = 4, %s }", { layers = "size", embed = "count", dropout = "share",
  seed = "count", max_memory = "count", cell = "choice", precision = "choice", init = "scheme", forget_bias = "number",
  classes = "size" })
fields("model:trainer { seq = 3, %s }", { batch = "size" })
fields("model:trainer { batch = 3, %s }", { seq = "size" })
fields("model:trainer { batch = 2, seq = 3, %s }", { optimizer = "choice", lr = "number", beta1 = "share",
  beta2 = "share", eps = "number", weight_decay = "number", bias_correction = "choice", decay_biases = "boolean",
  clip_norm = "number", clip_value = "number", accumulate = "size", loss_at = "choice", reduction = "choice",
  carry = "boolean" })
fields("model:sample { length = 3, %s }", { temperature = "number", top_k = "count", greedy = "boolean",
  seed = "count" })
fields("model:sample { %s }", { length = "count" })
fields("text:train { seq = 3, %s }", { batch = "size" })
fields("text:train { batch = 3, %s }", { seq = "size" })
fields("text:train { batch = 2, seq = 3, order = 'shuffled', %s }", { stride = "size", seed = "count" })
fields("text:stream { batch = 2, seq = 3, %s }", { part = "choice", order = "choice" })
fields("lstm.corpus { text = 'abc', %s }", { tokens = "choice", split = "shares", name = "name" })
fields("lstm.tensor.normal { 2, %s }", { mean = "number", std = "number", seed = "count", type = "choice" })
fields("fit:evaluate(text, { %s })", { part = "choice", batch = "size", seq = "size", carry = "boolean" })
fields("lstm.tasks.adding { %s }", { seq = "size" })
fields("lstm.tasks.copy { %s }", { delay = "size" })

-- An argument, with its number.
local function argument(call, number, kind)
  places[#places + 1] = { call, "#" .. number, kind }
end

for _, call in ipairs { "lstm.model(%s)", "lstm.corpus(%s)", "model:trainer(%s)", "text:train(%s)" } do
  argument(call, 1, "table")
end
argument("model:parameter(%s)", 1, "string")
argument("fit:activation(%s)", 1, "string")
argument("fit:activation('h', %s)", 2, "index")
argument("fit:gradient(%s)", 1, "string")
argument("fit:moment(%s, 'head.bias')", 1, "size")
argument("fit:moment(1, %s)", 2, "string")
argument("fit:state_view(%s)", 1, "string")
argument("fit:step(%s)", 1, "source")
argument("fit:forward(%s)", 1, "source")
argument("fit:set_state(%s)", 1, "table")
argument("fit:set_counters(%s)", 1, "table")
argument("text:ids(%s, 1, 2)", 1, "choice")
argument("text:ids('train', %s, 2)", 2, "size")
argument("text:ids('train', 1, %s)", 3, "size")
argument("vocab:encode(%s)", 1, "string")
argument("vocab:find(%s)", 1, "string")
argument("vocab:symbol(%s)", 1, "index")
argument("vocab:decode(%s)", 1, "ids")
argument("lstm.vocabulary(%s)", 1, "string")
argument("lstm.sha256(%s)", 1, "string")
argument("lstm.threads(%s)", 1, "size")
argument("matrix:get(%s, 1)", 1, "size")
argument("matrix:set(1, 1, %s)", 3, "size")
argument("matrix:slice(%s, 1, 1)", 1, "size")
argument("matrix:slice(1, %s, 1)", 2, "size")
argument("matrix:slice(1, 1, %s)", 3, "size")
argument("matrix:reshape(%s)", 1, "table")
argument("matrix:equal(%s)", 1, "tensor")
argument("matrix:matmul(%s)", 1, "tensor")
argument("matrix:sum(%s)", 1, "size")
argument("stream:seek(%s)", 1, "table")
argument("log:row(%s, { loss = 1 })", 1, "integer")
argument("log:row(1, %s)", 2, "table")
argument("log:sample(%s, 'a')", 1, "integer")
argument("log:sample(1, %s)", 2, "string")
argument("log:event(1, %s, 'a')", 2, "string")
argument("log:columns(%s)", 1, "table")
argument("log:tensors('h', %s, matrix)", 2, "integer")
argument("csv:row(%s, { loss = 1 })", 1, "integer")
argument("csv:row(1, %s)", 2, "table")
argument("saved:load(%s, matrix)", 1, "string")
argument("saved:load('head.bias', %s)", 2, "tensor")
argument("saved:text(%s)", 1, "string")
argument("saved:shape(%s)", 1, "string")
argument("core.log.create(%s)", 1, "string")
argument("core.checkpoint.read(%s)", 1, "string")
argument("core.csv.create(%s)", 1, "string")

-- ---- methods: of the wrong object, and of a closed one -------------------------------------------------------------

local methods = {
  model = { "parameter", "parameters", "trainer", "sample", "evaluate" },
  fit = { "step", "forward", "backward", "update", "zero", "carry", "reset", "evaluate", "activation", "gradient",
    "moment", "state", "set_state", "state_view", "stream", "counters", "set_counters", "checkpoint_tensors" },
  text = { "train", "val", "test", "stream", "ids" },
  stream = { "next", "cursor", "seek", "rewind" },
  vocab = { "encode", "decode", "symbol", "find", "serialize" },
  matrix = { "get", "set", "slice", "reshape", "totable", "copy", "assign", "equal", "sum", "norm", "abs", "matmul",
    "gt" },
  log = { "set", "json", "columns", "row", "sample", "event", "flush", "stats", "announce", "tensors" },
  csv = { "columns", "row", "flush" },
  saved = { "text", "integer", "shape", "load", "names" },
}

-- ---- trying --------------------------------------------------------------------------------------------------------

local env = setmetatable({ lstm = lstm, core = core, closed = closed, nan = 0 / 0, inf = 1 / 0 }, {
  __index = function(_, name) return things[name] or _G[name] end,
  __newindex = function(_, name) error("a global was written: " .. name) end,
})

local made, failed = 0, 0

--- Whether an error begins with the script's line and has one of the words in it.
local function is_clear(message, words)
  message = tostring(message)
  if message:find("wrong.lua:2: ", 1, true) ~= 1 or #message > 300 then return false end
  for _, word in ipairs(words) do
    if message:find(word, 1, true) then return true end
  end
  return false
end

local function try(script, ...)
  made = made + 1
  local before = open_objects()
  local chunk = assert(load("\nlocal a, b = " .. script .. " return a, b", "=wrong.lua", "t", env))
  local ok, first, second = pcall(chunk)
  local clear = not ok and is_clear(first, { ... })
  clear = clear or ok and first == nil and type(second) == "string" and #second < 300
  if clear and open_objects() == before then return end
  failed = failed + 1
  if failed <= 20 then
    print(("# %s: %s"):format(script, ok and "no error" or tostring(first)))
  end
end

for _, place in ipairs(places) do
  local call, name, kind = table.unpack(place)
  for _, value in ipairs(wrong_for[kind]) do
    try((call:gsub("%%s", function() return value end)), name, "closed")
  end
end
for kind, names in pairs(methods) do
  for _, name in ipairs(names) do
    for other in pairs(methods) do
      if other ~= kind then try(("%s.%s(%s)"):format(kind, name, other), name, "#1") end
    end
    try(("%s.%s()"):format(kind, name), name, "#1")
    if closed[kind] then try(("closed.%s:%s()"):format(kind, name), "closed") end
  end
end

-- ---- the wrong owner, the wrong coroutine --------------------------------------------------------------------------

try("stranger:trainer { batch = 1, seq = 2 }:step(text)", "text")
try("stranger:evaluate(text)", "text")
try("saved:load('lstm.bias_l0', stranger:parameter 'lstm.bias_l0')", "lstm.bias_l0")
try("fit:set_state(stranger:trainer { batch = 1, seq = 2 }:state())", "state", "#1")
try("coroutine.wrap(function() return model:parameter(coroutine.running()) end)()", "#1")

-- ---- afterwards, everything is as it was ---------------------------------------------------------------------------

assert(made >= 300, "only " .. made .. " calls")
assert(failed == 0, failed .. " of " .. made .. " wrong calls are not refused with a clear sentence")
assert(region() == core.threads(), "a parallel region lost threads")
local loss = fit:step(text)
assert(loss == loss and things.matrix:sum() == 21, "good calls do not work any more")
assert(things.log:row(1, { loss = loss }) and things.log:close())
assert(things.csv:row(1, { loss = loss }) and things.csv:close())
things.saved:close()
for _, name in ipairs { "log.h5", "other.h5", "metrics.csv", "other.csv", "c.h5" } do
  os.remove(directory .. "/" .. name)
end
os.remove(directory)
print(("# %d wrong calls"):format(made))
