-- SPDX-License-Identifier: MIT
--
-- An experiment whose log holds all there is to recompute its steps from: for check_watch.py.

local lstm = require "lstm"

local function train(cfg, run)
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
    probe:forward { ids = { { 1, 2 }, { 3, 4 }, { 5, 6 }, { 7, 1 } }, targets = { { 3, 4 }, { 5, 6 }, { 7, 1 }, { 2, 2 } } }
    probe:backward()
    local seen = cfg.cell == "lstm" and { "f", "h", "dh" } or nil
    if step > 1 then run:watch(step, probe, "probe", { of = seen, output = "probabilities" }) end
    if step == 2 then run:event(step, "mark", "the second step") end
  end
end

return lstm.experiment {
  name = "watch", run = train,
  options = { { "steps", 6, "steps" }, { "cell", "lstm", "lstm or rnn" }, { "watch.rows", 0, "all" } },
}
