-- SPDX-License-Identifier: MIT
--
-- describe.lua - a line each of a text, a model and this program, as a run shows them when it begins.

local core = require "lstm.core"
local format = require "lstm.format"

local sys = core.sys
local describe = {}

--- "text    tinyshakespeare.txt, 1,115,394 bytes, 65 symbols; 1,003,854 to train on, 111,540 to validate"
function describe.text(text)
  local name, parts = text.name:match "[^/]*$", {}
  for _, part in ipairs { { "train", "to train on" }, { "val", "to validate" }, { "test", "to test" } } do
    local size = text.sizes[part[1]]
    if size > 0 then parts[#parts + 1] = format.count(size) .. " " .. part[2] end
  end
  return ("text    %s, %s, %s; %s"):format(name ~= "" and name or "given", format.plural(text.bytes, "byte"),
    format.plural(#text.vocab, "symbol"), table.concat(parts, ", "))
end

--- The symbols of a vocabulary as valid UTF-8: bytes of one that is not as \x00.
function describe.symbols(vocab)
  local list = {}
  for id = 0, #vocab - 1 do
    local symbol = vocab:symbol(id)
    if not utf8.len(symbol) or symbol:find "\0" then
      symbol = symbol:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end)
    end
    list[id + 1] = symbol
  end
  return list
end

local function init_name(init)
  if init == nil then return "uniform_hidden" end
  if type(init) == "string" then return init end
  if type(init[1]) == "string" then return ("%s(%g)"):format(init[1], init[2] or 1) end
  return "by parameter"
end

--- "model   lstm 65 -> 2x256 -> 65, 871,745 parameters (3.3 MiB), dropout 0.2, init orthogonal, seed 1337"
function describe.model(model)
  local c = model.config
  local input = c.input or c.vocab
  if c.embed and c.embed > 0 then input = input .. " -> " .. c.embed end
  local bytes = model.size * (c.precision == "double" and 8 or 4)
  local line = ("model   %s %s -> %dx%d -> %d, %s (%s)"):format(c.cell, input, c.layers, c.hidden,
    c.output or c.classes, format.plural(model.size, "parameter"), format.bytes(bytes))
  if c.dropout > 0 then line = line .. (", dropout %g"):format(c.dropout) end
  return line .. (", init %s, seed %d"):format(init_name(c.init), c.seed)
end

-- Precisions whose products are in tiles: what of a processor makes them faster than floats.
local wanted = { bf16x6 = "matrix units (AMX)", bf16x3 = "matrix units (AMX)", bf16 = "AMX, or a fast AVX512-BF16 (AMD's)" }
local computed_by = { amx = "matrix units (AMX)", avx512bf16 = "AVX512-BF16", software = "software" }

--- Who computes the products of a precision (lstm.tiles()); nil where they are not of bfloat16 numbers.
-- asked: the model's precision, which may be "auto"; chosen: what the trainer has.
function describe.tiles(asked, chosen)
  return (asked == "auto" or wanted[chosen]) and core.tiles() or nil
end

--- "bf16x6 (auto), products by matrix units (AMX)"; nil for float and double, which need no words.
function describe.precision(asked, chosen)
  local unit, problem = describe.tiles(asked, chosen)
  if not unit then return nil end
  local line = asked == "auto" and chosen .. " (auto)" or chosen
  problem = problem and "; " .. problem or ""
  if not wanted[chosen] then
    return line .. (unit == "amx" and ": too small a network or batch for matrix units" or
      ": no matrix units (AMX) here") .. problem
  end
  line = line .. ", products by " .. computed_by[unit]
  if unit == "amx" or unit == "avx512bf16" and chosen == "bf16" then return line .. problem end
  return line .. (", for want of %s: 'float' is faster here"):format(wanted[chosen]) .. problem
end

--- "lstmrun 0.1.0 (avx512, 2 threads)"
function describe.program()
  return ("lstmrun %s (%s, %s)"):format(core.version, core.kernel(), format.plural(core.threads(), "thread"))
end

--- What this program is made of and runs on, as a list of { name, value }.
function describe.environment()
  return {
    { "version", core.version }, { "revision", sys.revision() }, { "kernel", core.kernel() },
    { "threads", core.threads() }, { "compiler", sys.compiler() }, { "lua", sys.lua_release() },
    { "hdf5", sys.hdf5_version() },
  }
end

-- "Intel(R) Xeon(R) ...", as Linux has it; nil elsewhere.
local function cpu_name()
  local file <close> = io.open "/proc/cpuinfo"
  local text = file and file:read "a" or ""
  return text:match "\nmodel name%s*: ([^\n]+)" or text:match "\nCPU part%s*: ([^\n]+)"
end

--- Everything that a run's log says of where it runs, as a list of { name, value }.
function describe.surroundings()
  local list = describe.environment()
  local host, system, cores = sys.machine()
  for _, pair in ipairs { { "host", host }, { "system", system }, { "cpu", cpu_name() }, { "cores", cores },
    { "pid", sys.pid() }, { "working_directory", sys.realpath "." } } do
    if pair[2] then list[#list + 1] = pair end
  end
  return list
end

--- What of one environment may make the bits of a run differ from those of another; `threads` and the rest may not.
describe.telling = { "version", "revision", "compiler", "kernel", "precision", "tiles", "cpu", "hdf5", "lua", "ranks",
  "script_sha256", "modules", "data_sha256" }

--- What of that is the user's code.
describe.code = { "script_sha256", "modules" }

--- What differs between two environments { name = text }: a list of { name, text now, text before }.
-- names: what is compared; default: all that tells.
function describe.changes(now, before, names)
  local list = {}
  for _, name in ipairs(names or describe.telling) do
    local a, b = now[name], before[name]
    if a and b and tostring(a) ~= tostring(b) then list[#list + 1] = { name, tostring(a), tostring(b) } end
  end
  return list
end

local without_values = { script_sha256 = "script has changed", data_sha256 = "data has changed",
  modules = "modules have changed" } -- SHA-256 tell a person nothing

--- One of these changes in words: "kernel avx2, was avx512".
function describe.change(name, now, before)
  return without_values[name] or ("%s %s, was %s"):format(name, now, before)
end

--- The changes in words, as a list.
function describe.differences(now, before, names)
  local list = describe.changes(now, before, names)
  for i, change in ipairs(list) do list[i] = describe.change(table.unpack(change)) end
  return list
end

return describe
