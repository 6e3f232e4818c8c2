-- SPDX-License-Identifier: MIT
--
-- json.lua - JSON text (RFC 8259), with NaN, Infinity and -Infinity as Python's json module writes them.
--
-- Numbers survive exactly: floats are written with as many digits as it takes and always show that they are floats
-- (1.0), integers are whole. Objects are written with their keys sorted, so that equal tables give equal text.
-- An empty table is written as an object. null is read as nil.

local format = require "lstm.format"

local json = {}

local max_depth = 100
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

-- Digits as C writes them, with a point: in stock Lua, os.setlocale may have chosen another one.
local function digits(format_string, x)
  return (format_string:format(x):gsub("[^%de+-]+", "."))
end

--- The shortest text that reads back as the same number.
function json.number(x)
  if math.type(x) == "integer" then return ("%d"):format(x) end
  if x ~= x then return "NaN" end
  if x == math.huge then return "Infinity" end
  if x == -math.huge then return "-Infinity" end
  local text = digits("%.15g", x)
  if tonumber(text) ~= x then text = digits("%.16g", x) end
  if tonumber(text) ~= x then text = digits("%.17g", x) end
  return text:find "[.e]" and text or text .. ".0"
end

local function quoted(s)
  return '"' .. s:gsub('[%c"\\\127]', function(c) return escapes[c] or ("\\u%04x"):format(c:byte()) end) .. '"'
end

local encode

local function encode_list(list, depth)
  local parts, n = {}, 0
  for i, value in ipairs(list) do parts[i] = encode(value, depth) end
  for _ in pairs(list) do n = n + 1 end
  if n > #parts then error("JSON: a table that has [1] must be a list, without holes or other keys", 0) end
  return "[" .. table.concat(parts, ", ") .. "]"
end

local function encode_object(object, depth)
  local keys, parts = {}, {}
  for key in pairs(object) do
    if type(key) ~= "string" then error("JSON: a key must be a string, got a " .. type(key), 0) end
    keys[#keys + 1] = key
  end
  table.sort(keys)
  for i, key in ipairs(keys) do parts[i] = quoted(key) .. ": " .. encode(object[key], depth) end
  return "{" .. table.concat(parts, ", ") .. "}"
end

function encode(value, depth)
  local kind = type(value)
  if kind == "number" then return json.number(value) end
  if kind == "string" then return quoted(value) end
  if kind == "boolean" then return tostring(value) end
  if kind ~= "table" then error("JSON: cannot hold a " .. kind, 0) end
  if depth > max_depth then error("JSON: tables nested too deeply (or containing themselves)", 0) end
  if value[1] ~= nil then return encode_list(value, depth + 1) end
  return encode_object(value, depth + 1)
end

--- Text of a table, string, number or boolean; raises for what JSON cannot hold. Bytes of strings stay as they are.
function json.encode(value)
  return encode(value, 0)
end

--- The same for other programs to read, which is UTF-8: U+FFFD stands for each byte that is not.
function json.utf8(value)
  return format.utf8(encode(value, 0), "\u{FFFD}")
end

-- Reading. Each function takes text and position and returns value and the position after it; faults are raised as
-- strings and caught in json.decode.

local decode

local function fail(text, at, expected)
  error(("JSON: %s expected at byte %d of %d"):format(expected, at, #text), 0)
end

local unescapes = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }

local function decode_escape(text, at)
  local c = text:sub(at, at)
  if unescapes[c] then return unescapes[c], at + 1 end
  local hex = text:match("^u(%x%x%x%x)", at)
  if not hex then fail(text, at, "escape") end
  local code = tonumber(hex, 16)
  local low = text:match("^\\u(%x%x%x%x)", at + 5)
  if code >= 0xD800 and code < 0xDC00 and low then -- a surrogate pair
    return utf8.char(0x10000 + (code - 0xD800) * 0x400 + (tonumber(low, 16) - 0xDC00) % 0x400), at + 11
  end
  return utf8.char(code), at + 5
end

local function decode_string(text, at)
  local parts = {}
  while true do
    local plain, stop = text:match('^([^"\\]*)()', at)
    parts[#parts + 1] = plain
    local c = text:sub(stop, stop)
    if c == '"' then return table.concat(parts), stop + 1 end
    if c ~= "\\" then fail(text, stop, "end of string") end
    parts[#parts + 1], at = decode_escape(text, stop + 1)
  end
end

local function skip(text, at)
  return text:match("^[ \t\r\n]*()", at)
end

-- The members of a list or object, up to its closing bracket.
local function members(text, at, close, member)
  at = skip(text, at)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, member(skip(text, at)))
    local c = text:sub(at, at)
    if c == close then return at + 1 end
    if c ~= "," then fail(text, at, "',' or '" .. close .. "'") end
    at = at + 1
  end
end

local function decode_list(text, at, depth)
  local list, n = {}, 0
  at = members(text, at, "]", function(from)
    local value, stop = decode(text, from, depth)
    n = n + 1
    list[n] = value
    return stop
  end)
  return list, at
end

local function decode_object(text, at, depth)
  local object = {}
  at = members(text, at, "}", function(from)
    if text:sub(from, from) ~= '"' then fail(text, from, "key") end
    local key, value
    key, from = decode_string(text, from + 1)
    from = skip(text, from)
    if text:sub(from, from) ~= ":" then fail(text, from, "':'") end
    value, from = decode(text, skip(text, from + 1), depth)
    object[key] = value
    return from
  end)
  return object, at
end

local function decode_number(text, at)
  local digits, stop = text:match("^(-?%d[%d.eE+-]*)()", at)
  local number = digits and tonumber(digits)
  if not number then fail(text, at, "value") end
  return number, stop
end

local words = { ["true"] = true, ["false"] = false, NaN = 0 / 0, Infinity = math.huge, ["-Infinity"] = -math.huge }

function decode(text, at, depth)
  if depth > max_depth then fail(text, at, "less nesting") end
  local c = text:sub(at, at)
  if c == '"' then return decode_string(text, at + 1) end
  if c == "[" then return decode_list(text, at + 1, depth + 1) end
  if c == "{" then return decode_object(text, at + 1, depth + 1) end
  local word, stop = text:match("^(-?%a+)()", at)
  if word == "null" then return nil, stop end
  if words[word] ~= nil then return words[word], stop end
  return decode_number(text, at)
end

--- The value of a JSON text; nil and a message when it is not JSON. The text need not be trusted.
function json.decode(text)
  local ok, value, at = pcall(decode, text, skip(text, 1), 0)
  if not ok then return nil, value end
  if skip(text, at) <= #text then return nil, ("JSON: more text after the value, at byte %d"):format(at) end
  return value
end

return json
