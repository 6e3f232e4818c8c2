/* SPDX-License-Identifier: MIT
 *
 * backward.c - backpropagation through time (Werbos 1990; for the LSTM with full gradients: Graves & Schmidhuber 2005).
 *
 * Going back through a layer, each thread owns the same blocks of units as in the forward pass. The weight gradients
 * are one long product over all (t, b) after the time loop.
 */
#include "tiled.h"

#include <string.h>

static real *gradient(const team *me, size_t param)
{
    return (real *)me->tr->grad + me->y->param[param].offset;
}

/* ---- once a pass: transposed weights, gradients that are added to ------------------------------------------------------- */

/* out [panel of the k inputs][column][4 blocks] from the packed w; columns: the real ones of each panel of w. */
static void transpose_packed(const team *me, real *out, const real *w, const lstm_packed *p, size_t columns)
{
    const size_t row = p->per_panel * NB, out_row = PANEL * NB;
    const size_t panels = lstm_packed_panels(p), out_panels = (p->k + out_row - 1) / out_row;
    size_t first, last;
    team_share(me, panels * out_panels, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t from = i / out_panels, to = i % out_panels;
        const size_t rows = p->k - to * out_row, width = columns - from * row;
        me->kern->transpose(out + (to * columns + from * row) * out_row, out_row, w + (from * p->k + to * out_row) * row,
                            row, rows < out_row ? rows : out_row, width < row ? width : row);
    }
}

static void transpose_all(const team *me)
{
    const size_t columns = me->y->panels * PANEL * NB;
    if (tiled(me))
        REAL_NAME(tiled_transposed_weights)(me);
    for (size_t l = 0; l < me->y->L && !tiled(me) && !me->tr->lanes; l++) {
        const lstm_layer_work *w = &me->tr->layer[l];
        const lstm_param *hh = &me->y->param[me->y->whh[l]], *ih = &me->y->param[me->y->wih[l]];
        transpose_packed(me, w->whh_t, weights(me, me->y->whh[l]), &hh->packed, columns);
        if (w->k)
            transpose_packed(me, w->wih_t, weights(me, me->y->wih[l]), &ih->packed, columns);
    }
    if (!tiled_head(me))
        transpose_packed(me, me->tr->head_t, weights(me, me->y->head), &me->y->param[me->y->head].packed, me->y->O);
}

/* The gradients of biases, one-hot weights and embedding are added to row by row; the others are written whole. */
static void zero_sums(const team *me)
{
    for (size_t k = 0; k < me->y->params; k++) {
        const lstm_param *p = &me->y->param[k];
        const bool sum = p->kind == LSTM_KIND_BIAS || p->kind == LSTM_KIND_HEAD_BIAS || p->kind == LSTM_KIND_EMBEDDING ||
                         (p->kind == LSTM_KIND_INPUT && p->layer == 0 && !me->y->in);
        size_t first, last;
        team_share(me, p->length / NB, &first, &last);
        if (sum)
            memset(gradient(me, k) + first * NB, 0, (last - first) * NB * sizeof(real));
    }
}

/* ---- products ----------------------------------------------------------------------------------------------------------- */

/* c = dz W for a piece of the inputs' blocks and this thread's rows, at time t: gradients of the input of the product
 * with W, which is weight_ih (input) or weight_hh of layer l. c: [block][B][NB]. */
static void input_product(const team *me, const team_piece *p, size_t l, size_t t, bool input, real *c)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch, row = PANEL * NB, k = me->y->panels * row;
    const size_t first = p->panel * PANEL + p->first, param = input ? me->y->wih[l] : me->y->whh[l];
    const real *dz = (const real *)w->dz + t * gate_step(me), *w_t = input ? w->wih_t : w->whh_t;
    if (tiled(me)) {
        REAL_NAME(tiled_input_product)(me, p, l, t, t + 1, input, c, 0);
        return;
    }
    if (me->tr->lanes) {
        const size_t width = me->y->param[param].packed.k, last = (first + p->blocks) * NB;
        me->kern->thin(&(kern_thin){.rows = B,
                                    .panels = me->y->panels,
                                    .k = width,
                                    .first = first * NB,
                                    .last = last < width ? last : width,
                                    .w = weights(me, param),
                                    .d = dz,
                                    .c = c,
                                    .lanes = me->tr->lanes});
        return;
    }
    me->kern->product(&(kern_product){.rows = me->r1 - me->r0,
                                      .blocks = p->blocks,
                                      .k = k,
                                      .len = row,
                                      .a = dz + me->r0 * row,
                                      .a_row = row,
                                      .a_k = 1,
                                      .a_chunk = B * row,
                                      .b = w_t + p->panel * k * row + p->first * NB,
                                      .b_k = row,
                                      .b_chunk = row * row,
                                      .c = c + (first * B + me->r0) * NB,
                                      .c_row = NB,
                                      .c_block = B * NB});
}

