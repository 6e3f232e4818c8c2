-- SPDX-License-Identifier: MIT
--
-- ReLU, sigmoid and tanh; and what becomes of numbers that pass through ten layers of 256 units, by the way the weights
-- began: in plain layers, and in those of an LSTM. (Glorot & Bengio 2010; He et al. 2015.)
--
--     lstmrun experiments/activations.lua --out=activations
--     lstmplot activations curves --what functions -o functions.png
--     lstmplot activations curves --what depth --log -o depth.png

local lstm = require "lstm"
local show, tensor = lstm.show, lstm.tensor

local function functions(run, step)
  local x, rows = {}, {}
  for k = 1, 41 do x[k] = (k - 21) / 4 end
  local curves = { tensor(x):relu(), tensor(x):sigmoid(), tensor(x):tanh() }
  for k, name in ipairs { "ReLU", "sigmoid", "tanh" } do
    run:tensor(step, "functions/" .. name, curves[k], { { "x", x } })
  end
  for k = 1, #x, 4 do
    rows[#rows + 1] = { ("%.0f"):format(x[k]) }
    for i, curve in ipairs(curves) do rows[#rows][i + 1] = ("%.4f"):format(curve[k]) end
  end
  show.table({ "x", "ReLU", "sigmoid", "tanh" }, rows, function(line) run:print(line) end)
end

-- The values after every layer.
local function plain(cfg, init, activation)
  local std = { random = 0.01, Xavier = math.sqrt(1 / cfg.units), He = math.sqrt(2 / cfg.units) }
  local values, x = {}, tensor.normal { cfg.batch, cfg.units, seed = cfg.seed }
  for layer = 1, cfg.layers do
    x = x:matmul(tensor.normal { cfg.units, cfg.units, std = std[init], seed = cfg.seed + layer })
    x = x[activation](x)
    values[layer] = x
  end
  return values
end

-- The same for layers of an LSTM: h after the last time step.
local function recurrent(cfg, init)
  local scheme = { random = { "normal", 0.01 }, Xavier = "xavier_normal", He = "he_normal" }
  local model <close> = lstm.model { input = cfg.units, hidden = cfg.units, layers = cfg.layers, output = 1,
                                     init = scheme[init], seed = cfg.seed }
  local fit <close> = model:trainer { batch = cfg.batch, seq = cfg.seq }
  fit:forward { x = tensor.normal { cfg.seq, cfg.batch, cfg.units, seed = cfg.seed } }
  local values = {}
  for layer = 1, cfg.layers do values[layer] = fit:activation("h", layer - 1)[cfg.seq]:copy() end
  return values
end

local function train(cfg, run)
  for step in run:steps(1) do
    functions(run, step)
    run:print(("\nafter %d layers of %d units  mean        std        max"):format(cfg.layers, cfg.units))
    local inits = { "random", "Xavier", "He" }
    for _, kind in ipairs { "tanh", "relu", "lstm" } do
      local stds = tensor.zeros { #inits, cfg.layers }
      for k, init in ipairs(inits) do
        local values = kind == "lstm" and recurrent(cfg, init) or plain(cfg, init, kind)
        for layer, x in ipairs(values) do stds[k][layer] = x:std() end
        local last = values[cfg.layers]
        run:print(("  %-4s  %-14s %10.2e  %9.2e  %9.2e"):format(kind, init, last:mean(), last:std(), last:max()))
      end
      run:tensor(step, "depth/" .. kind, stds, { { "init", inits }, "layer" })
    end
  end
end

return lstm.experiment {
  help = "Activation functions, and what ten layers do to numbers, by initialisation.",
  run = train,
  options = {
    { "layers", 10, "layers" },
    { "units", 256, "units in each" },
    { "batch", 32, "samples" },
    { "seq", 20, "time steps of the LSTM" },
  },
}
