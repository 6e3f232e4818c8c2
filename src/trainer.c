/* SPDX-License-Identifier: MIT
 *
 * trainer.c - a workspace for B x T, planned once and carved from one arena, and the calls that run the passes on it.
 */
#include "engine.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PIECE_ELEMENTS ((size_t)4096)

/* Up to here a batch is too small to pay for transposed copies of the weights. Decided by shape alone, because the two
 * ways of going back add in different orders. */
#define THIN_ROWS 3

void lstm_trainer_defaults(lstm_trainer_config *c)
{
    *c = (lstm_trainer_config){.optimizer = LSTM_ADAMW,
                               .lr = 1e-3,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .alpha = 0.99,
                               .weight_decay = 0.01,
                               .decay_biases = true,
                               .accumulate = 1};
}

/* ---- the plan: the same walk measures, then carves ----------------------------------------------------------------- */

typedef struct carver {
    char *base;   /* NULL while measuring */
    size_t used;
    bool overflow;
} carver;

/* Room for a*b*c elements of `size` bytes, aligned; NULL while measuring. */
static void *carve(carver *v, size_t a, size_t b, size_t c, size_t size)
{
    const size_t at = v->used;
    if (v->overflow || !lstm_size_add(&v->used, a, b, c, size)) {
        v->overflow = true;
        return NULL;
    }
    v->used = (v->used + LSTM_LINE - 1) / LSTM_LINE * LSTM_LINE;
    return v->base ? v->base + at : NULL;
}

/* An operand in tiles, `times` times: rows or columns of numbers along k. */
static void carve_tiles(const lstm_trainer *tr, carver *v, lstm_tiled *o, size_t times, size_t rows, size_t k)
{
    o->groups = (rows + TILE_SIDE - 1) / TILE_SIDE;
    o->depth = (k + TILE_DEPTH - 1) / TILE_DEPTH;
    o->at = carve(v, times, o->groups * o->depth, tr->parts * TILE_SIZE, sizeof *o->at);
}

/* `from` from its second time step on, in place. */
static lstm_tiled tiles_after(const lstm_trainer *tr, const lstm_tiled *from)
{
    lstm_tiled o = *from;
    o.at += o.groups * o.depth * tr->parts * TILE_SIZE;
    return o;
}

static bool drops(const lstm_trainer *tr) { return !tr->config.inference && tr->m->config.dropout > 0; }

static void carve_layer_tiles(const lstm_trainer *tr, carver *v, size_t l, lstm_layer_work *w,
                              const lstm_layer_work *below)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t T = tr->config.seq, B = tr->config.batch, gates = y->panels * PANEL * y->nb;
    carve_tiles(tr, v, &w->h_tiles, T + 1, B, y->H);
    if (w->k && (l == 0 || drops(tr)))
        carve_tiles(tr, v, &w->x_tiles, T, B, w->k);
    else if (below)
        w->x_tiles = tiles_after(tr, &below->h_tiles);
    carve_tiles(tr, v, &w->whh, 1, gates, y->H);
    if (w->k)
        carve_tiles(tr, v, &w->wih, 1, gates, w->k);
    if (tr->config.inference)
        return;
    carve_tiles(tr, v, &w->whh_turned, 1, y->H, gates);
    if (w->k)
        carve_tiles(tr, v, &w->wih_turned, 1, w->k, gates);
}

/* What the layers share: each uses them after the other. */
static void carve_shared_tiles(lstm_trainer *tr, carver *v)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t T = tr->config.seq, B = tr->config.batch, gates = y->panels * PANEL * y->nb;
    const size_t at_once = TILES_AT_ONCE * TILE_DEPTH, positions = (T * B + at_once - 1) / at_once * at_once;
    tr->near = carve(v, y->panels * PANEL, tr->room, y->nb, y->esize);
    if (tr->config.inference)
        return;
    carve_tiles(tr, v, &tr->dz, T, B, gates);
    if (y->in || y->L > 1)
        carve_tiles(tr, v, &tr->x_turned, 1, y->in > y->H ? y->in : y->H, positions);
    carve_tiles(tr, v, &tr->h_turned, 1, y->H, positions);
    carve_tiles(tr, v, &tr->woven, 1, tr->wide_head && y->O > gates ? y->O : gates, at_once);
}

