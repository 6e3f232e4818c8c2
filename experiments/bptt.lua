-- SPDX-License-Identifier: MIT
--
-- A vanilla RNN, h_t = tanh(W x_t + U h_(t-1) + b), and backpropagation through time (Werbos 1990): states; the
-- gradient that arrives at each step from a loss at the last, and how it vanishes on the way (Hochreiter 1991; Bengio,
-- Simard & Frasconi 1994); clipping by the global norm (Pascanu, Mikolov & Bengio 2013).
--
--     lstmrun experiments/bptt.lua --out=bptt
--     lstmplot bptt heatmap --what h -o states.png      # or: bptt gradients
--     lstmplot bptt curves --what vanishing --log -o vanishing.png

local lstm = require "lstm"
local show, tensor = lstm.show, lstm.tensor

local function new_model(cfg)
  return lstm.model { cell = "rnn", input = cfg.input, hidden = cfg.hidden, output = 1, init = cfg.init,
                      seed = cfg.seed, precision = "double" }
end

local function new_batch(cfg, T) -- any input; the output is wanted to be 0
  return { x = tensor.normal { T, 1, cfg.input, seed = cfg.seed }, y = tensor.zeros { 1, 1, 1 } }
end

local function show_steps(say, h, dh)
  local rows = {}
  for t = #h, 1, -1 do rows[#rows + 1] = { t, ("%.4f"):format(h[t]:norm()), ("%.3e"):format(dh[t]:norm()) } end
  say(("h %s\nbackwards through time, from the loss at the last step"):format(show.shape(h)))
  show.table({ "t", "|h_t|", "|dL/dh_t|" }, rows, say)
end

-- |dL/dh_t| at every t as a share of that at T, where the loss is: [lengths, time].
local function vanishing(cfg, say)
  local rows, longest = {}, math.max(table.unpack(cfg.lengths))
  local shares = tensor.zeros { #cfg.lengths, longest } / 0 -- not a number where shorter ones have no step
  for k, T in ipairs(cfg.lengths) do
    local model <close> = new_model(cfg)
    local fit <close> = model:trainer { batch = 1, seq = T, loss_at = "last" }
    fit:step(new_batch(cfg, T))
    local dh = fit:gradient "dh"
    for t = 1, T do shares[k][t] = dh[t]:norm() / dh[T]:norm() end
    local first = shares[k][1]
    rows[k] = { T, ("%.2e"):format(first), ("%.3f"):format(first ^ (1 / (T - 1))), ("%.2e"):format(0.9 ^ T) }
  end
  say "\nvanishing: |dL/dh_1| / |dL/dh_T|; and a gradient that loses a tenth at every step"
  show.table({ "T", "left", "by step", "0.9^T" }, rows, say)
  return shares
end

local function clipping(cfg, say)
  local rows = {}
  for k, bound in ipairs { 100, 10, 1, 0.1 } do
    local model <close> = new_model(cfg)
    local fit <close> = model:trainer { batch = 1, seq = cfg.seq, loss_at = "last", clip_norm = bound }
    local _, done = fit:step(new_batch(cfg, cfg.seq))
    local before, after = done.grad_norm, done.clipped_norm
    rows[k] = { bound, tostring(after < before), ("%.4f"):format(before), ("%.4f"):format(after) }
  end
  say "\nclipping by the global norm: g * bound / |g| where |g| is larger"
  show.table({ "bound", "clipped?", "norm before", "norm after" }, rows, say)
end

local function demonstrate(cfg, run)
  local function say(line) run:print(line) end
  local model <close> = new_model(cfg)
  local fit <close> = model:trainer { batch = 1, seq = cfg.seq, loss_at = "last" }
  for step in run:steps(1, fit) do
    run:log(step, fit:step(new_batch(cfg, cfg.seq)))
    show_steps(say, fit:activation "h", fit:gradient "dh")
    run:tensor(step, "vanishing/gradient", vanishing(cfg, say), { { "T", cfg.lengths }, "time" })
    clipping(cfg, say)
  end
end

return lstm.experiment {
  help = "A vanilla RNN: states, backpropagation through time, vanishing gradients, clipping.", run = demonstrate,
  options = {
    { "seq", 20, "time steps" }, { "lengths", { 10, 25, 50, 100 }, "time steps to vanish over" },
    { "input", 10, "width of the input" }, { "hidden", 20, "units" }, { "init", "xavier_normal", "how weights begin" },
    { "activations.every", 1, "record the states" }, { "gradients.every", 1, "record the gradients" },
  },
}
