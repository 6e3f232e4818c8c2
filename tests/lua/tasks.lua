-- SPDX-License-Identifier: MIT
--
-- Tasks: what a batch holds is counted by hand, every batch is a function of seed, part and number, and the networks
-- that the literature says can solve them do.

local lstm = require "lstm"
local random = require "lstm.random"
local tap = require "tap"

-- ---- random numbers -----------------------------------------------------------------------------------------------

-- The first outputs of SplitMix64 with state 1234567, as its authors' reference code (and Java's) has them.
local draw = setmetatable({ state = 1234567 }, random)
tap.is(draw:seed(), 6457827717110365317, "SplitMix64, first number")
tap.is(draw:seed(), 3203168211198807973, "second")
local seen = {}
for _ = 1, 600 do
  local k = draw:integer(-1, 4)
  seen[k] = (seen[k] or 0) + 1
end
for k = -1, 4 do -- 100 expected; the standard deviation is 9
  tap.ok(seen[k] > 55 and seen[k] < 145, ("%d comes up as often as others: %d of 600"):format(k, seen[k]))
end
tap.ok(random.new(1, 2):seed() ~= random.new(2, 1):seed(), "the order of a generator's numbers matters")

for what, call in pairs {
  ["#2 to 'new' (integer expected, got string)"] = function() random.new(1, "a") end,
  ["#1 to 'new' (integer expected, got 0.5)"] = function() random.new(0.5) end,
  ["#2 to 'integer' (integer expected, got nil)"] = function() draw:integer(1) end,
  ["#2 to 'integer' (at least 3 expected, got 1)"] = function() draw:integer(3, 1) end,
  ["#1 to 'hash' (string expected, got 3)"] = function() random.hash(3) end,
} do
  tap.fails(function() call() end, { "tasks.lua:", what }, "random numbers of what is none: " .. what)
end
tap.is(draw:integer(3, 3), 3, "the only number there is")

-- ---- streams ------------------------------------------------------------------------------------------------------

