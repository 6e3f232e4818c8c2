-- SPDX-License-Identifier: MIT
--
-- Arithmetic of tensors: against loops over tables, on dense tensors and on views of a model's packed memory.

local lstm = require "lstm"
local tap = require "tap"

local tensor = lstm.tensor

local function same(t, nested, text)
  tap.ok(t:equal(tensor(nested)), text)
end

-- ---- sums along an axis --------------------------------------------------------------------------------------------

local t = tensor { { 3, -4, 5 }, { 0, 1, 2 } }
same(t:sum(1), { 3, -3, 7 }, "sum over rows")
same(t:sum(2), { 4, 3 }, "sum over columns")
same(t:mean(2), { 4 / 3, 1 }, "mean")
same(t:min(1), { 0, -4, 2 }, "min")
same(t:max(2), { 5, 2 }, "max")
same(t:norm(2), { math.sqrt(50), math.sqrt(5) }, "norm")
same(tensor { { 1, 3 }, { 5, 5 } }:std(2), { 1, 0 }, "std divides by n")
tap.is(tensor { 1, 2, 4 }:sum(1), 7.0, "along the only axis: a number")
tap.ok(t:sum(1, nil):equal(t:sum(1)) and t:mean(nil, nil) == t:mean() and select("#", t:argmax(nil)) == 2,
  "an axis that is nil is none")
local cube = tensor.normal { 3, 4, 5, seed = 2 }
local middle = cube:max(2)
local right = table.concat(middle.shape, ",") == "3,5"
for i = 1, 3 do
  for k = 1, 5 do
    right = right and middle:get(i, k) == math.max(cube:get(i, 1, k), cube:get(i, 2, k), cube:get(i, 3, k),
      cube:get(i, 4, k))
  end
end
tap.ok(right, "along the axis in the middle")
for _, name in ipairs { "sum", "mean", "std", "norm", "min", "max" } do
  local f = cube[name]
  tap.ok(f(cube, 2, 3):equal(f(cube:reshape { 3, 20 }, 2)), name .. " along two axes")
  tap.ok(f(cube, 3, 2):equal(f(cube, 2, 3)), "  in any order")
  tap.ok(f(cube, 1, 2, 3) == f(cube) and f(cube, nil) == f(cube), "  along all: a number")
end
tap.ok(cube:sum(1, 3):equal(cube:transpose(1, 2):reshape { 4, 15 }:sum(2)), "  that are no neighbours")
tap.is(tensor { { 1, 2 }, type = "float" }:mean(1).type, "float", "means of floats are floats")
tap.ok(tensor { { 1, 0 / 0 }, { 2, 3 } }:sum(1)[2] ~= 5 and tensor { { 1, 2 } }:max(1)[1] == 1, "NaN is not hidden")

-- ---- argmax --------------------------------------------------------------------------------------------------------

local row, column = t:argmax()
tap.ok(row == 1 and column == 3, "argmax is an index for each axis")
same(t:argmax(1), { 1, 2, 1 }, "argmax along an axis")
tap.is(tensor { 7, 9, 9 }:argmax(), 2, "the first of equals")
local long = tensor.zeros { 1, 2 ^ 24 + 4 | 0, type = "float" }
long[1][2 ^ 24 + 3 | 0] = 1
tap.is(long:argmax(2)[1], 2.0 ^ 24 + 3, "places along an axis are exact, of floats, too")
tap.is(tensor { 7, 0 / 0, 9 }:argmax(), 2, "NaN is not hidden")

-- ---- functions -----------------------------------------------------------------------------------------------------

local x = tensor { -800, -2.5, -0.0, 0, 0.5, 3, 800 }
-- The engine's functions are within 2 ulp of the truth, libm within 1: 4 ulp are 1e-15 of the value.
for name, f in pairs { exp = math.exp, tanh = function(v) return 1 - 2 / (math.exp(2 * v) + 1) end,
  sigmoid = function(v) return 1 / (1 + math.exp(-v)) end } do
  local y = x[name](x)
  right = true
  for k = 2, 6 do right = right and math.abs(y[k] - f(x[k])) <= 1e-15 * math.max(1, math.abs(f(x[k]))) end
  tap.ok(right, name)
