#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A sweep as a job array of a real Slurm of one node, which is started here and stopped at the end: tasks are preempted,
# told that their time is up, and fail; the results are those of the same sweep run without Slurm, bit for bit. Speaks
# TAP. LSTMRUN names the program (default: ./lstmrun). Run by `make torture`; takes a minute or two.
set -u
. "${srcdir:-.}/tests/tap.sh"
PATH=$PATH:/usr/sbin:/sbin
for tool in slurmctld slurmd sbatch squeue scontrol scancel; do
    command -v $tool >/dev/null || skip_all "Slurm's $tool is not installed (Debian: slurm-wlm)"
done
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_SWEEP
export HOME="$work" OMP_NUM_THREADS=1 SLURM_CONF="$work/slurm.conf"

# await SECONDS COMMAND...: until the command succeeds
await() {
    local until=$((SECONDS + $1))
    shift
    until "$@"; do
        [ $SECONDS -lt $until ] || return 1
        sleep 0.2
    done
}

# ---- a cluster -----------------------------------------------------------------------------------------------------

host=$(hostname -s)
port=$((20000 + $$ % 20000))
write_conf() { # RequeueExit's codes
    cat >slurm.conf <<END
ClusterName=here
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
${1:+RequeueExit=$1}
KillWait=30
ReturnToService=2
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=1
NodeName=node NodeHostname=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=2000
PartitionName=low Nodes=node Default=YES PriorityTier=1 State=UP
PartitionName=high Nodes=node PriorityTier=9 PreemptMode=OFF State=UP
END
}
write_conf 75
mkdir state spool
slurmctld -D -f slurm.conf >/dev/null 2>&1 &
controller=$!
slurmd -D -N node -f slurm.conf >/dev/null 2>&1 &
daemon=$!
stop_cluster() {
    scancel --user="$(id -un)" >/dev/null 2>&1
    kill $daemon $controller
    wait $daemon $controller
    rm -rf "$work"
} 2>/dev/null
trap stop_cluster EXIT
is_up() { [ "$(sinfo -h -n node -p low -o %T 2>/dev/null)" = idle ]; }
if ! await 30 is_up; then
    tail -n 5 slurmctld.log slurmd.log | sed 's/^/# /'
    skip_all "a Slurm of one node does not start here"
fi

# ---- the sweep -----------------------------------------------------------------------------------------------------

# A trial fails the first time it comes to step 9, when its directory has no mark of that.
cat >tiny.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  local model <close> = lstm.model { input = 3, hidden = cfg.hidden, output = 2, seed = cfg.seed }
  local fit <close> = model:trainer { batch = 4, seq = 8, lr = cfg.lr }
  local x, y = lstm.tensor.normal { 8, 4, 3, seed = cfg.seed }, lstm.tensor.zeros { 8, 4, 2 }
  for step in run:steps(cfg.steps, fit) do
    local loss = fit:step { x = x, y = y }
    run:log(step, loss)
    if run:every(5) then run:evaluate(step, loss) end
    if cfg.lr == 0.1 and cfg.hidden == 5 and cfg.seed == 2 and step == 9 then
      local mark = run.directory .. "/failed-once"
      if not io.open(mark) then
        io.open(mark, "w"):close()
        error "no luck"
      end
    end
    os.execute "sleep 0.1"
  end
end
return lstm.experiment { run = train, options = { { "hidden", 4 }, { "lr", 0.01 }, { "steps", 30 } } }
END
cat >sweep.lua <<'END'
local lstm = require "lstm"
return lstm.sweep { experiment = "tiny.lua", params = { hidden = { 3, 5 }, lr = { 0.01, 0.1 } }, seeds = 3,
  fixed = { checkpoint_every = 4 } }
END
without_times() { sed 's/,[^,]*,[^,]*$//' "$1"; }
# sweep.csv without attempt, seconds and host, its last three columns.
findings() { sed 's/,[^,]*,[^,]*,[^,]*$//' "$1/sweep.csv"; }

run sweep.lua --out=local --jobs=2
exits 0 "the sweep without Slurm"

# ---- as an array of jobs -------------------------------------------------------------------------------------------

run sweep.lua --slurm --dry-run --out=cluster --partition=low
exits 0 "--slurm --dry-run"
matches "^sbatch .*--array=0-11 .*--mem=[0-9]+M --time=[0-9]+ --partition=low cluster/slurm/array-1.sh"
run sweep.lua --slurm --out=cluster --partition=low --mem=100 --jobs=2
exits 0 "--slurm"; matches "12 trials submitted as job [0-9]+, 2 at a time"
job=$(sed -n 's/.*submitted as job \([0-9]*\).*/\1/p' out)
run sweep.lua --slurm --out=cluster
exits 1 "submitted twice"; says "this sweep has tasks in the queue already: job $job"

