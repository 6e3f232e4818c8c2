-- SPDX-License-Identifier: MIT
--
-- Tensors: making, indexing, slices, sums, printing; and views of a model's packed memory behave like dense ones.

local lstm = require "lstm"
local tap = require "tap"

local function same(t, nested, text)
  tap.ok(t:equal(lstm.tensor(nested)), text)
end

-- ---- making -------------------------------------------------------------------------------------------------------

local t = lstm.tensor { { 1, 2, 3 }, { 4, 5, 6 } }
tap.is(table.concat(t.shape, ","), "2,3", "shape")
tap.is(t.type, "double", "numbers of Lua are doubles")
tap.is(#t, 2, "# is the first axis")
tap.is(t:size(), 6, "size")
tap.is(t:get(2, 3), 6.0, "get")
tap.is(t[2][1], 4.0, "t[i][j]")
tap.is(lstm.tensor({ 0.1, type = "float" })[1], string.unpack("f", string.pack("f", 0.1)), "float rounds")
local backwards = {}
for k = 9, 1, -1 do backwards[k] = k end
same(lstm.tensor(backwards):slice(1, 8, 9), { 8, 9 }, "a table that was filled from its end")
same(lstm.tensor.zeros { 2, 2 }, { { 0, 0 }, { 0, 0 } }, "zeros")
same(lstm.tensor.full { 3, value = 2.5 }, { 2.5, 2.5, 2.5 }, "full")

local normal, again = lstm.tensor.normal { 100, 100, seed = 7 }, lstm.tensor.normal { 100, 100, seed = 7 }
tap.ok(normal:equal(again), "the same seed gives the same numbers")
tap.ok(not normal:equal(lstm.tensor.normal { 100, 100, seed = 8 }), "another seed gives others")
-- 10,000 draws: the mean is within 4 standard errors (0.04), the deviation within 4/sqrt(20000).
tap.ok(math.abs(normal:mean()) < 0.04 and math.abs(normal:std() - 1) < 0.03, "normal has mean 0 and deviation 1")
local uniform = lstm.tensor.uniform { 10000, low = -2, high = 3, seed = 1 }
tap.ok(uniform:min() >= -2 and uniform:max() < 3 and math.abs(uniform:mean() - 0.5) < 0.06, "uniform keeps its bounds")

-- ---- views --------------------------------------------------------------------------------------------------------

local row = t[2]
row[1] = 40
tap.is(t:get(2, 1), 40.0, "a row is a view")
t[1] = { 7, 8, 9 }
t:set(60, 2, 3)
t:set({ 70, 80, 90 }, 1)
same(t, { { 70, 80, 90 }, { 40, 5, 60 } }, "rows and elements are set")
t:slice(2, 2, 3):assign(0)
same(t, { { 70, 0, 0 }, { 40, 0, 0 } }, "a slice is a view")
t = lstm.tensor { 1, 2, 3, 4, 5, 6 }
same(t:reshape { 2, 3 }, { { 1, 2, 3 }, { 4, 5, 6 } }, "reshape")
t:reshape { 3, 2 }[3] = { 0, 0 }
same(t, { 1, 2, 3, 4, 0, 0 }, "and it is a view")
t:slice(1, 2, 6):assign(t:slice(1, 1, 5))
same(t, { 1, 1, 2, 3, 4, 0 }, "overlapping slices are copied as if at once")
row = nil
t = lstm.tensor { { 1, 2 }, { 3, 4 } }[2]
collectgarbage()
collectgarbage()
same(t, { 3, 4 }, "a view keeps its tensor alive")
local n = 0
for _, value in ipairs(t) do n = n + value end
tap.is(n, 7.0, "ipairs")

-- ---- tables and copies --------------------------------------------------------------------------------------------

t = lstm.tensor { { { 1 }, { 2 } }, { { 3 }, { 4 } } }
local nested = t:totable()
tap.ok(nested[2][1][1] == 3.0 and #nested == 2 and #nested[1] == 2, "totable")
local copy = t:copy()
copy:assign(9)
tap.is(t:get(1, 1, 1), 1.0, "a copy is independent")
tap.ok(t:equal(lstm.tensor(t)), "lstm.tensor(t) copies")
tap.ok(not lstm.tensor { 0.0 }:equal(lstm.tensor { -0.0 }), "equal compares bits")
tap.ok(not lstm.tensor { 1 }:equal(lstm.tensor { { 1 } }), "equal compares shapes")
tap.ok(not lstm.tensor { 1 }:equal(lstm.tensor { 1, type = "float" }), "equal compares types")

-- ---- sums ---------------------------------------------------------------------------------------------------------

t = lstm.tensor { { 3, -4 }, { 0, 1 } }
tap.is(t:sum(), 0.0, "sum")
tap.is(t:mean(), 0.0, "mean")
tap.near(t:std(), math.sqrt(26 / 4), 1e-15, "std divides by n")
tap.near(t:norm(), math.sqrt(26), 1e-15, "norm")
tap.ok(t:min() == -4 and t:max() == 3, "min and max")
same(t:abs(), { { 3, 4 }, { 0, 1 } }, "abs")
tap.is(lstm.tensor { 1e16, 1, -1e16, 1 }:sum(), 2.0, "sums don't lose small terms")
local nan = lstm.tensor { 1, 0 / 0, 3 }
tap.ok(nan:sum() ~= nan:sum() and nan:min() ~= nan:min() and nan:max() ~= nan:max(), "NaN is not hidden")
tap.is(lstm.tensor { 1, 1 / 0 }:sum(), 1 / 0, "infinity is infinite")

-- ---- printing -----------------------------------------------------------------------------------------------------

tap.is(tostring(lstm.tensor { 1, 2.5 }), "lstm.tensor double [2]\n          1        2.5", "small ones are shown whole")
local large = tostring(lstm.tensor.normal { 50, 60, 70 })
tap.ok(#large < 1000 and large:find "%.%.%." and large:find("[50][60]", 1, true), "large ones are cut")

-- ---- views of packed memory: every axis of every parameter, against a dense copy ----------------------------------

for _, case in ipairs {
  { cell = "lstm", precision = "float", H = 19, V = 7 }, { cell = "rnn", precision = "double", H = 33, V = 18 },
} do
  local model <close> = lstm.model { cell = case.cell, precision = case.precision, vocab = case.V, embed = 5,
    hidden = case.H, layers = 2 }
  local good, slices, refused = true, 0, 0
  for name, view in model:parameters() do
    local dense = view:copy()
    good = good and view:equal(dense) and lstm.tensor(view:totable()):sum() == dense:sum()
    local last = view.shape[#view.shape]
    local index = #view.shape == 1 and { last } or { #view, last }
    good = good and view:get(table.unpack(index)) == dense:get(table.unpack(index))
    for axis = 1, #view.shape do
      for first = 1, view.shape[axis], 3 do
        local to = math.min(first + 10, view.shape[axis])
        local ok, slice = pcall(view.slice, view, axis, first, to)
        if ok then
          good = good and slice:equal(dense:slice(axis, first, to))
          slices = slices + 1
        else
          good = good and slice:find "slice a :copy%(%) instead" ~= nil
          refused = refused + 1
        end
      end
    end
    view[1] = dense[#dense]
    good = good and (type(view[1]) == "number" and view[1] == dense[#dense] or view[1]:equal(dense[#dense]))
    if name:find "bias_l0" and case.cell == "lstm" then
      for gate = 0, 3 do view:slice(1, gate * case.H + 1, (gate + 1) * case.H):assign(gate) end
      good = good and view[case.H] == 0 and view[case.H + 1] == 1 and view[4 * case.H] == 3
    end
  end
  tap.ok(good, ("%s, %s: views are their copies (%d slices, %d refused)")
    :format(case.cell, case.precision, slices, refused))
end

tap.done()