/* Blocks in the pieces that input_product is called with: a panel, or all at once where W is streamed. */
static size_t piece_width(const team *me)
{
    return tiled(me) ? TILED_BLOCKS : me->tr->lanes ? SIZE_MAX / 2 : PANEL;
}

/* One panel's share of a weight gradient: dW[k][n] = sum over t, b of x[t][k][b] d[t][b][n]. */
typedef struct outer {
    const real *x;     /* blocks of k numbers */
    size_t x_step, k;
    const real *d;     /* this panel's columns */
    size_t d_step, d_row, blocks;
    real *dw;          /* [k][row] */
    size_t row;
} outer;

/* (t, b) in pieces of about this many, so that a piece of d stays near while the rows of dW go by; and in chunks of
 * about this many, so that a chunk of x stays in the last caches while the panels go by. Neither changes the order in
 * which an element is summed. */
#define OUTER_DEPTH 256
#define OUTER_CHUNK 1024

static size_t times_of(const team *me, size_t rows)
{
    return rows / me->tr->config.batch ? rows / me->tr->config.batch : 1;
}

/* Time steps [from, to) of one panel. */
static void outer_product(const team *me, const outer *o, size_t from, size_t to)
{
    const size_t B = me->tr->config.batch, times = times_of(me, OUTER_DEPTH);
    for (size_t t = from; t < to; t += times) {
        const size_t count = to - t < times ? to - t : times;
        for (size_t k = 0; k < o->k; k += NB)
            me->kern->product(&(kern_product){.rows = o->k - k < NB ? o->k - k : NB,
                                              .blocks = o->blocks,
                                              .k = count * B,
                                              .len = B,
                                              .a = o->x + t * o->x_step + k * B,
                                              .a_row = 1,
                                              .a_k = NB,
                                              .a_chunk = o->x_step,
                                              .b = o->d + t * o->d_step,
                                              .b_k = o->d_row,
                                              .b_chunk = o->d_step,
                                              .c = o->dw + k * o->row,
                                              .c_row = o->row,
                                              .c_block = NB,
                                              .add = t > 0 || me->tr->counters.accumulated > 0});
    }
}

/* Gradient of a packed matrix of gates; panels are dealt out to the threads. */
static void gate_weights(const team *me, size_t l, size_t param, const real *x, size_t x_step)
{
    const size_t B = me->tr->config.batch, row = PANEL * NB, steps = me->tr->steps, times = times_of(me, OUTER_CHUNK);
    const lstm_packed *p = &me->y->param[param].packed;
    size_t first, last;
    team_share(me, me->y->panels, &first, &last);
    for (size_t from = 0; from < steps; from += times)
        for (size_t panel = first; panel < last; panel++) {
            const size_t blocks = p->blocks - panel * PANEL;
            outer_product(me,
                          &(outer){.x = x,
                                   .x_step = x_step,
                                   .k = p->k,
                                   .d = (const real *)me->tr->layer[l].dz + panel * B * row,
                                   .d_step = gate_step(me),
                                   .d_row = row,
                                   .blocks = blocks < PANEL ? blocks : PANEL,
                                   .dw = gradient(me, param) + panel * p->k * row,
                                   .row = row},
                          from, steps - from < times ? steps : from + times);
        }
}

static void layer_weights(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    if (tiled(me)) {
        REAL_NAME(tiled_weight_gradients)(me, l);
        return;
    }
    if (w->k)
        gate_weights(me, l, me->y->wih[l], w->x, (w->k + NB - 1) / NB * me->tr->config.batch * NB);
    gate_weights(me, l, me->y->whh[l], w->h, unit_step(me));
}

/* ---- head --------------------------------------------------------------------------------------------------------------- */

