-- SPDX-License-Identifier: MIT
--
-- directory.lua - the directory of a run: where it is made, and that it belongs to one process at a time.

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local fault = require "lstm.fault"

local sys = core.sys
local directory = {}

local function cannot_make(reason)
  fault.stop("cannot make the run's directory: " .. reason .. "; choose another place by --out=DIR")
end

--- The lock of a directory (runlock.h), to be closed when the run is over. Ends the program when another process has
-- it.
function directory.lock(path)
  local lock, reason = core.lock.take(path .. "/lock")
  if not lock then fault.stop(reason) end
  return lock
end

-- What to do with a directory that holds a run.
local function way_on(path, continues)
  if continues then return "leave --out away" end
  for _, name in ipairs { checkpoint.latest, checkpoint.previous, checkpoint.best } do
    if sys.kind(path .. "/" .. name) then return "go on with it by --resume=" .. path end
  end
  return "it left no checkpoint to go on from: remove it"
end

--- Ends the program when there is a run in this directory. continues: what is to be written there goes on with a run, or
-- replays one.
function directory.check_free(path, continues)
  for _, name in ipairs { "log.h5", checkpoint.latest } do
    if sys.kind(path .. "/" .. name) then
      fault.stop(("%s holds a run already; %s, or choose another --out"):format(path, way_on(path, continues)))
    end
  end
end

--- A directory of this name, which may be there but must not hold a run; and its lock.
function directory.named(path, continues)
  local made, reason = sys.make_directory(path)
  if not made then cannot_make(reason) end
  local lock = directory.lock(path)
  local free, problem = pcall(directory.check_free, path, continues)
  if not free then
    lock:close()
    error(problem, 0)
  end
  return path, lock
end

--- A new directory parent/name, or parent/name-2 and so on when that is taken; and its lock.
function directory.fresh(parent, name)
  local made, reason = sys.make_directory(parent)
  if not made then cannot_make(reason) end
  local n, taken = 1, nil
  repeat
    local path = parent .. "/" .. name .. (n > 1 and "-" .. n or "")
    made, reason, taken = sys.create_directory(path)
    if made then return path, directory.lock(path) end
    n = n + 1
  until not taken
  cannot_make(reason)
end

return directory
