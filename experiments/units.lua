-- SPDX-License-Identifier: MIT
--
-- What single units of a network that learned Shakespeare keep track of: trains a small one, lets it read a passage it
-- has not seen, and finds the units whose cells go with the place in the line, with the names of speakers, or with
-- quotation marks; beside those of the untrained one. (Karpathy, Johnson & Fei-Fei 2015.) Gates are logged, too.
--
--     lstmrun experiments/units.lua --out=units
--     lstmplot units curves --what units -o units.png
--     lstmplot units memory -o memory.png              # mean gates and |c|, the characters below

local lstm = require "lstm"

-- What could be kept track of: a number after each character.
local function signals(symbols)
  local place, name, quote = {}, {}, {}
  local since, in_name, in_quote, before = 0, 0, 0, ""
  for k, symbol in ipairs(symbols) do
    since = symbol == "\n" and 0 or since + 1
    if symbol == '"' then in_quote = 1 - in_quote end
    if symbol == ":" then in_name = 0 elseif before == "\n" and symbol == "\n" then in_name = 1 end
    place[k], name[k], quote[k], before = since, in_name, in_quote, symbol
  end
  return { { "place in the line", place }, { "name of a speaker", name }, { "inside quotation marks", quote } }
end

local function standardised(t) return (t - t:mean(1)) / (t:std(1) + 1e-12) end -- along time, the first axis

-- The unit whose cell state correlates most with a signal [T].
local function best_unit(reader, signal)
  local best = { r = 0 }
  for layer = 0, reader.model.config.layers - 1 do
    local c = reader:activation("c", layer):copy()
    local z = standardised(c:reshape { #c, c.shape[3] }):transpose() -- [H,T]
    local r = z:matmul(signal) / #signal
    local unit = r:abs():argmax()
    if math.abs(r[unit]) > math.abs(best.r) then best = { layer = layer, unit = unit, r = r[unit], z = z[unit] } end
  end
  return best
end

local function find_units(run, step, text, reader)
  local ids, symbols, shown = text:ids("val", 1, reader.seq), {}, math.min(reader.seq, 100)
  for k, id in ipairs(ids) do symbols[k] = text.vocab:symbol(id) end
  reader:forward { ids = ids }
  for _, pair in ipairs(signals(symbols)) do
    local name, signal = pair[1], standardised(lstm.tensor(pair[2]))
    if signal:std() > 0 then -- it occurs in this text
      local best = best_unit(reader, signal)
      run:print(("step %5d  %-22s unit %3d of layer %d, r = %5.2f"):format(step, name, best.unit - 1, best.layer,
        best.r))
      local lines = lstm.tensor { signal:slice(1, 1, shown):totable(), best.z:slice(1, 1, shown):totable() }
      run:tensor(step, "units/" .. name, lines,
        { { "line", { "signal", "cell state" } }, { "time", table.move(symbols, 1, shown, 1, {}) } })
    end
  end
end

local function train(cfg, run)
  local text = assert(lstm.corpus { path = lstm.data.shakespeare(cfg.data), tokens = "chars", split = { 0.9, 0.1 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = cfg.hidden, layers = cfg.layers, seed = cfg.seed }
  local fit <close> = model:trainer { batch = 32, seq = 64, clip_norm = 1 }
  local reader <close> = model:trainer { batch = 1, seq = math.min(cfg.passage, text.sizes.val) }
  for step in run:steps(cfg.steps, fit, text) do
    fit.lr = lstm.schedule.cosine(step, cfg.steps, cfg.lr, { warmup = 50, floor = 0.05 })
    run:log(step, fit:step(text))
    if step == 1 or step == cfg.steps then find_units(run, step, text, reader) end
  end
end

return lstm.experiment {
  help = "Finds units that keep track of lines, names and quotes in a model of Shakespeare.",
  run = train,
  options = {
    { "data", "", "text to learn (default: Shakespeare, found or downloaded)" }, { "hidden", 128, "units" },
    { "layers", 1, "layers" }, { "lr", 5e-3, "highest learning rate" }, { "steps", 1200, "training steps" },
    { "passage", 5000, "characters to read, at most" },
    { "activations.every", 300, "steps from one record to the next" },
  },
}