static void head_products_back(const team *me)
{
    const size_t B = me->tr->config.batch, stride = me->y->o_stride, row = me->y->o_per_panel * NB, H = me->y->H;
    const size_t panels = stride / row, slices = me->y->G;
    real *dw = gradient(me, me->y->head);
    size_t first, last;
    team_share(me, panels * slices, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t panel = i / slices, slice = i % slices, blocks = me->y->o_blocks - panel * me->y->o_per_panel;
        outer_product(me, &(outer){.x = (const real *)me->tr->head_x + slice * B * NB,
                                   .x_step = unit_step(me),
                                   .k = H - slice * NB < NB ? H - slice * NB : NB,
                                   .d = (const real *)me->tr->dlogits + panel * row,
                                   .d_step = B * stride,
                                   .d_row = stride,
                                   .blocks = blocks < me->y->o_per_panel ? blocks : me->y->o_per_panel,
                                   .dw = dw + (panel * H + slice * NB) * row,
                                   .row = row},
                      0, me->tr->steps);
    }
}

static void head_weights(const team *me)
{
    const size_t B = me->tr->config.batch, stride = me->y->o_stride;
    real *db = gradient(me, me->y->head_bias);
    size_t first, last;
    if (tiled_head(me))
        REAL_NAME(tiled_head_weights)(me);
    else
        head_products_back(me);
    team_share(me, me->y->o_blocks, &first, &last);
    for (size_t k = 0; first < last && k < me->tr->steps * B; k++)
        me->kern->add(db + first * NB, (const real *)me->tr->dlogits + k * stride + first * NB, (last - first) * NB);
}

/* dL/dh of the top layer at time t, for a piece of its blocks. */
static void head_input(const team *me, const team_piece *p, size_t t, real *dh)
{
    const size_t B = me->tr->config.batch, row = PANEL * NB, O = me->y->O;
    me->kern->product(&(kern_product){.rows = me->r1 - me->r0,
                                      .blocks = p->blocks,
                                      .k = O,
                                      .len = O,
                                      .a = (const real *)me->tr->dlogits + (t * B + me->r0) * me->y->o_stride,
                                      .a_row = me->y->o_stride,
                                      .a_k = 1,
                                      .b = (const real *)me->tr->head_t + p->panel * O * row + p->first * NB,
                                      .b_k = row,
                                      .c = dh + ((p->panel * PANEL + p->first) * B + me->r0) * NB,
                                      .c_row = NB,
                                      .c_block = B * NB});
}

/* dL/dh of the top layer from the logits, for this thread's blocks and rows, at time steps [from, to). */
static void head_inputs(const team *me, size_t from, size_t to)
{
    const size_t width = tiled_head(me) ? TILED_BLOCKS : PANEL;
    const size_t times = tiled_head(me) ? REAL_NAME(tiled_times)(me, &me->tr->dy) : 1;
    for (size_t t = from; t < to; t += times)
        for (size_t i = 0; i < team_pieces(me->g0, me->g1, width); i++) {
            const team_piece p = team_piece_at(me->g0, me->g1, width, i, false);
            real *dh = (real *)me->tr->layer[me->y->L - 1].dh + t * unit_step(me);
            if (tiled_head(me))
                REAL_NAME(tiled_head_inputs)(me, &p, t, t + times < to ? t + times : to, dh);
            else
                head_input(me, &p, t, dh);
        }
}

/* d *= mask for this thread's blocks and rows at time steps [from, to), where there was dropout. */
static void undrop(const team *me, real *d, const real *mask, size_t from, size_t to)
{
    const size_t B = me->tr->config.batch, n = (me->r1 - me->r0) * NB;
    for (size_t t = from; mask && t < to; t++)
        for (size_t g = me->g0; g < me->g1; g++) {
            const size_t at = t * unit_step(me) + (g * B + me->r0) * NB;
            me->kern->multiply(d + at, d + at, mask + at, n);
        }
}

/* ---- a layer ------------------------------------------------------------------------------------------------------------- */

/* Whether dz, but for its tiles, and dc, which nobody else reads, are not kept: they would cost memory's time, and who asks
 * for them later gets them by lstm_gate_gradients. Those of time 0 are kept: a carried state takes the place of their
 * c_prev. */
static bool passing(const team *me, size_t t)
{
    return tiled(me) && me->y->gates == PANEL && !me->by_rows && !me->tr->wants_dz && t > 0;
}

/* d += what the caller's own loss says of block g at time t; d: this thread's rows of it. */
static void add_upstream(const team *me, const void *const *upstream, size_t l, size_t t, size_t g, real *d)
{
    const size_t H = me->y->H, units = H - g * NB < NB ? H - g * NB : NB;
    if (!upstream || !upstream[l])
        return;
    for (size_t r = me->r0; r < me->r1; r++, d += NB) {
        const real *from = (const real *)upstream[l] + (t * me->tr->config.batch + r) * H + g * NB;
        for (size_t k = 0; k < units; k++)
            d[k] += from[k];
    }
}

