-- SPDX-License-Identifier: MIT
--
-- What logging costs: training with and without, block by block in turns, in one process.
--
--     lstmrun tests/bench_log.lua [KIND ...] [hidden=128] [layers=2] [batch=50] [seq=50] [seconds=2] [rounds=5]
--
-- KIND: some of the kinds of logging, as they are called in the table; else all. "metrics" is what every run logs;
-- "states" adds, at every step, gates and states of one row of the batch, "one row" dL/dh, too, "all rows" of all rows;
-- "deflate" is watch.deflate=1, "keepbits" watch.keepbits=7. A block takes about so many seconds and ends when all it
-- has logged is on the disk. Each is set against the blocks without logging just before and after it; of the rounds'
-- ratios the median is printed, with the smallest and the largest. Two shares of the time do not suffer from what else
-- the machine does: "calls", the calls that log, before the writing thread takes over, and "writer", the processor time
-- of that thread, which costs training as much only where there is no idle core. TMPDIR says on which disk.

local lstm = require "lstm"
local core = require "lstm.core"
local logs = require "lstm.logs"
local watch = require "lstm.watch"

local sys = core.sys
local asked = { hidden = 128, layers = 2, batch = 50, seq = 50, seconds = 2, rounds = 5 }

local inside = { ["activations.every"] = 1, ["gradients.every"] = 1, ["gradients.of"] = { "dh" },
  ["gradients.full"] = true }
local kinds = {
  { "metrics", {} },
  { "states", { ["activations.every"] = 1 } },
  { "one row", inside },
  { "one row, deflate", inside, { ["watch.deflate"] = 1 } },
  { "one row, deflate, keepbits", inside, { ["watch.deflate"] = 1, ["watch.keepbits"] = 7 } },
  { "all rows", inside, { ["watch.rows"] = 0 } },
  { "all rows, deflate", inside, { ["watch.rows"] = 0, ["watch.deflate"] = 1 } },
}

local function kind_named(word)
  for _, kind in ipairs(kinds) do
    if kind[1] == word then return kind end
  end
  error(("a kind of logging, or one of hidden=, layers=, batch=, seq=, seconds=, rounds= expected, got '%s'")
    :format(word), 0)
end

-- The arguments: numbers into `asked`; of the kinds those that are named, or all.
local function read_arguments()
  local chosen = {}
  for _, word in ipairs(arg) do
    local name, value = word:match "^(%w+)=([%d.]+)$"
    if asked[name] then asked[name] = math.tointeger(tonumber(value)) or tonumber(value)
    else chosen[#chosen + 1] = kind_named(word) end
  end
  return #chosen > 0 and chosen or kinds
end

kinds = read_arguments()
local directory = os.tmpname()
os.remove(directory)
assert(sys.make_directory(directory))

local random = 1
local words = {}
for k = 1, 200000 do
  random = random * 1103515245 + 12345 & 0x7fffffff
  words[k] = string.char(97 + (random >> 16) % 26)
end
local text = lstm.corpus { text = table.concat(words) }
local model = lstm.model { vocab = text.vocab, hidden = asked.hidden, layers = asked.layers }
local fit = model:trainer { batch = asked.batch, seq = asked.seq, clip_norm = 1 }

-- Options of a run with the defaults but for these.
local function configure(...)
  local cfg = {}
  local function set(name, value)
    local group, leaf = name:match "^(.-)%.(.*)$"
    cfg[group] = cfg[group] or {}
    cfg[group][leaf] = value
  end
  for _, option in ipairs(watch.options) do set(option[1], option[2]) end
  for _, option in ipairs(logs.options) do set(option[1], option[2]) end
  for _, values in pairs { ... } do
    for name, value in pairs(values) do set(name, value) end
  end
  return cfg
end

local function open(kind, k)
  local cfg = configure(kind[2], kind[3])
  local folder = directory .. "/" .. k
  assert(sys.make_directory(folder))
  kind.logs = assert(logs.open(folder, nil, {}, cfg))
  kind.watch, kind.step, kind.ratios, kind.seconds, kind.calls = watch.new(cfg, fit), 0, {}, 0, 0
  kind.file = folder .. "/log.h5"
end

-- As run:log does.
local function log_step(kind, loss, statistics)
  kind.step = kind.step + 1
  local row = { loss = loss, smoothed_loss = loss, lr = fit.lr, seconds = sys.clock(), tokens_per_second = 1.0 }
  for name, value in pairs(statistics) do
    if type(value) == "number" then row[name] = value end
  end
  assert(kind.logs:row(kind.step, row))
  if kind.watch then assert(kind.logs:watch(kind.watch, kind.step)) end
  assert(kind.logs:end_step(kind.step))
end

-- Seconds a step.
local function block(kind, steps)
  local start = sys.clock()
  for _ = 1, steps do
    local loss, statistics = fit:step(text)
    if kind then
      local called = sys.clock()
      log_step(kind, loss, statistics)
      kind.calls = kind.calls + sys.clock() - called
    end
  end
  if kind then
    assert(kind.logs:flush())
    kind.seconds = kind.seconds + sys.clock() - start
  end
  return (sys.clock() - start) / steps
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

for k, kind in ipairs(kinds) do open(kind, k) end
block(nil, 3)
local steps = math.max(3, math.ceil(asked.seconds / block(nil, 3)))
local plain = {}
for _ = 1, asked.rounds do
  local before = block(nil, steps)
  for _, kind in ipairs(kinds) do
    local with, after = block(kind, steps), block(nil, steps)
    kind.ratios[#kind.ratios + 1] = with / ((before + after) / 2)
    plain[#plain + 1], before = after, after
  end
end

print(("%dx%d, batch %d, seq %d, %s, %d threads: %.1f ms a step, %d blocks of %d steps each"):format(asked.layers,
  asked.hidden, asked.batch, asked.seq, core.kernel(), core.threads(), 1e3 * median(plain), asked.rounds, steps))
print(("%-28s %7s %18s %8s %8s %11s %9s %9s"):format("", "cost", "", "calls", "writer", "MB a step", "MB/s",
  "on disk"))
for _, kind in ipairs(kinds) do
  local stats = kind.logs.log:stats()
  local bytes = stats.bytes
  assert(kind.logs:close())
  local file = assert(io.open(kind.file))
  local size = file:seek "end"
  file:close()
  local middle = median(kind.ratios)
  print(("%-28s %6.1f%% %8.1f%% ..%5.1f%% %7.2f%% %7.2f%% %11.2f %9.1f %8.0f%%"):format(kind[1], 100 * (middle - 1),
    100 * (kind.ratios[1] - 1), 100 * (kind.ratios[#kind.ratios] - 1), 100 * kind.calls / kind.seconds,
    100 * stats.writer_seconds / kind.seconds, bytes / kind.step / 1e6, bytes / kind.seconds / 1e6, 100 * size / bytes))
end
os.execute("rm -rf '" .. directory .. "'")
