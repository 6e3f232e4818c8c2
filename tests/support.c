/* SPDX-License-Identifier: MIT
 *
 * support.c - see support.h
 */
#define _GNU_SOURCE
#include "support.h"
#include "sha256.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Under the address sanitizer: an absurd allocation fails, as everywhere else, instead of ending the program. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "allocator_may_return_null=1";
}

void bail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    printf("Bail out! ");
    vprintf(format, args);
    printf("\n");
    va_end(args);
    exit(EXIT_FAILURE);
}

bool under_sanitizer(void)
{
    const char *text = getenv("SANITIZER");
    return text && !strcmp(text, "yes");
}

void *must_alloc(size_t bytes)
{
    void *p = calloc(bytes ? bytes : 1, 1);

    if (!p)
        bail("out of memory");
    return p;
}

/* ---- random numbers --------------------------------------------------------------------------------------------- */

uint64_t random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t random_below(uint64_t *state, size_t n)
{
    return (size_t)(random_next(state) % n);
}

double random_unit(uint64_t *state)
{
    return (double)(random_next(state) >> 11) * 0x1p-53;
}

double random_normal(uint64_t *state)
{
    double sum = -6;

    for (int k = 0; k < 12; k++)
        sum += random_unit(state);
    return sum;
}

/* ---- data ------------------------------------------------------------------------------------------------------- */

static int32_t *random_ids(size_t n, size_t below, uint64_t *seed)
{
    int32_t *ids = must_alloc(n * sizeof *ids);

    for (size_t k = 0; k < n; k++)
        ids[k] = (int32_t)random_below(seed, below);
    return ids;
}

static double *random_values(size_t n, uint64_t *seed)
{
    double *v = must_alloc(n * sizeof *v);

    for (size_t k = 0; k < n; k++)
        v[k] = random_normal(seed);
    return v;
}

/* A copy in the model's type. The doubles are rounded, too, so that both have the same values. */
static void *in_type(double *v, size_t n, lstm_type type)
{
    char *copy = must_alloc(n * lstm_type_size(type));

    for (size_t k = 0; k < n; k++)
        if (type == LSTM_F32) {
            ((float *)(void *)copy)[k] = (float)v[k];
            v[k] = (float)v[k];
        } else {
            ((double *)(void *)copy)[k] = v[k];
        }
    return copy;
}

static double *random_mask(size_t n, uint64_t *seed)
{
    double *mask = must_alloc(n * sizeof *mask);

    for (size_t k = 0; k < n; k++)
        mask[k] = random_below(seed, 3) ? (double)(1 + random_below(seed, 4)) / 4 : 0;
    mask[n - 1] = 1;
    return mask;
}

data *data_new(const lstm_model_config *net, size_t T, size_t B, bool masked, uint64_t seed)
{
    data *d = must_alloc(sizeof *d);
    size_t n = T * B;

    d->T = T;
    d->B = B;
    d->I = net->inputs;
    d->O = net->outputs;
    if (net->input == LSTM_INPUT_DENSE) {
        d->x = random_values(n * d->I, &seed);
        d->x_real = in_type(d->x, n * d->I, net->type);
    } else {
        d->ids = random_ids(n, net->vocab, &seed);
    }
    if (net->loss == LSTM_LOSS_MSE) {
        d->target = random_values(n * d->O, &seed);
        d->target_real = in_type(d->target, n * d->O, net->type);
    } else {
        d->target_ids = random_ids(n, d->O, &seed);
    }
    if (masked)
        d->mask = random_mask(n, &seed);
    return d;
}

void data_free(data *d)
{
    if (!d)
        return;
    free(d->ids);
    free(d->target_ids);
    free(d->x);
    free(d->target);
    free(d->x_real);
    free(d->target_real);
    free(d->mask);
    free(d);
}

lstm_batch data_batch(const data *d)
{
    return (lstm_batch){.steps = d->T, .ids = d->ids, .x = d->x_real, .target_ids = d->target_ids,
                        .target = d->target_real, .mask = d->mask};
}

