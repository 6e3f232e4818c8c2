-- SPDX-License-Identifier: MIT
--
-- A language model of Shakespeare, character by character: it learns to say what comes next, and so to write.
--
--     lstmrun experiments/shakespeare.lua                    # some minutes on two cores
--     lstmrun experiments/shakespeare.lua preset=best        # a larger one, for less than half an hour
--     lstmrun experiments/shakespeare.lua data=my-own.txt hidden=512

local lstm = require "lstm"

local function train(cfg, run)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data), split = { 0.9, 0.1 } })
  local model <close> = lstm.model {
    vocab = text.vocab, embed = cfg.embed, hidden = cfg.hidden, layers = cfg.layers,
    dropout = cfg.dropout, init = cfg.init, seed = cfg.seed, precision = cfg.precision,
  }
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq, optimizer = "adamw", clip_norm = cfg.clip }

  for step in run:steps(cfg.steps, fit, text) do -- restores on --resume, shows progress, writes checkpoints
    fit.lr = lstm.schedule.cosine(step, cfg.steps, cfg.lr, { warmup = cfg.warmup, floor = 0.05 })
    run:log(step, fit:step(text))

    if run:every(cfg.eval_every) then
      run:evaluate(step, fit:evaluate(text, { batch = cfg.batch })) -- on the last tenth; the best so far is kept
    end
    if run:every(cfg.sample_every) then
      run:sample(step, model:sample {
        prime = cfg.prime, unknown = text.vocab:symbol(1), length = cfg.length, temperature = cfg.temperature,
        seed = (cfg.seed + step) & math.maxinteger,
      })
    end
  end
end

return lstm.experiment {
  help = "A language model of Shakespeare, character by character.",
  run = train,
  data = function(cfg) return lstm.data.shakespeare(cfg.data) end,
  options = {
    { "data", "", "text to learn (default: Shakespeare, found or downloaded)" },
    { "hidden", 256, "units in each layer" },
    { "layers", 2, "layers" },
    { "embed", 0, "width of the characters' embedding; 0: one-hot" },
    { "dropout", 0.2, "share of units dropped between layers, while training" },
    { "init", "orthogonal", "how the weights begin" },
    { "precision", "float", "or double, bf16x6, bf16x3, bf16, auto" },
    { "batch", 32, "sequences in a batch" },
    { "seq", 64, "characters in a sequence" },
    { "steps", 2000, "training steps" },
    { "lr", 4e-3, "highest learning rate" },
    { "warmup", 100, "steps until it is reached" },
    { "clip", 1.0, "bound of the gradient's norm" },
    { "eval_every", 400, "steps from one validation to the next" },
    { "sample_every", 500, "steps from one sample to the next" },
    { "prime", "ROMEO:", "how a sample begins" },
    { "length", 300, "characters in a sample" },
    { "temperature", 0.8, "of sampling: smaller is safer, larger is bolder" },
  },
  presets = { best = { hidden = 384, dropout = 0.35, steps = 6000, lr = 3e-3, eval_every = 500, sample_every = 1000 } },
  changeable = { "data", "precision", "lr", "eval_every", "sample_every", "prime", "length", "temperature" },
}
