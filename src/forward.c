/* SPDX-License-Identifier: MIT
 *
 * forward.c - the forward pass: inputs, layers, dropout, head, loss. See engine.h for the layout, kern.h for the
 * arithmetic of a block.
 */
#include "tiled.h"

#include <math.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* ---- the team --------------------------------------------------------------------------------------------------------- */

#ifdef LSTM_X86_KERNELS
extern const kern REAL_NAME(kern_avx2), REAL_NAME(kern_avx512);
#endif
extern const kern REAL_NAME(kern_scalar);

const kern *REAL_NAME(kern_select)(void)
{
    switch (lstm_machine_isa(NULL)) {
#ifdef LSTM_X86_KERNELS
    case LSTM_ISA_AVX512:
        return &REAL_NAME(kern_avx512);
    case LSTM_ISA_AVX2:
        return &REAL_NAME(kern_avx2);
#endif
    default:
        return &REAL_NAME(kern_scalar);
    }
}

/* This thread's units or rows. Rows that lie in one tile stay together. */
static void take_share(team *me)
{
    const size_t B = me->tr->config.batch, side = tiled(me) ? TILE_SIDE : 1;
    me->g1 = me->y->G;
    me->r1 = B;
    me->by_rows = lstm_team_by_rows(me->tr, me->count);
    if (!me->by_rows) {
        team_share(me, me->g1, &me->g0, &me->g1);
        return;
    }
    team_share(me, (B + side - 1) / side, &me->r0, &me->r1);
    me->r0 *= side;
    me->r1 = me->r1 * side < B ? me->r1 * side : B;
}

static void run_member(lstm_trainer *tr, void (*pass)(team *me), size_t id, size_t count)
{
    team me = {.tr = tr, .y = &tr->m->layout, .kern = REAL_NAME(kern_select)(), .id = id, .count = count};
    const unsigned saved = lstm_denormals_flush();
    take_share(&me);
    if (id == 0 && tr->profile)
        tr->phase_start = lstm_clock();
    if (tiled(&me))
        REAL_NAME(tiled_run)(&me, pass);
    else
        pass(&me);
    lstm_denormals_restore(saved);
}

void REAL_NAME(lstm_team_run)(lstm_trainer *tr, void (*pass)(team *me))
{
#ifdef _OPENMP
    const int n = (int)lstm_team_size(tr);
#pragma omp parallel num_threads(n)
    run_member(tr, pass, (size_t)omp_get_thread_num(), (size_t)omp_get_num_threads());
#else
    run_member(tr, pass, 0, 1);
#endif
}

/* ---- inputs ----------------------------------------------------------------------------------------------------------- */

/* The row of layer 0's input at (t, b): an embedding's row or the caller's vector. */
static const real *input_row(const team *me, size_t t, size_t b)
{
    const lstm_batch *batch = &me->tr->batch;
    const size_t at = t * me->tr->config.batch + b;
    if (me->y->embedding != SIZE_MAX) {
        const real *table = (const real *)me->tr->m->params + me->y->param[me->y->embedding].offset;
        return table + (size_t)batch->ids[at] * me->y->in_blocks * NB;
    }
    return (const real *)batch->x + at * me->y->in;
}

/* Layer 0's dense input into blocks. */
static void gather_input(const team *me)
{
    const size_t B = me->tr->config.batch, width = me->y->in;
    real *x = me->tr->layer[0].x;
    size_t t0, t1;
    team_share(me, me->tr->steps, &t0, &t1);
    for (size_t t = t0; t < t1; t++)
        for (size_t b = 0; b < B; b++) {
            const real *row = input_row(me, t, b);
            for (size_t k = 0; k < width; k += NB)
                memcpy(x + ((t * me->y->in_blocks + k / NB) * B + b) * NB, row + k,
                       (width - k < NB ? width - k : NB) * sizeof(real));
        }
    if (tiled(me))
        REAL_NAME(tiled_input)(me, 0, x, t0, t1);
}