static void carve_head_tiles(lstm_trainer *tr, carver *v)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t T = tr->config.seq, B = tr->config.batch;
    carve_tiles(tr, v, &tr->head_tiles, 1, y->O, y->H);
    if (drops(tr))
        carve_tiles(tr, v, &tr->head_x_tiles, T, B, y->H);
    else if (v->base)
        tr->head_x_tiles = tiles_after(tr, &tr->layer[y->L - 1].h_tiles);
    if (tr->config.inference)
        return;
    carve_tiles(tr, v, &tr->head_turned, 1, y->H, y->O);
    carve_tiles(tr, v, &tr->dy, T, B, y->O);
}

static void carve_layer(const lstm_trainer *tr, carver *v, size_t l, lstm_layer_work *w, const lstm_layer_work *below)
{
    const lstm_layout *y = &tr->m->layout;
    const bool lstm = y->gates == 4, train = !tr->config.inference, drop = l && drops(tr);
    const size_t T = tr->config.seq, e = y->esize;
    const size_t unit = y->G * tr->config.batch * y->nb, z = y->panels * PANEL * tr->config.batch * y->nb;
    w->k = l ? y->H : y->in;
    if (l == 0 && w->k)
        w->x = carve(v, T, tr->config.batch * y->in_blocks, y->nb, e);
    if (drop) {
        w->x = carve(v, T, unit, 1, e);
        w->mask = carve(v, T, unit, 1, e);
    }
    w->z = carve(v, T, z, 1, e);
    w->h = carve(v, T + 1, unit, 1, e);
    if (l && !drop) /* the layer reads h of the one below in place, from time 1 on */
        w->x = v->base ? (char *)below->h + unit * e : NULL;
    if (lstm)
        w->c = carve(v, T + 1, unit, 1, e);
    if (tr->parts)
        carve_layer_tiles(tr, v, l, w, below);
    if (!train)
        return;
    w->dz = carve(v, T, z, 1, e);
    w->dh = carve(v, T, unit, 1, e);
    if (lstm) {
        w->dc = carve(v, T, unit, 1, e);
        w->carry = carve(v, unit, 1, 1, e);
    }
    const size_t zk = y->panels * PANEL * y->nb, width = PANEL * y->nb;
    w->h_start = carve(v, unit, 1, 1, e);
    if (lstm)
        w->c_start = carve(v, unit, 1, 1, e);
    w->dstate_h = carve(v, unit, 1, 1, e);
    if (tr->config.batch <= THIN_ROWS || tr->parts)
        return;
    w->whh_t = carve(v, (y->G + PANEL - 1) / PANEL, zk, width, e);
    if (w->k)
        w->wih_t = carve(v, ((w->k + y->nb - 1) / y->nb + PANEL - 1) / PANEL, zk, width, e);
}

static size_t count_pieces(const lstm_layout *y)
{
    size_t n = 0;
    for (size_t k = 0; k < y->params; k++)
        n += (y->param[k].length + PIECE_ELEMENTS - 1) / PIECE_ELEMENTS;
    return n;
}

static void carve_all(lstm_trainer *tr, carver *v)
{
    const lstm_layout *y = &tr->m->layout;
    const bool train = !tr->config.inference;
    const size_t T = tr->config.seq, B = tr->config.batch, e = y->esize, unit = y->G * B * y->nb;
    tr->barrier = carve(v, 1, 1, 1, sizeof *tr->barrier);
    tr->layer = carve(v, y->L, 1, 1, sizeof *tr->layer);
    for (size_t l = 0; l < y->L; l++) {
        lstm_layer_work measured = {0};
        carve_layer(tr, v, l, v->base ? &tr->layer[l] : &measured, v->base && l ? &tr->layer[l - 1] : NULL);
    }
    tr->room = tr->parts ? (B + TILE_SIDE - 1) / TILE_SIDE * TILE_SIDE : B;
    if (tr->parts)
        carve_shared_tiles(tr, v);
    if (tr->wide_head)
        carve_head_tiles(tr, v);
    tr->logits = carve(v, T, B, y->o_stride, e);
    tr->loss_at = carve(v, T, B, 1, sizeof(double));
    tr->weight_at = carve(v, T, B, 1, sizeof(double));
    tr->head_x = v->base ? (char *)tr->layer[y->L - 1].h + unit * e : NULL;
    if (!train)
        return;
    if (drops(tr)) {
        tr->head_x = carve(v, T, unit, 1, e);
        tr->head_mask = carve(v, T, unit, 1, e);
    }
    tr->dlogits = carve(v, T, B, y->o_stride, e);
    if (!tr->wide_head)
        tr->head_t = carve(v, (y->G + PANEL - 1) / PANEL, y->O, PANEL * y->nb, e);
    if (y->in)
        tr->dx = carve(v, T, B * y->in_blocks, y->nb, e);
    tr->through = carve(v, y->G, tr->room, y->nb, e);
    if (B <= THIN_ROWS && !tr->parts)
        tr->lanes = carve(v, y->in > y->H ? y->in : y->H, y->nb, 1, e);
    tr->grad = carve(v, y->total, 1, 1, e);
    tr->m1 = carve(v, y->total, 1, 1, e);
    tr->m2 = carve(v, y->total, 1, 1, e);
    tr->pieces = count_pieces(y);
    tr->piece = carve(v, tr->pieces, 1, 1, sizeof *tr->piece);
    tr->piece_sums = carve(v, tr->pieces, 4, 1, sizeof(double));
}

