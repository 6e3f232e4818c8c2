/* SPDX-License-Identifier: MIT
 *
 * config.c - every field of a configuration is checked here, completely, before memory is taken.
 */
#include "engine.h"

#include <math.h>

/* No dimension beyond 2^31-1: token ids are int32, and products of two dimensions then fit 64 bits. */
#define MOST_UNITS ((size_t)INT32_MAX)
#define MOST_LAYERS ((size_t)10000)

static int check_size(const char *field, size_t value, size_t most, lstm_error *err)
{
    if (value >= 1 && value <= most)
        return 0;
    return lstm_fail(err, field, "expected 1 to %zu, got %zu", most, value);
}

static int check_unused(const char *field, size_t value, const char *why, lstm_error *err)
{
    return value ? lstm_fail(err, field, "%s", why) : 0;
}

/* Elements the parameters will take, before a layout exists: a bound that must not overflow. */
static int check_total(const lstm_model_config *c, lstm_error *err)
{
    const size_t pad = LSTM_LINE, units = c->hidden + pad, gates = 4 * units + 4 * pad, size = sizeof(double);
    const size_t input = c->input == LSTM_INPUT_ONEHOT ? c->vocab : c->input == LSTM_INPUT_EMBEDDING ? c->embed
                                                                                                     : c->inputs;
    size_t total = 0;
    if (!lstm_size_add(&total, gates, units, 2 * c->layers, size) || !lstm_size_add(&total, gates, c->layers, 1, size))
        return lstm_fail(err, "hidden", "%zu units in %zu layers are more than memory can address", c->hidden,
                         c->layers);
    if (!lstm_size_add(&total, gates, input + pad, 1, size) ||
        !lstm_size_add(&total, c->vocab, c->embed + pad, 1, size))
        return lstm_fail(err, c->input == LSTM_INPUT_DENSE ? "input" : "vocab",
                         "the input weights are more than memory can address");
    if (!lstm_size_add(&total, c->outputs + 5 * pad, units, 1, size))
        return lstm_fail(err, "output", "the output weights are more than memory can address");
    return 0;
}

int lstm_check_model(const lstm_model_config *c, lstm_error *err)
{
    if ((unsigned)c->cell > LSTM_CELL_RNN)
        return lstm_fail(err, "cell", "expected lstm or rnn");
    if ((unsigned)c->input > LSTM_INPUT_DENSE)
        return lstm_fail(err, "input", "expected one-hot, embedding or dense");
    if ((unsigned)c->loss > LSTM_LOSS_MSE)
        return lstm_fail(err, "loss", "expected cross-entropy or mean squared error");
    if ((unsigned)c->type > LSTM_F64)
        return lstm_fail(err, "precision", "expected float or double");
    if ((unsigned)c->products > LSTM_PRODUCTS_AUTO || (c->products != LSTM_PRODUCTS_REAL && c->type != LSTM_F32))
        return lstm_fail(err, "precision", "expected products of reals or, with float, of bfloat16 numbers");
    if (check_size("hidden", c->hidden, MOST_UNITS, err) || check_size("layers", c->layers, MOST_LAYERS, err))
        return -1;
    if (c->input == LSTM_INPUT_DENSE) {
        if (check_size("input", c->inputs, MOST_UNITS, err) ||
            check_unused("vocab", c->vocab, "not with dense input", err) ||
            check_unused("embed", c->embed, "not with dense input", err))
            return -1;
    } else {
        if (check_size("vocab", c->vocab, MOST_UNITS, err) ||
            check_unused("input", c->inputs, "not with tokens as input", err))
            return -1;
        if (c->input == LSTM_INPUT_EMBEDDING ? check_size("embed", c->embed, MOST_UNITS, err)
                                             : check_unused("embed", c->embed, "not with one-hot input", err))
            return -1;
    }
    if (check_size(c->loss == LSTM_LOSS_MSE || c->input == LSTM_INPUT_DENSE ? "output" : "vocab", c->outputs,
                   MOST_UNITS, err))
        return -1;
    if (!(c->dropout >= 0 && c->dropout < 1))
        return lstm_fail(err, "dropout", "expected at least 0 and less than 1, got %g", c->dropout);
    return check_total(c, err);
}

/* Units and rows from which products in tiles were seen to gain (docs/precision.md). */
#define TILED_UNITS 512
#define TILED_ROWS 64

lstm_products lstm_products_for(const lstm_model_config *m, const lstm_trainer_config *c)
{
    const bool gains = m->hidden >= TILED_UNITS && lstm_whole_batch(c) >= TILED_ROWS;
    return gains && lstm_auto_units() ? LSTM_PRODUCTS_BF16X6 : LSTM_PRODUCTS_REAL;
}

static int check_range(const char *field, double v, double least, double below, lstm_error *err)
{
    if (v >= least && v < below && isfinite(v))
        return 0;
    if (isinf(below))
        return lstm_fail(err, field, "expected a finite number of at least %g, got %g", least, v);
    return lstm_fail(err, field, "expected at least %g and less than %g, got %g", least, below, v);
}

