-- SPDX-License-Identifier: MIT
--
-- watch.lua - what of the network's inside a run logs, by the options of every experiment:
--
--     activations.every=N    gates i f g o and states c h of every layer, time step and unit; what was fed in; the states
--                            before the first time step; targets, their mask, and the loss of each position
--     activations.of=f,h     only these of them
--     activations.output=X   and the network's output: logits or probabilities
--     saturation.every=N     how often each gate is below 0.1 or above 0.9, by layer and unit
--     gradients.every=N      norms: of each parameter's gradient, and of dL/dh, dL/dc and dL/d(gates) by layer and time
--     gradients.of=dh,dc     only these of the latter
--     gradients.full=true    and these themselves, for every unit; and the gradient with respect to the input
--     parameters.every=N     mean, std, min, max, norm and histogram of each parameter, norms of its moments
--     parameters.full=true   and the parameters and their gradients themselves
--     watch.rows=N           rows of the batch in what is logged unit by unit; 0: all
--     watch.deflate=N        compression of what is logged unit by unit, 1 to 9; 0: none
--     watch.keepbits=N       bits of mantissa kept of it, for smaller files; 0: all
--
-- Series and dimensions are described in docs/files.md. Functions return true, or nil and a sentence.

local describe = require "lstm.describe"
local fault = require "lstm.fault"
local options = require "lstm.options"

local watch = {}
local methods = {}
local meta = { __index = methods }

local BINS = 64
local REAL = "real" -- series of the network's own numbers, unit by unit
local LOW, HIGH = 0.1, 0.9 -- gates below and above are nearly closed, nearly open
local STATES, SLOPES = { "i", "f", "g", "o", "c", "h" }, { "dh", "dc", "di", "df", "dg", "do" }

watch.options = {
  { "activations.every", 0, "steps from one record of gates and states to the next; 0: none" },
  { "activations.of", {}, "which of i,f,g,o,c,h; none named: all" },
  { "activations.output", "none", "record the network's output, too: logits or probabilities" },
  { "saturation.every", 0, "steps from one record of how often gates are nearly closed or open to the next; 0: none" },
  { "gradients.every", 0, "steps from one record of gradient norms to the next; 0: none" },
  { "gradients.of", {}, "which of dh,dc,di,df,dg,do; none named: all" },
  { "gradients.full", false, "record dL/dh, dL/dc and dL/dgates of every unit, too" },
  { "parameters.every", 0, "steps from one record of the parameters' statistics to the next; 0: none" },
  { "parameters.full", false, "record parameters and their gradients themselves, too" },
  { "watch.rows", 1, "rows of the batch that are recorded unit by unit; 0: all" },
  { "watch.deflate", 0, "compression of such records, which takes long and gains a fifth; 9 most, 0 none" },
  { "watch.keepbits", 0, "bits of mantissa to keep in such records, for watch.deflate to gain more; 0: all" },
}

-- What the cell has of gates and states, of gradients with respect to them, and of states that are carried on.
local function names_of(config)
  if config.cell == "rnn" then return { "h" }, { "dh", "dg" }, { "h" } end
  return STATES, SLOPES, { "h", "c" }
end

local function check_names(option, names, known)
  local is_known = {}
  for _, name in ipairs(known) do is_known[name] = true end
  for _, name in ipairs(names) do
    if not is_known[name] then
      return nil, ("option '%s' must name some of %s, got '%s'"):format(option, table.concat(known, ","), name)
    end
  end
  return true
end

-- Options that say what is recorded of a group: the group of one that is set though the group is not recorded, and its
-- name; or nil.
local function without_interval(get)
  local set = { ["activations.of"] = #get "activations.of" > 0,
    ["activations.output"] = get "activations.output" ~= "none", ["gradients.of"] = #get "gradients.of" > 0,
    ["gradients.full"] = get "gradients.full", ["parameters.full"] = get "parameters.full" }
  for option, is_set in pairs(set) do
    local group = option:match "^%w+"
    if is_set and get(group .. ".every") == 0 then return group, option end
  end
end

