-- SPDX-License-Identifier: MIT
--
-- How much of a gradient is left after T steps? The mean of |dL/dx_1| for a loss at the last step: of a vanilla RNN, of
-- an LSTM, and of an LSTM whose forget gates begin open (bias 1: Gers, Schmidhuber & Cummins 2000).
--
--     lstmrun experiments/retention.lua --out=retention
--     lstmplot retention curves --what gradient --log -o retention.png

local lstm = require "lstm"
local show, tensor = lstm.show, lstm.tensor

local networks = {
  { name = "RNN", metric = "rnn", cell = "rnn", forget_bias = 0 },
  { name = "LSTM", metric = "lstm", cell = "lstm", forget_bias = 0 },
  { name = "LSTM, forget bias 1", metric = "lstm_forget_1", cell = "lstm", forget_bias = 1 },
}

-- The mean of |dL/dx_1| over inputs and seeds.
local function retained(cfg, network, T)
  local sum = 0
  for seed = cfg.seed, cfg.seed + cfg.seeds - 1 do
    local model <close> = lstm.model { cell = network.cell, input = cfg.input, hidden = cfg.hidden, output = cfg.hidden,
                                       init = cfg.init, forget_bias = network.forget_bias, seed = seed,
                                       precision = "double" }
    local fit <close> = model:trainer { batch = 1, seq = T, loss_at = "last" }
    fit:forward { x = tensor.normal { T, 1, cfg.input, seed = seed }, y = tensor.zeros { 1, 1, cfg.hidden } }
    fit:backward()
    sum = sum + fit:gradient "input" [1]:abs():mean()
  end
  return sum / cfg.seeds
end

local function demonstrate(cfg, run)
  assert(cfg.seeds > 0, "seeds: 1 or more expected")
  local names, headings, rows = {}, { "T" }, {}
  for k, network in ipairs(networks) do names[k], headings[k + 1] = network.name, network.name end
  local gradient = tensor.zeros { #networks, #cfg.lengths }
  for step in run:steps(#cfg.lengths) do
    local T = cfg.lengths[step]
    local metrics = { T = T }
    rows[step] = { T }
    for k, network in ipairs(networks) do
      local mean = retained(cfg, network, T)
      gradient[k][step], rows[step][k + 1] = mean, ("%.2e"):format(mean)
      metrics["log10_" .. network.metric] = math.log(mean, 10)
    end
    run:log(step, metrics)
    if step == #cfg.lengths then
      run:tensor(step, "gradient/retained", gradient, { { "network", names }, { "T", cfg.lengths } })
    end
  end
  run:print(("mean |dL/dx_1| over %d seeds, %s"):format(cfg.seeds, cfg.init))
  show.table(headings, rows, function(line) run:print(line) end)
end

return lstm.experiment {
  help = "How long gradients last: a vanilla RNN, an LSTM, and one with forget bias 1.",
  run = demonstrate,
  options = {
    { "lengths", { 10, 25, 50, 100, 200 }, "time steps" },
    { "seeds", 20, "networks to average over" },
    { "input", 10, "width of the input" },
    { "hidden", 20, "units" },
    { "init", "xavier_normal", "how the weights begin" },
  },
}
