-- SPDX-License-Identifier: MIT
--
-- Trainers: the pieces of a step, carried state, evaluation that disturbs nothing, exact continuation, gradients.

local lstm = require "lstm"
local tap = require "tap"

local line = "It was the best of times, it was the worst of times.\n"
local text = assert(lstm.corpus { text = line:rep(40), split = { 0.9, 0.1 } })
local V = #text.vocab

local function new_model(settings)
  local all = { vocab = text.vocab, hidden = 20, layers = 2, seed = 4 }
  for key, value in pairs(settings or {}) do all[key] = value end
  return lstm.model(all)
end

local function equal_parameters(a, b)
  for name, view in a:parameters() do
    if not view:equal(b:parameter(name)) then return false, name end
  end
  return true
end

local function copy_parameters(model)
  local copies = {}
  for name, view in model:parameters() do copies[name] = view:copy() end
  return copies
end

local function unchanged(model, copies)
  for name, view in model:parameters() do
    if not view:equal(copies[name]) then return false end
  end
  return true
end

local function ids(T, B, f)
  local t = {}
  for k = 1, T do
    t[k] = {}
    for b = 1, B do t[k][b] = f(k, b) % V end
  end
  return t
end

local function some_ids(T, B) return ids(T, B, function(t, b) return t * 7 + b * 3 end) end

-- ---- step = forward + backward + update ---------------------------------------------------------------------------

do
  local a <close> = new_model()
  local b <close> = new_model()
  local fa <close> = a:trainer { batch = 3, seq = 5, clip_norm = 0.1 }
  local fb <close> = b:trainer { batch = 3, seq = 5, clip_norm = 0.1 }
  local batch = { ids = some_ids(5, 3), targets = some_ids(5, 3) }
  local loss, stats = fa:step(batch)
  local loss_b = fb:forward(batch)
  fb:backward()
  local stats_b = fb:update()
  tap.is(loss, loss_b, "the same loss")
  tap.ok(equal_parameters(a, b), "the same parameters, bit by bit")
  tap.ok(stats.grad_norm == stats_b.grad_norm and stats.updated and stats_b.updated, "the same statistics")
  tap.ok(stats.grad_norm > 0.1 and math.abs(stats.clipped_norm - 0.1) < 1e-6 and stats.clipped_share == 1
    and stats.update_ratio > 0, "clipping to a norm")
  tap.near(loss, math.log(V), 0.05, "the first loss is about log V")
  tap.is(fa.updates, 1, "updates are counted")
  tap.fails(function() fb:backward() end, "without a forward", "backward needs a forward")
  local bad = { ids = some_ids(5, 3), targets = ids(5, 3, function() return 0 end) }
  bad.targets[5][3] = V
  local before = copy_parameters(a)
  fa:forward(batch)
  tap.fails(function() fa:step(bad) end, "field 'targets', element [5][3]", "a bad batch is refused")
  tap.fails(function() fa:backward() end, "without a forward", "and is not one to go back through")
  tap.ok(unchanged(a, before), "and changes nothing")
end

