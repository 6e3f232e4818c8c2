-- SPDX-License-Identifier: MIT
--
-- A character model, from text to text, with the shapes on the way: vocabulary, encoding, windows, parameters, what
-- each part of the network makes of a batch, the state that is carried from token to token; and what a small model
-- writes before and after it has learned the sentence.
--
--     lstmrun experiments/generation.lua

local lstm = require "lstm"
local show = lstm.show
local cfg = lstm.arguments({ { "seed", 1, "of all random numbers" } }, ...)

local sentence = "hello world this is a simple example for lstm text generation"
local text = lstm.corpus { text = sentence }
local vocab = text.vocab
print(("text        '%s', %d characters"):format(sentence, text.size))
local symbols = {}
for id = 0, #vocab - 1 do symbols[#symbols + 1] = ("'%s' %d"):format(vocab:symbol(id), id) end
print(("vocabulary  %d characters: %s"):format(#vocab, table.concat(symbols, ", ")))
local hello = vocab:encode "hello"
print(("encoding    'hello' is %s, and back '%s'"):format(table.concat(hello, " "), vocab:decode(hello)))

local T = 10
local B = text.size - T -- a window at every character, all of them in one batch, which has time first: [T,B]
local batch = text:train { batch = B, seq = T, stride = 1, order = "shuffled", seed = cfg.seed }:next()
local x, y = batch.ids:transpose(), batch.targets:transpose()
print(("windows     %d of %d characters, such as '%s' and what comes next, '%s'"):format(B, T,
  vocab:decode(x[1]:totable()), vocab:decode(y[1]:totable())))

local function row(name, value) print(("  %-20s %s"):format(name, value)) end

print "\nparameters of a model with embedding 16 and two layers of 32, dropout 0.3"
local config = { vocab = vocab, embed = 16, hidden = 32, layers = 2, dropout = 0.3, seed = cfg.seed }
local model <close> = lstm.model(config)
for name, view in model:parameters() do row(name, show.shape(view)) end
row("in all", ("%d; PyTorch has two biases a layer, %d more"):format(model.size, 2 * 4 * 32))

print "\nforward"
local fit <close> = model:trainer { batch = B, seq = T }
local loss = fit:forward(batch)
fit:backward()
row("tokens", show.shape(batch.ids))
row("embedded", show.shape(fit:gradient "input")) -- what has the shape of dL/d(it)
row("h and c of layer 0", show.shape(fit:activation("h", 0)))
row("h and c of layer 1", show.shape(fit:activation("h", 1)))
row("logits", show.shape(fit:activation "logits"))
row("loss", ("%.4f; guessing costs ln %d = %.4f"):format(loss, #vocab, math.log(#vocab)))
row("embedding of 'h'", show.tensor(model:parameter "embedding.weight"[hello[1] + 1], "%.2f"))

print "\nstate carried from token to token, without dropout"
config.dropout = 0
local calm <close> = lstm.model(config) -- the same seed: the same parameters
local reader <close> = calm:trainer { batch = 1, seq = 1 }
for _, id in ipairs(hello) do
  reader:forward { ids = { { id } } }
  reader:carry()
  local h, c = reader:state().h, reader:state().c
  row(("'%s'"):format(vocab:symbol(id)), ("layer 0: |h| %.4f |c| %.4f   layer 1: |h| %.4f |c| %.4f"):format(
    h[0]:norm(), c[0]:norm(), h[1]:norm(), c[1]:norm()))
end

print "\na small model, embedding 16, one layer of 32: what it writes after 'h', by temperature"
local small <close> = lstm.model { vocab = vocab, embed = 16, hidden = 32, seed = cfg.seed }
local function write(when)
  for _, temperature in ipairs { 0.5, 1.0 } do
    row(("%s, at %.1f"):format(when, temperature),
      small:sample { prime = "h", length = 50, temperature = temperature, seed = cfg.seed })
  end
end
write "untrained"
local learner <close> = small:trainer { batch = B, seq = T, optimizer = "adam", lr = 0.01 }
for _ = 1, 100 do loss = learner:step(batch) end
row("100 steps", ("loss %.4f"):format(loss))
write "trained"
