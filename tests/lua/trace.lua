-- SPDX-License-Identifier: MIT
--
-- The worked example of a known tutorial: an LSTM of two units reads 2, 4, 6. Its weights are NumPy's np.random.seed(0)
-- and np.random.randn in the order W [1,8], U [2,8], b [1,8], its gate columns in the order f, i, o, g; it prints
--
--     h_1 = [0.68892377 0.02825511]   c_1 = [0.85269502 0.07429178]     and so on for t = 2, 3.
--
-- Here the script sets the weights, and gates are in the order i, f, g, o.

local lstm = require "lstm"
local tap = require "tap"

local H = 2
local W = { { 1.764052345967664, 0.4001572083672233, 0.9787379841057392, 2.240893199201458,
  1.8675579901499675, -0.977277879876411, 0.9500884175255894, -0.1513572082976979 } }
local U = { { -0.10321885179355784, 0.41059850193837233, 0.144043571160878, 1.454273506962975,
  0.7610377251469934, 0.12167501649282841, 0.44386323274542566, 0.33367432737426683 },
  { 1.4940790731576061, -0.20515826376580087, 0.31306770165090136, -0.8540957393017248,
  -2.5529898158340787, 0.6536185954403606, 0.8644361988595057, -0.7421650204064419 } }
local b = { { 2.2697546239876076, -1.4543656745987648, 0.04575851730144607, -0.1871838500258336,
  1.5327792143584575, 1.469358769900285, 0.1549474256969163, 0.37816251960217356 } }

-- The tutorial multiplies from the left (x W), we from the right (W x): its columns are our rows.
local first_column = { i = 2, f = 0, g = 6, o = 4 }
local function rows_of(columns)
  local rows = {}
  for _, gate in ipairs { "i", "f", "g", "o" } do
    for unit = 1, H do
      local row = {}
      for k = 1, #columns do row[k] = columns[k][first_column[gate] + unit] end
      rows[#rows + 1] = row
    end
  end
  return rows
end

local model <close> = lstm.model { input = 1, hidden = H, output = 1, precision = "double" }
model:parameter "lstm.weight_ih_l0":assign(rows_of(W))
model:parameter "lstm.weight_hh_l0":assign(rows_of(U))
local bias = model:parameter "lstm.bias_l0"
for k, row in ipairs(rows_of(b)) do bias[k] = row[1] end

local fit <close> = model:trainer { batch = 1, seq = 3 }
fit:forward { x = { { { 2 } }, { { 4 } }, { { 6 } } } }

local expected = {
  h = { { 0.68892377, 0.02825511 }, { 0.95028052, 0.00233643 }, { 0.99310023, -0.00257565 } },
  c = { { 0.85269502, 0.07429178 }, { 1.83543363, 0.02653619 }, { 2.8330826, -0.1903809 } },
}
for _, name in ipairs { "h", "c" } do
  local states = fit:activation(name)
  for t = 1, 3 do
    for unit = 1, H do
      local got, want = states:get(t, 1, unit), expected[name][t][unit]
      -- Eight digits are printed: what we get rounds to them.
      tap.ok(math.abs(got - want) <= 0.5e-8 * 1.0000001,
        ("%s_%d[%d] = %.8f, the tutorial prints %.8g"):format(name, t, unit, got, want))
    end
  end
end

tap.done()
