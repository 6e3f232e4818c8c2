-- SPDX-License-Identifier: MIT
--
-- Options: typed by their defaults, changed by key=value, kept as JSON; and what is said when they are wrong.

local experiment = require "lstm.experiment"
local format = require "lstm.format"
local json = require "lstm.json"
local lstm = require "lstm"
local options = require "lstm.options"
local tap = require "tap"

local set = assert(options.new {
  { "hidden", 256, "units" }, { "lr", 2e-3, "rate" }, { "split", { 0.9, 0.1 }, "parts" }, { "carry", true },
  { "init", "orthogonal" }, { "activations.every", 0 }, { "activations.rows", { 1, 2 } }, { "names", {} },
})

-- ---- key=value ----------------------------------------------------------------------------------------------------

local cfg = set:defaults()
local function assign(key, text) return set:assign(cfg, key, text) end

tap.ok(assign("hidden", "512") and cfg.hidden == 512 and math.type(cfg.hidden) == "integer", "an integer")
tap.ok(assign("hidden", "1e3") and math.type(cfg.hidden) == "integer" and cfg.hidden == 1000, "an integer, as 1e3")
tap.ok(assign("lr", "2") and math.type(cfg.lr) == "float", "a number stays a float")
tap.ok(assign("lr", "1e-4") and cfg.lr == 1e-4, "a number")
tap.ok(assign("carry", "no") and cfg.carry == false, "false")
tap.ok(assign("carry", "true") and cfg.carry == true, "true")
tap.ok(assign("init", "a=b c") and cfg.init == "a=b c", "a string, with = and blanks")
tap.ok(assign("split", "0.8,0.1,0.1") and #cfg.split == 3 and cfg.split[1] == 0.8, "a list")
tap.ok(assign("activations.every", "3") and cfg.activations.every == 3, "a dotted name is a table in the table")
tap.ok(assign("names", "a,b") and cfg.names[2] == "b", "a list of strings")
tap.ok(assign("names", "") and #cfg.names == 0, "an empty list")

local function refused(key, text, want)
  local ok, message = set:assign(cfg, key, text)
  tap.ok(ok == nil, key .. "=" .. format.printable(text) .. " is refused")
  tap.is(message, want, "  saying why")
end
refused("hidden", "2.5", "option 'hidden' must be an integer, got '2.5' (its default would be 256.0 in a script that " ..
  "means any number)")
refused("hidden", "inf", "option 'hidden' must be an integer, got 'inf'")
refused("hidden", "", "option 'hidden' must be an integer, got ''")
refused("hidden", "9223372036854775808", "option 'hidden' must be an integer, got '9223372036854775808'")
refused("lr", "fast", "option 'lr' must be a number, got 'fast'")
refused("lr", "nan", "option 'lr' must be a number, got 'nan'")
refused("lr", "1e999", "option 'lr' must be a number, got '1e999'")
refused("carry", "maybe", "option 'carry' must be true or false, got 'maybe'")
refused("init", "a\xff", "option 'init' must be UTF-8 text, got 'a\xff'")
refused("split", "0.9,x", "option 'split' must be a list of values, each a number, got '0.9,x'")
refused("hiden", "1", "no option 'hiden' (did you mean 'hidden'?)")
refused("hidden_size", "1", "no option 'hidden_size' (did you mean 'hidden'?)")
refused("learning_rate", "1", "no option 'learning_rate' (did you mean 'lr'?)")
refused("my_split", "1", "no option 'my_split' (did you mean 'split'?)")
refused("activations.evry", "1", "no option 'activations.evry' (did you mean 'activations.every'?)")
refused("activations", "1", "no option 'activations'")
refused("zzz", "1", "no option 'zzz'")
tap.is(set:defaults().split[3], nil, "defaults are not touched by what was assigned")
tap.fails(function() return cfg.hiden end, { "options.lua:", "no option 'hiden'", "did you mean 'hidden'" },
  "a typing error in the script is found where it is")
tap.fails(function() return cfg.activations.evry end, "did you mean 'activations.every'", "in nested tables, too")

-- ---- to JSON and back ---------------------------------------------------------------------------------------------

local text = json.encode(set:plain(cfg))
local again = set:defaults()
tap.is(#set:adopt(again, json.decode(text)), 0, "a configuration read from JSON has no unknown options")
tap.is(json.encode(set:plain(again)), text, "and is the same")
tap.is(math.type(again.lr), "float", "types included")
local unknown = set:adopt(set:defaults(), { hidden = "many", old = 1, activations = { every = 2, gone = true } })
tap.is(table.concat(unknown, " "), "activations.gone hidden old", "what does not fit is named")
local all = table.concat(set:lines(set:defaults()), " ")
tap.is(all, "hidden=256 lr=0.002 split=0.9,0.1 carry=true init=orthogonal activations.every=0 " ..
  "activations.rows=1,2 names=", "as key=value")

local lists = assert(options.new { { "flags", { false, true } }, { "names", { "a,b", "" } }, { "one", { "" } } })
local listed = lists:defaults()
lists:adopt(listed, json.decode(json.encode(lists:plain(listed))))
tap.ok(listed.flags[1] == false and listed.flags[2] == true, "a list of booleans keeps its type")
tap.is(table.concat(listed.names, "|") .. #listed.one, "a,b|1", "strings of a list keep their commas, and an empty one")
tap.ok(lists:assign(listed, "flags", "yes,no") and listed.flags[1] == true and listed.flags[2] == false,
  "a list of booleans, from text")

local numbers = { 0.1, 1 / 3, 1.0, -0.0, 5e-324, 1.7976931348623157e308, 123456789012345680.0, 1, -7, math.maxinteger,
  math.mininteger, math.huge, -math.huge }
local back = json.decode(json.encode(numbers))
local same = true
for i, x in ipairs(numbers) do
  same = same and back[i] == x and math.type(back[i]) == math.type(x) and (x ~= 0 or 1 / back[i] == 1 / x)
end
tap.ok(same, "numbers survive JSON exactly")
tap.ok(json.decode "NaN" ~= json.decode "NaN", "NaN, too")
local bytes = {}
for i = 1, 127 do bytes[i] = string.char(i) end
bytes = "\0" .. table.concat(bytes) .. "é"
tap.is(json.decode(json.encode(bytes)), bytes, "strings survive JSON")
tap.is(json.decode '"\\u00e9\\ud83d\\ude00\\/"', "é😀/", "escapes are read")
for _, bad in ipairs { "", "{", "[1,", "nul", '{"a":}', '"x', "[1]2", "{1:2}", ("["):rep(1000), '{"a" 1}', "1.2.3" } do
  local value, message = json.decode(bad)
  tap.ok(value == nil and message:find "^JSON: ", "not JSON: " .. bad:sub(1, 10))
end
local loop = {}
loop.loop = loop
tap.fails(function() json.encode(loop) end, "nested too deeply", "a table in itself")
tap.fails(function() json.encode { 1, 2, name = "x" } end, "must be a list", "a list with a name in it")
tap.fails(function() json.encode { 1, nil, 3 } end, "must be a list", "a list with a hole")
tap.is(json.utf8 { "é\xff\xe2\x82" }, '["é\u{FFFD}\u{FFFD}\u{FFFD}"]', "for other programs: UTF-8")
tap.fails(function() json.encode { f = print } end, "cannot hold a function", "a function")

-- ---- descriptions -------------------------------------------------------------------------------------------------

local function wrong(entries, want)
  local made, message = options.new(entries)
  tap.is(made == nil and message, want, want)
end
wrong({ { "a", 1 }, { "a", 2 } }, "option 'a' is there twice")
wrong({ { "a.b", 1 }, { "a", 2 } }, "option 'a' and option 'a.b' exclude each other")
wrong({ { "a b", 1 } }, "bad name of an option: a b")
wrong({ { "a" } }, "option 'a' has no default")
wrong({ { "a", print } }, "option 'a': the default must be a number, string, boolean, or a list of one of these")
wrong({ { "a", { 1, "x" } } }, "option 'a': the default must be a number, string, boolean, or a list of one of these")

local function train() end
local e = experiment { run = train, options = { { "hidden", 8 }, { "seed", 7 } }, changeable = { "hidden" } }
tap.is(e.name, "options", "an experiment is named after its script")
tap.is(e.options:defaults().seed, 7, "its own option replaces one of every run")
tap.is(e.options:defaults().checkpoint_seconds, 60.0, "options of every run are there")
tap.ok(e.changeable.hidden and e.changeable.checkpoint_every and not e.changeable.seed, "what a resumed run may change")
tap.ok(experiment.is(e) and not experiment.is {} and not experiment.is(nil), "an experiment is known as one")
tap.fails(function() experiment { options = {} } end, { "options.lua:", "field 'run'", "function expected" },
  "no function")
tap.fails(function() experiment { run = train, options = { hidden = 3 } } end,
  "a list of { name, default, help } expected, got a field 'hidden'", "options that are no list")
tap.fails(function() experiment { run = train, changeable = { lr = true } } end,
  "field 'changeable': a list of names expected, got a field 'lr'", "names that are no list")
tap.fails(function() lstm.arguments() end, { "options.lua:", "a list of { name, default, help } expected, got nil" },
  "options of a program that are none")
tap.fails(function() experiment { run = train, optoins = {} } end, "did you mean 'options'", "an unknown field")
tap.fails(function() experiment { run = train, name = "a/b" } end, "field 'name'", "a name that is no directory's")
tap.fails(function() experiment { run = train, options = { { "a" } } } end, "has no default", "a wrong option")
tap.fails(function() experiment { run = train, changeable = { "b" } } end, "no option 'b'", "a wrong name")
tap.fails(function() experiment(3) end, "table expected, got number", "no table")

-- ---- numbers for people -------------------------------------------------------------------------------------------

tap.is(format.count(1115394), "1,115,394", "thousands")
tap.is(format.count(-123), "-123", "hundreds")
tap.is(format.bytes(3486980), "3.3 MiB", "bytes")
tap.is(format.short(61234), "61.2k", "a speed")
tap.is(format.duration(59.6), "1:00", "a minute")
tap.is(format.duration(7384), "2:03:04", "hours")
tap.is(format.duration(1e9), "32 years", "years")
tap.is(format.rate(0.0017), "1.7e-3", "a rate")
tap.is(format.rate(0.25), "0.25", "a large rate")
tap.is(format.printable "a\r\nb\27[31m\xffé\0", "a\nb·[31m·é·", "what a terminal must not get")
do -- as in a stock Lua whose script chose another decimal point by os.setlocale
  local format = string.format
  string.format = function(how, ...) return (format(how, ...):gsub("%.", ",")) end
  local text = json.encode { 0.25, -1e-300, 1.0, 7 }
  string.format = format
  tap.is(text, "[0.25, -1e-300, 1.0, 7]", "JSON has a point in numbers, whatever the locale")
end

tap.done()