-- With carried states, and gradients that are changed before the update.
do
  local function step_by_hand(fit, only)
    fit:forward(text)
    fit:backward()
    for name in fit.model:parameters() do
      if only and name ~= only then fit:gradient(name):assign(0) end
    end
    local statistics = fit:update()
    fit:carry()
    return statistics
  end
  local settings = { batch = 3, seq = 5, weight_decay = 0, clip_norm = 0.1 }
  local a <close> = new_model()
  local b <close> = new_model()
  local fa, fb = a:trainer(settings), b:trainer(settings)
  for _ = 1, 3 do
    fa:step(text)
    step_by_hand(fb)
  end
  tap.ok(equal_parameters(a, b), "three steps by hand along a text: the same parameters")
  local c <close> = new_model()
  local fit, before = c:trainer(settings), copy_parameters(c)
  local statistics = step_by_hand(fit, "head.bias")
  local moved = {}
  for name, copy in pairs(before) do
    if not copy:equal(c:parameter(name)) then moved[#moved + 1] = name end
  end
  tap.is(table.concat(moved, " "), "head.bias", "parameters whose gradients are set to zero stay as they are")
  -- Both are sums of squares of the same floats, in another order.
  tap.near(statistics.grad_norm, fit:gradient("head.bias"):norm(), 1e-6, "and do not count in the norm")
end

-- ---- the loss of each position ------------------------------------------------------------------------------------

do
  local model <close> = new_model { precision = "double" }
  local fit <close> = model:trainer { batch = 3, seq = 5 }
  local batch = { ids = some_ids(5, 3), targets = some_ids(5, 3) }
  local mean = fit:forward(batch)
  local loss, logits = fit:activation "loss", fit:activation "logits"
  tap.ok(loss.shape[1] == 5 and loss.shape[2] == 3 and #loss.shape == 2, "a loss for each position")
  tap.near(loss:mean(), mean, 1e-14, "their mean is the loss") -- rounding of fifteen terms
  local at = logits[4][2]
  local surprisal = at:exp():sum()
  tap.near(loss[4][2], math.log(surprisal) - at[batch.targets[4][2] + 1], 1e-13, "-log of what its target was given")
  batch.mask = ids(5, 3, function(t) return t == 2 and 0 or 1 end)
  fit:forward(batch)
  tap.ok(fit:activation("loss")[2]:max() == 0 and fit:activation("loss")[3]:min() > 0, "times its weight")
  fit:forward { ids = batch.ids }
  local none = fit:activation("loss")[1][1]
  tap.ok(none ~= none, "none without targets")
  tap.fails(function() fit:activation("loss", 1) end, "expected 0 to 0", "of the network, not of a layer")
end

-- ---- tensors, tables and streams give the same batches ------------------------------------------------------------

do
  local models, losses = {}, {}
  for k = 1, 4 do models[k] = new_model() end
  local stream = text:train { batch = 3, seq = 5 }
  local tables = text:train { batch = 3, seq = 5 }
  local own = text:train { batch = 3, seq = 5 }
  local sources = {
    function() return text end,
    function() return stream end,
    function()
      local batch = tables:next()
      return { ids = batch.ids:totable(), targets = batch.targets:totable(), reset = batch.reset }
    end,
    function() return { next = function() return own:next() end } end,
  }
  for k, model in ipairs(models) do
    local fit <close> = model:trainer { batch = 3, seq = 5 }
    losses[k] = {}
    for step = 1, 12 do losses[k][step] = fit:step(sources[k]()) end
  end
  for k = 2, 4 do
    tap.is(table.concat(losses[k], " "), table.concat(losses[1], " "), "source " .. k .. " gives the same losses")
    tap.ok(equal_parameters(models[1], models[k]), "source " .. k .. " gives the same parameters")
  end
end

-- ---- one process alone: tests/mpi.sh has more of them ------------------------------------------------------------

do
  local model <close> = lstm.model { vocab = 5, hidden = 4, seed = 3 }
  local same <close> = lstm.model { vocab = 5, hidden = 4, seed = 3 }
  local other <close> = lstm.model { vocab = 5, hidden = 4, seed = 4 }
  local function fingerprint(m)
    local fit <close> = m:trainer { batch = 2, seq = 3 }
    return fit:fingerprint()
  end
  tap.is(fingerprint(model), fingerprint(same), "equal parameters have one fingerprint")
  tap.ok(fingerprint(model) ~= fingerprint(other), "others have another")
  local fit <close> = model:trainer { batch = 2, seq = 3 }
  fit:forward { ids = { { 1, 2 }, { 3, 4 }, { 0, 1 } } }
  local h = fit:activation("h", 0)
  tap.is(fit.rows, 2, "all rows are its own")
  tap.ok(fit:whole(h) == h, "what it has is the whole")
end

-- ---- state: split sequence = whole sequence -----------------------------------------------------------------------

do
  local model <close> = new_model { precision = "double" }
  local whole <close> = model:trainer { batch = 2, seq = 12 }
  local parts <close> = model:trainer { batch = 2, seq = 7 }
  local all = some_ids(12, 2)
  whole:forward { ids = all }
  local good, t0 = true, 0
  for _, length in ipairs { 7, 4, 1 } do
    local part = table.move(all, t0 + 1, t0 + length, 1, {})
    parts:forward { ids = part }
    for layer = 0, 1 do
      for _, name in ipairs { "i", "f", "g", "o", "c", "h" } do
        local w, p = whole:activation(name, layer), parts:activation(name, layer)
        good = good and #p == length and p:equal(w:slice(1, t0 + 1, t0 + length))
      end
    end
    parts:carry()
    t0 = t0 + length
  end
  tap.ok(good, "gates and states of parts are those of the whole, bit by bit")
  local state = parts:state()
  tap.ok(state.h[1]:equal(whole:activation("h", 1)[12]) and state.c[0]:equal(whole:activation("c", 0)[12]), "state()")
  parts:reset()
  tap.is(parts:state().h[0]:norm(), 0.0, "reset")
  parts:set_state(state)
  tap.ok(parts:state_view("c", 1):equal(state.c[1]), "set_state")
  local before = parts:state()
  tap.fails(function()
    parts:set_state { h = { [0] = lstm.tensor.full { 2, 20, value = 1 }, lstm.tensor.zeros { 2, 21 } }, c = state.c }
  end, "layer 1", "a wrong state is refused")
  tap.ok(parts:state().h[0]:equal(before.h[0]), "and changes nothing")
  parts:state_view("h", 0)[1] = lstm.tensor.full { 20, value = 0.5, type = "float" }
  tap.is(parts:state().h[0]:get(1, 20), 0.5, "state_view is writable")
end

do -- what the last forward began with
  for _, cell in ipairs { "lstm", "rnn" } do
    local model <close> = new_model { cell = cell }
    local fit <close> = model:trainer { batch = 2, seq = 3 }
    local kinds = cell == "rnn" and { "h" } or { "h", "c" }
    fit:step(text)
    local before = fit:state()
    fit:step(text)
    fit:reset()
    local same = true
    for _, kind in ipairs(kinds) do
      for layer = 0, 1 do
        local view = fit:activation(kind .. "_start", layer)
        same = same and view:equal(before[kind][layer]) and view:norm() > 0
      end
    end
    tap.ok(same, cell .. ": the state that a step began with is to be seen after it, and after another one was set")
    fit:forward { ids = some_ids(3, 2), reset = true }
    tap.is(fit:activation("h_start", 1):norm(), 0.0, "  zero for a batch that resets it")
  end
end

do -- what the last batch had
  local model <close> = new_model()
  local fit <close> = model:trainer { batch = 2, seq = 3 }
  tap.ok(not fit.has_targets and not fit.has_mask, "no batch has no targets and no mask")
  local batch = { ids = some_ids(3, 2), targets = some_ids(3, 2), mask = lstm.tensor.full { 3, 2, value = 1 } }
  fit:forward(batch)
  tap.ok(fit.has_targets and fit.has_mask, "one that has both")
  batch.targets, batch.mask = nil, nil
  fit:forward(batch)
  tap.ok(not fit.has_targets and not fit.has_mask, "and one without")
end

do -- who carries
  local function norm_after(settings, source)
    local model <close> = new_model()
    settings.batch, settings.seq = 2, 3
    local fit <close> = model:trainer(settings)
    fit:step(source)
    return fit:state().h[0]:norm()
  end
  local batch = { ids = some_ids(3, 2), targets = some_ids(3, 2) }
  local marked = { ids = some_ids(3, 2), targets = some_ids(3, 2), reset = false }
  tap.ok(norm_after({}, text) > 0, "a text's batches carry the state")
  tap.is(norm_after({}, batch), 0.0, "a batch table stands alone")
  tap.ok(norm_after({}, marked) > 0, "unless it says whether to reset")
  tap.ok(norm_after({ carry = true }, batch) > 0, "or the trainer carries always")
  tap.is(norm_after({ carry = false }, text), 0.0, "or never")
end

-- ---- evaluation and sampling disturb nothing ----------------------------------------------------------------------

do
  local a <close> = new_model { dropout = 0.3 }
  local b <close> = new_model { dropout = 0.3 }
  local fa <close> = a:trainer { batch = 3, seq = 5 }
  local fb <close> = b:trainer { batch = 3, seq = 5 }
  local stream_a, stream_b = text:train { batch = 3, seq = 5 }, text:train { batch = 3, seq = 5 }
  local same = true
  for step = 1, 20 do
    local la, lb = fa:step(stream_a), fb:step(stream_b)
    same = same and la == lb
    if step % 5 == 0 then
      local batch = { ids = { { 1, 2, 3 }, { 4, 5, 6 } }, targets = { { 4, 5, 6 }, { 1, 1, 1 } } }
      local seen = b:trainer { batch = 3, seq = 2 }
      same = same and seen:forward(batch, { dropout = false }) == b:evaluate(batch, { batch = 3, seq = 2 })
        and seen:forward(batch) ~= seen:forward(batch, { dropout = false })
      local loss = fb:evaluate(text)
      same = same and loss == fb:evaluate(text) and loss == b:evaluate(text, { seq = 5 })
      fb:evaluate(stream_b)
      fb:evaluate(text, { batch = 2, seq = 9, part = "train" })
      b:sample { prime = "It", length = 20 }
    end
  end
  tap.ok(same, "losses are the same with evaluation and sampling in between")
  tap.ok(equal_parameters(a, b), "and so are the parameters, with dropout, after 20 steps")
end

do
  local model <close> = new_model { precision = "double" }
  local fit <close> = model:trainer { batch = 1, seq = 8 }
  local loss, count = fit:evaluate(text)
  tap.is(count, text.sizes.val - 1, "one stream: every token but the first is a target")
  local total, stream = 0, text:val { batch = 1, seq = 8 }
  local batch = stream:next()
  while batch do
    if batch.reset then fit:reset() end
    total = total + fit:forward(batch) * #batch.ids
    fit:carry()
    batch = stream:next()
  end
  tap.near(total / count, loss, 1e-13, "evaluate is the mean over the chunks, with the state carried")
  -- Chunks of another length add up the same terms in another order: equal to rounding.
  tap.near(model:evaluate(text, { seq = 50 }), loss, 1e-13, "its result does not depend on the length of chunks")
  local short <close> = model:trainer { batch = 1, seq = 8, carry = false }
  tap.ok(short:evaluate(text) == fit:evaluate(text, { carry = false }) and short:evaluate(text, { carry = true }) == loss
    and short:evaluate(text) ~= loss, "whether states are carried is as in the trainer, or as asked for")
  local list = { { ids = { 1, 2 }, targets = { 2, 3 } }, { ids = { 3, 4, 5 }, targets = { 4, 5, 6 } } }
  tap.is(fit:evaluate { ids = table.pack(1, 2), targets = table.pack(2, 3) }, fit:evaluate(list[1]), "packed lists")
  tap.is(fit:evaluate(list, { batches = 1 }), fit:evaluate(list[1]), "of the first batch alone")
  local endless = lstm.tasks.adding { seq = 6 }:train { batch = 1 }
  local sums <close> = lstm.model { input = 2, output = 1, hidden = 3 }
  local _, positions = sums:evaluate(endless, { batches = 3, batch = 1, seq = 6, loss_at = "last" })
  tap.is(positions, 3, "three batches of a stream without an end")
  local inner
  local again = fit:evaluate({ batches = #list, next = coroutine.wrap(function()
    for _, batch in ipairs(list) do
      inner = fit:evaluate(text)
      coroutine.yield(batch)
    end
  end) }, { carry = true })
  tap.ok(again == fit:evaluate(list, { carry = true }) and inner == loss,
    "a source may evaluate, too, while it is evaluated")
  local mean, n = fit:evaluate(list)
  tap.is(n, 5.0, "a list of batches")
  tap.near(mean, (fit:evaluate(list[1]) * 2 + fit:evaluate(list[2]) * 3) / 5, 1e-13, "weighs positions, not batches")
end

-- ---- exact continuation -------------------------------------------------------------------------------------------

local function trainer_for(model, settings)
  local all = { batch = 3, seq = 5, lr = 5e-3, clip_norm = 1 }
  for key, value in pairs(settings) do all[key] = value end
  return model:trainer(all)
end

-- Everything a checkpoint keeps, as the run does it.
local function save(fit)
  local saved = { counters = fit:counters(), cursor = fit:stream_cursor(), lr = fit.lr, tensors = {},
    vocabulary = fit.model.vocab:serialize() }
  for _, entry in ipairs(fit:checkpoint_tensors()) do saved.tensors[entry[1]] = entry[2]:copy() end
  return saved
end

local function restore(fit, saved)
  fit:set_counters(saved.counters)
  local n = 0
  for _, entry in ipairs(fit:checkpoint_tensors()) do
    entry[2]:assign(saved.tensors[entry[1]])
    n = n + 1
  end
  for _ in pairs(saved.tensors) do n = n - 1 end
  if saved.cursor then fit:stream(text):seek(saved.cursor) end
  fit.lr = saved.lr
  return n == 0
end

for _, case in ipairs {
  { "adamw, dropout", { optimizer = "adamw" }, { dropout = 0.2 } },
  { "adamw, constant bias correction", { bias_correction = "constant" }, {} },
  { "sgd with momentum", { optimizer = "sgd", momentum = 0.9 }, {} },
  { "rmsprop, accumulating 3", { optimizer = "rmsprop", accumulate = 3 }, { cell = "rnn" } },
  { "adam, embedding, double", { optimizer = "adam" }, { embed = 6, precision = "double" } },
} do
  local whole <close> = new_model(case[3])
  local fit <close> = trainer_for(whole, case[2])
  local saves, losses = {}, {}
  for step = 1, 40 do
    if step % 4 == 0 then saves[#saves + 1] = { step, save(fit) } end
    losses[step] = fit:step(text)
    fit.lr = 5e-3 / (1 + step)
  end
  local good = #saves == 10
  for _, point in ipairs(saves) do
    local settings = { vocab = assert(lstm.vocabulary(point[2].vocabulary)), init = "zeros" }
    for key, value in pairs(case[3]) do settings[key] = value end
    local model <close> = new_model(settings)
    local again <close> = trainer_for(model, case[2])
    good = good and restore(again, point[2])
    for step = point[1], 40 do
      good = good and again:step(text) == losses[step]
      again.lr = 5e-3 / (1 + step)
    end
    local prime = { prime = "It was", length = 40 }
    good = good and equal_parameters(whole, model) and model:sample(prime) == whole:sample(prime)
  end
  tap.ok(good, case[1] .. ": stopped at 10 points and resumed = never stopped")
end

-- ---- threads ------------------------------------------------------------------------------------------------------

do
  local first
  local good = true
  for n = 1, 4 do
    local model <close> = new_model { hidden = 37, dropout = 0.1 }
    local fit <close> = model:trainer { batch = 5, seq = 9, threads = n }
    for _ = 1, 50 do fit:step(text) end
    local copies = copy_parameters(model)
    first = first or copies
    good = good and unchanged(model, first)
  end
  tap.ok(good, "1, 2, 3 and 4 threads: identical bits after 50 steps")
end

-- ---- gradients ----------------------------------------------------------------------------------------------------

do -- dL/dx, dL/dh0 and a weight, against differences; loss at the last step, a mask, vectors in and out
  local model <close> = lstm.model { input = 3, hidden = 5, output = 2, precision = "double", layers = 2, seed = 8 }
  local fit <close> = model:trainer { batch = 2, seq = 4, loss_at = "last" }
  local x, y = lstm.tensor.normal { 4, 2, 3, seed = 1 }, lstm.tensor.normal { 4, 2, 2, seed = 2 }
  fit:state_view("h", 1):assign(lstm.tensor.normal { 2, 5, seed = 3 })
  local batch = { x = x, y = y, mask = { { 1, 1 }, { 1, 1 }, { 1, 1 }, { 1, 0.5 } } }
  fit:forward(batch)
  fit:backward()
  local function slope(view, k)
    local value, eps = view[k], 1e-5
    view[k] = value + eps
    local up = fit:forward(batch)
    view[k] = value - eps
    local down = fit:forward(batch)
    view[k] = value
    return (up - down) / (2 * eps)
  end
  local dx, dh = fit:gradient "input":copy(), fit:gradient("state.h", 1):copy()
  local dw = fit:gradient "lstm.weight_hh_l0":copy()
  tap.is(table.concat(dx.shape, ","), "4,2,3", "dL/dx is [T,B,I]")
  tap.is(table.concat(fit:gradient("dc", 1).shape, ","), "4,2,5", "dL/dc is [T,B,H]")
  tap.ok(fit:gradient("dh", 1)[4]:norm() > 0 and fit:gradient("di", 0)[1]:norm() > 0, "dL/dh and dL/dgate")
  tap.near(slope(x[2][1], 3), dx:get(2, 1, 3), 1e-6, "dL/dx")
  tap.near(slope(fit:state_view("h", 1)[2], 4), dh:get(2, 4), 1e-6, "dL/dh0")
  tap.near(slope(model:parameter "lstm.weight_hh_l0"[7], 2), dw:get(7, 2), 1e-6, "dL/dW")
  local only_last = { x = x, y = y:slice(1, 4, 4) }
  tap.is(fit:forward(only_last), fit:forward { x = x, y = y }, "loss at the last step: its target is enough")
end

-- ---- losses of one's own --------------------------------------------------------------------------------------------

do -- that of the targets, by hand
  local a <close> = new_model()
  local b <close> = new_model()
  local fa <close> = a:trainer { batch = 3, seq = 5 }
  local fb <close> = b:trainer { batch = 3, seq = 5 }
  local batch = { ids = some_ids(5, 3), targets = some_ids(5, 3) }
  fa:forward(batch)
  local dlogits = fa:gradient "logits":copy()
  fa:backward()
  fb:forward { ids = batch.ids }
  tap.fails(function() fb:backward() end, "no gradients of another loss are given", "without targets there is no loss")
  fb:forward { ids = batch.ids }
  tap.is(fb:gradient "logits":norm(), 0.0, "without targets dL/dlogits is zero")
  fb:backward { logits = dlogits }
  local same = fb:gradient "logits":equal(dlogits)
  for name in a:parameters() do same = same and fa:gradient(name):equal(fb:gradient(name)) end
  tap.ok(same, "dL/dlogits handed to backward: the bits of the targets' loss")
  -- Cross-entropy by its definition (softmax - onehot, over the positions that count), rounded otherwise: floats.
  local y = fa:activation "logits"
  local p = y:exp() / y:exp():sum(3):reshape { 5, 3, 1 }
  for t = 1, 5 do
    for k = 1, 3 do
      local id = batch.targets[t][k] + 1
      p:set(p:get(t, k, id) - 1, t, k, id)
    end
  end
  tap.ok((p / 15 - dlogits):abs():max() < 1e-7, "dL/dlogits is (softmax - onehot) / positions")
end

do -- activity regularisation and a loss of the cells, beside the targets': against differences
  local model <close> = lstm.model { input = 3, hidden = 5, output = 2, precision = "double", layers = 2, seed = 8 }
  local fit <close> = model:trainer { batch = 2, seq = 4 }
  local batch = { x = lstm.tensor.normal { 4, 2, 3, seed = 1 }, y = lstm.tensor.normal { 4, 2, 2, seed = 2 } }
  local function loss()
    local targets = fit:forward(batch)
    return targets + (fit:activation("h", 0) ^ 2):sum() / 2 + (fit:activation("c", 1)[4]):sum()
  end
  local last = lstm.tensor.zeros { 4, 2, 5 }
  last[4]:assign(1)
  loss()
  fit:backward { h = { [0] = fit:activation("h", 0) }, c = { [1] = last } }
  local W, eps = model:parameter "lstm.weight_hh_l0", 1e-5
  local analytic = fit:gradient "lstm.weight_hh_l0":get(7, 2)
  local w = W:get(7, 2)
  W:set(w + eps, 7, 2)
  local up = loss()
  W:set(w - eps, 7, 2)
  local down = loss()
  tap.near((up - down) / (2 * eps), analytic, 1e-6, "|h|^2/2 and the sum of the last c beside the targets' loss")
end

do -- nested tables and numbers will do; what makes no sense changes nothing
  local model <close> = new_model { cell = "rnn" }
  local fit <close> = model:trainer { batch = 1, seq = 2 }
  local batch = { ids = { 0, 1 } }
  local function refused(gradients, why)
    fit:forward(batch)
    tap.fails(function() fit:backward(gradients) end, why, "refused: " .. why)
    tap.is(fit:counters().passes, 0, "and no pass was done")
  end
  refused({ logit = 1 }, "unknown field 'logit', did you mean 'logits'?")
  refused({ logits = { 1, 2 } }, "field 'logits'")
  refused({ h = lstm.tensor.zeros { 2, 1, 20 } }, "field 'h': table of tensors, by layer from 0, expected, got a lstm.tensor")
  refused({ h = { [2] = 1 } }, "field 'h': layers are 0 to 1 here, got 2")
  refused({ h = { [1] = lstm.tensor.zeros { 2, 1, 19 } } }, "field 'h', layer 1")
  refused({ c = { [0] = 1 } }, "field 'c': an rnn has none")
  refused("logits", "table expected, got 'logits'")
  fit:forward(batch)
  fit:backward { logits = 0, h = { [1] = { { lstm.tensor.zeros { 20 }:totable() }, { lstm.tensor.zeros { 20 }:totable() } } } }
  tap.is(fit:gradient "rnn.bias_l0":norm(), 0.0, "a loss of nothing has no gradient")
  fit:forward(batch)
  local closing = setmetatable({}, { __index = function() fit:close() end })
  tap.fails(function() fit:backward { h = closing } end, "closed", "a trainer that its arguments close is noticed")
end

do -- loss at the last step of sequences of different lengths: each one's own
  local sequences, alone = { batch = 4, loss_at = "last" }, 0
  local settings = { vocab = 5, classes = 3, hidden = 6, precision = "double", seed = 2 }
  local model <close> = lstm.model(settings)
  local single <close> = model:trainer { batch = 1, seq = 6, loss_at = "last" }
  for k = 1, 8 do
    local ids_k = {}
    for t = 1, 1 + k % 6 do ids_k[t] = (k * t) % 5 end
    sequences[k] = { ids = ids_k, targets = { k % 3 } }
    alone = alone + single:forward { ids = ids_k, targets = { k % 3 }, reset = true } / 8
  end
  local fit <close> = model:trainer { batch = 4, seq = 6, loss_at = "last" }
  local loss, positions = fit:evaluate(lstm.sequences(sequences))
  tap.is(positions, 8, "every sequence counts")
  tap.near(loss, alone, 1e-12, "as by itself")
  -- A mask of padding and one target a row say the same.
  local padded, mask, classes = {}, {}, {}
  for t = 1, 6 do
    padded[t], mask[t] = {}, {}
    for b = 1, 4 do
      padded[t][b] = sequences[b].ids[t] or 0
      mask[t][b] = sequences[b].ids[t] and 1 or 0
      classes[b] = sequences[b].targets[1]
    end
  end
  local wanted = 0
  for b = 1, 4 do
    wanted = wanted + single:forward { ids = sequences[b].ids, targets = { classes[b] }, reset = true } / 4
  end
  local got = fit:forward { ids = padded, targets = { classes }, mask = mask, reset = true }
  tap.near(got, wanted, 1e-12, "one row of targets, and a mask that says how long each is")
  tap.ok(fit:activation("loss")[6][1] == 0 and fit:activation("loss")[2][1] > 0, "the loss is where the sequence ends")
end

do -- accumulation over two halves = one batch of both
  local a <close> = new_model { precision = "double" }
  local b <close> = new_model { precision = "double" }
  local one <close> = a:trainer { batch = 4, seq = 3, optimizer = "sgd", lr = 1 } -- which sees the gradient's size
  local two <close> = b:trainer { batch = 2, seq = 3, accumulate = 2, optimizer = "sgd", lr = 1 }
  local all = some_ids(3, 4)
  local function half(first)
    local t = {}
    for k = 1, 3 do t[k] = { all[k][first], all[k][first + 1] } end
    return { ids = t, targets = t }
  end
  one:step { ids = all, targets = all }
  local _, stats = two:step(half(1))
  tap.ok(not stats.updated and two.updates == 0 and two:counters().accumulated == 1, "the first half waits")
  tap.ok(stats.grad_norm == 0 and two.summed == 1, "and tells nothing of an update")
  _, stats = two:step(half(3))
  tap.ok(stats.updated and two.updates == 1, "the second updates")
  tap.is(two.summed, 2, "with a gradient that is the sum of two")
  tap.near(two:gradient("head.weight"):norm() / 2, one:gradient("head.weight"):norm(), 1e-12, "of which it takes the mean")
  local near = true
  for name, view in a:parameters() do
    near = near and (view - b:parameter(name)):abs():max() < 1e-14 -- sums in another order, in double, of numbers below 1
  end
  tap.ok(near, "with the same result, to rounding")
end

-- ---- padded sequences ---------------------------------------------------------------------------------------------

do
  local model <close> = lstm.model { input = 2, hidden = 6, output = 1, precision = "double" }
  local fit <close> = model:trainer { batch = 2, seq = 5 }
  local function sequence(n, seed)
    return { x = lstm.tensor.normal { n, 2, seed = seed }, y = lstm.tensor.normal { n, 1, seed = seed + 50 } }
  end
  local lengths = { 5, 3, 4, 2, 1 }
  local list, alone, weight = { batch = 2 }, 0, 0
  local single <close> = model:trainer { batch = 1, seq = 5 }
  for k, n in ipairs(lengths) do
    list[k] = sequence(n, k)
    alone = alone + single:forward { x = list[k].x:reshape { n, 1, 2 }, y = list[k].y:reshape { n, 1, 1 } } * n
    weight = weight + n
  end
  local data = lstm.sequences(list)
  tap.is(data.batches, 3, "five sequences by two are three batches")
  local loss, count = fit:evaluate(data)
  tap.is(count, 15.0, "padding does not count")
  tap.near(loss, alone / weight, 1e-12, "padded batches give the mean over the sequences by themselves")
  for _ = 1, 3 do tap.ok(fit:step(data) > 0, "a step on padded sequences") end
  tap.is(data:cursor().position, 3, "the cursor moves")
  fit:evaluate(data)
  tap.is(data:cursor().position, 3, "evaluation leaves it")
  list.shuffle = true
  list.seed = math.maxinteger
  local last = lstm.sequences(list)
  for _ = 1, 4 do last:next() end
  tap.is(last:cursor().epoch, 1, "the largest of seeds serves the second epoch, too")
  list.seed = nil
  local order_a, order_b = lstm.sequences(list), lstm.sequences(list)
  order_a:next()
  order_a:next()
  order_b:seek(order_a:cursor())
  tap.is(order_a:next().x[1][1][1], order_b:next().x[1][1][1], "a shuffled order continues from a cursor")
  local function firsts(seed, epoch)
    local many, parts = { batch = 1, shuffle = true, seed = seed }, {}
    for k = 1, 20 do many[k] = { ids = { k }, targets = { 0 } } end
    local stream = lstm.sequences(many)
    stream:seek { epoch = epoch, position = 0 }
    for k = 1, 20 do parts[k] = stream:next().ids[1][1] end
    return table.concat(parts, " ")
  end
  tap.ok(firsts(1, 1) ~= firsts(2, 0) and firsts(1, 1) == firsts(1, 1), "seeds next to each other share no order")
end

-- ---- fields -------------------------------------------------------------------------------------------------------

do
  local model <close> = new_model()
  local fit <close> = model:trainer { batch = 3, seq = 5, optimizer = "sgd", momentum = 0.5, clip_value = 2 }
  fit.lr = 0.25
  local c = fit.config
  tap.ok(fit.lr == 0.25 and c.lr == 0.25 and c.optimizer == "sgd" and c.momentum == 0.5 and c.clip_value == 2
    and c.weight_decay == 0 and fit.batch == 3 and fit.seq == 5 and fit.model == model, "fields and config")
  local twin <close> = model:trainer(c)
  tap.is(twin.config.momentum, 0.5, "config makes the same trainer again")
  local tensors = fit:checkpoint_tensors()
  tap.ok(tensors[1][1] == "lstm.weight_ih_l0" and tensors[9][1] == "moment1/lstm.weight_ih_l0"
    and tensors[#tensors][1] == "state.c/l1", "checkpoint_tensors names parameters, moments and states")
  fit:profile(true)
  fit:step(text)
  local spent = 0
  for _, seconds in pairs(fit:profile(false)) do spent = spent + seconds end
  tap.ok(spent > 0 and spent < 10, "profile measures the phases of a step")
  tap.contains(tostring(fit), "sgd, batch 3, seq 5", "tostring")
  fit:close()
  tap.fails(function() fit:step(text) end, "attempt to call 'step' on a closed trainer", "closed")
  tap.ok(twin:step(text) > 0, "another trainer of the model goes on")
end

tap.done()
