-- SPDX-License-Identifier: MIT
--
-- An LSTM cell, step by step, in tensor operations: one weight matrix for all gates, then four; what a step computes on
-- its way; and a layer, as the engine's. (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.)
--
--     lstmrun experiments/cell.lua

local lstm = require "lstm"
local show, tensor = lstm.show, lstm.tensor

-- One step: x [B,I], h and c [B,H] of the step before; W [4H,I], U [4H,H], b [4H] have rows i, then f, g, o.
local function cell(x, state, p)
  local H = state.h.shape[2]
  local z = x:matmul(p.W:transpose()) + state.h:matmul(p.U:transpose()) + p.b
  local i = z:slice(2, 1, H):sigmoid()             -- input gate: how much of the candidate is written
  local f = z:slice(2, H + 1, 2 * H):sigmoid()     -- forget gate: how much of the old cell is kept
  local g = z:slice(2, 2 * H + 1, 3 * H):tanh()    -- candidate: what would be written
  local o = z:slice(2, 3 * H + 1, 4 * H):sigmoid() -- output gate: how much of the cell is shown
  local c = f * state.c + i * g
  return { logits = z, i = i, f = f, g = g, o = o, c = c, h = o * c:tanh() }
end

-- The same with a matrix for each gate: p.W.f [H,I], p.U.f [H,H] and so on.
local function cell_of_four(x, state, p)
  local function z(gate) return x:matmul(p.W[gate]:transpose()) + state.h:matmul(p.U[gate]:transpose()) end
  local c = z "f":sigmoid() * state.c + z "i":sigmoid() * z "g":tanh()
  return { c = c, h = z "o":sigmoid() * c:tanh() }
end
local function start(B, H) return { h = tensor.zeros { B, H }, c = tensor.zeros { B, H } } end

-- A layer, batch first: x [B,T,I]; returns h of every step [B,T,H] and the last state.
local function layer(x, p, H)
  local B, T = table.unpack(x.shape)
  local state, output = start(B, H), tensor.zeros { T, B, H }
  for t, x_t in ipairs(x:transpose(1, 2)) do
    state = cell(x_t, state, p)
    output[t] = state.h
  end
  return output:transpose(1, 2), state
end

local cfg = lstm.arguments({ { "seed", 1, "of all random numbers" } }, ...)
local draw = require "lstm.random".new(cfg.seed)
local function normal(shape, std) return tensor.normal { std = std, seed = draw:seed(), table.unpack(shape) } end
local I, H, u = 3, 2, "uniform_hidden"
print "A cell with 3 inputs and 2 units, weights normal(0.01), no biases, reads four random vectors:"
local p = { W = normal({ 4 * H, I }, 0.01), U = normal({ 4 * H, H }, 0.01), b = tensor.zeros { 4 * H } }
local state, a, b = start(1, H), start(1, H), start(1, H)
for t = 1, 4 do
  state = cell(normal { 1, I }, state, p)
  print(("  step %d   h %s   c %s"):format(t, show.tensor(state.h), show.tensor(state.c)))
end

print "\nFour gate matrices, normal(0.1), and the one that has them as its rows:"
local four = { W = {}, U = {} }
for k, gate in ipairs { "i", "f", "g", "o" } do
  four.W[gate], four.U[gate] = normal({ H, I }, 0.1), normal({ H, H }, 0.1)
  p.W:slice(1, (k - 1) * H + 1, k * H):assign(four.W[gate])
  p.U:slice(1, (k - 1) * H + 1, k * H):assign(four.U[gate])
end
for t = 1, 4 do
  local x = normal { 1, I }
  a, b = cell(x, a, p), cell_of_four(x, b, four)
  print(("  step %d   four %s   one %s   equal: %s"):format(t, show.tensor(b.h), show.tensor(a.h), a.h:equal(b.h)))
end

print "\nWhat a step computes, for a batch of 5:"
a = cell(normal { 5, I }, start(5, H), p)
for _, name in ipairs { "logits", "i", "f", "g", "o", "c", "h" } do print("  " .. name, show.shape(a[name])) end

print "\nA layer, batch first: B=2, T=5, I=10, H=20, everything uniform(+-1/sqrt(H)):"
local model <close> = lstm.model { input = 10, hidden = 20, output = 1, precision = "double", forget_bias = 0,
                                   init = { input = u, recurrent = u, bias = u }, seed = cfg.seed }
local function of(name) return model:parameter("lstm." .. name .. "_l0") end
local x = normal { 2, 5, 10 }
local output, last = layer(x, { W = of "weight_ih", U = of "weight_hh", b = of "bias" }, 20)
print(("  output %s, h %s, c %s"):format(show.shape(output), show.shape(last.h), show.shape(last.c)))
local fit <close> = model:trainer { batch = 2, seq = 5 } -- time first
fit:forward { x = x:transpose(1, 2) }
print(("  the engine's differs by %.0e at most"):format((output - fit:activation "h":transpose(1, 2)):abs():max()))
