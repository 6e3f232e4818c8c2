-- SPDX-License-Identifier: MIT
--
-- format.lua - numbers as people read them.

local format = {}

--- How a shell takes a word as it is.
function format.shell_word(word)
  return word:find "^[%w_./:=@%%+,-]+$" and word or "'" .. word:gsub("'", "'\\''") .. "'"
end

--- 1115394 -> "1,115,394"
function format.count(n)
  local digits = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (digits:gsub("^(-?),", "%1"))
end

local function scaled(x, base, units)
  local unit = 1
  while x >= base and unit < #units do x, unit = x / base, unit + 1 end
  return x, units[unit]
end

--- 3486980 -> "3.3 MiB"
function format.bytes(n)
  local x, unit = scaled(n, 1024, { "bytes", "KiB", "MiB", "GiB", "TiB", "PiB" })
  return (unit == "bytes" and "%.0f %s" or "%.1f %s"):format(x, unit)
end

--- 1.5123, 3 -> "1.512"; what is no number: "nan", whatever its sign
function format.fixed(x, digits)
  return x ~= x and "nan" or ("%." .. digits .. "f"):format(x)
end

--- 61234 -> "61.2k"
function format.short(x)
  local value, unit = scaled(x, 1000, { "", "k", "M", "G", "T" })
  return (unit == "" and "%.0f%s" or value < 100 and "%.1f%s" or "%.0f%s"):format(value, unit)
end

--- 218 -> "3:38"; 7384 -> "2:03:04"; 200000 -> "2d 07:33"; 1e9 -> "32 years"
function format.duration(seconds)
  if seconds ~= seconds or seconds == math.huge then return "?" end
  if seconds >= 365 * 86400 then return ("%.0f years"):format(seconds / (365.25 * 86400)) end
  local s = math.floor(seconds + 0.5)
  if s >= 86400 then return ("%dd %02d:%02d"):format(s // 86400, s // 3600 % 24, s // 60 % 60) end
  if s >= 3600 then return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60) end
  return ("%d:%02d"):format(s // 60, s % 60)
end

--- Two or three digits, exponents without padding: 0.0017 -> "1.7e-3"
function format.rate(x)
  if x == 0 then return "0" end
  if x >= 0.01 and x < 1000 then return ("%.3g"):format(x) end
  return (("%.1e"):format(x):gsub("%.0e", "e"):gsub("e%+?(-?)0*(%d)", "e%1%2"))
end

--- "1 symbol", "65 symbols"
function format.plural(n, word)
  return format.count(n) .. " " .. word .. (n == 1 and "" or "s")
end

--- Text with a mark for each byte that does not belong to UTF-8.
function format.utf8(text, mark)
  local parts, at = {}, 1
  while at <= #text do
    local good, bad = utf8.len(text, at)
    local stop = good and #text or bad - 1
    parts[#parts + 1] = text:sub(at, stop)
    if not good then parts[#parts + 1] = mark end
    at = stop + 2
  end
  return table.concat(parts)
end

--- Text safe to show on a terminal: control characters and what is not UTF-8 become dots; newlines stay.
function format.printable(text)
  text = format.utf8(text:gsub("\r\n", "\n"), "·")
  return (text:gsub("\194[\128-\159]", "·"):gsub("[%z\1-\9\11-\31\127]", "·"))
end

return format
