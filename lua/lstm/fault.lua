-- SPDX-License-Identifier: MIT
--
-- fault.lua - what goes wrong, told to the person it concerns.
--
-- Three kinds: a mistake in the user's script is a string with the script's position (fault.mistake); a failure of the
-- environment, or the regular end of a run before its time, is an object with a sentence and an exit status
-- (fault.stop); anything else that arises inside our own Lua files is a defect of ours and gets a traceback.

local fault = {}

-- Exit statuses of lstmrun: docs/running.md.
fault.ERROR, fault.USAGE, fault.DIVERGED, fault.RESUMABLE, fault.INTERRUPTED = 1, 2, 3, 75, 130

local home = debug.getinfo(1, "S").source:match "^(@.*)fault%.lua$" or "@?"

local shown = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

--- A sentence is one line, whatever the names in it: control characters are shown, not sent to a terminal.
function fault.one_line(message)
  return (message:gsub("%c", function(c) return shown[c] or ("\\x%02x"):format(c:byte()) end))
end

local stop_meta = { __name = "lstm.stop", __tostring = function(stop) return stop.message or "the run has ended" end }

local function is_ours(info)
  return info.source:sub(1, #home) == home
end

--- Ends the program with a sentence and an exit status (default: 1). message nil: silently, all is said.
function fault.stop(message, status)
  error(setmetatable({ message = message and fault.one_line(message), status = status or fault.ERROR }, stop_meta), 0)
end

function fault.is_stop(err)
  return getmetatable(err) == stop_meta
end

--- The innermost function that is not ours, as debug.getinfo has it: where the user's mistake is. nil in a tail call of
-- the script's, `return lstm.sweep {...}`, which leaves nothing of it.
function fault.caller()
  local level = 2
  local info = debug.getinfo(level, "Sl")
  while info and (info.what == "C" or is_ours(info)) do
    level = level + 1
    info = debug.getinfo(level, "Sl")
  end
  return info
end

local function at(info, message)
  return ("%s:%d: %s"):format(info.short_src, info.currentline, message)
end

--- Whether the function that asks was called by a script, rather than by one of our files.
function fault.is_called_by_script()
  local info = debug.getinfo(3, "S")
  return info ~= nil and info.what ~= "C" and not is_ours(info)
end

--- Raises a sentence with the position of the user's mistake, or at least the script's name, fault.script.
function fault.mistake(message)
  local info = fault.caller()
  message = fault.one_line(message)
  if info then message = at(info, message)
  elseif fault.script then message = ("%s: %s"):format(fault.script, message) end
  error(message, 0)
end

--- Raises a sentence unless the argument at a position, of the function of this name, is of the type expected; that is
-- "integer", too, of any whole number.
function fault.check(position, name, value, expected)
  if expected == "integer" and type(value) == "number" and math.tointeger(value) then return end -- 3.0, too
  local kind = require "lstm.core".sys.typename(value)
  if kind == expected then return end
  local got = type(value) == "number" and tostring(value) or kind
  fault.mistake(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, name, expected, got))
end

--- Refuses lstm:experiment { ... }, of which `given` is the first argument: the module, whose fields mean nothing.
-- module: lstm when not given.
function fault.no_colon(name, given, module)
  if given == (module or package.loaded.lstm) then
    fault.mistake(("bad argument #1 to '%s' (the table itself expected; write a dot, not a colon, before '%s')")
      :format(name, name))
  end
end

local classes = {} -- tables of methods of objects that are made of tables

--- Has the names of `methods` suggested for mistyped ones; returns it.
function fault.class(methods)
  table.insert(classes, methods)
  return methods
end

local function add_names(names, from)
  for name in pairs(from) do
    if type(name) == "string" and name:sub(1, 1) ~= "_" then names[name] = true end
  end
end

-- What scripts call as object:method().
local function methods()
  local names = {}
  for _, class in ipairs(classes) do add_names(names, class) end
  for name, meta in pairs(debug.getregistry()) do -- of objects made in C
    local class = type(name) == "string" and name:find "^lstm%." and type(meta) == "table"
      and (rawget(meta, "methods") or rawget(meta, "__index"))
    if type(class) == "table" then add_names(names, class) end
  end
  return names
end

-- What they call as lstm.name() or lstm.module.name().
local function fields()
  local names, lstm = {}, package.loaded.lstm
  add_names(names, lstm)
  add_names(names, getmetatable(lstm).modules)
  for _, module in pairs(lstm) do
    if type(module) == "table" then add_names(names, module) end
  end
  return names
end

-- For "attempt to call a nil value (method 'trianer')": what else was perhaps meant. A name that some other object has
-- is no slip of the fingers; and among so many names only one with the same first letter is not near by chance.
local function suggestion(message)
  local kind, name = message:match "attempt to %l+ a nil value %((%l+) '([%a_][%w_]*)'%)$"
  local names = kind == "method" and methods() or kind == "field" and package.loaded.lstm and fields()
  if not names or names[name] then return "" end
  local options, alike = require "lstm.options", {}
  for _, known in ipairs(options.keys(names)) do
    if known:sub(1, 1) == name:sub(1, 1) then table.insert(alike, known) end
  end
  return options.suggestion(name, alike)
end

-- The module and the error that tells of it, without the twenty places where it is not.
local function short_of_places(message)
  local what, name = message:match "^([^\n]*module '([^\n]*)' not found):\n"
  if not what then return message end
  local options, script = require "lstm.options", require "lstm.script"
  return what .. ", neither beside the script nor in package.path" .. options.suggestion(name, script.known_modules())
end

-- An error value as text. A table, say, does not tell anybody what is wrong, but where it was raised can be said.
local function text_of(err, info)
  local meta = debug.getmetatable(err)
  if type(err) == "string" or type(err) == "number" or meta and meta.__tostring then return tostring(err) end
  local text = ("an error value of type %s was raised"):format(require "lstm.core".sys.typename(err))
  return info and at(info, text) or text
end

-- What the script has closed our files find out when they use it: the mistake is the script's.
local function is_of_closed(message)
  return fault.without_position(message):find "^attempt to .* closed" ~= nil
end

--- A message handler for xpcall: adds a traceback to defects of ours, or to everything when `always`.
function fault.handler(always)
  return function(err)
    if fault.is_stop(err) then return err end
    local level = 2
    local info = debug.getinfo(level, "Sl")
    while info and info.what == "C" do
      level = level + 1
      info = debug.getinfo(level, "Sl")
    end
    local message = text_of(err, info)
    local here = info and is_ours(info) and info.short_src .. ":"
    local ours = here and message:sub(1, #here) == here
    local caller = ours and is_of_closed(message) and fault.caller()
    if caller then message, ours = at(caller, fault.without_position(message)), false end
    if always or ours then return debug.traceback(message, 2) end
    return short_of_places(message) .. suggestion(message)
  end
end

--- Whether a message begins with a script's position.
function fault.has_position(message)
  return message:find "^[^\n]-:%d+: " ~= nil
end

--- Whether an error is certain to come again when the same is done again: the script calls something in a wrong way, or
-- uses a value as what it is not.
function fault.is_certain(message)
  return fault.has_position(message) and (message:find "bad argument #" or message:find "attempt to ") ~= nil
end

--- A message without the position in front.
function fault.without_position(message)
  return (tostring(message):gsub("^[^\n]-:%d+: ", ""))
end

return fault
