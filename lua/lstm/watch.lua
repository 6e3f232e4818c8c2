-- SPDX-License-Identifier: MIT
--
-- watch.lua - what of the network's inside a run logs, by the options of every experiment:
--
--     activations.every=N    gates i f g o and states c h of every layer, time step and unit, the tokens beside them,
--                            and how often each gate is below 0.1 or above 0.9
--     gradients.every=N      norms: of each parameter's gradient, and of dL/dh, dL/dc and dL/d(gates) by layer and time
--     gradients.full=true    and these themselves, for every unit; and the gradient with respect to the input
--     parameters.every=N     mean, std, min, max, norm and histogram of each parameter, norms of its moments
--     parameters.full=true   and the parameters and their gradients themselves
--     watch.rows=N           rows of the batch in what is logged unit by unit; 0: all
--     watch.keepbits=N       bits of mantissa kept of what is logged unit by unit, for smaller files; 0: all
--
-- Series and dimensions are described in docs/files.md. Functions return true, or nil and a sentence.

local watch = {}
local methods = {}
local meta = { __index = methods }

local BINS = 64
local SATURATED = { { "low", "below", 0.1 }, { "high", "above", 0.9 } }

watch.options = {
  { "activations.every", 0, "steps from one record of all gates and states to the next; 0: none" },
  { "gradients.every", 0, "steps from one record of gradient norms to the next; 0: none" },
  { "gradients.full", false, "record dL/dh, dL/dc and dL/dgates of every unit, too" },
  { "parameters.every", 0, "steps from one record of the parameters' statistics to the next; 0: none" },
  { "parameters.full", false, "record parameters and their gradients themselves, too" },
  { "watch.rows", 1, "rows of the batch that are recorded unit by unit; 0: all" },
  { "watch.keepbits", 0, "bits of mantissa to keep in such records; 0: all" },
}

--- Whether the options' values make sense: true, or nil and a sentence. get: a function, the value of an option.
function watch.check(get)
  for _, group in ipairs { "gradients", "parameters" } do
    if get(group .. ".full") and get(group .. ".every") == 0 then
      return nil, ("option '%s.full' records nothing while %s.every is 0; give %s.every=N, too"):format(group, group,
        group)
    end
  end
  for _, name in ipairs { "activations.every", "gradients.every", "parameters.every", "watch.rows" } do
    if get(name) < 0 then return nil, ("option '%s' must be at least 0, got %d"):format(name, get(name)) end
  end
  local keepbits = get "watch.keepbits"
  if keepbits < 0 or keepbits > 22 then
    return nil, "option 'watch.keepbits' must be 0 to 22, got " .. keepbits
  end
  return true
end

--- cfg: the options' values; fit: the trainer. nil when nothing is to be watched.
function watch.new(cfg, fit)
  local every = { activations = cfg.activations.every, gradients = cfg.gradients.every,
    parameters = cfg.parameters.every }
  if not fit or every.activations + every.gradients + every.parameters == 0 then return nil end
  local config = fit.model.config
  local rows = cfg.watch.rows
  if rows < 1 or rows > fit.batch then rows = fit.batch end
  return setmetatable({
    fit = fit, every = every, rows = rows, keepbits = cfg.watch.keepbits,
    full = { gradients = cfg.gradients.full, parameters = cfg.parameters.full },
    config = config, type = config.precision, is_lstm = config.cell == "lstm",
    states = config.cell == "lstm" and { "i", "f", "g", "o", "c", "h" } or { "h" },
    slopes = config.cell == "lstm" and { "dh", "dc", "di", "df", "dg", "do" } or { "dh", "dg" },
    names = {}, announced = {},
  }, meta)
end

-- ---- series -------------------------------------------------------------------------------------------------------

-- The first use of a series announces it.
local function series(self, log, name, type, dims, title)
  if self.announced[name] then return true end
  local ok, reason = log:announce { name = name, type = type, dims = dims, title = title,
    keepbits = type == "float" and self.keepbits or 0 }
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

