/* SPDX-License-Identifier: MIT
 *
 * tiled.c - see tiled.h; kern/tiles.h has the layout of a tile and the order of sums.
 */
#include "tiled.h"
#include "kern/units.h"

#include <string.h>

/* What packs and multiplies on this machine. */
static kern_tile_ops operations(const team *me)
{
#if LSTM_REAL == 32
    switch (lstm_machine_tiles(NULL)) {
#ifdef LSTM_AMX_KERNEL
    case LSTM_TILES_AMX: return kern_amx_tiles(kern_amx_packing());
#endif
#ifdef LSTM_BF16_KERNEL
    case LSTM_TILES_AVX512BF16: return kern_tiles_avx512bf16_f32;
#endif
    default: break;
    }
#endif
    return *me->kern->tiles;
}

void REAL_NAME(tiled_run)(team *me, void (*pass)(team *me))
{
    me->tiles = operations(me);
    if (me->tiles.begin)
        me->tiles.begin();
    pass(me);
    if (me->tiles.end)
        me->tiles.end();
}

/* ---- where tiles are --------------------------------------------------------------------------------------------- */

/* Numbers of 16 rows or columns, and of the whole operand at one time step. */
static size_t group_size(const team *me, const lstm_tiled *o) { return o->depth * me->tr->parts * TILE_SIZE; }
static size_t step_size(const team *me, const lstm_tiled *o) { return o->groups * group_size(me, o); }

/* The tile of this group and this one along k. */
static uint16_t *tile_at(const team *me, const lstm_tiled *o, size_t group, size_t k)
{
    return o->at + group * group_size(me, o) + k * me->tr->parts * TILE_SIZE;
}

/* The same of an operand whose k runs over positions. Its parts that go together, TILES_AT_ONCE along k of all groups, lie
 * together: groups that are long, and of a power of two, would push each other out of a cache. */
#define TURNED_GROUP(me) (TILES_AT_ONCE * (me)->tr->parts * TILE_SIZE)
static uint16_t *turned_at(const team *me, const lstm_tiled *o, size_t group, size_t k)
{
    const size_t part = k / TILES_AT_ONCE * o->groups + group;
    return o->at + part * TURNED_GROUP(me) + k % TILES_AT_ONCE * me->tr->parts * TILE_SIZE;
}

/* Column block n (of 16) of this thread's rows of an operand at time t: half a tile for each 16 rows. */
static uint16_t *rows_at(const team *me, const lstm_tiled *o, size_t t, size_t row, size_t n)
{
    return tile_at(me, o, row / TILE_SIDE, n / 2) + t * step_size(me, o) + n % 2 * TILE_SIDE;
}

/* h of layer l, time 0 being the initial state, and its input; that of layer L is the head's. */
static const lstm_tiled *states(const team *me, size_t l) { return &me->tr->layer[l].h_tiles; }
static const lstm_tiled *inputs(const team *me, size_t l)
{
    return l < me->y->L ? &me->tr->layer[l].x_tiles : &me->tr->head_x_tiles;
}

/* Bytes of an operand that go together: they share the second cache of a processor with matrix units, 2 MB, with weights
 * and results. */
#define NEAR_BYTES ((size_t)576 << 10)

size_t REAL_NAME(tiled_times)(const team *me, const lstm_tiled *rows)
{
    const size_t depth = rows->depth < TILES_AT_ONCE ? rows->depth : TILES_AT_ONCE;
    const size_t bytes = rows->groups * depth * me->tr->parts * TILE_SIZE * sizeof *rows->at;
    return bytes < NEAR_BYTES ? NEAR_BYTES / bytes : 1;
}

/* A row of no numbers, and one of tiles of A. */
static const _Alignas(LSTM_LINE) real no_numbers[NB];
static const _Alignas(LSTM_LINE) uint16_t no_row[TILE_PARTS * TILE_SIZE];

/* Column blocks from n on, `blocks` of them, of `count` rows from `row` on, as tiles of an operand at time t. */
static kern_tile_rows tiles_of(const team *me, const lstm_tiled *to, size_t t, size_t row, size_t count, size_t n,
                               size_t blocks)
{
    return (kern_tile_rows){.rows = count,
                            .blocks = blocks,
                            .parts = me->tr->parts,
                            .out = rows_at(me, to, t, row, n),
                            .out_group = group_size(me, to)};
}

