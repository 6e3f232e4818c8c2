-- SPDX-License-Identifier: MIT
--
-- trials.lua - the trials of a sweep on the disk: their ids, directories, status, and who is at work on which.
--
-- DIR/trials/ID/ is an ordinary run's directory and holds besides
--   trial.json    what it is: experiment, params and fixed as lists of [name, value], seed, hash of the data; never changes
--   status.json   how it stands; replaced as a whole
--   claim-N       whoever made the N-th attempt. A claim is made by link(2), which one of all who try succeeds in, on
--                 shared file systems, too; numbers only go up, so that nothing is ever taken away from anybody
--   output.txt    what it printed
-- and DIR/trials/ID-N/ what was there before the trial was made anew.
--
-- A claim holds as long as its process lives (told by its number and start where both are of one machine, by its
-- heartbeat, the file's time of change, elsewhere) and has not written a final status.

local asha = require "lstm.asha"
local asked = require "lstm.asked"
local core = require "lstm.core"
local fault = require "lstm.fault"
local json = require "lstm.json"
local options = require "lstm.options"
local run_directory = require "lstm.directory"
local script = require "lstm.script"

local sys, process = core.sys, core.process
local trials = {}

local id_digits = 12
trials.heartbeat = 10 -- seconds between two
local stale = 130 -- seconds without one after which a process of another machine is taken for dead (a lock: 120, runlock.h)

local final = { done = true, failed = true, pruned = true, stopped = true }
local known_status = { pending = true, running = true, done = true, failed = true, pruned = true, stopped = true }

-- ---- small files --------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read "a"
  file:close()
  return text
end

local function must(ok, reason)
  if not ok then fault.stop("cannot write the sweep's files: " .. reason .. "; choose another place by --out=DIR") end
  return ok
end

-- ---- what a trial is ----------------------------------------------------------------------------------------------

local hashes = {}

-- SHA-256 of a file; nil when no file is named.
local function hash_of(path)
  if not path or path == "" then return nil end
  if not hashes[path] then
    local bytes = read(path)
    if not bytes then fault.stop(("cannot read the sweep's data '%s'"):format(path)) end
    hashes[path] = core.sha256(bytes)
  end
  return hashes[path]
end

-- The data of a trial: the sweep's field, what the experiment's function `data` says, or its option `data` where that
-- names a file. Options are those of its trial.json: the sweep may have been given others on its command line.
local function data_of(sweep, trial)
  if sweep.data then return sweep.data end
  local experiment = sweep.experiment
  if experiment.data then return experiment.data(experiment:configuration { trial.fixed, trial.params }) end
  local option = sweep.experiment.options.named.data
  if not option or option.kind ~= "string" then return nil end
  return options.value_in(trial.params, "data") or options.value_in(trial.fixed, "data") or option.default
end

-- The first digits of the SHA-256 over the canonical JSON (keys sorted, no blanks to choose) of what makes a trial.
local function identify(trial)
  local values = {}
  for _, list in ipairs { trial.fixed, trial.params } do
    for _, pair in ipairs(list) do values[pair[1]] = pair[2] end
  end
  return core.sha256(json.encode { experiment = trial.experiment, params = values, seed = trial.seed,
    data_sha256 = trial.data_sha256 }):sub(1, id_digits)
end

local function sorted_pairs(values)
  local list = {}
  for name, value in pairs(values) do list[#list + 1] = { name, value } end
  table.sort(list, function(a, b) return a[1] < b[1] end)
  return list
end

--- A trial of a sweep: its configuration (list of { name, value }) with a seed. Nothing is written.
function trials.new(sweep, directory, params, seed, index)
  local trial = { index = index, params = params, fixed = sorted_pairs(sweep.fixed), seed = seed,
    experiment = sweep.experiment.name, metric = sweep.metric }
  trial.data_sha256 = hash_of(data_of(sweep, trial))
  trial.id = identify(trial)
  trial.directory = ("%s/trials/%s"):format(directory, trial.id)
  return trial
end

--- The trials of a sweep in a directory, whether they have begun or not: list of { id, index, params, fixed, seed,
-- directory, experiment, data_sha256 }. All configurations with the first seed come first.
function trials.list(sweep, directory)
  local list, known = {}, {}
  local function add(params, seed)
    local trial = trials.new(sweep, directory, params, seed, #list + 1)
    if known[trial.id] == nil then list[#list + 1] = trial end
    known[trial.id] = true
  end
  if sweep.points == "optuna" then -- more are to come: those that are there keep their numbers
    for _, entry in ipairs(asked.list(sweep, directory)) do
      for _, seed in ipairs(sweep.seeds) do add(entry.params, seed) end
    end
    return list
  end
  local configurations = sweep:configurations()
  for _, seed in ipairs(sweep.seeds) do
    for _, params in ipairs(configurations) do add(params, seed) end
  end
  return list
end

local function description(trial)
  return json.encode { experiment = trial.experiment, params = trial.params, fixed = trial.fixed, seed = trial.seed,
    data_sha256 = trial.data_sha256 } .. "\n"
end

--- Makes a trial's directory. One that is there keeps what it holds.
function trials.create(trial)
  local path, text = trial.directory .. "/trial.json", description(trial)
  if read(path) == text then return end
  must(sys.make_directory(trial.directory))
  must(process.replace(path, text))
end

--- The trial of an id whose directory is there already, or nil: as trials.list has it, but for the index.
function trials.load(directory, id)
  local text = read(("%s/trials/%s/trial.json"):format(directory, id))
  local trial = text and json.decode(text)
  if type(trial) ~= "table" or type(trial.params) ~= "table" or type(trial.fixed) ~= "table" then return nil end
  trial.id, trial.directory = id, ("%s/trials/%s"):format(directory, id)
  return identify(trial) == id and trial or nil
end

--- Ends the program when a trial's data is not what it was when the trial was planned: on another machine, perhaps.
function trials.check_data(sweep, trial)
  if hash_of(data_of(sweep, trial)) == trial.data_sha256 then return end
  fault.stop(("trial %s was planned for other data: '%s' is not what it was then, or there"):format(trial.id,
    data_of(sweep, trial) or ""))
end

local families = {}

--- Trials whose reports can be compared with each other share a family.
function trials.family_of(sweep, trial)
  local budget = sweep.budget
  local key = json.encode { experiment = trial.experiment, fixed = trial.fixed, goal = sweep.metric.goal,
    metric = sweep.metric.name, prune = sweep.prune or "", eta = budget.eta, min_steps = budget.min_steps }
  families[key] = families[key] or core.sha256(key):sub(1, 12)
  return families[key]
end

--- "hidden=64 lr=0.01": a trial's parameters.
function trials.show(trial, with_seed)
  local parts = {}
  for i, pair in ipairs(trial.params) do parts[i] = pair[1] .. "=" .. options.show(pair[2]) end
  if with_seed then parts[#parts + 1] = "seed=" .. trial.seed end
  return table.concat(parts, " ")
end

-- ---- claims -------------------------------------------------------------------------------------------------------

local host, machine, pid, start = process.identity()

local function claim_path(trial, n)
  return ("%s/claim-%d"):format(trial.directory, n)
end

-- The number of the last claim; 0 when there is none.
local function last_claim(trial, from)
  local n = from or 0
  while sys.kind(claim_path(trial, n + 1)) do n = n + 1 end
  return n
end

local seen = {} -- of claims whose time tells nothing: what it was when it was first looked at, and when that was

-- A process of another machine lives when its heartbeat is not old. A time in the future (somebody set the file's time,
-- or the file system's clock was set back) tells nothing; then it must change while we look.
local function beats(path, directory)
  local age = process.age(path, directory)
  if not age then return false end
  if age >= -1 then return age < stale end
  local changed = sys.modified(path)
  local before = seen[path]
  if not before or before.changed ~= changed then
    seen[path] = { changed = changed, at = sys.clock() }
    return true
  end
  return sys.clock() - before.at < stale
end

-- Whether the process behind claim n lives; and what the claim says of it.
local function lives(trial, n)
  local path = claim_path(trial, n)
  local claim = json.decode(read(path) or "")
  if type(claim) ~= "table" then return beats(path, trial.directory), {} end
  if claim.machine == machine and math.type(claim.pid) == "integer" and math.type(claim.start) == "integer" then
    return process.alive(claim.pid, claim.start), claim
  end
  return beats(path, trial.directory), claim
end

-- ---- status -------------------------------------------------------------------------------------------------------

local function status_path(trial)
  return trial.directory .. "/status.json"
end

-- The fields of a line of metrics.csv; a list of texts. A name with a comma stands in quotes.
local function cells(line)
  local list, cell, open = {}, "", false
  for part in (line .. ","):gmatch "([^,]*)," do
    cell = open and cell .. "," .. part or part
    open = cell:find '^"' and select(2, cell:gsub('"', "")) % 2 == 1
    if not open then list[#list + 1] = cell:find '^"' and cell:sub(2, -2):gsub('""', '"') or cell end
  end
  return list
end

local function column_of(heads, name)
  for i, head in ipairs(heads) do
    if head == name then return i end
  end
end

--- A metric as a trial's metrics.csv has it, up to a step (nil: all of it): { metric = last value, best =, best_step = };
-- empty when it was never reported.
function trials.measure(trial, metric, last_step)
  local found = {}
  local file = io.open(trial.directory .. "/metrics.csv", "r")
  if not file then return found end
  local heads = cells(file:read "l" or "")
  local step_at, at = column_of(heads, "step"), column_of(heads, metric.name)
  for line in file:lines() do
    if not (step_at and at) then break end
    local row = cells(line)
    local step, value = math.tointeger(tonumber(row[step_at])), tonumber(row[at])
    if step and value and step <= (last_step or step) then
      found.metric = value
      if not found.best or asha.better(value, found.best, metric.goal) then
        found.best, found.best_step = value, step
      end
    end
  end
  file:close()
  return found
end

-- A trial that was run when the sweep had another metric: its log has this one, too.
local function measure_again(trial, status)
  local metric = trial.metric
  if not status.measured or not metric then return end
  if status.measured == metric.name .. " " .. metric.goal then return end
  local found = trials.measure(trial, metric)
  status.metric, status.best, status.best_step = found.metric, found.best, found.best_step
end

-- What status.json says: a table; {} when there is none; nil when it is damaged.
local function read_status(trial)
  local text = read(status_path(trial))
  if not text then return {} end
  local status = json.decode(text)
  if type(status) ~= "table" or not known_status[status.status] then return nil end
  if math.type(status.attempt) ~= "integer" then return nil end
  return status
end

-- Somebody claimed the trial; is it at work?
local function apply_claim(trial, status, n)
  local alive, claim = lives(trial, n)
  if alive then
    status.status = "running"
    status.host, status.pid = status.host or claim.host, status.pid or claim.pid
  elseif not status.damaged then
    status.reason = ("interrupted: process %s on %s is gone"):format(tostring(claim.pid or "?"), claim.host or "?")
    status.status = "stopped"
  end
  return status
end

--- How a trial stands: the table of its status.json, where status is what is true now: of a process that is gone
-- without a word it is "stopped". Always has status, attempt and failures. damaged: status.json could not be read.
function trials.status(trial)
  local status = read_status(trial)
  local damaged = status == nil
  status = status or { status = "stopped", damaged = true, reason = "its status.json is damaged" }
  status.attempt, status.failures = status.attempt or 0, status.failures or 0
  local n = status.attempt
  if not (final[status.status] and not damaged and sys.kind(claim_path(trial, n + 1)) == nil) then
    n = last_claim(trial, n)
  end
  if n > 0 and (n > status.attempt or status.status == "running" or damaged) then
    status = apply_claim(trial, status, n)
  end
  measure_again(trial, status)
  status.status, status.claims = status.status or "pending", n
  return status
end

--- Writes a trial's status. durable: it is on the disk afterwards. True, or nil and a sentence.
function trials.write_status(trial, status, durable)
  return process.replace(status_path(trial), json.encode(status) .. "\n", durable)
end

--- Claims a trial: the new status (of attempt, failures and what is known of before), or nil when somebody else has it
-- or it is done; then the second result is its status.
function trials.claim(trial)
  local status = trials.status(trial)
  if status.status == "running" or status.status == "done" then return nil, status end
  local n = status.claims + 1
  local text = json.encode { host = host, machine = machine, pid = pid, start = start, time = os.time() }
  local made, reason = process.put(claim_path(trial, n), text .. "\n")
  if made == nil then must(made, reason) end
  if not made then return nil, trials.status(trial) end
  status.status, status.attempt, status.host, status.pid = "running", n, host, pid
  status.claims, status.reason, status.exit, status.damaged = nil, nil, nil, nil
  return status
end

--- From now on the claim's heart beats, whatever this process is busy with.
function trials.keep(trial, status)
  must(process.heartbeat(claim_path(trial, status.attempt), trials.heartbeat))
end

--- Whether a claim is still the last: it was not taken over by somebody who took this process for dead.
function trials.holds(trial, status)
  return sys.kind(claim_path(trial, status.attempt + 1)) == nil
end

--- The trials of a sweep in a directory, each with `status`, as trials.status has it.
function trials.all(sweep, directory)
  local list = trials.list(sweep, directory)
  for _, trial in ipairs(list) do trial.status = trials.status(trial) end
  return list
end

--- The trials of a list, each with `status`, that were begun with another version of the experiment's code.
function trials.of_other_code(sweep, list)
  local code, others = script.code(sweep.experiment.run), {}
  for _, trial in ipairs(list) do
    if code and trial.status.code and trial.status.code ~= code then others[#others + 1] = trial end
  end
  return others
end

-- Gives a trial's directory another name, unless somebody is at work in it: nobody begins what is claimed.
local function set_aside(trial)
  local status = trials.status(trial)
  local claim = status.status ~= "done" and trials.claim(trial)
  if status.status ~= "done" and not claim then return end
  local n = 1
  while sys.kind(("%s-%d"):format(trial.directory, n)) do n = n + 1 end
  local old = ("%s-%d"):format(trial.directory, n)
  must(os.rename(trial.directory, old))
  if claim then os.remove(("%s/claim-%d"):format(old, claim.attempt)) end
end

--- Has trials made anew: what was in the directory of one is kept as ID-1, ID-2, ... beside it.
function trials.set_aside(directory, list)
  if #list == 0 then return end
  local lock <close> = run_directory.lock(directory) -- of two who do so the second would move what the first has made
  for _, trial in ipairs(list) do
    if sys.kind(trial.directory) then set_aside(trial) end
  end
end

-- Of files that have not been written for some seconds: { modified, status }. Most trials of a sweep are over, and to read
-- them all again at every report would take longer than to train.
local settled, settling_seconds = {}, 3

local function read_settled(trial)
  local path = status_path(trial)
  local modified = sys.modified(path)
  local known = settled[path]
  if known and known[1] == modified then return known[2] end
  local status = read_status(trial)
  local is_old = modified and os.time() - modified > settling_seconds
  settled[path] = status and is_old and { modified, status } or nil
  return status
end

--- What the trials of one family (trial_run.lua: those whose reports can be compared) have written of themselves, at
-- work or not: list of tables of status.json, each with its id.
function trials.family(directory, family)
  local list = {}
  for _, id in ipairs(trials.ids(directory)) do
    local status = read_settled { directory = ("%s/trials/%s"):format(directory, id) }
    if status and status.family == family then
      status.id = id
      list[#list + 1] = status
    end
  end
  return list
end

--- Trials on the disk in any state, of this sweep or of another that used the directory: ids.
function trials.ids(directory)
  local list = {}
  for _, name in ipairs(sys.list(directory .. "/trials") or {}) do
    if name:find "^%x+$" and #name == id_digits then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

--- The end of what a trial printed: at most n lines.
function trials.tail(trial, n)
  local lines = {}
  local file = io.open(trial.directory .. "/output.txt", "rb")
  if not file then return lines end
  local size = file:seek "end"
  file:seek("set", math.max(0, size - 4096))
  for line in file:read "a":gmatch "[^\n]+" do lines[#lines + 1] = line end
  file:close()
  return table.move(lines, math.max(1, #lines - n + 1), #lines, 1, {})
end

return trials
