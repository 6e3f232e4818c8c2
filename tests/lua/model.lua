-- SPDX-License-Identifier: MIT
--
-- Models: shapes, initialisation, configuration, closing, what the collector knows of their memory, sampling.

local lstm = require "lstm"
local tap = require "tap"

-- ---- shapes and settings ------------------------------------------------------------------------------------------

local function shapes(model)
  local list = {}
  for name, view in model:parameters() do list[#list + 1] = name .. " " .. table.concat(view.shape, ",") end
  return table.concat(list, "; ")
end

local function with(settings)
  local model <close> = lstm.model(settings)
  return shapes(model), model.size
end

local list, size = with { vocab = 7, hidden = 3, layers = 2 }
tap.is(list, "lstm.weight_ih_l0 12,7; lstm.weight_hh_l0 12,3; lstm.bias_l0 12; lstm.weight_ih_l1 12,3; "
  .. "lstm.weight_hh_l1 12,3; lstm.bias_l1 12; head.weight 7,3; head.bias 7", "tokens in, tokens out")
tap.is(size, 12 * 7 + 12 * 3 + 12 + 12 * 3 + 12 * 3 + 12 + 21 + 7, "size")
tap.is(with { vocab = 7, embed = 2, hidden = 3, output = 4 },
  "embedding.weight 7,2; lstm.weight_ih_l0 12,2; lstm.weight_hh_l0 12,3; lstm.bias_l0 12; head.weight 4,3; head.bias 4",
  "an embedding, linear output")
tap.is(with { cell = "rnn", input = 2, hidden = 3, classes = 5 },
  "rnn.weight_ih_l0 3,2; rnn.weight_hh_l0 3,3; rnn.bias_l0 3; head.weight 5,3; head.bias 5",
  "a vanilla rnn, vectors in")

do
  local model <close> = lstm.model { vocab = 7, embed = 2, hidden = 3, layers = 2, dropout = 0.25, seed = 11,
    precision = "double", init = { recurrent = "orthogonal", head = { "normal", 0.5 } }, forget_bias = 2 }
  local c = model.config
  tap.ok(c.cell == "lstm" and c.vocab == 7 and c.embed == 2 and c.hidden == 3 and c.layers == 2 and c.dropout == 0.25
    and c.seed == 11 and c.precision == "double" and c.forget_bias == 2 and c.init.recurrent == "orthogonal"
    and c.init.head[2] == 0.5 and c.classes == 7, "config tells all settings")
  local twin <close> = lstm.model(c)
  local equal = true
  for name, view in model:parameters() do equal = equal and view:equal(twin:parameter(name)) end
  tap.ok(equal, "and makes the same model again, bit by bit")
  tap.contains(tostring(model), "lstm 7 -> 2x3 -> 7", "tostring")
  tap.ok(model.bytes >= 8 * model.size, "bytes")
end

-- ---- initialisation -----------------------------------------------------------------------------------------------

local function init_of(settings)
  settings.vocab, settings.hidden, settings.precision = 16, 32, "double"
  return lstm.model(settings)
end

do
  local model <close> = init_of {}
  local bound = 1 / math.sqrt(32)
  local w = model:parameter "lstm.weight_hh_l0"
  tap.ok(w:max() < bound and w:min() >= -bound and w:max() > 0.98 * bound, "uniform_hidden by default")
  local b = model:parameter "lstm.bias_l0"
  tap.ok(b:sum() == 32 and b:slice(1, 33, 64):min() == 1, "biases are zero, but for the forget gate's 1")
end
do
  local model <close> = init_of { init = "zeros", forget_bias = 0 }
  local sum = 0
  for _, view in model:parameters() do sum = sum + view:norm() end
  tap.is(sum, 0.0, "zeros")
end
do
  local model <close> = init_of { init = { "uniform", 0.01 } }
  tap.ok(model:parameter "head.weight":abs():max() <= 0.01 and model:parameter "lstm.weight_ih_l0":abs():max() <= 0.01,
    "one scheme for all weights")
end
do
  local model <close> = init_of { init = "orthogonal" }
  local w, worst = model:parameter "lstm.weight_hh_l0", 0
  for gate = 0, 3 do
    for a = 1, 32, 7 do
      for b = 1, 32, 5 do
        local dot = 0
        for k = 1, 32 do dot = dot + w:get(gate * 32 + a, k) * w:get(gate * 32 + b, k) end
        local e = math.abs(dot - (a == b and 1 or 0))
        worst = e <= worst and worst or e -- NaN is the worst
      end
    end
  end
  tap.ok(worst < 1e-12, "orthogonal: each gate's rows are orthonormal")
end
do
  local seen = {}
  local model <close> = init_of { init = {
    recurrent = function(name, tensor)
      seen[#seen + 1] = name
      for k = 1, #tensor do tensor[k] = k end
    end,
    head_bias = function() return 0.25 end,
    bias = { "constant", 3 },
  } }
  tap.is(table.concat(seen, " "), "lstm.weight_hh_l0", "a function for one kind")
  tap.is(model:parameter "lstm.weight_hh_l0":get(128, 32), 128.0, "sets the tensor it is given")
  tap.is(model:parameter "head.bias":mean(), 0.25, "or returns what to assign")
  tap.is(model:parameter "lstm.bias_l0"[33], 4.0, "the forget bias comes on top of a scheme")
end
do
  local names = {}
  local model <close> = init_of { init = function(name) names[#names + 1] = name end }
  tap.is(#names, 5, "one function for all is called for every parameter")
end

-- ---- closing ------------------------------------------------------------------------------------------------------

local model = lstm.model { vocab = 5, hidden = 4 }
local view = model:parameter "head.weight"
local fit = model:trainer { batch = 1, seq = 2 }
local h = fit:state_view "h"
tap.ok(not model.closed and not fit.closed, "open at first")
model:close()
model:close()
tap.ok(model.closed and fit.closed, "closing a model closes its trainers; twice is once")
tap.is(tostring(model), "lstm.model (closed)", "tostring of a closed model")
tap.is(tostring(fit), "lstm.trainer (closed)", "tostring of its trainer")
tap.is(tostring(view), "lstm.tensor float [5,4] head.weight (of a closed model)", "tostring of its view")
tap.fails(function() return view[1] end, "attempt to use tensor 'head.weight' of a closed model", "a view says so")
tap.fails(function() return h:sum() end, "of a trainer whose model was closed", "a trainer's view, too")
fit:close()

do
  local inner
  do
    local scoped <close> = lstm.model { vocab = 5, hidden = 4 }
    inner = scoped:parameter "head.bias"
  end
  tap.fails(function() return inner:sum() end, "of a closed model", "<close> closes")
end
do
  local bias = lstm.model { vocab = 5, hidden = 4 }:parameter "lstm.bias_l0"
  local loose = lstm.model { vocab = 5, hidden = 4 }:trainer { batch = 1, seq = 2 }
  collectgarbage()
  collectgarbage()
  tap.is(bias:sum(), 4.0, "a view keeps its model alive")
  tap.ok(loose:step { ids = { 1, 2 }, targets = { 2, 3 } } > 0 and loose.model.size > 0, "so does a trainer")
end

-- ---- memory: what is dropped is collected, without a call ---------------------------------------------------------

-- Peak resident memory in kB, of this process; 0 where /proc is not what Linux has, or a sanitizer keeps what is freed.
local function peak()
  if (os.getenv "SANITIZER" or "no") ~= "no" then return 0 end
  local status = io.open "/proc/self/status"
  local value = status and status:read "a":match "VmHWM:%s*(%d+)"
  if status then status:close() end
  return tonumber(value) or 0
end

-- One is there before; a second one may be made before the first is missed. A thousand of these would be 10 GB.
local settings = { vocab = 256, hidden = 640, init = { "constant", 0.01 } }
do local warm <close> = lstm.model(settings) end
local before, bytes = peak(), lstm.plan(settings, { batch = 1, seq = 1 }).model_bytes
for _ = 1, 50 do lstm.model(settings) end
local grown = (peak() - before) * 1024
tap.ok(grown < 1.2 * bytes, ("50 models dropped: %.1f MB more than one takes (%.1f MB)")
  :format(grown / 1e6, bytes / 1e6))
settings = { vocab = 64, hidden = 32, layers = 2 }
do
  local warm <close> = lstm.model(settings)
  warm:trainer { batch = 16, seq = 64 }
end
before, bytes = peak(), lstm.plan(settings, { batch = 16, seq = 64 })
for _ = 1, 1000 do lstm.model(settings):trainer { batch = 16, seq = 64 } end
grown = (peak() - before) * 1024
bytes = bytes.model_bytes + bytes.trainer_bytes -- once more than the one before, for what malloc() keeps back
tap.ok(grown < bytes, ("1,000 models with trainers: %.1f MB more (one: %.1f MB)")
  :format(grown / 1e6, bytes / 1e6))

-- ---- sampling -----------------------------------------------------------------------------------------------------

local text = assert(lstm.corpus { text = ("the quick brown fox jumps over the lazy dog\n"):rep(30) })
model = lstm.model { vocab = text.vocab, hidden = 24, seed = 5 }
local sample = model:sample { prime = "the ", length = 100, seed = 3 }
tap.ok(sample:sub(1, 4) == "the " and #sample == 104, "prime and length")
tap.is(model:sample { prime = "the ", length = 100, seed = 3 }, sample, "the same seed, the same text")
tap.ok(model:sample { prime = "the ", length = 100, seed = 4 } ~= sample, "another seed, another text")
local greedy = model:sample { prime = "the ", length = 50, greedy = true }
tap.is(model:sample { prime = "the ", length = 50, temperature = 0, seed = 9 }, greedy, "temperature 0 is greedy")
tap.is(model:sample { prime = "the ", length = 50, top_k = 1, seed = 10 }, greedy, "so is top_k = 1")
tap.is(#model:sample { length = 30 }, 30, "without a prime")
tap.is(model:sample { prime = "fox", length = 0 }, "fox", "length 0 gives the prime back")
tap.is(model:sample { prime = "the Q", unknown = "e", length = 0 }, "the e", "unknown symbols are replaced on request")
local ids = model:sample { prime = text.vocab:encode "the ", length = 100, seed = 3 }
tap.is(text.vocab:decode(ids), sample, "ids in, ids out")
local numbered <close> = lstm.model { vocab = 9, hidden = 4 }
tap.is(#numbered:sample { prime = { 1, 2 }, length = 5 }, 7, "a model without vocabulary samples ids")
local pieces, places = {}, {}
local whole = model:sample { prime = "the ", length = 100, seed = 3, each = function(symbol, k)
  pieces[#pieces + 1], places[#places + 1] = symbol, k
end }
tap.ok(whole == sample and "the " .. table.concat(pieces) == sample, "'each' gets every symbol that is written")
tap.ok(places[1] == 1 and places[100] == 100, "  and which one it is")
local line = model:sample { prime = "the ", length = 100, seed = 3, each = function(_, k) return k < 7 end }
tap.is(line, sample:sub(1, 11), "  and ends the text with false")
pieces = {}
model:sample { prime = text.vocab:encode "the ", length = 5, seed = 3, each = function(id) table.insert(pieces, id) end }
tap.is(text.vocab:decode(pieces), sample:sub(5, 9), "  ids, where ids are wanted")
local inner
whole = model:sample { prime = "the ", length = 100, seed = 3, each = function(_, k)
  if k == 50 then inner = model:sample { prime = "the ", length = 100, seed = 4 } end
end }
tap.ok(whole == sample and inner == model:sample { prime = "the ", length = 100, seed = 4 }, "  and may sample, too")
tap.fails(function() model:sample { each = function() error("enough", 0) end } end, { "enough" }, "an error in 'each'")
tap.is(model:sample { prime = "the ", length = 100, seed = 3 }, sample, "  leaves nothing behind")
local closing = lstm.model { vocab = text.vocab, hidden = 3 }
tap.fails(function() closing:sample { each = function() closing:close() end } end,
  { "attempt to call 'sample' on a trainer whose model was closed" }, "'each' closes the model")
tap.is(model.vocab, text.vocab, "the model keeps its vocabulary")
text:close()
tap.is(model:sample { prime = "the ", length = 100, seed = 3 }, sample, "even when the text is closed")

-- Sampling runs the same arithmetic as training does: one symbol's probability, computed by both.
local V = #model.vocab
local counts = {}
for seed = 1, 4000 do
  local id = model:sample { prime = { 3 }, length = 1, seed = seed }[2]
  counts[id] = (counts[id] or 0) + 1
end
local check <close> = model:trainer { batch = 1, seq = 1 }
check:forward { ids = { 3 } }
local logits, total, chi = check:activation "logits"[1][1], 0, 0
for k = 1, V do total = total + math.exp(logits[k]) end
for k = 1, V do
  local expected = 4000 * math.exp(logits[k]) / total
  chi = chi + ((counts[k - 1] or 0) - expected) ^ 2 / expected
end
-- Chi square with V-1 (27) degrees of freedom exceeds 60 once in 4,000 times.
tap.ok(chi < 60, ("4,000 samples follow the softmax (chi square %.1f with %d degrees of freedom)"):format(chi, V - 1))
model:close()

tap.done()
