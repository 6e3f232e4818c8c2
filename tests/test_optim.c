/* SPDX-License-Identifier: MIT
 *
 * test_optim.c - optimisers against the plain formulas of torch.optim, clipping, accumulation, statistics of an update,
 * and updates that must not happen.
 *
 * 1e-12 relative after ten float64 updates: gradients agree to about 1e-15, and no formula here amplifies that by more
 * than the division by a small root of moment 2 does.
 */
#include "naive.h"
#include "support.h"
#include "tap.h"

static const double TOLERANCE = 1e-12;

enum { T = 5, B = 4 };

static lstm_trainer_config settings(lstm_optimizer optimizer)
{
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = B;
    c.seq = T;
    c.optimizer = optimizer;
    c.lr = 0.01;
    c.weight_decay = 0;
    return c;
}

static lstm_model *start_model(void)
{
    lstm_model_config net = config_lstm(6, 10, 2);
    lstm_model *m = must_model(&net);

    randomize(m, 0.4, 21);
    return m;
}

static double parameters_error(const lstm_model *m, const naive *n)
{
    double worst = 0;

    for (size_t k = 0; k < n->params; k++) {
        lstm_tensor t = lstm_model_param(m, k);

        worst = fmax(worst, tensor_error(&t, n->param[k].value));
    }
    return worst;
}

/* Ten updates of both, the learning rate falling from one to the next; the largest error of a parameter. */
static double ten_updates(const lstm_trainer_config *c)
{
    lstm_model *m = start_model();
    lstm_trainer *tr = must_trainer(m, c);
    naive *n = naive_of(tr, T);

    for (unsigned long update = 1; update <= 10; update++) {
        data *d = data_new(lstm_model_settings(m), T, B, false, update);
        lstm_batch batch = data_batch(d);
        naive_batch plain = data_naive(d, c);
        double lr = c->lr / (double)update;

        lstm_trainer_set_lr(tr, lr);
        must_step(tr, &batch);
        naive_zero(n);
        naive_forward(n, &plain);
        naive_backward(n);
        naive_clip(n, c->clip, c->clip_at);
        naive_update(n, c, lr, update);
        data_free(d);
    }
    double error = parameters_error(m, n);

    naive_free(n);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    return error;
}

static void check_optimizers(void)
{
    static const char *name[] = {"AdamW", "Adam", "SGD", "RMSprop"};

    for (int optimizer = LSTM_ADAMW; optimizer <= LSTM_RMSPROP; optimizer++)
        for (int variant = 0; variant < 8; variant++) {
            lstm_trainer_config c = settings((lstm_optimizer)optimizer);

            c.momentum = variant & 1 ? 0.9 : 0;
            c.weight_decay = variant & 2 ? 0.1 : 0;
            c.decay_biases = !(variant & 4);
            c.beta1 = 0.85;
            c.beta2 = 0.97;
            c.alpha = 0.95;
            c.eps = 1e-6;
            double error = ten_updates(&c);

            tap_ok(error < TOLERANCE, "%s, momentum %g, decay %g%s: ten updates, largest error %.1e", name[optimizer],
                   c.momentum, c.weight_decay, c.decay_biases ? "" : ", not of biases", error);
        }
}

/* The bias correction without the step's power: the same first update, others after it. */
static void check_constant_correction(void)
{
    for (int optimizer = LSTM_ADAMW; optimizer <= LSTM_ADAM; optimizer++) {
        lstm_trainer_config c = settings((lstm_optimizer)optimizer);

        c.weight_decay = 0.1;
        c.bias_correction = LSTM_CORRECTION_CONSTANT;
        double error = ten_updates(&c);

        tap_ok(error < TOLERANCE, "%s, constant bias correction: ten updates, largest error %.1e",
               optimizer == LSTM_ADAM ? "Adam" : "AdamW", error);
    }
}

static void check_clipping(void)
{
    static const double bound[] = {1e-3, 0.1, 1e6};

    for (int k = 0; k < 3; k++) {
        lstm_trainer_config c = settings(LSTM_SGD);

        c.clip = LSTM_CLIP_NORM;
        c.clip_at = bound[k];
        tap_ok(ten_updates(&c) < TOLERANCE, "clipped to norm %g", bound[k]);
        c.clip = LSTM_CLIP_VALUE;
        tap_ok(ten_updates(&c) < TOLERANCE, "clipped to +-%g", bound[k]);
    }
}

/* ---- accumulation ----------------------------------------------------------------------------------------------- */

/* Rows first .. first+count-1 of a batch of tokens; the caller frees both arrays. */
static lstm_batch rows_of(const data *d, size_t first, size_t count)
{
    int32_t *ids = must_alloc(d->T * count * sizeof *ids), *targets = must_alloc(d->T * count * sizeof *targets);

    for (size_t t = 0; t < d->T; t++)
        for (size_t b = 0; b < count; b++) {
            ids[t * count + b] = d->ids[t * d->B + first + b];
            targets[t * count + b] = d->target_ids[t * d->B + first + b];
        }
    return (lstm_batch){.steps = d->T, .ids = ids, .target_ids = targets};
}