/* out = h after dropout (Srivastava et al. 2014, inverted); all blocks of this thread's time steps. Mask `place` (a
 * layer, or L for the head's) differs for each place, pass and element of the whole batch; the probability is kept to 16
 * bits. In evaluation nothing is dropped. */
static void drop(const team *me, real *out, real *mask, const real *h, size_t place)
{
    const lstm_model_config *c = &me->tr->m->config;
    const size_t B = me->tr->config.batch, unit = unit_step(me), groups = (c->hidden + 7) / 8;
    const size_t whole = lstm_whole_batch(&me->tr->config), row = me->tr->config.partners.first;
    const uint32_t threshold = (uint32_t)(c->dropout * 65536 + 0.5);
    const real keep = (real)(1 / (1 - c->dropout));
    const uint64_t stream = LSTM_STREAM_DROPOUT | (uint64_t)place << 48 | me->tr->counters.passes;
    size_t t0, t1;
    team_share(me, me->tr->steps, &t0, &t1);
    for (size_t t = t0; t < t1; t++) {
        real *m = mask + t * unit;
        if (me->tr->training)
            me->kern->dropout(m, B, c->hidden, B * NB, c->seed, stream, ((uint64_t)t * whole + row) * groups, threshold,
                              keep);
        else
            for (size_t i = 0; i < unit; i++)
                m[i] = 1;
        me->kern->multiply(out + t * unit, h + t * unit, m, unit);
    }
    if (tiled(me) && (place < me->y->L || tiled_head(me)))
        REAL_NAME(tiled_input)(me, place, out, t0, t1);
}

/* ---- a layer ---------------------------------------------------------------------------------------------------------- */

/* Whether the products of a piece go to tr->near, all of them one after the other, rather than to where its gates will
 * be: written and read in the first cache, they cost no memory's time. Of few rows the weights' time counts, of which
 * those of inputs are better used for many time steps at once; an RNN's piece is wider than the place. */
static bool near(const team *me) { return tiled(me) && me->y->gates == PANEL && me->r1 - me->r0 >= 2 * TILE_SIDE; }

/* Whether gates and h of a layer, which are read again when all others have been computed, are stored past the caches: if
 * they are more than the second one holds (2 MB, of a processor with matrix units). */
static bool streams(const team *me)
{
    return near(me) && me->tiles.stream && me->tr->steps * gate_step(me) / me->count > ((size_t)2 << 20) / sizeof(real);
}

/* Gates of the units from block g on at time t, for this thread's rows: [rows][4][NB]. */
static real *gates_of(const team *me, size_t l, size_t t, size_t g)
{
    return team_gates(me, me->tr->layer[l].z, t, g);
}

/* Where their products are before that. */
static real *products_of(const team *me, size_t l, size_t t, size_t g)
{
    return near(me) ? team_near(me) : gates_of(me, l, t, g);
}

/* z (+)= x W^T at one time step, for the gates of a piece's units and this thread's rows. x: blocks of k numbers. */
static void gate_product(const team *me, const team_piece *p, real *z, const real *x, const real *w, size_t k, bool add)
{
    const size_t B = me->tr->config.batch, row = PANEL * NB;
    me->kern->product(&(kern_product){.rows = me->r1 - me->r0,
                                      .blocks = p->blocks * me->y->gates,
                                      .k = k,
                                      .len = NB,
                                      .a = x + me->r0 * NB,
                                      .a_row = NB,
                                      .a_k = 1,
                                      .a_chunk = B * NB,
                                      .b = w + p->panel * k * row + p->first * NB,
                                      .b_k = row,
                                      .b_chunk = NB * row,
                                      .c = z,
                                      .c_row = row,
                                      .c_block = NB,
                                      .add = add});
}