static void list_pieces(lstm_trainer *tr)
{
    const lstm_layout *y = &tr->m->layout;
    lstm_piece *piece = tr->piece;
    for (size_t k = 0; k < y->params; k++) {
        const lstm_param *p = &y->param[k];
        const bool bias = p->kind == LSTM_KIND_BIAS || p->kind == LSTM_KIND_HEAD_BIAS;
        for (size_t at = 0; at < p->length; at += PIECE_ELEMENTS, piece++) {
            piece->offset = p->offset + at;
            piece->length = p->length - at < PIECE_ELEMENTS ? p->length - at : PIECE_ELEMENTS;
            piece->decay = !bias || tr->config.decay_biases;
        }
    }
}

/* Bytes of the arena; SIZE_MAX when no memory could hold it. */
static size_t arena_bytes(lstm_trainer *tr)
{
    carver v = {0};
    carve_all(tr, &v);
    return v.overflow ? SIZE_MAX : v.used;
}

static int take_memory(lstm_trainer *tr, lstm_error *err)
{
    lstm_model *m = tr->m;
    const size_t bytes = arena_bytes(tr), most = m->config.max_memory;
    const char *advice = tr->config.seq > 1 ? "seq" : tr->config.batch > 1 ? "batch" : "hidden";
    if (bytes == SIZE_MAX)
        return lstm_fail(err, advice, "batch=%zu and seq=%zu need more than memory can address", tr->config.batch,
                         tr->config.seq);
    if (most && (bytes > most || m->held > most - bytes))
        return lstm_fail(err, "max_memory", "the trainer needs %zu bytes beside the %zu held, more than the %zu allowed",
                         bytes, m->held, most);
    tr->arena = lstm_arena_new(bytes);
    if (!tr->arena)
        return lstm_fail(err, advice, "not enough memory for batch=%zu and seq=%zu (%zu MiB)", tr->config.batch,
                         tr->config.seq, bytes >> 20);
    carver v = {.base = tr->arena};
    carve_all(tr, &v);
    tr->bytes = sizeof *tr + bytes;
    m->held += tr->bytes;
    return 0;
}

static void choose_products(lstm_trainer *tr)
{
    static const size_t parts[] = {[LSTM_PRODUCTS_BF16X6] = 3, [LSTM_PRODUCTS_BF16X3] = 2, [LSTM_PRODUCTS_BF16] = 1};
    const lstm_products wish = tr->m->config.products;
    tr->products = wish == LSTM_PRODUCTS_AUTO ? lstm_products_for(&tr->m->config, &tr->config) : wish;
    tr->parts = tr->products == LSTM_PRODUCTS_REAL ? 0 : parts[tr->products];
    tr->wide_head = tr->parts && tr->m->config.outputs >= LSTM_WIDE_HEAD;
}

lstm_trainer *lstm_trainer_new(lstm_model *m, const lstm_trainer_config *config, lstm_error *err)
{
    if (lstm_check_trainer(&m->config, config, err))
        return NULL;
    lstm_trainer *tr = calloc(1, sizeof *tr);
    if (!tr) {
        lstm_fail(err, "", "not enough memory for a trainer");
        return NULL;
    }
    tr->m = m;
    tr->config = *config;
    choose_products(tr);
    if (take_memory(tr, err)) {
        free(tr);
        return NULL;
    }
    if (!config->inference)
        list_pieces(tr);
    return tr;
}

void lstm_trainer_free(lstm_trainer *tr)
{
    if (!tr)
        return;
    tr->m->held -= tr->bytes;
    lstm_arena_free(tr->arena);
    free(tr);
}