static void free_rows(lstm_batch *batch)
{
    free((void *)batch->ids);
    free((void *)batch->target_ids);
}

/* Three batches of B, accumulated, are one batch of 3 B. */
static void check_accumulation(void)
{
    lstm_model *a = start_model(), *b = start_model();
    lstm_trainer_config small = settings(LSTM_ADAMW), large = small;

    small.accumulate = 3;
    large.batch = 3 * B;
    lstm_trainer *parts = must_trainer(a, &small), *whole = must_trainer(b, &large);
    int updates = 0;

    for (uint64_t k = 0; k < 4; k++) {
        data *d = data_new(lstm_model_settings(a), T, 3 * B, false, k);
        lstm_batch all = data_batch(d);
        lstm_step_stats want = must_step(whole, &all), got = {0};
        double loss = 0;

        for (size_t part = 0; part < 3; part++) {
            lstm_batch batch = rows_of(d, part * B, B);

            got = must_step(parts, &batch);
            loss += got.loss / 3;
            updates += got.update.updated && part == 2;
            free_rows(&batch);
        }
        tap_near(loss, want.loss, 1e-12, "update %d: mean loss of three batches is that of one three times as large",
                 (int)k + 1);
        tap_near(got.update.grad_norm, want.update.grad_norm, 1e-12, "update %d: so is the gradient's norm",
                 (int)k + 1);
        data_free(d);
    }
    double worst = 0;

    for (size_t k = 0; k < lstm_model_params(a); k++) {
        lstm_tensor got = lstm_model_param(a, k), want = lstm_model_param(b, k);
        double *v = values(&want);

        worst = fmax(worst, tensor_error(&got, v));
        free(v);
    }
    tap_ok(worst < TOLERANCE && updates == 4, "after 4 updates the parameters agree: largest error %.1e", worst);
    tap_ok(lstm_trainer_counters(parts).updates == 4 && lstm_trainer_counters(parts).passes == 12 &&
               lstm_trainer_counters(parts).accumulated == 0,
           "counters: 4 updates, 12 passes");
    lstm_trainer_free(parts);
    lstm_trainer_free(whole);
    lstm_model_free(a);
    lstm_model_free(b);
}

/* ---- statistics ------------------------------------------------------------------------------------------------- */

static double *all_parameters(const lstm_model *m)
{
    double *all = must_alloc(lstm_model_size(m) * sizeof *all);
    size_t n = 0;

    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);

        for (size_t j = 0; j < lstm_tensor_size(&t); j++)
            all[n++] = lstm_tensor_at(&t, j);
    }
    return all;
}

static double share_above(const naive *n, double bound)
{
    size_t above = 0, total = 0;

    for (size_t k = 0; k < n->params; k++)
        for (size_t j = 0; j < n->param[k].rows * n->param[k].cols; j++, total++)
            above += fabs(n->param[k].grad[j]) > bound;
    return (double)above / (double)total;
}

