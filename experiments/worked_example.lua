-- SPDX-License-Identifier: MIT
--
-- The worked example of a known tutorial: an LSTM of two units reads 2, 4, 6, from zero state. Every product and gate
-- is printed, and the states must be the printed ones to the last digit. The weights are NumPy's, np.random.seed(0) and
-- np.random.randn in the order W [1,8], U [2,8], b [1,8]; there they stand on the right (x W), with a column for each
-- gate and unit, gates in the order f, i, o, g.
--
--     lstmrun experiments/worked_example.lua

local lstm = require "lstm"
local tensor = lstm.tensor
lstm.arguments({}, ...) -- none

local H = 2
local W = tensor { { 1.764052345967664, 0.4001572083672233, 0.9787379841057392, 2.240893199201458,
  1.8675579901499675, -0.977277879876411, 0.9500884175255894, -0.1513572082976979 } }
local U = tensor { { -0.10321885179355784, 0.41059850193837233, 0.144043571160878, 1.454273506962975,
  0.7610377251469934, 0.12167501649282841, 0.44386323274542566, 0.33367432737426683 },
  { 1.4940790731576061, -0.20515826376580087, 0.31306770165090136, -0.8540957393017248,
  -2.5529898158340787, 0.6536185954403606, 0.8644361988595057, -0.7421650204064419 } }
local b = tensor { 2.2697546239876076, -1.4543656745987648, 0.04575851730144607, -0.1871838500258336,
  1.5327792143584575, 1.469358769900285, 0.1549474256969163, 0.37816251960217356 }

local printed = {
  { h = { 0.68892377, 0.02825511 }, c = { 0.85269502, 0.07429178 } },
  { h = { 0.95028052, 0.00233643 }, c = { 1.83543363, 0.02653619 } },
  { h = { 0.99310023, -0.00257565 }, c = { 2.8330826, -0.1903809 } },
}

local function tell(name, t)
  print(("  %-18s %s"):format(name, lstm.show.tensor(t, "%11.8f")))
  return t
end

-- Columns of one gate: the first for f, the second for i, ...
local function columns(z, gate) return z:slice(1, (gate - 1) * H + 1, gate * H) end

local h, c = tensor.zeros { H }, tensor.zeros { H }
for t, x in ipairs { 2, 4, 6 } do
  print(("step %d: x = %d"):format(t, x))
  local xW = tell("x W", tensor { x }:matmul(W))
  local hU = tell("h U", h:matmul(U))
  local z = tell("x W + h U + b", xW + hU + b)
  local f = tell("f = sigmoid", columns(z, 1):sigmoid())
  local i = tell("i = sigmoid", columns(z, 2):sigmoid())
  local o = tell("o = sigmoid", columns(z, 3):sigmoid())
  local g = tell("g = tanh", columns(z, 4):tanh())
  local kept, written = tell("f * c", f * c), tell("i * g", i * g)
  c = tell("c = f * c + i * g", kept + written)
  local shown = tell("tanh(c)", c:tanh())
  h = tell("h = o * tanh(c)", o * shown)
  -- Half a unit of the eighth digit, and what rounding adds.
  local off = math.max((h - tensor(printed[t].h)):abs():max(), (c - tensor(printed[t].c)):abs():max())
  print(off <= 0.5e-8 + 1e-15 and "  as printed in the tutorial" or "  NOT what the tutorial prints")
end