const lstm_trainer_config *lstm_trainer_settings(const lstm_trainer *tr) { return &tr->config; }
lstm_model *lstm_trainer_model(const lstm_trainer *tr) { return tr->m; }
size_t lstm_trainer_bytes(const lstm_trainer *tr) { return tr->bytes; }
lstm_products lstm_trainer_products(const lstm_trainer *tr) { return tr->products; }
double lstm_trainer_lr(const lstm_trainer *tr) { return tr->config.lr; }
void lstm_trainer_set_lr(lstm_trainer *tr, double lr) { tr->config.lr = lr; }
lstm_counters lstm_trainer_counters(const lstm_trainer *tr) { return tr->counters; }

void lstm_trainer_set_counters(lstm_trainer *tr, lstm_counters counters)
{
    tr->counters = counters;
    tr->summed = counters.accumulated;
    tr->has_forward = tr->has_backward = false;
}

/* ---- state ---------------------------------------------------------------------------------------------------------- */

static size_t state_bytes(const lstm_trainer *tr)
{
    const lstm_layout *y = &tr->m->layout;
    return y->G * tr->config.batch * y->nb * y->esize;
}

void lstm_trainer_carry(lstm_trainer *tr)
{
    const size_t bytes = state_bytes(tr);
    if (!tr->has_forward)
        return;
    for (size_t l = 0; l < tr->m->layout.L; l++) {
        lstm_layer_work *w = &tr->layer[l];
        memmove(w->h, (char *)w->h + tr->steps * bytes, bytes);
        if (w->c)
            memmove(w->c, (char *)w->c + tr->steps * bytes, bytes);
    }
    tr->has_forward = false; /* its initial state is gone */
}

void lstm_trainer_reset(lstm_trainer *tr)
{
    for (size_t l = 0; l < tr->m->layout.L; l++) {
        memset(tr->layer[l].h, 0, state_bytes(tr));
        if (tr->layer[l].c)
            memset(tr->layer[l].c, 0, state_bytes(tr));
    }
}

/* Carrying, or the caller, soon puts another state into its place. */
static void keep_start(lstm_trainer *tr)
{
    const size_t bytes = state_bytes(tr);
    for (size_t l = 0; l < tr->m->layout.L && !tr->config.inference; l++) {
        memcpy(tr->layer[l].h_start, tr->layer[l].h, bytes);
        if (tr->layer[l].c)
            memcpy(tr->layer[l].c_start, tr->layer[l].c, bytes);
    }
}

/* ---- partners ------------------------------------------------------------------------------------------------------- */

static void sum_over_partners(lstm_trainer *tr, lstm_type type, void *values, size_t count)
{
    const lstm_partners *p = &tr->config.partners;
    if (!p->rows)
        return;
    const double start = lstm_clock();
    p->sum(p->context, type, values, count);
    if (tr->profile)
        tr->phase[LSTM_PHASE_PARTNERS] += lstm_clock() - start;
}

/* After each backward pass all partners have the gradient of the whole batch, accumulated passes included, so that it
 * can be seen and kept at any time. The next pass adds to that of the first of them; the others begin at zero again. */
static void drop_accumulated(lstm_trainer *tr)
{
    if (tr->counters.accumulated > 0 && tr->config.partners.first > 0)
        memset(tr->grad, 0, tr->m->layout.total * tr->m->layout.esize);
}

/* ---- passes --------------------------------------------------------------------------------------------------------- */

/* Leaves of each row's weights, of `steps` time steps, only the last that is none of zero. */
static void keep_last(double *weight, size_t steps, size_t B)
{
    for (size_t b = 0; b < B; b++) {
        bool found = false;
        for (size_t t = steps; t-- > 0;) {
            double *w = &weight[t * B + b];
            *w = found ? 0 : *w;
            found = found || *w > 0;
        }
    }
}

void lstm_batch_weights(const lstm_batch *batch, size_t rows, lstm_loss_at loss_at, double *weights)
{
    for (size_t k = 0; k < batch->steps * rows; k++)
        weights[k] = batch->mask ? batch->mask[k] : 1;
    if (loss_at == LSTM_LOSS_AT_LAST)
        keep_last(weights, batch->steps, rows);
}

