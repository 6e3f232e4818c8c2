-- SPDX-License-Identifier: MIT
--
-- progress.lua - tells the person in front of a run how it goes.
--
-- On a terminal one line is drawn again and again, a few times a second; elsewhere a line is printed every few
-- seconds, less often as the run grows longer; with --json a JSON object a line; with --quiet nothing. A call between
-- two drawings costs one look at the clock.

local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"

local progress = {}
local methods = {}
local meta = { __index = methods }

local redraw = 0.25 -- seconds between drawings on a terminal
local first_line, least_line, most_line = 1, 5, 60 -- seconds between lines elsewhere
local memory = 10 -- seconds over which speed is averaged
local bar_width = 24
local sample_lines = 8 -- of a sample's text, on a terminal

--- kind: "terminal", "lines", "json" or "quiet"; out: the file to write to; clock and width: functions;
-- steps: of the whole run; first: the step it begins after; unit: what a token is ("char"), nil: no bits are shown;
-- silent: nothing is said on standard error, either.
function progress.new(settings)
  local self = setmetatable({}, meta)
  for key, value in pairs(settings) do self[key] = value end
  self.started = self.clock()
  self.last_time, self.last_step = self.started, self.first
  self.next_time = self.started + (self.kind == "terminal" and redraw or first_line)
  if self.kind == "quiet" then self.next_time = math.huge end
  self.shown = false -- whether an unfinished line stands on the terminal
  return self
end

-- ---- writing ------------------------------------------------------------------------------------------------------

-- Nobody reads any more (the terminal is gone, or `| head` had enough): that is no reason to stop training.
local function lost(self, reason)
  self.kind, self.next_time, self.gone = "quiet", math.huge, true
  io.stderr:write(("lstmrun: cannot show progress any more (%s); the run goes on\n"):format(reason))
end

local function write(self, text)
  local ok, reason = self.out:write(text)
  if ok then ok, reason = self.out:flush() end
  if not ok then lost(self, reason) end
end

local function clear(self)
  if self.shown then write(self, "\r\27[K") end
  self.shown = false
end

--- A line that stays. The progress line, if any, goes on below it.
function methods:print(text)
  if self.kind == "json" or self.kind == "quiet" then return end
  clear(self)
  write(self, text .. "\n")
end

--- The same of a line with names in it: of files, of directories.
function methods:tell(text)
  self:print(fault.one_line(text))
end

--- The answer for which somebody started the program: a line even with --quiet.
function methods:answer(text)
  text = fault.one_line(text)
  if self.kind ~= "quiet" then self:print(text)
  elseif not self.silent and not self.gone then write(self, text .. "\n") end
end

--- A JSON object, with --json only. fields must not be empty.
function methods:event(name, fields)
  if self.kind ~= "json" then return end
  write(self, ('{"event": "%s", %s\n'):format(name, json.utf8(fields):sub(2)))
end

-- ---- the line -----------------------------------------------------------------------------------------------------

local function bar(share, width)
  local full = math.floor(share * width)
  return "[" .. ("#"):rep(full) .. ("."):rep(width - full) .. "]"
end