static int check_optimizer(const lstm_trainer_config *c, lstm_error *err)
{
    if ((unsigned)c->optimizer > LSTM_RMSPROP)
        return lstm_fail(err, "optimizer", "expected adamw, adam, sgd or rmsprop");
    if ((unsigned)c->bias_correction > LSTM_CORRECTION_CONSTANT)
        return lstm_fail(err, "bias_correction", "expected power or constant");
    if ((unsigned)c->clip > LSTM_CLIP_NORM)
        return lstm_fail(err, "clip", "expected none, value or norm");
    if (c->clip != LSTM_CLIP_NONE && !(c->clip_at > 0 && isfinite(c->clip_at)))
        return lstm_fail(err, c->clip == LSTM_CLIP_NORM ? "clip_norm" : "clip_value",
                         "expected a finite number above 0, got %g", c->clip_at);
    if (check_range("lr", c->lr, 0, INFINITY, err) || check_range("beta1", c->beta1, 0, 1, err) ||
        check_range("beta2", c->beta2, 0, 1, err) || check_range("eps", c->eps, 0, INFINITY, err) ||
        check_range("momentum", c->momentum, 0, INFINITY, err) || check_range("alpha", c->alpha, 0, 1, err))
        return -1;
    return check_range("weight_decay", c->weight_decay, 0, INFINITY, err);
}

int lstm_check_trainer(const lstm_model_config *m, const lstm_trainer_config *c, lstm_error *err)
{
    (void)m;
    if (check_size("batch", c->batch, MOST_UNITS, err) || check_size("seq", c->seq, MOST_UNITS, err))
        return -1;
    if (c->batch > MOST_UNITS / c->seq)
        return lstm_fail(err, "seq", "batch * seq = %zu * %zu is more than %zu", c->batch, c->seq, MOST_UNITS);
    if (c->threads < 0 || c->threads > 4096)
        return lstm_fail(err, "threads", "expected 0 (all) to 4096, got %d", c->threads);
    if ((unsigned)c->loss_at > LSTM_LOSS_AT_LAST)
        return lstm_fail(err, "loss_at", "expected all or last");
    if ((unsigned)c->reduction > LSTM_SUM)
        return lstm_fail(err, "reduction", "expected mean or sum");
    if (c->partners.rows && (!c->partners.sum || c->partners.first > c->partners.rows ||
                             c->batch > c->partners.rows - c->partners.first))
        return lstm_fail(err, "partners", "rows %zu to %zu of %zu, and a sum, expected", c->partners.first,
                         c->partners.first + c->batch, c->partners.rows);
    if (c->inference)
        return 0;
    if (check_size("accumulate", c->accumulate, MOST_UNITS, err))
        return -1;
    return check_optimizer(c, err);
}

static int check_ids(const char *field, const int32_t *ids, size_t steps, size_t batch, size_t below, lstm_error *err)
{
    for (size_t k = 0; k < steps * batch; k++)
        if (ids[k] < 0 || (size_t)ids[k] >= below)
            return lstm_fail(err, field, "id %d at time %zu, row %zu is outside 0..%zu", ids[k], k / batch, k % batch,
                             below - 1);
    return 0;
}

int lstm_check_batch(const lstm_trainer *tr, const lstm_batch *b, lstm_error *err)
{
    const lstm_model_config *m = &tr->m->config;
    const size_t batch = tr->config.batch;
    if (b->steps < 1 || b->steps > tr->config.seq)
        return lstm_fail(err, "steps", "expected 1 to %zu time steps (seq), got %zu", tr->config.seq, b->steps);
    if (m->input == LSTM_INPUT_DENSE) {
        if (!b->x || b->ids)
            return lstm_fail(err, b->x ? "ids" : "x", "a model with dense input takes x [T,B,%zu], not ids", m->inputs);
    } else {
        if (!b->ids || b->x)
            return lstm_fail(err, b->ids ? "x" : "ids", "a model with vocab=%zu takes ids [T,B], not x", m->vocab);
        if (check_ids("ids", b->ids, b->steps, batch, m->vocab, err))
            return -1;
    }
    if (b->target && m->loss != LSTM_LOSS_MSE)
        return lstm_fail(err, "targets", "a model with softmax output takes class ids as targets");
    if (b->target_ids && m->loss != LSTM_LOSS_CROSS_ENTROPY)
        return lstm_fail(err, "targets", "a model with linear output takes y [T,B,%zu] as targets", m->outputs);
    if (b->target_ids && check_ids("targets", b->target_ids, b->steps, batch, m->outputs, err))
        return -1;
    for (size_t k = 0; b->mask && k < b->steps * batch; k++)
        if (!(b->mask[k] >= 0 && isfinite(b->mask[k])))
            return lstm_fail(err, "mask", "expected finite weights of at least 0, got %g at time %zu, row %zu",
                             b->mask[k], k / batch, k % batch);
    return 0;
}