/* weight_at and their sum. Without a mask each partner knows the sum by itself. */
static int weigh(lstm_trainer *tr, const lstm_batch *b, lstm_error *err)
{
    const size_t B = tr->config.batch, n = b->steps * B;
    const bool last = tr->config.loss_at == LSTM_LOSS_AT_LAST;
    lstm_batch_weights(b, B, tr->config.loss_at, tr->weight_at);
    tr->weight_sum = 0;
    for (size_t k = 0; k < n; k++)
        tr->weight_sum += tr->weight_at[k];
    if (b->mask)
        sum_over_partners(tr, LSTM_F64, &tr->weight_sum, 1);
    else
        tr->weight_sum = (double)((last ? 1 : b->steps) * lstm_whole_batch(&tr->config));
    if (!(tr->weight_sum > 0))
        return lstm_fail(err, "mask", "nothing counts: all weights of the loss are zero");
    if (!isfinite(tr->weight_sum))
        return lstm_fail(err, "mask", "weights with a finite sum expected");
    const double width = tr->m->config.loss == LSTM_LOSS_MSE ? (double)tr->m->config.outputs : 1;
    tr->loss_scale = tr->config.reduction == LSTM_MEAN ? 1 / (tr->weight_sum * width) : 1;
    return 0;
}

double lstm_trainer_weight(const lstm_trainer *tr) { return tr->weight_sum; }

/* Forward, but for the sum of the loss over partners, which may wait for the gradient's. */
static int forward_rows(lstm_trainer *tr, const lstm_batch *batch, bool training, lstm_error *err)
{
    const bool has_targets = batch->target_ids || batch->target;
    if (lstm_check_batch(tr, batch, err) || (has_targets && weigh(tr, batch, err)))
        return -1;
    if (batch->reset)
        lstm_trainer_reset(tr);
    keep_start(tr);
    tr->batch = *batch;
    tr->batch.same_weights = batch->same_weights && tr->has_weights;
    tr->steps = batch->steps;
    tr->training = training && !tr->config.inference;
    tr->has_backward = false;
    const double start = lstm_clock();
    tr->m->passes->forward(tr);
    tr->forward_seconds = lstm_clock() - start;
    if (tr->config.inference)
        lstm_team_learn(tr, tr->forward_seconds);
    tr->has_forward = tr->has_weights = true;
    if (!has_targets)
        tr->loss = (double)NAN;
    return 0;
}

int lstm_trainer_forward(lstm_trainer *tr, const lstm_batch *batch, bool training, double *loss, lstm_error *err)
{
    if (forward_rows(tr, batch, training, err))
        return -1;
    if (batch->target_ids || batch->target)
        sum_over_partners(tr, LSTM_F64, &tr->loss, 1);
    if (loss)
        *loss = tr->loss;
    return 0;
}

/* Takes over what the caller's own loss says, for the pass that comes. */
static void take_upstream(lstm_trainer *tr, const lstm_upstream *upstream)
{
    lstm_tensor dlogits;
    lstm_error none;
    tr->upstream = upstream ? *upstream : (lstm_upstream){0};
    if (tr->upstream.logits && lstm_trainer_tensor(tr, LSTM_DLOGITS, 0, &dlogits, &none) == 0)
        lstm_tensor_write(&dlogits, 0, lstm_tensor_size(&dlogits), tr->upstream.logits);
    if (tr->upstream.c) /* without it dc could not be computed later */
        tr->wants_dz = true;
}

int lstm_trainer_backward(lstm_trainer *tr, const lstm_upstream *upstream, lstm_error *err)
{
    if (tr->config.inference)
        return lstm_fail(err, "", "this trainer is for inference only: it has no backward pass");
    if (!tr->has_forward)
        return lstm_fail(err, "", "no forward pass came before it");
    if (!tr->batch.target_ids && !tr->batch.target && !upstream)
        return lstm_fail(err, "targets", "the forward pass before had none, and no gradients of another loss are given");
    if (upstream && upstream->c && tr->m->layout.gates == 1)
        return lstm_fail(err, "c", "an rnn has none");
    take_upstream(tr, upstream);
    drop_accumulated(tr);
    const double start = lstm_clock();
    tr->m->passes->backward(tr);
    lstm_team_learn(tr, tr->forward_seconds + lstm_clock() - start);
    tr->upstream = (lstm_upstream){0};
    sum_over_partners(tr, tr->m->config.type, tr->grad, tr->m->layout.total);
    tr->counters.passes++;
    tr->summed = ++tr->counters.accumulated;
    tr->has_backward = true;
    tr->has_dstate = false;
    return 0;
}

void lstm_trainer_zero(lstm_trainer *tr)
{
    tr->counters.accumulated = 0;
}