naive_batch data_naive(const data *d, const lstm_trainer_config *settings)
{
    return (naive_batch){.ids = d->ids, .x = d->x, .target_ids = d->target_ids, .target = d->target, .mask = d->mask,
                         .loss_at = settings->loss_at, .reduction = settings->reduction};
}

static void *random_weights(size_t n, lstm_type type, uint64_t *seed)
{
    double *v = random_values(n, seed);

    for (size_t k = 0; k < n; k++)
        v[k] *= 0.1;
    void *w = in_type(v, n, type);

    free(v);
    return w;
}

own_loss *own_loss_new(const lstm_model_config *net, size_t T, size_t B, bool outputs, bool states, uint64_t seed)
{
    own_loss *o = must_alloc(sizeof *o);
    const bool cells = states && net->cell == LSTM_CELL_LSTM;
    const size_t n = T * B;

    o->layers = net->layers;
    o->h = must_alloc(net->layers * sizeof *o->h);
    o->c = must_alloc(net->layers * sizeof *o->c);
    if (outputs)
        o->logits = random_weights(n * net->outputs, net->type, &seed);
    for (size_t l = 0; states && l < net->layers; l++) {
        if (l + 2 == net->layers)
            continue;
        o->h[l] = random_weights(n * net->hidden, net->type, &seed);
        o->c[l] = cells ? random_weights(n * net->hidden, net->type, &seed) : NULL;
    }
    o->upstream = (lstm_upstream){.logits = o->logits,
                                  .h = states ? (const void *const *)o->h : NULL,
                                  .c = cells ? (const void *const *)o->c : NULL};
    return o;
}

void own_loss_free(own_loss *o)
{
    if (!o)
        return;
    for (size_t l = 0; l < o->layers; l++) {
        free(o->h[l]);
        free(o->c[l]);
    }
    free(o->logits);
    free(o->h);
    free(o->c);
    free(o);
}

/* ---- engine objects --------------------------------------------------------------------------------------------- */

lstm_model_config config_lstm(size_t V, size_t H, size_t L)
{
    return (lstm_model_config){.cell = LSTM_CELL_LSTM, .input = LSTM_INPUT_ONEHOT, .loss = LSTM_LOSS_CROSS_ENTROPY,
                               .type = LSTM_F64, .vocab = V, .outputs = V, .hidden = H, .layers = L, .seed = 1};
}

lstm_model *must_model(const lstm_model_config *config)
{
    lstm_error err = {0};
    lstm_model *m = lstm_model_new(config, &err);

    if (!m)
        bail("lstm_model_new: field '%s': %s", err.field, err.message);
    return m;
}

lstm_trainer *must_trainer(lstm_model *m, const lstm_trainer_config *config)
{
    lstm_error err = {0};
    lstm_trainer *tr = lstm_trainer_new(m, config, &err);

    if (!tr)
        bail("lstm_trainer_new: field '%s': %s", err.field, err.message);
    return tr;
}

lstm_tensor must_tensor(const lstm_trainer *tr, lstm_what what, size_t index)
{
    lstm_error err = {0};
    lstm_tensor t;

    if (lstm_trainer_tensor(tr, what, index, &t, &err))
        bail("lstm_trainer_tensor %s %zu: %s", lstm_what_name(what), index, err.message);
    return t;
}

double must_forward(lstm_trainer *tr, const lstm_batch *batch, bool training)
{
    lstm_error err = {0};
    double loss;

    if (lstm_trainer_forward(tr, batch, training, &loss, &err))
        bail("lstm_trainer_forward: field '%s': %s", err.field, err.message);
    return loss;
}

static void backward(lstm_trainer *tr, const lstm_upstream *upstream)
{
    lstm_error err = {0};

    if (lstm_trainer_backward(tr, upstream, &err))
        bail("lstm_trainer_backward: %s", err.message);
}

void must_backward(lstm_trainer *tr) { backward(tr, NULL); }
void must_backward_from(lstm_trainer *tr, const own_loss *o) { backward(tr, &o->upstream); }

