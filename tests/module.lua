-- SPDX-License-Identifier: MIT
--
-- One small run with nothing but require "lstm": for the loadable module in a stock Lua and for what was installed.

local globals = {}
for name in pairs(_G) do globals[name] = true end

local lstm = require "lstm"

local text = lstm.corpus { text = ("all work and no play "):rep(50) }
do
  local model <close> = lstm.model { vocab = text.vocab, hidden = 16, seed = 1 }
  local fit <close> = model:trainer { batch = 2, seq = 10, lr = 1e-2 }
  local first, last = fit:step(text)
  for _ = 1, 50 do last = fit:step(text) end
  assert(last < 0.8 * first, "training does not lower the loss")
  assert(lstm.schedule.cosine(0, 10, 1.0), "no schedules")
end
for name in pairs(_G) do assert(globals[name], "the module made a global: " .. name) end

print(("%s, module lstm %s: trained"):format(_VERSION, lstm.version))