size_t lstm_trainer_summed(const lstm_trainer *tr) { return tr->summed; }

int lstm_trainer_update(lstm_trainer *tr, lstm_update_stats *stats, lstm_error *err)
{
    if (tr->config.inference)
        return lstm_fail(err, "", "this trainer is for inference only: it has no optimiser");
    if (tr->counters.accumulated == 0)
        return lstm_fail(err, "", "no backward pass came before it");
    tr->m->passes->update(tr);
    tr->counters.accumulated = 0;
    if (stats)
        *stats = tr->update;
    return 0;
}

int lstm_trainer_step(lstm_trainer *tr, const lstm_batch *batch, lstm_step_stats *stats, lstm_error *err)
{
    lstm_step_stats s = {0};
    if (forward_rows(tr, batch, true, err) || lstm_trainer_backward(tr, NULL, err))
        return -1;
    sum_over_partners(tr, LSTM_F64, &tr->loss, 1);
    s.loss = tr->loss;
    if (tr->counters.accumulated >= tr->config.accumulate && lstm_trainer_update(tr, &s.update, err))
        return -1;
    if (tr->config.carry)
        lstm_trainer_carry(tr);
    if (stats)
        *stats = s;
    return 0;
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

static const char *const what_names[LSTM_WHATS] = {
    [LSTM_I] = "i", [LSTM_F] = "f", [LSTM_G] = "g", [LSTM_O] = "o", [LSTM_C] = "c", [LSTM_H] = "h",
    [LSTM_DI] = "di", [LSTM_DF] = "df", [LSTM_DG] = "dg", [LSTM_DO] = "do", [LSTM_DC] = "dc", [LSTM_DH] = "dh",
    [LSTM_LOGITS] = "logits", [LSTM_LOSS] = "loss", [LSTM_DLOGITS] = "dlogits", [LSTM_DX] = "input",
    [LSTM_STATE_H] = "state.h", [LSTM_STATE_C] = "state.c", [LSTM_START_H] = "h_start",
    [LSTM_START_C] = "c_start", [LSTM_FINAL_H] = "final.h", [LSTM_FINAL_C] = "final.c",
    [LSTM_DSTATE_H] = "dstate.h", [LSTM_DSTATE_C] = "dstate.c", [LSTM_GRAD] = "gradient", [LSTM_MOMENT1] = "moment1", [LSTM_MOMENT2] = "moment2",
};

const char *lstm_what_name(lstm_what w) { return (unsigned)w < LSTM_WHATS ? what_names[w] : NULL; }

/* [T,B,H] over blocks whose neighbours are `next` elements apart, rows `row` apart. */
static void unit_view(const lstm_trainer *tr, lstm_tensor *t, size_t width, size_t per_time, size_t next, size_t row,
                      void *data)
{
    t->ndim = 3;
    t->dim[0] = "time";
    t->dim[1] = "batch";
    t->dim[2] = "unit";
    t->axis[0] = lstm_axis_plain(tr->steps, per_time);
    t->axis[1] = lstm_axis_plain(tr->config.batch, row);
    t->axis[2] = (lstm_axis){
        .size = width, .group = width, .block = tr->m->layout.nb, .block_stride = next, .stride = 1};
    t->data = data;
}

/* h, c and the like: [T][block][B][nb] */
static void state_view(const lstm_trainer *tr, lstm_tensor *t, void *data, size_t from_time)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t next = tr->config.batch * y->nb, per_time = y->G * next;
    unit_view(tr, t, y->H, per_time, next, y->nb, (char *)data + from_time * per_time * y->esize);
}

/* One gate of z or dz. lstm: [T][G][B][4][nb]; rnn: blocks of units in panels of four. */
static void gate_view(const lstm_trainer *tr, lstm_tensor *t, void *data, size_t gate)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t row = PANEL * y->nb, panel = tr->config.batch * row, per_time = y->panels * panel;
    unit_view(tr, t, y->H, per_time, panel, row, (char *)data + gate * y->nb * y->esize);
    if (y->gates == 1) {
        t->axis[2].group = row;
        t->axis[2].group_stride = panel;
        t->axis[2].block_stride = y->nb;
    }
}

/* Drops the time axis: [B,H] at one time. */
static void drop_time(lstm_tensor *t)
{
    t->ndim = 2;
    memmove(&t->axis[0], &t->axis[1], 2 * sizeof t->axis[0]);
    memmove(&t->dim[0], &t->dim[1], 2 * sizeof t->dim[0]);
}

