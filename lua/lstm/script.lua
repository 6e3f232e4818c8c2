-- SPDX-License-Identifier: MIT
--
-- script.lua - finds and loads the Lua files of a user: scripts, and the modules that they require. They are read as
-- text only: precompiled Lua can crash its interpreter.

local core = require "lstm.core"
local fault = require "lstm.fault"

local sys = core.sys
local script = {}

local home = debug.getinfo(1, "S").source:match "^@(.*)script%.lua$" or "?"
local loaded = {} -- the user's modules, in order: { name, path }
local directory -- of the script

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

-- What somebody may take for a run that goes on.
local function refuse_hdf5(path)
  if sys.kind(path) ~= "file" then return end -- a pipe can be read once
  local file <close> = io.open(path, "rb")
  if not file or file:read(8) ~= "\x89HDF\r\n\x1a\n" then return end
  local run = path:match "^(.*)/" or "."
  fault.stop(("%s is an HDF5 file (a run's log or checkpoint, perhaps), not a script; see what is in it by 'lstmlog " ..
    "show %s', go on with the run by 'lstmrun SCRIPT --resume=%s', make it again by 'lstmrun replay %s'"):format(path,
    path, run, run))
end

--- The script's function.
function script.load(path)
  refuse_hdf5(path)
  local chunk, problem = loadfile(path, "t")
  if not chunk then fault.stop(problem) end
  return chunk
end

--- Has modules looked for beside a script, too: after those of lstmrun, which are the first two places of package.path,
-- and before all others, so that they are the same wherever lstmrun is started.
function script.search_beside(path)
  directory = path:match "^(.*)/" or "."
  if directory:find "[;?]" then return end -- means something else in package.path
  local beside = ("%s/?.lua;%s/?/init.lua;"):format(directory, directory)
  local ours = package.path:match "^[^;]*;[^;]*;" or ""
  package.path = ours .. beside .. package.path:sub(#ours + 1)
end

--- Names of modules that somebody who mistyped one may have meant: ours, those that are loaded, those beside the script.
function script.known_modules()
  local names = { "lstm" }
  for name in pairs(package.loaded) do names[#names + 1] = name end
  for _, file in ipairs(directory and sys.list(directory) or {}) do names[#names + 1] = file:match "^(.*)%.lua$" end
  table.sort(names)
  return names
end

--- Where a file is that the script names: beside the script, as modules are, or else in the working directory; nil when
-- there is none.
function script.named(name)
  local is_elsewhere = directory and directory ~= "." and not name:find "^/"
  return first_that_exists { is_elsewhere and directory .. "/" .. name or name, name }
end

--- The log is to name this file among the modules.
function script.note(name, path)
  loaded[#loaded + 1] = { name, path }
end

--- For package.searchers: a module of package.path.
function script.searcher(name)
  local path, reason = package.searchpath(name, package.path)
  if not path then return reason end
  local loader, problem = loadfile(path, "t")
  if not loader then error(problem, 0) end
  if path:sub(1, #home) ~= home then script.note(name, path) end
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

local exit = os.exit

--- os.exit for scripts: what is <close> is closed, and a run in its loop ends as by break, with its checkpoint.
function script.exit(code)
  exit(code == nil and true or code, true)
end

-- nil of a pipe, which was read when the script was loaded, and of what cannot be read.
local function read(path)
  local file <close> = sys.kind(path) == "file" and io.open(path, "rb") or nil
  return file and file:read "a"
end

--- SHA-256 of a file; nil when it cannot be read.
function script.hash(path)
  local text = read(path)
  return text and core.sha256(text)
end

--- Whether a script may read its arguments: it has `...` or `arg` in it, or a module that it requires `arg`; or it runs
-- other files, which may.
function script.reads_arguments(path)
  local text = read(path)
  if not text then return true end
  for _, module in ipairs(loaded) do text = text .. "\n" .. (read(module[2]) or ""):gsub("%.%.%.", "") end
  return text:find("...", 1, true) or text:find "%f[%w_]arg%f[^%w_]" or text:find "%f[%w_]dofile%f[^%w_]"
    or text:find "%f[%w_]loadfile%f[^%w_]"
end

--- The file that a function is from; nil when it is from none.
function script.file_of(f)
  return debug.getinfo(f, "S").source:match "^@(.*)"
end

--- SHA-256 of the code of a function: of its file, and of the user's modules that were required so far; nil when it is
-- from no file.
function script.code(f)
  local path = script.file_of(f)
  local hashes = { path and script.hash(path) }
  if #hashes == 0 then return nil end
  for _, hash in pairs(script.modules() or {}) do hashes[#hashes + 1] = hash end
  table.sort(hashes)
  return core.sha256(table.concat(hashes, " "))
end

--- How many modules of the user's were required so far.
function script.modules_so_far()
  return #loaded
end

local LONGEST <const> = 1 << 20 -- bytes of a file that is worth keeping

--- What the script at a path (which may be nil) and the user's modules that were required so far are, as text: a list of
-- { name, text }. A name begins with that of its bytes (SHA-256), so that other versions have others.
function script.sources(path)
  local list, known = {}, {}
  local paths = { path }
  for _, module in ipairs(loaded) do paths[#paths + 1] = module[2] end
  for _, file in ipairs(paths) do
    local text = read(file)
    local base = file:match "[^/]*$":gsub("[^%w_.-]", "_"):sub(-40)
    local name = text and core.sha256(text):sub(1, 12) .. "-" .. base
    if text and #text <= LONGEST and utf8.len(text) and not text:find "\0" and not known[name] then
      known[name] = true
      list[#list + 1] = { name, text }
    end
  end
  return list
end

--- SHA-256 of the user's modules that were required so far, by their names; nil when there are none.
function script.modules()
  local hashes = {}
  for _, module in ipairs(loaded) do hashes[module[1]] = script.hash(module[2]) end
  return next(hashes) and hashes
end

return script
