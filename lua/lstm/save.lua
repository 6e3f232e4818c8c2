-- SPDX-License-Identifier: MIT
--
-- save.lua - a model in a file of its own, for scripts that are no runs: lstm.load reads it, --init-from begins with it.
--
--     assert(lstm.save("model.h5", model))

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local fault = require "lstm.fault"

--- Writes parameters, configuration and vocabulary of a model; a file that was there is replaced when the new one is
-- whole. True, or nil and a sentence. Of several ranks the first one writes.
local function save(path, model)
  if type(path) ~= "string" then
    fault.mistake(("bad argument #1 to 'save' (path expected, got %s)"):format(type(path)))
  end
  local kind = core.sys.typename(model)
  if kind ~= "lstm.model" then fault.mistake(("bad argument #2 to 'save' (model expected, got %s)"):format(kind)) end
  if model.closed then fault.mistake "bad argument #2 to 'save' (the model is closed)" end
  return checkpoint.write(path, nil, { model = model, vocab = model.vocab })
end

return save
