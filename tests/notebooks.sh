#!/bin/sh
# SPDX-License-Identifier: MIT
#
# The demonstrations of the teaching notebooks (docs/notebooks.md): what they print, compared with stated values. The
# longer ones run in a short form. Speaks TAP.
set -u
. "${srcdir:-.}/tests/tap.sh"
[ "${SANITIZER:-no}" = no ] || skip_all "a comparison of numbers, which a sanitizer makes long"
case ${srcdir:-.} in /*) top=$srcdir ;; *) top=$PWD/${srcdir:-.} ;; esac
program=$PWD/lstmrun
cd "$work" || exit 99
OMP_NUM_THREADS=2
export OMP_NUM_THREADS

# demonstrate NAME [OPTION...]
demonstrate() {
    name=$1
    shift
    "$program" "$top/experiments/$name.lua" "$@" >out 2>err
    status=$?
    exits 0 "$name${*:+ $*}"
}
# number PATTERN: the first number that follows the pattern; "none" when there is none
number() {
    found=$(sed -n "s/^.*\($1\) *\(-\{0,1\}[0-9][0-9.e+-]*\).*/\2/p" out | head -1)
    echo "${found:-none}"
}
# holds CONDITION TEXT: an expression of awk with numbers
holds() {
    case $1 in *none*) false ;; *) awk "BEGIN { exit !($1) }" ;; esac
    result $? "  $2 ($1)"
}

# ---- a cell ---------------------------------------------------------------------------------------------------------

demonstrate cell
prints "step 1   h [-0.0034 -0.0019]   c [-0.0069 -0.0039]"
prints "step 4   h [-0.0021  0.0053]   c [-0.0042  0.0105]"
[ "$(grep -c 'equal: true' out)" = 4 ]; result $? "  four gate matrices are the joint one, at every step"
[ "$(grep '^  [logitsfgch]*	' out | tr '\t\n' ' ,')" = \
    "  logits [5, 8],  i [5, 2],  f [5, 2],  g [5, 2],  o [5, 2],  c [5, 2],  h [5, 2]," ]
result $? "  shapes of all that a step computes"
prints "output [2, 5, 20], h [2, 20], c [2, 20]"
holds "$(number 'differs by') <= 1e-15" "the engine's layer is this one"

demonstrate worked_example
[ "$(grep -c '^  as printed in the tutorial$' out)" = 3 ] && ! grep -q NOT out
result $? "  all digits are the tutorial's, at every step"
# Products computed by NumPy from the tutorial's weights.
prints "x W                [ 3.52810469  0.80031442  1.95747597  4.48178640  3.73511598 -1.95455576  1.90017684 -0.30271442]"
prints "f * c              [ 0.85261684  0.04489316]"
prints "h = o * tanh(c)    [ 0.99310023 -0.00257565]"

# ---- text generation ------------------------------------------------------------------------------------------------

demonstrate generation
prints "vocabulary  18 characters"
prints "'hello' is 6 3 8 8 11, and back 'hello'"
prints "51 of 10 characters"
matches "embedding.weight +\[18, 16\]"
matches "lstm.weight_ih_l1 +\[128, 32\]"
matches "embedded +\[10, 51, 16\]"
matches "logits +\[10, 51, 18\]"
holds "$(number ' loss') - 2.8904 < 0.05" "an untrained model guesses"
[ "$(grep -c "|h| 0\.[0-9]* |c| .*layer 1: |h| 0\." out)" = 5 ]; result $? "  norms for each of five tokens"
holds "$(number '100 steps *loss') < 0.3" "the small model learns"
matches "trained, at 0.5 .*is a simple example for lstm text generation"

for seed in 1 2 3; do
    demonstrate hello --out=hello-$seed seed=$seed
    prints "greedy           hello world hello world hello world"
    prints "temperature 0.5  hello world hello world hello world"
    holds "$(number 'epoch *10 *loss') > 2 * $(number 'epoch *50 *loss')" "the loss falls"
done

# ---- gates, activations, units --------------------------------------------------------------------------------------

