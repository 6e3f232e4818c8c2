-- SPDX-License-Identifier: MIT
--
-- How much of a gradient is left after T steps, by the way the weights began: retention.lua for each scheme and T, as a
-- power of ten.
--
--     lstmrun experiments/retention_sweep.lua
--     lstmrun experiments/retention_sweep.lua init=orthogonal,identity

local lstm = require "lstm"

return lstm.sweep {
  name = "retention_sweep",
  experiment = "retention",
  params = {
    { "init", { "uniform_hidden", "xavier_normal", "xavier_uniform", "he_normal", "orthogonal", "identity" } },
    { "lengths", { { 10 }, { 25 }, { 50 }, { 100 }, { 200 } } },
  },
  metric = { "log10_lstm_forget_1", "max" },
}