static void pack_rows(const team *me, kern_tile_rows rows, const real *in, size_t in_row, size_t in_block)
{
    rows.in = in;
    rows.in_row = in_row;
    rows.in_block = in_block;
    me->tiles.rows(&rows);
}

/* ---- once a pass: the weights ------------------------------------------------------------------------------------ */

/* Column block n of a packed matrix. */
static const real *column(const team *me, size_t param, size_t n)
{
    const lstm_packed *p = &me->y->param[param].packed;
    return weights(me, param) + (n / p->per_panel * p->k * p->per_panel + n % p->per_panel) * NB;
}

static void pack_weights(const team *me, const lstm_tiled *to, size_t param)
{
    const lstm_packed *p = &me->y->param[param].packed;
    size_t first, last;
    team_share(me, to->groups * to->depth, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t block = i / to->depth, tile = i % to->depth;
        const real *at = column(me, param, block), *rows[TILE_DEPTH];
        for (size_t j = 0; j < TILE_DEPTH; j++)
            rows[j] = tile * TILE_DEPTH + j < p->k ? at + (tile * TILE_DEPTH + j) * p->per_panel * NB : no_numbers;
        me->tiles.pairs(tile_at(me, to, block, tile), rows, me->tr->parts);
    }
}

void REAL_NAME(tiled_weights)(const team *me)
{
    for (size_t l = 0; l < me->y->L; l++) {
        const lstm_layer_work *w = &me->tr->layer[l];
        pack_weights(me, &w->whh, me->y->whh[l]);
        if (w->k)
            pack_weights(me, &w->wih, me->y->wih[l]);
    }
    if (tiled_head(me))
        pack_weights(me, &me->tr->head_tiles, me->y->head);
}

/* Blocks of rows, that is of columns of the transpose. */
static void pack_turned(const team *me, const lstm_tiled *to, size_t param)
{
    const lstm_packed *p = &me->y->param[param].packed;
    const size_t row = p->per_panel * NB, blocks = param == me->y->head ? p->blocks : me->y->panels * PANEL;
    _Alignas(LSTM_LINE) uint16_t tile[TILE_PARTS * TILE_SIZE];
    size_t first, last;
    team_share(me, to->groups * to->depth, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t from = i / to->depth * TILE_SIDE, n = i % to->depth * 2, left = p->k - from;
        const size_t count = left < TILE_SIDE ? left : TILE_SIDE;
        if (count < TILE_SIDE || n + 1 == blocks)
            memset(tile, 0, sizeof tile);
        for (size_t half = 0; half < 2 && n + half < blocks; half++)
            me->tiles.rows(&(kern_tile_rows){.rows = count,
                                             .blocks = 1,
                                             .parts = me->tr->parts,
                                             .in = column(me, param, n + half) + from * row,
                                             .in_row = row,
                                             .out = tile + half * TILE_SIDE});
        me->tiles.turn(tile_at(me, to, i / to->depth, i % to->depth), tile, me->tr->parts);
    }
}