static void output_view(const lstm_trainer *tr, lstm_tensor *t, void *data)
{
    const lstm_layout *y = &tr->m->layout;
    t->ndim = 3;
    t->dim[0] = "time";
    t->dim[1] = "batch";
    t->dim[2] = "output";
    t->axis[0] = lstm_axis_plain(tr->steps, tr->config.batch * y->o_stride);
    t->axis[1] = lstm_axis_plain(tr->config.batch, y->o_stride);
    t->axis[2] = lstm_axis_plain(y->O, 1);
    t->data = data;
}

static void loss_view(const lstm_trainer *tr, lstm_tensor *t)
{
    t->ndim = 2;
    t->type = LSTM_F64;
    t->dim[0] = "time";
    t->dim[1] = "batch";
    t->axis[0] = lstm_axis_plain(tr->steps, tr->config.batch);
    t->axis[1] = lstm_axis_plain(tr->config.batch, 1);
    t->data = tr->loss_at;
}

static int refuse(const lstm_trainer *tr, lstm_what what, size_t index, lstm_error *err)
{
    const lstm_layout *y = &tr->m->layout;
    const bool lstm_only = (what <= LSTM_C) || (what >= LSTM_DI && what <= LSTM_DF) || what == LSTM_DO ||
                           what == LSTM_DC || what == LSTM_STATE_C || what == LSTM_START_C || what == LSTM_FINAL_C ||
                           what == LSTM_DSTATE_C;
    const bool backward = (what >= LSTM_DI && what <= LSTM_DH) || what == LSTM_DX || what == LSTM_DSTATE_H ||
                          what == LSTM_DSTATE_C;
    const bool parameter = what >= LSTM_GRAD, start = what == LSTM_START_H || what == LSTM_START_C;
    const bool training = backward || parameter || start || what == LSTM_DLOGITS;
    const bool state = what == LSTM_STATE_H || what == LSTM_STATE_C;
    const size_t count = parameter ? y->params : what >= LSTM_LOGITS && what <= LSTM_DX ? 1 : y->L;
    if ((unsigned)what >= LSTM_WHATS)
        return lstm_fail(err, "name", "no such tensor");
    if (index >= count)
        return lstm_fail(err, parameter ? "parameter" : "layer", "%s: expected 0 to %zu, got %zu", what_names[what],
                         count - 1, index);
    if (lstm_only && y->gates == 1)
        return lstm_fail(err, "name", "an rnn has no '%s'", what_names[what]);
    if (training && tr->config.inference)
        return lstm_fail(err, "name", "a trainer for inference has no '%s'", what_names[what]);
    if (what == LSTM_DX && !y->in)
        return lstm_fail(err, "name", "one-hot input has no gradient; use an embedding or dense input");
    if (backward && !tr->has_backward)
        return lstm_fail(err, "name", "'%s' needs a backward pass first", what_names[what]);
    if (!backward && !parameter && !state && !tr->steps)
        return lstm_fail(err, "name", "'%s' needs a forward pass first", what_names[what]);
    return 0;
}

static void fill_view(lstm_trainer *tr, lstm_what what, size_t l, lstm_tensor *t)
{
    const lstm_layout *y = &tr->m->layout;
    const size_t in_next = tr->config.batch * y->nb;
    lstm_layer_work *w = what < LSTM_GRAD ? &tr->layer[l] : NULL;
    switch (what) {
    case LSTM_I: case LSTM_F: case LSTM_G: case LSTM_O:
        gate_view(tr, t, w->z, (size_t)(what - LSTM_I));
        break;
    case LSTM_DI: case LSTM_DF: case LSTM_DG: case LSTM_DO:
        gate_view(tr, t, w->dz, y->gates == 1 ? 0 : (size_t)(what - LSTM_DI));
        break;
    case LSTM_C: state_view(tr, t, w->c, 1); break;
    case LSTM_H: state_view(tr, t, w->h, 1); break;
    case LSTM_DC: state_view(tr, t, w->dc, 0); break;
    case LSTM_DH: state_view(tr, t, w->dh, 0); break;
    case LSTM_LOGITS: output_view(tr, t, tr->logits); break;
    case LSTM_DLOGITS: output_view(tr, t, tr->dlogits); break;
    case LSTM_LOSS: loss_view(tr, t); break;
    case LSTM_DX:
        unit_view(tr, t, y->in, y->in_blocks * in_next, in_next, y->nb, tr->dx);
        t->dim[2] = "input";
        break;
    case LSTM_STATE_H: state_view(tr, t, w->h, 0); break;
    case LSTM_STATE_C: state_view(tr, t, w->c, 0); break;
    case LSTM_START_H: state_view(tr, t, w->h_start, 0); break;
    case LSTM_START_C: state_view(tr, t, w->c_start, 0); break;
    case LSTM_FINAL_H: state_view(tr, t, w->h, tr->steps); break;
    case LSTM_FINAL_C: state_view(tr, t, w->c, tr->steps); break;
    case LSTM_DSTATE_H: state_view(tr, t, w->dstate_h, 0); break;
    case LSTM_DSTATE_C: state_view(tr, t, w->carry, 0); break;
    case LSTM_GRAD: *t = lstm_param_view(tr->m, l, tr->grad); break;
    case LSTM_MOMENT1: *t = lstm_param_view(tr->m, l, tr->m1); break;
    case LSTM_MOMENT2: *t = lstm_param_view(tr->m, l, tr->m2); break;
    case LSTM_WHATS: break;
    }
    if (what >= LSTM_STATE_H && what <= LSTM_DSTATE_C)
        drop_time(t);
}

