-- SPDX-License-Identifier: MIT
--
-- Does it matter how the weights begin, and does it matter more in a deep network?
--
-- The table at the end has the validation loss on Shakespeare after 300 steps, by scheme and number of layers, with the
-- standard deviation over seeds: a difference between schemes that is no larger than that is none.
--
--     lstmrun experiments/sweep_init.lua                         # some minutes on two cores
--     lstmrun experiments/sweep_init.lua layers=1,2,4 steps=2000

local lstm = require "lstm"

return lstm.sweep {
  help = "Does it matter how the weights begin, and does it matter more in a deep network?",
  experiment = "shakespeare",
  params = {
    { "init", { "uniform_hidden", "xavier_uniform", "he_normal", "orthogonal", "identity" } },
    { "layers", { 1, 3 } },
  },
  fixed = { steps = 300, hidden = 64, batch = 16, dropout = 0, eval_every = 150, sample_every = 0 },
  seeds = 3,
  metric = { "val_loss", "min" },
  table = { "init", "layers" },
}