/* Non-linearities of block g at time t, for this thread's rows. z: its products, [rows][4][NB]. */
static void cell(const team *me, size_t l, size_t t, size_t g, const real *z)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch, unit = unit_step(me), row = PANEL * NB;
    const size_t at = t * unit + (g * B + me->r0) * NB;
    const size_t panel = g * me->y->gates / PANEL, lane = g * me->y->gates % PANEL * NB;
    const size_t k = me->y->param[me->y->wih[l]].packed.k;
    const real *bias = weights(me, me->y->bias[l]) + panel * row + lane;
    const real *table = weights(me, me->y->wih[l]) + panel * k * row + lane;
    const int32_t *ids = w->k ? NULL : me->tr->batch.ids + t * B + me->r0;
    const kern_lstm_forward lstm = {.rows = me->r1 - me->r0,
                                    .z = z,
                                    .gates = gates_of(me, l, t, g),
                                    .bias = bias,
                                    .table = table,
                                    .ids = ids,
                                    .c_prev = (real *)w->c + at,
                                    .c = (real *)w->c + at + unit,
                                    .h = (real *)w->h + at + unit,
                                    .mixed = mixed(me),
                                    .stream = streams(me)};
    const kern_rnn_forward rnn = {
        .rows = lstm.rows, .z_row = row, .z = z, .bias = bias, .table = table, .ids = ids, .h = lstm.h};
    if (me->y->gates == 1)
        me->kern->rnn_forward(&rnn);
    else if (tiled(me))
        REAL_NAME(tiled_cell)(me, l, t + 1, g, &lstm);
    else
        me->kern->lstm_forward(&lstm);
}

/* The part of the gates that comes from a dense input, for all time steps. */
static void input_products(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t steps = me->tr->steps, x_step = (w->k + NB - 1) / NB * me->tr->config.batch * NB;
    const size_t width = PANEL / me->y->gates, pieces = team_pieces(me->g0, me->g1, width);
    const size_t times = tiled(me) ? REAL_NAME(tiled_times)(me, &w->x_tiles)
                                   : team_times(x_step * sizeof(real));
    const real *weight = weights(me, me->y->wih[l]);
    for (size_t from = 0; from < steps; from += times)
        for (size_t i = 0; i < pieces; i++) {
            const team_piece p = team_piece_at(me->g0, me->g1, width, i, false);
            for (size_t t = from; t < from + times && t < steps; t++) {
                real *z = gates_of(me, l, t, p.panel * width + p.first);
                if (tiled(me))
                    REAL_NAME(tiled_input_gates)(me, &p, l, t, z);
                else
                    gate_product(me, &p, z, (const real *)w->x + t * x_step, weight, w->k, false);
            }
        }
}

/* z += h W^T at time t; or all of z, where that is not yet there. */
static void recurrent_product(const team *me, const team_piece *p, size_t l, size_t t, real *z)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    if (w->k && near(me))
        REAL_NAME(tiled_input_gates)(me, p, l, t, z);
    if (tiled(me))
        REAL_NAME(tiled_recurrent_gates)(me, p, l, t, z);
    else
        gate_product(me, p, z, (const real *)w->h + t * unit_step(me), weights(me, me->y->whh[l]), me->y->H, w->k > 0);
}

/* The cells of a piece; z: its products. */
static void cells(const team *me, size_t l, size_t t, size_t first, size_t count, const real *z)
{
    for (size_t g = first; g < first + count; g++) {
        cell(me, l, t, g, z + (g - first) * NB);
        if (tiled(me) && me->y->gates == 1)
            REAL_NAME(tiled_state)(me, l, t + 1, g);
    }
}

/* The initial state in tiles. */
static void begin_states(const team *me, size_t l)
{
    for (size_t g = me->g0; g < me->g1; g++)
        REAL_NAME(tiled_state)(me, l, 0, g);
}

static void layer(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t width = PANEL / me->y->gates, pieces = team_pieces(me->g0, me->g1, width);
    if (tiled(me))
        begin_states(me, l);
    if (w->k && !near(me))
        input_products(me, l);
    if (tiled(me) && !me->by_rows)
        team_barrier(me);
    team_phase(me, LSTM_PHASE_INPUT);
    for (size_t t = 0; t < me->tr->steps; t++) {
        for (size_t i = 0; i < pieces; i++) {
            const team_piece p = team_piece_at(me->g0, me->g1, width, i, t & 1);
            const size_t first = p.panel * width + p.first;
            real *z = products_of(me, l, t, first);
            recurrent_product(me, &p, l, t, z);
            cells(me, l, t, first, p.blocks, z);
        }
        if (!me->by_rows)
            team_barrier(me);
    }
    if (me->by_rows)
        team_barrier(me);
    team_phase(me, LSTM_PHASE_FORWARD);
}

