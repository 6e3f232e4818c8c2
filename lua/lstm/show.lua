-- SPDX-License-Identifier: MIT
--
-- show.lua - tensors and tables of numbers as text for people.
--
--     print(show.tensor(h))                                        -- [ 0.0012 -0.0034]
--     print(show.shape(h))                                         -- [2]
--     show.table({ "T", "|dL/dx_1|" }, { { 10, "2.1e-05" } })      -- headings, and rows below them

local fault = require "lstm.fault"

local show = {}

local function number(x, format)
  local ok, text = pcall(string.format, format, x)
  if ok then return text end
  fault.mistake(("bad argument #2 to 'tensor' (a format of one number expected, such as \"%%7.4f\", got '%s' for %s)")
    :format(format, x))
end

local function row(t, format)
  local numbers = {}
  for k, x in ipairs(t) do numbers[k] = number(x, format) end
  return "[" .. table.concat(numbers, " ") .. "]"
end

--- The numbers of a tensor; of a matrix or more axes a line a row. format: of a number, "%7.4f" when nil.
function show.tensor(t, format)
  fault.check(1, "tensor", t, "lstm.tensor")
  format = format or "%7.4f"
  fault.check(2, "tensor", format, "string")
  if #t.shape == 1 then return row(t, format) end
  local lines = {}
  for k, part in ipairs(t) do lines[k] = show.tensor(part, format) end
  return table.concat(lines, "\n")
end

--- "[2, 5, 20]"
function show.shape(t)
  fault.check(1, "shape", t, "lstm.tensor")
  return "[" .. table.concat(t.shape, ", ") .. "]"
end

--- Prints rows (lists of texts or numbers) below their headings. The first column is aligned to the left, the others to
-- the right. out: takes a line; print when nil.
function show.table(columns, rows, out)
  fault.check(1, "table", columns, "table")
  fault.check(2, "table", rows, "table")
  for k, cells in ipairs(rows) do
    if type(cells) ~= "table" then
      fault.mistake(("bad argument #2 to 'table' (row %d: table expected, got %s)"):format(k, type(cells)))
    end
  end
  local widths = {}
  for _, cells in ipairs { columns, table.unpack(rows) } do
    for k, cell in ipairs(cells) do widths[k] = math.max(widths[k] or 0, utf8.len(tostring(cell)) or #cell) end
  end
  local function line(cells)
    local parts = {}
    for k, cell in ipairs(cells) do
      local gap = (" "):rep(widths[k] - (utf8.len(tostring(cell)) or #cell))
      parts[k] = k == 1 and cell .. gap or gap .. cell
    end
    return (table.concat(parts, "  "):gsub(" +$", ""))
  end
  out = out or print
  out(line(columns))
  for _, cells in ipairs(rows) do out(line(cells)) end
end

return show
