-- SPDX-License-Identifier: MIT
--
-- The gradient of an LSTM by hand, step by step backwards, and how to see that it is right: compared with finite
-- differences, (L(w + eps) - L(w - eps)) / (2 eps), weight by weight. Two mistakes that LSTMs written from scratch have
-- made, to see that the comparison finds them.
--
--     lstmrun experiments/gradient_check.lua

local lstm = require "lstm"
local show, tensor = lstm.show, lstm.tensor

local cfg = lstm.arguments({ { "seed", 1, "of weights and input" } }, ...)
local T, I, H = 6, 3, 4
local model <close> = lstm.model { input = I, hidden = H, output = 1, init = "xavier_normal", precision = "double",
                                   seed = cfg.seed }
local fit <close> = model:trainer { batch = 1, seq = T, loss_at = "last" }
local batch = { x = tensor.normal { T, 1, I, seed = cfg.seed }, y = tensor.full { 1, 1, 1, value = 2 } }
local U = model:parameter "lstm.weight_hh_l0" -- [4H,H], rows i, then f, g, o
fit:forward(batch)
fit:backward()
local engine = fit:gradient "lstm.weight_hh_l0":copy()

local function rows_of(gate, t) return t:slice(1, (gate - 1) * H + 1, gate * H) end

-- dL/dU from the states of the forward pass and dL/dh at the last step, by the chain rule. What a gate's squashing lets
-- through is written with its value: s (1 - s) for a sigmoid s, 1 - g^2 for g = tanh(...).
local function by_hand(mistake)
  local zero = tensor.zeros { 1, H }
  local function at(name, t) return t > 0 and fit:activation(name)[t] or zero end
  local dU, dh, dc = tensor.zeros { 4 * H, H }, fit:gradient "dh"[T], zero
  for t = T, 1, -1 do
    local i, f, g, o, tanh_c = at("i", t), at("f", t), at("g", t), at("o", t), at("c", t):tanh()
    dc = dc + dh * o * (1 - tanh_c * tanh_c)
    local squashed = mistake == "candidate" and g:tanh() or g -- g is squashed already
    local dz = tensor.zeros { 4 * H, 1 }
    rows_of(1, dz):assign((dc * g * i * (1 - i)):transpose())
    rows_of(2, dz):assign((dc * at("c", t - 1) * f * (1 - f)):transpose())
    rows_of(3, dz):assign((dc * i * (1 - squashed * squashed)):transpose())
    rows_of(4, dz):assign((dh * tanh_c * o * (1 - o)):transpose())
    dU = dU + dz:matmul(at("h", t - 1))
    dh, dc = dz:transpose():matmul(U), dc * f
  end
  if mistake == "output gate" then rows_of(4, dU):assign(0) end -- never updated: as if its gradient were zero
  return dU
end

local function finite_differences(eps)
  local d = tensor.zeros { 4 * H, H }
  local function loss_with(w, r, c)
    U:set(w, r, c)
    return fit:forward(batch)
  end
  for r = 1, 4 * H do
    for c = 1, H do
      local w = U:get(r, c)
      d:set((loss_with(w + eps, r, c) - loss_with(w - eps, r, c)) / (2 * eps), r, c)
      U:set(w, r, c)
    end
  end
  fit:forward(batch)
  return d
end

local gradients = { { "by hand", by_hand() }, { "the engine", engine },
                    { "by hand, 1 - tanh(g)^2 for the candidate", by_hand "candidate" },
                    { "by hand, output gate left out", by_hand "output gate" } }
local numeric = finite_differences(1e-5)
local rows = {}
for k, pair in ipairs(gradients) do
  rows[k] = { pair[1] }
  for gate = 1, 4 do
    local difference = rows_of(gate, pair[2] - numeric):norm() / rows_of(gate, numeric):norm()
    rows[k][gate + 1] = ("%.0e"):format(difference)
  end
end
print "|dL/dU - finite differences| / |finite differences|, by gate"
show.table({ "", "i", "f", "g", "o" }, rows)
