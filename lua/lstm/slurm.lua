-- SPDX-License-Identifier: MIT
--
-- slurm.lua - a sweep on a cluster: its trials as a job array of Slurm, a task each.
--
-- A task runs `lstmrun SWEEP --trial=ID --queued`. Before its time limit it gets SIGUSR1, when it is preempted SIGTERM;
-- the trial then writes a checkpoint, the task ends with status 75 and is queued again, to go on from there. Slurm does
-- that by itself where slurm.conf has RequeueExit=75, and for preempted jobs; otherwise the task asks for it.
--
-- Which trial is next cannot be said beforehand where trials are pruned by ASHA or chosen by Optuna. Then the tasks are
-- workers: each is a whole `lstmrun SWEEP` that shares the directory with the others.

local core = require "lstm.core"
local fault = require "lstm.fault"
local format = require "lstm.format"
local options = require "lstm.options"
local plan = require "lstm.sweep_plan"

local quoted = format.shell_word
local sys, process = core.sys, core.process
local slurm = {}

local notice = 120 -- seconds before the time limit at which a trial is told to stop
local default_workers = 4
local default_array = 1001 -- MaxArraySize, where it is not told
local other_memory = 256 << 20 -- of the program that supervises the trial, text, logs
local margin = { memory = 1.25, time = 1.5 }
local least_minutes = 5

local function shell_words(words)
  local parts = {}
  for i, word in ipairs(words) do parts[i] = quoted(word) end
  return table.concat(parts, " ")
end

-- What a program prints, complaints too; and whether it ended well.
local function output_of(words)
  local pipe = assert(io.popen(shell_words(words) .. " 2>&1 </dev/null"))
  local text = pipe:read "a"
  return text, pipe:close() == true
end

local function needed(program)
  local _, there = output_of { "sh", "-c", "command -v " .. program }
  if there then return end
  fault.stop(("--slurm needs Slurm's '%s', which is not found here; without it, --trial and --shard run a part of " ..
    "the sweep under any other queue"):format(program))
end

-- ---- jobs ---------------------------------------------------------------------------------------------------------

local function jobs_path(directory)
  return directory .. "/slurm/jobs"
end