-- The parts of the line. The second element says which go first when the terminal is narrow: the largest.
local function parts(self, step, info)
  local share = self.steps > 0 and step / self.steps or 1
  local list = {}
  local function add(rank, ...)
    list[#list + 1] = { select("#", ...) > 1 and string.format(...) or ..., rank }
  end
  if self.kind == "terminal" then add(4, "%s", bar(share, bar_width)) end
  add(1, "%2d%%", math.floor(100 * share))
  add(0, "step %d/%d", step, self.steps)
  if info.smoothed then add(0, "loss %s", format.fixed(info.smoothed, 3)) end
  if info.smoothed and self.unit then add(7, "(%s bit/%s)", format.fixed(info.smoothed / math.log(2), 2), self.unit) end
  if info.val then add(2, "val %s%s", format.fixed(info.val, 3), info.val_is_best and "*" or "") end
  if info.grad_norm then add(6, "|g| %s", format.fixed(info.grad_norm, 2)) end
  if info.lr then add(5, "lr %s", format.rate(info.lr)) end
  if self.speed then
    if self.tokens then add(3, "%s tok/s", format.short(self.speed * self.tokens)) end
    add(1, "%s left", format.duration((self.steps - step) / self.speed))
  end
  return list
end

local function join(list)
  local texts = {}
  for i, part in ipairs(list) do texts[i] = part[1] end
  return (table.concat(texts, "  "):gsub("  %(", " ("))
end

-- Leaves out what matters least until the line fits; a line that wraps could not be drawn over.
local function fit(list, width)
  local line = join(list)
  while #line > width and #list > 1 do
    local last = 1
    for i, part in ipairs(list) do
      if part[2] >= list[last][2] then last = i end
    end
    table.remove(list, last)
    line = join(list)
  end
  return line:sub(1, width)
end

local function measure(self, step, now)
  local elapsed = now - self.last_time
  if step > self.last_step and elapsed > 0 then
    local speed = (step - self.last_step) / elapsed
    local keep = self.speed and math.exp(-elapsed / memory) or 0
    self.speed = keep * (self.speed or 0) + (1 - keep) * speed
    self.last_time, self.last_step = now, step
  end
end

-- The last step's line stands there already when a sample was shown after it.
local function show_line(self, line)
  if line ~= self.line then write(self, line .. "\n") end
  self.line = line
end

local function show(self, step, info, now)
  measure(self, step, now)
  if self.kind == "terminal" then
    local width = (self.width() or 80) - 1
    write(self, "\r" .. fit(parts(self, step, info), width) .. "\27[K")
    self.shown = self.kind == "terminal"
    self.next_time = now + redraw
    return
  end
  if self.kind == "json" then
    self:event("progress", { step = step, steps = self.steps, loss = info.smoothed, val_loss = info.val,
      grad_norm = info.grad_norm, lr = info.lr, tokens_per_second = self.speed and self.tokens and
      self.speed * self.tokens, seconds_left = self.speed and (self.steps - step) / self.speed })
  else
    show_line(self, join(parts(self, step, info)))
  end
  self.next_time = now + math.max(least_line, math.min(most_line, (now - self.started) / 20))
end

--- The run went back to a step.
function methods:back(step)
  self.last_time, self.last_step = self.clock(), step
end

--- After a step. info (all optional): smoothed, val, val_is_best, grad_norm, lr.
function methods:step(step, info)
  local now = self.clock()
  if now >= self.next_time then show(self, step, info, now) end
end

--- Whatever the clock says: after an evaluation, and at the end.
function methods:show(step, info)
  if self.kind ~= "quiet" then show(self, step, info, self.clock()) end
end

--- A text that the model wrote, below the line of its step, which stays.
function methods:sample(step, text, info)
  self:event("sample", { step = step, text = text })
  if self.kind ~= "terminal" and self.kind ~= "lines" then return end
  self:show(step, info)
  self:finish()
  local width, lines = (self.kind == "terminal" and self.width() or 80) - 5, {}
  for line in (format.printable(text) .. "\n"):gmatch "(.-)\n" do
    local stop = utf8.offset(line, width + 1)
    if line ~= "" then lines[#lines + 1] = "  | " .. (stop and line:sub(1, stop - 1) or line) end
    if #lines == sample_lines then break end
  end
  self:print(table.concat(lines, "\n"))
end

--- Ends the line on the terminal: what others write next begins a line of its own.
function methods:finish()
  if self.shown then write(self, "\n") end
  self.shown = false
end

--- Says something to the person whatever the manner of display, on standard error.
function methods:say(text)
  if self.silent then return end
  self:finish()
  io.stderr:write(text .. "\n")
end

--- Which kind of display a program's options and its output ask for.
function progress.kind(json_asked, quiet, is_terminal)
  if json_asked then return "json" end
  if quiet then return "quiet" end
  return is_terminal and os.getenv "TERM" ~= "dumb" and "terminal" or "lines"
end

return progress
