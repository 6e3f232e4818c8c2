-- SPDX-License-Identifier: MIT
--
-- command.lua - the command line: lstmrun [options] SCRIPT [key=value ...] [options]
--
-- Options before the script are lstmrun's. What comes after it is the script's: `arg` and `...` have it. When the
-- script returns an experiment, lstmrun reads it as key=value and options of its own, and runs the experiment; a script
-- that returns nothing was a program and is done.

local chance = require "lstm.chance"
local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local describe = require "lstm.describe"
local experiment = require "lstm.experiment"
local fault = require "lstm.fault"
local json = require "lstm.json"
local limits = require "lstm.limits"
local options = require "lstm.options"
local progress = require "lstm.progress"
local ranks = require "lstm.ranks"
local replay = require "lstm.replay"
local run = require "lstm.run"
local script = require "lstm.script"
local sweep = require "lstm.sweep"
local sweep_command = require "lstm.sweep_command"

local sys = core.sys
local command = {}

-- ---- options of lstmrun -------------------------------------------------------------------------------------------

-- value: "none", "needed", or "optional" (with what stands for a missing one).
local host_options = {
  { "resume", "optional", "[=latest|best|PATH]", "go on with a run: its directory, or a checkpoint file", "latest" },
  { "init-from", "needed", "=FILE", "begin with the parameters of a checkpoint" },
  { "seed", "needed", "=N", "the same as seed=N" },
  { "threads", "needed", "=N", "threads to compute with (the results are the same for any number)" },
  { "out", "needed", "=DIR", "directory of the run (default: runs/NAME/DATE-TIME)" },
  { "from", "needed", "=STEP", "replay: the first step to record (default: the run's first)" },
  { "to", "needed", "=STEP", "replay: the last one (default: the run's last)" },
  { "script", "needed", "=FILE", "replay: the run's script, where it cannot be found" },
  { "dry-run", "none", "", "say what it would take: parameters, memory, time" },
  { "print-config", "none", "", "print the configuration as key=value lines" },
  { "quiet", "none", "", "no progress (a replay still says what it found)" },
  { "json", "none", "", "progress and summary as JSON, an object a line" },
  { "traceback", "none", "", "with every error, where it came from" },
  { "help", "none", "", "this text; with a script: the experiment's options" },
  { "version", "none", "", "versions of lstmrun and what it is built of" },
}

