-- SPDX-License-Identifier: MIT
--
-- Wrong calls. Each must raise an error that begins with the script's position and names what is wrong, and must leave
-- everything as it was: the same good calls work afterwards, nothing is leaked into the globals.

local lstm = require "lstm"
local tap = require "tap"

local globals = {}
for name in pairs(_G) do globals[name] = true end

local text = assert(lstm.corpus { text = ("to be or not to be, that is the question\n"):rep(20), split = { 0.8, 0.2 } })
local other = assert(lstm.corpus { text = ("wholly different: 0123456789 symbols"):rep(20), split = { 0.8, 0.2 } })
local words = assert(lstm.corpus { text = "one two three two one\n", tokens = "words" })
local V = #text.vocab
local model = lstm.model { vocab = text.vocab, hidden = 8, layers = 2, seed = 3 }
local plain = lstm.model { vocab = 5, hidden = 4 }
local dense = lstm.model { input = 3, hidden = 4, output = 2 }
local rnn = lstm.model { cell = "rnn", vocab = 5, hidden = 4 }
local fit = model:trainer { batch = 2, seq = 4 }
local plain_fit = plain:trainer { batch = 2, seq = 3 }
local dense_fit = dense:trainer { batch = 2, seq = 3 }
local rnn_fit = rnn:trainer { batch = 2, seq = 3 }
local stream = text:train { batch = 2, seq = 4 }
local matrix = lstm.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
local closed_model = lstm.model { vocab = 5, hidden = 4 }
local closed_fit = closed_model:trainer { batch = 1, seq = 1 }
local orphan_view = closed_fit:state_view "h"
local closed_view = closed_model:parameter "head.bias"
closed_model:close()
local closed_text = assert(lstm.corpus { text = "abcabc" })
local closed_stream = closed_text:train { batch = 1, seq = 1 }
closed_text:close()
closed_stream:close()

local function ids(T, B, value)
  local t = {}
  for k = 1, T do
    t[k] = {}
    for b = 1, B do t[k][b] = value or 0 end
  end
  return t
end

local env = setmetatable({
  lstm = lstm, text = text, other = other, words = words, model = model, plain = plain, dense = dense, rnn = rnn,
  fit = fit, plain_fit = plain_fit, dense_fit = dense_fit, rnn_fit = rnn_fit, stream = stream, matrix = matrix,
  closed_model = closed_model, closed_fit = closed_fit, orphan_view = orphan_view, closed_view = closed_view,
  closed_text = closed_text, closed_stream = closed_stream, ids = ids, nan = 0 / 0, inf = 1 / 0,
  zeros = lstm.tensor.zeros,
}, { __index = _G, __newindex = function(_, name) error("a global was written: " .. name) end })

