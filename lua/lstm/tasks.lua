-- SPDX-License-Identifier: MIT
--
-- tasks.lua - the classical tests of memory: the adding problem, the copy task, the embedded Reber grammar.
--
--     local task = lstm.tasks.adding { seq = 100, seed = 1 }
--     local model <close> = lstm.model { input = task.input, output = task.output, hidden = 64 }
--     local fit <close> = model:trainer { batch = 32, seq = task.seq, loss_at = task.loss_at }
--     local data, held_out = task:train { batch = 32 }, task:val { batch = 32, batches = 10 }
--     for step in run:steps(cfg.steps, fit, data) do run:log(step, fit:step(data)) end
--     print(fit:evaluate(held_out), task:right(fit, held_out))
--
-- A task says what a model needs (input and output, or vocab and classes; seq; loss_at) and what the loss is without
-- any memory (baseline). Its streams are those of texts: next, cursor, seek, rewind. Every batch is a function of
-- seed, part and its number alone.

local core = require "lstm.core"
local fault = require "lstm.fault"
local options = require "lstm.options"
local random = require "lstm.random"
local sequences = require "lstm.sequences"

local tensor = core.tensor
local tasks = {}

local part_number = { train = 0, val = 1, test = 2 }

-- ---- fields -------------------------------------------------------------------------------------------------------

local function refuse(what, ...)
  fault.mistake(("bad argument #1 to '%s' (%s)"):format(what, string.format(...)))
end

-- The fields of a table by name: defaults are { name = default }, "needed" or false (may be left out). Integers from
-- least.name (1) on, and no larger than the engine's sizes can be.
local LARGEST <const> = core.size_max
local function fields(what, given, defaults, least)
  if type(given) ~= "table" then refuse(what, "table expected, got %s", type(given)) end
  fault.no_colon(what, given, tasks)
  for name in pairs(given) do
    if defaults[name] == nil then
      refuse(what, "unknown field '%s'%s", tostring(name), options.suggestion(tostring(name), options.keys(defaults)))
    end
  end
  local values = {}
  for name, default in pairs(defaults) do
    local value, lowest = given[name], least and least[name] or 1
    if value == nil then value = default end
    if value and not (math.type(value) == "integer" and value >= lowest) then
      local got = value ~= "needed" and tostring(value) or "nil"
      refuse(what, "field '%s': integer from %d on expected, got %s", name, lowest, got)
    end
    if value and name ~= "seed" and value > LARGEST then
      refuse(what, "field '%s': at most %d expected, got %d", name, LARGEST, value)
    end
    values[name] = value or nil
  end
  return values
end

-- ---- streams ------------------------------------------------------------------------------------------------------

local stream = fault.class { __name = "lstm.task_stream" }
stream.__index = stream

--- The next batch. Endless when it trains: new ones for ever, or the same `batches` again; else nil after the last.
function stream:next()
  if self.position == self.batches then
    if self.once then return nil end
    self.epoch, self.position = self.epoch + 1, 0
  end
  self.position = self.position + 1
  local draw = random.new(self.task.seed, part_number[self.part], self.position)
  return self.task:batch(draw, self.batch, self.part)
end

--- Where the stream stands, for seek: { epoch =, position = }.
function stream:cursor()
  return { epoch = self.epoch, position = self.position }
end

function stream:seek(cursor)
  if type(cursor) ~= "table" then
    fault.mistake("bad argument #1 to 'seek' (table expected, got " .. type(cursor) .. ")")
  end
  local epoch, position = cursor.epoch, cursor.position
  if math.type(epoch) ~= "integer" or epoch < 0 or math.type(position) ~= "integer" or position < 0
    or position > (self.batches or math.maxinteger) then
    fault.mistake(("bad argument #1 to 'seek' (no batch %s in epoch %s)"):format(position, epoch))
  end
  self.epoch, self.position = epoch, position
end

function stream:rewind()
  self:seek { epoch = 0, position = 0 }
end

function stream:__tostring()
  return ("%s (%s, part %s, batch %d, seq %d)"):format(self.__name, self.task.name, self.part, self.batch, self.seq)
end

-- ---- what tasks have in common ------------------------------------------------------------------------------------

local function new_stream(task, part, given)
  local once = part ~= "train"
  local values = fields(part, given, { batch = "needed", batches = once and 10 })
  return setmetatable({ task = task, part = part, batch = values.batch, batches = values.batches, seq = task.seq,
    once = once, endless = not values.batches, epoch = 0, position = 0 }, stream)
end

-- What task:right is given, checked, so that errors are at the script's line.
local function check_right(task, fit, source)
  local function wrong(arg, ...)
    fault.mistake(("bad argument #%d to 'right' (%s)"):format(arg, string.format(...)))
  end
  local kind = core.sys.typename(fit)
  if kind ~= "lstm.trainer" then wrong(1, "trainer expected, got %s", kind) end
  if getmetatable(source) ~= stream or source.task.name ~= task.name then
    wrong(2, "stream of the task expected, such as task:val makes, got %s", core.sys.typename(source))
  end
  if source.endless then wrong(2, "stream with 'batches' expected") end
end