/* ---- head and loss ---------------------------------------------------------------------------------------------------- */

static void head_products(const team *me)
{
    const size_t B = me->tr->config.batch, stride = me->y->o_stride, row = me->y->o_per_panel * NB;
    const size_t panels = stride / row;
    size_t first, last;
    team_share(me, me->tr->steps * panels, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t t = i / panels, panel = i % panels, blocks = me->y->o_blocks - panel * me->y->o_per_panel;
        me->kern->product(
            &(kern_product){.rows = B,
                            .blocks = blocks < me->y->o_per_panel ? blocks : me->y->o_per_panel,
                            .k = me->y->H,
                            .len = NB,
                            .a = (const real *)me->tr->head_x + t * unit_step(me),
                            .a_row = NB,
                            .a_k = 1,
                            .a_chunk = B * NB,
                            .b = weights(me, me->y->head) + panel * me->y->H * row,
                            .b_k = row,
                            .b_chunk = NB * row,
                            .c = (real *)me->tr->logits + t * B * stride + panel * row,
                            .c_row = stride,
                            .c_block = NB});
    }
}

static void losses(const team *me)
{
    lstm_trainer *tr = me->tr;
    const lstm_batch *batch = &tr->batch;
    const bool targets = batch->target_ids || batch->target;
    const size_t stride = me->y->o_stride;
    size_t first, last;
    team_share(me, tr->steps * tr->config.batch, &first, &last);
    for (size_t k = first; k < last; k++) {
        const double weight = targets ? tr->weight_at[k] : 0;
        const bool counts = weight > 0;
        const kern_output out = {.n = me->y->O,
                                 .y = (real *)tr->logits + k * stride,
                                 .d = tr->dlogits ? (real *)tr->dlogits + k * stride : NULL,
                                 .bias = weights(me, me->y->head_bias),
                                 .scale = counts ? weight * tr->loss_scale : 0};
        double loss;
        if (tr->m->config.loss == LSTM_LOSS_MSE)
            loss = me->kern->squares(&out, counts ? (const real *)batch->target + k * me->y->O : NULL);
        else
            loss = me->kern->softmax(&out, counts ? batch->target_ids[k] : -1);
        tr->loss_at[k] = counts ? weight * loss : targets ? 0 : (double)NAN;
    }
}

static void forward(team *me)
{
    lstm_trainer *tr = me->tr;
    const size_t L = me->y->L;
    const bool pack = tiled(me) && !tr->batch.same_weights;
    if (pack)
        REAL_NAME(tiled_weights)(me);
    if (me->y->in)
        gather_input(me);
    if (pack || me->y->in)
        team_barrier(me);
    for (size_t l = 0; l < L; l++) {
        lstm_layer_work *w = &tr->layer[l];
        if (w->mask) {
            drop(me, w->x, w->mask, (const real *)tr->layer[l - 1].h + unit_step(me), l);
            team_barrier(me);
        }
        layer(me, l);
    }
    if (tr->head_mask) {
        drop(me, tr->head_x, tr->head_mask, (const real *)tr->layer[L - 1].h + unit_step(me), L);
        team_barrier(me);
    }
    if (tiled_head(me))
        REAL_NAME(tiled_outputs)(me);
    else
        head_products(me);
    team_barrier(me);
    losses(me);
    team_barrier(me);
    if (me->id == 0) {
        double sum = 0;
        for (size_t k = 0; k < tr->steps * tr->config.batch; k++)
            sum += tr->loss_at[k];
        tr->loss = sum * tr->loss_scale;
    }
    team_phase(me, LSTM_PHASE_HEAD);
}

void REAL_NAME(lstm_forward)(lstm_trainer *tr);
void REAL_NAME(lstm_forward)(lstm_trainer *tr)
{
    REAL_NAME(lstm_team_run)(tr, forward);
}