/* From block *g at time *t to the one that is computed after it; false: that was the last. */
static bool next_block(const team *me, size_t *t, size_t *g)
{
    const size_t width = piece_width(me), pieces = team_pieces(me->g0, me->g1, width), panel = *g / width;
    const size_t i = *t & 1 ? (me->g1 - 1) / width - panel : panel - me->g0 / width;
    if (++*g < me->g1 && *g % width)
        return true;
    if (i + 1 == pieces && (*t)-- == 0)
        return false;
    const team_piece p = team_piece_at(me->g0, me->g1, width, (i + 1) % pieces, *t & 1);
    *g = p.panel * width + p.first;
    return true;
}

/* What comes two blocks after g at time t is fetched while that is computed: with matrix units a pass would else wait for
 * memory. (Measured with 128 units, 50 rows: 1.05 times as fast; while units multiply would do half of that.) */
static void fetch_soon(const team *me, size_t l, size_t t, size_t g, kern_lstm_backward *p)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    if (!tiled(me) || !me->tiles.stream || !next_block(me, &t, &g) || !next_block(me, &t, &g))
        return;
    p->z_soon = team_gates(me, w->z, t, g);
    p->c_soon = (const real *)w->c + t * unit_step(me) + (g * me->tr->config.batch + me->r0) * NB;
}

/* Block g at time t, backwards, for this thread's rows. `through`: dL/dh from the step after is in tr->through. */
static void cell_back(const team *me, size_t l, size_t t, size_t g, bool through)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch, unit = unit_step(me), row = PANEL * NB;
    const size_t own = (g * B + me->r0) * NB, at = t * unit + own;
    const size_t panel = g * me->y->gates / PANEL, lane = g * me->y->gates % PANEL * NB;
    const size_t k = me->y->param[me->y->wih[l]].packed.k;
    const int32_t *ids = w->k || me->by_rows ? NULL : me->tr->batch.ids + t * B;
    const real *from_next = through ? team_through(me, g) : NULL;
    real *dc = passing(me, t) ? team_through(me, g) : (real *)w->dc + at; /* each is stored after the load */
    real *dbias = me->by_rows ? NULL : gradient(me, me->y->bias[l]) + panel * row + lane;
    real *dtable = gradient(me, me->y->wih[l]) + panel * k * row + lane;
    kern_lstm_backward lstm = {.rows = me->r1 - me->r0,
                               .z = team_gates(me, w->z, t, g),
                               .c_prev = (const real *)w->c + at,
                               .c = (const real *)w->c + at + unit,
                               .mixed = mixed(me),
                               .through = from_next,
                               .through_row = NB,
                               .dh = (real *)w->dh + at,
                               .dc = dc,
                               .carry = (real *)w->carry + own,
                               .dz = team_gates(me, w->dz, t, g),
                               .dbias = dbias,
                               .dtable = dtable,
                               .ids = ids};
    const kern_rnn_backward rnn = {.rows = lstm.rows,
                                   .z_row = row,
                                   .h = (const real *)w->h + at + unit,
                                   .through = from_next,
                                   .through_row = NB,
                                   .dh = lstm.dh,
                                   .dz = lstm.dz,
                                   .dbias = dbias,
                                   .dtable = dtable,
                                   .ids = ids};
    add_upstream(me, me->tr->upstream.h, l, t, g, lstm.dh);
    add_upstream(me, me->tr->upstream.c, l, t, g, lstm.carry);
    if (me->y->gates == 1) {
        me->kern->rnn_backward(&rnn);
        return;
    }
    fetch_soon(me, l, t, g, &lstm);
    if (passing(me, t))
        REAL_NAME(tiled_cell_back)(me, t, g, &lstm);
    else
        me->kern->lstm_backward(&lstm);
}

static void cells_back(const team *me, size_t l, size_t t, size_t first, size_t count)
{
    const bool through = t + 1 < me->tr->steps;
    for (size_t g = first; g < first + count; g++) {
        cell_back(me, l, t, g, through);
        if (tiled(me) && !passing(me, t))
            REAL_NAME(tiled_gate_gradients)(me, t, g, team_gates(me, me->tr->layer[l].dz, t, g));
    }
}