void REAL_NAME(tiled_transposed_weights)(const team *me)
{
    for (size_t l = 0; l < me->y->L; l++) {
        const lstm_layer_work *w = &me->tr->layer[l];
        pack_turned(me, &w->whh_turned, me->y->whh[l]);
        if (w->k)
            pack_turned(me, &w->wih_turned, me->y->wih[l]);
    }
    if (tiled_head(me))
        pack_turned(me, &me->tr->head_turned, me->y->head);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

void REAL_NAME(tiled_input)(const team *me, size_t l, const real *x, size_t first, size_t last)
{
    const size_t B = me->tr->config.batch, blocks = l ? me->y->G : me->y->in_blocks;
    for (size_t t = first; t < last; t++)
        pack_rows(me, tiles_of(me, inputs(me, l), t, 0, B, 0, blocks), x + t * blocks * B * NB, NB, B * NB);
}

static kern_tile_rows states_of(const team *me, size_t l, size_t t, size_t g)
{
    return tiles_of(me, states(me, l), t, me->r0, me->r1 - me->r0, g, 1);
}

void REAL_NAME(tiled_state)(const team *me, size_t l, size_t t, size_t g)
{
    const real *h = (const real *)me->tr->layer[l].h + t * unit_step(me) + (g * me->tr->config.batch + me->r0) * NB;
    pack_rows(me, states_of(me, l, t, g), h, NB, 0);
}

void REAL_NAME(tiled_cell)(const team *me, size_t l, size_t t, size_t g, const kern_lstm_forward *p)
{
    const kern_tile_rows to = states_of(me, l, t, g);
    me->tiles.lstm_forward(p, &to);
}

/* Products of a piece (+)= operand at time `time`, times the columns w. */
static void gates(const team *me, const team_piece *p, real *z, const lstm_tiled *a, size_t time, const lstm_tiled *w,
                  bool add)
{
    me->tiles.product(&(kern_tiles){.rows = me->r1 - me->r0,
                                    .blocks = p->blocks * me->y->gates,
                                    .depth = a->depth,
                                    .parts = me->tr->parts,
                                    .a = rows_at(me, a, time, me->r0, 0),
                                    .b = tile_at(me, w, p->panel * PANEL + p->first, 0),
                                    .a_group = group_size(me, a),
                                    .b_block = group_size(me, w),
                                    .c = z,
                                    .c_row = PANEL * NB,
                                    .c_block = NB,
                                    .add = add,
                                    .whole = z == team_near(me)});
}

void REAL_NAME(tiled_input_gates)(const team *me, const team_piece *p, size_t l, size_t t, real *z)
{
    gates(me, p, z, inputs(me, l), t, &me->tr->layer[l].wih, false);
}

void REAL_NAME(tiled_recurrent_gates)(const team *me, const team_piece *p, size_t l, size_t t, real *z)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    gates(me, p, z, states(me, l), t, &w->whh, w->k > 0);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static kern_tile_rows gradients_of(const team *me, size_t t, size_t g)
{
    const size_t gates = me->y->gates;
    return tiles_of(me, &me->tr->dz, t, me->r0, me->r1 - me->r0, g * gates, gates);
}

void REAL_NAME(tiled_gate_gradients)(const team *me, size_t t, size_t g, const real *dz)
{
    pack_rows(me, gradients_of(me, t, g), dz, PANEL * NB, NB);
}

void REAL_NAME(tiled_cell_back)(const team *me, size_t t, size_t g, const kern_lstm_backward *p)
{
    const kern_tile_rows to = gradients_of(me, t, g);
    me->tiles.lstm_backward(p, &to);
}

/* Blocks of c [block][B][NB], or of tr->through, = d w at time steps [from, to), c_step apart, for this thread's rows. A
 * part of w along k serves all these steps while it is near; the order of sums is the same. */
static void input_gradients(const team *me, const team_piece *p, const lstm_tiled *d, size_t from, size_t to,
                            const lstm_tiled *w, real *c, size_t c_step)
{
    const bool whole = c == me->tr->through;
    const size_t rows = whole ? me->tr->room : me->tr->config.batch, first = p->panel * TILED_BLOCKS + p->first;
    const size_t most = to - from > 1 ? TILES_AT_ONCE : d->depth;
    for (size_t k = 0; k < d->depth; k += most)
        for (size_t t = from; t < to; t++)
            me->tiles.product(&(kern_tiles){.rows = me->r1 - me->r0,
                                            .blocks = p->blocks,
                                            .depth = d->depth - k < most ? d->depth - k : most,
                                            .parts = me->tr->parts,
                                            .a = rows_at(me, d, t, me->r0, 2 * k),
                                            .b = tile_at(me, w, first, k),
                                            .a_group = group_size(me, d),
                                            .b_block = group_size(me, w),
                                            .c = c + (t - from) * c_step + (first * rows + me->r0) * NB,
                                            .c_row = NB,
                                            .c_block = rows * NB,
                                            .c_panel = PANEL * rows * NB,
                                            .add = k > 0,
                                            .whole = whole});
}

void REAL_NAME(tiled_input_product)(const team *me, const team_piece *p, size_t l, size_t from, size_t to, bool input,
                                    real *c, size_t c_step)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    input_gradients(me, p, &me->tr->dz, from, to, input ? &w->wih_turned : &w->whh_turned, c, c_step);
}

/* ---- gradients of weights: k runs over the positions (t, b) ------------------------------------------------------ */

static size_t position_tiles(const team *me)
{
    return (me->tr->steps * me->tr->config.batch + TILE_DEPTH - 1) / TILE_DEPTH;
}