demonstrate gates --out=gates
prints "parameters  5760; with a second bias, as PyTorch has it, 80 more a layer: 5920, nn.LSTM's number"
prints "output      [20, 1, 20]"
prints "h_n, c_n    [1, 20] and [1, 20] in each of 2 layers"
[ "$(grep -cE '^  [0-9]+ +0\.[3-7][0-9]* +0\.[3-7][0-9]* +0\.[3-7][0-9]* +0\.' out)" = 40 ]
result $? "  mean gates of an untrained network are about a half, at 20 steps of 2 layers"

for seed in 1 2 3; do
    demonstrate activations --out=activations-$seed seed=$seed units=128 batch=16 seq=4
    std() { number "  $1  $2  *[^ ]*"; }
    # Each layer multiplies the deviation by sqrt(128) times that of its weights: 0.113^10 = 3e-10 for the random ones;
    # four times as much and as little for samples so few.
    holds "$(std tanh random) < 12e-10 && $(std tanh random) > 1e-10" "tanh, random: nothing is left"
    holds "$(std tanh Xavier) > 0.1 && $(std tanh Xavier) < 0.4" "tanh, Xavier: kept"
    holds "$(std relu Xavier) < 0.1 * $(std relu He) && $(std relu He) > 0.2 && $(std relu He) < 3" "ReLU wants He"
    holds "$(std lstm random) < 1e-7 && $(std lstm He) > $(std lstm Xavier)" "layers of an LSTM"
done
prints "-2  0.0000   0.1192  -0.9640"
prints "3   3.0000   0.9526   0.9951"

# A play in which everything can be kept track of. The correlations are recomputed from the log: a passage of 100
# characters is logged whole.
i=0
while [ $i -lt 900 ]; do
    i=$((i + 1))
    case $((i * 7 % 5)) in 0) who=KING ;; 1) who=FOOL ;; *) who=QUEEN ;; esac
    printf '\n%s:\nthe day is %s\nand "so it is"\n' $who "$(printf %$((i % 4))s | tr ' ' o)ld"
done >play
cat >correlate.py <<'END'
import re, sys, h5py, numpy as np
log = h5py.File(sys.argv[1] + "/log.h5")
step, symbols = log["units/step"][-1], [s.decode() for s in log["units/time"][:]]
place = [k - 1 - max([j for j in range(k) if symbols[j] == "\n"], default=-1) for k in range(1, len(symbols) + 1)]
for name in "place in the line", "name of a speaker", "inside quotation marks":
    signal, cell = log["units/" + name][-1]
    said = float(re.search(f"step +{step} +{name} .*r = +(-?[0-9.]+)", open("out").read())[1])
    ok = abs(np.corrcoef(signal, cell)[0, 1] - said) < 0.00501 and abs(said) > 0.5
    ok = ok and (name[0] != "p" or np.allclose(signal, (place - np.mean(place)) / np.std(place)))
    print("ok" if ok else "wrong", name)
END
find_python h5py
for seed in 1 2; do
    demonstrate units --out=units-$seed seed=$seed data=play hidden=32 steps=120 passage=100
    if [ "$python" = none ]; then
        skip "  correlations as logged" "no Python with h5py"
    else
        "$python" correlate.py units-$seed >correlated && [ "$(grep -c '^ok' correlated)" = 3 ]
        result $? "  units that keep track of places in the line, names, quotes; correlations as logged"
    fi
done

# ---- from scratch ---------------------------------------------------------------------------------------------------

# errors PATTERN: the four numbers of a row of gradient_check, one a line, from the smallest to the largest
errors() { sed -n "s/^$1  *\([0-9]e.*\)/\1/p" out | tr -s ' ' '\n' | sort -g; }
for seed in 1 2 3; do
    demonstrate gradient_check seed=$seed
    # In double precision with eps 1e-5 the comparison is good to about 1e-9; a mistake makes some per cent.
    holds "$(errors "by hand" | tail -1) < 1e-7" "by hand: finite differences say the same"
    holds "$(errors "the engine" | tail -1) < 1e-7" "and of the engine's"
    holds "$(errors "by hand, 1 - tanh(g)^2 for the candidate" | head -1) > 1e-3" "a wrong candidate shows in every gate"
    holds "$(errors "by hand, output gate left out" | tail -1) == 1" "an output gate left out"
