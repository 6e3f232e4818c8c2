-- SPDX-License-Identifier: MIT
--
-- Nothing hidden: PyTorch's nn.LSTM(10, 20, num_layers=2, dropout=0.1) returns outputs and the last state; this one all
-- of its gates at every step, too. Random vectors go in; what is logged is drawn by lstmplot.
--
--     lstmrun experiments/gates.lua --out=gates
--     lstmplot gates memory -o memory.png         # mean gates and mean |c| over time
--     lstmplot gates heatmap --what f -o forget.png

local lstm = require "lstm"
local show = lstm.show

local I, H, L = 10, 20, 2

-- As PyTorch's layer: numbers of parameters and shapes.
local function describe(run, model, fit)
  local ours = model.size - H - 1 -- without the head, which nn.LSTM does not have
  run:print(("parameters  %d; with a second bias, as PyTorch has it, %d more a layer: %d, nn.LSTM's number"):format(
    ours, 4 * H, ours + L * 4 * H))
  run:print(("output      %s: h of the top layer at every step"):format(show.shape(fit:activation("h", L - 1))))
  fit:carry()
  local last = fit:state()
  run:print(("h_n, c_n    %s and %s in each of %d layers"):format(show.shape(last.h[0]), show.shape(last.c[0]), L))
end

local function mean_gates(run, fit, layer)
  local means, rows = {}, {}
  for k, name in ipairs { "f", "i", "o", "c" } do
    local values = fit:activation(name, layer)
    means[k] = (name == "c" and values:abs() or values):mean(3):mean(2) -- over units and batch
  end
  for t = 1, #means[1] do
    rows[t] = { t - 1 }
    for k, mean in ipairs(means) do rows[t][k + 1] = ("%.4f"):format(mean[t]) end
  end
  run:print(("layer %d, means"):format(layer))
  show.table({ "time", "forget", "input", "output", "|cell|" }, rows, function(line) run:print("  " .. line) end)
end

local function train(cfg, run)
  local model <close> = lstm.model { input = I, hidden = H, layers = L, dropout = 0.1, output = 1, seed = cfg.seed,
                                     forget_bias = cfg.forget_bias }
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq }
  local batch = { x = lstm.tensor.normal { cfg.seq, cfg.batch, I, seed = cfg.seed },
                  y = lstm.tensor.zeros { cfg.seq, cfg.batch, 1 } }
  for step in run:steps(1, fit) do
    run:log(step, fit:forward(batch))
    fit:backward()
    describe(run, model, fit)
    for layer = 0, L - 1 do mean_gates(run, fit, layer) end
  end
end

return lstm.experiment {
  help = "Two layers as PyTorch's, with all their gates.",
  run = train,
  options = {
    { "seq", 20, "time steps" },
    { "batch", 1, "sequences" },
    { "forget_bias", 0.0, "added to the forget gates' bias; PyTorch: 0" },
    { "activations.every", 1, "record gates and states: at this step" },
  },
}