int lstm_trainer_tensor(const lstm_trainer *tr, lstm_what what, size_t index, lstm_tensor *out, lstm_error *err)
{
    lstm_trainer *work = (lstm_trainer *)tr; /* views can be written; some gradients are computed when asked for */
    if (refuse(tr, what, index, err))
        return -1;
    if (what == LSTM_DSTATE_H && !tr->has_dstate && !lstm_early_state(tr)) {
        tr->m->passes->state_gradients(work);
        work->has_dstate = true;
    }
    if (what >= LSTM_DI && what <= LSTM_DC && !tr->wants_dz) {
        if (tr->parts && tr->m->layout.gates == PANEL)
            tr->m->passes->gate_gradients(work);
        work->wants_dz = true;
    }
    memset(out, 0, sizeof *out);
    strcpy(out->name, what_names[what]);
    out->type = tr->m->config.type;
    fill_view(work, what, index, out);
    return 0;
}

/* ---- profile -------------------------------------------------------------------------------------------------------- */

static const char *const phase_names[LSTM_PHASES] = {"input", "forward", "head", "backward", "inputs_back", "weights",
                                                     "partners", "update"};

const char *lstm_phase_name(lstm_phase p) { return (unsigned)p < LSTM_PHASES ? phase_names[p] : NULL; }

void lstm_trainer_profile(lstm_trainer *tr, bool on)
{
    tr->profile = on;
    if (on)
        memset(tr->phase, 0, sizeof tr->phase);
}

double lstm_trainer_phase_seconds(const lstm_trainer *tr, lstm_phase p) { return tr->phase[p]; }

/* ---- plan ----------------------------------------------------------------------------------------------------------- */

static double step_flops(const lstm_layout *y, const lstm_trainer_config *c)
{
    const double positions = (double)c->batch * (double)c->seq, H = (double)y->H, gates = (double)y->gates;
    double products = H * (double)y->O;
    for (size_t l = 0; l < y->L; l++)
        products += gates * H * (H + (double)(l ? y->H : y->in));
    return positions * 2 * products * (c->inference ? 1 : 3);
}

int lstm_plan_for(const lstm_model_config *model, const lstm_trainer_config *trainer, lstm_plan *plan, lstm_error *err)
{
    lstm_model m = {.config = *model};
    lstm_trainer tr = {.m = &m, .config = *trainer};
    size_t total = 0;
    if (lstm_check_model(model, err) || lstm_check_trainer(model, trainer, err) || lstm_check_machine(model, err) ||
        lstm_layout_new(&m.layout, model, err))
        return -1;
    choose_products(&tr);
    const size_t bytes = arena_bytes(&tr);
    const bool fits = bytes != SIZE_MAX && lstm_size_add(&total, m.layout.total, m.layout.esize, 1, 1);
    *plan = (lstm_plan){.parameters = m.layout.size,
                        .model_bytes = sizeof m + m.layout.params * sizeof(lstm_param) + total,
                        .trainer_bytes = sizeof tr + bytes,
                        .flops_per_step = step_flops(&m.layout, trainer),
                        .products = tr.products};
    lstm_layout_free(&m.layout);
    return fits ? 0 : lstm_fail(err, "hidden", "more than memory can address");
}
