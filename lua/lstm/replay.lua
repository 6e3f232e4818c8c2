-- SPDX-License-Identifier: MIT
--
-- replay.lua - lstmrun replay RUN: runs a stretch of a run again, with more of it recorded, and compares.
--
-- A run is exact: from a checkpoint on, or from the beginning, the same script computes the same bits again. So nothing
-- has to be recorded in advance. A replay begins at the nearest checkpoint before the first step that is asked for,
-- compares each number with the logged one on the way, and records into a directory of its own.
--
-- What changed while the run ran is in its log's events: options given anew when it was resumed ("option"), another
-- script or machine ("environment"), and learning rates when it was rolled back ("rollback").

local checkpoint = require "lstm.checkpoint"
local core = require "lstm.core"
local describe = require "lstm.describe"
local directory = require "lstm.directory"
local fault = require "lstm.fault"
local format = require "lstm.format"
local json = require "lstm.json"
local limits = require "lstm.limits"
local logs = require "lstm.logs"
local options = require "lstm.options"
local ranks = require "lstm.ranks"
local script = require "lstm.script"
local watch = require "lstm.watch"

local sys = core.sys
local replay = {}
local methods = {}
local meta = { __index = methods }

local of_time = { step = true, seconds = true, tokens_per_second = true } -- columns that no two runs share

-- ---- the run ------------------------------------------------------------------------------------------------------

-- A killed run's log is brought to its last commit. Where that cannot be (a disk that is read only), it can be read
-- all the same.
local function recover(path)
  local state = core.log.state(path .. "/log.h5")
  if state ~= "left" and state ~= "pending" then return end
  local lock <close> = core.lock.take(path .. "/lock")
  local what = lock and core.log.recover(path .. "/log.h5")
  if what then io.stderr:write(("lstmrun: the run in %s was killed; its log: %s\n"):format(path, what)) end
end

local function read_events(reader)
  local steps, kinds, texts = reader:numbers "events/step", reader:texts "events/kind", reader:texts "events/text"
  local list = {}
  for k, step in ipairs(steps or {}) do
    list[k] = { step = step, kind = kinds and kinds[k] or "", text = texts and texts[k] or "" }
  end
  return list
end

local function must_read(value, reason)
  if value == nil then fault.stop("cannot replay: " .. tostring(reason)) end
  return value
end

