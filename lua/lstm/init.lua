-- SPDX-License-Identifier: MIT
--
-- init.lua - the module: require "lstm". The engine's part is in C (lstm.core); the rest are modules of their own,
-- which are loaded when first used, so that lstm.schedule.cosine(...) needs no require.

local core = require "lstm.core"

local lstm = {
  version = core.version,
  kernel = core.kernel,
  tiles = core.tiles,
  threads = core.threads,
  tensor = core.tensor,
  corpus = core.corpus,
  vocabulary = core.vocabulary,
  sha256 = core.sha256,
  model = core.model,
  plan = core.plan,
}

-- Files of arrays; only who has some needs them.
for _, name in ipairs { "load", "save" } do
  lstm.tensor[name] = function(...) return require "lstm.arrays"[name](...) end
end

local modules = {
  arguments = true, data = true, experiment = true, load = true, save = true, schedule = true, sequences = true,
  show = true, space = true, sweep = true, tasks = true,
}

return setmetatable(lstm, {
  modules = modules,
  __index = function(self, name)
    if not modules[name] then return nil end
    local module = require("lstm." .. name)
    self[name] = module
    return module
  end,
})
