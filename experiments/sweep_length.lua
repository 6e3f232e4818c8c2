-- SPDX-License-Identifier: MIT
--
-- How long may a sequence be before an LSTM does not learn from it what it should, and does text gain from longer ones?
--
-- Three tasks: Shakespeare, character by character, of which each network reads the same number of characters; the adding
-- problem and the copy task (Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016), where a number or a symbol from
-- the beginning is needed at the end, with the same number of updates. The table at the end has the loss as a share of
-- what it is without any memory, by length and task: 1 is nothing learned, 0 is solved. For text that is the entropy of its
-- single characters.
--
--     lstmrun experiments/sweep_length.lua                       # some minutes on two cores
--     lstmrun experiments/sweep_length.lua task=adding seq=50,100,200 updates=5000

local lstm = require "lstm"

local copied = 3 -- symbols to be repeated in the copy task

-- What fit:step takes batches from, what is evaluated, the model's fields, where the loss is, and the loss without memory.
local function of_text(cfg)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data), tokens = "bytes", split = { 0.9, 0.1 } })
  local counts, entropy = {}, 0
  local file <close> = assert(io.open(text.path, "rb"))
  local characters = file:read "a"
  for c in characters:gmatch "." do counts[c] = (counts[c] or 0) + 1 end
  for _, n in pairs(counts) do entropy = entropy - n / #characters * math.log(n / #characters) end
  return text, text, { vocab = text.vocab }, "all", entropy
end

local function of_task(cfg)
  local task = cfg.task == "adding" and lstm.tasks.adding { seq = cfg.seq, seed = cfg.seed }
    or lstm.tasks.copy { delay = cfg.seq - 2 * copied, length = copied, seed = cfg.seed }
  local fields = { input = task.input, output = task.output, vocab = task.vocab, classes = task.classes }
  local held_out = task:val { batch = cfg.batch, batches = 10 }
  return task:train { batch = cfg.batch }, held_out, fields, task.loss_at, task.baseline
end

local function train(cfg, run)
  local data, held_out, fields, loss_at, baseline = (cfg.task == "text" and of_text or of_task)(cfg)
  fields.hidden, fields.seed = cfg.hidden, cfg.seed
  local model <close> = lstm.model(fields)
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq, loss_at = loss_at, clip_norm = 1 }
  local steps = cfg.task == "text" and cfg.characters // (cfg.batch * cfg.seq) or cfg.updates
  for step in run:steps(steps, fit, data) do
    fit.lr = lstm.schedule.cosine(step, steps, cfg.lr)
    run:log(step, fit:step(data))
    if run:every(steps // 4) then
      local loss = fit:evaluate(held_out)
      run:evaluate(step, loss)
      run:log(step, { relative_loss = loss / baseline })
    end
  end
end

return lstm.sweep {
  help = "How long may a sequence be before an LSTM does not learn from it, and does text gain from longer ones?",
  experiment = lstm.experiment {
    run = train,
    data = function(cfg) return lstm.data.shakespeare(cfg.data) end,
    metrics = { "relative_loss" },
    options = {
      { "task", "text", "text, adding or copy" },
      { "seq", 50, "time steps of a sequence" },
      { "data", "", "text to learn (default: Shakespeare, found or downloaded)" },
      { "characters", 500000, "of text, read by each network" },
      { "updates", 1500, "of each network that adds or copies" },
      { "hidden", 64, "units" },
      { "batch", 16, "sequences in a batch" },
      { "lr", 1e-2, "highest learning rate" },
    },
  },
  params = { { "task", { "text", "adding", "copy" } }, { "seq", { 10, 20, 40, 80 } } },
  seeds = 2,
  metric = { "relative_loss", "min" },
  table = { "seq", "task" },
}
