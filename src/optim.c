/* SPDX-License-Identifier: MIT
 *
 * optim.c - gradient norm, clipping and one optimiser step, over pieces of the arena; and the table of passes.
 * Formulas as in PyTorch: AdamW (Loshchilov & Hutter 2019, algorithm 2), Adam (Kingma & Ba 2015) and SGD with momentum
 * and RMSprop (Tieleman & Hinton 2012) with the decay added to the gradient.
 */
#include "team.h"

#include <math.h>

/* x^n by squaring: libm's pow may differ in its last bit from system to system. */
static double power(double x, uint64_t n)
{
    double result = 1;
    for (; n; n >>= 1, x *= x)
        if (n & 1)
            result *= x;
    return result;
}

static double sum_over_pieces(const lstm_trainer *tr, size_t which)
{
    double sum = 0;
    for (size_t i = 0; i < tr->pieces; i++)
        sum += tr->piece_sums[4 * i + which];
    return sum;
}

/* Factor on the gradients: mean over accumulated passes, then clipping by the norm of that mean. */
static double gradient_scale(const lstm_trainer *tr)
{
    const double mean = 1 / (double)tr->counters.accumulated, norm = tr->update.grad_norm;
    if (tr->config.clip == LSTM_CLIP_NORM && norm > tr->config.clip_at)
        return mean * (tr->config.clip_at / (norm + 1e-6));
    return mean;
}

static void update_piece(const team *me, size_t i)
{
    const lstm_trainer *tr = me->tr;
    const lstm_trainer_config *c = &tr->config;
    const size_t at = tr->piece[i].offset;
    const uint64_t t = c->bias_correction == LSTM_CORRECTION_POWER ? tr->counters.updates + 1 : 1;
    kern_update u = {.n = tr->piece[i].length,
                     .w = (real *)tr->m->params + at,
                     .g = (real *)tr->grad + at,
                     .m = (real *)tr->m1 + at,
                     .v = (real *)tr->m2 + at,
                     .grad_scale = gradient_scale(tr),
                     .bound = c->clip == LSTM_CLIP_VALUE ? c->clip_at : (double)INFINITY,
                     .lr = c->lr,
                     .decay = tr->piece[i].decay ? c->weight_decay : 0,
                     .beta1 = c->beta1,
                     .beta2 = c->beta2,
                     .eps = c->eps,
                     .momentum = c->momentum,
                     .alpha = c->alpha,
                     .correct1 = 1 / (1 - power(c->beta1, t)),
                     .correct2 = 1 / sqrt(1 - power(c->beta2, t))};
    switch (c->optimizer) {
    case LSTM_ADAMW:
        me->kern->adam(&u);
        break;
    case LSTM_ADAM:
        me->kern->adam_l2(&u);
        break;
    case LSTM_SGD:
        me->kern->sgd(&u);
        break;
    case LSTM_RMSPROP:
        me->kern->rmsprop(&u);
        break;
    }
    tr->piece_sums[4 * i] = u.sum_w2;
    tr->piece_sums[4 * i + 1] = u.sum_d2;
    tr->piece_sums[4 * i + 2] = u.sum_g2;
    tr->piece_sums[4 * i + 3] = (double)u.clipped;
}

static void measure_gradient(const team *me, size_t first, size_t last)
{
    lstm_trainer *tr = me->tr;
    for (size_t i = first; i < last; i++)
        tr->piece_sums[4 * i] = me->kern->sum_squares((real *)tr->grad + tr->piece[i].offset, tr->piece[i].length);
    team_barrier(me);
    if (me->id == 0) {
        const double norm = sqrt(sum_over_pieces(tr, 0)) / (double)tr->counters.accumulated;
        tr->update = (lstm_update_stats){.grad_norm = norm, .clipped_norm = norm, .updated = isfinite(norm)};
    }
    team_barrier(me);
}

static void gather_stats(lstm_trainer *tr)
{
    lstm_update_stats *s = &tr->update;
    const bool scaled = tr->config.clip == LSTM_CLIP_NORM && s->grad_norm > tr->config.clip_at;
    const double w2 = sum_over_pieces(tr, 0);
    s->update_ratio = w2 > 0 ? sqrt(sum_over_pieces(tr, 1) / w2) : 0;
    s->clipped_norm = sqrt(sum_over_pieces(tr, 2));
    s->clipped_share = scaled ? 1 : sum_over_pieces(tr, 3) / (double)tr->m->layout.size;
    tr->counters.updates++;
}

static void update(team *me)
{
    size_t first, last;
    team_share(me, me->tr->pieces, &first, &last);
    measure_gradient(me, first, last);
    if (!me->tr->update.updated)
        return;
    for (size_t i = first; i < last; i++)
        update_piece(me, i);
    team_barrier(me);
    if (me->id == 0)
        gather_stats(me->tr);
    team_phase(me, LSTM_PHASE_UPDATE);
}

static void run_update(lstm_trainer *tr) { REAL_NAME(lstm_team_run)(tr, update); }
static const char *kernel_name(void) { return REAL_NAME(kern_select)()->name; }

static void apply(lstm_function f, void *values, size_t n)
{
    const kern *k = REAL_NAME(kern_select)();
    void (*const functions[])(real *, const real *, size_t) = {
        [LSTM_EXP] = k->exp, [LSTM_LOG] = k->log, [LSTM_SIGMOID] = k->sigmoid, [LSTM_TANH] = k->tanh,
    };
    functions[f](values, values, n);
}

void REAL_NAME(lstm_forward)(lstm_trainer *tr);
void REAL_NAME(lstm_backward)(lstm_trainer *tr);
void REAL_NAME(lstm_gate_gradients)(lstm_trainer *tr);
void REAL_NAME(lstm_state_gradients)(lstm_trainer *tr);

const lstm_passes REAL_NAME(lstm_passes) = {.kernel = kernel_name,
                                            .forward = REAL_NAME(lstm_forward),
                                            .backward = REAL_NAME(lstm_backward),
                                            .update = run_update,
                                            .gate_gradients = REAL_NAME(lstm_gate_gradients),
                                            .state_gradients = REAL_NAME(lstm_state_gradients),
                                            .apply = apply};
