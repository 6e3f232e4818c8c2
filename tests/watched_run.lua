-- SPDX-License-Identifier: MIT
--
-- An experiment whose log holds all there is to recompute its steps from: for check_watch.py.

local lstm = require "lstm"

local function train_on_text(cfg, run)
  local words = ("to be or not to be, that is the question; "):rep(20)
  local text = assert(lstm.corpus { text = words, split = { 0.9, 0.1 } })
  local model <close> = lstm.model { vocab = text.vocab, embed = 4, hidden = 7, layers = 2, precision = "double",
    cell = cfg.cell }
  local fit <close> = model:trainer { batch = 3, seq = 5, lr = 0.05 }
  local probe <close> = model:trainer { batch = 2, seq = 4 }
  local names = { "a", "b\u{e9}", "c" }
  run:announce { name = "mine/table", dims = { { "name", names }, { "x", { -0.5, 2 } } }, title = "a table", units = "m" }
  run:announce { name = "never/table", dims = { { "name", names }, { "unit", 2 } }, type = "float" }
  for step in run:steps(cfg.steps, fit, text) do
    run:log(step, fit:step(text))
    run:tensor(step, "mine/logits", fit:activation "logits", { "time", "batch", "output" })
    run:tensor(step, "mine/table", lstm.tensor { { step, 2 }, { 3, 4 }, { 5, 6 } })
    probe:forward { ids = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 1 } }, targets = { { 3, 4 }, { 5, 6 }, { 7, 1 }, { 2, 2 } },
      mask = { { 1, 1 }, { 0, 1 }, { 0.5, 0 }, { 1, 0 } } }
    probe:backward()
    local seen = cfg.cell == "lstm" and { "f", "h", "dh" } or nil
    if step > 1 then run:watch(step, probe, "probe", { of = seen, output = "probabilities" }) end
    if step == 2 then run:event(step, "mark", "the second step") end
  end
end

-- Numbers so large that gates are nearly closed or open.
local function vectors(length)
  return lstm.tensor.uniform { length, 2, low = -9, high = 9, seed = length }:totable()
end

local function train_on_sequences(cfg, run)
  local settings = { batch = 3, loss_at = cfg.last and "last" or "all" }
  for k, length in ipairs { 4, 2, 3, 1, 3, 2, 4 } do settings[k] = { x = vectors(length), y = vectors(length) } end
  local data = lstm.sequences(settings)
  local model <close> = lstm.model { input = 2, output = 2, hidden = 5, layers = 2, precision = "double" }
  local fit <close> = model:trainer { batch = 3, seq = 5, lr = 0.05, accumulate = 2, clip_norm = 0.1 }
  for step in run:steps(cfg.steps, fit, data) do
    fit:set_state { h = { [0] = lstm.tensor.full { 3, 5, value = 0.1 }, lstm.tensor.full { 3, 5, value = 0.2 } },
      c = { [0] = lstm.tensor.full { 3, 5, value = 0.3 }, lstm.tensor.full { 3, 5, value = 0.4 } } }
    local batch = data:next()
    batch.reset = nil
    run:log(step, fit:step(batch))
    fit:reset() -- which what is recorded does not mind
  end
end

local function train(cfg, run)
  if cfg.data == "text" then train_on_text(cfg, run) else train_on_sequences(cfg, run) end
end

return lstm.experiment {
  name = "watch", run = train,
  options = { { "data", "text", "text or sequences" }, { "steps", 6, "steps" }, { "cell", "lstm", "lstm or rnn, of text" },
    { "last", false, "only the last step of a sequence counts" }, { "watch.rows", 0, "all" } },
}
