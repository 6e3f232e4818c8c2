/* SPDX-License-Identifier: MIT
 *
 * test_config.c - wrong configurations and calls: each is refused with the field at fault, before memory is taken and
 * without a trace in what was there.
 */
#include "support.h"
#include "tap.h"

#include <float.h>
#include <stddef.h>

#define GIB ((size_t)1 << 30)
#define MANY ((size_t)INT32_MAX)

/* One field set to a wrong value, in a copy of a right configuration. */
typedef enum kind { SIZE, NUMBER, CHOICE } kind;

typedef struct wrong {
    const char *name;
    size_t offset;
    kind kind;
    size_t size; /* SIZE, CHOICE */
    double number;
    const char *field; /* that the error must name */
} wrong;

#define MODEL_SIZE(member, value, field) \
    {#member " = " #value, offsetof(lstm_model_config, member), SIZE, value, 0, field}
#define MODEL_CHOICE(member, value, field) \
    {#member " = " #value, offsetof(lstm_model_config, member), CHOICE, value, 0, field}
#define MODEL_NUMBER(member, value, field) \
    {#member " = " #value, offsetof(lstm_model_config, member), NUMBER, 0, value, field}
#define TRAINER_SIZE(member, value, field) \
    {#member " = " #value, offsetof(lstm_trainer_config, member), SIZE, value, 0, field}
#define TRAINER_CHOICE(member, value, field) \
    {#member " = " #value, offsetof(lstm_trainer_config, member), CHOICE, value, 0, field}
#define TRAINER_NUMBER(member, value, field) \
    {#member " = " #value, offsetof(lstm_trainer_config, member), NUMBER, 0, value, field}

static void set(void *config, const wrong *w)
{
    char *at = (char *)config + w->offset;
    int choice = (int)w->size;

    if (w->kind == SIZE)
        memcpy(at, &w->size, sizeof w->size);
    else if (w->kind == NUMBER)
        memcpy(at, &w->number, sizeof w->number);
    else
        memcpy(at, &choice, sizeof choice);
}

static bool one_line(const char *message)
{
    return *message && !strchr(message, '\n');
}

/* ---- models ----------------------------------------------------------------------------------------------------- */

static lstm_model_config embedded(void)
{
    lstm_model_config net = config_lstm(5, 4, 1);

    net.input = LSTM_INPUT_EMBEDDING;
    net.embed = 3;
    return net;
}

static lstm_model_config dense(void)
{
    lstm_model_config net = config_lstm(0, 4, 1);

    net.input = LSTM_INPUT_DENSE;
    net.loss = LSTM_LOSS_MSE;
    net.inputs = 3;
    net.outputs = 2;
    return net;
}

static void refuse_model(lstm_model_config net, const wrong *w, const char *base)
{
    lstm_error err = {0};

    set(&net, w);
    lstm_model *m = lstm_model_new(&net, &err);

    tap_ok(!m && !strcmp(err.field, w->field) && one_line(err.message), "model, %s, %s: field '%s': %s", base, w->name,
           err.field, err.message);
    tap_ok(!lstm_model_new(&net, NULL), "... and without a place for the error");
    lstm_model_free(m);
}

static void check_models(void)
{
    static const wrong onehot[] = {
        MODEL_CHOICE(cell, 2, "cell"),
        MODEL_CHOICE(cell, -1, "cell"),
        MODEL_CHOICE(input, 3, "input"),
        MODEL_CHOICE(loss, 2, "loss"),
        MODEL_CHOICE(type, 2, "precision"),
        MODEL_CHOICE(products, 5, "precision"),
        MODEL_CHOICE(products, 1, "precision"), /* with double */
        MODEL_SIZE(hidden, 0, "hidden"),
        MODEL_SIZE(hidden, (size_t)1 << 62, "hidden"),
        MODEL_SIZE(hidden, SIZE_MAX, "hidden"),
        MODEL_SIZE(hidden, MANY + 1, "hidden"),
        MODEL_SIZE(hidden, MANY, "hidden"),
        MODEL_SIZE(hidden, 50000000, "hidden"),
        MODEL_SIZE(layers, 0, "layers"),
        MODEL_SIZE(layers, SIZE_MAX, "layers"),
        MODEL_SIZE(layers, (size_t)1 << 32, "layers"),
        MODEL_SIZE(vocab, 0, "vocab"),
        MODEL_SIZE(vocab, SIZE_MAX, "vocab"),
        MODEL_SIZE(vocab, (size_t)1 << 31, "vocab"),
        MODEL_SIZE(outputs, 0, "vocab"),
        MODEL_SIZE(outputs, SIZE_MAX / 2, "vocab"),
        MODEL_SIZE(embed, 1, "embed"),
        MODEL_SIZE(inputs, 1, "input"),
        MODEL_NUMBER(dropout, -0.1, "dropout"),
        MODEL_NUMBER(dropout, 1, "dropout"),
        MODEL_NUMBER(dropout, NAN, "dropout"),
        MODEL_NUMBER(dropout, INFINITY, "dropout"),
        MODEL_SIZE(max_memory, 1, "max_memory"),
    };
    static const wrong embedding[] = {
        MODEL_SIZE(embed, 0, "embed"),
        MODEL_SIZE(embed, SIZE_MAX, "embed"),
        MODEL_SIZE(vocab, 0, "vocab"),
        MODEL_SIZE(inputs, 7, "input"),
    };
    static const wrong vectors[] = {
        MODEL_SIZE(inputs, 0, "input"),
        MODEL_SIZE(inputs, (size_t)1 << 62, "input"),
        MODEL_SIZE(vocab, 5, "vocab"),
        MODEL_SIZE(embed, 5, "embed"),
        MODEL_SIZE(outputs, 0, "output"),
        MODEL_SIZE(outputs, (size_t)1 << 40, "output"),
    };

    for (size_t k = 0; k < sizeof onehot / sizeof *onehot; k++)
        refuse_model(config_lstm(5, 4, 1), &onehot[k], "one-hot");
    for (size_t k = 0; k < sizeof embedding / sizeof *embedding; k++)
        refuse_model(embedded(), &embedding[k], "embedding");
    for (size_t k = 0; k < sizeof vectors / sizeof *vectors; k++)
        refuse_model(dense(), &vectors[k], "dense");
}

/* Products of two admissible sizes that no memory can hold. */
static void check_products(void)
{
    lstm_model_config net = embedded();
    lstm_error err = {0};

    net.vocab = net.outputs = net.embed = MANY;
    tap_ok(!lstm_model_new(&net, &err) && !strcmp(err.field, "vocab"), "vocab * embed: field '%s': %s", err.field,
           err.message);
    net = config_lstm(5, 1 << 20, 10000);
    tap_ok(!lstm_model_new(&net, &err) && !strcmp(err.field, "hidden"), "hidden * layers: field '%s': %s", err.field,
           err.message);
    net = config_lstm(MANY, 1 << 20, 1);
    tap_ok(!lstm_model_new(&net, &err) && *err.field, "vocab * hidden: field '%s': %s", err.field, err.message);
    lstm_trainer_config c;
    lstm_plan plan;

    lstm_trainer_defaults(&c);
    c.batch = c.seq = 1;
    net = config_lstm(5, MANY, 10000);
    tap_ok(lstm_plan_for(&net, &c, &plan, &err) && !strcmp(err.field, "hidden"),
           "the plan of a model no memory can hold: field '%s': %s", err.field, err.message);
}

/* ---- trainers --------------------------------------------------------------------------------------------------- */

static lstm_trainer_config small_trainer(void)
{
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = 2;
    c.seq = 3;
    return c;
}

static void refuse_trainer(lstm_model *m, lstm_trainer_config c, const wrong *w)
{
    lstm_error err = {0};

    set(&c, w);
    lstm_trainer *tr = lstm_trainer_new(m, &c, &err);

    tap_ok(!tr && !strcmp(err.field, w->field) && one_line(err.message), "trainer, %s: field '%s': %s", w->name,
           err.field, err.message);
    lstm_trainer_free(tr);
}

static void check_trainers(void)
{
    static const wrong plain[] = {
        TRAINER_SIZE(batch, 0, "batch"),
        TRAINER_SIZE(batch, SIZE_MAX, "batch"),
        TRAINER_SIZE(batch, (size_t)1 << 31, "batch"),
        TRAINER_SIZE(seq, 0, "seq"),
        TRAINER_SIZE(seq, (size_t)1 << 62, "seq"),
        TRAINER_SIZE(seq, MANY, "seq"),
        TRAINER_SIZE(accumulate, 0, "accumulate"),
        TRAINER_CHOICE(optimizer, 4, "optimizer"),
        TRAINER_CHOICE(optimizer, -1, "optimizer"),
        TRAINER_CHOICE(bias_correction, 2, "bias_correction"),
        TRAINER_CHOICE(clip, 3, "clip"),
        TRAINER_CHOICE(loss_at, 2, "loss_at"),
        TRAINER_CHOICE(reduction, 2, "reduction"),
        TRAINER_CHOICE(threads, -1, "threads"),
        TRAINER_CHOICE(threads, 1000000, "threads"),
        TRAINER_NUMBER(lr, -1e-3, "lr"),
        TRAINER_NUMBER(lr, NAN, "lr"),
        TRAINER_NUMBER(lr, INFINITY, "lr"),
        TRAINER_NUMBER(beta1, 1, "beta1"),
        TRAINER_NUMBER(beta1, -0.1, "beta1"),
        TRAINER_NUMBER(beta2, 1.5, "beta2"),
        TRAINER_NUMBER(beta2, NAN, "beta2"),
        TRAINER_NUMBER(eps, -1e-8, "eps"),
        TRAINER_NUMBER(momentum, -1, "momentum"),
        TRAINER_NUMBER(alpha, 1, "alpha"),
        TRAINER_NUMBER(weight_decay, -0.01, "weight_decay"),
        TRAINER_NUMBER(weight_decay, INFINITY, "weight_decay"),
    };
    static const wrong bounds[] = {
        TRAINER_NUMBER(clip_at, 0, "clip_norm"),
        TRAINER_NUMBER(clip_at, -1, "clip_norm"),
        TRAINER_NUMBER(clip_at, NAN, "clip_norm"),
    };
    lstm_model_config net = config_lstm(5, 4, 1);
    lstm_model *m = must_model(&net);
    lstm_trainer_config c = small_trainer();

    for (size_t k = 0; k < sizeof plain / sizeof *plain; k++)
        refuse_trainer(m, c, &plain[k]);
    c.clip = LSTM_CLIP_NORM;
    for (size_t k = 0; k < sizeof bounds / sizeof *bounds; k++)
        refuse_trainer(m, c, &bounds[k]);
    c.clip = LSTM_CLIP_VALUE;
    refuse_trainer(m, c, &(wrong)TRAINER_NUMBER(clip_at, 0, "clip_value"));
    lstm_model_free(m);
}

/* max_memory covers a model and all its trainers; what is given back can be taken again. */
static void check_max_memory(void)
{
    lstm_model_config net = config_lstm(5, 40, 1);
    lstm_trainer_config c = small_trainer();
    lstm_plan plan;
    lstm_error err = {0};

    if (lstm_plan_for(&net, &c, &plan, &err))
        bail("lstm_plan_for: %s", err.message);
    net.max_memory = plan.model_bytes + plan.trainer_bytes + plan.trainer_bytes / 2;
    lstm_model *m = must_model(&net);
    lstm_trainer *tr = must_trainer(m, &c);

    tap_ok(lstm_model_bytes(m) == plan.model_bytes && lstm_trainer_bytes(tr) == plan.trainer_bytes &&
               lstm_model_size(m) == plan.parameters,
           "the plan is what is taken: %zu + %zu bytes", plan.model_bytes, plan.trainer_bytes);
    lstm_trainer *second = lstm_trainer_new(m, &c, &err);

    tap_ok(!second && !strcmp(err.field, "max_memory"), "a second trainer is too much: field '%s': %s", err.field,
           err.message);
    lstm_trainer_free(tr);
    tr = lstm_trainer_new(m, &c, &err);
    tap_ok(tr != NULL, "but not in place of the first");
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

/* ---- batches and calls in the wrong order ----------------------------------------------------------------------- */

static void refuse_batch(lstm_trainer *tr, const lstm_batch *batch, const char *field, const char *what)
{
    lstm_error err = {0};
    double loss = 7;
    uint64_t before = hash_training(HASH_START, tr);
    bool failed = lstm_trainer_forward(tr, batch, true, &loss, &err) != 0;

    tap_ok(failed && !strcmp(err.field, field) && one_line(err.message) && hash_training(HASH_START, tr) == before,
           "batch, %s: field '%s': %s", what, err.field, err.message);
}

static void check_token_batches(void)
{
    lstm_model_config net = config_lstm(5, 4, 1);
    lstm_model *m = must_model(&net);
    lstm_trainer_config c = small_trainer();
    lstm_trainer *tr = must_trainer(m, &c);
    int32_t ids[6] = {0, 1, 2, 3, 4, 0}, low[6] = {0, 0, 0, 0, 0, -1}, high[6] = {5}, targets[6] = {4};
    double ones[6] = {1, 1, 1, 1, 1, 1}, none[6] = {0}, negative[6] = {1, -1}, nan[6] = {1, (double)NAN};
    double infinite[6] = {(double)INFINITY}, large[6] = {DBL_MAX, DBL_MAX};
    double x[6] = {0};
    const lstm_batch good = {.steps = 3, .ids = ids, .target_ids = targets, .mask = ones};
    lstm_batch b = good;

    b.steps = 0;
    refuse_batch(tr, &b, "steps", "no steps");
    b.steps = 4;
    refuse_batch(tr, &b, "steps", "more steps than seq");
    b.steps = SIZE_MAX;
    refuse_batch(tr, &b, "steps", "absurd steps");
    b = good;
    b.ids = NULL;
    refuse_batch(tr, &b, "ids", "no ids");
    b = good;
    b.x = x;
    refuse_batch(tr, &b, "x", "both ids and x");
    b = good;
    b.ids = low;
    refuse_batch(tr, &b, "ids", "a negative id");
    b.ids = high;
    refuse_batch(tr, &b, "ids", "an id outside the vocabulary");
    b = good;
    b.target_ids = low;
    refuse_batch(tr, &b, "targets", "a negative target");
    b.target_ids = high;
    refuse_batch(tr, &b, "targets", "a target outside the classes");
    b = good;
    b.target = x;
    refuse_batch(tr, &b, "targets", "values as targets of a softmax");
    b = good;
    b.mask = negative;
    refuse_batch(tr, &b, "mask", "a negative weight");
    b.mask = nan;
    refuse_batch(tr, &b, "mask", "a weight NaN");
    b.mask = infinite;
    refuse_batch(tr, &b, "mask", "an infinite weight");
    b.mask = none;
    refuse_batch(tr, &b, "mask", "no weight at all");
    b.mask = large;
    refuse_batch(tr, &b, "mask", "weights whose sum is infinite");
    tap_ok(isfinite(must_forward(tr, &good, true)), "a good batch works after all that");
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

static void check_dense_batches(void)
{
    lstm_model_config net = dense();
    lstm_model *m = must_model(&net);
    lstm_trainer_config c = small_trainer();
    lstm_trainer *tr = must_trainer(m, &c);
    double x[18] = {0}, y[12] = {0};
    int32_t ids[6] = {0};
    const lstm_batch good = {.steps = 3, .x = x, .target = y};
    lstm_batch b = good;

    b.x = NULL;
    refuse_batch(tr, &b, "x", "no x");
    b = good;
    b.ids = ids;
    refuse_batch(tr, &b, "ids", "both x and ids");
    b = good;
    b.target = NULL;
    b.target_ids = ids;
    refuse_batch(tr, &b, "targets", "classes as targets of a linear output");
    tap_ok(isfinite(must_forward(tr, &good, true)), "a good batch works after all that");
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

#define REFUSED(call, what) \
    do { \
        lstm_error err = {0}; \
        tap_ok((call) != 0 && one_line(err.message), "%s: %s", what, err.message); \
    } while (0)

static void check_order(void)
{
    lstm_model_config net = config_lstm(5, 4, 1);
    lstm_model *m = must_model(&net);
    lstm_trainer_config c = small_trainer();
    lstm_trainer *tr = must_trainer(m, &c);
    int32_t ids[6] = {0};
    const lstm_batch batch = {.steps = 3, .ids = ids, .target_ids = ids}, blind = {.steps = 3, .ids = ids};
    double loss;
    lstm_update_stats stats;
    lstm_error none;

    REFUSED(lstm_trainer_backward(tr, NULL, &err), "backward before any forward");
    REFUSED(lstm_trainer_update(tr, &stats, &err), "update before any backward");
    tap_ok(!lstm_trainer_forward(tr, &blind, true, &loss, &none) && isnan(loss), "without targets the loss is NaN");
    REFUSED(lstm_trainer_backward(tr, NULL, &err), "backward without targets");
    must_forward(tr, &batch, true);
    must_backward(tr);
    must_update(tr);
    REFUSED(lstm_trainer_update(tr, &stats, &err), "a second update on the same gradients");
    must_forward(tr, &batch, true);
    must_backward(tr);
    lstm_trainer_zero(tr);
    REFUSED(lstm_trainer_update(tr, &stats, &err), "update after zero");
    lstm_trainer_free(tr);
    c.inference = true;
    tr = must_trainer(m, &c);
    tap_ok(!lstm_trainer_forward(tr, &batch, true, &loss, &none) && isfinite(loss), "inference has a loss");
    REFUSED(lstm_trainer_backward(tr, NULL, &err), "backward of a trainer for inference");
    REFUSED(lstm_trainer_update(tr, &stats, &err), "update of a trainer for inference");
    lstm_trainer_free(tr);
    lstm_model_free(m);
    lstm_trainer_free(NULL);
    lstm_model_free(NULL);
}

/* ---- tensors that are not there --------------------------------------------------------------------------------- */

static void refuse_tensor(const lstm_trainer *tr, lstm_what what, size_t index, const char *why)
{
    lstm_error err = {0};
    lstm_tensor t;
    bool failed = lstm_trainer_tensor(tr, what, index, &t, &err) != 0;

    tap_ok(failed && *err.field && one_line(err.message), "tensor, %s: %s", why, err.message);
}

static void check_tensors(void)
{
    lstm_model_config net = config_lstm(5, 4, 2), rnn = net;
    lstm_model *m = must_model(&net);
    lstm_trainer_config c = small_trainer();
    lstm_trainer *tr = must_trainer(m, &c);
    int32_t ids[6] = {0};
    const lstm_batch batch = {.steps = 3, .ids = ids, .target_ids = ids};
    size_t k;

    refuse_tensor(tr, LSTM_H, 0, "h before a forward pass");
    refuse_tensor(tr, LSTM_DH, 0, "dh before a backward pass");
    refuse_tensor(tr, LSTM_START_H, 0, "the state that no forward pass began with");
    must_forward(tr, &batch, true);
    refuse_tensor(tr, LSTM_DH, 0, "dh after a forward pass only");
    must_backward(tr);
    refuse_tensor(tr, LSTM_H, 2, "a layer too many");
    refuse_tensor(tr, LSTM_LOGITS, 1, "second logits");
    refuse_tensor(tr, LSTM_GRAD, 8, "a parameter too many");
    refuse_tensor(tr, LSTM_DX, 0, "gradient of one-hot input");
    refuse_tensor(tr, LSTM_WHATS, 0, "no such kind");
    refuse_tensor(tr, (lstm_what)-1, 0, "no such kind either");
    tap_ok(lstm_model_find(m, "lstm.weight_hh_l7", &k) == -1, "no parameter of that name");
    lstm_trainer_free(tr);
    c.inference = true;
    tr = must_trainer(m, &c);
    must_forward(tr, &batch, false);
    refuse_tensor(tr, LSTM_GRAD, 0, "gradient in inference");
    refuse_tensor(tr, LSTM_DH, 0, "dh in inference");
    refuse_tensor(tr, LSTM_START_C, 0, "the state that inference began with");
    refuse_tensor(tr, LSTM_MOMENT1, 0, "moment in inference");
    lstm_trainer_free(tr);
    lstm_model_free(m);
    rnn.cell = LSTM_CELL_RNN;
    m = must_model(&rnn);
    c.inference = false;
    tr = must_trainer(m, &c);
    must_forward(tr, &batch, true);
    must_backward(tr);
    refuse_tensor(tr, LSTM_F, 0, "f of an rnn");
    refuse_tensor(tr, LSTM_C, 0, "c of an rnn");
    refuse_tensor(tr, LSTM_STATE_C, 0, "state.c of an rnn");
    refuse_tensor(tr, LSTM_DI, 0, "di of an rnn");
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

int main(void)
{
    check_models();
    check_products();
    check_trainers();
    check_max_memory();
    check_token_batches();
    check_dense_batches();
    check_order();
    check_tensors();
    return tap_done();
}