-- { script, what the error must contain after its position, ... }
local wrong = {
  -- models: sizes
  { "lstm.model()", "bad argument #1 to 'model' (table expected, got nil)" },
  { "lstm.model(12)", "bad argument #1 to 'model' (table expected, got 12)" },
  { "lstm.model('lstm')", "table expected, got 'lstm'" },
  { "lstm.model { vocab = 5 }", "bad argument #1 to 'model' (field 'hidden': positive integer expected, got nil)" },
  { "lstm.model { vocab = 5, hidden = -4 }",
    "bad argument #1 to 'model' (field 'hidden': positive integer expected, got -4)" },
  { "lstm.model { vocab = 5, hidden = 0 }", "field 'hidden': positive integer expected, got 0" },
  { "lstm.model { vocab = 5, hidden = 2.5 }", "field 'hidden': positive integer expected, got 2.5" },
  { "lstm.model { vocab = 5, hidden = nan }", "field 'hidden': positive integer expected, got nan" },
  { "lstm.model { vocab = 5, hidden = inf }", "field 'hidden'", "got inf" },
  { "lstm.model { vocab = 5, hidden = -inf }", "field 'hidden'", "got -inf" },
  { "lstm.model { vocab = 5, hidden = 2^31 }",
    "field 'hidden': positive integer up to 2147483647 expected, got 2147483648" },
  { "lstm.model { vocab = 5, hidden = 1 << 31 }",
    "field 'hidden': positive integer up to 2147483647 expected, got 2147483648" },
  { "lstm.model { vocab = 5, hidden = 2^53 }", "field 'hidden'" },
  { "lstm.model { vocab = 5, hidden = 1 << 62 }", "field 'hidden'", "4611686018427387904" },
  { "lstm.model { vocab = 5, hidden = math.mininteger }", "field 'hidden'" },
  { "lstm.model { vocab = 5, hidden = '64' }", "field 'hidden': positive integer expected, got '64'" },
  { "lstm.model { vocab = 5, hidden = true }", "field 'hidden': positive integer expected, got true" },
  { "lstm.model { vocab = 5, hidden = {} }", "field 'hidden'", "got a table" },
  { "lstm.model { vocab = 5, hidden = print }", "field 'hidden'", "got a function" },
  { "lstm.model { vocab = 5, hidden = text }", "field 'hidden'", "got a lstm.corpus" },
  { "lstm.model { vocab = 5, hidden = 4, layers = 0 }", "field 'layers': positive integer expected, got 0" },
  { "lstm.model { vocab = 5, hidden = 4, layers = 1 << 30 }", "field 'layers'" },
  { "lstm.model { vocab = 2^31 - 1, hidden = 2^31 - 1 }", "model" },
  { "lstm.model { vocab = 5, hidden = 64, max_memory = 1000 }", "max_memory" },
  { "lstm.model { vocab = 5, hidden = 64, max_memory = -1 }",
    "field 'max_memory': non-negative integer expected, got -1" },
  -- models: what goes in and out
  { "lstm.model { hidden = 4 }", "field 'vocab'", "got nil" },
  { "lstm.model { vocab = 0, hidden = 4 }", "field 'vocab': positive integer expected, got 0" },
  { "lstm.model { vocab = 'abc', hidden = 4 }", "field 'vocab': positive integer or vocabulary expected, got 'abc'" },
  { "lstm.model { vocab = closed_text, hidden = 4 }", "field 'vocab'" },
  { "lstm.model { vocab = 5, embed = -1, hidden = 4 }", "field 'embed': non-negative integer expected, got -1" },
  { "lstm.model { vocab = 5, input = 3, hidden = 4 }", "field 'input'", "got both" },
  { "lstm.model { input = 3, embed = 2, hidden = 4, output = 1 }", "field 'embed': only with 'vocab'" },
  { "lstm.model { input = 3, hidden = 4 }", "field 'output'", "got nil" },
  { "lstm.model { input = 3, hidden = 4, output = 1, classes = 2 }", "field 'output'", "got both" },
  { "lstm.model { input = 3, hidden = 4, output = 0 }", "field 'output': positive integer expected, got 0" },
  { "lstm.model { input = -3, hidden = 4, output = 1 }", "field 'input': positive integer expected, got -3" },
  { "lstm.model { vocab = 5, classes = 1.5, hidden = 4 }", "field 'classes'", "got 1.5" },
  -- models: names and choices
  { "lstm.model { vocab = 5, hiden = 4 }", "unknown field 'hiden', did you mean 'hidden'?" },
  { "lstm.model { vocab = 5, hidden = 4, quux = 1 }", "unknown field 'quux')" },
  { "lstm.model { vocab = 5, hidden_size = 4 }", "unknown field 'hidden_size', did you mean 'hidden'?" },
  { "lstm.model { vocab = 5, hidden = 4, num_layers = 2 }", "unknown field 'num_layers', did you mean 'layers'?" },
  { "lstm.model { vocab = 5, hidden = 4, EMBED = 2 }", "unknown field 'EMBED', did you mean 'embed'?" },
  { "lstm:model { vocab = 5, hidden = 4 }",
    "bad argument #1 to 'model' (the table itself expected; write a dot, not a colon, before 'model')" },
  { "lstm.tensor:zeros { 3 }", "bad argument #1 to 'zeros' (the table itself expected; write a dot" },
  { "lstm:experiment { run = print }", "'experiment' (the table itself expected; write a dot, not a colon" },
  { "lstm:sequences { batch = 1 }", "'sequences' (the table itself expected; write a dot, not a colon" },
  { "lstm:sweep { experiment = 'x' }", "'sweep' (the table itself expected; write a dot, not a colon" },
  { "lstm.model { 5, hidden = 4 }", "unknown field [1]" },
  { "lstm.model { vocab = 5, hidden = 4, [true] = 1 }", "unknown field [true]" },
  { "lstm.model { cell = 'gru', vocab = 5, hidden = 4 }", "field 'cell': 'lstm' or 'rnn' expected, got 'gru'" },
  { "lstm.model { cell = 1, vocab = 5, hidden = 4 }", "field 'cell': 'lstm' or 'rnn' expected, got 1" },
  { "lstm.model { vocab = 5, hidden = 4, precision = 'half' }",
    "field 'precision': 'float', 'double', 'bf16x6', 'bf16x3', 'bf16' or 'auto' expected, got 'half'" },
  { "lstm.model { vocab = 5, hidden = 4, dropout = 1 }", "field 'dropout': number from 0 to below 1 expected, got 1" },
  { "lstm.model { vocab = 5, hidden = 4, dropout = -0.1 }", "field 'dropout'", "got -0.1" },
  { "lstm.model { vocab = 5, hidden = 4, dropout = nan }", "field 'dropout'", "got nan" },
  { "lstm.model { vocab = 5, hidden = 4, seed = -1 }", "field 'seed': non-negative integer expected, got -1" },
  { "lstm.model { vocab = 5, hidden = 4, seed = 0.5 }", "field 'seed'", "got 0.5" },
  -- models: initialisation
  { "lstm.model { vocab = 5, hidden = 4, init = 'xavier_norml' }",
    "field 'init': no scheme 'xavier_norml', did you mean 'xavier_normal'?" },
  { "lstm.model { vocab = 5, hidden = 4, init = 'normal' }", "field 'init': 'normal' needs an argument" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'normal', 'wide' } }",
    "field 'init': argument of 'normal': finite number expected, got 'wide'" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'uniform', inf } }", "field 'init'", "got inf" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'normal', 0, 0.1 } }", -- a mean, too
    "field 'init': { \"name\", argument } expected, got something at [3], too" },
  { "lstm.model { vocab = 5, hidden = 4, init = { head = { 'he_normal', gain = 2 } } }",
    "field 'init.head': { \"name\", argument } expected, got something at ['gain'], too" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'uniform', -0.1 } }",
    "field 'init': argument of 'uniform': non-negative number expected, got -0.1" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'zeros', 3 } }", "field 'init': 'zeros' takes no argument, got 3" },
  { "lstm.model { vocab = 5, hidden = 4, init = { 'identity', 0 } }",
    "field 'init': argument of 'identity': a number other than 0 expected, got 0" },
  { "lstm.model { vocab = 5, hidden = 4, init = 3 }", "field 'init'", "got 3" },
  { "lstm.model { vocab = 5, hidden = 4, init = { recurent = 'zeros' } }",
    "unknown field 'init.recurent', did you mean 'recurrent'?" },
  { "lstm.model { vocab = 5, hidden = 4, init = { bias = 'orthogonal' } }",
    "field 'init': bias: 'orthogonal' is for matrices" },
  { "lstm.model { vocab = 5, hidden = 4, init = { head = false } }", "field 'init.head'", "got false" },
  { "lstm.model { vocab = 5, hidden = 4, init = { head = { 3 } } }",
    "field 'init.head': { \"name\", argument } expected, got 3 first" },
  { "lstm.model { vocab = 5, hidden = 4, init = function(name) return 'x' end }", "field 'init'", "got 'x'" },
  { "lstm.model { vocab = 5, hidden = 4, init = function(name) return { 1, 2 } end }",
    "field 'init'", "shape", "got [2]" },
  { "lstm.model { vocab = 5, hidden = 4, init = function(name) error 'my own' end }", "my own" },
  { "lstm.model { cell = 'rnn', vocab = 5, hidden = 4, forget_bias = 1 }",
    "field 'forget_bias': 0 expected (an rnn has no forget gate), got 1" },
  { "lstm.model { vocab = 5, hidden = 4, forget_bias = 'one' }",
    "field 'forget_bias': finite number expected, got 'one'" },
  -- models: methods
  { "model:parameter()", "bad argument #1 to 'parameter' (name expected, got nothing)" },
  { "model:parameter 'lstm.weight_hh_l2'", "no parameter 'lstm.weight_hh_l2', did you mean 'lstm.weight_hh_l" },
  { "model:parameter 'x'", "no parameter 'x'" },
  { "model.parameter('lstm.bias_l0')", "calling 'parameter' on bad self (lstm.model expected, got 'lstm.bias_l0')" },
  { "return model.hiden", "a lstm.model has no field or method 'hiden'" },
  { "return model.confg", "a lstm.model has no field or method 'confg', did you mean 'config'?" },
  { "return model[1]", "a lstm.model has no field or method 1" },
  { "return matrix.shpae", "a lstm.tensor has no field or method 'shpae', did you mean 'shape'?" },
  { "return fit.update_s", "a lstm.trainer has no field or method 'update_s', did you mean 'update'?" },
  { "model.size = 3", "attempt to set field 'size' of a lstm.model (none of its fields can be set)" },
  { "text.x = 3", "attempt to set field 'x' of a lstm.corpus (none" },
  { "stream[1] = 3", "attempt to set field 1 of a lstm.stream (none" },
  -- trainers
  { "model:trainer()", "bad argument #1 to 'trainer' (table expected, got nil)" },
  { "model:trainer { seq = 3 }", "field 'batch': positive integer expected, got nil" },
  { "model:trainer { batch = 3 }", "field 'seq': positive integer expected, got nil" },
  { "model:trainer { batch = 0, seq = 3 }", "field 'batch': positive integer expected, got 0" },
  { "model:trainer { batch = 1 << 40, seq = 3 }", "field 'batch': positive integer up to 2147483647 expected" },
  { "model:trainer { batch = 2^31 - 1, seq = 2^31 - 1 }", "bad argument #1 to 'trainer' (field 'seq'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'adamax' }",
    "field 'optimizer': 'adamw', 'adam', 'sgd' or 'rmsprop' expected, got 'adamax'" },
  { "model:trainer { batch = 3, seq = 4, lr = -1 }", "field 'lr': non-negative number expected, got -1" },
  { "model:trainer { batch = 3, seq = 4, lr = nan }", "field 'lr'", "got nan" },
  { "model:trainer { batch = 3, seq = 4, lr = '1e-3' }", "field 'lr'", "got '1e-3'" },
  { "model:trainer { batch = 3, seq = 4, beta1 = 1 }", "field 'beta1': number from 0 to below 1 expected, got 1" },
  { "model:trainer { batch = 3, seq = 4, beta2 = 1.5 }", "field 'beta2'", "got 1.5" },
  { "model:trainer { batch = 3, seq = 4, eps = -1 }", "field 'eps'", "got -1" },
  { "model:trainer { batch = 3, seq = 4, weight_decay = inf }", "field 'weight_decay'", "got inf" },
  { "model:trainer { batch = 3, seq = 4, decay_biases = 1 }", "field 'decay_biases': true or false expected, got 1" },
  { "model:trainer { batch = 3, seq = 4, bias_correction = 'none' }",
    "field 'bias_correction': 'power' or 'constant' expected, got 'none'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'sgd', bias_correction = 'power' }",
    "field 'bias_correction': only with optimizer = 'adamw' or 'adam'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'adam', momentum = 0.9 }",
    "field 'momentum': only with optimizer = 'sgd' or 'rmsprop'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'sgd', beta1 = 0.8 }",
    "field 'beta1': only with optimizer = 'adamw' or 'adam'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'rmsprop', beta2 = 0.8 }",
    "field 'beta2': only with optimizer = 'adamw' or 'adam'" },
  { "model:trainer { batch = 3, seq = 4, optimizer = 'sgd', eps = 1e-6 }",
    "field 'eps': only with optimizer = 'adamw', 'adam' or 'rmsprop'" },
  { "model:trainer { batch = 3, seq = 4, alpha = 0.9 }", "field 'alpha': only with optimizer = 'rmsprop'" },
  { "model:trainer { batch = 3, seq = 4, clip_norm = 0 }", "field 'clip_norm': positive number expected, got 0" },
  { "model:trainer { batch = 3, seq = 4, clip_norm = 1, clip_value = 1 }", "field 'clip_norm'", "got both" },
  { "model:trainer { batch = 3, seq = 4, learning_rate = 1 }", "unknown field 'learning_rate', did you mean 'lr'?" },
  { "model:trainer { batch = 3, seq = 4, clipnorm = 1 }", "unknown field 'clipnorm', did you mean 'clip_norm'?" },
  { "model:trainer { batch = 3, seq = 4, accumulate = 0 }", "field 'accumulate': positive integer expected, got 0" },
  { "model:trainer { batch = 3, seq = 4, loss_at = 'end' }", "field 'loss_at': 'all' or 'last' expected, got 'end'" },
  { "model:trainer { batch = 3, seq = 4, reduction = 'max' }",
    "field 'reduction': 'mean' or 'sum' expected, got 'max'" },
  { "model:trainer { batch = 3, seq = 4, carry = 'yes' }", "field 'carry': true or false expected, got 'yes'" },
  { "model:trainer { batch = 3, seq = 4, threads = -1 }", "field 'threads'", "got -1" },
  -- batches
  { "fit:step()", "bad argument #1 to 'step' (batch table, text or stream expected, got nil)" },
  { "fit:step(3)", "batch table, text or stream expected, got 3" },
  { "fit:step {}", "field 'ids': table or tensor expected, got nil" },
  { "fit:step { ids = 3 }", "field 'ids': table or tensor expected, got 3" },
  { "fit:step { ids = {} }", "empty table" },
  { "fit:step { ids = ids(4, 2) }", "field 'targets': table or tensor expected, got nil" },
  { "fit:step { ids = ids(5, 2), targets = ids(5, 2) }", "field 'ids': at most 4 time steps (seq) expected, got 5" },
  { "fit:step { ids = ids(4, 3), targets = ids(4, 3) }", "field 'ids': shape [4,2] expected, got [4,3]" },
  { "fit:step { ids = ids(4, 2), targets = ids(3, 2) }", "field 'targets': shape [4,2] expected, got [3,2]" },
  { "fit:step { ids = ids(4, 2, " .. V .. "), targets = ids(4, 2) }",
    "field 'ids', element [1][1]: integer from 0 to " .. V - 1 .. " expected, got " .. V },
  { "fit:step { ids = ids(4, 2, -1), targets = ids(4, 2) }", "element [1][1]", "got -1" },
  { "fit:step { ids = ids(4, 2, 0.5), targets = ids(4, 2) }", "element [1][1]", "got 0.5" },
  { "fit:step { ids = ids(4, 2, nan), targets = ids(4, 2) }", "element [1][1]", "got nan" },
  { "fit:step { ids = ids(4, 2), targets = ids(4, 2, 99) }", "field 'targets', element [1][1]", "got 99" },
  { "local t = ids(4, 2) t[3][2] = 77 fit:step { ids = t, targets = ids(4, 2) }",
    "field 'ids', element [3][2]", "got 77" },
  { "local t = ids(4, 2) t[3][2] = 'x' fit:step { ids = t, targets = ids(4, 2) }",
    "field 'ids', element [3][2]: number expected, got 'x'" },
  { "local t = ids(4, 2) t[2] = 1 fit:step { ids = t, targets = ids(4, 2) }",
    "field 'ids', element [2]: table expected, got 1" },
  { "local t = ids(4, 2) t[2] = { 1 } fit:step { ids = t, targets = ids(4, 2) }",
    "field 'ids', element [2]: 2 elements (as in the first) expected, got 1" },
  { "fit:step { ids = ids(4, 2), targets = ids(4, 2), mask = ids(4, 2, -1) }",
    "field 'mask', element [1][1]: finite non-negative number expected, got -1" },
  { "fit:step { ids = ids(4, 2), targets = ids(4, 2), mask = ids(4, 2, 0) }", "step" },
  { "fit:step { ids = ids(4, 2), targets = ids(4, 2), reset = 1 }", "field 'reset': true or false expected, got 1" },
  { "dense_fit:step { x = zeros { 3, 2, 3 }, targets = ids(3, 2) }",
    "field 'targets': the model has a linear output; what it should be is the field 'y'" },
  { "local t = ids(4, 2) t[0] = { 0, 0 } fit:step { ids = t, targets = ids(4, 2) }",
    "(field 'ids': elements [1] to [4] expected, got [0], too)" },
  { "local t = ids(4, 2) t[2][0] = 1 fit:step { ids = ids(4, 2), targets = t }",
    "(field 'targets', element [2]: elements [1] to [2] expected, got [0], too)" },
  { "local t = ids(4, 2) t.lable = 3 fit:step { ids = t, targets = ids(4, 2) }", "got ['lable'], too" },
  { "matrix:assign { { 1, 2, 3 }, { 4, 5, 6, [9] = 3 } }",
    "#1 to 'assign' (element [2]: elements [1] to [3] expected, got [9], too)" },
  { "matrix:assign { { 1, 2, 3 }, { 4, 5, 6 }, type = 'float' }", "(elements [1] to [2] expected, got ['type'], too)" },
  { "lstm.tensor { { [0] = 1, 2 } }", "'tensor' (element [1]: elements [1] to [1] expected, got [0], too)" },
  { "fit:step { ids = ids(4, 2), target = ids(4, 2) }", "unknown field 'target', did you mean 'targets'?" },
  { "fit:step { x = ids(4, 2), targets = ids(4, 2) }", "unknown field 'x'" },
  { "fit:step { ids = closed_view, targets = ids(4, 2) }", "attempt to use tensor 'head.bias' of a closed model" },
  { "dense_fit:step { ids = ids(3, 2), y = zeros { 3, 2, 2 } }", "unknown field 'ids'" },
  { "dense_fit:step { x = zeros { 3, 2, 4 }, y = zeros { 3, 2, 2 } }",
    "field 'x': shape [3,2,3] expected, got [3,2,4]" },
  { "dense_fit:step { x = zeros { 3, 2, 3 }, y = zeros { 3, 2 } }", "field 'y': shape [3,2,2] expected, got [3,2]" },
  { "dense_fit:step { x = zeros { 4, 2, 3 }, y = zeros { 4, 2, 2 } }",
    "field 'x': at most 3 time steps (seq) expected, got 4" },
  { "dense_fit:step { x = { { { 1, 2, 3 }, { 4, 5, nan } } }, y = zeros { 1, 2, 2 } }",
    "field 'x', element [1][2][3]: finite number (as a float) expected, got nan" },
  { "dense_fit:step { x = { { { 1, 2, 3 }, { 1e39, 5, 6 } } }, y = zeros { 1, 2, 2 } }", "[1][2][1]", "got 1e+39" },
  { "dense_fit:step(text)", "batch table expected" },
  { "fit:forward(text, { dropuot = false })", "argument #2 to 'forward' (unknown field 'dropuot', did you mean 'dropout'?)" },
  { "require('lstm.random').new(1):integer(1, 2.5)", "bad argument #2 to 'integer' (integer expected, got 2.5)" },
  { "fit:forward(text, false)", "bad argument #2 to 'forward' (table expected, got false)" },
  { "fit:step(other)", "the model only vocab=" },
  { "fit:step(words)", "vocabulary" },
  { "fit:step(text:train { batch = 3, seq = 4 })", "stream of batch=2 and seq up to 4 expected, got batch=3, seq=4" },
  { "fit:step(closed_text)", "closed text" },
  { "fit:step(closed_stream)", "closed stream" },
  { "fit:step { next = function() return 3 end }", "table expected, got 3" },
  { "fit:step { next = function() return nil end }", "the stream is at its end" },
  { "fit:backward()", "attempt to call 'backward' without a forward before it" },
  { "fit:update()", ": update: no backward pass came before it" },
  -- what there is to see
  { "fit:activation 'z'",
    "bad argument #1 to 'activation' ('i', 'f', 'g', 'o', 'c', 'h', 'h_start', 'c_start', 'logits' or 'loss' " ..
      "expected, got 'z')" },
  { "fit:activation()", "name expected, got nothing" },
  { "fit:activation('h', 2)", "layer: integer from 0 to 1 expected, got 2" },
  { "fit:activation('h', -1)", "layer: integer from 0 to 1 expected, got -1" },
  { "fit:activation('h', 0.5)", "layer", "got 0.5" },
  { "plain_fit:activation 'h'", "activation" },
  { "rnn_fit:activation 'i'", "activation" },
  { "fit:gradient 'nothing'", "bad argument #1 to 'gradient' (no parameter 'nothing', nor one of 'di', 'df'" },
  { "fit:gradient 'input'", "gradient" },
  { "fit:moment(3, 'head.bias')", "bad argument #1 to 'moment' (integer from 1 to 2 expected, got 3)" },
  { "fit:moment(1, 'head.bais')", "bad argument #2 to 'moment' (no parameter 'head.bais')" },
  { "fit:state_view 'x'", "'h' or 'c' expected, got 'x'" },
  { "fit:state_view('h', 7)", "integer from 0 to 1 expected, got 7" },
  { "fit:set_state { h = {} }", "set_state" },
  { "fit:set_state { h = 3, c = 3 }", "field 'h'", "got 3" },
  { "fit:set_state { h = { [0] = zeros { 2, 8 }, zeros { 2, 9 } }, c = fit:state().c }",
    "field 'h', layer 1: shape [2,8] expected, got [2,9]" },
  { "local f = rnn:trainer { batch = 1, seq = 1 }; local closing = { __index = function() f:close() return 0 end }; " ..
    "f:set_state { h = setmetatable({}, closing) }", "attempt to call 'set_state' on a closed trainer" },
  { "fit:set_counters { updates = 1 }", "field 'passes': non-negative integer expected, got nil" },
  { "fit:set_counters { updates = -1, passes = 0, accumulated = 0 }", "field 'updates'", "got -1" },
  { "fit:profile(1)", "bad argument #1 to 'profile' (true or false expected, got 1)" },
  { "fit.lr = -1", "bad argument #1 to 'lr' (non-negative number expected, got -1)" },
  { "fit.lr = nan", "got nan" },
  { "fit.lr = 'fast'", "got 'fast'" },
  { "fit.lr = 1e200; fit.lr_scale = 1e200",
    "bad argument #1 to 'lr_scale' (finite product of 'lr' and 'lr_scale' expected, got 1e+200 * 1e+200)" },
  { "fit.batch = 3", "attempt to set field 'batch' of a trainer" },
  { "fit:stream(3)", "bad argument #1 to 'stream' (lstm.corpus expected, got 3)" },
  -- evaluation and sampling
  { "fit:evaluate()", "bad argument #1 to 'evaluate' (batch table, text or stream expected, got nil)" },
  { "fit:evaluate(text, { bach = 3 })", "bad argument #2 to 'evaluate' (unknown field 'bach', did you mean 'batch'?)" },
  { "fit:evaluate(text, { batches = 0 })", "field 'batches': positive integer expected, got 0" },
  { "fit:evaluate(text, { batch = 0 })", "field 'batch': positive integer expected, got 0" },
  { "fit:evaluate(text, { part = 'test' })", "test" },
  { "fit:evaluate(text, { batch = 10000 })", "10000" },
  { "fit:evaluate(stream, { part = 'val' })", "field 'part': only with a text" },
  { "fit:evaluate { ids = ids(4, 2) }", "batch with targets expected" },
  { "fit:evaluate { next = function() end }", "bad argument #1 to 'evaluate' (at least one batch expected, got none)" },
  { "model:evaluate { ids = ids(4, 2), targets = ids(4, 2) }", "field 'batch': positive integer expected, got nil" },
  { "model:sample()", "bad argument #1 to 'sample' (table expected, got nil)" },
  { "model:sample { length = -1 }", "field 'length': non-negative integer expected, got -1" },
  { "model:sample { length = 2^40 }", "field 'length': integer from 0 to 2147483647 expected" },
  { "model:sample { temperature = -1 }", "field 'temperature': non-negative number expected, got -1" },
  { "model:sample { temperature = nan }", "field 'temperature'", "got nan" },
  { "model:sample { top_k = 1.5 }", "field 'top_k'", "got 1.5" },
  { "model:sample { greedy = 'no' }", "field 'greedy': true or false expected, got 'no'" },
  { "model:sample { prime = 'ZZZ' }", "bad argument #1 to 'sample' (field 'prime'", "Z" },
  { "model:sample { prime = 'ZZZ', unknown = 'Q' }",
    "field 'unknown': 'error' or a symbol of the vocabulary expected, got 'Q'" },
  { "model:sample { prime = 12 }", "field 'prime': string or list of ids expected, got 12" },
  { "model:sample { prime = { 1, 99 } }", "field 'prime', element [2]", "got 99" },
  { "model:sample { each = 'no' }", "field 'each': function expected, got 'no'" },
  { "model:sample { top_p = 0.9 }", "unknown field 'top_p', did you mean 'top_k'?" },
  { "plain:sample { prime = 'a' }", "field 'prime': list of ids expected (the model has no vocabulary), got 'a'" },
  { "dense:sample { length = 3 }", "does not go from tokens to tokens" },
  -- tensors
  { "lstm.tensor()", "bad argument #1 to 'tensor' (table expected, got nil)" },
  { "lstm.tensor {}", "empty table" },
  { "lstm.tensor { { 1, 2 }, { 3 } }", "element [2]: 2 elements (as in the first) expected, got 1" },
  { "lstm.tensor { { 1, 2 }, 3 }", "element [2]: table expected, got 3" },
  { "lstm.tensor { 1, 'x' }", "element [2]: number expected, got 'x'" },
  { "lstm.tensor { { { { { { 1 } } } } } }", "at most 5 deep" },
  { "lstm.tensor { 1, type = 'int' }", "field 'type': 'float' or 'double' expected, got 'int'" },
  { "lstm.tensor { 1, shape = 2 }", "unknown field 'shape'" },
  { "zeros { }", "bad argument #1 to 'zeros' (1 to 5 sizes expected, got 0)" },
  { "zeros { 1, 2, 3, 4, 5, 6 }", "1 to 5 sizes expected, got 6" },
  { "zeros { 0 }", "size 1: positive integer expected, got 0" },
  { "zeros { 3, -2 }", "size 2: positive integer expected, got -2" },
  { "zeros { 2^31 - 1, 2^31 - 1, 2^31 - 1 }", "does not fit into memory" },
  { "zeros { 1 << 20, 1 << 20, 1 << 10 }",
    "bad argument #1 to 'zeros' (shape [1048576,1048576,1024] does not fit into memory)" },
  { "zeros { 3, 1 << 62 }", "size 2: positive integer up to 2147483647 expected" },
  { "lstm.tensor.full { 3 }", "field 'value': number expected, got nil" },
  { "lstm.tensor.normal { 3, std = -1 }", "field 'std'", "got -1" },
  { "lstm.tensor.uniform { 3, low = 3, high = 1 }", "(field 'high': at least low=3.0 expected, got 1.0)" },
  { "lstm.tensor.uniform { 3, low = nan }", "field 'low'", "got nan" },
  { "return matrix[0]", "bad argument #1 to 'index' (axis 1: integer from 1 to 2 expected, got 0)" },
  { "return matrix[4]", "got 4" },
  { "return matrix[1.5]", "got 1.5" },
  { "matrix[3] = 1", "bad argument #1 to 'newindex' (axis 1: integer from 1 to 2 expected, got 3)" },
  { "matrix:slice(1, 1)", "bad argument #3 to 'slice' (axis 1: integer from 1 to 2 expected, got nothing)" },
  { "matrix:slice()", "bad argument #1 to 'slice' (axis: integer from 1 to 2 expected, got nothing)" },
  { "matrix:transpose(1)", "bad argument #2 to 'transpose' (axis: integer from 1 to 2 expected, got nothing)" },
  { "matrix.foo = 1", "attempt to set field 'foo' of a tensor" },
  { "matrix[1] = 'x'", "number, table or tensor expected, got 'x'" },
  { "matrix[1] = { 1, 2 }", "shape [3] expected, got [2]" },
  { "return matrix:get(1, 2, 3)", "bad argument #3 to 'get' (too many indices for a tensor of 2 axes)" },
  { "return matrix:get(1, 4)", "bad argument #2 to 'get' (axis 2: integer from 1 to 3 expected, got 4)" },
  { "matrix:set(1, 3, 1)", "bad argument #2 to 'set' (axis 1: integer from 1 to 2 expected, got 3)" },
  { "matrix:set()", "number, table or tensor expected, got nothing" },
  { "matrix:assign {}", "empty table" },
  { "matrix:slice(3, 1, 1)", "axis: integer from 1 to 2 expected, got 3" },
  { "matrix:slice(2, 3, 2)", "last index 2 is before the first, 3" },
  { "matrix:slice(2, 1, 9)", "integer from 1 to 3 expected, got 9" },
  { "matrix:reshape { 7 }", "6 elements expected, as before, got shape [7]" },
  { "matrix:reshape { 2^31 - 1, 2^31 - 1, 2^31 - 1 }", "6 elements expected" },
  { "model:parameter 'lstm.weight_hh_l0':reshape { 16, 16 }", "reshape a :copy() instead" },
  { "matrix:equal(3)", "bad argument #1 to 'equal' (lstm.tensor expected, got 3)" },
  { "matrix.mean(3)", "calling 'mean' on bad self (lstm.tensor expected, got 3)" },
  { "matrix:mean(3)", "bad argument #1 to 'mean' (axis: integer from 1 to 2 expected, got 3)" },
  { "matrix:argmax(1, 2)", "bad argument #2 to 'argmax' (one axis or none expected, got 2, too)" },
  { "matrix:sum(1, 3)", "bad argument #2 to 'sum' (axis: integer from 1 to 2 expected, got 3)" },
  { "matrix:mean(2, 2)", "bad argument #2 to 'mean' (another axis expected, got 2 twice)" },
  { "matrix:norm(1, 'x')", "bad argument #2 to 'norm' (axis: integer from 1 to 2 expected, got 'x')" },
  { "matrix:max(nil, 1)", "bad argument #1 to 'max' (axis: integer from 1 to 2 expected, got nil)" },
  { "matrix:argmax(0)", "bad argument #1 to 'argmax' (axis: integer from 1 to 2 expected, got 0)" },
  { "return matrix + zeros { 2 }",
    "attempt to 'add' tensors of shapes [2,3] and [2]: from the last axis on, sizes must be equal or 1" },
  { "return matrix - 'x'", "bad argument #2 to 'sub' (number or tensor expected, got 'x')" },
  { "return matrix ^ matrix", "bad argument #2 to 'pow' (finite number expected, got a lstm.tensor)" },
  { "return 2 ^ matrix", "bad argument #1 to 'pow' (lstm.tensor expected, got 2)" },
  { "return matrix ^ inf", "bad argument #2 to 'pow' (finite number expected, got inf)" },
  { "matrix:gt()", "bad argument #1 to 'gt' (number or tensor expected, got nil)" },
  { "matrix:lt { 1 }", "bad argument #1 to 'lt' (number or tensor expected, got a table)" },
  { "matrix:eq(zeros { 2 })", "attempt to 'eq' tensors of shapes [2,3] and [2]" },
  { "matrix.ge(3, matrix)", "calling 'ge' on bad self (lstm.tensor expected, got 3)" },
  { "return {} * matrix", "bad argument #1 to 'mul' (number or tensor expected, got a table)" },
  { "return 1 / closed_view", "attempt to use tensor 'head.bias' of a closed model" },
  { "return closed_view:sigmoid()", "attempt to use tensor 'head.bias' of a closed model" },
  { "matrix.relu(3)", "calling 'relu' on bad self (lstm.tensor expected, got 3)" },
  { "matrix:matmul(3)", "bad argument #1 to 'matmul' (lstm.tensor expected, got 3)" },
  { "matrix:matmul(matrix)",
    "bad argument #1 to 'matmul' (a matrix of 3 rows, or a vector of as many numbers, expected, got shape [2,3])" },
  { "matrix:matmul(zeros { 3, 1, 1 })", "got shape [3,1,1]" },
  { "matrix:transpose(1, 3)", "bad argument #2 to 'transpose' (axis: integer from 1 to 2 expected, got 3)" },
  { "zeros { 2, 2, 2 }:transpose()", "bad argument #1 to 'transpose' (two axes expected, for a tensor of 3)" },
  -- texts, vocabularies, streams
  { "lstm.corpus()", "bad argument #1 to 'corpus' (table expected, got nil)" },
  { "lstm.corpus {}", "either 'path' or 'text' expected, got neither" },
  { "lstm.corpus { path = 'a', text = 'b' }", "either 'path' or 'text' expected, got both" },
  { "lstm.corpus { path = 3 }", "field 'path': string expected, got 3" },
  { "lstm.corpus { path = 'a\\0b' }", "field 'path': path without NUL expected" },
  { "lstm.corpus { text = 'abc', tokens = 'letters' }",
    "field 'tokens': 'bytes', 'chars' or 'words' expected, got 'letters'" },
  { "lstm.corpus { text = 'abc', split = 0.9 }", "field 'split': fractions { train, val, test } expected, got 0.9" },
  { "lstm.corpus { text = 'abc', split = { 0.9, 0.9 } }",
    "field 'split': fractions that add up to at most 1 expected, got 1.8" },
  { "lstm.corpus { text = 'abc', split = { -1 } }", "field 'split'", "got -1" },
  { "lstm.corpus { text = 'abc', split = { trian = 1 } }", "unknown field 'split.trian', did you mean 'train'?" },
  { "lstm.corpus { text = 'abc', vocab = 3 }", "field 'vocab': vocabulary expected, got 3" },
  { "lstm.corpus { text = 'abc', unknown = '?' }", "field 'unknown': only with 'vocab'" },
  { "lstm.corpus { text = 'abc', pth = 'x' }", "unknown field 'pth', did you mean 'path'?" },
  { "text.vocab:encode(3)", "bad argument #1 to 'encode' (string expected, got 3)" },
  { "text.vocab:encode 'ZZ'", "bad argument #1 to 'encode'", "Z" },
  { "text.vocab:encode('ZZ', 'Y')", "bad argument #2 to 'encode' (symbol of the vocabulary expected, got 'Y')" },
  { "text.vocab:decode 'abc'", "ids: list of ids expected, got 'abc'" },
  { "text.vocab:decode { 1, 2, 1000 }", "ids, element [3]", "got 1000" },
  { "text.vocab:symbol(-1)", "got -1" },
  { "lstm.vocabulary(3)", "bad argument #1 to 'vocabulary' (string expected, got 3)" },
  { "text:train()", "bad argument #1 to 'train' (table expected, got nil)" },
  { "text:train { seq = 3 }", "field 'batch': positive integer expected, got nil" },
  { "text:train { batch = 3 }", "field 'seq': positive integer expected, got nil" },
  { "text:train { batch = 3, seq = 3, order = 'random' }",
    "field 'order': 'stream', 'shuffled' or 'once' expected, got 'random'" },
  { "text:train { batch = 3, seq = 3, stride = 2 }", "field 'stride': only with order = 'shuffled'" },
  { "text:train { batch = 100, seq = 300 }", "too short" },
  { "text:test { batch = 1, seq = 3 }", "test" },
  { "stream:seek { epoch = 0, position = 1 << 40 }", "position" },
  { "stream:seek { epoch = -1 }", "field 'epoch'", "got -1" },
  { "stream:seek(3)", "table expected, got 3" },
  { "lstm.sha256(nil)", "bad argument #1 to 'sha256' (string expected, got nil)" },
  { "lstm.threads(0)", "bad argument #1 to 'threads' (integer from 1 to 4096 expected, got 0)" },
  { "lstm.sequences { batch = 0, { x = { { 1 } }, y = { 1 } } }", "field 'batch': positive integer expected, got 0" },
  { "lstm.sequences { batch = 1, { x = { [0] = { 9 }, { 1 } }, y = { 1 } } }",
    "sequence 1, field 'x': a list of time steps expected, got a field '0'" },
  { "lstm.sequences { batch = 1, { ids = { 1 }, y = { 1 }, targets = { 1 } } }",
    "sequence 1: y is another name for targets; only one of them expected" },
  { "model:sample { prime = { [0] = 1, 2 } }", "field 'prime': elements [1] to [1] expected, got [0], too" },
  { "text.vocab:decode { 1, 2, lable = 3 }", "#1 to 'decode' (ids: elements [1] to [2] expected, got ['lable'], too)" },
  { "text.vocab:decode { lable = 3 }", "got ['lable'], too" },
  { "lstm.sequences { batch = 1, { x = { { 1 } } } }", "sequence 1, field 'y'" },
  { "lstm.sequences { batch = math.maxinteger, { ids = { 1 }, y = { 1 } } }",
    "field 'batch': at most 2147483647 expected, got 9223372036854775807" },
  { "lstm.sequences { batch = 1, shuffle = 'no', { ids = { 1 }, y = { 1 } } }",
    "field 'shuffle': true or false expected, got no" },
  { "lstm.sequences { batch = 1, seed = 1.5, { ids = { 1 }, y = { 1 } } }",
    "field 'seed': non-negative integer expected, got 1.5" },
  { "lstm.sequences { batch = 1, seed = 'x', { ids = { 1 }, y = { 1 } } }", "field 'seed'", "got x" },
  { "lstm.sequences { batch = 1, seed = -1, { ids = { 1 }, y = { 1 } } }", "field 'seed'", "got -1" },
  { "lstm.sequences { batch = 1, { ids = { 1 }, y = { 1 } } }:seek(nil)",
    "bad argument #1 to 'seek' (table expected, got nil)" },
  { "lstm.sequences { batch = 1, { ids = { 1 }, y = { 1 } } }:seek { epoch = 0, position = 2 }",
    "bad argument #1 to 'seek' (no batch 2 in epoch 0)" },
  { "lstm.sequences { batch = 1, { x = { { 1 }, { 2 } }, y = { 1 } } }",
    "sequence 1: 2 time steps of 'x', but 1 targets" },
  { "lstm.tasks.adding(10)", "bad argument #1 to 'adding' (table expected, got number)" },
  { "lstm.tasks.adding { seq = 1 }", "field 'seq': integer from 2 on expected, got 1" },
  { "lstm.tasks.copy { delay = 2.5 }", "field 'delay': integer from 1 on expected, got 2.5" },
  { "lstm.tasks.copy { lenght = 3, delay = 2 }", "unknown field 'lenght'" },
  { "lstm.tasks.reber {}", "field 'seq': integer from 11 on expected, got nil" },
  { "lstm.tasks.reber { seq = 11, shortest = 13 }", "field 'shortest': at most seq + 1 = 12 expected, got 13" },
  { "lstm.tasks.adding { seq = 9 }:train {}", "bad argument #1 to 'train' (field 'batch'" },
  { "lstm.tasks.adding { seq = 9 }:val { batch = 1, seq = 9 }", "unknown field 'seq'" },
  { "lstm.tasks.adding { seq = 9 }:val { batch = 1 }:seek { epoch = 0, position = 11 }", "no batch 11 in epoch 0" },
  { "lstm.tasks.adding { seq = 9 }:train { batch = 1 }:seek(3)", "table expected, got number" },
  { "local t = lstm.tasks.adding { seq = 9 } t:right(fit, t:train { batch = 1 })", "'batches' expected" },
  { "lstm.plan({ vocab = 5 }, { batch = 1, seq = 1 })", "bad argument #1 to 'plan' (field 'hidden'" },
  { "lstm.plan({ vocab = 5, hidden = 4, init = 'normal' }, { batch = 1, seq = 1 })",
    "bad argument #1 to 'plan' (field 'init': 'normal' needs an argument" },
  { "lstm.plan({ vocab = 5, hidden = 4 }, { batch = 1 })", "bad argument #2 to 'plan' (field 'seq'" },
  { "lstm.plan({ vocab = 5, hidden = 4 }, { batch = 2147483647, seq = 2147483647 })", "bad argument #2 to 'plan' (field 'seq'" },
  -- closed things
  { "closed_model:parameter 'head.bias'", "attempt to call 'parameter' on a closed model" },
  { "closed_model:trainer { batch = 1, seq = 1 }", "attempt to call 'trainer' on a closed model" },
  { "closed_model:sample { length = 1 }", "closed model" },
  { "return closed_model.size", "closed model" },
  { "for name in closed_model:parameters() do end", "closed model" },
  { "closed_fit:step { ids = { { 0 } }, targets = { { 0 } } }",
    "attempt to call 'step' on a trainer whose model was closed" },
  { "closed_fit:update()", "a trainer whose model was closed" },
  { "return closed_fit.lr", "a trainer whose model was closed" },
  { "return closed_view[1]", "attempt to use tensor 'head.bias' of a closed model" },
  { "closed_view[1] = 3", "attempt to use tensor 'head.bias' of a closed model" },
  { "return #closed_view", "of a closed model" },
  { "return closed_view:mean()", "of a closed model" },
  { "return closed_view:copy()", "of a closed model" },
  { "matrix:assign(closed_view)", "of a closed model" },
  { "return orphan_view:sum()", "of a trainer whose model was closed" },
  { "closed_text:train { batch = 1, seq = 1 }", "closed text" },
  { "return closed_text.vocab", "closed text" },
  { "closed_stream:next()", "closed stream" },
}