/* Gradients of bias and one-hot weights, which go over all rows, where threads own rows: from dz, in the order in which
 * cell_back would have added. Blocks are dealt out to the threads. */
static void column_sums(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch, row = PANEL * NB, k = me->y->param[me->y->wih[l]].packed.k;
    size_t first, last;
    team_share(me, me->y->G, &first, &last);
    for (size_t g = first; g < last; g++) {
        const size_t panel = g * me->y->gates / PANEL, lane = g * me->y->gates % PANEL * NB;
        for (size_t t = me->tr->steps; t-- > 0;)
            me->kern->sums(&(kern_sums){.rows = B,
                                        .width = me->y->gates * NB,
                                        .d_row = row,
                                        .d = (const real *)w->dz + t * gate_step(me) + panel * B * row + lane,
                                        .sum = gradient(me, me->y->bias[l]) + panel * row + lane,
                                        .table = gradient(me, me->y->wih[l]) + panel * k * row + lane,
                                        .ids = w->k ? NULL : me->tr->batch.ids + t * B});
    }
}

/* dL/dh_0: dz at time 0 through the recurrent weights. */
static void state_gradient(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    for (size_t i = 0; i < team_pieces(me->g0, me->g1, piece_width(me)); i++) {
        const team_piece p = team_piece_at(me->g0, me->g1, piece_width(me), i, false);
        input_product(me, &p, l, 0, false, w->dstate_h);
    }
}

/* dL/d(input of layer l) at time steps [from, to). */
static void layer_inputs(const team *me, size_t l, size_t from, size_t to)
{
    const size_t k = me->tr->layer[l].k, x_step = (k + NB - 1) / NB * me->tr->config.batch * NB;
    const size_t times = tiled(me) ? REAL_NAME(tiled_times)(me, &me->tr->dz) : team_times(gate_step(me) * sizeof(real));
    const size_t width = piece_width(me);
    size_t first = me->g0, last = me->g1;
    real *dx = l ? me->tr->layer[l - 1].dh : me->tr->dx;
    if (l == 0 && me->by_rows)
        last = me->y->in_blocks;
    else if (l == 0)
        team_share(me, me->y->in_blocks, &first, &last);
    for (; from < to; from += times) {
        const size_t end = from + times < to ? from + times : to;
        for (size_t i = 0; i < team_pieces(first, last, width); i++) {
            const team_piece p = team_piece_at(first, last, width, i, false);
            if (tiled(me))
                REAL_NAME(tiled_input_product)(me, &p, l, from, end, true, dx + from * x_step, x_step);
            else
                for (size_t t = from; t < end; t++)
                    input_product(me, &p, l, t, true, dx + t * x_step);
        }
    }
}

/* dL/dh of layer l that comes from the layer above, or from the head, at time steps [from, to). */
static void from_above(const team *me, size_t l, size_t from, size_t to)
{
    const bool top = l + 1 == me->y->L;
    team_phase(me, LSTM_PHASE_BACKWARD);
    if (top)
        head_inputs(me, from, to);
    else
        layer_inputs(me, l + 1, from, to);
    undrop(me, me->tr->layer[l].dh, top ? me->tr->head_mask : me->tr->layer[l + 1].mask, from, to);
    if (!top && tiled(me) && !me->by_rows) /* this layer's dz takes the place of the other's, which all threads have read */
        team_barrier(me);
    team_phase(me, top ? LSTM_PHASE_HEAD : LSTM_PHASE_INPUTS_BACK);
}

/* Time steps for which dL/dh from above is computed together, before it is used: as many as share the weights' way, and
 * stay near. */
static size_t times_from_above(const team *me, size_t l)
{
    if (!tiled(me))
        return me->tr->steps;
    return REAL_NAME(tiled_times)(me, l + 1 < me->y->L || !tiled_head(me) ? &me->tr->dz : &me->tr->dy);
}

static void layer_back(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch, steps = me->tr->steps, times = times_from_above(me, l);
    const size_t width = piece_width(me), pieces = team_pieces(me->g0, me->g1, width);
    for (size_t g = me->g0; w->carry && g < me->g1; g++)
        memset((real *)w->carry + (g * B + me->r0) * NB, 0, (me->r1 - me->r0) * NB * sizeof(real));
    for (size_t t = steps; t-- > 0;) {
        if (t + 1 == steps || (t + 1) % times == 0)
            from_above(me, l, t / times * times, t + 1);
        for (size_t i = 0; i < pieces; i++) {
            const team_piece p = team_piece_at(me->g0, me->g1, width, i, t & 1);
            const size_t first = p.panel * width + p.first;
            if (t + 1 < steps)
                input_product(me, &p, l, t + 1, false, me->tr->through);
            cells_back(me, l, t, first, p.blocks);
        }
        if (!me->by_rows)
            team_barrier(me);
    }
    if (me->by_rows) {
        team_barrier(me);
        column_sums(me, l);
    }
    if (lstm_early_state(me->tr)) {
        state_gradient(me, l);
        if (l == 0) /* its input is shared out otherwise than its units, and lanes with it */
            team_barrier(me);
    }
}

