/* SPDX-License-Identifier: MIT
 *
 * test_partners.c - trainers that share the rows of a batch do together what one does alone: the same losses,
 * gradients, weights and dropout, whatever the sizes of their shares; and the same bits each time.
 *
 * The partners are threads here, whose sums meet in memory; src/mpi.c does the same between processes.
 */
#include "support.h"
#include "tap.h"

#include <pthread.h>

enum { MOST = 4, STEPS = 12 };

/* ---- sums over threads ------------------------------------------------------------------------------------------ */

typedef struct meeting {
    pthread_barrier_t barrier;
    size_t count;
    void *values[MOST]; /* of each partner, while they meet */
    double *sum;        /* of all; room for as many as there are parameters */
} meeting;

typedef struct partner {
    meeting *at;
    size_t number;
} partner;

static double element(lstm_type type, const void *values, size_t i)
{
    return type == LSTM_F32 ? (double)((const float *)values)[i] : ((const double *)values)[i];
}

static void set_element(lstm_type type, void *values, size_t i, double value)
{
    if (type == LSTM_F32)
        ((float *)values)[i] = (float)value;
    else
        ((double *)values)[i] = value;
}

static void sum(void *context, lstm_type type, void *values, size_t count)
{
    partner *me = context;
    meeting *at = me->at;
    at->values[me->number] = values;
    pthread_barrier_wait(&at->barrier);
    for (size_t i = 0; me->number == 0 && i < count; i++) {
        at->sum[i] = 0;
        for (size_t k = 0; k < at->count; k++)
            at->sum[i] += element(type, at->values[k], i);
    }
    pthread_barrier_wait(&at->barrier);
    for (size_t i = 0; i < count; i++)
        set_element(type, values, i, at->sum[i]);
    pthread_barrier_wait(&at->barrier);
}

/* ---- training runs ---------------------------------------------------------------------------------------------- */

typedef struct recipe {
    const char *name;
    lstm_model_config net;
    lstm_trainer_config train;
    bool masked;
} recipe;

/* What a run left behind. */
typedef struct outcome {
    double loss[STEPS], norm[STEPS], weight;
    double *params; /* dense, one tensor after the other */
    double *grads;  /* of the last step, accumulated ones included */
    size_t size;
    uint64_t hash;  /* of parameters and moments */
} outcome;

typedef struct job {
    const recipe *r;
    size_t first, rows;
    partner me;
    outcome out;
} job;

/* Columns [first, first+rows) of a [T][whole][width] array. */
static void *own_rows(const void *all, size_t T, size_t whole, size_t first, size_t rows, size_t bytes)
{
    if (!all)
        return NULL;
    char *own = must_alloc(T * rows * bytes);
    for (size_t t = 0; t < T; t++)
        memcpy(own + t * rows * bytes, (const char *)all + (t * whole + first) * bytes, rows * bytes);
    return own;
}

static void step(job *j, lstm_trainer *tr, size_t k)
{
    const recipe *r = j->r;
    const size_t B = r->train.batch, T = r->train.seq, real = lstm_type_size(r->net.type);
    data *d = data_new(&r->net, T, B, r->masked, 5 + k);
    lstm_batch batch = data_batch(d);
    void *own[] = {own_rows(batch.ids, T, B, j->first, j->rows, sizeof(int32_t)),
                   own_rows(batch.target_ids, T, B, j->first, j->rows, sizeof(int32_t)),
                   own_rows(batch.x, T, B, j->first, j->rows, real * r->net.inputs),
                   own_rows(batch.target, T, B, j->first, j->rows, real * r->net.outputs),
                   own_rows(batch.mask, T, B, j->first, j->rows, sizeof(double))};
    batch.ids = own[0];
    batch.target_ids = own[1];
    batch.x = own[2];
    batch.target = own[3];
    batch.mask = own[4];
    const lstm_step_stats s = must_step(tr, &batch);
    j->out.loss[k] = s.loss;
    j->out.norm[k] = s.update.grad_norm;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        free(own[i]);
    data_free(d);
}

static void keep(outcome *o, lstm_model *m, const lstm_trainer *tr)
{
    o->size = lstm_model_size(m);
    o->params = must_alloc(o->size * sizeof(double));
    o->grads = must_alloc(o->size * sizeof(double));
    o->weight = lstm_trainer_weight(tr);
    o->hash = hash_model(HASH_START, m);
    for (size_t k = 0, at = 0; k < lstm_model_params(m); k++) {
        const lstm_tensor p = lstm_model_param(m, k), g = must_tensor(tr, LSTM_GRAD, k);
        const lstm_tensor moment = must_tensor(tr, LSTM_MOMENT1, k);
        double *pv = values(&p), *gv = values(&g);
        const size_t n = lstm_tensor_size(&p);
        memcpy(o->params + at, pv, n * sizeof *pv);
        memcpy(o->grads + at, gv, n * sizeof *gv);
        o->hash = hash_tensor(o->hash, &moment);
        at += n;
        free(pv);
        free(gv);
    }
}

static void *train(void *argument)
{
    job *j = argument;
    lstm_trainer_config c = j->r->train;
    lstm_model *m = must_model(&j->r->net);
    randomize(m, 0.3, 9);
    c.threads = 1;
    if (j->me.at)
        c.partners = (lstm_partners){.rows = c.batch, .first = j->first, .sum = sum, .context = &j->me};
    c.batch = j->rows;
    lstm_trainer *tr = must_trainer(m, &c);
    for (size_t k = 0; k < STEPS; k++)
        step(j, tr, k);
    keep(&j->out, m, tr);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    return NULL;
}

