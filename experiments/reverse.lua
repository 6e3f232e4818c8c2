-- SPDX-License-Identifier: MIT
--
-- Two networks trained as one, by hand: an encoder reads a word, and a decoder that begins with the encoder's last state
-- writes it backwards (Sutskever, Vinyals & Le 2014 for the two; here the word is made of random letters). What crosses
-- from one to the other is h and c on the way there, and dL/dh and dL/dc on the way back.
--
--     lstmrun experiments/reverse.lua
--     lstmrun experiments/reverse.lua length=12 hidden=128 steps=3000

local lstm = require "lstm"
local random = require "lstm.random"

local function train(cfg, run)
  local T, B, H, N = cfg.length, cfg.batch, cfg.hidden, cfg.letters
  local start = N -- what the decoder is fed first; then what it should have written one step before
  local encoder <close> = lstm.model { vocab = N, classes = 1, hidden = H, seed = cfg.seed }
  local decoder <close> = lstm.model { vocab = N + 1, classes = N, hidden = H, seed = cfg.seed + 1 }
  local settings = { batch = B, seq = T, lr = cfg.lr, clip_norm = 1 }
  local read, write = encoder:trainer(settings), decoder:trainer(settings)

  -- Batch number `step` of the words, and of what is to be written; 0 is never trained on.
  local function words(step)
    local draw = random.new(cfg.seed, step)
    local forwards, backwards, fed = {}, {}, {}
    for t = 1, T do forwards[t], backwards[t], fed[t] = {}, {}, {} end
    for b = 1, B do
      for t = 1, T do
        local letter = draw:integer(0, N - 1)
        forwards[t][b], backwards[T + 1 - t][b] = letter, letter
      end
      for t = 1, T do fed[t][b] = t == 1 and start or backwards[t - 1][b] end
    end
    return forwards, { ids = fed, targets = backwards }
  end

  local function forward(step)
    local forwards, written = words(step)
    read:forward { ids = forwards, reset = true }
    write:state_view("h"):assign(read:activation "h"[T])
    write:state_view("c"):assign(read:activation "c"[T])
    return write:forward(written), written
  end

  -- The loss knows the encoder only by its last state: its own outputs have no part in it.
  local function backward()
    local dh, dc = lstm.tensor.zeros { T, B, H }, lstm.tensor.zeros { T, B, H }
    write:backward()
    dh[T]:assign(write:gradient "state.h")
    dc[T]:assign(write:gradient "state.c")
    read:backward { h = { [0] = dh }, c = { [0] = dc } }
  end

  local function right(written)
    local targets = lstm.tensor(written.targets)
    return (write:activation "logits":argmax(3) - 1):eq(targets):mean()
  end

  for step in run:steps(cfg.steps, write, read) do
    local loss = forward(step)
    backward()
    local dh = read:gradient "dh"
    local first, last = dh[1]:norm(), dh[T]:norm()
    read:update()
    run:log(step, loss, write:update())
    run:log(step, { encoder_dh_first = first, encoder_dh_last = last }) -- what is left of the gradient, and what came
    if run:every(cfg.eval_every) then
      local val, written = forward(0)
      run:evaluate(step, val)
      run:log(step, { val_right = right(written) })
      run:print(("step %5d  new words: %.1f %% of the letters right"):format(step, 100 * right(written)))
    end
  end
end

return lstm.experiment {
  help = "An encoder and a decoder learn to write words backwards.",
  run = train,
  options = {
    { "length", 8, "letters of a word" },
    { "letters", 10, "different ones" },
    { "hidden", 64, "units of each network" },
    { "batch", 32, "words a step" },
    { "steps", 1000, "training steps" },
    { "eval_every", 100, "steps from one look at new words to the next" },
    { "lr", 5e-3, "learning rate of AdamW" },
  },
  changeable = { "lr", "eval_every" },
  metrics = { "val_right" },
}
