-- SPDX-License-Identifier: MIT
--
-- Three classical tests of memory, each learned until it is solved on sequences never seen; or not, by a vanilla RNN.
--   adding  Of T numbers two are marked: say their sum. Solved: mean squared error below 0.01; without memory 1/6.
--   copy    Say `length` symbols again, T steps after their end. Solved: 99% right; guessing has 1/8.
--   reber   Write strings of the embedded Reber grammar, whose last symbol but one is the second again. Learned from
--           strings with `length` to T + 1 symbols. Solved: 100 strings written, all legal.
--
--     lstmrun experiments/remember.lua preset=copy --out=copy-lstm
--     lstmrun experiments/remember.lua preset=copy cell=rnn lr=3e-3 --out=copy-rnn    # and the others likewise
--     lstmplot copy-* adding-* reber-* metrics --what right --by task -o right.png

local lstm = require "lstm"

-- The share of legal strings among 100 that the network writes.
local function written(task, fit)
  local legal = 0
  for seed = 1, 100 do
    local text = fit.model:sample { prime = "B", length = 3 * task.seq, temperature = 0.5, seed = seed }
    if task:legal(text) then legal = legal + 1 end
  end
  return legal / 100
end

-- What each task is made of, and when it is solved.
local tasks = {
  adding = { of = function(cfg) return { seq = cfg.T, seed = cfg.seed } end,
             solved = function(loss) return loss < 0.01 end },
  copy = { of = function(cfg) return { delay = cfg.T, length = cfg.length, seed = cfg.seed } end,
           solved = function(_, right) return right >= 0.99 end },
  reber = { of = function(cfg) return { seq = cfg.T, shortest = cfg.length, seed = cfg.seed } end, right = written,
            solved = function(_, right) return right == 1 end },
}

-- Forget gates that begin so open that they keep for 1 to T steps, input gates as far closed (Tallec & Ollivier 2018).
local function chrono(T, seed)
  return function(_, bias)
    local H = #bias // 4
    local open = lstm.tensor.uniform { H, low = 1, high = T - 1, seed = seed }:log()
    bias:slice(1, 1, H):assign(-open)
    bias:slice(1, H + 1, 2 * H):assign(open)
  end
end

local function train(cfg, run)
  local kind = assert(tasks[cfg.task], "task: expected adding, copy or reber")
  local task = lstm.tasks[cfg.task](kind.of(cfg))
  local bias = cfg.cell == "lstm" and chrono(task.seq, cfg.seed) or "zeros"
  local model <close> = lstm.model { cell = cfg.cell, input = task.input, output = task.output, vocab = task.vocab,
    classes = task.classes, hidden = cfg.hidden, forget_bias = 0, seed = cfg.seed,
    init = { input = "orthogonal", recurrent = "orthogonal", bias = bias } }
  local fit <close> = model:trainer { batch = 32, seq = task.seq, loss_at = task.loss_at, lr = cfg.lr, clip_norm = 1 }
  local data, held_out = task:train { batch = 32 }, task:val { batch = 32 }
  for step in run:steps(cfg.steps, fit, data) do
    run:log(step, fit:step(data))
    if run:every(cfg.eval_every) then
      local loss, right = fit:evaluate(held_out), (kind.right or task.right)(task, fit, held_out)
      local solved = kind.solved(loss, right)
      run:evaluate(step, loss)
      run:log(step, { right = right }) -- the share of right answers
      if solved or step == cfg.steps then
        run:print(("%s, %s: %ssolved at step %d, loss %.4f, %.1f%% right"):format(cfg.task, cfg.cell,
          solved and "" or "not ", step, loss, 100 * right))
        break
      end
    end
  end
end

return lstm.experiment {
  help = "The adding problem, the copy task or the Reber grammar, learned until it is solved.",
  run = train, metrics = { "right" },
  options = {
    { "task", "adding", "or copy, reber" }, { "cell", "lstm", "or rnn" }, { "hidden", 64, "units" },
    { "T", 100, "time steps; copy: of the delay" }, { "length", 5, "copy: symbols; reber: of the shortest string" },
    { "lr", 1e-2, "learning rate" }, { "steps", 4000, "at most" }, { "eval_every", 100, "steps between evaluations" },
  },
  presets = { adding = {}, copy = { task = "copy", T = 50, hidden = 128 },
              reber = { task = "reber", T = 44, length = 22, steps = 3000 } },
}
