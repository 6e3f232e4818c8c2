#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Runs with products of bfloat16 numbers: what they say, how they go on, how they are repeated elsewhere. Speaks TAP.
# LSTMRUN and LSTMLOG name the programs (default: ./lstmrun, ./lstmlog).
set -u
. "${srcdir:-.}/tests/tap.sh"
cd "$work" || exit 99
unset LSTMRUN_TRACEBACK LSTMRUN_DATA LSTM_KERNEL
export OMP_NUM_THREADS=2 LSTM_TILES=software

write_text >text
cat >tiny.lua <<'END'
local lstm = require "lstm"
local function train(cfg, run)
  local text = assert(lstm.corpus { path = cfg.data, split = { 0.8, 0.2 } })
  local model <close> = lstm.model { vocab = text.vocab, hidden = cfg.hidden, layers = 2, dropout = 0.2,
    seed = cfg.seed, precision = cfg.precision }
  local fit <close> = model:trainer { batch = cfg.batch, seq = 4, clip_norm = 1, lr = 0.02 }
  for step in run:steps(cfg.steps, fit, text) do
    run:log(step, fit:step(text))
    if run:every(4) then run:evaluate(step, fit:evaluate(text)) end
    if run:every(6) then run:sample(step, model:sample { prime = "line", length = 10, seed = step }) end
    if step == tonumber(os.getenv "STOP_AT") then io.popen("kill -TERM $PPID"):close() end
  end
end
return lstm.experiment {
  name = "tiny", run = train,
  options = { { "data", "text", "a file" }, { "precision", "bf16x6", "of products" }, { "hidden", 20, "units" },
    { "batch", 3, "rows" }, { "steps", 12, "steps" } },
  changeable = { "precision" },
}
END

# ---- what is said ----------------------------------------------------------------------------------------------------

run tiny.lua --out=whole keep_every=4
exits 0 "a run in bf16x6"
prints "numbers bf16x6, products by software, for want of matrix units (AMX): 'float' is faster here"
log show whole
matches "precision +bf16x6"; matches "tiles +software"
run tiny.lua --dry-run precision=bf16x3
prints "precision   bf16x3, products by software"
run --version
matches "tiles +software"
run tiny.lua --out=plain precision=float
exits 0 "a run in float"
if grep -q numbers out; then false; fi; result $? "  has nothing to say about it"
log show plain
matches "precision +float"
run tiny.lua --out=mixed precision=bf16 steps=3
exits 0 "mixed precision"
log show mixed
matches "precision +bf16"
run tiny.lua --out=none precision=bf16x9
exits 1 "a precision that is none"; says "'bf16x6', 'bf16x3'"
LSTM_TILES=hardware run tiny.lua --out=none
exits 1 "LSTM_TILES that says nothing"; says "LSTM_TILES=hardware: unknown; expected software, avx512bf16 or amx"

run tiny.lua --dry-run precision=bf16
prints "precision   bf16, products by software, for want of AMX, or a fast AVX512-BF16 (AMD's): 'float' is faster here"
if LSTM_TILES= "$program" --version | grep -q '^tiles *avx512bf16'; then
    LSTM_TILES= run tiny.lua --dry-run precision=bf16
    prints "precision   bf16, products by AVX512-BF16"
    if grep -q faster out; then false; fi; result $? "  which is faster than float"
    LSTM_TILES= run tiny.lua --dry-run precision=bf16x3
    prints "precision   bf16x3, products by AVX512-BF16, for want of matrix units (AMX): 'float' is faster here"
    LSTM_TILES= run tiny.lua --out=vector precision=bf16
    log show vector
    matches "tiles +avx512bf16"
    run replay vector --out=by_software --threads=1
    exits 0 "a run by AVX512-BF16 is repeated by software"; prints "equal   steps 1 to 12 are the logged ones, bit for bit"
else
    skip "products by AVX512-BF16" "there is none here"
fi

LSTM_TILES=hardware run tiny.lua --dry-run
exits 1 "a dry run sees it, too"; says "LSTM_TILES=hardware: unknown"
LSTM_KERNEL=sse run tiny.lua --dry-run
exits 1 "LSTM_KERNEL that there is not"; says "LSTM_KERNEL=sse: unknown; expected scalar, avx2 or avx512"

# ---- stopped, resumed, repeated --------------------------------------------------------------------------------------

for stop in 5 8; do
    STOP_AT=$stop run tiny.lua --quiet --out=part
    [ $status -eq 75 ]; result $? "stopped after step $stop"
    run tiny.lua --quiet --resume part --threads=1
    exits 0 "  and gone on with, by one thread"
    same_checkpoint whole/checkpoint-latest.h5 part/checkpoint-latest.h5 >out 2>err
    result $? "  the same bits as without a stop"
    rm -r part
done
LSTM_KERNEL=scalar run replay whole --out=scalar --threads=1
exits 0 "repeated by another kernel"; prints "equal   steps 1 to 12 are the logged ones, bit for bit"
STOP_AT=6 run tiny.lua --quiet --out=part
run tiny.lua --quiet --resume part precision=float
exits 0 "gone on with in float"
log show part
matches "precision +float"
run replay part --from=2 --to=6
exits 0 "  the steps before that are repeated in bf16x6"; prints "equal   steps 1 to 6"

# ---- auto ------------------------------------------------------------------------------------------------------------

run tiny.lua --out=auto precision=auto
exits 0 "auto"
prints "numbers float (auto): no matrix units (AMX) here"
same_checkpoint plain/checkpoint-latest.h5 auto/checkpoint-latest.h5 >out 2>err
result $? "  is float here, bit for bit"
log show auto
matches "auto_units +false"
cat >as_with_units.lua <<'END'
local core = require "lstm.core"
core.auto_units(true)
local model <close> = core.model { vocab = 5, hidden = 512, precision = "auto" }
local wide <close> = model:trainer { batch = 64, seq = 1 }
local thin <close> = model:trainer { batch = 1, seq = 1 }
print(model.config.precision, wide.precision, thin.precision)
END
run as_with_units.lua
prints "auto	bf16x6	float"

done_testing
