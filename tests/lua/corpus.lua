-- SPDX-License-Identifier: MIT
--
-- Texts, vocabularies and streams as a script sees them. What the C part does with odd bytes is tests/test_corpus.c.

local lstm = require "lstm"
local tap = require "tap"

-- ---- texts and vocabularies ---------------------------------------------------------------------------------------

local text = assert(lstm.corpus { text = "hello, world\n", name = "greeting", split = { 0.5, 0.25, 0.25 } })
tap.is(#text.vocab, 10, "symbols")
tap.is(text.size, 13, "tokens")
tap.ok(text.sizes.train == 6 and text.sizes.val == 3 and text.sizes.test == 4, "parts")
tap.is(text.bytes, 13, "bytes")
tap.is(text.path, nil, "no path")
tap.is(text.name, "greeting", "name")
tap.is(text.sha256, lstm.sha256 "hello, world\n", "sha256")
tap.is(lstm.sha256 "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  "sha256 of abc (FIPS 180-4)")
tap.is(table.concat(text:ids("train", 1, 3), " "), "5 4 6", "ids count from 0, in the order of the bytes")
tap.contains(tostring(text), "greeting, 13 bytes, 13 tokens, 10 symbols", "tostring")

local vocab = text.vocab
tap.is(vocab:decode(vocab:encode "hello, world"), "hello, world", "decode undoes encode")
tap.is(vocab:symbol(0), "\n", "symbol")
tap.is(vocab:find "z", nil, "find what is not there")
tap.is(vocab:find "h", 5, "find")
tap.is(vocab:decode(vocab:encode("hexxo", "l")), "hello", "a stated replacement")
tap.is(vocab.tokens, "bytes", "tokens")
local restored = assert(lstm.vocabulary(vocab:serialize()))
tap.ok(restored == vocab and restored:serialize() == vocab:serialize(), "serialize and restore")
local damaged, reason = lstm.vocabulary(vocab:serialize():sub(1, -2))
tap.ok(damaged == nil and type(reason) == "string", "a damaged vocabulary is refused: " .. tostring(reason))

local greek = assert(lstm.corpus { text = "αβγ αβ", tokens = "chars" })
tap.ok(#greek.vocab == 4 and greek.size == 6, "characters")
tap.is(greek.vocab:decode { 1, 2, 0 }, "αβ ", "decode characters")
local words = assert(lstm.corpus { text = "one two, one", tokens = "words" })
tap.is(words.vocab:symbol(words.vocab:encode "two"[1]), "two", "words")
local reused = assert(lstm.corpus { text = "how big", vocab = vocab, unknown = "l" })
tap.is(vocab:decode(reused:ids("train", 1, 7)), "how lll", "a vocabulary used again, with a replacement")
text:close()
tap.ok(vocab:symbol(0) == "\n" and text.closed, "a vocabulary outlives its text")

-- ---- files --------------------------------------------------------------------------------------------------------

local path = os.tmpname()
local function write(bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end
write "from a file\r\n"
local file = assert(lstm.corpus { path = path })
tap.ok(file.size == 13 and file.path == path and file.vocab:find "\r", "a file, CR LF kept")
write ""
damaged, reason = lstm.corpus { path = path }
tap.ok(damaged == nil and reason:find(path, 1, true) and reason:find "empty", "an empty file: " .. tostring(reason))
write "x"
local one = assert(lstm.corpus { path = path })
tap.fails(function() one:train { batch = 1, seq = 1 } end, "too short", "one character is too short for a batch")
os.remove(path)
damaged, reason = lstm.corpus { path = path }
tap.ok(damaged == nil and reason == path .. ": No such file or directory", "a missing file: " .. tostring(reason))
local apart = assert(lstm.corpus { text = { train = "aabb", val = "abc" } })
tap.ok(apart.sizes.train == 4 and apart.sizes.val == 3 and #apart.vocab == 3, "parts from texts of their own")

-- ---- streams ------------------------------------------------------------------------------------------------------

local digits = assert(lstm.corpus { text = ("0123456789"):rep(10) })
local stream = digits:train { batch = 2, seq = 4 }
tap.is(stream.batches, 12, "two rows of 50 make 12 batches of 4")
local batch = stream:next()
tap.is(digits.vocab:decode(batch.ids:slice(2, 1, 1)), "0123", "the first row of ids")
tap.is(digits.vocab:decode(batch.targets:slice(2, 2, 2)), "1234", "targets come one later")
tap.ok(batch.reset and not stream:next().reset, "the first batch resets, the second continues")
local cursor = stream:cursor()
tap.ok(cursor.epoch == 0 and cursor.position == 2, "cursor")
local third = stream:next().ids
for _ = 1, 20 do stream:next() end
stream:seek(cursor)
tap.ok(stream:next().ids:equal(third), "seek")
stream:rewind()
tap.ok(stream:next().reset, "rewind")

local shuffled = digits:train { batch = 3, seq = 5, order = "shuffled", stride = 2, seed = 3 }
local seen, first = {}, {}
for k = 1, shuffled.batches do
  local ids = shuffled:next().ids
  first[k] = ids
  for b = 1, 3 do seen[digits.vocab:decode(ids:slice(2, b, b))] = true end
end
tap.ok(seen["01234"] and seen["23456"] and not seen["12345"], "windows begin at multiples of the stride")
tap.ok(not shuffled:next().ids:equal(first[1]), "a new order in the second epoch")
shuffled:seek { epoch = 0, position = 1 }
tap.ok(shuffled:next().ids:equal(first[2]), "a shuffled stream continues from its cursor")

local once, n = digits:stream { part = "train", order = "once", batch = 1, seq = 8 }, 0
for pass = 1, 2 do
  for b in once.next, once do n = n + #b.ids end
end
tap.is(n, 2 * 99, "once: every token but the first is a target, and then comes nil")
tap.ok(once.part == "train" and once.order == "once" and once.seq == 8 and once.text == digits, "fields")
local whole = digits:stream { part = "train", order = "once", batch = 1, seq = 2147483647 }
collectgarbage "stop"
local before = collectgarbage "count"
tap.is(#whole:next().ids, 99, "once: all of a part, by a seq beyond any text")
tap.ok(collectgarbage "count" - before < 1000, "  in memory for what there is")
collectgarbage "restart"
digits:close()
tap.ok(stream:next() ~= nil, "a stream outlives its text")
stream:close()
stream:close()
tap.is(tostring(stream), "lstm.stream (closed)", "tostring of a closed stream")

tap.done()