for _, case in ipairs(wrong) do
  local chunk = assert(load("\n" .. case[1], "=mine.lua", "t", env))
  local ok, message = pcall(chunk)
  local right = not ok and tostring(message):find("mine.lua:2: ", 1, true) == 1
  for k = 2, #case do right = right and message:find(case[k], 1, true) ~= nil end
  if not tap.ok(right, case[1]) then tap.note(ok and "no error" or tostring(message)) end
  if not ok and #tostring(message) > 300 then tap.ok(false, "a short message for " .. case[1]) end
end
tap.ok(#wrong >= 100, #wrong .. " wrong calls")

-- ---- the same through pcall, coroutines and iterators -------------------------------------------------------------

local ok, message = pcall(lstm.model, { vocab = 5, hidden = -4 })
tap.ok(not ok and message:find("errors.lua:%d+: bad argument #1 to 'model'"), "the position is found behind pcall")
ok, message = coroutine.resume(coroutine.create(function() return model:parameter "x" end))
tap.contains(message, "no parameter 'x'", "in a coroutine")
local wrapped = coroutine.wrap(function() for name, view in model:parameters() do coroutine.yield(name, view) end end)
local name, view = wrapped()
tap.ok(name == "lstm.weight_ih_l0" and view.shape[1] == 32, "objects cross coroutines")

-- ---- environment: nil and a sentence ------------------------------------------------------------------------------

local function refuses(part, value, reason)
  tap.ok(value == nil and type(reason) == "string" and reason:find(part, 1, true), "nil, " .. tostring(reason))
end
refuses("/nowhere/to/be/found", lstm.corpus { path = "/nowhere/to/be/found" })
refuses("directory", lstm.corpus { path = "/" })
refuses("empty", lstm.corpus { text = "" })
refuses("UTF-8", lstm.corpus { text = "ab\xff", tokens = "chars" })
refuses("'d'", lstm.corpus { text = "abcd", vocab = lstm.corpus { text = "abc" }.vocab })
refuses("", lstm.vocabulary "nonsense")

-- ---- nothing has changed ------------------------------------------------------------------------------------------

collectgarbage()
collectgarbage()
tap.ok(fit:step(text) > 0 and plain_fit:step { ids = ids(3, 2), targets = ids(3, 2) } > 0
  and dense_fit:step { x = env.zeros { 3, 2, 3 }, y = env.zeros { 3, 2, 2 } } >= 0, "everything still works")
tap.is(fit.updates, 1, "no wrong call made a step")
tap.ok(matrix:equal(lstm.tensor { { 1, 2, 3 }, { 4, 5, 6 } }), "no wrong call wrote a number")
local leaked = {}
for name in pairs(_G) do
  if not globals[name] then leaked[#leaked + 1] = name end
end
tap.is(table.concat(leaked, " "), "", "no globals are written")

tap.done()
