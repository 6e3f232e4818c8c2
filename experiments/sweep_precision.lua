-- SPDX-License-Identifier: MIT
--
-- Does a network learn as well when products are made of bfloat16 numbers?
--
-- Every precision with the same ten seeds: networks that begin alike and see the same text. What differs between
-- precisions must be seen beside what differs between seeds. The rate is constant and the gradient clipped, as where
-- mixed precision was once seen to end with a worse validation loss; the last steps are evaluated one after the other,
-- since with a constant rate a single step may be off.
--
--     lstmrun experiments/sweep_precision.lua                     # a quarter of an hour on two cores; can be stopped
--     lstmrun experiments/sweep_precision.lua --list
--
-- Where there are no matrix units, software computes the same bits: docs/precision.md.

local lstm = require "lstm"

local function train(cfg, run)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data), split = { 0.9, 0.1 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = cfg.hidden, seed = cfg.seed, precision = cfg.precision }
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq, lr = cfg.lr, clip_norm = 1 }
  for step in run:steps(cfg.steps, fit, text) do
    run:log(step, fit:step(text))
    if run:every(cfg.eval_every) or step > cfg.steps - cfg.last then
      run:evaluate(step, fit:evaluate(text, { batch = cfg.batch }))
    end
  end
end

local learn = lstm.experiment {
  name = "learn",
  run = train,
  data = function(cfg) return lstm.data.shakespeare(cfg.data) end,
  options = {
    { "data", "", "text to learn (default: Shakespeare)" },
    { "precision", "float", "of products" },
    { "hidden", 128, "units" },
    { "batch", 32, "sequences in a batch" },
    { "seq", 64, "characters in a sequence" },
    { "steps", 400, "training steps" },
    { "lr", 4e-3, "learning rate, from first to last" },
    { "eval_every", 100, "steps from one validation to the next" },
    { "last", 5, "steps at the end that are all validated" },
  },
}

return lstm.sweep {
  help = "Does a network learn as well when products are made of bfloat16 numbers?",
  experiment = learn,
  params = { { "precision", { "float", "bf16x6", "bf16x3", "bf16-unproven" } } },
  seeds = 10,
  metric = { "val_loss", "min" },
  table = { "precision" },
}
