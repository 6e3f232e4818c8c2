/* SPDX-License-Identifier: MIT
 *
 * test_naive.c - the engine against the plain loops of naive.c over many shapes, around the sizes of its blocks and
 * panels above all: every gate, state, gradient, and three updates; in both precisions. And what dropout does.
 *
 * Tolerances as in test_reference.c: two programs with different orders of summation.
 */
#include "naive.h"
#include "support.h"
#include "tap.h"

enum { SHAPES = 48 };

typedef struct tolerance {
    double forward, backward;
} tolerance;

static tolerance tolerance_of(lstm_type type)
{
    return type == LSTM_F64 ? (tolerance){1e-10, 1e-10} : (tolerance){1e-5, 1e-4};
}

/* The worst tensor of a comparison: error in units of its tolerance. */
typedef struct worst {
    double excess, error;
    char name[LSTM_NAME_SIZE];
} worst;

static void note_error(worst *w, const char *name, double error, double allowed)
{
    if (!(error / allowed <= w->excess)) {
        w->excess = error / allowed;
        w->error = error;
        snprintf(w->name, sizeof w->name, "%s", name);
    }
}

static void compare(worst *w, const lstm_trainer *tr, lstm_what what, size_t index, const double *want, double allowed)
{
    lstm_tensor t = must_tensor(tr, what, index);

    note_error(w, t.name, tensor_error(&t, want), allowed);
}

/* ---- one pass --------------------------------------------------------------------------------------------------- */

static void compare_layer(worst *w, const lstm_trainer *tr, const naive *n, size_t l)
{
    tolerance tol = tolerance_of(n->net.type);
    size_t state = n->B * n->net.hidden, last = (n->T - 1) * state;

    compare(w, tr, LSTM_H, l, naive_layer(n, n->h, l), tol.forward);
    compare(w, tr, LSTM_FINAL_H, l, naive_layer(n, n->h, l) + last, tol.forward);
    compare(w, tr, LSTM_DH, l, naive_layer(n, n->dh, l), tol.backward);
    compare(w, tr, LSTM_DG, l, naive_layer(n, n->dg, l), tol.backward);
    compare(w, tr, LSTM_DSTATE_H, l, n->dh0 + l * state, tol.backward);
    if (n->net.cell == LSTM_CELL_RNN)
        return;
    compare(w, tr, LSTM_I, l, naive_layer(n, n->i, l), tol.forward);
    compare(w, tr, LSTM_F, l, naive_layer(n, n->f, l), tol.forward);
    compare(w, tr, LSTM_G, l, naive_layer(n, n->g, l), tol.forward);
    compare(w, tr, LSTM_O, l, naive_layer(n, n->o, l), tol.forward);
    compare(w, tr, LSTM_C, l, naive_layer(n, n->c, l), tol.forward);
    compare(w, tr, LSTM_FINAL_C, l, naive_layer(n, n->c, l) + last, tol.forward);
    compare(w, tr, LSTM_DI, l, naive_layer(n, n->di, l), tol.backward);
    compare(w, tr, LSTM_DF, l, naive_layer(n, n->df, l), tol.backward);
    compare(w, tr, LSTM_DO, l, naive_layer(n, n->dgo, l), tol.backward);
    compare(w, tr, LSTM_DC, l, naive_layer(n, n->dc, l), tol.backward);
    compare(w, tr, LSTM_DSTATE_C, l, n->dc0 + l * state, tol.backward);
}

/* After forward and backward of both. */
static void compare_pass(worst *w, const lstm_trainer *tr, const naive *n)
{
    tolerance tol = tolerance_of(n->net.type);

    for (size_t l = 0; l < n->net.layers; l++)
        compare_layer(w, tr, n, l);
    compare(w, tr, LSTM_LOGITS, 0, n->y, tol.forward);
    if (n->net.input != LSTM_INPUT_ONEHOT)
        compare(w, tr, LSTM_DX, 0, n->dx, tol.backward);
    for (size_t k = 0; k < n->params; k++)
        compare(w, tr, LSTM_GRAD, k, n->param[k].grad, tol.backward);
}

