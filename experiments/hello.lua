-- SPDX-License-Identifier: MIT
--
-- The smallest text that teaches something: 'hello world ' twenty times. All windows of ten characters are one batch;
-- after fifty steps the model writes hello world again and again.
--
--     lstmrun experiments/hello.lua
--     lstmrun experiments/hello.lua seed=2 dropout=0
--     lstmplot runs/hello/... loss -o loss.png

local lstm = require "lstm"

local function train(cfg, run)
  local text = lstm.corpus { text = ("hello world "):rep(20), name = "hello world x 20" }
  local model <close> = lstm.model {
    vocab = text.vocab, embed = cfg.embed, hidden = cfg.hidden, layers = cfg.layers, dropout = cfg.dropout,
    seed = cfg.seed,
  }
  local count = text.size - cfg.seq -- windows, one at every character
  local windows = text:train { batch = count, seq = cfg.seq, stride = 1, order = "shuffled" }
  local fit <close> = model:trainer { batch = count, seq = cfg.seq, optimizer = "adam", lr = cfg.lr }

  for epoch in run:steps(cfg.epochs, fit, text, windows) do
    local loss, statistics = fit:step(windows)
    run:log(epoch, loss, statistics)
    if run:every(10) then run:print(("epoch %3d  loss %.4f"):format(epoch, loss)) end
    if epoch == cfg.epochs then
      for _, temperature in ipairs { 0, 0.5, 1, 1.5 } do -- 0 is greedy
        local written = model:sample { prime = "hello", length = 30, temperature = temperature, seed = cfg.seed }
        run:print(("%-16s %s"):format(temperature == 0 and "greedy" or "temperature " .. temperature, written))
        run:event(epoch, "temperature " .. temperature, written)
      end
    end
  end
end

return lstm.experiment {
  help = "Learns 'hello world', and writes it at several temperatures.",
  run = train,
  options = {
    { "embed", 16, "width of the characters' embedding" },
    { "hidden", 32, "units in each layer" },
    { "layers", 2, "layers" },
    { "dropout", 0.3, "share of units dropped between layers, while training" },
    { "seq", 10, "characters in a window" },
    { "lr", 0.01, "learning rate" },
    { "epochs", 50, "passes over all windows" },
  },
}
