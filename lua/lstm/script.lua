-- SPDX-License-Identifier: MIT
--
-- script.lua - finds and loads the Lua files of a user: scripts, and the modules that they require. They are read as
-- text only: precompiled Lua can crash its interpreter.

local core = require "lstm.core"
local fault = require "lstm.fault"

local sys = core.sys
local script = {}

local home = debug.getinfo(1, "S").source:match "^@(.*)script%.lua$" or "?"
local loaded = {} -- paths of the user's modules, in order

local function first_that_exists(candidates)
  for _, path in ipairs(candidates) do
    if sys.kind(path) == "file" then return path end
  end
end

--- Where a script is: as it is named; else one of those that came with lstmrun (root/experiments), with or without
-- ".lua". nil when there is none.
function script.locate(name, root)
  if sys.kind(name) then return name end
  return first_that_exists { name .. ".lua", root .. "/" .. name, root .. "/" .. name .. ".lua",
    root .. "/experiments/" .. name, root .. "/experiments/" .. name .. ".lua" }
end

--- The same; ends the program with a sentence when there is none.
function script.find(name, root)
  local found = script.locate(name, root)
  if not found then fault.stop(("there is no script '%s'"):format(name)) end
  if sys.kind(found) == "directory" then fault.stop(("%s is a directory, not a script"):format(name)) end
  return found
end

--- The script's function.
function script.load(path)
  local chunk, problem = loadfile(path, "t")
  if not chunk then fault.stop(problem) end
  return chunk
end

--- For package.searchers: a module of package.path.
function script.searcher(name)
  local path, reason = package.searchpath(name, package.path)
  if not path then return reason end
  local loader, problem = loadfile(path, "t")
  if not loader then error(("error loading module '%s' from file '%s':\n\t%s"):format(name, path, problem), 0) end
  if path:sub(1, #home) ~= home then loaded[#loaded + 1] = path end
  return loader, path
end

local setlocale = os.setlocale

--- os.setlocale for scripts. Numbers keep their point: JSON, CSV and options that are handed on have no other.
function script.setlocale(locale, category)
  local set = setlocale(locale, category)
  if ("%.1f"):format(0.5) == "0.5" then return set end
  setlocale("C", "numeric")
  return category ~= "numeric" and setlocale(nil, category) or nil
end

local function read(path)
  local file <close> = io.open(path, "rb")
  return file and file:read "a"
end

--- SHA-256 of a file; nil when it cannot be read.
function script.hash(path)
  local text = read(path)
  return text and core.sha256(text)
end

--- Whether a script may read its arguments: it has `...` or `arg` in it, or a module that it requires `arg`.
function script.reads_arguments(path)
  local text = read(path) or ""
  for _, module in ipairs(loaded) do text = text .. "\n" .. (read(module) or ""):gsub("%.%.%.", "") end
  return text:find("...", 1, true) or text:find "%f[%w_]arg%f[^%w_]"
end

--- SHA-256 of the user's modules that were required so far, by their paths; nil when there are none.
function script.modules()
  local hashes = {}
  for _, path in ipairs(loaded) do hashes[path] = script.hash(path) end
  return next(hashes) and hashes
end

return script