-- Numbers of the jobs that were submitted, "1,2,3"; nil when there are none.
local function submitted(directory)
  local ids = {}
  local file = io.open(jobs_path(directory), "r")
  if not file then return nil end
  for line in file:lines() do ids[#ids + 1] = line:match "^%d+" end
  file:close()
  return #ids > 0 and table.concat(ids, ",") or nil
end

-- How the tasks stand that Slurm still knows: { PENDING = 3, ... }; nil and a sentence when it can't be asked.
local function queue(ids)
  local text, ok = output_of { "squeue", "--noheader", "--array", "--format=%T", "--jobs=" .. ids }
  if not ok and not text:find "[Ii]nvalid job id" then return nil, text:match "[^\n]*" end
  local count = {}
  for state in text:gmatch "[^\n]+" do
    if ok and state:find "^[%u_]+$" then count[state] = (count[state] or 0) + 1 end
  end
  return count
end

local function show_count(count)
  local names = options.keys(count)
  for i, name in ipairs(names) do names[i] = ("%d %s"):format(count[name], name:lower()) end
  return table.concat(names, ", ")
end

--- A line on the jobs of a sweep, or nil when there were none.
function slurm.line(directory)
  local ids = submitted(directory)
  if not ids then return nil end
  needed "squeue"
  local count, problem = queue(ids)
  local state = count and (next(count) and show_count(count) or "none in the queue") or problem
  return ("slurm   job %s: %s"):format(ids, state)
end

local function refuse_second(directory)
  local ids = submitted(directory)
  local count = ids and queue(ids)
  if count and next(count) then
    fault.stop(("this sweep has tasks in the queue already: job %s (%s). Wait for them, or end them with  scancel %s")
      :format(ids, show_count(count), ids:gsub(",", " ")))
  end
end

-- ---- requests -----------------------------------------------------------------------------------------------------

local function has(words, ...)
  for _, name in ipairs { ... } do
    for _, word in ipairs(words) do
      if word == name or word:sub(1, #name + 1) == name .. "=" then return true end
      if #name == 2 and word:sub(1, 2) == name then return true end -- -t10
    end
  end
  return false
end

local function minutes_for(seconds)
  return math.max(least_minutes, math.ceil((seconds * margin.time + notice) / 60))
end

local function megabytes_for(bytes)
  return math.ceil((bytes * margin.memory + other_memory) / (64 << 20)) * 64
end

-- What is asked for unless the person did, from what the trials would take (sweep_plan.lua): list of options for sbatch,
-- and a line that says so.
local function requests(words, most, trials_each)
  local list, said = {}, {}
  if most.bytes and not has(words, "--mem", "--mem-per-cpu") then
    list[1] = ("--mem=%dM"):format(megabytes_for(most.bytes))
    said[1] = list[1]
  end
  if most.longest and not has(words, "--time", "-t") then
    list[#list + 1] = ("--time=%d"):format(minutes_for(most.longest.seconds * trials_each))
    said[#said + 1] = list[#list] .. " (minutes)"
  end
  if not most.bytes and #words == 0 then
    return list, "        memory and time of a trial are not known: the cluster's defaults apply (or --mem and --time)"
  end
  return list, #said > 0 and ("        each task asks for %s, from dry runs of %s"):format(table.concat(said, " "),
    format.plural(most.planned, "configuration")) or nil
end

-- ---- the script of the tasks --------------------------------------------------------------------------------------

local task_script = [[
#!/bin/sh
# Written by lstmrun: the tasks of a sweep. Submitted with
#   %s
%s
# Told to stop before the time limit (USR1), the trial writes a checkpoint and ends with status 75.
expired=no
trap 'expired=yes; kill -USR1 "$pid"' USR1
trap : TERM
%s </dev/null &
pid=$!
wait "$pid"
status=$?
while kill -0 "$pid" 2>/dev/null; do # the wait was cut short by a signal
    wait "$pid"
    status=$?
done
%sexit "$status"
]]

local ask_again = [[
if [ "$status" -eq 75 ] && [ "$expired" = yes ]; then scontrol requeue "$SLURM_JOB_ID"; fi
]]

-- "set -- ID ID ..." over several lines, and the choice of this task's.
local function choice(list, first, last)
  local lines, line = {}, "set --"
  for i = first, last do
    if #line > 100 then
      lines[#lines + 1] = line .. " \\"
      line = "   "
    end
    line = line .. " " .. list[i].id
  end
  lines[#lines + 1] = line
  lines[#lines + 1] = 'shift "$SLURM_ARRAY_TASK_ID"\n'
  return table.concat(lines, "\n")
end

-- Whether a list of exit codes, "1,70-80", has 75.
local function has_resumable(codes)
  for first, last in codes:gmatch "(%d+)%-?(%d*)" do
    local low, high = tonumber(first), tonumber(last) or tonumber(first)
    if low <= fault.RESUMABLE and fault.RESUMABLE <= high then return true end
  end
  return false
end

-- What the cluster does: { array = most tasks of a job, requeues = whether status 75 does }.
local function configuration()
  local text = output_of { "scontrol", "show", "config" }
  return { array = math.tointeger(tonumber(text:match "MaxArraySize%s*=%s*(%d+)")) or default_array,
    requeues = has_resumable(text:match "RequeueExit%s*=%s*([%d,-]+)" or "") }
end

local function write_file(path, text)
  local ok, reason = process.replace(path, text)
  if not ok then fault.stop("cannot write the job's files: " .. reason .. "; choose another place by --out=DIR") end
end

-- ---- submitting ---------------------------------------------------------------------------------------------------

-- "PATH/%A_%a.out", where % and \ of the directory's name are kept from Slurm.
local function output_pattern(directory)
  return directory:gsub("%%", "%%%%"):gsub("\\", "\\\\") .. "/slurm/%A_%a.out"
end

local function sbatch_words(this, tasks, path)
  local limit = this.at_once and "%" .. this.at_once or ""
  local words = { "sbatch", "--parsable", "--job-name=" .. this.name, ("--array=0-%d%s"):format(tasks - 1, limit),
    "--ntasks=1", "--cpus-per-task=" .. this.threads, "--requeue", ("--signal=B:USR1@%d"):format(notice),
    "--open-mode=append", "--output=" .. output_pattern(this.directory) }
  if this.after and this.at_once then words[#words + 1] = "--dependency=afterany:" .. this.after end
  for _, list in ipairs { this.requests, this.words } do table.move(list, 1, #list, #words + 1, words) end
  words[#words + 1] = path
  return words
end

local function note_job(directory, id, tasks)
  local file, reason = io.open(jobs_path(directory), "a")
  if not file or not file:write(id, " ", tasks, " ", os.date "!%Y-%m-%dT%H:%M:%SZ", "\n") or not file:close() then
    fault.stop(("job %s is submitted, but this cannot be noted: %s"):format(id, reason or jobs_path(directory)))
  end
end

-- Submits a script with so many tasks; returns the job's number. With --dry-run it is only written.
local function submit_script(this, number, tasks, chosen, command)
  local path = ("%s/slurm/array-%d.sh"):format(this.directory, number)
  local words = sbatch_words(this, tasks, path)
  write_file(path, task_script:format(shell_words(words):gsub("\n", " "), chosen, command,
    this.cluster.requeues and "" or ask_again))
  if this.dry_run then
    print(shell_words(words))
    return nil
  end
  local text, ok = output_of(words)
  local id = ok and text:match "(%d+)[^\n]*\n*$"
  if not id then fault.stop("sbatch refuses: " .. (text:match "^%s*(.-)%s*$" or "?")) end
  note_job(this.directory, id, tasks)
  this.after = id
  return id
end

local function lstmrun_words(this, more)
  local words = { this.program, this.script, "--out=" .. this.directory }
  return shell_words(table.move(more, 1, #more, #words + 1, words))
end

-- A task each trial, in as many arrays as are needed.
local function submit_trials(this, list)
  local command = lstmrun_words(this, { "--queued", "--threads-per-trial=" .. this.threads }) .. ' --trial="$1"'
  local ids, first = {}, 1
  while first <= #list do
    local last = math.min(#list, first + this.cluster.array - 1)
    ids[#ids + 1] = submit_script(this, #ids + 1, last - first + 1, choice(list, first, last), command)
    first = last + 1
  end
  return ids
end

local function submit_workers(this, workers, pairs_given)
  local more = { "--jobs=1", "--threads-per-trial=" .. this.threads }
  for _, pair in ipairs(pairs_given) do more[#more + 1] = pair[1] .. "=" .. pair[2] end
  this.at_once = nil
  return { submit_script(this, 1, workers, "", lstmrun_words(this, more)) }
end

--- Submits the trials of a list that are to be run. settings: sweep, directory, list, pairs (key=value as given), words
-- (options for sbatch), jobs (at most so many at a time, or nil), threads (of each), host, dry_run,
-- show (function that prints a line), command (what is typed to see how the sweep stands).
function slurm.submit(settings)
  local sweep, list, host = settings.sweep, settings.list, settings.host
  needed "sbatch"
  needed "scontrol"
  refuse_second(settings.directory)
  if #list == 0 then
    settings.show "slurm   nothing to submit: every trial is done, or failed too often (--retry)"
    return
  end
  local made, reason = sys.make_directory(settings.directory .. "/slurm")
  if not made then fault.stop("cannot write the job's files: " .. reason .. "; choose another place by --out=DIR") end
  local workers = (sweep.prune == "asha" or sweep.points == "optuna") and (settings.jobs or default_workers)
  local most = plan.estimate(sweep, list, 1, settings.threads, host)
  local asked, line = requests(settings.words, most, workers and math.max(1, math.ceil(#list / workers)) or 1)
  local this = { name = sweep.name, directory = settings.directory, words = settings.words, requests = asked,
    at_once = settings.jobs, threads = settings.threads, program = sys.realpath "/proc/self/exe" or host.program,
    script = host.script, cluster = configuration(), dry_run = settings.dry_run }
  local ids = workers and submit_workers(this, workers, settings.pairs) or submit_trials(this, list)
  if line then settings.show(line) end
  if settings.dry_run then return end
  local tasks = workers and format.plural(workers, "worker") or format.plural(#list, "trial")
  local limit = this.at_once and (", %d at a time"):format(this.at_once) or ""
  settings.show(("slurm   %s submitted as job %s%s"):format(tasks, table.concat(ids, ", "), limit))
  settings.show(("        how they stand and what they found:  %s --slurm --collect"):format(settings.command))
end

return slurm
