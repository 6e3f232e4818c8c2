-- SPDX-License-Identifier: MIT
--
-- What a trained network writes: text goes to standard output, and nothing else does.
--
--     lstmrun experiments/write.lua                                      # by the model trained last, below runs
--     lstmrun experiments/write.lua from=runs/shakespeare/2026-11-26-0242 prime="KING:" temperature=0.5
--     lstmrun experiments/write.lua from=look/checkpoint-000500.h5 length=5000 precision=bf16 > text.txt

local lstm = require "lstm"

local cfg = lstm.arguments({
  { "from", "runs", "a checkpoint, a run's directory (its best one), or a directory of runs (the newest)" },
  { "prime", "", "how the text begins (default: as samples did while it was trained)" },
  { "length", 1000, "symbols to write" },
  { "temperature", 0.8, "smaller is safer, larger is bolder; 0: always the likeliest" },
  { "top_k", 0, "choose among the k likeliest; 0: all" },
  { "seed", 1, "another one, another text" },
  { "texts", 1, "how many, of seeds that follow each other" },
  { "precision", "", "of products (default: as the model was trained); bf16 is fastest" },
}, ...)

local model <close>, from = assert(lstm.load(cfg.from, { precision = cfg.precision ~= "" and cfg.precision or nil }))
assert(model.vocab, from.path .. " was not trained on text: it has no vocabulary to write with")
local step = from.step and (", step %d"):format(from.step) or ""
io.stderr:write(("%s%s, %s\n"):format(from.path, step, model.config.precision))

if cfg.prime == "" then cfg.prime = from.config.prime or model.vocab:symbol(0) end
io.stdout:setvbuf "no" -- every symbol is seen as soon as it is written
for k = 0, cfg.texts - 1 do
  io.write(cfg.prime)
  model:sample {
    prime = cfg.prime, length = cfg.length, temperature = cfg.temperature, top_k = cfg.top_k,
    seed = (cfg.seed + k) & math.maxinteger,
    each = function(symbol) return io.write(symbol) ~= nil end, -- no more, when a disk is full
  }
  io.write "\n"
end
