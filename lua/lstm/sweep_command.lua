-- SPDX-License-Identifier: MIT
--
-- sweep_command.lua - lstmrun SWEEP.lua [options]: what can be asked of a sweep.

local core = require "lstm.core"
local display = require "lstm.sweep_display"
local dryrun = require "lstm.dryrun"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local optuna = require "lstm.optuna"
local plan = require "lstm.sweep_plan"
local ranks = require "lstm.ranks"
local results = require "lstm.results"
local runner = require "lstm.sweep_runner"
local script = require "lstm.script"
local slurm = require "lstm.slurm"
local sweep_table = require "lstm.sweep_table"
local trial_run = require "lstm.trial_run"
local trials = require "lstm.trials"

local quoted = format.shell_word
local sys, process = core.sys, core.process
local sweep_command = {}

--- Options of lstmrun for sweeps, as command.lua has its own.
sweep_command.options = {
  { "jobs", "needed", "=N", "trials at a time (default: as many as there are cores)" },
  { "threads-per-trial", "needed", "=N", "threads of each (default: the cores divided by the jobs)" },
  { "list", "none", "", "the trials and how they stand" },
  { "trial", "needed", "=ID", "run just this one: its id, the id's beginning, or its number in the list" },
  { "queued", "none", "", "with --trial: as a task of a queue, which tries again, and ends with 75 to be resumed" },
  { "slurm", "none", "", "submit the trials to Slurm as a job array; further options are sbatch's" },
  { "shard", "needed", "=I/N", "only the I-th of N parts of the trials" },
  { "fail-fast", "none", "", "stop everything when a trial has failed" },
  { "collect", "none", "", "only gather what the trials have found so far" },
  { "no-prune", "none", "", "run every trial to its end, even where the sweep would stop some early" },
  { "retry", "none", "", "try failed trials again, however often they failed" },
  { "redo", "none", "", "make trials of another version of the script anew; what they left is kept" },
}

local function usage(message)
  fault.stop(message, fault.USAGE)
end

local function whole_number(given, name, least)
  if given[name] == nil then return nil end
  local n = math.tointeger(tonumber(given[name]))
  if not n or n < least then
    usage(("option '--%s' needs a whole number of at least %d, got '%s'"):format(name, least, given[name]))
  end
  return n
end

-- ---- which trials -------------------------------------------------------------------------------------------------