--- In a stretch that somebody wants to see, `gradients.full=true` alone means: of every step.
function watch.imply_every(set, cfg)
  local group = without_interval(function(name) return set:get(cfg, name) end)
  if not group then return end
  cfg[group].every = 1
  watch.imply_every(set, cfg)
end

local outputs = { none = true, logits = true, probabilities = true }
local no_probabilities = "this network puts out numbers, not probabilities of classes; take logits"

local function check_values(get)
  for _, name in ipairs { "activations.every", "saturation.every", "gradients.every", "parameters.every",
    "watch.rows" } do
    if get(name) < 0 then return nil, ("option '%s' must be at least 0, got %d"):format(name, get(name)) end
  end
  local output, keepbits, deflate = get "activations.output", get "watch.keepbits", get "watch.deflate"
  if not outputs[output] then
    return nil, ("option 'activations.output' must be none, logits or probabilities, got '%s'"):format(output)
  end
  if keepbits < 0 or keepbits > 22 then
    return nil, "option 'watch.keepbits' must be 0 to 22, got " .. keepbits
  end
  if deflate < 0 or deflate > 9 then return nil, "option 'watch.deflate' must be 0 to 9, got " .. deflate end
  if keepbits > 0 and deflate == 0 then
    return nil, "option 'watch.keepbits' makes nothing smaller while watch.deflate is 0; give watch.deflate=1, too"
  end
  return true
end

local function check_network(get, config)
  local states, slopes = names_of(config)
  local ok, problem = check_names("activations.of", get "activations.of", states)
  if ok then ok, problem = check_names("gradients.of", get "gradients.of", slopes) end
  if not ok then return nil, problem end
  if config.cell == "rnn" and get "saturation.every" > 0 then
    return nil, "option 'saturation.every' counts the values of gates, which a network with cell=rnn does not have; " ..
      "give saturation.every=0"
  end
  if config.output and get "activations.output" == "probabilities" then
    return nil, "option 'activations.output': " .. no_probabilities
  end
  if config.precision == "double" and get "watch.keepbits" > 0 then
    return nil, "option 'watch.keepbits' is for networks of precision float, this one's is double"
  end
  return true
end

-- The longest interval; 0: nothing is recorded.
local function longest(get)
  return math.max(get "activations.every", get "saturation.every", get "gradients.every", get "parameters.every")
end

--- Whether the options' values make sense for this trainer, which may be nil: true, or nil and a sentence. get: a
-- function, the value of an option.
function watch.check(get, fit)
  local ok, problem = check_values(get)
  if not ok then return nil, problem end
  local group, option = without_interval(get)
  if group then
    return nil, ("option '%s' records nothing while %s.every is 0; give %s.every=N, too"):format(option, group, group)
  end
  if fit then return check_network(get, fit.model.config) end
  if longest(get) > 0 then
    return nil, "the experiment gives run:steps no trainer, whose inside activations.every and the like could record"
  end
  return true
end

-- Those of the names that the option asks for, which asks for all when it is empty.
local function chosen(names, of)
  local asked, list = {}, {}
  for _, name in ipairs(of) do asked[name] = true end
  for _, name in ipairs(names) do
    if #of == 0 or asked[name] then list[#list + 1] = name end
  end
  return list
end

--- cfg: the options' values, checked; fit: the trainer. nil when nothing is to be watched.
function watch.new(cfg, fit)
  local every = { activations = cfg.activations.every, saturation = cfg.saturation.every,
    gradients = cfg.gradients.every, parameters = cfg.parameters.every }
  if math.max(every.activations, every.saturation, every.gradients, every.parameters) == 0 then return nil end
  local config = fit.model.config
  local states, slopes = names_of(config)
  local rows = cfg.watch.rows
  if rows == 0 or rows > fit.batch then rows = fit.batch end
  return setmetatable({
    fit = fit, every = every, rows = rows, keepbits = cfg.watch.keepbits, deflate = cfg.watch.deflate,
    full = { gradients = cfg.gradients.full, parameters = cfg.parameters.full },
    config = config, type = config.precision == "double" and "double" or "float", output = cfg.activations.output,
    states = chosen(states, cfg.activations.of), slopes = chosen(slopes, cfg.gradients.of),
    group = "activations", inputs = "inputs", names = {}, announced = {}, recorded = {},
  }, meta)
