/* SPDX-License-Identifier: MIT
 *
 * test_alloc.c - memory: none is taken in a step; each allocation that fails gives an error and loses nothing; wrong
 * configurations are refused before any is taken.
 */
#include "failing.h"
#include "support.h"
#include "tap.h"

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

static void check_steps(lstm_type type, lstm_products products, lstm_optimizer optimizer, int threads)
{
    lstm_model_config net = config_of(type);

    net.products = products;
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
    const long blocks = failing_blocks;

    fail_number(-1);
    ten_steps(tr, evaluator, d);
    fail_nothing();
    tap_ok(calls_counted() == 0 && failing_blocks == blocks, "%s, optimiser %d, %d threads: no memory taken in 10 "
           "steps (%ld times)", type == LSTM_F64 ? "float64" : products ? "bf16x6" : "float32", (int)optimizer, threads,
           calls_counted());
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
    const long blocks = failing_blocks;
    long refused = 0;
    bool complete = false;

    while (!complete && refused < 1000) {
        lstm_error err = {0};

        fail_number(refused);
        complete = live_once(&err);
        fail_nothing();
        if (complete)
            break;
        refused++;
        tap_ok(*err.message && strstr(err.message, "memory"), "allocation %ld fails: %s", refused, err.message);
        tap_ok(failing_blocks == blocks, "... and all that was taken was given back");
    }
    tap_ok(complete && refused >= 4 && failing_blocks == blocks, "then all %ld succeed, and are given back",
           calls_counted());
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
    fail_number(-1);
    wrong.hidden = (size_t)1 << 62;
    bool model = lstm_model_new(&wrong, &err) != NULL;

    wrong = net;
    wrong.dropout = 1;
    model |= lstm_model_new(&wrong, &err) != NULL;
    wrong = net;
    wrong.hidden = 1 << 30;
    model |= lstm_model_new(&wrong, &err) != NULL;
    bool trainer = lstm_trainer_new(m, &c, &err) != NULL; /* batch is 0 */

    fail_nothing();
    tap_ok(!model && !trainer && calls_counted() == 0, "wrong configurations are refused before memory is taken");
    lstm_model_free(m);
}

int main(void)
{
    for (int optimizer = LSTM_ADAMW; optimizer <= LSTM_RMSPROP; optimizer++)
        for (int threads = 1; threads <= 2; threads++) {
            check_steps(LSTM_F32, LSTM_PRODUCTS_REAL, (lstm_optimizer)optimizer, threads);
            check_steps(LSTM_F64, LSTM_PRODUCTS_REAL, (lstm_optimizer)optimizer, threads);
        }
    check_steps(LSTM_F32, LSTM_PRODUCTS_BF16X6, LSTM_ADAMW, 2);
    check_failures();
    check_refusals();
    return tap_done();
}
