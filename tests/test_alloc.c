/* SPDX-License-Identifier: MIT
 *
 * test_alloc.c - memory: none is taken in a step; each allocation that fails gives an error and loses nothing; wrong
 * configurations are refused before any is taken.
 *
 * Linked with --wrap for the functions below, so that every call from the engine (not from libraries) comes here first.
 */
#include "support.h"
#include "tap.h"

static size_t allocations, releases, fail_at; /* fail_at: number of the allocation to refuse, from 1; 0: none */
static bool counting;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **p, size_t alignment, size_t size);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **p, size_t alignment, size_t size);
void __wrap_free(void *p);

/* Counts one allocation; true when it is to fail. */
static bool refuse(void)
{
    return counting && ++allocations == fail_at;
}

void *__wrap_malloc(size_t size)
{
    return refuse() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refuse() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return refuse() ? NULL : __real_realloc(old, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return refuse() ? NULL : __real_aligned_alloc(alignment, size);
}

int __wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
    return refuse() ? 12 : __real_posix_memalign(p, alignment, size);
}

void __wrap_free(void *p)
{
    releases += counting && p;
    __real_free(p);
}

static void start_counting(size_t fail)
{
    allocations = releases = 0;
    fail_at = fail;
    counting = true;
}

/* ---- a step ----------------------------------------------------------------------------------------------------- */

enum { B = 16, T = 4 }; /* with 40 units: work enough for two threads */

static lstm_model_config config_of(lstm_type type)
{
    lstm_model_config net = config_lstm(7, 40, 2);

    net.type = type;
    net.input = LSTM_INPUT_EMBEDDING;
    net.embed = 5;
    net.dropout = 0.2;
    return net;
}

static void ten_steps(lstm_trainer *tr, lstm_trainer *evaluator, const data *d)
{
    lstm_batch batch = data_batch(d);
    double logits[7] = {0, 1, 2, 3, 2, 1, 0};
    size_t choice;

    for (int k = 0; k < 10; k++) {
        must_step(tr, &batch);
        must_forward(evaluator, &batch, false);
        lstm_trainer_carry(evaluator);
        for (lstm_what what = LSTM_I; what < LSTM_WHATS; what++)
            must_tensor(tr, what, 0);
        if (lstm_choose(logits, 7, 0.8, 3, 0.4, &choice, NULL))
            bail("nothing chosen");
    }
}

static void check_steps(lstm_type type, lstm_optimizer optimizer, int threads)
{
    lstm_model_config net = config_of(type);
    lstm_model *m = must_model(&net);
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = B;
    c.seq = T;
    c.optimizer = optimizer;
    c.momentum = 0.9;
    c.clip = optimizer == LSTM_SGD ? LSTM_CLIP_VALUE : LSTM_CLIP_NORM;
    c.clip_at = 0.1;
    c.accumulate = 2;
    c.carry = true;
    c.threads = threads;
    lstm_trainer *tr = must_trainer(m, &c);

    c.inference = true;
    lstm_trainer *evaluator = must_trainer(m, &c);
    data *d = data_new(&net, T, B, true, 1);

    randomize(m, 0.2, 2);
    ten_steps(tr, evaluator, d);
    start_counting(0);
    ten_steps(tr, evaluator, d);
    counting = false;
    tap_ok(allocations == 0 && releases == 0, "%s, optimiser %d, %d threads: no memory taken in 10 steps (%zu, %zu)",
           type == LSTM_F64 ? "float64" : "float32", (int)optimizer, threads, allocations, releases);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_trainer_free(evaluator);
    lstm_model_free(m);
}

/* ---- failures --------------------------------------------------------------------------------------------------- */

static lstm_init orthogonal(void)
{
    lstm_init init = {.forget_bias = 1};

    init.kind[LSTM_KIND_RECURRENT].scheme = LSTM_INIT_ORTHOGONAL;
    return init;
}

/* A model, its parameters, a trainer, and all given back. True when everything could be had. */
static bool live_once(lstm_error *err)
{
    lstm_model_config net = config_of(LSTM_F32);
    lstm_init init = orthogonal();
    lstm_trainer_config c;
    lstm_model *m = lstm_model_new(&net, err);
    lstm_trainer *tr = NULL;

    lstm_trainer_defaults(&c);
    c.batch = 3;
    c.seq = 4;
    if (m && !lstm_model_init(m, &init, err))
        tr = lstm_trainer_new(m, &c, err);
    bool complete = tr != NULL;

    lstm_trainer_free(tr);
    lstm_model_free(m);
    return complete;
}

static void check_failures(void)
{
    size_t refused = 0;
    bool complete = false;

    while (!complete && refused < 1000) {
        lstm_error err = {0};

        start_counting(refused + 1);
        complete = live_once(&err);
        counting = false;
        if (complete)
            break;
        refused++;
        tap_ok(*err.message && strstr(err.message, "memory"), "allocation %zu fails: %s", refused, err.message);
        tap_ok(allocations - 1 == releases, "... and %zu taken were given back (%zu)", allocations - 1, releases);
    }
    tap_ok(complete && refused >= 4 && allocations == releases, "then all %zu succeed, and are given back",
           allocations);
}

/* ---- before any is taken ---------------------------------------------------------------------------------------- */

static void check_refusals(void)
{
    lstm_model_config net = config_of(LSTM_F64), wrong = net;
    lstm_model *m = must_model(&net);
    lstm_trainer_config c;
    lstm_error err;

    lstm_trainer_defaults(&c);
    c.seq = 4;
    start_counting(0);
    wrong.hidden = (size_t)1 << 62;
    bool model = lstm_model_new(&wrong, &err) != NULL;

    wrong = net;
    wrong.dropout = 1;
    model |= lstm_model_new(&wrong, &err) != NULL;
    wrong = net;
    wrong.hidden = 1 << 30;
    model |= lstm_model_new(&wrong, &err) != NULL;
    bool trainer = lstm_trainer_new(m, &c, &err) != NULL; /* batch is 0 */

    counting = false;
    tap_ok(!model && !trainer && allocations == 0, "wrong configurations are refused before memory is taken");
    lstm_model_free(m);
}

int main(void)
{
    for (int optimizer = LSTM_ADAMW; optimizer <= LSTM_RMSPROP; optimizer++)
        for (int threads = 1; threads <= 2; threads++) {
            check_steps(LSTM_F32, (lstm_optimizer)optimizer, threads);
            check_steps(LSTM_F64, (lstm_optimizer)optimizer, threads);
        }
    check_failures();
    check_refusals();
    return tap_done();
}