static void train_alone(const recipe *r, outcome *out)
{
    job j = {.r = r, .rows = r->train.batch};
    train(&j);
    *out = j.out;
}

/* rows[k] are those of partner k. */
static void train_together(const recipe *r, size_t count, const size_t *rows, outcome *out)
{
    pthread_t thread[MOST];
    job job[MOST];
    lstm_model *m = must_model(&r->net);
    meeting at = {.count = count, .sum = must_alloc(2 * lstm_model_bytes(m))};
    lstm_model_free(m);
    if (pthread_barrier_init(&at.barrier, NULL, (unsigned)count) != 0)
        bail("no barrier");
    for (size_t k = 0, first = 0; k < count; first += rows[k++]) {
        memset(&job[k], 0, sizeof job[k]);
        job[k].r = r;
        job[k].first = first;
        job[k].rows = rows[k];
        job[k].me = (partner){&at, k};
        if (pthread_create(&thread[k], NULL, train, &job[k]) != 0)
            bail("no thread");
    }
    for (size_t k = 0; k < count; k++) {
        pthread_join(thread[k], NULL);
        out[k] = job[k].out;
    }
    pthread_barrier_destroy(&at.barrier);
    free(at.sum);
}

static void drop(outcome *o)
{
    free(o->params);
    free(o->grads);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* Float rounds each partial sum once: some 1e-7 of a gradient, which Adam's division by its root makes larger in small
 * weights, step after step. Double leaves only what is wrong. */
static void compare(const recipe *r, const char *how, const outcome *alone, const outcome *got)
{
    const bool f32 = r->net.type == LSTM_F32;
    const double loose = f32 ? 2e-4 : 1e-10, tight = f32 ? 1e-5 : 1e-11;
    tap_ok(relative_error(got->loss, alone->loss, STEPS) < tight, "%s, %s: losses", r->name, how);
    tap_ok(relative_error(got->norm, alone->norm, STEPS) < loose, "%s, %s: gradient norms", r->name, how);
    tap_ok(relative_error(got->grads, alone->grads, alone->size) < loose, "%s, %s: gradients", r->name, how);
    tap_ok(relative_error(got->params, alone->params, alone->size) < loose, "%s, %s: parameters", r->name, how);
    tap_near(got->weight, alone->weight, 1e-12, "%s, %s: weight of the batch", r->name, how);
}

static void test_recipe(const recipe *r)
{
    static const size_t halves[] = {4, 4}, uneven[] = {1, 4, 1, 2};
    outcome alone, two[2], four[MOST], again[MOST];
    train_alone(r, &alone);
    train_together(r, 2, halves, two);
    train_together(r, 4, uneven, four);
    train_together(r, 4, uneven, again);
    compare(r, "two", &alone, &two[1]);
    compare(r, "four", &alone, &four[2]);
    tap_ok(two[0].hash == two[1].hash, "%s: both have the same bits", r->name);
    tap_ok(four[0].hash == four[3].hash && four[1].hash == four[0].hash, "%s: all four, too", r->name);
    tap_ok(four[0].hash == again[0].hash, "%s: and again the next time", r->name);
    drop(&alone);
    for (size_t k = 0; k < MOST; k++) {
        drop(&four[k]);
        drop(&again[k]);
        if (k < 2)
            drop(&two[k]);
    }
}

static recipe base(const char *name, lstm_type type)
{
    recipe r = {.name = name, .net = config_lstm(7, 18, 2)};
    r.net.type = type;
    lstm_trainer_defaults(&r.train);
    r.train.batch = 8;
    r.train.seq = 6;
    r.train.lr = 0.01;
    r.train.carry = true;
    return r;
}

static void test_type(lstm_type type)
{
    recipe dropped = base(type == LSTM_F32 ? "float" : "dropout, carry, clipped", type);
    dropped.net.dropout = 0.4;
    dropped.train.clip = LSTM_CLIP_NORM;
    dropped.train.clip_at = 0.05;
    test_recipe(&dropped);
    if (type == LSTM_F32)
        return;
    recipe masked = base("masked, accumulated, embedding", type);
    masked.net.input = LSTM_INPUT_EMBEDDING;
    masked.net.embed = 5;
    masked.masked = true;
    masked.train.accumulate = 5; /* the last update leaves two passes over */
    test_recipe(&masked);
    recipe linear = base("dense rnn, mse, last, sum", type);
    linear.net.cell = LSTM_CELL_RNN;
    linear.net.input = LSTM_INPUT_DENSE;
    linear.net.loss = LSTM_LOSS_MSE;
    linear.net.vocab = 0;
    linear.net.inputs = 3;
    linear.net.outputs = 2;
    linear.train.loss_at = LSTM_LOSS_AT_LAST;
    linear.train.reduction = LSTM_SUM;
    linear.train.optimizer = LSTM_SGD;
    test_recipe(&linear);
}

static void test_refused(void)
{
    lstm_model_config net = config_lstm(7, 18, 1);
    lstm_model *m = must_model(&net);
    lstm_trainer_config c;
    lstm_error err;
    lstm_trainer_defaults(&c);
    c.batch = 3;
    c.seq = 4;
    c.partners = (lstm_partners){.rows = 8, .first = 6, .sum = sum};
    tap_ok(!lstm_trainer_new(m, &c, &err), "rows beyond the batch are refused");
    tap_string(err.field, "partners", "  naming the field");
    c.partners = (lstm_partners){.rows = 8, .first = 2};
    tap_ok(!lstm_trainer_new(m, &c, &err), "partners without a sum are refused");
    lstm_model_free(m);
}

int main(void)
{
    test_type(LSTM_F64);
    test_type(LSTM_F32);
    test_refused();
    return tap_done();
}