done

# Of the play a small network needs about a thousand iterations to be below the same 46.
for seed in 1 2 3; do
    demonstrate from_scratch --out=scratch-$seed seed=$seed data=play hidden=64 steps=2000 --threads=1
    symbols=$(number "bytes,")
    holds "($(number "iteration *0  smoothed loss") - 28 * log($symbols)) ^ 2 < 0.0001" "begins at 28 ln V"
    matches "^iteration +[0-9]+  smoothed loss +45\.9"
    [ "$(sed '1,/^iteration.*loss  45/d; /^done/d' out | grep -v ' tok/s ' | wc -c)" -ge 150 ]; result $? "  predict('c', 150)"
done
grep '^iteration' out >power
demonstrate from_scratch --out=scratch-faithful seed=3 data=play hidden=64 steps=2000 --threads=1 faithful=true
matches "^iteration +[0-9]+  smoothed loss +45\.9"
[ "$(grep '^iteration' out)" != "$(cat power)" ]; result $? "  the notebook's optimiser takes other steps"

# ---- two networks trained as one ------------------------------------------------------------------------------------

for seed in 1 2 3; do
    demonstrate reverse --out=reverse-$seed length=4 letters=5 hidden=32 steps=400 eval_every=400 seed=$seed
    # An encoder that does not learn leaves it at 87 to 91 %.
    holds "$(number 'new words:') > 98" "new words backwards"
done

# ---- backpropagation through time, vanishing gradients --------------------------------------------------------------

for seed in 1 2 3; do
    demonstrate bptt --out=bptt-$seed seed=$seed
    prints "h [20, 1, 20]"
    [ "$(grep -cE '^[0-9]+ +[0-9.]+ +[0-9.]+e[+-][0-9]+$' out)" = 20 ]; result $? "  a gradient at each of 20 steps"
    holds "$(number "^25 ") < 1e-2 && $(number "^100 ") < 1e-8" "gradients of a vanilla RNN vanish"
done
matches "^10 .* 3\.49e-01" # 0.9^10 and 0.9^100
matches "^100 .* 2\.66e-05"
matches "^100 +false"
matches "^0\.1 +true +[0-9.]+ +0\.1000"

for seed in 1 101; do
    demonstrate retention --out=retention-$seed seed=$seed # 20 networks each
    for T in 10 25 50 100 200; do
        # shellcheck disable=SC2046
        set -- $(grep "^$T " out) # T, RNN, LSTM, LSTM with forget bias 1
        holds "$4 > 10 * $3" "T = $T: an LSTM whose forget gates begin open keeps more"
    done
    holds "$4 > 1e5 * $2" "and much more than an RNN"
done
demonstrate retention_sweep --out=retention-sweep init=orthogonal --jobs=1
prints "5 done"

# ---- memory: the same criteria, over fewer steps --------------------------------------------------------------------

for seed in 1 2 3; do
    demonstrate remember --out=adding-$seed seed=$seed T=20 hidden=32 steps=600 --threads=1
    matches "^adding, lstm: solved at step [0-9]+, loss 0\.00"
done
demonstrate remember --out=adding-rnn cell=rnn T=30 hidden=32 steps=200 --threads=1
prints "adding, rnn: not solved at step 200"
demonstrate remember --out=copy preset=copy T=5 length=2 hidden=32 steps=1000 --threads=1
matches "^copy, lstm: solved at step [0-9]+, loss 0\.0[0-9]+, (99|100)\.[0-9]% right"
demonstrate remember --out=reber preset=reber T=20 length=9 hidden=32 steps=1000 --threads=1
matches "^reber, lstm: solved at step [0-9]+, loss 0\.[0-9]+, 100\.0% right"
demonstrate remember --out=reber-rnn preset=reber cell=rnn T=20 length=9 hidden=32 steps=100 --threads=1
prints "reber, rnn: not solved at step 100"

done_testing