/* Rows of an operand at positions 32 tile and following: where their first numbers along k are; NULL beyond the last. */
static void position_rows(const team *me, const lstm_tiled *o, const uint16_t *rows[TILE_DEPTH], size_t tile)
{
    const size_t B = me->tr->config.batch;
    size_t j = 0, b = tile * TILE_DEPTH % B;
    for (size_t t = tile * TILE_DEPTH / B; t < me->tr->steps && j < TILE_DEPTH; t++, b = 0)
        for (; b < B && j < TILE_DEPTH; b++)
            rows[j++] = rows_at(me, o, t, b, 0) + b % TILE_SIDE * TILE_DEPTH;
    while (j < TILE_DEPTH)
        rows[j++] = NULL;
}

/* Column block n of such rows as a tile of B. */
static void weave_block(const team *me, uint16_t *to, const uint16_t *const rows[TILE_DEPTH], size_t n)
{
    const uint16_t *row[TILE_DEPTH];
    for (size_t j = 0; j < TILE_DEPTH; j++)
        row[j] = rows[j] ? rows[j] + n / 2 * me->tr->parts * TILE_SIZE + n % 2 * TILE_SIDE : no_row;
    me->tiles.weave(to, row, me->tr->parts);
}

/* The transpose of `blocks` column blocks of an operand. */
static void turn_positions(const team *me, const lstm_tiled *to, const lstm_tiled *from, size_t blocks)
{
    _Alignas(LSTM_LINE) uint16_t tile[TILE_PARTS * TILE_SIZE];
    const uint16_t *rows[TILE_DEPTH];
    size_t first, last;
    team_share(me, blocks * position_tiles(me), &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t block = i % blocks;
        if (i == first || block == 0)
            position_rows(me, from, rows, i / blocks);
        weave_block(me, tile, rows, block);
        me->tiles.turn(turned_at(me, to, block, i / blocks), tile, me->tr->parts);
    }
}

/* Column blocks of d as tiles of B, for `count` tiles of positions from `tile` on: into tr->woven, as its blocks `to` and
 * following. */
static void weave_positions(const team *me, const lstm_tiled *d, size_t block, size_t blocks, size_t tile, size_t count,
                            size_t to)
{
    const uint16_t *rows[TILE_DEPTH];
    for (size_t i = 0; i < count; i++) {
        position_rows(me, d, rows, tile + i);
        for (size_t n = 0; n < blocks; n++)
            weave_block(me, tile_at(me, &me->tr->woven, to + n, i), rows, block + n);
    }
}

/* Panels that go together, so that what is read of x_turned serves all of them: four, where their gradient and it share
 * the second cache of a processor with matrix units, 2 MB. A panel of five blocks (a head's) goes by itself. */
static size_t panels_at_once(const lstm_packed *w)
{
    if (w->per_panel != PANEL)
        return 1;
    return w->k * PANEL * NB * sizeof(real) <= (size_t)256 << 10 ? 4 : 2;
}

/* A matrix of weights whose gradient is x^T d, and x^T. */
typedef struct factor {
    size_t param;
    const lstm_tiled *x;
} factor;

/* dW (+)= x^T d, for some panels and `count` tiles of positions from k on, whose d are woven from tr->woven's block `to`
 * on. */
static void gradient_product(const team *me, const factor *f, size_t panel, size_t blocks, size_t k, size_t count,
                             size_t to)
{
    const lstm_packed *w = &me->y->param[f->param].packed;
    const lstm_tiled *woven = &me->tr->woven;
    const size_t row = w->per_panel * NB;
    me->tiles.product(&(kern_tiles){.rows = w->k,
                                    .blocks = blocks,
                                    .depth = count,
                                    .parts = me->tr->parts,
                                    .a = turned_at(me, f->x, 0, k),
                                    .b = tile_at(me, woven, to, 0),
                                    .a_group = TURNED_GROUP(me),
                                    .b_block = group_size(me, woven),
                                    .c = (real *)me->tr->grad + me->y->param[f->param].offset + panel * w->k * row,
                                    .c_row = row,
                                    .c_block = NB,
                                    .c_panel = w->per_panel == PANEL ? w->k * row : PANEL * NB,
                                    .add = k > 0 || me->tr->counters.accumulated > 0});
}