/* ---- shapes ----------------------------------------------------------------------------------------------------- */

static size_t pick(uint64_t *seed, const size_t *from, size_t n)
{
    return from[random_below(seed, n)];
}

/* Blocks hold 16 floats or 8 doubles; panels four blocks. */
static const size_t EDGES[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 40, 63, 64, 65};
enum { SMALL = 9, EDGE_COUNT = sizeof EDGES / sizeof *EDGES };

static lstm_model_config draw_net(uint64_t *s, lstm_type type)
{
    lstm_model_config net = {.type = type, .cell = (lstm_cell)random_below(s, 2)};
    size_t width = pick(s, EDGES, EDGE_COUNT);

    net.input = (lstm_input)random_below(s, 3);
    net.loss = (lstm_loss)random_below(s, 2);
    net.layers = 1 + random_below(s, 3);
    net.hidden = pick(s, EDGES, net.layers > 1 ? EDGE_COUNT - 3 : EDGE_COUNT);
    net.vocab = net.input == LSTM_INPUT_DENSE ? 0 : width;
    net.embed = net.input == LSTM_INPUT_EMBEDDING ? pick(s, EDGES, EDGE_COUNT) : 0;
    net.inputs = net.input == LSTM_INPUT_DENSE ? width : 0;
    net.outputs = pick(s, EDGES, EDGE_COUNT);
    return net;
}

static lstm_trainer_config draw_training(uint64_t *s)
{
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = pick(s, EDGES, SMALL + 2);
    c.seq = 1 + random_below(s, 5);
    c.optimizer = (lstm_optimizer)random_below(s, 4);
    c.momentum = random_below(s, 2) ? 0.5 : 0;
    c.weight_decay = 0.05;
    c.decay_biases = random_below(s, 2);
    c.clip = (lstm_clip)random_below(s, 3);
    c.clip_at = 0.01;
    c.lr = 1e-3;
    c.loss_at = (lstm_loss_at)random_below(s, 2);
    c.reduction = (lstm_reduction)random_below(s, 2);
    c.carry = false;
    c.threads = 1 + (int)random_below(s, 3);
    return c;
}

/* Three updates of both on the same batch. RMSprop and Adam divide by the gradient's own size, so in float32 a relative
 * error of a tiny gradient element becomes one of a whole update: lr is small and the norm is the parameters'. */
static void compare_updates(worst *w, lstm_trainer *tr, naive *n, const data *d)
{
    lstm_model *m = lstm_trainer_model(tr);
    const lstm_trainer_config *c = lstm_trainer_settings(tr);
    lstm_batch batch = data_batch(d);
    naive_batch plain = data_naive(d, c);
    tolerance tol = tolerance_of(n->net.type);

    lstm_trainer_zero(tr);
    for (unsigned long update = 1; update <= 3; update++) {
        lstm_step_stats stats = must_step(tr, &batch);
        double loss = naive_forward(n, &plain);

        naive_zero(n);
        naive_backward(n);
        double norm = naive_clip(n, c->clip, c->clip_at);

        naive_update(n, c, c->lr, update);
        note_error(w, "loss", relative_error(&stats.loss, &loss, 1), tol.forward);
        note_error(w, "grad_norm", relative_error(&stats.update.grad_norm, &norm, 1), tol.backward);
    }
    for (size_t k = 0; k < n->params; k++) {
        lstm_tensor t = lstm_model_param(m, k);

        note_error(w, t.name, tensor_error(&t, n->param[k].value), tol.backward);
    }
}

