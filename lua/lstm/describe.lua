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

return describe
