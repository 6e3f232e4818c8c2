-- SPDX-License-Identifier: MIT
--
-- Which learning rate is best, and does a tighter bound on the gradient let it be larger?
--
-- 27 configurations, of which asynchronous successive halving (Li et al. 2020) stops most early: all are looked at after
-- 60 steps, the best third of those that have come so far goes on to step 180, the best third of these to the end. That
-- takes about a quarter of the steps of the full grid, which is
--
--     lstmrun experiments/sweep_lr.lua                           # about a minute on two cores
--     lstmrun experiments/sweep_lr.lua --no-prune --out=runs/lr_full

local lstm = require "lstm"

return lstm.sweep {
  help = "Which learning rate is best, and does a tighter bound on the gradient let it be larger?",
  experiment = "shakespeare",
  method = "asha",
  params = {
    { "lr", { 1e-3, 2e-3, 4e-3, 8e-3, 0.016, 0.032, 0.064, 0.128, 0.256 } },
    { "clip", { 0.25, 1, 4 } },
  },
  fixed = { steps = 540, hidden = 64, layers = 1, batch = 16, seq = 32, dropout = 0, warmup = 20, eval_every = 60,
    sample_every = 0 },
  budget = { min_steps = 60, eta = 3 },
  metric = { "val_loss", "min" },
  table = { "lr", "clip" },
}