local function read_metrics(reader, path)
  local columns, row_of = {}, {}
  local steps = must_read(reader:numbers "metrics/step")
  for _, name in ipairs(reader:names "metrics") do
    local column = not of_time[name] and reader:numbers("metrics/" .. name)
    if column and #column ~= #steps then
      fault.stop(("cannot replay: %s is damaged: metrics/%s has %d rows, metrics/step %d"):format(path, name, #column,
        #steps))
    end
    if column then columns[name] = column end
  end
  for row, step in ipairs(steps) do row_of[step] = row end
  return steps, columns, row_of
end

-- path: a run's directory, or its log.
local function read_run(path)
  local kind, reason = sys.kind(path)
  if not kind then fault.stop("cannot replay " .. reason) end
  path = kind == "file" and (path:match "^(.*)/log%.h5$" or path == "log.h5" and ".") or path:gsub("(.)/+$", "%1")
  if not sys.kind(path .. "/log.h5") then fault.stop(("%s holds no run: there is no log.h5"):format(path)) end
  if ranks.rank == 0 then recover(path) end
  ranks.wait()
  local reader <close> = must_read(core.log.read(path .. "/log.h5"))
  local steps, columns, row_of = read_metrics(reader, path .. "/log.h5")
  if #steps == 0 then fault.stop(("cannot replay %s: not one step of it was logged"):format(path)) end
  local texts = must_read(reader:texts "config/json")
  local config = must_read(json.decode(texts[1] or ""))
  if type(config) ~= "table" then
    fault.stop(("cannot replay: %s/log.h5 is damaged: its options are no table"):format(path))
  end
  return {
    path = path, environment = must_read(reader:attributes "environment"), events = read_events(reader),
    config = config, steps = steps, columns = columns, row_of = row_of,
    has_source = #(reader:names "source" or {}) > 0,
  }
end

-- ---- what the run was at a step -----------------------------------------------------------------------------------

-- Sets an option of a plain table from text; what is there says of which type.
local function set_plain(config, name, text)
  local group, key = config, name
  for part in name:gmatch "([^.]+)%." do
    group = type(group[part]) == "table" and group[part] or {}
    key = name:match "[^.]+$"
  end
  if group[key] ~= nil then group[key] = text end
end

local function get_plain(config, name)
  local value = config
  for part in name:gmatch "[^.]+" do value = type(value) == "table" and value[part] or nil end
  return value
end

-- "name=now, was before": what was given anew, or had changed, when the run went on.
local function change_of(event)
  return event.text:match "^([%w_.]+)=(.*), was (.*)$"
end

-- Calls set(name, before) for what changed after `step`, the last change first. kind: of the events that say so.
local function take_back(run, kind, step, set)
  for k = #run.events, 1, -1 do
    local event = run.events[k]
    local name, _, before = change_of(event)
    if event.kind == kind and event.step > step and name then set(name, before) end
  end
end

-- The configuration with which the steps after `step` began: what was given later is taken back.
local function config_at(run, step)
  local config = json.decode(json.encode(run.config))
  take_back(run, "option", step, function(name, before) set_plain(config, name, before) end)
  return config
end

-- Where, and of which script, the steps after `step` were made.
local function environment_at(run, step)
  local environment = {}
  for name, text in pairs(run.environment) do environment[name] = text end
  take_back(run, "environment", step, function(name, before) environment[name] = before end)
  return environment
end

-- Rollbacks: list of { step, lr_scale }: from the step after on, with this scale.
local function rollbacks_of(run)
  local list = {}
  for _, event in ipairs(run.events) do
    local scale = event.kind == "rollback" and tonumber(event.text:match "learning rate x (%S+)$")
    if scale then list[#list + 1] = { step = event.step, lr_scale = scale } end
  end
  return list
end

-- Whether a checkpoint lies on the way that the run took: one from before a rollback may be of steps that were taken
-- back.
local function is_on_the_way(saved, rollbacks)
  local before, upto = 0, 0
  for _, rollback in ipairs(rollbacks) do
    if rollback.step < saved.state.step then before = before + 1 end
    if rollback.step <= saved.state.step then upto = upto + 1 end
  end
  local count = saved.state.rollbacks or 0
  return count >= before and count <= upto
end

-- ---- where to begin -----------------------------------------------------------------------------------------------

local function read_checkpoint(path)
  local file = core.checkpoint.read(path)
  local state = file and json.decode(file:text "state" or "")
  if type(state) ~= "table" or math.type(state.step) ~= "integer" then return nil end
  return { file = file, path = path, state = state, experiment = file:text "experiment", in_place = false }
end

-- Whether those options that were given anew while the run ran have the same values in two configurations.
local function agree(run, a, b)
  for _, event in ipairs(run.events) do
    local name = event.kind == "option" and event.text:match "^([%w_.]+)="
    local x, y = name and get_plain(a, name), name and get_plain(b, name)
    if x ~= nil and y ~= nil and options.show(x) ~= options.show(y) then return false end
  end
  return true
end

-- Whether a checkpoint has the options with which its step was done, or those with which the run went on after it: one
-- that has not is of steps that were done again with others, after a crash.
local function has_options_of(run, saved)
  local config, step = json.decode(saved.file:text "config" or ""), saved.state.step
  if type(config) ~= "table" then return false end
  return agree(run, config, config_at(run, step - 1)) or agree(run, config, config_at(run, step))
end

-- The newest checkpoint of at most `step` steps, nil when there is none.
local function nearest(run, step, rollbacks)
  local best
  local function consider(path)
    local saved = sys.kind(path) and read_checkpoint(path)
    if saved and saved.state.step <= step and (not best or saved.state.step > best.state.step) and
      is_on_the_way(saved, rollbacks) and has_options_of(run, saved) then
      best = saved
    end
  end
  for _, name in ipairs { "latest", "previous", "best", "start", "rollback" } do
    consider(run.path .. "/" .. checkpoint[name])
  end
  for _, list in ipairs { checkpoint.kept(run.path), checkpoint.starts(run.path) } do
    for k = #list, 1, -1 do
      if list[k].step <= step and (not best or list[k].step > best.state.step) then consider(list[k].path) end
    end
  end
  return best
end

local function whole(given, name, default)
  if not given[name] then return default end
  local n = math.tointeger(tonumber(given[name]))
  if n then return n end
  fault.stop(("option '--%s' needs the number of a step, got '%s'"):format(name, given[name]), fault.USAGE)
end

local function stretch(run, given)
  local first, last = run.steps[1], run.steps[#run.steps]
  local from, to = whole(given, "from", first), whole(given, "to", last)
  if given.from and given.to and from > to then
    fault.stop(("cannot replay steps %d to %d of %s: --from is after --to; its log has steps %d to %d"):format(from, to,
      run.path, first, last), fault.USAGE)
  end
  if from < first or to > last or from > to then
    fault.stop(("cannot replay steps %d to %d of %s: its log has steps %d to %d"):format(from, to, run.path, first,
      last), fault.USAGE)
  end
  return from, to
end

-- ---- the script ---------------------------------------------------------------------------------------------------

-- The file of the run's script: as given, or one that the log's record leads to, rather with the content it had.
local function find_script(run, given, root)
  if given.script then return script.find(given.script, root) end
  local env, first = run.environment, nil
  local name = env.script or ""
  for _, candidate in ipairs { env.script_path or name, (env.working_directory or ".") .. "/" .. name, name,
    name:match "[^/]*$" } do
    local path = candidate ~= "" and script.locate(candidate, root)
    if path and sys.kind(path) == "file" then
      if script.hash(path) == env.script_sha256 then return path end
      first = first or path
    end
  end
  if first then return first end
  fault.stop(("the script of this run, %s, is not here; say where it is by --script=FILE"):format(name))
end

local function warn_of_change(run, path)
  local known = run.environment.script_sha256
  if ranks.rank == 0 and known and script.hash(path) ~= known then
    local has_it = run.has_source and (", and 'lstmlog export %s --source -o DIR' has it"):format(run.path) or ""
    io.stderr:write(("lstmrun: %s is not the script of these steps (its SHA-256 differs); --script=FILE names another%s\n")
      :format(path, has_it))
  end
end

-- ---- the configuration --------------------------------------------------------------------------------------------

-- Options that do not change what is computed: what is recorded, and how much memory that may take.
local recording = {}
for _, list in ipairs { watch.options, logs.options, limits.options } do
  for _, option in ipairs(list) do recording[option[1]] = true end
end

local function refuse(description, name)
  if description.options.named[name] then
    fault.stop(("option '%s' cannot change in a replay: it would be another run. What is recorded can: " ..
      "activations.*, saturation.*, gradients.*, parameters.*, watch.*, log.*; and data, to say where the text is")
      :format(name), fault.USAGE)
  end
  fault.stop(("%s has no option '%s'%s"):format(description.name, name, options.suggestion(name,
    description.options:names())), fault.USAGE)
end

-- A text that was given by its place beside where the run was started.
local function find_data(self, cfg)
  local text, home = rawget(cfg, "data"), self.run.environment.working_directory
  if type(text) ~= "string" or text == "" or text:find "^/" or sys.kind(text) or not home then return end
  if sys.kind(home .. "/" .. text) then cfg.data = home .. "/" .. text end
end

--- The configuration of the steps to be replayed; what the command line changes of it must only add recording.
function methods:configure(description, overrides)
  local set, cfg = description.options, description.options:defaults()
  set:adopt(cfg, config_at(self.run, self.start))
  find_data(self, cfg)
  for _, pair in ipairs(overrides) do
    local name, value = pair[1], pair[2]
    if not set.named[name] or not recording[name] and name ~= "data" then refuse(description, name) end
    local ok, problem = set:assign(cfg, name, value)
    if not ok then fault.stop(problem, fault.USAGE) end
  end
  watch.imply_every(set, cfg)
  if description.name ~= self.run.environment.experiment and not self.script_given then
    fault.stop(("%s is a run of experiment '%s', not of '%s'"):format(self.run.path, self.run.environment.experiment,
      description.name))
  end
  return cfg
end

--- A replay of the run at `path`. given: the command line's options; root: where the experiments are that came along.
function replay.new(path, given, root)
  local run = read_run(path)
  local from, to = stretch(run, given)
  local rollbacks = rollbacks_of(run)
  local saved = nearest(run, from - 1, rollbacks)
  local start, origin = saved and saved.state.step or 0, run.environment.began_from
  if not saved and origin then
    fault.stop(("cannot replay %s: it began from %s, and its own checkpoint of that is gone"):format(run.path, origin))
  end
  run.environment = environment_at(run, start)
  local file = find_script(run, given, root)
  warn_of_change(run, file)
  return setmetatable({
    run = run, from = from, to = to, start = start, saved = saved, script = file, script_given = given.script,
    rollbacks = rollbacks, rolled_back = saved and saved.state.rollbacks or 0, compared = 0, missing = 0,
  }, meta)
end

-- ---- in the loop: called by run.lua -------------------------------------------------------------------------------

--- A directory inside the run's, and its lock.
function methods:make_directory()
  return directory.fresh(self.run.path, ("replay-%d-%d"):format(self.from, self.to))
end

--- "replay  steps 4200 to 4260 of runs/x, from its checkpoint-004000.h5, into ..."
function methods:line(into)
  local from = self.saved and ("%s, step %d"):format(self.saved.path:match "[^/]*$", self.start) or "its beginning"
  return ("replay  steps %d to %d of %s, from %s, into %s"):format(self.from, self.to, self.run.path, from, into)
end

--- The text must be the one the run learned.
function methods:check_data(text)
  local known = self.run.environment.data_sha256
  if text and known and text.sha256 ~= known then
    fault.stop(("cannot replay: '%s' is not the text of this run, %s (its SHA-256 differs); give that by data=FILE")
      :format(text.name, self.run.environment.data or "?"))
  end
end

--- With precision "auto": whether the run chose as where there are matrix units; otherwise nil.
function methods:auto_units()
  local units = self.run.environment.auto_units
  if units then return units == "true" end
end

--- now: what the log of this replay says of where it runs.
function methods:compare_environment(now)
  self.differences = describe.differences(now, self.run.environment)
end

--- What is said of this replay in its log's environment.
function methods:origin()
  return {
    { "replay_of", sys.realpath(self.run.path) }, { "replay_from", self.from }, { "replay_to", self.to },
    { "replay_start", self.start },
  }
end

--- A step begins: recorded when it is asked for, with the learning rate that it had.
function methods:enter(run, step)
  run.logs.muted = step < self.from
  local next_one = self.rollbacks[self.rolled_back + 1]
  while next_one and next_one.step < step do
    for _, fit in ipairs(run:trainers()) do fit.lr_scale = next_one.lr_scale end
    self.rolled_back = self.rolled_back + 1
    next_one = self.rollbacks[self.rolled_back + 1]
  end
  if self.run.row_of[step] then self.compared = self.compared + 1 else self.missing = self.missing + 1 end
end

local function same_bits(a, b)
  return a ~= a and b ~= b or string.pack("<d", a) == string.pack("<d", b)
end

-- Of several metrics that differ in a step, the loss is told, or else the first by name.
local function comes_first(name, parted)
  return not parted or name == "loss" or parted.name ~= "loss" and name < parted.name
end

-- Compares what a step computed with what was logged, when all of it is known.
local function compare(self, run)
  local step, row = self.step, self.row
  local at = self.run.row_of[step]
  self.step, self.row = nil, nil
  if self.parted or not at then return end
  for name, value in pairs(row) do
    local column = self.run.columns[name]
    if column and not same_bits(value, column[at]) and comes_first(name, self.parted) then
      self.parted = { step = step, name = name, here = value, there = column[at] }
    end
  end
  if self.parted then run.progress:say("lstmrun: " .. self:parting()) end
end

--- Takes a row of a step. Of a metric that has several numbers in one step the log has the last.
function methods:check(run, step, row)
  if self.row and self.step ~= step then compare(self, run) end
  self.step, self.row = step, self.row or {}
  for name, value in pairs(row) do self.row[name] = value end
end

--- "step 4,203 differs: loss 1.5 here, 1.25 in the log"
function methods:parting()
  local p = self.parted
  return ("step %s differs: %s %s here, %s in the log"):format(format.count(p.step), p.name, json.number(p.here),
    json.number(p.there))
end

-- What may be why the steps from `step` on are not the logged ones: list of texts.
local function reasons(self, step)
  local list = table.move(self.differences, 1, #self.differences, 1, {})
  for _, event in ipairs(self.run.events) do
    local between = event.step > self.start and event.step < step
    if between and event.kind == "environment" then
      local text = change_of(event) and describe.change(change_of(event)) or event.text
      list[#list + 1] = ("when the run went on after step %d: %s"):format(event.step, text)
    elseif between and event.kind == "option" then
      list[#list + 1] = ("at step %d the run was resumed with %s"):format(event.step, event.text)
    end
  end
  return list
end

local function what_is_different(self, step)
  local why = reasons(self, step)
  return #why > 0 and "What is different: " .. table.concat(why, "; ")
    or "Script, text, program and machine are the same, as far as the log says: a script may differ by itself where it " ..
      "looks at the clock, at files, or through a table with pairs, whose order is another each time"
end

--- Whether every number was the logged one, and a sentence about it. problem: what became not finite at the run's last
-- step, or nil.
function methods:verdict(run, problem)
  if self.row then compare(self, run) end
  if self.parted then return false, self:parting() .. ". " .. what_is_different(self, self.parted.step) end
  local step = run.step
  local line = ("steps %s to %s are the logged ones, bit for bit"):format(format.count(self.start + 1),
    format.count(step))
  if step < self.to and not problem then
    return false, ("%s; there the script ends, and the log goes on. %s"):format(line, what_is_different(self, step + 1))
  end
  if #self.differences > 0 then line = line .. ", here too (" .. table.concat(self.differences, "; ") .. ")" end
  if self.missing > 0 then line = line .. ("; %s not in the log"):format(format.plural(self.missing, "step")) end
  return true, problem and ("%s; %s at the last one, as it did"):format(line, problem) or line
end

return replay
