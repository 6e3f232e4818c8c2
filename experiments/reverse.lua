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
local tensor = lstm.tensor

local cfg = lstm.arguments({
  { "length", 8, "letters of a word" },
  { "letters", 10, "different ones" },
  { "hidden", 64, "units of each network" },
  { "batch", 32, "words a step" },
  { "steps", 1000, "training steps" },
  { "lr", 5e-3, "learning rate of AdamW" },
  { "seed", 1, "of weights and words" },
}, ...)
local T, B, H, N = cfg.length, cfg.batch, cfg.hidden, cfg.letters

-- The decoder is fed what it should have written one step before, and `start` at first.
local start = N
local encoder <close> = lstm.model { vocab = N, classes = 1, hidden = H, seed = cfg.seed }
local decoder <close> = lstm.model { vocab = N + 1, classes = N, hidden = H, seed = cfg.seed + 1 }
local settings = { batch = B, seq = T, lr = cfg.lr, clip_norm = 1 }
local read, write = encoder:trainer(settings), decoder:trainer(settings)

local function words(number)
  local draw = random.new(cfg.seed, number)
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

local function forward(forwards, written)
  read:forward { ids = forwards, reset = true }
  write:state_view("h"):assign(read:activation "h"[T])
  write:state_view("c"):assign(read:activation "c"[T])
  return write:forward(written)
end

-- The loss knows the encoder only by its last state: its own outputs have no part in it.
local function backward()
  local dh, dc = tensor.zeros { T, B, H }, tensor.zeros { T, B, H }
  write:backward()
  dh[T]:assign(write:gradient "state.h")
  dc[T]:assign(write:gradient "state.c")
  read:backward { h = { [0] = dh }, c = { [0] = dc } }
end

local function right(written)
  local best, count = write:activation "logits":argmax(3), 0
  for t = 1, T do
    for b = 1, B do
      if best:get(t, b) - 1 == written.targets[t][b] then count = count + 1 end
    end
  end
  return count / (T * B)
end

print(("encoder %d -> %d, decoder %d -> %d -> %d; %d letters, %d steps"):format(N, H, N + 1, H, N, T, cfg.steps))
for step = 1, cfg.steps do
  local forwards, written = words(step)
  local loss = forward(forwards, written)
  backward()
  if step == 1 or step % math.max(1, cfg.steps // 10) == 0 then
    local dh = read:gradient "dh"
    print(("step %5d  loss %.4f  right %5.1f %%  encoder's |dL/dh|: %.1e at the first letter, %.1e at the last"):format(
      step, loss, 100 * right(written), dh[1]:norm(), dh[T]:norm()))
  end
  read:update()
  write:update()
end
local forwards, written = words(cfg.steps + 1)
forward(forwards, written)
print(("new words: %.1f %% of their letters right"):format(100 * right(written)))