local function same(a, b)
  local function flat(t) return type(t) == "table" and t or t:totable() end
  local function equal(x, y)
    if type(x) ~= "table" then return x == y end
    for k = 1, math.max(#x, #y) do
      if not equal(x[k], y[k]) then return false end
    end
    return true
  end
  return equal(flat(a.x or a.ids), flat(b.x or b.ids)) and equal(flat(a.y or a.targets), flat(b.y or b.targets))
end

local all = {
  adding = lstm.tasks.adding { seq = 9, seed = 5 }, copy = lstm.tasks.copy { delay = 4, length = 3, seed = 5 },
  reber = lstm.tasks.reber { seq = 20, seed = 5 },
}
for name, task in pairs(all) do
  local data = task:train { batch = 4 }
  local first, second = data:next(), data:next()
  local place = data:cursor()
  local third = data:next()
  tap.ok(not same(first, second) and not same(second, third), name .. ": no two batches are the same")
  local again = task:train { batch = 4 }
  again:seek(place)
  tap.ok(same(again:next(), third), name .. ": a cursor brings the third batch back")
  tap.is(again:cursor().position, 3, name .. ": and the place behind it")
  again:rewind()
  tap.ok(same(again:next(), first), name .. ": and rewind the first")
  tap.ok(not same(task:val { batch = 4 }:next(), first), name .. ": what is held out is different")
  tap.ok(not same(task:val { batch = 4 }:next(), task:test { batch = 4 }:next()), name .. ": and so is the test")

  local few = task:train { batch = 4, batches = 2 }
  tap.ok(same(few:next(), first) and same(few:next(), second) and same(few:next(), first),
    name .. ": two batches, again and again")
  tap.is(few:cursor().epoch, 1, name .. ": in a second epoch")
  local once = task:val { batch = 4, batches = 2 }
  tap.ok(once:next() and once:next() and not once:next(), name .. ": the held-out ones once")
end
tap.ok(not same(lstm.tasks.adding { seq = 9, seed = 6 }:train { batch = 4 }:next(),
  all.adding:train { batch = 4 }:next()), "another seed, other numbers")

-- ---- adding -------------------------------------------------------------------------------------------------------

local batch = all.adding:train { batch = 50 }:next()
local sound, low, high = true, 9, 1
for b = 1, 50 do
  local marked, sum = {}, 0
  for t = 1, 9 do
    local number, mark = batch.x:get(t, b, 1), batch.x:get(t, b, 2)
    sound = sound and number >= 0 and number < 1 and (mark == 0 or mark == 1)
    if mark == 1 then
      marked[#marked + 1], sum = t, sum + number
    end
  end
  sound = sound and #marked == 2 and marked[1] <= 4 and marked[2] >= 5 and batch.y:get(1, b, 1) == sum
  low, high = math.min(low, marked[1]), math.max(high, marked[2])
end
tap.ok(sound, "adding: two marks, one in each half, and their sum")
tap.ok(low == 1 and high == 9, "adding: at all places")

-- A model that always says 1 has the stated error. 20,000 squares: their mean's standard deviation is 0.0014.
local one <close> = lstm.model { input = 2, hidden = 1, output = 1, init = "zeros" }
one:parameter "head.bias":assign(1)
local still <close> = one:trainer { batch = 1000, seq = 9, loss_at = "last" }
local thousands = all.adding:val { batch = 1000, batches = 20 }
tap.ok(math.abs(still:evaluate(thousands) - all.adding.baseline) < 0.007, "adding: a sixth without memory")
-- The sum of two U(0, 1) is within 0.08 of 1 with probability 0.1536; standard deviation of the share 0.0025.
tap.ok(math.abs(all.adding:right(still, thousands) - 0.1536) < 0.013, "adding: and right by chance")

-- Nothing is dropped: a network is as right as its twin that has no dropout.
local shares = {}
for k, dropout in ipairs { 0, 0.9 } do
  local twin <close> = lstm.model { input = 2, hidden = 20, layers = 2, output = 1, dropout = dropout, seed = 8 }
  twin:parameter "head.bias":assign(1)
  shares[k] = all.adding:right(twin:trainer { batch = 1000, seq = 9, loss_at = "last" }, thousands)
end
tap.ok(shares[1] > 0.05 and shares[1] == shares[2], "adding: right without dropout")

local learns <close> = one:trainer { batch = 1000, seq = 9, loss_at = "last" }
learns:step(all.adding:train { batch = 1000 })
local inside = learns:activation "h":copy()
all.adding:right(learns, all.adding:val { batch = 1000, batches = 1 })
tap.ok(inside:equal(learns:activation "h") and learns:gradient "dh" ~= nil, "right leaves the last step as it was")

for what, call in pairs {
  ["#1 to 'copy' (unknown field 'lenght' (did you mean 'length'?)"] = function()
    local _ = lstm.tasks.copy { delay = 3, lenght = 2 }
  end,
  ["#1 to 'copy' (the table itself expected; write a dot, not a colon, before 'copy')"] = function()
    local _ = lstm.tasks:copy { delay = 3 }
  end,
  ["#1 to 'step' (batch table, text or stream expected, got a lstm.task)"] = function() still:step(all.adding) end,
  ["#1 to 'evaluate' (batch table, text or stream expected, got a lstm.task)"] = function()
    still:evaluate(all.adding)
  end,
  ["#1 to 'evaluate' (a stream with an end expected"] = function() still:evaluate(all.adding:train { batch = 1000 }) end,
  ["#2 to 'right' (stream with 'batches' expected)"] = function()
    local _ = all.adding:right(still, all.adding:train { batch = 1000 })
  end,
  ["#2 to 'right' (stream of the task expected, such as task:val makes, got nil)"] = function()
    local _ = all.adding:right(still)
  end,
  ["#2 to 'right' (stream of the task expected, such as task:val makes, got lstm.task_stream)"] = function()
    local _ = all.adding:right(still, all.copy:val { batch = 1000 })
  end,
  ["#1 to 'right' (trainer expected, got lstm.model)"] = function() local _ = all.adding:right(one, thousands) end,
  ["batch 2, seq 9): bad argument #1 to 'forward' (field 'x': shape [9,1000,2] expected, got [9,2,2]))"] = function()
    local _ = all.adding:right(still, all.adding:val { batch = 2 })
  end,
} do
  tap.fails(call, { "tasks.lua:", what }, "a wrong call: " .. what)
end
tap.ok(still:evaluate(all.adding:train { batch = 1000, batches = 2 }) > 0, "a stream of the same batches has an end")

-- ---- copying ------------------------------------------------------------------------------------------------------

batch = all.copy:train { batch = 2 }:next()
tap.is(all.copy.seq, 10, "copy: T = delay + 2 length")
for b = 1, 2 do
  local x, y = {}, {}
  for t = 1, 10 do x[t], y[t] = batch.ids:get(t, b) // 1 | 0, batch.targets:get(t, b) // 1 | 0 end
  local word = table.concat(x, " ", 1, 3)
  tap.is(table.concat(x, " ", 4), "8 8 8 9 8 8 8", "copy: blanks, the sign as step length + delay, blanks")
  tap.is(table.concat(y, " "), "8 8 8 8 8 8 8 " .. word, "copy: to be answered by the word " .. word)
end

-- A head that gives all symbols the same chance at all times, and the blank exp(20) times that, knows when but not
-- what; here it says blank at every step, and pays for the three symbols 20 + ln 8 less next to nothing.
local none <close> = lstm.model { vocab = all.copy.vocab, classes = all.copy.classes, hidden = 1, init = "zeros" }
none:parameter "head.bias":set(20, 9)
local mute <close> = none:trainer { batch = 2, seq = 10 }
tap.near(mute:evaluate(all.copy:val { batch = 2 }), 20 * 3 / 10, 1e-6, "copy: loss of who always says blank")
tap.is(all.copy:right(mute, all.copy:val { batch = 2 }), 0.0, "copy: none of whose symbols is right")
tap.near(all.copy.baseline, 3 * math.log(8) / 10, 1e-15, "copy: the loss without memory")

-- ---- Reber --------------------------------------------------------------------------------------------------------

local reber = all.reber
for _, text in ipairs { "BTBTXSETE", "BPBPVVEPE", "BTBTSSXXTVPXVVETE" } do
  tap.is(reber:legal(text .. "BTX"), text, "reber: " .. text .. " is legal, whatever follows")
end
for text, place in pairs { BTBTXSEPE = 8, BPBTXSETE = 8, BTBTXXE = 7, TB = 1, BTBTXSET = 9, [""] = 1, BTBPVE = 6 } do
  local legal, at = reber:legal(text)
  tap.ok(legal == nil and at == place, ("reber: '%s' is illegal at %d"):format(text, place))
end

-- The strings of a batch, from its ids, targets and mask.
local function strings(batch, B)
  local list = {}
  for b = 1, B do
    local ids = { batch.ids[1][b] }
    for t, row in ipairs(batch.targets) do
      if batch.mask[t][b] == 1 then
        ids[#ids + 1] = row[b]
        if batch.ids[t][b] ~= ids[#ids - 1] then ids[#ids] = "not the next" end
      end
    end
    list[b] = reber.vocab:decode(ids)
  end
  return list
end
local of_part, legal, starts = {}, true, { T = 0, P = 0 }
for _, part in ipairs { "train", "val", "test" } do
  for _, text in ipairs(strings(reber[part](reber, { batch = 200, batches = 1 }):next(), 200)) do
    legal = legal and reber:legal(text) == text and #text <= 21
    legal = legal and (of_part[text] or part) == part
    of_part[text] = part
    starts[text:sub(2, 2)] = starts[text:sub(2, 2)] + 1
  end
end
tap.ok(legal, "reber: 600 legal strings of at most T + 1 symbols, none of them in two parts")
tap.ok(starts.T > 200 and starts.P > 200, "reber: of both kinds")
local long = lstm.tasks.reber { seq = 30, shortest = 20 }
local short = false
for _, text in ipairs(strings(long:train { batch = 20 }:next(), 20)) do short = short or #text < 20 end
tap.ok(not short, "reber: none shorter than 'shortest'")
tap.fails(function() lstm.tasks.reber { seq = 300, shortest = 300 }:test { batch = 1 }:next() end,
  { "tasks.lua:", "no string of 300 to 301 symbols, or hardly any" },
  "reber: a part without strings is no endless loop")

-- ---- they can be learned ------------------------------------------------------------------------------------------

local function train(task, given)
  local model = lstm.model { cell = given.cell, input = task.input, output = task.output, vocab = task.vocab,
    classes = task.classes, hidden = given.hidden, seed = given.seed }
  local fit = model:trainer { batch = 32, seq = task.seq, loss_at = task.loss_at, lr = 0.01, clip_norm = 1 }
  local data = task:train { batch = 32 }
  for _ = 1, given.steps do fit:step(data) end
  return task:right(fit, task:val { batch = 32, batches = 4 }), model
end
for seed = 1, 3 do
  local right, model = train(reber, { hidden = 20, steps = 500, seed = seed })
  local written = 0
  for k = 1, 20 do
    if reber:legal(model:sample { prime = "B", length = 40, temperature = 0.5, seed = k }) then written = written + 1 end
  end
  tap.ok(right >= 0.95, ("reber: an LSTM, seed %d, predicts %.0f%% of unseen strings"):format(seed, 100 * right))
  tap.ok(written >= 18, ("reber: and writes %d legal ones of 20"):format(written))
end
local right = train(reber, { cell = "rnn", hidden = 16, steps = 20, seed = 1 })
tap.ok(right < 0.5, ("reber: a hardly trained one does not (%.0f%%)"):format(100 * right))
tap.done()