static void check_stats(lstm_clip clip, double bound)
{
    static const char *name[] = {"no clipping", "by value", "by norm"};
    lstm_model *m = start_model();
    lstm_trainer_config c = settings(LSTM_ADAMW);

    c.clip = clip;
    c.clip_at = bound;
    lstm_trainer *tr = must_trainer(m, &c);
    naive *n = naive_of(tr, T);
    data *d = data_new(lstm_model_settings(m), T, B, false, 3);
    lstm_batch batch = data_batch(d);
    naive_batch plain = data_naive(d, &c);
    double *before = all_parameters(m);
    lstm_update_stats stats = must_step(tr, &batch).update;
    double *after = all_parameters(m);

    naive_forward(n, &plain);
    naive_backward(n);
    double share = clip == LSTM_CLIP_VALUE ? share_above(n, bound) : clip == LSTM_CLIP_NORM && naive_norm(n) > bound;
    double norm = naive_clip(n, clip, bound);

    tap_near(stats.grad_norm, norm, TOLERANCE, "%s %g: norm before", name[clip], bound);
    tap_near(stats.clipped_norm, naive_norm(n), TOLERANCE, "%s %g: norm after", name[clip], bound);
    tap_near(stats.clipped_share, share, TOLERANCE, "%s %g: share of elements changed, %.3f", name[clip], bound, share);
    /* Whether the norm below the line is that before or after the update is not promised: 1%% apart at most. */
    tap_near(stats.update_ratio, relative_error(after, before, lstm_model_size(m)), 0.02, "%s %g: update ratio %.4f",
             name[clip], bound, stats.update_ratio);
    tap_ok(stats.updated && lstm_trainer_counters(tr).updates == 1, "%s %g: updated", name[clip], bound);
    free(before);
    free(after);
    naive_free(n);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

/* ---- updates that must not happen ------------------------------------------------------------------------------- */

/* A batch whose loss or gradient is not finite, among good ones: the good ones train as if it had not been there. */
static void check_not_finite(lstm_type type, double poison, const char *what)
{
    lstm_model_config net = config_lstm(0, 6, 1);
    lstm_trainer_config c = settings(LSTM_ADAMW);

    net.type = type;
    net.input = LSTM_INPUT_DENSE;
    net.loss = LSTM_LOSS_MSE;
    net.inputs = 3;
    net.outputs = 2;
    lstm_model *m = must_model(&net), *other = must_model(&net);

    randomize(m, 0.4, 5);
    randomize(other, 0.4, 5);
    lstm_trainer *tr = must_trainer(m, &c), *undisturbed = must_trainer(other, &c);
    data *good = data_new(&net, T, B, false, 1), *bad = data_new(&net, T, B, false, 2);

    if (type == LSTM_F64)
        ((double *)bad->target_real)[3] = poison;
    else
        ((float *)bad->target_real)[3] = (float)poison;
    lstm_batch good_batch = data_batch(good), bad_batch = data_batch(bad);

    must_step(tr, &good_batch);
    must_step(undisturbed, &good_batch);
    uint64_t before = hash_model(HASH_START, m);
    lstm_step_stats stats = must_step(tr, &bad_batch);

    tap_ok(!stats.update.updated && !isfinite(stats.update.grad_norm), "%s: not updated, norm %g, loss %g", what,
           stats.update.grad_norm, stats.loss);
    tap_ok(hash_model(HASH_START, m) == before && lstm_trainer_counters(tr).updates == 1, "%s: parameters left alone",
           what);
    must_step(tr, &good_batch);
    must_step(undisturbed, &good_batch);
    tap_ok(hash_model(HASH_START, m) == hash_model(HASH_START, other), "%s: training goes on as if it had not been",
           what);
    lstm_trainer_free(tr);
    lstm_trainer_free(undisturbed);
    lstm_model_free(m);
    lstm_model_free(other);
    data_free(good);
    data_free(bad);
}

/* forward, backward and update one by one are a step. */
static void check_single_calls(void)
{
    lstm_model *a = start_model(), *b = start_model();
    lstm_trainer_config c = settings(LSTM_ADAMW);

    c.carry = true;
    lstm_trainer *step = must_trainer(a, &c), *single = must_trainer(b, &c);

    for (uint64_t k = 0; k < 3; k++) {
        data *d = data_new(lstm_model_settings(a), T, B, false, k);
        lstm_batch batch = data_batch(d);

        must_step(step, &batch);
        must_forward(single, &batch, true);
        must_backward(single);
        must_update(single);
        lstm_trainer_carry(single);
        data_free(d);
    }
    tap_ok(hash_training(HASH_START, step) == hash_training(HASH_START, single),
           "forward, backward, update and carry by hand are a step, to the bit");
    lstm_trainer_free(step);
    lstm_trainer_free(single);
    lstm_model_free(a);
    lstm_model_free(b);
}

/* What a pass left can be looked at after the update that followed, too; for many rows and for few, which the engine
 * treats differently. */
static void check_gradients_after_update(size_t batch_size)
{
    lstm_model *m = start_model();
    lstm_trainer_config c = settings(LSTM_SGD);

    c.batch = batch_size;
    c.lr = 1;
    lstm_trainer *tr = must_trainer(m, &c);
    naive *n = naive_of(tr, T);
    data *d = data_new(lstm_model_settings(m), T, batch_size, false, 3);
    lstm_batch batch = data_batch(d);
    naive_batch plain = data_naive(d, &c);
    size_t layer1 = batch_size * n->net.hidden;

    naive_forward(n, &plain);
    naive_backward(n);
    must_step(tr, &batch);
    lstm_tensor dh = must_tensor(tr, LSTM_DH, 0), dh0 = must_tensor(tr, LSTM_DSTATE_H, 1);
    lstm_tensor dc0 = must_tensor(tr, LSTM_DSTATE_C, 1);

    tap_ok(tensor_error(&dh, n->dh) < TOLERANCE, "B=%zu, after an update: dh is still that of the pass", batch_size);
    tap_ok(tensor_error(&dh0, n->dh0 + layer1) < TOLERANCE, "so is the gradient of the initial h");
    tap_ok(tensor_error(&dc0, n->dc0 + layer1) < TOLERANCE, "and of the initial c");
    naive_free(n);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

int main(void)
{
    check_optimizers();
    check_constant_correction();
    check_clipping();
    check_accumulation();
    check_stats(LSTM_CLIP_NONE, 0);
    check_stats(LSTM_CLIP_VALUE, 0.005);
    check_stats(LSTM_CLIP_NORM, 0.05);
    check_stats(LSTM_CLIP_NORM, 1e3);
    check_not_finite(LSTM_F64, NAN, "target NaN");
    check_not_finite(LSTM_F64, INFINITY, "target infinite");
    check_not_finite(LSTM_F64, 1e300, "squares overflow");
    check_not_finite(LSTM_F32, NAN, "float32 target NaN");
    check_not_finite(LSTM_F32, INFINITY, "float32 target infinite");
    check_single_calls();
    check_gradients_after_update(1);
    check_gradients_after_update(3);
    check_gradients_after_update(4);
    return tap_done();
}
