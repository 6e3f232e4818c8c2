-- SPDX-License-Identifier: MIT
--
-- ranks.lua - the processes that mpirun (or srun) started together, and train one model on shares of one batch.
--
-- Each of them is a rank: 0, 1, ..., size - 1. All run the same script and take the same steps; rank 0 alone writes
-- files and speaks. Without mpirun this program is the only one: rank 0 of 1, MPI is not even loaded, and every
-- function here does nothing or returns what it was given.

local core = require "lstm.core"
local fault = require "lstm.fault"

local sys = core.sys
local ranks = { rank = 0, size = 1 }

-- Where launchers tell their processes which and how many they are: Open MPI, MPICH and Slurm's PMI, MVAPICH, PMIx.
local launchers = {
  { "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE" },
  { "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS" },
  { "MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE" },
  { "PMIX_RANK", "SLURM_STEP_NUM_TASKS" },
}
local signals = { "INT", "TERM", "USR1", "USR2", "HUP" }

local mpi, group -- the module lstm.mpi and what it started

local function read_launcher()
  if os.getenv "LSTMRUN_MPI" == "no" then return nil end
  for _, names in ipairs(launchers) do
    local rank, size = math.tointeger(os.getenv(names[1])), math.tointeger(os.getenv(names[2]))
    if rank and size and size > 1 then return rank, size, math.tointeger(os.getenv(names[3] or "")) or size end
  end
end

local launched = { read_launcher() } -- now: children may be told otherwise

--- Rank, size, and how many of these are on this machine, at most, as the launcher tells them; nil when this process
-- was started alone. LSTMRUN_MPI=no: it was.
function ranks.launched()
  return table.unpack(launched)
end

-- The module lstm.mpi; nil and a sentence when there is none.
local function load_mpi()
  if not package.searchpath("lstm.mpi", package.cpath) then return nil, "this lstmrun was built without MPI" end
  local ok, module = pcall(require, "lstm.mpi")
  if ok then return module end
  return nil, "MPI cannot be loaded: " .. fault.without_position(module):gsub("\n.*", "")
end

--- Which MPI lstmrun was built with, or why there is none.
function ranks.library()
  local module, reason = load_mpi()
  return module and module.library():gsub("%s+", " ") or reason
end

-- Numbers of math.random must be those of rank 0 everywhere.
local function share_random()
  local a, b = string.unpack("jj", ranks.gather(string.pack("jj", math.random(0), math.random(0)))[1])
  math.randomseed(a, b)
end

--- Joins the others, if there are any. threads_given: the user has said how many threads to use.
function ranks.start(threads_given)
  local _, launched = ranks.launched()
  if not launched or mpi then return end
  local module, reason = load_mpi()
  if not module then
    fault.stop(("mpirun started %d processes, but %s; install an MPI (Debian: libopenmpi-dev), configure and make " ..
      "again, or set LSTMRUN_MPI=no to let each run by itself"):format(launched, reason), fault.USAGE)
  end
  local rank, size
  group, rank, size = module.start()
  if size == 1 then
    fault.stop(("mpirun started %d processes, but the MPI of this lstmrun (%s) sees only one: use the mpirun that " ..
      "belongs to it"):format(launched, module.library():match "^[^,]*"), fault.USAGE)
  end
  mpi, ranks.rank, ranks.size = module, rank, size
  core.join(group)
  if not threads_given and not os.getenv "OMP_NUM_THREADS" then core.threads(module.threads()) end
  share_random()
end

--- Every rank's text, in order of rank.
function ranks.gather(text)
  return mpi and mpi.gather(group, text) or { text }
end

--- Rank 0's text, on every rank.
function ranks.broadcast(text)
  return ranks.gather(ranks.rank == 0 and text or "")[1]
end

--- Until all ranks are there.
function ranks.wait()
  ranks.broadcast ""
end

--- The first rank that has another text than rank 0; nil when all have the same.
function ranks.other(text)
  local all = ranks.gather(text)
  for rank = 2, #all do
    if all[rank] ~= all[1] then return rank - 1 end
  end
end

--- Rank 0's answers to one or two questions, on every rank.
function ranks.first(a, b)
  if not mpi then return a, b end
  local function number(answer) return ranks.rank == 0 and answer and 1 or 0 end
  a, b = mpi.max(number(a), number(b))
  return a == 1, b == 1
end

--- The signal that came to any rank: its name and exit status, as sys.stop_signal has it; or nil.
function ranks.stop_signal()
  local signal, status = sys.stop_signal()
  if not mpi then return signal, status end
  local code = 0
  for k, name in ipairs(signals) do
    if name == signal then code = k end
  end
  signal = signals[mpi.max(code)]
  return signal, signal and (signal == "INT" and fault.INTERRUPTED or fault.RESUMABLE)
end

--- What stands before the program's name in a command that starts so many processes.
function ranks.command(size)
  return (size or ranks.size) > 1 and ("mpirun -n %d "):format(size or ranks.size) or ""
end

-- ---- the end ------------------------------------------------------------------------------------------------------

local patience = 2 -- seconds in which an error that all have should have come to all
local longest = 60 -- the same when rank 0 may have files to close

-- Before MPI is started, a rank cannot know whether another one has said the same; mpirun ends all when one has failed.
local function waits_before_start()
  local rank = not mpi and ranks.launched()
  if rank and rank > 0 then
    sys.sleep(patience)
    return rank
  end
end

--- Leaves the others with this exit status: returns when all leave as well; else ends all of them. tell(rank), if
-- given, says what went wrong: rank 0 always speaks; another one (then its number is given) only when those before it
-- did not fail, too.
function ranks.leave(status, tell)
  if tell and ranks.rank == 0 then tell(waits_before_start()) end
  if not mpi then return end
  local limit = not tell and -1 or status == fault.DIVERGED and longest or patience
  local failed = mpi.leave(limit, tell ~= nil)
  if tell and ranks.rank > 0 and (not failed or failed == ranks.rank) then tell(ranks.rank) end
  io.stdout:flush()
  if not failed then mpi.abort(status) end
end

return ranks