-- Those whose number in the list leaves rest i, divided by n.
local function shard(list, text)
  local i, n = text:match "^(%d+)/(%d+)$"
  i, n = math.tointeger(tonumber(i)), math.tointeger(tonumber(n))
  if not i or not n or i < 1 or i > n then
    usage(("option '--shard' needs I/N with I from 1 to N, got '%s'"):format(text))
  end
  local part = {}
  for _, trial in ipairs(list) do
    if (trial.index - 1) % n == i - 1 then part[#part + 1] = trial end
  end
  return part
end

-- The order in which one of several processes that mpirun started goes through the trials: its own part of them, then
-- the others' parts from the end, the next one's first, so that no two of them long for the same trial at a time.
local function deal(list, rank, size)
  local order = {}
  for k = rank + 1, #list, size do order[#order + 1] = list[k] end
  for other = rank + 1, rank + size - 1 do
    local first = other % size + 1
    for k = #list - (#list - first) % size, first, -size do order[#order + 1] = list[k] end
  end
  return order
end

local function by_beginning(list, word)
  local found
  for _, trial in ipairs(list) do
    if trial.id:sub(1, #word) == word then
      if found then usage(("'%s' is the beginning of several trials' ids; give more of it"):format(word)) end
      found = trial
    end
  end
  return found
end

local function find_trial(sweep, directory, word)
  local loaded = #word == 12 and trials.load(directory, word)
  if loaded then return loaded end
  local list = trials.list(sweep, directory)
  local index = #word < 8 and word:find "^%d+$" and math.tointeger(tonumber(word))
  if index and list[index] then return list[index] end
  local found = #word >= 4 and by_beginning(list, word)
  if found then return found end
  usage(index and ("there is no trial %d: the sweep has %d"):format(index, #list)
    or ("the sweep has no trial '%s'; --list shows them"):format(word))
end

-- ---- --list -------------------------------------------------------------------------------------------------------

local function list_line(trial, columns)
  local status = trial.status
  return ("%4d  %s  %s  %s%s"):format(trial.index, display.name_cells(trial, columns), display.state_cells(status),
    status.status, status.reason and status.status ~= "done" and ": " .. status.reason or "")
end

local function counts(list)
  local count, names = {}, {}
  for _, trial in ipairs(list) do
    local name = trial.status.status
    if not count[name] then names[#names + 1] = name end
    count[name] = (count[name] or 0) + 1
  end
  table.sort(names)
  for i, name in ipairs(names) do names[i] = ("%d %s"):format(count[name], name) end
  return table.concat(names, ", "), count
end

-- A trial's id does not depend on the script: how many are of another version, or nil; and a line on these.
local function other_code(sweep, list)
  local others = trials.of_other_code(sweep, list)
  if #others == 0 then return nil end
  local file = script.file_of(sweep.experiment.run):match "[^/]*$"
  return #others, ("code    %s of another version of %s or its modules; --redo makes them anew, and keeps what they left")
    :format(#others == 1 and "1 trial is" or #others .. " trials are", file)
end

local function tell_code(sweep, list, tell)
  local _, line = other_code(sweep, list)
  if line then tell(line) end
end

local function print_list(sweep, directory, list, host)
  if host.progress == "json" then
    for _, trial in ipairs(list) do
      print(json.utf8 { id = trial.id, index = trial.index, params = trial.params, seed = trial.seed,
        directory = trial.directory, status = trial.status })
    end
    return
  end
  local columns, lines = display.columns(list), {}
  lines[1] = "    " .. display.heads(columns, sweep.metric.name) .. "  status"
  for _, trial in ipairs(list) do lines[#lines + 1] = list_line(trial, columns) end
  lines[#lines + 1] = ("%s in %s: %s"):format(format.plural(#list, "trial"), directory, (counts(list)))
  print(table.concat(lines, "\n"))
  tell_code(sweep, list, print)
end

-- ---- how many at a time -------------------------------------------------------------------------------------------

local function left_of(list)
  local n = 0
  for _, trial in ipairs(list) do
    if trial.status.status ~= "done" then n = n + 1 end
  end
  return n
end

-- How many trials at a time, and how many threads each: small models train fastest with one thread a trial, as long as
-- there are trials for all cores.
-- Each of the processes that mpirun started runs one.
local function split_cores(given, trials_left)
  local rank, _, here = ranks.launched()
  local cores, _, _, all = process.cores(), sys.machine()
  if rank then cores = math.max(1, math.min(cores, all // here)) end
  local jobs = whole_number(given, "jobs", 1) or rank and 1
  local threads = whole_number(given, "threads-per-trial", 1) or whole_number(given, "threads", 1)
  jobs = jobs or math.max(1, math.min(trials_left, cores // (threads or 1)))
  return jobs, threads or math.max(1, cores // jobs)
end

-- The trials whose needs can be told: where Optuna is still to choose them, as many others.
local function plannable(sweep, directory, list)
  if sweep.points ~= "optuna" then return list end
  local others = {}
  for _, params in ipairs(sweep:examples()) do
    for _, seed in ipairs(sweep.seeds) do
      local trial = trials.new(sweep, directory, params, seed, #others + 1)
      trial.status = { status = "pending" }
      others[#others + 1] = trial
    end
  end
  return others
end

-- ---- --dry-run ----------------------------------------------------------------------------------------------------

local function duration(seconds)
  return seconds < 10 and ("%.1f s"):format(seconds) or format.duration(seconds)
end

local function print_time(sweep, found, jobs, threads)
  if not found.seconds then return print "time    unknown: nothing is trained, or the loop was not reached" end
  local most = sweep.prune and "at most about " or "about "
  print(("time    %s%s, %d at a time, %s each"):format(most, duration(found.seconds), jobs,
    format.plural(threads, "thread")))
  local shortest, longest = found.shortest, found.longest
  if shortest == longest then return end
  print(("        a trial from %s (%s) to %s (%s)"):format(duration(shortest.seconds),
    trials.show(shortest.trial), duration(longest.seconds), trials.show(longest.trial)))
end

local function print_plan(sweep, list, found, jobs, threads, directory)
  print(("sweep   %s: %s (%s, %s) of %s in %s; %d done before"):format(sweep.name, format.plural(#list, "trial"),
    format.plural(found.configurations, "configuration"), format.plural(#sweep.seeds, "seed"), sweep.experiment.name,
    directory, #list - left_of(list)))
  tell_code(sweep, list, print)
  if found.planned < found.configurations then
    print(("        estimated from %d of the configurations"):format(found.planned))
  end
  if found.bytes then
    print(("memory  at most %s a trial, %s for %d at a time%s"):format(format.bytes(found.bytes),
      format.bytes(found.bytes * jobs), jobs, dryrun.compared_to_machine(found.bytes * jobs)))
  end
  if found.disk then
    local bytes = found.disk * left_of(list)
    print(("disk    about %s%s"):format(format.bytes(bytes), dryrun.compared_to_disk(bytes, directory)))
  end
  print_time(sweep, found, jobs, threads)
  for i, each in ipairs(found.problems) do
    if i > 8 then print(("        and %d more"):format(#found.problems - 8)) break end
    print(("fails   %s (%s): %s"):format(each.trial.id, trials.show(each.trial), each.problem))
  end
end

local function tell_plan(sweep, list, found, jobs, threads)
  local problems = {}
  for i, each in ipairs(found.problems) do problems[i] = { id = each.trial.id, reason = each.problem } end
  print(json.utf8 { event = "plan", name = sweep.name, trials = #list, done = #list - left_of(list),
    configurations = found.configurations, jobs = jobs, threads = threads, trial_bytes = found.bytes,
    trial_disk_bytes = found.disk and math.floor(found.disk),
    seconds = found.seconds, trial_seconds = found.longest and found.longest.seconds,
    problems = #problems > 0 and problems or nil, other_code = other_code(sweep, list) })
end

local function dry_run(sweep, list, directory, given, host)
  list = plannable(sweep, directory, list)
  local jobs, threads = split_cores(given, math.max(1, left_of(list)))
  local found = plan.estimate(sweep, list, jobs, threads, host)
  if host.progress == "json" then tell_plan(sweep, list, found, jobs, threads)
  else print_plan(sweep, list, found, jobs, threads, directory) end
  if #found.problems > 0 and #found.problems == found.planned then fault.stop(nil, fault.ERROR) end -- not one would train
end

-- ---- --help -------------------------------------------------------------------------------------------------------

local function print_help(sweep, host)
  print(("usage: lstmrun %s [name=value ...] [options]\n"):format(host.script))
  if sweep.help ~= "" then print(sweep.help .. "\n") end
  print(("A sweep over %s, for the %s of %s; %s of each configuration."):format(sweep.experiment.name,
    sweep.metric.goal == "max" and "largest" or "smallest", sweep.metric.name, format.plural(#sweep.seeds, "seed")))
  print "Its parameters; name=a,b,c gives one other values:"
  for _, line in ipairs(sweep:describe()) do print("  " .. line) end
  print "\nother options of the experiment; name=value sets one for all trials:"
  local set = sweep.experiment.options
  for i, line in ipairs(set:lines(sweep:configuration {}, true)) do
    local name = set.list[i].name
    if name ~= "seed" and not sweep:param_key(name) and not sweep:lists(name) then print(line) end
  end
  print "\noptions for sweeps:"
  for _, option in ipairs(sweep_command.options) do
    print(("  %-28s  %s"):format("--" .. option[1] .. option[3], option[4]))
  end
end

-- ---- running ------------------------------------------------------------------------------------------------------

local function program_path(host)
  return sys.realpath "/proc/self/exe" or host.program
end

-- "lstmrun sweep.lua --out=DIR", as it is typed; more: what comes after.
local function command_line(host, directory, more)
  local out = directory ~= host.default_out and " --out=" .. quoted(directory) or ""
  return ("%s %s%s%s"):format(quoted(host.program), quoted(host.script), out, more or "")
end

-- What was asked for beside the directory, as it is typed: the same trials, in the same manner.
local function asked(given)
  local words = {}
  for _, pair in ipairs(given) do words[#words + 1] = " " .. quoted(pair[1] .. "=" .. tostring(pair[2])) end
  for _, name in ipairs { "trial", "shard", "jobs", "threads-per-trial", "threads" } do
    if given[name] then words[#words + 1] = (" --%s=%s"):format(name, quoted(tostring(given[name]))) end
  end
  for _, name in ipairs { "no-prune", "fail-fast", "retry" } do
    if given[name] == true then words[#words + 1] = " --" .. name end
  end
  return table.concat(words)
end

local function announce(show, sweep, list, size, left, directory, jobs, threads)
  show:print(("sweep   %s: %s of %s in %s; %d done before"):format(sweep.name, format.plural(size, "trial"),
    sweep.experiment.name, directory, size - left))
  local _, processes = ranks.launched()
  if left > 0 then
    local where = processes and (" on each of %d ranks"):format(processes) or ""
    show:print(("        %d at a time%s, %s each"):format(jobs, where, format.plural(threads, "thread")))
    tell_code(sweep, list, function(line) show:print(line) end)
  end
  show:event("sweep_start", { name = sweep.name, trials = size, done = size - left, jobs = jobs, threads = threads,
    ranks = processes or 1, directory = directory, other_code = other_code(sweep, list) })
end

local function tell_failures(show, list, host, directory)
  for _, trial in ipairs(list) do
    local status = trial.status
    if status.status == "failed" then
      show:say(("failed: %s (%s)%s\n        %s"):format(trial.id, trials.show(trial, true),
        status.reason and ": " .. status.reason or "", command_line(host, directory, " --trial=" .. trial.id)))
    end
  end
end

-- What all trials of the sweep have found, not only those of this shard.
local function gather(show, sweep, directory)
  local list = trials.all(sweep, directory)
  local remarks, reason = results.write(sweep, list, directory)
  if not remarks then fault.stop(reason) end
  tell_code(sweep, list, function(line) show:print(line) end)
  for _, lines in ipairs { results.summary(sweep, list), sweep_table.lines(sweep, list) } do
    for _, line in ipairs(lines) do show:print(line) end
  end
  show:print(("files   %s/sweep.h5, sweep.csv; figures:  lstmplot %s sweep -o sweep.png"):format(directory,
    quoted(directory)))
  for _, remark in ipairs(remarks) do show:print("        " .. remark) end
end

local function collect(sweep, directory, list, given, host)
  if not sys.kind(directory .. "/trials") then fault.stop(("there are no trials in %s"):format(directory)) end
  local show = display.new { kind = host.progress, sweep = sweep, list = list }
  local text, count = counts(list)
  show:print(("sweep   %s: %s"):format(sweep.name, text))
  show:event("collected", { directory = directory, counts = count, other_code = other_code(sweep, list) })
  local line = given.slurm and slurm.line(directory)
  if line then show:print(line) end
  gather(show, sweep, directory)
end

local early = { failed = "a trial failed (--fail-fast)", time = "its budget of time is used up",
  stopped = "a trial was told to stop" }

local function exit_early(why)
  local _, status = sys.stop_signal()
  fault.stop(nil, why == "failed" and fault.ERROR or status or fault.RESUMABLE)
end

-- The end of a process whose work rank 0 tells of.
local function finish_quietly(show, list, host, directory, why)
  if why == "failed" then -- mpirun is about to end the others
    show.silent = false
    tell_failures(show, list, host, directory)
  end
  if why then exit_early(why) end
end

local function finish(show, sweep, list, given, host, directory, why)
  show:finish()
  for _, trial in ipairs(list) do trial.status = trials.status(trial) end
  local text, count = counts(list)
  why = why or count.stopped and "stopped" -- by somebody who did not stop the sweep
  show:event("sweep_end", { directory = directory, counts = count, reason = why })
  tell_failures(show, list, host, directory)
  show:print(("over    %s"):format(text))
  if not given.queued then gather(show, sweep, directory) end
  if why then
    local _, size = ranks.launched()
    show:say(("stopped: %s. Go on with:  %s%s"):format(early[why] or "SIG" .. why, ranks.command(size),
      command_line(host, directory, asked(given))))
    exit_early(why)
  end
  for _, trial in ipairs(list) do
    if trial.status.status == "failed" and trial.status.exit ~= fault.DIVERGED then fault.stop(nil, fault.ERROR) end
  end
end

local function run_all(sweep, directory, list, given, host)
  local rank, processes = ranks.launched()
  local chooser = sweep.points == "optuna" and not given.trial and optuna.new(sweep, directory) or nil
  local size = math.max(#list, chooser and sweep.trials * #sweep.seeds or 0)
  local left = size - #list + left_of(list)
  local jobs, threads = split_cores(given, math.max(1, left))
  for _, trial in ipairs(list) do trials.create(trial) end
  local silent = rank ~= nil and rank > 0
  local show = display.new { kind = silent and "quiet" or host.progress, silent = silent, sweep = sweep, list = list,
    expected = size }
  announce(show, sweep, list, size, left, directory, jobs, threads)
  local program = program_path(host)
  local part = rank and not chooser and deal(list, rank, processes) or list
  local work = runner.new { sweep = sweep, list = part, directory = directory, jobs = jobs, chooser = chooser,
    display = show, fail_fast = given["fail-fast"], retry = given.retry, reports = rank == 0,
    command = function(trial)
      return { program, host.script, "--trial=" .. trial.id, "--out=" .. directory, "--threads=" .. threads,
        given["no-prune"] and "--no-prune" }
    end }
  local why = work:run()
  if silent then return finish_quietly(show, list, host, directory, why) end
  finish(show, sweep, list, given, host, directory, why)
end

-- ---- --redo -------------------------------------------------------------------------------------------------------

local function check_redo(given)
  for _, name in ipairs { "list", "collect", "dry-run" } do
    if given[name] then usage(("option '--redo' runs trials, '--%s' runs none"):format(name)) end
  end
  if ranks.launched() then usage "option '--redo' moves what trials left: start it without mpirun" end
end

-- Trials of another version of the script have not begun, from now on.
local function redo(sweep, directory, list, host)
  local others = trials.of_other_code(sweep, list)
  trials.set_aside(directory, others)
  for _, trial in ipairs(others) do trial.status = trials.status(trial) end
  display.new { kind = host.progress, sweep = sweep, list = list }:print(#others == 0
    and "redo    nothing: no trial is of another version of the script"
    or ("redo    %s; what they left is kept, as %s/trials/ID-1 and so on"):format(format.plural(#others, "trial"), directory))
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

-- A trial that a runner started ends with it.
local function follow_runner()
  local runner_pid = math.tointeger(tonumber(os.getenv "LSTMRUN_SWEEP" or ""))
  return runner_pid and process.follow(runner_pid)
end

local function run_one(sweep, directory, given, host, run_experiment)
  if ranks.launched() then usage "option '--trial' runs one trial, in one process: start it without mpirun" end
  local trial = find_trial(sweep, directory, given.trial)
  if given.redo then trials.set_aside(directory, { trial }) end
  local followed = follow_runner()
  if (sweep.timeout or given.queued) and not followed then
    trial.status, trial.index = trials.status(trial), trial.index or 1
    if not given.queued then given.retry = "any" end
    return run_all(sweep, directory, { trial }, given, host)
  end
  trial_run.run(sweep, directory, trial, host, run_experiment)
end

-- ---- Slurm ----------------------------------------------------------------------------------------------------------

local function submit(sweep, directory, list, given, host)
  local open = runner.new { sweep = sweep, list = list, retry = given.retry }:open()
  local show = display.new { kind = host.progress, sweep = sweep, list = list }
  show:print(("sweep   %s: %s of %s in %s; %d done before"):format(sweep.name, format.plural(#list, "trial"),
    sweep.experiment.name, directory, #list - left_of(list)))
  tell_code(sweep, list, function(line) show:print(line) end)
  if sweep.points == "optuna" then open = plannable(sweep, directory, list)
  elseif not host.dry_run then
    for _, trial in ipairs(open) do trials.create(trial) end
  end
  slurm.submit { sweep = sweep, directory = directory, list = open, pairs = given, words = given.sbatch or {},
    jobs = whole_number(given, "jobs", 1), dry_run = host.dry_run, host = host,
    threads = whole_number(given, "threads-per-trial", 1) or whole_number(given, "threads", 1) or 1,
    show = function(line) show:print(line) end, command = command_line(host, directory, asked(given)) }
end

local refused = { "resume", "init-from", "seed", "print-config" }

-- Pairs of options that make no sense together; what is beside --trial is of all trials.
local apart = { { "trial", "list" }, { "trial", "collect" }, { "trial", "dry-run" }, { "trial", "shard" },
  { "trial", "slurm" }, { "list", "collect" }, { "list", "dry-run" }, { "list", "slurm" }, { "collect", "dry-run" } }

local function check_together(given)
  for _, pair in ipairs(apart) do
    if given[pair[1]] and given[pair[2]] then
      usage(("options '--%s' and '--%s' exclude each other"):format(pair[1], pair[2]))
    end
  end
  if given.queued and not given.trial then usage "option '--queued' is only for one trial: --trial=ID" end
end

--- Does what was asked of a sweep. given, host: as command.lua made them; run_experiment: its function.
function sweep_command.run(sweep, given, host, run_experiment)
  for _, name in ipairs(refused) do
    if given[name] then usage(("option '--%s' is for experiments, %s is a sweep"):format(name, host.script)) end
  end
  check_together(given)
  sweep.name = sweep.name or host.script:match "([^/]*)$":gsub("%.lua$", "")
  if #given > 0 then
    local changed, problem = sweep:with(given)
    if not changed then usage(problem) end
    sweep = changed
  end
  if given["no-prune"] then sweep.prune = nil end
  host.default_out = host.runs .. "/" .. sweep.name
  local directory = host.out or host.default_out
  if given.help then return print_help(sweep, host) end
  if given.redo then check_redo(given) end
  if given.trial then return run_one(sweep, directory, given, host, run_experiment) end
  local list = trials.all(sweep, directory)
  if given.shard then
    if sweep.points == "optuna" then
      usage "option '--shard' is not for method 'optuna': its trials are not known yet"
    end
    list = shard(list, given.shard)
  end
  if given.redo then redo(sweep, directory, list, host) end
  if (given.list or given.collect or given["dry-run"]) and (ranks.launched() or 0) > 0 then return end
  if given.list then return print_list(sweep, directory, list, host) end
  if given.collect then return collect(sweep, directory, list, given, host) end
  if given.slurm then return submit(sweep, directory, list, given, host) end
  if given["dry-run"] then return dry_run(sweep, list, directory, given, host) end
  return run_all(sweep, directory, list, given, host)
end

return sweep_command
