-- SPDX-License-Identifier: MIT
--
-- An LSTM from scratch on Shakespeare, as the notebooks train it: one layer of 1000 units, one-hot characters, 28 of
-- them at a time, batch 1; AdamW, gradients clipped element by element; the loss is the sum over the 28 characters,
-- smoothed from 28 ln V, what guessing costs. Until it is below 46 (1.64 nats per character).
--
--     lstmrun experiments/from_scratch.lua                          # some minutes on two cores
--     lstmrun experiments/from_scratch.lua faithful=true            # with the notebook's bias correction
--     lstmrun experiments/from_scratch.lua hidden=100 steps=3000    # some seconds
--     lstmplot runs/from_scratch/... metrics --what smooth -o smooth.png

local lstm = require "lstm"

local function train(cfg, run)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data) })
  local model <close> = lstm.model { vocab = text.vocab, hidden = cfg.hidden, init = "uniform_hidden", forget_bias = 0,
                                     seed = cfg.seed }
  local fit <close> = model:trainer {
    batch = 1, seq = cfg.seq, reduction = "sum", optimizer = "adamw", lr = cfg.lr, weight_decay = 1e-4, clip_value = 1,
    bias_correction = cfg.faithful and "constant" or "power",
  }

  local function predict(prime, length, seed)
    return model:sample { prime = prime, length = length, unknown = text.vocab:symbol(1), seed = seed }
  end
  local function tell(iteration)
    run:print(("iteration %6d  smoothed loss %6.2f"):format(iteration, run.state.smooth))
  end

  run.state.smooth = cfg.seq * math.log(#text.vocab)
  for step in run:steps(cfg.steps, fit, text) do -- the state goes on from batch to batch; from zero, when the text does
    if step == 1 then tell(0) end
    fit.lr = lstm.schedule.step(step, cfg.lr, 0.99, 1000)
    local loss, statistics = fit:step(text)
    run.state.smooth = 0.999 * run.state.smooth + 0.001 * loss
    statistics.smooth = run.state.smooth
    run:log(step, loss, statistics)
    if run:every(1000) then
      tell(step)
      run:sample(step, predict("c", 200, step))
    end
    if run.state.smooth < cfg.goal then
      tell(step)
      break
    end
  end
  run:print(predict("c", 150, 0))
end

return lstm.experiment {
  help = "An LSTM from scratch on Shakespeare: 1000 units, batch 1, until the smoothed loss is below 46.",
  run = train,
  options = {
    { "data", "", "text to learn (default: Shakespeare, found or downloaded)" },
    { "hidden", 1000, "units" },
    { "seq", 28, "characters in a sequence" },
    { "lr", 1e-3, "learning rate, times 0.99 after every 1000 iterations" },
    { "faithful", false, "the notebook's bias correction: m/(1-beta1), v/(1-beta2), without the step's power" },
    { "goal", 46.0, "smoothed loss to stop at" },
    { "steps", 200000, "iterations at most" },
  },
  changeable = { "data", "goal" },
}