/* One network and T of the trainer's steps; std: of the parameters. */
static void check(const lstm_model_config *config, const lstm_trainer_config *training, size_t T, double std,
                  bool masked, uint64_t s)
{
    const lstm_model_config net = *config;
    const lstm_trainer_config c = *training;
    const lstm_type type = net.type;
    lstm_model *m = must_model(&net);
    lstm_trainer *tr = must_trainer(m, &c);
    data *d = data_new(&net, T, c.batch, masked, s + 1);
    lstm_batch batch = data_batch(d);
    worst w = {0};

    randomize(m, std, s + 2);
    randomize_state(tr, 0.5, s + 3);
    naive *n = naive_of(tr, T);
    naive_batch plain = data_naive(d, &c);
    double want = naive_forward(n, &plain), got = must_forward(tr, &batch, true);

    naive_backward(n);
    must_backward(tr);
    note_error(&w, "loss", relative_error(&got, &want, 1), tolerance_of(type).forward);
    compare_pass(&w, tr, n);
    compare_updates(&w, tr, n, d);
    tap_ok(w.excess <= 1, "%s %s L=%zu H=%zu V=%zu E=%zu I=%zu O=%zu T=%zu of %zu B=%zu: largest error %.1e (%s)",
           type == LSTM_F64 ? "float64" : "float32", net.cell == LSTM_CELL_LSTM ? "lstm" : "rnn", net.layers,
           net.hidden, net.vocab, net.embed, net.inputs, net.outputs, T, c.seq, c.batch, w.error, w.name);
    naive_free(n);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

static void check_shape(uint64_t seed, lstm_type type)
{
    lstm_model_config net = draw_net(&seed, type);
    lstm_trainer_config c = draw_training(&seed);
    size_t T = 1 + random_below(&seed, c.seq);

    check(&net, &c, T, 0.3, random_below(&seed, 2), seed);
}

/* Sizes at which sums are cut into pieces that stay in the cache (128 terms), in each place where one can be long. */
static void check_large(lstm_type type)
{
    static const struct {
        size_t V, E, H, B, T;
    } size[] = {{5, 4, 150, 3, 3}, {5, 4, 9, 150, 3}, {5, 4, 17, 40, 9}, {300, 4, 10, 2, 3}, {7, 140, 10, 2, 3}};

    for (size_t k = 0; k < sizeof size / sizeof *size; k++) {
        lstm_model_config net = config_lstm(size[k].V, size[k].H, 2);
        lstm_trainer_config c;

        net.type = type;
        net.input = LSTM_INPUT_EMBEDDING;
        net.embed = size[k].E;
        lstm_trainer_defaults(&c);
        c.batch = size[k].B;
        c.seq = size[k].T;
        check(&net, &c, size[k].T, 0.1, false, 5);
    }
}

/* Units driven into saturation, logits of hundreds: still the same numbers, nothing infinite. */
static void check_extreme(lstm_type type)
{
    lstm_model_config net = config_lstm(9, 20, 1);
    lstm_trainer_config c;

    net.type = type;
    lstm_trainer_defaults(&c);
    c.batch = 3;
    c.seq = 4;
    lstm_model *m = must_model(&net);
    lstm_trainer *tr = must_trainer(m, &c);
    data *d = data_new(&net, 4, 3, false, 1);
    lstm_batch batch = data_batch(d);
    worst w = {0};

    randomize(m, 100, 2);
    naive *n = naive_of(tr, 4);
    naive_batch plain = data_naive(d, &c);
    double want = naive_forward(n, &plain), got = must_forward(tr, &batch, true);

    must_backward(tr);
    note_error(&w, "loss", relative_error(&got, &want, 1), tolerance_of(type).forward);
    compare(&w, tr, LSTM_H, 0, n->h, tolerance_of(type).forward);
    compare(&w, tr, LSTM_LOGITS, 0, n->y, tolerance_of(type).forward);
    tap_ok(w.excess <= 1 && want > 100, "%s, parameters of size 100: loss %.1f, largest error %.1e (%s)",
           type == LSTM_F64 ? "float64" : "float32", got, w.error, w.name);
    tap_ok(isfinite(must_update(tr).grad_norm), "... and the gradient is finite");
    naive_free(n);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

/* ---- dropout ---------------------------------------------------------------------------------------------------- */

/* A network whose logits are its top h after dropout: the head is the identity. */
static lstm_model *glass_model(lstm_type type, double dropout)
{
    lstm_model_config net = config_lstm(5, 32, 1);
    size_t k;

    net.type = type;
    net.outputs = net.hidden;
    net.dropout = dropout;
    lstm_model *m = must_model(&net);

    randomize(m, 0.5, 3);
    for (const char **name = (const char *[]){"head.weight", "head.bias", NULL}; *name; name++) {
        if (lstm_model_find(m, *name, &k))
            bail("no %s", *name);
        lstm_tensor t = lstm_model_param(m, k);

        for (size_t e = 0; e < lstm_tensor_size(&t); e++)
            lstm_tensor_set(&t, e, t.ndim == 2 && e / net.hidden == e % net.hidden);
    }
    return m;
}

/* Reads the mask of the last forward through the glass model into drop [T,B,H]; the share of kept units, or -1 when
 * some unit was neither dropped nor scaled by 1/(1-p). */
static double read_mask(const lstm_trainer *tr, double p, double *drop)
{
    lstm_tensor h = must_tensor(tr, LSTM_H, 0), y = must_tensor(tr, LSTM_LOGITS, 0);
    size_t n = lstm_tensor_size(&h), kept = 0;

    for (size_t k = 0; k < n; k++) {
        double unit = lstm_tensor_at(&h, k), out = lstm_tensor_at(&y, k);

        drop[k] = out == 0 ? 0 : 1 / (1 - p);
        kept += out != 0;
        if (fabs(out - unit * drop[k]) > 1e-6 * fabs(unit))
            return -1;
    }
    return (double)kept / (double)n;
}

/* Dropout at p: which units, how much, and the gradients behind the mask. */
static void check_dropout(lstm_type type, double p)
{
    enum { T = 6, B = 16, H = 32, N = T * B * H };
    lstm_model *m = glass_model(type, p);
    lstm_trainer_config c;
    double *first = must_alloc(N * sizeof *first), *second = must_alloc(N * sizeof *second);
    const char *name = type == LSTM_F64 ? "float64" : "float32";

    lstm_trainer_defaults(&c);
    c.batch = B;
    c.seq = T;
    lstm_trainer *tr = must_trainer(m, &c);
    data *d = data_new(lstm_model_settings(m), T, B, false, 8);
    lstm_batch batch = data_batch(d);
    naive *n = naive_of(tr, T);
    naive_batch plain = data_naive(d, &c);
    worst w = {0};

    must_forward(tr, &batch, false);
    tap_ok(read_mask(tr, 0, first) == 1, "%s: no dropout in evaluation", name);
    must_forward(tr, &batch, true);
    double share = read_mask(tr, p, first);

    /* Five standard deviations of a binomial share of N draws. */
    tap_ok(fabs(share - (1 - p)) < 5 * sqrt(p * (1 - p) / N), "%s: dropout %g keeps %.4f, scaled by 1/(1-p)", name, p,
           share);
    must_forward(tr, &batch, true);
    read_mask(tr, p, second);
    tap_ok(!memcmp(first, second, N * sizeof *first), "%s: the mask is the same until a backward pass", name);
    memcpy(n->drop, first, N * sizeof *first);
    naive_forward(n, &plain);
    naive_backward(n);
    must_backward(tr);
    compare_pass(&w, tr, n);
    tap_ok(w.excess <= 1, "%s: gradients behind the mask: largest error %.1e (%s)", name, w.error, w.name);
    must_forward(tr, &batch, true);
    read_mask(tr, p, second);
    size_t same = 0;

    for (size_t k = 0; k < N; k++)
        same += first[k] == second[k];
    double expected = p * p + (1 - p) * (1 - p);

    tap_ok(fabs((double)same / N - expected) < 5 * sqrt(expected * (1 - expected) / N),
           "%s: the next pass has an independent mask (%.4f equal, %.4f expected)", name, (double)same / N, expected);
    naive_free(n);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    free(first);
    free(second);
}

int main(void)
{
    for (uint64_t k = 0; k < SHAPES; k++) {
        check_shape(100 + k, LSTM_F64);
        check_shape(100 + k, LSTM_F32);
    }
    check_large(LSTM_F64);
    check_large(LSTM_F32);
    check_extreme(LSTM_F64);
    check_extreme(LSTM_F32);
    check_dropout(LSTM_F64, 0.25);
    check_dropout(LSTM_F32, 0.6);
    return tap_done();
}