end

-- ---- another trainer's inside, when the script asks for it -----------------------------------------------------------

local probe = {}
local probe_meta = { __index = probe }

local probe_fields = { of = true, output = true, rows = true }

-- What is wrong with the options that run:watch is given; nil: nothing.
local function probe_problem(config, batch, given)
  for key in pairs(given) do
    if not probe_fields[key] then
      return ("unknown field '%s'%s"):format(tostring(key), options.suggestion(tostring(key), options.keys(probe_fields)))
    end
  end
  local of, rows = given.of or {}, given.rows or batch
  local states, slopes = names_of(config)
  local known = table.move(slopes, 1, #slopes, #states + 1, table.move(states, 1, #states, 1, {}))
  if type(of) ~= "table" then return "field 'of': a list of some of " .. table.concat(known, ",") .. " expected" end
  local ok, problem = check_names("of", of, known)
  if not ok then return (problem:gsub("^option", "field")) end
  if not outputs[given.output or "none"] then
    return ("field 'output': none, logits or probabilities expected, got '%s'"):format(tostring(given.output))
  end
  if config.output and given.output == "probabilities" then return "field 'output': " .. no_probabilities end
  if math.type(rows) ~= "integer" or rows < 1 or rows > batch then
    return ("field 'rows': integer from 1 to %d expected, got %s"):format(batch, tostring(rows))
  end
end

--- What run:watch records of any trainer into groups NAME and NAME_inputs. cfg: the options' values; given: which
-- states and gradients (of; none named: the states), output and rows, or nil. nil and what is wrong with these.
function watch.probe(cfg, fit, name, given)
  given = given or {}
  local config = fit.model.config
  local problem = probe_problem(config, fit.batch, given)
  if problem then return nil, problem end
  local states, slopes = names_of(config)
  local of = given.of or {}
  return setmetatable({
    fit = fit, rows = given.rows or fit.batch, keepbits = cfg.watch.keepbits, deflate = cfg.watch.deflate,
    config = config, type = config.precision == "double" and "double" or "float",
    output = given.output or "none", states = chosen(states, of), slopes = #of > 0 and chosen(slopes, of) or {},
    group = name, inputs = name .. "_inputs", names = {}, announced = {},
    sizes = ("%d layers, %d time steps, %d rows and %d units"):format(config.layers, fit.seq, given.rows or fit.batch,
      config.hidden),
  }, probe_meta)
end

-- How many numbers of the network's own a record of each group has, for each unit or position; without a mask.
local function numbers_of(get, config, settings, rows)
  local states, slopes, carried = names_of(config)
  local T, inside = settings.seq, settings.seq * rows * config.hidden * (config.layers or 1)
  local embed = math.type(config.embed) == "integer" and config.embed or 0
  local put_out = config.output or config.classes or config.vocab -- a number, or a vocabulary
  if get "activations.output" == "none" then put_out = 0 end
  local loss = config.precision == "double" and 1 or 2 -- which is in double always
  return {
    activations = #chosen(states, get "activations.of") * inside + #carried * inside // T
      + T * rows * ((config.input or 1) + (math.tointeger(put_out) or #put_out) + (config.output or 1) + loss),
    gradients = get "gradients.full" and #chosen(slopes, get "gradients.of") * inside
      + T * rows * (config.input or embed) or 0,
  }
end

--- Bytes that these options record in so many steps, before compression; without what is small, norms and shares.
-- get: a function, the value of an option; config: the model's; settings: the trainer's; parameters: how many numbers.
function watch.bytes(get, config, settings, parameters, steps)
  local rows = get "watch.rows"
  if rows == 0 or rows > settings.batch then rows = settings.batch end
  local numbers = numbers_of(get, config, settings, rows)
  numbers.parameters = get "parameters.full" and 2 * parameters or 0
  local sum = 0
  for group, each in pairs(numbers) do
    local every = get(group .. ".every")
    if every > 0 then sum = sum + each * (steps // every) end
  end
  return sum * (config.precision == "double" and 8 or 4)
end

-- ---- series -------------------------------------------------------------------------------------------------------

-- The first use of a series announces it.
local function series(self, log, name, type, dims, title)
  if self.announced[name] then return true end
  local config = { name = name, type = type, dims = dims, title = title }
  if type == REAL then config.type, config.keepbits, config.deflate = self.type, self.keepbits, self.deflate end
  local ok, reason = log:announce(config)
  self.announced[name] = ok
  return ok, reason
end

-- Calls log[method](log, name, step, ...) on an announced series; the first failure stays.
local function put(self, log, name, type, dims, title, method, ...)
  if self.failed then return end
  local ok, reason = series(self, log, name, type, dims, title)
  if ok then ok, reason = log[method](log, name, self.step, ...) end
  if not ok then self.failed = reason end
end

local function layers(self, get)
  local parts = {}
  for layer = 0, self.config.layers - 1 do parts[layer + 1] = get(layer) end
  return parts
end

-- What all ranks have of it.
local function whole(self, tensor)
  return self.fit:whole(tensor)
end

local function some_rows(self, tensor, axis)
  return self.rows == self.fit.batch and tensor or tensor:slice(axis or 2, 1, self.rows)
end

local function unit_dims(self)
  return { { "layer", self.config.layers }, { "time", self.fit.seq }, { "batch", self.rows },
    { "unit", self.config.hidden } }
end

local function state_dims(self)
  return { { "layer", self.config.layers }, { "batch", self.rows }, { "unit", self.config.hidden } }
end

-- Of one number for each position; or of several, what they are.
local function position_dims(self, last)
  return { { "time", self.fit.seq }, { "batch", self.rows }, last }
end

-- ---- what is recorded -----------------------------------------------------------------------------------------------

local titles = { i = "input gate", f = "forget gate", g = "candidate", o = "output gate", c = "cell state",
  h = "hidden state" }

-- What the network put out, by class (for a network that chooses among classes) or number.
local function output(self, log)
  local fit, vocab = self.fit, self.fit.model.vocab
  local tensor = some_rows(self, whole(self, fit:activation "logits"))
  local size = tensor.shape[3]
  local class = self.config.output and { "component", size } or { "class", size, vocab and #vocab == size and
    describe.symbols(vocab) or nil }
  local dims = position_dims(self, class)
  if self.config.output or self.output == "logits" then
    local name = self.config.output and "output" or "logits"
    put(self, log, self.group .. "/" .. name, REAL, dims, name, "tensors", tensor)
  else
    put(self, log, self.group .. "/probability", REAL, dims, "probability of each class", "probabilities", tensor)
  end
end

-- What the first time step came from.
local function start(self, log)
  local _, _, carried = names_of(self.config)
  for _, name in ipairs(carried) do
    local what = name .. "_start"
    put(self, log, self.group .. "/" .. what, REAL, state_dims(self), titles[name] .. " before the first time step",
      "tensors", layers(self, function(layer) return some_rows(self, whole(self, self.fit:activation(what, layer)), 1) end))
  end
end

-- What it should have put out, and how far it was from that.
local function targets(self, log)
  local fit, group, width = self.fit, self.group, self.config.output
  if fit.has_mask then
    put(self, log, group .. "/mask", "double", position_dims(self), "weight of each position", "mask", fit, self.rows)
  end
  if not fit.has_targets then return end
  put(self, log, group .. "/target", width and REAL or "int32", position_dims(self, width and { "component", width }),
    "target", width and "vectors" or "classes", fit, self.rows)
  put(self, log, group .. "/loss", "double", position_dims(self), "loss of each position, times its weight", "tensors",
    some_rows(self, whole(self, fit:activation "loss")))
end

local function activations(self, log)
  local fit, config = self.fit, self.config
  for _, name in ipairs(self.states) do
    put(self, log, self.group .. "/" .. name, REAL, unit_dims(self), titles[name], "tensors",
      layers(self, function(layer) return some_rows(self, whole(self, fit:activation(name, layer))) end))
  end
  if config.vocab then
    put(self, log, self.group .. "/token", "int32", position_dims(self), "token fed in", "ids", fit, self.rows)
  end
  if fit.model.vocab then -- in a group of its own, since Octave cannot load one with texts in it
    put(self, log, self.inputs .. "/text", "text", { { "batch", self.rows } }, "text fed in", "text", fit, self.rows,
      fit.model.vocab)
  end
  if config.input then
    put(self, log, self.inputs .. "/x", REAL, position_dims(self, { "input", config.input }), "numbers fed in", "dense",
      fit, self.rows)
  end
  start(self, log)
  targets(self, log)
  if self.output ~= "none" then output(self, log) end
end

local function saturation(self, log)
  local fit, config = self.fit, self.config
  local dims = { { "layer", config.layers }, { "unit", config.hidden } }
  for _, gate in ipairs { "i", "f", "o" } do
    local low, high = ("saturation/%s_low"):format(gate), ("saturation/%s_high"):format(gate)
    local share = "share of " .. titles[gate] .. " values "
    local ok, reason = series(self, log, low, "double", dims, share .. "below " .. LOW)
    if not ok then self.failed = self.failed or reason end
    put(self, log, high, "double", dims, share .. "above " .. HIGH, "tails",
      layers(self, function(layer) return whole(self, fit:activation(gate, layer)) end), low, LOW, HIGH, fit)
  end
end

local function parameter_names(self)
  if #self.names == 0 then
    for name in self.fit.model:parameters() do self.names[#self.names + 1] = name end
  end
  return self.names
end

local function map(names, f)
  local values = {}
  for k, name in ipairs(names) do values[k] = f(name) end
  return values
end

local function parameter_dims(self)
  return { { "parameter", #parameter_names(self), parameter_names(self) } }
end

-- Of a parameter, as the optimiser takes it, but before clipping: the mean over the passes that are accumulated so far.
local function mean_gradient(self, name)
  local sum, passes = self.fit:gradient(name), self.fit.summed
  return passes > 1 and sum / passes or sum
end

-- dL/dh and its like, by layer, of all rows.
local function slope_parts(self, name)
  return layers(self, function(layer) return whole(self, self.fit:gradient(name, layer)) end)
end

-- These, of every unit.
local function slope(self, log, group, name, parts)
  put(self, log, group .. "/" .. name, REAL, unit_dims(self), "dL/d" .. name:sub(2), "tensors",
    layers(self, function(layer) return some_rows(self, parts[layer + 1]) end))
end

local function gradients(self, log)
  local fit, config, names = self.fit, self.config, parameter_names(self)
  put(self, log, "gradients/norm", "double", parameter_dims(self), "L2 norm of each parameter's gradient",
    "total_norms", map(names, function(name) return mean_gradient(self, name) end))
  for _, name in ipairs(self.slopes) do
    local parts = slope_parts(self, name)
    put(self, log, "gradients/" .. name .. "_norm", "double", { { "layer", config.layers }, { "time", fit.seq } },
      "L2 norm of dL/d" .. name:sub(2) .. " at each time step", "norms", parts, fit.seq)
    if self.full.gradients then slope(self, log, "gradients", name, parts) end
  end
  local width = config.embed or config.input
  if self.full.gradients and math.type(width) == "integer" and width > 0 then
    put(self, log, "gradients/dx", REAL, position_dims(self, { "input", width }), "dL/d(input of the first layer)",
      "tensors", some_rows(self, whole(self, fit:gradient "input")))
  end
end

-- A parameter's own dimensions: others of the same name may have other sizes.
local function own_dims(name, tensor)
  local dims = {}
  for d, size in ipairs(tensor.shape) do dims[d] = { name .. (d == 1 and ".row" or ".column"), size } end
  return dims
end

local function parameters(self, log)
  local fit, names = self.fit, parameter_names(self)
  local tensors = map(names, function(name) return fit.model:parameter(name) end)
  local measured = {}
  for _, what in ipairs { "mean", "std", "min", "max", "norm" } do
    measured[what] = map(tensors, function(t) return t[what](t) end)
    put(self, log, "parameters/" .. what, "double", parameter_dims(self), what .. " of each parameter", "numbers",
      measured[what])
  end
  put(self, log, "parameters/histogram", "double", { parameter_dims(self)[1], { "bin", BINS } },
    "counts in equal bins from min to max", "histograms", tensors, BINS, measured.min, measured.max)
  for moment = 1, 2 do
    put(self, log, ("parameters/moment%d_norm"):format(moment), "double", parameter_dims(self),
      ("L2 norm of the optimiser's moment %d"):format(moment), "total_norms",
      map(names, function(name) return fit:moment(moment, name) end))
  end
  for k, name in ipairs(self.full.parameters and names or {}) do
    put(self, log, "parameters/" .. name, REAL, own_dims(name, tensors[k]), name, "tensors", tensors[k])
    put(self, log, "parameter_gradients/" .. name, REAL, own_dims(name, tensors[k]), "gradient of " .. name,
      "tensors", mean_gradient(self, name))
  end
end

local recorders = { activations = activations, saturation = saturation, gradients = gradients, parameters = parameters }

-- What a record shall be of must be there: the inside of what was done last in the step.
local function check_inside(self, what, pass)
  local fit = self.fit
  if pass == "backward" and not pcall(fit.gradient, fit, "dh", 0) then
    fault.stop(("cannot record the %s of step %d: the script's fit:forward after the step took the place of its " ..
      "inside; let another trainer of the model do that"):format(what, self.step))
  elseif pass == "forward" and what == "gradients" then
    fault.stop(("cannot record the gradients of step %d: it went forward only; without fit:step or fit:backward " ..
      "there are none"):format(self.step))
  end
end

--- Records the inside of the trainer as it is: `of` what went forward last, and of its backward pass.
function probe:record(log, step)
  local fit = self.fit
  self.step = step
  if not pcall(fit.activation, fit, "h", 0) then
    fault.mistake "run:watch: the trainer has nothing to show: fit:forward or fit:step comes first"
  elseif #self.slopes > 0 and not pcall(fit.gradient, fit, "dh", 0) then
    fault.mistake(("run:watch: there is no %s yet: fit:backward or fit:step comes first"):format(self.slopes[1]))
  end
  activations(self, log)
  for _, name in ipairs(self.slopes) do slope(self, log, self.group, name, slope_parts(self, name)) end
  return not self.failed, self.failed
end

local order = { "activations", "saturation", "gradients", "parameters" }

--- Records what is due after a step: activations and gradients are those of the step, parameters those that it arrived
-- at. log: the log of lua_run.c; pass: "backward", "forward", or nil when the trainer did nothing in this step, so that
-- there are only parameters to record.
function methods:record(log, step, pass)
  self.step = step
  for _, what in ipairs(order) do
    local every = self.every[what]
    if every > 0 and step % every == 0 and (pass or what == "parameters") then
      if what ~= "parameters" then check_inside(self, what, pass) end
      recorders[what](self, log)
      self.recorded[what] = true
    end
  end
  return not self.failed, self.failed
end

--- Sentences about options by which nothing is recorded in the steps after `from` up to `to`: because none of them is
-- due; or, afterwards, because the trainer did nothing in those that were.
function methods:not_due(from, to)
  local list = {}
  for _, what in ipairs(order) do
    local every = self.every[what]
    if every > 0 and from < to and to // every == from // every then
      list[#list + 1] = ("%s.every=%d records nothing in steps %d to %d"):format(what, every, from + 1, to)
    end
  end
  return list
end

function methods:not_recorded(from, to)
  local list = {}
  for _, what in ipairs(order) do
    local every = self.every[what]
    if every > 0 and not self.recorded[what] and to // every > from // every then
      list[#list + 1] = ("%s.every=%d recorded nothing: the trainer that run:steps was given did nothing in those steps")
        :format(what, every)
    end
  end
  return list
end

return watch