local host_names, host_named = {}, {}
for _, list in ipairs { host_options, sweep_command.options } do
  for _, option in ipairs(list) do
    host_names[#host_names + 1] = option[1]
    host_named[option[1]] = option
  end
end

local function usage(message)
  fault.stop(message .. (message:find "See: " and "" or ". See: lstmrun --help"), fault.USAGE)
end

-- "--resume runs/x": whether the word after the option is its value. Before the script it may be the script's name.
local function is_resume_value(word, before_script)
  if not word or word:find "^%-" or word:find "^%a[%w_.]*=" then return false end
  return not before_script or word == "latest" or word == "best" or word:find "%.h5$" ~= nil
    or sys.kind(word) == "directory"
end

-- After --slurm, options that are none of lstmrun's are for sbatch: --time=10, -p cpu.
local function read_sbatch_option(args, i, given)
  local list = given.sbatch or {}
  given.sbatch = list
  list[#list + 1] = args[i]
  local value = args[i + 1]
  if not value or args[i]:find "=" or value:find "^%-" or value:find "=" then return i + 1 end
  list[#list + 1] = value
  return i + 2
end

-- Of an option that is given twice one value would be lost without a word.
local function refuse_twice(name, before, value)
  local problem = options.twice(name, before, value)
  if problem then usage(problem) end
end

-- Reads args[i], an option of lstmrun, into `given`; returns the index of the next argument.
local function read_option(args, i, given, before_script)
  local name, value = args[i]:match "^%-%-([%w-]+)=(.*)$"
  name = name or args[i]:match "^%-%-([%w-]+)$" or ({ ["-h"] = "help", ["-q"] = "quiet" })[args[i]]
  local option = host_named[name]
  if not option and given.slurm then return read_sbatch_option(args, i, given) end
  if not option then
    local hint = options.suggestion(name or args[i], host_names, "--")
    if hint == "" and name then
      hint = (" (an option of the experiment has no dashes: %s=%s)"):format(name, value or "VALUE")
    end
    usage(("unknown option '%s'%s"):format(args[i], hint))
  end
  local kind = option[2]
  if kind == "none" and value then usage(("option '--%s' takes no value"):format(name)) end
  if kind == "needed" and not value then
    i, value = i + 1, args[i + 1]
    if not value then usage(("option '--%s' needs a value: --%s%s"):format(name, name, option[3])) end
  elseif kind == "optional" and not value and is_resume_value(args[i + 1], before_script) then
    i, value = i + 1, args[i + 1]
  end
  if value == "" then usage(("option '--%s' needs a value: --%s%s"):format(name, name, option[3])) end
  value = value or option[5] or true
  if kind ~= "none" then refuse_twice("--" .. name, given[name], value) end
  given[name] = value
  return i + 1
end

local function is_option(word)
  return word:find "^%-." ~= nil
end

-- Reads arguments into given = { options..., [1] = { key, value }, ... }. Before the script: up to and including its
-- name, which is returned with the index after it.
local function read_arguments(args, i, given, before_script)
  while i <= #args do
    local word = args[i]
    local key, value = word:match "^(%a[%w_.]*)=(.*)$"
    if is_option(word) then
      i = read_option(args, i, given, before_script)
    elseif key then
      refuse_twice(key, options.value_in(given, key), value)
      given[#given + 1] = { key, value }
      i = i + 1
    elseif before_script then
      return word, i + 1
    else
      usage(("unexpected argument '%s' (options of the experiment are key=value)"):format(word))
    end
  end
end

local most_threads = 4096 -- what core.threads takes

local function set_threads(given)
  if not given.threads then return end
  local n = math.tointeger(tonumber(given.threads))
  if not n or n < 1 or n > most_threads then
    usage(("option '--threads' needs a whole number from 1 to %d, got '%s'"):format(most_threads, given.threads))
  end
  core.threads(n)
end

-- ---- what can be asked --------------------------------------------------------------------------------------------

-- Names of the experiments that came with lstmrun.
local function shipped(root)
  local names = {}
  for _, file in ipairs(sys.list(root .. "/experiments") or {}) do names[#names + 1] = file:match "^(.*)%.lua$" end
  table.sort(names)
  return names
end

local function print_options(list)
  for _, option in ipairs(list) do
    local left = ("  --%s%s"):format(option[1], option[3])
    print(#left > 28 and left .. "\n" .. (" "):rep(30) .. option[4] or ("%-28s  %s"):format(left, option[4]))
  end
end

local function print_help(root)
  print [[
usage: lstmrun [options] SCRIPT [key=value ...] [options]
       lstmrun replay RUN [--from=STEP] [--to=STEP] [key=value ...] [options]

Runs an experiment (a Lua script that returns lstm.experiment {...}), or any Lua
program. key=value sets an option of the experiment: lstmrun SCRIPT --help lists them.
]]
  print_options(host_options)
  print "\nFor a script that returns lstm.sweep {...}:"
  print_options(sweep_command.options)
  local names = shipped(root)
  if #names > 0 then print("\nExperiments that came with it: " .. table.concat(names, ", ")) end
  print [[

Ctrl-C, SIGTERM, SIGUSR1, SIGUSR2 and SIGHUP let the step finish, write a checkpoint and say how to go on; a second one
quits at once.
Exit status: 0 done, 1 error, 2 usage, 3 diverged, 75 stopped and resumable, 130 interrupted.]]
end

local function print_replay_help()
  print [[
usage: lstmrun replay RUN [--from=STEP] [--to=STEP] [key=value ...] [options]

Runs a stretch of a run again, from its nearest checkpoint on, with more of it recorded, compares every number with the
logged one, bit for bit, and says so, or where they part and what is different. It records into RUN/replay-FROM-TO, or
--out=DIR. key=value may change what is recorded (activations.*, saturation.*, gradients.*, parameters.*, watch.*,
log.*), and data=FILE say where the text is.

    lstmrun replay RUN --from=4200 --to=4260 activations.every=1 gradients.every=1 gradients.full=true
    lstmrun replay RUN                      # all of it: does it repeat here?]]
end

local function print_version()
  local list = describe.environment()
  list[#list + 1] = { "tiles", (core.tiles()) }
  list[#list + 1] = { "mpi", ranks.library() }
  for _, pair in ipairs(list) do
    print(("%-9s %s"):format(pair[1] == "version" and "lstmrun" or pair[1], pair[2]))
  end
end

local function print_experiment_help(description, cfg, host)
  local set = description.options
  print(("usage: lstmrun %s [key=value ...] [options]\n"):format(host.script))
  if description.help ~= "" then print(description.help .. "\n") end
  local lines = set:lines(cfg, true)
  print "options of this experiment, with their defaults:"
  for i, line in ipairs(lines) do
    if i == description.own_options + 1 then print "\noptions of every run:" end
    print(line)
  end
  print "\nlstmrun --help lists the options of lstmrun itself (--resume, --out, --dry-run, ...)."
end

local function print_config(description, cfg, host)
  if host.progress == "json" then print(json.utf8(description.options:plain(cfg)))
  else print(table.concat(description.options:lines(cfg), "\n")) end
end

-- ---- an experiment ------------------------------------------------------------------------------------------------

local function see(host)
  return (". See: %s %s --help"):format(host.program, host.script)
end

local function assign(description, cfg, key, value, host)
  local set = description.options
  if not set.named[key] then
    usage(("%s has no option '%s'%s"):format(host.script, key, options.suggestion(key, set:names())) .. see(host))
  end
  local ok, problem = set:assign(cfg, key, value)
  if not ok then usage(problem .. see(host)) end
end

local function changeable_list(description)
  local names = {}
  for _, name in ipairs(description.options:names()) do
    if description.changeable[name] then names[#names + 1] = name end
  end
  return table.concat(names, ", ")
end

-- A resumed run has the configuration of its checkpoint, but for what may change.
local function resume_configuration(description, cfg, overrides, saved, host)
  local set = description.options
  set:adopt(cfg, saved.config)
  for _, override in ipairs(overrides) do
    local key = override[1]
    local before = set.named[key] and options.show(set:get(cfg, key))
    assign(description, cfg, key, override[2], host)
    if options.show(set:get(cfg, key)) ~= before and not description.changeable[key] then
      usage(("option '%s' is %s in this run and cannot change when it is resumed (these can: %s, and what the " ..
        "experiment's field 'changeable' names); to begin a new run with its parameters, use --init-from"):format(key,
        before, changeable_list(description)))
    end
  end
end

local function read_saved(description, given, host)
  local found = checkpoint.locate(given.resume, host.runs .. "/" .. description.name, host.out)
  local saved = checkpoint.read(found)
  saved.directory, saved.in_place = found.directory, found.in_place
  if saved.experiment ~= description.name then
    fault.stop(("%s is of experiment '%s', not of '%s'"):format(saved.path, saved.experiment, description.name))
  end
  if saved.fallback and ranks.rank == 0 then
    io.stderr:write(fault.one_line(("lstmrun: %s; going on from %s, step %d"):format(saved.fallback, saved.path,
      saved.state.step)), "\n")
  end
  return saved
end

-- preset=name comes before the options given beside it, wherever it stands.
local function assign_preset(description, cfg, overrides, host)
  if not next(description.presets) then return end
  for _, pair in ipairs(overrides) do
    local name = pair[1] == "preset" and pair[2] or ""
    local values = description.presets[name]
    if not values and name ~= "" then
      usage(("%s has no preset '%s'; it has: %s"):format(host.script, name,
        table.concat(options.keys(description.presets), ", ")))
    end
    for key, value in pairs(values or {}) do assign(description, cfg, key, value, host) end
  end
end

local function configure(description, given, host)
  local overrides = {}
  for i, pair in ipairs(given) do overrides[i] = pair end
  if given.seed then overrides[#overrides + 1] = { "seed", given.seed } end
  local cfg = description.options:defaults()
  if not given.resume then
    assign_preset(description, cfg, overrides, host)
    for _, pair in ipairs(overrides) do assign(description, cfg, pair[1], pair[2], host) end
    return cfg
  end
  if given["init-from"] then usage "--resume and --init-from exclude each other" end
  local saved = read_saved(description, given, host)
  resume_configuration(description, cfg, overrides, saved, host)
  return cfg, saved
end

local function greet(host)
  if host.progress == "json" or host.progress == "quiet" or ranks.rank > 0 then return end
  io.stdout:write(describe.program(), "  ", fault.one_line(host.script), "\n")
  io.stdout:flush()
end

local function make_host(given, program, name, path, args)
  local words = table.move(args, 1, #args, 1, {})
  return {
    program = program, script = name, script_path = path, command_line = program .. " " .. table.concat(words, " "),
    runs = "runs", out = given.out and (given.out:gsub("(.)/+$", "%1")), init_from = given["init-from"],
    dry_run = given["dry-run"] and require "lstm.dryrun",
    progress = progress.kind(given.json, given.quiet, sys.isatty(1) and not ranks.launched()), -- mpirun's is none
  }
end

-- Options that make sense together.
local function check_given(given, replaying)
  for _, name in ipairs(replaying and { "resume", "init-from", "dry-run", "seed" } or { "from", "to", "script" }) do
    if given[name] then
      usage(("option '--%s' is %s 'lstmrun replay'"):format(name, replaying and "not for" or "for"))
    end
  end
  if given.seed then refuse_twice("seed", options.value_in(given, "seed"), given.seed) end
end

-- What is asked, rather than run, one process answers.
local function is_question(given)
  return given.help or given["print-config"] or given["dry-run"]
end

-- Joins the processes that mpirun started, if there are any. What must be the same in all of them is compared.
local function join_ranks(given, args)
  if is_question(given) then return end
  ranks.start(given.threads)
  local other = ranks.other(json.encode { args, sys.realpath "." })
  if other then
    fault.stop(("rank %d was started with other arguments, or in another directory, than rank 0; to let each run by " ..
      "itself, set LSTMRUN_MPI=no"):format(other), fault.USAGE)
  end
end

local function run_experiment(description, given, host)
  if is_question(given) and (ranks.launched() or 0) > 0 then return end
  local cfg, saved
  if host.replay then cfg, saved = host.replay:configure(description, given), host.replay.saved
  else cfg, saved = configure(description, given, host) end
  if given.help then return print_experiment_help(description, cfg, host) end
  if given["print-config"] then return print_config(description, cfg, host) end
  greet(host)
  local this = run.new { description = description, cfg = cfg, host = host, saved = saved }
  sys.on_signal "raise"
  sys.ignore_pipe()
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil then this:abort() end end })
  if host.dry_run then
    local restore <close> = host.dry_run.watch()
    description.run(cfg, this)
    fault.stop(host.script .. " has no loop over run:steps: nothing to plan")
  end
  limits.apply(this:option "max_memory")
  chance.begin(this:option "seed")
  description.run(cfg, this)
  this:finish()
end

-- ---- a script -----------------------------------------------------------------------------------------------------

local function set_arg(args, script_index, path, program)
  arg = { [0] = path }
  for i = script_index, #args do arg[i - script_index + 1] = args[i] end
  arg[-1] = program
end

local function refuse_sweep_options(given, name)
  for _, option in ipairs(sweep_command.options) do
    if given[option[1]] then usage(("option '--%s' is for sweeps, %s is none"):format(option[1], name)) end
  end
end

-- `return` is easily forgotten, and without it nothing would be run. A program that reads its arguments itself may have
-- had something else to do.
local function check_returned(path, name)
  local made = experiment.made_by(path)
  if not made or script.reads_arguments(path) then return end
  fault.stop(("%s:%d: the %s made here is not returned, so that nothing was run; write 'return lstm.%s { ... }'")
    :format(name, made.line, made.kind, made.kind), fault.USAGE)
end

-- What a program has no use for would vanish without a word.
local function refuse_unused(given, word, path, name)
  for _, option in ipairs(options.keys(given)) do
    if option ~= "threads" and option ~= "traceback" and option ~= "quiet" then
      local shown = type(option) == "string" and "--" .. option or table.concat(given[option], "=")
      fault.stop(("%s is a program, not an experiment: '%s' means nothing to it"):format(name, shown), fault.USAGE)
    end
  end
  if word and not script.reads_arguments(path) then
    fault.stop(("%s is a program that does not read its arguments: '%s' means nothing to it"):format(name, word),
      fault.USAGE)
  end
end

local function load_experiment(path, name)
  local result = script.load(path)()
  if sweep.is(result) then return result.experiment end -- the run was one of its trials
  if experiment.is(result) then return result end
  check_returned(path, name)
  fault.stop(name .. " is a program, not an experiment: there is nothing to replay")
end

-- lstmrun replay RUN [key=value ...] [options]
local function run_replay(args, rest, program, root, given)
  local run_path, after = read_arguments(args, rest, given, true)
  if given.help then return print_replay_help() end
  if not run_path then usage "replay needs the directory of a run: lstmrun replay RUN --from=STEP --to=STEP" end
  read_arguments(args, after, given, false)
  check_given(given, true)
  set_threads(given)
  join_ranks(given, args)
  local this = replay.new(run_path, given, root)
  set_arg({}, 1, this.script, program)
  script.search_beside(this.script)
  sys.on_signal "interrupt"
  local description = load_experiment(this.script, this.script)
  local host = make_host(given, program, this.run.environment.script or this.script, this.script, args)
  host.replay = this
  return run_experiment(description, given, host)
end

local function run_script(args, program, root, given)
  local name, rest = read_arguments(args, 1, given, true)
  if name == "replay" and not given.version and not sys.kind(name) then
    return run_replay(args, rest, program, root, given)
  end
  if given.version then return print_version() end
  if not name then
    if given.help then return print_help(root) end
    usage "no script is given"
  end
  set_threads(given)
  local path = script.find(name, root)
  local chunk = script.load(path)
  set_arg(args, rest, path, program)
  script.search_beside(path)
  sys.on_signal "interrupt"
  fault.script = name
  local result = chunk(table.unpack(args, rest))
  if experiment.is(result) or sweep.is(result) then
    read_arguments(args, rest, given, false)
    if given.version then return print_version() end
    check_given(given, false)
    set_threads(given)
    if sweep.is(result) then
      return sweep_command.run(result, given, make_host(given, program, name, path, args), run_experiment)
    end
    refuse_sweep_options(given, name)
    join_ranks(given, args)
    return run_experiment(result, given, make_host(given, program, name, path, args))
  end
  check_returned(path, name)
  refuse_unused(given, args[rest], path, name)
end

-- ---- the whole ----------------------------------------------------------------------------------------------------

-- rank: of the process that says it, when there are several and it is not the first.
local function complain(message, rank)
  local who = rank and ("lstmrun: rank %d: "):format(rank) or "lstmrun: "
  io.stderr:write((fault.has_position(message) and not rank and "" or who) .. message .. "\n")
end

-- An error's exit status, and what is to be said of it, or nil. A signal that raised an error tells its own.
local function reading(err)
  if fault.is_stop(err) then return err.status, err.message end
  local signal, status = sys.stop_signal()
  if signal and err:find "interrupted" then return status, "interrupted" end
  return fault.ERROR, limits.explain(err)
end

--- Runs a command line; returns the exit status. root: the directory with the experiments that came with lstmrun.
function command.main(args, program, root)
  local given = {}
  package.searchers[2] = script.searcher
  os.setlocale, os.exit = script.setlocale, script.exit
  local always = os.getenv "LSTMRUN_TRACEBACK"
  for _, word in ipairs(args) do always = always or word == "--traceback" end
  local ok, err = xpcall(run_script, fault.handler(always), args, program, root, given)
  local status, message = 0, nil
  if not ok then status, message = reading(err) end
  ranks.leave(status, message and function(rank) complain(message, rank) end)
  if not io.stdout:flush() and status == 0 then status = fault.ERROR end
  return status
end

return command
