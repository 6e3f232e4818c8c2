-- SPDX-License-Identifier: MIT
--
-- lstm.load: the model of a checkpoint is the model that was trained, in whatever precision it is wanted; what cannot be
-- loaded is told in a sentence.

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local experiment = require "lstm.experiment"
local lstm = require "lstm"
local run = require "lstm.run"
local tap = require "tap"

local sys = core.sys
local directory = os.tmpname()
os.remove(directory)
assert(sys.make_directory(directory))

local text = assert(lstm.corpus { text = ("to be or not to be, that is the question. "):rep(40), split = { 0.9, 0.1 } })
local description = experiment { name = "test", run = function() end, options = { { "hidden", 6 } } }

-- Three steps; with `validate` the second is the best.
local function train(name, fit, source, validate)
  local host = { runs = directory, out = directory .. "/" .. name, program = "lstmrun", script = "load.lua",
    command_line = "", progress = "quiet" }
  local this = run.new { description = description, cfg = description.options:defaults(), host = host }
  local loss
  for step in this:steps(3, fit, table.unpack { source == text and text or nil }) do
    this:log(step, fit:step(source))
    if validate and step >= 2 then
      loss = loss or fit:evaluate(text, { batch = 2 })
      this:evaluate(step, step == 2 and loss or loss + 1)
    end
  end
  this:finish "done"
  return host.out, loss
end

local function same_parameters(model, other)
  for name, view in model:parameters() do
    if not view:equal(other:parameter(name)) then return false end
  end
  return true
end

-- ---- what was trained ---------------------------------------------------------------------------------------------

local trained = lstm.model { vocab = text.vocab, hidden = 6, layers = 2, dropout = 0.25, seed = 3,
  init = function(_, view) return 0.1 * view:size() / (view:size() + 1) end }
local fit = trained:trainer { batch = 2, seq = 5, lr = 0.01 }
local path, loss = train("best", fit, text, true)

local model, from = lstm.load(path)
tap.ok(model and from.path == path .. "/checkpoint-best.h5" and from.step == 2 and from.experiment == "test" and
  from.config.hidden == 6, "of a run's directory: the best; and where it is from")
tap.is(model:evaluate(text, { batch = 2, seq = 5 }), loss, "it evaluates as it did while it was trained")
tap.ok(model.vocab == text.vocab and model.config.dropout == 0.25 and model.config.layers == 2,
  "with its vocabulary and its dropout")

local latest, at = lstm.load(path .. "/checkpoint-latest.h5")
tap.ok(same_parameters(latest, trained) and at.step == 3, "a checkpoint by its name")
local function written(by) return by:sample { prime = "to ", length = 20, seed = 4 } end
tap.is(written(latest), written(trained), "it writes the same")
local more = latest:trainer { batch = 2, seq = 5, lr = 0.01 }
tap.ok(more:step(text) > 0 and not same_parameters(latest, trained), "it can be trained on")

local wide = lstm.load(path .. "/checkpoint-latest.h5", { precision = "double" })
local narrow = lstm.load(path .. "/checkpoint-latest.h5", { precision = "bf16", dropout = 0 })
tap.ok(narrow.config.precision == "bf16" and narrow.config.dropout == 0 and same_parameters(narrow, trained),
  "in another precision: the same parameters")
local difference = wide:parameter "lstm.weight_hh_l1" - trained:parameter "lstm.weight_hh_l1"
tap.ok(wide.config.precision == "double" and difference:abs():max() == 0, "in double: the same numbers")

-- ---- which one ----------------------------------------------------------------------------------------------------

local vectors = lstm.model { cell = "rnn", input = 3, output = 2, hidden = 4, precision = "double" }
local batch = { x = { { { 1, 2, 3 } }, { { 0, 1, 0 } } }, y = { { { 1, 0 } }, { { 0, 1 } } } }
local plain = train("plain", vectors:trainer { batch = 1, seq = 2 }, batch)
model, from = lstm.load(plain .. "/")
tap.ok(from.path == plain .. "/checkpoint-latest.h5" and same_parameters(model, vectors) and not model.vocab and
  model.config.cell == "rnn" and model.config.output == 2, "without validations the latest, of vectors, in double")

