-- SPDX-License-Identifier: MIT
--
-- Does a network learn as well when products are made of bfloat16 numbers?
--
-- Every precision with the same ten seeds: networks that begin alike and see the same text. What differs between
-- precisions must be seen beside what differs between seeds. The rate is constant and the gradient clipped, as where
-- mixed precision was once seen to end with a worse validation loss; the last steps are evaluated one after the other,
-- since with a constant rate a single step may be off.
--
-- A validation's streams begin in a zero state in the middle of the text. A network that was not trained to (as with
-- reset_every=0) may be caught in a state that it cannot leave: each trial's metrics say in its last step how many
-- streams were (`caught`: worse than knowing nothing), and the mean loss of the others (`others`).
--
--     lstmrun experiments/sweep_precision.lua                     # a quarter of an hour on two cores; can be stopped
--     lstmrun experiments/sweep_precision.lua --list
--
-- Where there are no matrix units, others compute the same bits: docs/precision.md.

local lstm = require "lstm"

-- How many of the validation's streams are caught, and the mean loss of the others.
local function look_at_streams(model, text, streams)
  local length, caught, sum = text.sizes.val // streams, 0, 0
  for k = 1, streams do
    local ids = text:ids("val", (k - 1) * length + 1, length)
    local targets = table.move(ids, 2, length, 1, {})
    ids[length] = nil
    local loss = model:evaluate({ ids = ids, targets = targets }, { batch = 1, seq = length - 1 })
    if loss > math.log(#text.vocab) then caught = caught + 1 else sum = sum + loss end
  end
  return { caught = caught, others = sum / (streams - caught) }
end

local function train(cfg, run)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data), split = { 0.9, 0.1 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = cfg.hidden, seed = cfg.seed, precision = cfg.precision }
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq, lr = cfg.lr, clip_norm = 1 }
  for step in run:steps(cfg.steps, fit, text) do
    if cfg.reset_every > 0 and step % cfg.reset_every == 0 then fit:reset() end
    run:log(step, fit:step(text))
    if run:every(cfg.eval_every) or step > cfg.steps - cfg.last then
      run:evaluate(step, fit:evaluate(text, { batch = cfg.batch }))
    end
    if step == cfg.steps then run:log(step, look_at_streams(model, text, cfg.batch)) end
  end
end

local learn = lstm.experiment {
  name = "learn",
  run = train,
  data = function(cfg) return lstm.data.shakespeare(cfg.data) end,
  metrics = { "caught", "others" },
  options = {
    { "data", "", "text to learn (default: Shakespeare)" },
    { "precision", "float", "of products" },
    { "hidden", 128, "units" },
    { "batch", 32, "sequences in a batch" },
    { "seq", 64, "characters in a sequence" },
    { "steps", 400, "training steps" },
    { "lr", 4e-3, "learning rate, from first to last" },
    { "reset_every", 20, "training steps from one that begins in a zero state to the next; 0: each epoch's first" },
    { "eval_every", 100, "steps from one validation to the next" },
    { "last", 5, "steps at the end that are all validated" },
  },
}

return lstm.sweep {
  help = "Does a network learn as well when products are made of bfloat16 numbers?",
  experiment = learn,
  params = { { "precision", { "float", "bf16x6", "bf16x3", "bf16" } } },
  seeds = 10,
  metric = { "val_loss", "min" },
  table = { "precision" },
}