local function some_rows(self, tensor)
  return self.rows == self.fit.batch and tensor or tensor:slice(2, 1, self.rows)
end

local function unit_dims(self)
  return { { "layer", self.config.layers }, { "time", self.fit.seq }, { "batch", self.rows },
    { "unit", self.config.hidden } }
end

-- ---- what is recorded -----------------------------------------------------------------------------------------------

local titles = { i = "input gate", f = "forget gate", g = "candidate", o = "output gate", c = "cell state",
  h = "hidden state" }

local function activations(self, log)
  local fit, config = self.fit, self.config
  for _, name in ipairs(self.states) do
    put(self, log, "activations/" .. name, self.type, unit_dims(self), titles[name], "tensors",
      layers(self, function(layer) return some_rows(self, whole(self, fit:activation(name, layer))) end))
  end
  if config.vocab then
    put(self, log, "activations/token", "int32", { { "time", fit.seq }, { "batch", self.rows } }, "token fed in",
      "ids", fit, self.rows)
  end
  for _, gate in ipairs(self.is_lstm and { "i", "f", "o" } or {}) do
    local parts = layers(self, function(layer) return whole(self, fit:activation(gate, layer)) end)
    for _, end_ in ipairs(SATURATED) do
      local name, side, bound = table.unpack(end_)
      put(self, log, ("saturation/%s_%s"):format(gate, name), "double",
        { { "layer", config.layers }, { "unit", config.hidden } },
        ("share of %s values %s %g"):format(titles[gate], side, bound), "share", parts, side, bound)
    end
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

local function gradients(self, log)
  local fit, config, names = self.fit, self.config, parameter_names(self)
  put(self, log, "gradients/norm", "double", parameter_dims(self), "L2 norm of each parameter's gradient", "numbers",
    map(names, function(name) return fit:gradient(name):norm() end))
  for _, name in ipairs(self.slopes) do
    local parts = layers(self, function(layer) return whole(self, fit:gradient(name, layer)) end)
    put(self, log, "gradients/" .. name .. "_norm", "double", { { "layer", config.layers }, { "time", fit.seq } },
      "L2 norm of dL/d" .. name:sub(2) .. " at each time step", "norms", parts, fit.seq)
    if self.full.gradients then
      put(self, log, "gradients/" .. name, self.type, unit_dims(self), "dL/d" .. name:sub(2), "tensors",
        layers(self, function(layer) return some_rows(self, parts[layer + 1]) end))
    end
  end
  local width = config.embed or config.input
  if self.full.gradients and math.type(width) == "integer" and width > 0 then
    put(self, log, "gradients/input", self.type, { { "time", fit.seq }, { "batch", self.rows }, { "input", width } },
      "dL/d(input of the first layer)", "tensors", some_rows(self, whole(self, fit:gradient "input")))
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
      ("L2 norm of the optimiser's moment %d"):format(moment), "numbers",
      map(names, function(name) return fit:moment(moment, name):norm() end))
  end
  for k, name in ipairs(self.full.parameters and names or {}) do
    put(self, log, "parameters/" .. name, self.type, own_dims(name, tensors[k]), name, "tensors", tensors[k])
    put(self, log, "parameter_gradients/" .. name, self.type, own_dims(name, tensors[k]), "gradient of " .. name,
      "tensors", fit:gradient(name))
  end
end

local recorders = { activations = activations, gradients = gradients, parameters = parameters }

--- Records what is due after a step of training: activations and gradients are those of the step, parameters those that
-- it arrived at. log: the log of lua_run.c.
function methods:record(log, step)
  self.step = step
  for _, what in ipairs { "activations", "gradients", "parameters" } do
    local every = self.every[what]
    if every > 0 and step % every == 0 then recorders[what](self, log) end
  end
  return not self.failed, self.failed
end

return watch