tasks() { squeue -h -r -j "$job" -t "$1" -o %i 2>/dev/null; }
# Two tasks are at work and have got so far that there is something to lose.
two_at_work() {
    [ "$(tasks RUNNING | wc -l)" -eq 2 ] &&
        [ "$(grep -l '"status": *"running"' cluster/trials/*/status.json 2>/dev/null |
            xargs -r grep -lE '"step": *(1|2)[0-9]' | wc -l)" -eq 2 ]
}
await 60 two_at_work
result $? "two tasks run at a time"
urgent=$(sbatch --parsable --partition=high --ntasks=2 --mem=50 --output=/dev/null --wrap 'sleep 1')
over() { [ -z "$(squeue -h -j "$1" 2>/dev/null)" ]; }
await 60 over "$urgent"
grep -l '"reason": *"stopped by SIGTERM"' cluster/trials/*/status.json | wc -l >out
echo "$urgent $(tasks all | wc -l)" >err
prints 2

# What is queued again has to wait for two minutes; here it may go on at once.
go_on() {
    for task in $(squeue -h -r -j "$job" -t PENDING -o '%i %r' 2>/dev/null | sed -n 's/ BeginTime$//p'); do
        scontrol update "jobid=$task" StartTime=now 2>/dev/null
    done
    "$@"
}
one_at_work() { task=$(tasks RUNNING | tail -1) && [ -n "$task" ] && sleep 1; }
await 60 go_on one_at_work
scancel --batch --signal=USR1 "$task" 2>/dev/null
await 300 go_on over "$job"
result $? "the array comes to its end"
run sweep.lua --slurm --collect --out=cluster
exits 0 "--slurm --collect"; prints "sweep   sweep: 12 done"; prints "slurm   job $job: none in the queue"

attempts() { awk -F, -v most="$1" 'NR > 1 && $(NF - 2) >= most' cluster/sweep.csv | wc -l; }
{ echo "more than one attempt: $(attempts 2)"; cut -d, -f 2,3,4,5,6,13- cluster/sweep.csv; } >out
[ "$(attempts 2)" -ge 4 ]
result $? "two were preempted, one was told that its time is up, one failed: all went on"
id=$(grep -lE '"failures": *1' cluster/trials/*/status.json | cut -d/ -f3)
grep "$id" cluster/sweep.csv >out
matches "^[0-9]+,$id,5,0.1,2,done,"

findings local >one; findings cluster >other
cmp one other >out 2>&1
result $? "the table is that of the sweep without Slurm"
same=0
for trial in local/trials/*/; do
    id=$(basename "$trial")
    cmp -s <(without_times "$trial/metrics.csv") <(without_times "cluster/trials/$id/metrics.csv") &&
        same_checkpoint "$trial/checkpoint-latest.h5" "cluster/trials/$id/checkpoint-latest.h5" && same=$((same + 1))
done >out 2>err
[ $same -eq 12 ]
result $? "and so is every loss and every weight of $same of 12 trials"

# ---- where slurm.conf says nothing of status 75 --------------------------------------------------------------------

write_conf ''
scontrol reconfigure
run sweep.lua --slurm --out=asked --mem=100 --time=5 hidden=3 lr=0.01
exits 0 "--slurm where status 75 means nothing"
job=$(sed -n 's/.*submitted as job \([0-9]*\).*/\1/p' out)
await 60 one_at_work
scancel --batch --signal=USR1 "$task" 2>/dev/null
await 200 go_on over "$job"
run sweep.lua --collect --out=asked hidden=3 lr=0.01
prints "sweep   sweep: 3 done"
awk -F, 'NR > 1 && $(NF - 2) == 2' asked/sweep.csv | wc -l >out
prints 1

# ---- workers -------------------------------------------------------------------------------------------------------

cat >halving.lua <<'END'
local lstm = require "lstm"
return lstm.sweep { experiment = "tiny.lua", method = "asha", params = { hidden = { 3, 4, 5 } }, fixed = { steps = 9 },
  budget = { min_steps = 1, eta = 3 } }
END
run halving.lua --slurm --mem=100 --time=5 --jobs=2
exits 0 "ASHA: workers"; matches "2 workers submitted as job [0-9]+"
job=$(sed -n 's/.*submitted as job \([0-9]*\).*/\1/p' out)
await 60 over "$job"
run halving.lua --slurm --collect
matches "sweep   halving: .*done"; prints "none in the queue"
done_testing