/* The gradients of `n` matrices with the same columns d. Panels are dealt out to the threads. Their columns of d are
 * woven a part at a time, which is used while it is near. */
static void gradient_products(const team *me, const factor *f, size_t n, const lstm_tiled *d)
{
    const lstm_packed *w = &me->y->param[f->param].packed;
    const size_t most = panels_at_once(w), depth = position_tiles(me);
    size_t first, last;
    team_share(me, lstm_packed_panels(w), &first, &last);
    for (size_t panel = first; panel < last; panel += most) {
        const size_t panels = last - panel < most ? last - panel : most, to = first * w->per_panel;
        const size_t left = w->blocks - panel * w->per_panel, all = panels * w->per_panel;
        const size_t blocks = left < all ? left : all;
        for (size_t k = 0; k < depth; k += TILES_AT_ONCE) {
            const size_t count = depth - k < TILES_AT_ONCE ? depth - k : TILES_AT_ONCE;
            weave_positions(me, d, panel * w->per_panel, blocks, k, count, to);
            for (size_t i = 0; i < n; i++)
                gradient_product(me, &f[i], panel, blocks, k, count, to);
        }
    }
}

void REAL_NAME(tiled_weight_gradients)(const team *me, size_t l)
{
    const lstm_layer_work *w = &me->tr->layer[l];
    const lstm_tiled *x = &me->tr->x_turned, *h = &me->tr->h_turned;
    const factor f[] = {{me->y->whh[l], h}, {me->y->wih[l], x}};
    if (w->k)
        turn_positions(me, x, &w->x_tiles, (w->k + NB - 1) / NB);
    turn_positions(me, h, &w->h_tiles, me->y->G);
    team_barrier(me);
    gradient_products(me, f, w->k ? 2 : 1, &me->tr->dz);
    if (l) /* the layer below has its dz in the same place, shared out otherwise */
        team_barrier(me);
}

/* ---- the head ------------------------------------------------------------------------------------------------------ */

void REAL_NAME(tiled_outputs)(const team *me)
{
    const lstm_tiled *w = &me->tr->head_tiles;
    const size_t B = me->tr->config.batch, stride = me->y->o_stride;
    const size_t panels = (me->y->o_blocks + TILED_BLOCKS - 1) / TILED_BLOCKS;
    size_t first, last;
    team_share(me, me->tr->steps * panels, &first, &last);
    for (size_t i = first; i < last; i++) {
        const size_t t = i % me->tr->steps, block = i / me->tr->steps * TILED_BLOCKS, left = me->y->o_blocks - block;
        const lstm_tiled *x = inputs(me, me->y->L);
        me->tiles.product(&(kern_tiles){.rows = B,
                                        .blocks = left < TILED_BLOCKS ? left : TILED_BLOCKS,
                                        .depth = x->depth,
                                        .parts = me->tr->parts,
                                        .a = rows_at(me, x, t, 0, 0),
                                        .b = tile_at(me, w, block, 0),
                                        .a_group = group_size(me, x),
                                        .b_block = group_size(me, w),
                                        .c = (real *)me->tr->logits + t * B * stride + block * NB,
                                        .c_row = stride,
                                        .c_block = NB,
                                        .c_panel = PANEL * NB});
    }
}

void REAL_NAME(tiled_output_gradients)(const team *me)
{
    const lstm_tiled *to = &me->tr->dy;
    const size_t B = me->tr->config.batch, stride = me->y->o_stride;
    const real *dy = me->tr->dlogits;
    size_t first, last;
    team_share(me, me->tr->steps, &first, &last);
    for (size_t t = first; t < last; t++)
        pack_rows(me, tiles_of(me, to, t, 0, B, 0, me->y->o_blocks), dy + t * B * stride, stride, NB);
    turn_positions(me, &me->tr->h_turned, &me->tr->head_x_tiles, me->y->G);
}

void REAL_NAME(tiled_head_weights)(const team *me)
{
    gradient_products(me, &(factor){me->y->head, &me->tr->h_turned}, 1, &me->tr->dy);
}

void REAL_NAME(tiled_head_inputs)(const team *me, const team_piece *p, size_t from, size_t to, real *dh)
{
    input_gradients(me, p, &me->tr->dy, from, to, &me->tr->head_turned, dh, unit_step(me));
}