lstm_update_stats must_update(lstm_trainer *tr)
{
    lstm_error err = {0};
    lstm_update_stats stats;

    if (lstm_trainer_update(tr, &stats, &err))
        bail("lstm_trainer_update: %s", err.message);
    return stats;
}

lstm_step_stats must_step(lstm_trainer *tr, const lstm_batch *batch)
{
    lstm_error err = {0};
    lstm_step_stats stats;

    if (lstm_trainer_step(tr, batch, &stats, &err))
        bail("lstm_trainer_step: field '%s': %s", err.field, err.message);
    return stats;
}

static void fill_normal(const lstm_tensor *t, double std, uint64_t *seed)
{
    for (size_t k = 0; k < lstm_tensor_size(t); k++)
        lstm_tensor_set(t, k, std * random_normal(seed));
}

void randomize(lstm_model *m, double std, uint64_t seed)
{
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);

        fill_normal(&t, std, &seed);
    }
}

static bool is_lstm(const lstm_model *m)
{
    return lstm_model_settings(m)->cell == LSTM_CELL_LSTM;
}

void randomize_state(lstm_trainer *tr, double std, uint64_t seed)
{
    for (size_t l = 0; l < lstm_model_settings(lstm_trainer_model(tr))->layers; l++) {
        lstm_tensor h = must_tensor(tr, LSTM_STATE_H, l);

        fill_normal(&h, std, &seed);
        if (!is_lstm(lstm_trainer_model(tr)))
            continue;
        lstm_tensor c = must_tensor(tr, LSTM_STATE_C, l);

        fill_normal(&c, std, &seed);
    }
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

double *values(const lstm_tensor *t)
{
    size_t n = lstm_tensor_size(t);
    double *v = must_alloc(n * sizeof *v);

    for (size_t k = 0; k < n; k++)
        v[k] = lstm_tensor_at(t, k);
    return v;
}

void set_values(const lstm_tensor *t, const double *value)
{
    for (size_t k = 0; k < lstm_tensor_size(t); k++)
        lstm_tensor_set(t, k, value[k]);
}

double relative_error(const double *got, const double *want, size_t n)
{
    double difference = 0, size = 0;

    for (size_t k = 0; k < n; k++) {
        if (!isfinite(got[k]) || !isfinite(want[k]))
            return INFINITY;
        difference += (got[k] - want[k]) * (got[k] - want[k]);
        size += want[k] * want[k];
    }
    return sqrt(difference) / (size > 0 ? sqrt(size) : 1);
}

double tensor_error(const lstm_tensor *got, const double *want)
{
    double *v = values(got), error = relative_error(v, want, lstm_tensor_size(got));

    free(v);
    return error;
}

uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = data;

    for (size_t k = 0; k < size; k++)
        hash = (hash ^ p[k]) * UINT64_C(0x100000001b3);
    return hash;
}

uint64_t hash_tensor(uint64_t hash, const lstm_tensor *t)
{
    size_t n = lstm_tensor_size(t), bytes = n * lstm_type_size(t->type);
    void *dense = must_alloc(bytes);

    lstm_tensor_read(t, 0, n, dense);
    hash = hash_bytes(hash, dense, bytes);
    free(dense);
    return hash;
}

uint64_t hash_model(uint64_t hash, const lstm_model *m)
{
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);

        hash = hash_tensor(hash, &t);
    }
    return hash;
}

/* Adds the tensor if this trainer has one of the kind: moments, say, depend on the optimiser. */
static uint64_t hash_what(uint64_t hash, const lstm_trainer *tr, lstm_what what, size_t index)
{
    lstm_tensor t;

    return lstm_trainer_tensor(tr, what, index, &t, NULL) ? hash : hash_tensor(hash, &t);
}