/* Row ids[t][b] of the embedding's gradient += dx[t][b]; blocks are dealt out to the threads. */
static void embedding_gradient(const team *me)
{
    const size_t B = me->tr->config.batch, blocks = me->y->in_blocks;
    real *d = gradient(me, me->y->embedding);
    const real *dx = me->tr->dx;
    size_t first, last;
    team_share(me, blocks, &first, &last);
    for (size_t k = 0; k < me->tr->steps * B; k++)
        for (size_t q = first; q < last; q++)
            me->kern->add(d + ((size_t)me->tr->batch.ids[k] * blocks + q) * NB,
                          dx + ((k / B * blocks + q) * B + k % B) * NB, NB);
}

static void backward(team *me)
{
    lstm_trainer *tr = me->tr;
    transpose_all(me);
    if (tiled_head(me))
        REAL_NAME(tiled_output_gradients)(me);
    if (tr->counters.accumulated == 0)
        zero_sums(me);
    team_barrier(me);
    team_phase(me, LSTM_PHASE_BACKWARD);
    head_weights(me);
    team_phase(me, LSTM_PHASE_HEAD);
    for (size_t l = me->y->L; l-- > 0;) {
        layer_back(me, l);
        team_phase(me, LSTM_PHASE_BACKWARD);
        if (l == 0 && tr->layer[0].k)
            layer_inputs(me, 0, 0, tr->steps);
        if (l == 0 && me->y->embedding != SIZE_MAX) {
            if (me->by_rows) /* else each thread adds up what it made itself */
                team_barrier(me);
            embedding_gradient(me);
        }
        team_phase(me, LSTM_PHASE_INPUTS_BACK);
        layer_weights(me, l);
        team_phase(me, LSTM_PHASE_WEIGHTS);
    }
}

void REAL_NAME(lstm_backward)(lstm_trainer *tr);
void REAL_NAME(lstm_backward)(lstm_trainer *tr)
{
    REAL_NAME(lstm_team_run)(tr, backward);
}

/* dz and dc of a layer, but for time 0, from the gates and the dh that are kept: the backward pass of its cells once
 * more. */
static void layer_gate_gradients(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const size_t B = me->tr->config.batch;
    for (size_t g = me->g0; g < me->g1; g++) {
        const size_t own = (g * B + me->r0) * NB;
        real *carry = team_through(me, g);
        memset(carry, 0, (me->r1 - me->r0) * NB * sizeof(real));
        for (size_t t = me->tr->steps; --t > 0;) {
            const size_t at = t * unit_step(me) + own;
            me->kern->lstm_backward(&(kern_lstm_backward){.rows = me->r1 - me->r0,
                                                          .z = team_gates(me, w->z, t, g),
                                                          .c_prev = (const real *)w->c + at,
                                                          .c = (const real *)w->c + at + unit_step(me),
                                                          .mixed = mixed(me),
                                                          .dh = (real *)w->dh + at,
                                                          .dc = (real *)w->dc + at,
                                                          .carry = carry,
                                                          .dz = team_gates(me, w->dz, t, g)});
        }
    }
}

static void gate_gradients(team *me)
{
    for (size_t l = 0; l < me->y->L; l++)
        layer_gate_gradients(me, l);
}

void REAL_NAME(lstm_gate_gradients)(lstm_trainer *tr);
void REAL_NAME(lstm_gate_gradients)(lstm_trainer *tr)
{
    REAL_NAME(lstm_team_run)(tr, gate_gradients);
}

static void state_gradients(team *me)
{
    for (size_t l = 0; l < me->y->L; l++)
        state_gradient(me, l);
}

void REAL_NAME(lstm_state_gradients)(lstm_trainer *tr);
void REAL_NAME(lstm_state_gradients)(lstm_trainer *tr)
{
    REAL_NAME(lstm_team_run)(tr, state_gradients);
}
