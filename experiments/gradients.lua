-- SPDX-License-Identifier: MIT
--
-- How long does a vanilla RNN remember, and an LSTM? The mean of |dL/dx_1| for a loss at the last of T steps: the
-- engine by hand, without a run. (Hochreiter 1991; Bengio, Simard & Frasconi 1994.)
--
--     lstmrun experiments/gradients.lua

local lstm = require "lstm"
lstm.arguments({}, ...) -- none

print(("%-6s %5s  %s"):format("cell", "T", "|dL/dx_1|"))
for _, cell in ipairs { "rnn", "lstm" } do
  for _, T in ipairs { 10, 25, 50, 100, 200 } do
    local model <close> = lstm.model { cell = cell, input = 10, hidden = 20, output = 20, init = "xavier_normal",
                                       seed = T, precision = "double" }
    local fit <close> = model:trainer { batch = 1, seq = T, loss_at = "last" }
    fit:forward { x = lstm.tensor.normal { T, 1, 10, seed = T }, y = lstm.tensor.zeros { T, 1, 20 } }
    fit:backward()
    print(("%-6s %5d  %.3e"):format(cell, T, fit:gradient "input" [1]:abs():mean()))
  end
end