uint64_t hash_training(uint64_t hash, const lstm_trainer *tr)
{
    const lstm_model *m = lstm_trainer_model(tr);
    lstm_counters counters = lstm_trainer_counters(tr);

    hash = hash_model(hash, m);
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        hash = hash_what(hash, tr, LSTM_MOMENT1, k);
        hash = hash_what(hash, tr, LSTM_MOMENT2, k);
    }
    for (size_t l = 0; l < lstm_model_settings(m)->layers; l++) {
        hash = hash_what(hash, tr, LSTM_STATE_H, l);
        hash = hash_what(hash, tr, LSTM_STATE_C, l);
    }
    hash = hash_bytes(hash, &counters.updates, sizeof counters.updates);
    hash = hash_bytes(hash, &counters.passes, sizeof counters.passes);
    return hash_bytes(hash, &counters.accumulated, sizeof counters.accumulated);
}

uint64_t hash_pass(uint64_t hash, const lstm_trainer *tr)
{
    const lstm_model *m = lstm_trainer_model(tr);

    for (lstm_what what = LSTM_I; what < LSTM_MOMENT1; what++) {
        size_t count = what == LSTM_GRAD ? lstm_model_params(m) : lstm_model_settings(m)->layers;

        for (size_t k = 0; k < count; k++)
            hash = hash_what(hash, tr, what, k);
    }
    return hash;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

char test_dir[64];

void make_test_dir(const char *name, bool in_memory)
{
    const char *below = in_memory && access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(test_dir, sizeof test_dir, "%s/%s_XXXXXX", below, name);
    if (!mkdtemp(test_dir))
        bail("no folder %s", test_dir);
}

void remove_test_dir(void)
{
    char command[sizeof "rm -rf " + sizeof test_dir];
    snprintf(command, sizeof command, "rm -rf %s", test_dir);
    if (system(command))
        bail("cannot remove %s", test_dir);
}

const char *in_dir(const char *name)
{
    static char path[32][256];
    static int turn;
    char *p = path[turn++ % 32];
    snprintf(p, sizeof path[0], "%s/%s", test_dir, name);
    return p;
}

unsigned char *slurp(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    long end;

    if (!f || fseek(f, 0, SEEK_END) != 0 || (end = ftell(f)) < 0)
        bail("cannot read %s", path);
    rewind(f);
    unsigned char *bytes = must_alloc((size_t)end + 1);

    *size = fread(bytes, 1, (size_t)end, f);
    if (*size != (size_t)end)
        bail("cannot read all of %s", path);
    fclose(f);
    return bytes;
}

void spill(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");

    if (!f || fwrite(bytes, 1, size, f) != size || fclose(f) != 0)
        bail("cannot write %s", path);
}

void put_checksum(unsigned char *file, size_t size)
{
    lstm_sha256 s;

    lstm_sha256_init(&s);
    lstm_sha256_update(&s, file, size - LSTM_SHA256_SIZE);
    lstm_sha256_final(&s, file + size - LSTM_SHA256_SIZE);
}

/* ---- naive ------------------------------------------------------------------------------------------------------ */

static void take_values(double *dense, lstm_tensor t)
{
    for (size_t k = 0; k < lstm_tensor_size(&t); k++)
        dense[k] = lstm_tensor_at(&t, k);
}

naive *naive_of(const lstm_trainer *tr, size_t T)
{
    const lstm_model *m = lstm_trainer_model(tr);
    const lstm_model_config *net = lstm_model_settings(m);
    size_t B = lstm_trainer_settings(tr)->batch;
    naive *n = naive_new(net, T, B);

    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);

        if (strcmp(t.name, n->param[k].name) || lstm_tensor_size(&t) != n->param[k].rows * n->param[k].cols)
            bail("parameter %zu is '%s' with %zu elements, expected '%s'", k, t.name, lstm_tensor_size(&t),
                 n->param[k].name);
        take_values(n->param[k].value, t);
    }
    for (size_t l = 0; l < net->layers; l++) {
        take_values(n->h0 + l * B * net->hidden, must_tensor(tr, LSTM_STATE_H, l));
        if (is_lstm(m))
            take_values(n->c0 + l * B * net->hidden, must_tensor(tr, LSTM_STATE_C, l));
    }
    return n;
}