end
tap.ok(x:sigmoid()[1] >= 0 and x:sigmoid()[7] == 1 and x:tanh()[1] == -1 and x:exp()[7] == 1 / 0, "far out")
tap.ok(x:exp()[1] == 0 and tensor { 0 / 0 }:exp()[1] ~= 0, "exp far down, and of NaN")
tap.near(tensor { 10 }:log()[1], math.log(10), 1e-15, "log")
local no = tensor { -1, 0 / 0 }:log()
tap.ok(tensor { 0 }:log()[1] == -1 / 0 and no[1] ~= no[1] and no[2] ~= no[2], "log of 0, of less, of NaN")
same(tensor { 4, 2 }:sqrt(), { 2, math.sqrt(2) }, "sqrt")
same(x:relu(), { 0, 0, -0.0, 0, 0.5, 3, 800 }, "relu")
tap.ok(tensor { 0 / 0 }:relu()[1] ~= tensor { 0 / 0 }:relu()[1], "relu of NaN is NaN")
same(-tensor { 1, -2 }, { -1, 2 }, "minus")
same(tensor { 3, -2, 0 } ^ 2, { 9, 4, 0 }, "a square")
same(tensor { 2, -2 } ^ -3, { 0.125, -0.125 }, "a negative power")
same(tensor { 2, -1, 1.5 } ^ 0, { 1, 1, 1 }, "to the power of 0")
same(tensor { 3 } ^ 13, { 1594323 }, "a power of many factors")
tap.ok((tensor { 0 } ^ -1)[1] == 1 / 0, "0 to a negative power")
tap.near((tensor { 7 } ^ 0.3)[1], 7 ^ 0.3, 1e-15, "a power that is not whole")
no = tensor { -1, 0, 0 / 0 } ^ 0.5
tap.ok(no[1] ~= no[1] and no[2] == 0 and no[3] ~= no[3], "  of less than 0, of 0, of NaN")
tap.is((tensor { 2, type = "float" } ^ 2).type, "float", "powers of floats are floats")
tap.is(tensor { 0.1, type = "float" }:exp().type, "float", "functions of floats are floats")

-- ---- + - * / -------------------------------------------------------------------------------------------------------

local a, b = tensor { { 1, 2, 3 }, { 4, 5, 6 } }, tensor { { 10, 20, 30 }, { 40, 50, 60 } }
same(a + b, { { 11, 22, 33 }, { 44, 55, 66 } }, "add")
same(b - a, { { 9, 18, 27 }, { 36, 45, 54 } }, "subtract")
same(a * b, { { 10, 40, 90 }, { 160, 250, 360 } }, "multiply")
same(b / a, { { 10, 10, 10 }, { 10, 10, 10 } }, "divide")
same(1 - a, { { 0, -1, -2 }, { -3, -4, -5 } }, "a number first")
same(a * 2, { { 2, 4, 6 }, { 8, 10, 12 } }, "a number second")
same(a + tensor { 100, 200, 300 }, { { 101, 202, 303 }, { 104, 205, 306 } }, "a vector is added to every row")
same(a * tensor { { 1 }, { -1 } }, { { 1, 2, 3 }, { -4, -5, -6 } }, "a column is repeated")
same(tensor { { 1 }, { 2 } } + tensor { 10, 20 }, { { 11, 21 }, { 12, 22 } }, "both are")
tap.is((tensor { 1, type = "float" } * 0.1).type, "float", "a number takes the tensor's type")
tap.is((tensor { 1, type = "float" } + tensor { 1 }).type, "double", "the wider type wins")
same(a, { { 1, 2, 3 }, { 4, 5, 6 } }, "and the operands are as before")

-- ---- comparisons ---------------------------------------------------------------------------------------------------

local low = tensor { { 1, 2, 3 }, { 3, 2, 0 / 0 } }
same(low:lt(2), { { 1, 0, 0 }, { 0, 0, 0 } }, "lt")
same(low:le(2), { { 1, 1, 0 }, { 0, 1, 0 } }, "le")
same(low:gt(2), { { 0, 0, 1 }, { 1, 0, 0 } }, "gt")
same(low:ge(2), { { 0, 1, 1 }, { 1, 1, 0 } }, "ge")
same(low:eq(2), { { 0, 1, 0 }, { 0, 1, 0 } }, "eq")
same(low:gt(tensor { { 1 }, { 2 } }), { { 0, 1, 1 }, { 1, 0, 0 } }, "with a column")
tap.is(tensor { 1, type = "float" }:gt(0).type, "float", "of floats: floats")
tap.is(tensor { 0.95, 0.2, 0.99, 1 }:gt(0.9):mean(), 0.75, "how many are above: the mean")

-- ---- products ------------------------------------------------------------------------------------------------------