-- As fit:evaluate does. An error of forward is about the stream, too.
local function forward(fit, source, batch)
  local ok, problem = pcall(fit.forward, fit, batch, { dropout = false })
  if not ok then
    fault.mistake(("bad argument #2 to 'right' (%s: %s)"):format(tostring(source), fault.without_position(problem)))
  end
end

-- A class whose objects are made of the task's fields.
local function class(name)
  local task = fault.class { __name = "lstm.task", name = name }
  task.__index = task
  for part in pairs(part_number) do
    task[part] = function(self, given) return new_stream(self, part, given) end
  end
  -- The share of a finite stream's answers that are right; fit's batch must be the stream's. By another trainer: fit has
  -- the inside of its last step still, which the run is to record, and takes its next one as if nothing had been.
  function task:right(fit, source)
    check_right(self, fit, source)
    local other <close> = fit.model:trainer { batch = fit.batch, seq = fit.seq, loss_at = fit.config.loss_at }
    local right, all = 0, 0
    source:rewind()
    for _ = 1, source.batches do
      local batch = source:next()
      forward(other, source, batch)
      local more, of = self:count(other:whole(other:activation "logits"), batch)
      right, all = right + more, all + of
    end
    return right / all
  end
  return task
end

-- ---- the adding problem -------------------------------------------------------------------------------------------

local adding = class "adding"

--- Two inputs at each of T steps: a number from U(0, 1), and 1 at two steps (one in each half), else 0. At the end the
-- network shall know the sum of the two marked numbers. (Hochreiter & Schmidhuber 1997, experiment 4; in the form of
-- Le, Jaitly & Hinton 2015 and Arjovsky et al. 2016.) Who always says 1 has a squared error of 1/6.
function tasks.adding(given)
  local task = fields("adding", given, { seq = "needed", seed = 1 }, { seq = 2, seed = 0 })
  task.input, task.output, task.loss_at, task.baseline = 2, 1, "last", 1 / 6
  return setmetatable(task, adding)
end