_, from = lstm.load(directory)
tap.is(from.path, plain .. "/checkpoint-latest.h5", "of a directory of runs: the one that was trained last")

assert(core.checkpoint.write(plain .. "/checkpoint-latest.h5", plain .. "/checkpoint-previous.h5",
  vectors:trainer { batch = 1, seq = 2 }:checkpoint_tensors(), { experiment = "test" }))
local file <close> = assert(io.open(plain .. "/checkpoint-latest.h5", "r+b"))
file:seek("set", 900)
file:write "damage"
file:close()
model, from = lstm.load(plain)
tap.ok(model and from.path == plain .. "/checkpoint-previous.h5", "the latest is damaged: the one before")

-- ---- models of scripts that are no runs ----------------------------------------------------------------------------

local saved = directory .. "/saved.h5"
tap.ok(lstm.save(saved, trained), "a model is saved")
model, from = lstm.load(saved)
tap.ok(same_parameters(model, trained) and model.vocab == text.vocab and from.path == saved and not from.step and
  next(from.config) == nil, "and loaded")
local beginner = lstm.model { vocab = text.vocab, hidden = 6, layers = 2 }
checkpoint.init(saved, beginner, text.vocab)
tap.ok(same_parameters(beginner, trained), "a run can begin with it")
tap.ok(lstm.save(saved, vectors) and same_parameters(lstm.load(saved), vectors), "another one in its place")
local ok, why = lstm.save(directory .. "/no/where.h5", trained)
tap.ok(ok == nil and why:find("no/where.h5", 1, true), "where there is no place for it: " .. why)
tap.fails(function() lstm.save(trained, saved) end, "bad argument #1 to 'save' (path expected", "no path to save to")
tap.fails(function() lstm.save(saved, fit) end, "model expected, got lstm.trainer", "a trainer is no model")
model:close()
tap.fails(function() lstm.save(saved, model) end, "the model is closed", "nor is a model that was closed")

-- ---- what cannot be loaded ----------------------------------------------------------------------------------------

local function refused(expected, name, ...)
  local got, reason = lstm.load(...)
  tap.ok(got == nil and tostring(reason):find(expected, 1, true), name .. (": %s"):format(reason))
end

local function mistaken(expected, name, ...)
  local args = table.pack(...)
  tap.fails(function() lstm.load(table.unpack(args, 1, args.n)) end, expected, name)
end

refused("cannot load", "no such file", directory .. "/nothing")
refused("is no checkpoint", "another file", path .. "/log.h5")
assert(sys.make_directory(directory .. "/empty"))
refused("there is no checkpoint in it", "a directory without runs", directory .. "/empty")

local function checkpoint_with(texts)
  local name = directory .. "/made.h5"
  assert(core.checkpoint.write(name, nil, fit:checkpoint_tensors(), texts))
  return name
end
refused("does not say what its model is like", "one of an earlier version", checkpoint_with { config = "{}" })
refused("made.h5: ", "a model that is no table", checkpoint_with { model = "7" })
refused("field 'hidden'", "a model that cannot be", checkpoint_with { model = '{"vocab":3,"hidden":-1}' })
refused("parameters, its model 354", "a model that has other parameters",
  checkpoint_with { model = '{"vocab":9,"hidden":5}' })
refused("parameters, its model 160009800009", "a model for which there is no memory",
  checkpoint_with { model = '{"vocab":9,"hidden":200000}' })
refused("made.h5: ", "a damaged vocabulary", checkpoint_with { model = '{"vocab":9,"hidden":5}', vocabulary = "v" })

mistaken("path expected, got nil", "no path")
mistaken("table expected, got string", "changes that are no table", path, "bf16")
mistaken("did you mean 'precision'?", "a change that is not known", path, { precison = "bf16" })
mistaken("'hidden' cannot be changed", "a change that cannot be made", path, { hidden = 3 })
mistaken("'float', 'double'", "a precision that is none", path, { precision = "half" })
mistaken("more than the 20 allowed", "a model that is too large", path, { max_memory = 20 })

os.execute("rm -rf '" .. directory .. "'")
tap.done()