same(a:matmul(tensor { { 1, 0 }, { 0, 1 }, { 2, -1 } }), { { 7, -1 }, { 16, -1 } }, "matrix times matrix")
same(a:matmul(tensor { 1, 10, 100 }), { 321, 654 }, "matrix times vector")
same(tensor { 1, 10 }:matmul(a), { 41, 52, 63 }, "vector times matrix")
tap.is(tensor { 1, 2 }:matmul(tensor { 3, 4 }), 11.0, "vector times vector is a number")
local batch = tensor.normal { 2, 5, 3, seed = 3 }
local W = tensor.normal { 3, 7, seed = 4 }
tap.ok(batch:matmul(W)[2]:equal(batch[2]:matmul(W)) and table.concat(batch:matmul(W).shape, ",") == "2,5,7",
  "leading axes stay")
same(a:transpose(), { { 1, 4 }, { 2, 5 }, { 3, 6 } }, "transpose")
tap.ok(batch:transpose(1, 2)[4][2]:equal(batch[2][4]) and #batch:transpose(1, 2) == 5, "of two axes among three")

-- ---- views of packed memory: as their copies -----------------------------------------------------------------------

for _, precision in ipairs { "float", "double" } do
  local model <close> = lstm.model { vocab = 5, hidden = 19, layers = 2, precision = precision }
  local view = model:parameter "lstm.weight_hh_l1"
  local dense = view:copy()
  local turned, bias = dense:transpose(), model:parameter "lstm.bias_l1"
  tap.ok((view + view):equal(dense + dense) and view:sum(2):equal(dense:sum(2)) and view:tanh():equal(dense:tanh())
    and view:transpose():equal(turned) and view:matmul(turned):equal(dense:matmul(turned))
    and (view:transpose() * bias):equal(turned * bias:copy()), precision .. ": views are their copies")
end

-- ---- the cell, once more: what the engine computes -----------------------------------------------------------------

local model <close> = lstm.model { input = 3, hidden = 4, output = 1, precision = "double", init = "xavier_normal" }
local fit <close> = model:trainer { batch = 2, seq = 1 }
local input = tensor.normal { 1, 2, 3, seed = 9 }
fit:forward { x = input }
local logits = input[1]:matmul(model:parameter "lstm.weight_ih_l0":transpose()) + model:parameter "lstm.bias_l0"
local c = logits:slice(2, 1, 4):sigmoid() * logits:slice(2, 9, 12):tanh()
local h = logits:slice(2, 13, 16):sigmoid() * c:tanh()
-- The engine fuses multiplications with additions: a few units in the last place of numbers below 1.
tap.ok((h - fit:activation "h"[1]):abs():max() < 1e-15, "a cell of these operations is the engine's")

-- ---- as text -------------------------------------------------------------------------------------------------------

tap.is(lstm.show.tensor(tensor { { 1, -0.00004 }, { 20, 0.5 } }), "[ 1.0000 -0.0000]\n[20.0000  0.5000]", "show.tensor")
tap.is(lstm.show.tensor(tensor { 1, 2 }, "%d"), "[1 2]", "in a format of one's own")
tap.is(lstm.show.shape(batch), "[2, 5, 3]", "show.shape")
for what, call in pairs {
  ["#1 to 'tensor' (lstm.tensor expected, got table)"] = function() lstm.show.tensor { 1, 2 } end,
  ["#1 to 'shape' (lstm.tensor expected, got nil)"] = function() lstm.show.shape() end,
  ["#2 to 'table' (table expected, got nil)"] = function() lstm.show.table { "a" } end,
  ["#2 to 'tensor' (string expected, got 3)"] = function() lstm.show.tensor(tensor { 1 }, 3) end,
  ["#2 to 'tensor' (a format of one number expected, such as \"%7.4f\", got '%s %s' for 1.0)"] = function()
    lstm.show.tensor(tensor { 1 }, "%s %s")
  end,
  ["(a format of one number expected, such as \"%7.4f\", got '%d' for 0.5)"] = function()
    lstm.show.tensor(tensor { { 1 }, { 0.5 } }, "%d")
  end,
  ["#2 to 'table' (row 1: table expected, got number)"] = function() lstm.show.table({ "a" }, { 3 }) end,
} do
  tap.fails(function() call() end, { "tensor_math.lua:", what }, "showing what is none: " .. what)
end
local lines = {}
lstm.show.table({ "gate", "σ" }, { { "i", 0.5 }, { "forget", "12.25" } }, function(line) lines[#lines + 1] = line end)
tap.is(table.concat(lines, "\n"), "gate        σ\ni         0.5\nforget  12.25", "show.table")

tap.done()
