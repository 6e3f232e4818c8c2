-- SPDX-License-Identifier: MIT
--
-- sequences.lua - sequences of different lengths, padded to batches with a mask.
--
--     local data = lstm.sequences { batch = 8,
--       { x = { { 0.1, 0.2 }, { 0.3, 0.4 }, ... }, y = { { 1 }, { 0 }, ... } },   -- x [T][I]; y [T][O], or classes [T]
--       ...
--     }
--     for step = 1, 100 do fit:step(data) end      -- a stream like a text's: endless, B sequences at a time
--     fit:evaluate(data)                           -- each sequence once
--
-- Instead of x: ids, for models that read tokens. Options: batch; shuffle = true (a new order in each epoch, from
-- seed); loss_at = "last": only a sequence's last step counts, and y may be that step's target alone ({ y }).

local core = require "lstm.core"
local fault = require "lstm.fault"
local options = require "lstm.options"
local random = require "lstm.random"

local stream = fault.class {}
stream.__index = stream
stream.__name = "lstm.sequences"

local function fail(...)
  fault.mistake("bad argument #1 to 'sequences' (" .. string.format(...) .. ")")
end

-- ---- checks -------------------------------------------------------------------------------------------------------

local known = { batch = true, shuffle = true, seed = true, loss_at = true }

local function check_options(t)
  if type(t) ~= "table" then fail("table expected, got %s", type(t)) end
  fault.no_colon("sequences", t)
  for key in pairs(t) do
    if not known[key] and not (math.type(key) == "integer" and key >= 1 and key <= #t) then
      fail("unknown field '%s'", tostring(key))
    end
  end
  local batch = t.batch
  if math.type(batch) ~= "integer" or batch < 1 then
    fail("field 'batch': positive integer expected, got %s", tostring(batch))
  end
  if batch > core.size_max then fail("field 'batch': at most %d expected, got %d", core.size_max, batch) end
  if t.shuffle ~= nil and type(t.shuffle) ~= "boolean" then
    fail("field 'shuffle': true or false expected, got %s", tostring(t.shuffle))
  end
  if t.seed ~= nil and not (math.type(t.seed) == "integer" and t.seed >= 0) then
    fail("field 'seed': non-negative integer expected, got %s", tostring(t.seed))
  end
  if t.loss_at ~= nil and t.loss_at ~= "all" and t.loss_at ~= "last" then
    fail("field 'loss_at': 'all' or 'last' expected, got %s", tostring(t.loss_at))
  end
  if #t == 0 then fail("at least one sequence expected, got none") end
end

-- A list by time step; tensors become tables.
local function list_of(value, k, field)
  if core.sys.typename(value) == "lstm.tensor" then value = value:totable() end
  if type(value) ~= "table" then
    fail("sequence %d, field '%s': table or tensor expected, got %s", k, field, core.sys.typename(value))
  end
  if #value == 0 then fail("sequence %d, field '%s' is empty", k, field) end
  local problem = options.no_list(value, "time steps")
  if problem then fail("sequence %d, field '%s': %s", k, field, problem) end
  return value
end

-- { inputs, targets, length } of the k-th sequence.
local function check_sequence(s, k, input, last)
  if type(s) ~= "table" then fail("sequence %d: table expected, got %s", k, type(s)) end
  for key in pairs(s) do
    if key ~= input and key ~= "y" and key ~= "targets" then
      fail("sequence %d: unknown field '%s'", k, tostring(key))
    end
  end
  local inputs = list_of(s[input], k, input)
  if s.targets and s.y then fail("sequence %d: y is another name for targets; only one of them expected", k) end
  local targets = s.targets or s.y
  if last and type(targets) == "number" then targets = { targets } end
  targets = list_of(targets, k, s.targets and "targets" or "y")
  if #targets ~= #inputs and not (last and #targets == 1) then
    fail("sequence %d: %d time steps of '%s', but %d targets", k, #inputs, input, #targets)
  end
  return { inputs = inputs, targets = targets, length = #inputs }
end

-- ---- batches ------------------------------------------------------------------------------------------------------

-- What stands where a sequence has ended: a number for a number, zeros for a vector.
local function padding(value)
  if type(value) ~= "table" then return 0 end
  local zeros = {}
  for k = 1, #value do zeros[k] = 0 end
  return zeros
end

-- The numbers of the sequences in the order of an epoch.
local function order_of(self, epoch)
  local order = {}
  for k = 1, #self.sequences do order[k] = k end
  if not self.shuffle then return order end
  local keys = core.tensor.uniform { #order, seed = random.new(self.seed, epoch):seed() }:totable()
  table.sort(order, function(a, b) return keys[a] < keys[b] or keys[a] == keys[b] and a < b end)
  return order
end

-- Sequences first .. first+B-1 of the order, as [T][B].
local function batch_of(self, order, first)
  local longest = 1
  for b = 1, self.batch do
    local s = self.sequences[order[first + b - 1]]
    if s and s.length > longest then longest = s.length end
  end
  local inputs, targets, mask = {}, {}, {}
  for t = 1, longest do
    inputs[t], targets[t], mask[t] = {}, {}, {}
    for b = 1, self.batch do
      local s = self.sequences[order[first + b - 1]]
      local counts = s and t <= s.length and (not self.last or t == s.length)
      local target = s and (#s.targets == s.length and s.targets[t] or t == s.length and s.targets[1])
      inputs[t][b] = s and s.inputs[t] or self.no_input
      targets[t][b] = target or self.no_target
      mask[t][b] = counts and 1 or 0
    end
  end
  return { [self.input] = inputs, [self.target] = targets, mask = mask, reset = true }
end

--- The next batch; after the last one of an epoch, the first of the next.
function stream:next()
  if self.position == self.batches then self.epoch, self.position = self.epoch + 1, 0 end
  if self.position == 0 or not self.order then self.order = order_of(self, self.epoch) end
  self.position = self.position + 1
  return batch_of(self, self.order, (self.position - 1) * self.batch + 1)
end

--- Where the stream stands, for seek: { epoch =, position = }.
function stream:cursor()
  return { epoch = self.epoch, position = self.position }
end

function stream:seek(cursor)
  fault.check(1, "seek", cursor, "table")
  local epoch, position = cursor.epoch, cursor.position
  if math.type(epoch) ~= "integer" or epoch < 0 or math.type(position) ~= "integer" or position < 0
    or position > self.batches then
    fault.mistake(("bad argument #1 to 'seek' (no batch %s in epoch %s)"):format(position, epoch))
  end
  self.epoch, self.position, self.order = epoch, position, nil
end

function stream:rewind()
  self:seek { epoch = 0, position = 0 }
end

function stream:__tostring()
  return ("lstm.sequences (%d sequences, batch %d)"):format(#self.sequences, self.batch)
end

return function(t)
  check_options(t)
  local input = type(t[1]) == "table" and t[1].ids and "ids" or "x"
  local sequences = {}
  for k, s in ipairs(t) do sequences[k] = check_sequence(s, k, input, t.loss_at == "last") end
  local target = sequences[1].targets[1]
  return setmetatable({
    sequences = sequences, batch = t.batch, shuffle = t.shuffle, seed = t.seed or 1, last = t.loss_at == "last",
    input = input, target = type(target) == "table" and "y" or "targets",
    no_input = padding(sequences[1].inputs[1]), no_target = padding(target),
    batches = (#sequences + t.batch - 1) // t.batch, epoch = 0, position = 0,
  }, stream)
end
