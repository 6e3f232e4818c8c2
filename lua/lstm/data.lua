-- SPDX-License-Identifier: MIT
--
-- data.lua - finds the texts that experiments read; downloads one that is not here yet.

local core = require "lstm.core"
local fault = require "lstm.fault"
local format = require "lstm.format"

local quoted = format.shell_word
local sys = core.sys
local data = {}

local shakespeare = {
  name = "tinyshakespeare.txt",
  url = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
  sha256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
}

-- Something to begin with where there is no network: in Debian's package golang-github-golang-leveldb-dev, from which
-- ./bootstrap takes it to the cache when the download fails.
local hamlet = "/usr/share/gocode/src/github.com/golang/leveldb/testdata/hamlet-act-1.txt"
local hamlet_in_cache = "hamlet-act-1.txt"

-- The text taken for want of another: a sweep asks for each of its trials.
local instead

local function is_file(path)
  return sys.kind(path) == "file"
end

local function environment(name)
  local value = os.getenv(name)
  return value ~= "" and value or nil
end

--- The user's directory for what can be fetched again; nil when there is none.
function data.cache()
  local cache = environment "XDG_CACHE_HOME"
  if not cache then
    local home = environment "HOME"
    cache = home and home .. "/.cache"
  end
  return cache and cache .. "/lstmrun"
end

local function read_all(path)
  local file, reason = io.open(path, "rb")
  if not file then return nil, reason end
  local text = file:read "a"
  file:close()
  return text
end

local function run(command)
  local ok, how, code = os.execute(command .. " 2>/dev/null")
  if how == "signal" and code == 2 or code == 130 then fault.stop("interrupted", fault.INTERRUPTED) end
  return ok == true
end

-- Short timeouts: without a network, falling back must not take minutes.
local function download(url, path)
  local from, to = quoted(url), quoted(path)
  return run("curl -fsSL --connect-timeout 5 --max-time 60 -o " .. to .. " " .. from)
    or run("wget -q -T 10 -t 1 -O " .. to .. " " .. from)
end

--- The path of a text in the cache, downloaded when it is not there: text has name, url and sha256.
-- nil and a reason when it can't be had. The file appears whole and with the right checksum, or not at all.
function data.fetch(text)
  local cache = data.cache()
  if not cache then return nil, "neither HOME nor XDG_CACHE_HOME is set" end
  local path = cache .. "/" .. text.name
  if is_file(path) then return path end
  local made, reason = sys.make_directory(cache)
  if not made then return nil, reason end
  io.stderr:write(("lstmrun: downloading %s to %s\n"):format(text.name, cache))
  local part = ("%s.%d.part"):format(path, sys.pid())
  local fetched = download(text.url, part)
  local bytes = fetched and read_all(part)
  if bytes and core.sha256(bytes) ~= text.sha256 then
    bytes, reason = nil, "what came from " .. text.url .. " is something else (SHA-256 differs)"
  elseif not bytes then
    reason = "could not download " .. text.url .. " by curl or wget"
  end
  if bytes then bytes, reason = os.rename(part, path) end
  if not bytes then
    os.remove(part)
    return nil, reason
  end
  return path
end

--- The path of a text by Shakespeare: `given` when it is one (not nil or ""), else the first of
-- $LSTMRUN_DATA/tinyshakespeare.txt, the one in the cache, a download, and Hamlet's first act from a Debian package.
function data.shakespeare(given)
  if given and given ~= "" then return given end
  if instead then return instead end
  local directory = environment "LSTMRUN_DATA"
  local kept = directory and directory .. "/" .. shakespeare.name
  if kept and is_file(kept) then return kept end
  local fetched, reason = data.fetch(shakespeare)
  if fetched then return fetched end
  for _, path in ipairs { (data.cache() or "") .. "/" .. hamlet_in_cache, hamlet } do
    if is_file(path) then
      io.stderr:write(("lstmrun: %s; taking Hamlet's first act instead\n"):format(reason))
      instead = path
      return path
    end
  end
  fault.stop(("no text to learn from: %s. Give one by data=FILE, or put %s into a directory named by $LSTMRUN_DATA")
    :format(reason, shakespeare.name))
end

return data