function adding:batch(draw, B)
  local T = self.seq
  local x = tensor.uniform { T, B, 2, seed = draw:seed(), type = "float" }
  local sums = tensor.zeros { 1, B, 1 }
  x:slice(3, 2, 2):assign(0)
  for b = 1, B do
    local first, second = draw:integer(1, T // 2), draw:integer(T // 2 + 1, T)
    x:set(1, first, b, 2)
    x:set(1, second, b, 2)
    sums:set(x:get(first, b, 1) + x:get(second, b, 1), 1, b, 1)
  end
  return { x = x, y = sums, reset = true }
end

-- Right is an error below 0.08: Hochreiter and Schmidhuber's 0.04, whose sums were half as large.
function adding.count(_, logits, batch)
  local right, T, B = 0, #logits, #batch.y[1]
  for b = 1, B do
    if math.abs(logits:get(T, b, 1) - batch.y:get(1, b, 1)) < 0.08 then right = right + 1 end
  end
  return right, B
end

-- ---- the copy task ------------------------------------------------------------------------------------------------

local copy = class "copy"

--- `length` symbols out of `symbols`, then blanks, among them after `delay` steps the sign to repeat the symbols; to be
-- answered by blanks, and after the sign by the symbols. T = delay + 2 length. (Hochreiter & Schmidhuber 1997; in the
-- form of Arjovsky, Shah & Bengio 2016.) Who remembers nothing and guesses pays length ln(symbols) / T on average.
-- Ids: symbols from 0 on, then the blank, then the sign.
function tasks.copy(given)
  local task = fields("copy", given, { delay = "needed", symbols = 8, length = 10, seed = 1 }, { seed = 0 })
  task.seq = task.delay + 2 * task.length
  task.vocab, task.classes, task.loss_at = task.symbols + 2, task.symbols + 1, "all"
  task.baseline = task.length * math.log(task.symbols) / task.seq
  return setmetatable(task, copy)
end

function copy:batch(draw, B)
  local T, L, blank = self.seq, self.length, self.symbols
  local ids = tensor.full { T, B, value = blank }
  local targets = tensor.full { T, B, value = blank }
  ids[L + self.delay] = tensor.full { B, value = blank + 1 }
  for t = 1, L do
    for b = 1, B do
      local symbol = draw:integer(0, self.symbols - 1)
      ids:set(symbol, t, b)
      targets:set(symbol, T - L + t, b)
    end
  end
  return { ids = ids, targets = targets, reset = true }
end

-- Index of the largest of some numbers.
local function largest(values)
  local best = 1
  for k = 2, #values do
    if values[k] > values[best] then best = k end
  end
  return best
end

-- Of the symbols to be repeated.
function copy:count(logits, batch)
  local right, T, B = 0, self.seq, #batch.ids[1]
  for t = T - self.length + 1, T do
    for b, values in ipairs(logits[t]:totable()) do
      if largest(values) == batch.targets:get(t, b) + 1 then right = right + 1 end
    end
  end
  return right, self.length * B
end

-- ---- the embedded Reber grammar -----------------------------------------------------------------------------------

local reber = class "reber"

-- Reber's grammar (1967) after its B: arrows { symbol, next state }; 7 is the end.
local arrows = {
  { { "T", 2 }, { "P", 3 } }, { { "S", 2 }, { "X", 4 } }, { { "T", 3 }, { "V", 5 } },
  { { "X", 3 }, { "S", 6 } }, { { "P", 4 }, { "V", 6 } }, { { "E", 7 } },
}

-- Around it B, T or P, a string of the grammar, the same T or P again, E. States are tables of arrows; the end has none.
local function embedded()
  local last = {}
  local function branch(symbol)
    local states = { [7] = { { symbol, { { "E", last } } } } }
    for k = 1, 6 do states[k] = {} end
    for k, list in ipairs(arrows) do
      for j, arrow in ipairs(list) do states[k][j] = { arrow[1], states[arrow[2]] } end
    end
    return { { "B", states[1] } }
  end
  return { { "B", { { "T", branch "T" }, { "P", branch "P" } } } }
end
local start = embedded()

-- Calls visit(symbol, state before it) along the string at the beginning of `text`; returns it, or nil and the place
-- of the first symbol that no arrow allows (or that is missing).
local function walk(text, visit)
  local state, at = start, 0
  while #state > 0 do
    at = at + 1
    local symbol, before = text:sub(at, at), state
    state = nil
    for _, arrow in ipairs(before) do
      if arrow[1] == symbol then state = arrow[2] end
    end
    if not state then return nil, at end
    if visit then visit(symbol, before) end
  end
  return text:sub(1, at)
end

--- Strings of the embedded Reber grammar, to be read symbol by symbol and predicted: the last but one is the second
-- again, however long ago that was. (Cleeremans, Servan-Schreiber & McClelland 1989; Hochreiter & Schmidhuber 1997,
-- experiment 1.) Strings have `shortest` (9) to seq + 1 symbols. Each belongs to one part: of those with 12 symbols
-- and more an eighth to val, another to test; the short ones, each of which is frequent, are all to train on.
function tasks.reber(given)
  local task = fields("reber", given, { seq = "needed", shortest = 9, seed = 1 }, { seq = 11, seed = 0 })
  if task.shortest > task.seq + 1 then
    refuse("reber", "field 'shortest': at most seq + 1 = %d expected, got %d", task.seq + 1, task.shortest)
  end
  task.vocab = core.corpus { text = "BEPSTVX" }.vocab
  task.classes, task.loss_at = #task.vocab, "all"
  return setmetatable(task, reber)
end

--- The legal string with which `text` begins; nil and the place of the first illegal or missing symbol.
function reber.legal(_, text)
  return walk(text)
end

-- A string at random, each arrow as likely as its neighbour; nil if it grows longer than `longest`.
local function random_string(draw, longest)
  local state, symbols = start, {}
  while #state > 0 do
    if #symbols == longest then return nil end
    local arrow = state[draw:integer(1, #state)]
    symbols[#symbols + 1], state = arrow[1], arrow[2]
  end
  return table.concat(symbols)
end

local function part_of(text)
  local eighth = #text >= 12 and random.hash(text) % 8
  return eighth == 1 and "val" or eighth == 2 and "test" or "train"
end

--- A random string of a part. There may be none: a few short strings need not have one in each part.
function reber:string(draw, part)
  for _ = 1, 100000 do
    local text = random_string(draw, self.seq + 1)
    if text and #text >= self.shortest and part_of(text) == part then return text end
  end
  fault.mistake(("part '%s' has no string of %d to %d symbols, or hardly any: give a larger 'seq' or smaller 'shortest'")
    :format(part, self.shortest, self.seq + 1))
end

function reber:batch(draw, B, part)
  local list = { batch = B }
  for b = 1, B do
    local ids = self.vocab:encode(self:string(draw, part))
    list[b] = { ids = table.move(ids, 1, #ids - 1, 1, {}), targets = table.move(ids, 2, #ids, 1, {}) }
  end
  return sequences(list):next()
end

-- The b-th string of a batch, and what pads it.
local function string_of(vocab, batch, b)
  local ids = { batch.ids[1][b] }
  for t, row in ipairs(batch.targets) do ids[t + 1] = row[b] end
  return vocab:decode(ids)
end

-- Whether the symbols that are legal after each prefix have the largest outputs there (Hochreiter & Schmidhuber 1997).
local function predicts(vocab, values, b, text)
  local t, right = 0, true
  walk(text, function(_, state)
    if t > 0 then -- before the first symbol nothing was predicted
      local outputs, least, allowed = values[t][b], math.huge, {}
      for _, arrow in ipairs(state) do
        local id = vocab:find(arrow[1]) + 1
        allowed[id], least = true, math.min(least, outputs[id])
      end
      for id, output in ipairs(outputs) do
        if not allowed[id] and not (output < least) then right = false end
      end
    end
    t = t + 1
  end)
  return right
end

-- Of the strings.
function reber:count(logits, batch)
  local right, values, B = 0, logits:totable(), #batch.ids[1]
  for b = 1, B do
    if predicts(self.vocab, values, b, string_of(self.vocab, batch, b)) then right = right + 1 end
  end
  return right, B
end

return tasks
