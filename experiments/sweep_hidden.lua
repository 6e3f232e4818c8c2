-- SPDX-License-Identifier: MIT
--
-- Does a wider network learn more from the same text, and is a second layer worth more than twice the width?
--
-- Each network reads the same 400 batches of Shakespeare. The table at the end has the validation loss (nats a character)
-- by width and number of layers.
--
--     lstmrun experiments/sweep_hidden.lua                       # some minutes on two cores
--     lstmrun experiments/sweep_hidden.lua hidden=64,128,256,512 steps=2000 --dry-run

local lstm = require "lstm"

return lstm.sweep {
  help = "Does a wider network learn more from the same text, and is a second layer worth more than twice the width?",
  experiment = "shakespeare",
  params = { { "layers", { 1, 2 } }, { "hidden", { 32, 64, 128, 256 } } },
  fixed = { steps = 400, batch = 16, dropout = 0, eval_every = 200, sample_every = 0 },
  seeds = 2,
  metric = { "val_loss", "min" },
  table = { "hidden", "layers" },
}
