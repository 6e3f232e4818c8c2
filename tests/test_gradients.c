/* SPDX-License-Identifier: MIT
 *
 * test_gradients.c - the backward pass against finite differences of the forward pass, in float64: every parameter and
 * every input (dense x, initial h and c) of random networks over all options of cell, input, loss and dropout, also with
 * a loss of the caller's own.
 *
 * The derivative along one number is taken from four losses, (8(f(+d) - f(-d)) - (f(+2d) - f(-2d))) / 12d, whose error
 * is of order d^4 (1e-12 for d = 1e-3) plus rounding of about 1e-13 |f|. So 1e-6 of a tensor's norm is far above the
 * error of the method and far below that of any wrong formula; faults put in on purpose show that the check sees them.
 */
#include "naive.h"
#include "support.h"
#include "tap.h"

enum { PROBLEMS = 36, MAX_ELEMENTS = 60 };
static const double STEP = 1e-3, TOLERANCE = 1e-6;
/* Tensors whose gradient is nothing (weight_hh for one step from a zero state) are held to this size instead of
 * their own: rounding of the loss alone makes differences of 1e-12. */
static const double SMALLEST_NORM = 1e-5;

/* ---- differences ------------------------------------------------------------------------------------------------ */

typedef double loss_function(void *context);

/* f at *knob + shift; the knob is put back. */
static double loss_at(loss_function *f, void *context, double *knob, double shift)
{
    double kept = *knob;

    *knob = kept + shift;
    double loss = f(context);

    *knob = kept;
    return loss;
}

static double derivative(loss_function *f, void *context, double *knob)
{
    double near = loss_at(f, context, knob, STEP) - loss_at(f, context, knob, -STEP);
    double far = loss_at(f, context, knob, 2 * STEP) - loss_at(f, context, knob, -2 * STEP);

    return (8 * near - far) / (12 * STEP);
}

/* n numbers the loss depends on, and what the backward pass says about them. */
typedef struct knobs {
    char name[LSTM_NAME_SIZE];
    double **knob;
    double *gradient;
    size_t n;
} knobs;

static knobs *knobs_new(const char *name, size_t n)
{
    knobs *s = must_alloc(sizeof *s);

    snprintf(s->name, sizeof s->name, "%s", name);
    s->n = n;
    s->knob = must_alloc(n * sizeof *s->knob);
    s->gradient = must_alloc(n * sizeof *s->gradient);
    return s;
}

static void knobs_free(knobs *s)
{
    if (!s)
        return;
    free(s->knob);
    free(s->gradient);
    free(s);
}

static double norm(const double *v, size_t n)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++)
        sum += v[k] * v[k];
    return sqrt(sum);
}

/* Error of the gradient over all elements, or over MAX_ELEMENTS drawn from a large tensor. */
static double element_error(loss_function *f, void *context, const knobs *s, uint64_t *seed)
{
    size_t count = s->n < MAX_ELEMENTS ? s->n : MAX_ELEMENTS;
    double numeric[MAX_ELEMENTS], difference[MAX_ELEMENTS];

    for (size_t j = 0; j < count; j++) {
        size_t k = s->n <= MAX_ELEMENTS ? j : random_below(seed, s->n);

        numeric[j] = derivative(f, context, s->knob[k]);
        difference[j] = numeric[j] - s->gradient[k];
        if (!isfinite(difference[j]))
            return INFINITY;
    }
    return norm(difference, count) / fmax(norm(numeric, count), SMALLEST_NORM);
}

static void shift_all(const knobs *s, const double *direction, double by)
{
    for (size_t k = 0; k < s->n; k++)
        *s->knob[k] += by * direction[k];
}

/* Error of the derivative along one direction through all elements at once. The direction is random, leaning towards
 * the gradient: a purely random one is nearly orthogonal to it, and its derivative all cancellation. */
static double direction_error(loss_function *f, void *context, const knobs *s, uint64_t *seed)
{
    static const double where[] = {1, -1, 2, -2}, weight[] = {8, -8, -1, 1};
    double *direction = must_alloc(s->n * sizeof *direction), *kept = must_alloc(s->n * sizeof *kept);
    double size = fmax(norm(s->gradient, s->n), SMALLEST_NORM), numeric = 0, analytic = 0;

    for (size_t k = 0; k < s->n; k++) {
        direction[k] = random_normal(seed) / sqrt((double)s->n) + s->gradient[k] / size;
        analytic += direction[k] * s->gradient[k];
        kept[k] = *s->knob[k];
    }
    for (int j = 0; j < 4; j++) {
        shift_all(s, direction, where[j] * STEP);
        numeric += weight[j] * f(context) / (12 * STEP);
        for (size_t k = 0; k < s->n; k++)
            *s->knob[k] = kept[k];
    }
    free(direction);
    free(kept);
    double error = fabs(numeric - analytic) / size;

    return isfinite(error) ? error : INFINITY;
}

static double knobs_error(loss_function *f, void *context, const knobs *s, uint64_t seed)
{
    double a = element_error(f, context, s, &seed), b = direction_error(f, context, s, &seed);

    return a > b ? a : b;
}

/* ---- random problems -------------------------------------------------------------------------------------------- */

typedef struct problem {
    lstm_model_config net;
    lstm_trainer_config train;
    size_t T;
    bool masked, started; /* started: from a non-zero state */
    bool own_logits, own_states; /* a loss of the logits instead of that of the targets; one of h and c beside it */
    size_t passes;        /* backward passes that add up */
    uint64_t seed;
} problem;

static lstm_model_config draw_net(uint64_t *s)
{
    lstm_model_config net = {.type = LSTM_F64, .seed = random_next(s)};

    net.cell = random_below(s, 3) ? LSTM_CELL_LSTM : LSTM_CELL_RNN;
    net.input = (lstm_input)random_below(s, 3);
    net.loss = random_below(s, 3) ? LSTM_LOSS_CROSS_ENTROPY : LSTM_LOSS_MSE;
    net.layers = 1 + random_below(s, 3);
    net.hidden = 1 + random_below(s, net.layers == 1 ? 35 : 19);
    net.vocab = net.input == LSTM_INPUT_DENSE ? 0 : 2 + random_below(s, 10);
    net.embed = net.input == LSTM_INPUT_EMBEDDING ? 1 + random_below(s, 11) : 0;
    net.inputs = net.input == LSTM_INPUT_DENSE ? 1 + random_below(s, 11) : 0;
    net.outputs = net.loss == LSTM_LOSS_MSE ? 1 + random_below(s, 10) : 2 + random_below(s, 18);
    net.dropout = random_below(s, 2) ? 0 : 0.1 + 0.4 * random_unit(s);
    return net;
}

static problem draw_problem(uint64_t seed)
{
    problem p = {.net = draw_net(&seed)};

    lstm_trainer_defaults(&p.train);
    p.train.batch = 1 + random_below(&seed, 5);
    p.T = 1 + random_below(&seed, 7);
    p.train.seq = p.T + random_below(&seed, 2);
    p.train.loss_at = random_below(&seed, 3) ? LSTM_LOSS_AT_ALL : LSTM_LOSS_AT_LAST;
    p.train.reduction = random_below(&seed, 3) ? LSTM_MEAN : LSTM_SUM;
    p.train.carry = false;
    p.train.threads = 1;
    p.passes = p.train.accumulate = 1 + random_below(&seed, 2);
    p.masked = random_below(&seed, 2);
    p.started = random_below(&seed, 3);
    p.seed = random_next(&seed);
    p.own_logits = random_below(&seed, 3) == 0;
    p.own_states = random_below(&seed, 2);
    return p;
}

static const char *describe(const problem *p)
{
    static const char *input[] = {"one-hot", "embedding", "dense"};
    static char text[256];

    snprintf(text, sizeof text, "%s L=%zu H=%zu %s V=%zu E=%zu I=%zu O=%zu T=%zu B=%zu %s %s%s%s%s%s%s%s%s",
             p->net.cell == LSTM_CELL_LSTM ? "lstm" : "rnn", p->net.layers, p->net.hidden, input[p->net.input],
             p->net.vocab, p->net.embed, p->net.inputs, p->net.outputs, p->T, p->train.batch,
             p->net.loss == LSTM_LOSS_MSE ? "mse" : "cross-entropy", p->train.reduction == LSTM_SUM ? "sum" : "mean",
             p->train.loss_at == LSTM_LOSS_AT_LAST ? " last" : "", p->masked ? " masked" : "",
             p->net.dropout > 0 ? " dropout" : "", p->started ? " state" : "", p->passes > 1 ? " accumulated" : "",
             p->own_logits ? " own logits" : "", p->own_states ? " own states" : "");
    return text;
}

/* ---- the engine's derivatives ----------------------------------------------------------------------------------- */

typedef struct engine {
    const problem *problem;
    lstm_model *model;
    lstm_trainer *trainer;
    data *data[2];
    own_loss *own; /* NULL: none */
    size_t first; /* passes first.. count in the loss: parameters act on all, inputs and state on the last alone */
} engine;

/* This part of the own loss after a forward pass. */
static double weighted(const lstm_trainer *tr, lstm_what what, size_t layer, const void *weights)
{
    if (!weights)
        return 0;

    lstm_tensor t = must_tensor(tr, what, layer);
    const double *weight = weights;
    double sum = 0;

    for (size_t k = 0; k < lstm_tensor_size(&t); k++)
        sum += weight[k] * lstm_tensor_at(&t, k);
    return sum;
}

/* What the pass that was just done adds to the loss, of which `targets` is the targets' share. */
static double whole_loss(const engine *e, double targets)
{
    if (!e->own)
        return targets;

    double sum = e->own->logits ? weighted(e->trainer, LSTM_LOGITS, 0, e->own->logits) : targets;

    for (size_t l = 0; l < e->own->layers; l++)
        sum += weighted(e->trainer, LSTM_H, l, e->own->h[l]) + weighted(e->trainer, LSTM_C, l, e->own->c[l]);
    return sum;
}

static engine engine_new(const problem *p)
{
    engine e = {.problem = p, .model = must_model(&p->net)};

    randomize(e.model, 0.4, p->seed);
    e.trainer = must_trainer(e.model, &p->train);
    if (p->started)
        randomize_state(e.trainer, 0.5, p->seed + 1);
    for (size_t k = 0; k < p->passes; k++)
        e.data[k] = data_new(&p->net, p->T, p->train.batch, p->masked, p->seed + 2 + k);
    if (p->own_logits || p->own_states)
        e.own = own_loss_new(&p->net, p->T, p->train.batch, p->own_logits, p->own_states, p->seed + 9);
    return e;
}

static void engine_free(engine *e)
{
    lstm_trainer_free(e->trainer);
    lstm_model_free(e->model);
    for (size_t k = 0; k < e->problem->passes; k++)
        data_free(e->data[k]);
    own_loss_free(e->own);
}

/* Dropout's mask is a function of the counter of passes, so setting that repeats a pass exactly. */
static double engine_loss(void *context)
{
    const engine *e = context;
    double sum = 0;

    for (size_t k = e->first; k < e->problem->passes; k++) {
        lstm_batch batch = data_batch(e->data[k]);

        lstm_trainer_set_counters(e->trainer, (lstm_counters){.passes = k});
        sum += whole_loss(e, must_forward(e->trainer, &batch, true));
    }
    return sum;
}

static void engine_backward(engine *e)
{
    lstm_trainer_zero(e->trainer);
    lstm_trainer_set_counters(e->trainer, (lstm_counters){0});
    for (size_t k = 0; k < e->problem->passes; k++) {
        lstm_batch batch = data_batch(e->data[k]);

        must_forward(e->trainer, &batch, true);
        if (e->own)
            must_backward_from(e->trainer, e->own);
        else
            must_backward(e->trainer);
    }
}

static knobs *engine_knobs(lstm_tensor parameter, lstm_tensor gradient)
{
    knobs *s = knobs_new(parameter.name, lstm_tensor_size(&parameter));

    if (lstm_tensor_size(&gradient) != s->n)
        bail("%s: gradient of %zu elements for %zu", s->name, lstm_tensor_size(&gradient), s->n);
    for (size_t k = 0; k < s->n; k++) {
        s->knob[k] = (double *)parameter.data + lstm_tensor_offset(&parameter, k);
        s->gradient[k] = lstm_tensor_at(&gradient, k);
    }
    return s;
}

static knobs *input_knobs(engine *e)
{
    const data *d = e->data[e->problem->passes - 1];
    lstm_tensor dx = must_tensor(e->trainer, LSTM_DX, 0), x;
    size_t shape[] = {d->T, d->B, d->I};

    lstm_tensor_dense(&x, "x", LSTM_F64, 3, shape, d->x_real);
    return engine_knobs(x, dx);
}

/* All knobs of a problem, after engine_backward; those from *inputs on belong to the last pass alone. */
static size_t all_knobs(engine *e, knobs **list, size_t *inputs)
{
    size_t n = 0;

    for (size_t k = 0; k < lstm_model_params(e->model); k++)
        list[n++] = engine_knobs(lstm_model_param(e->model, k), must_tensor(e->trainer, LSTM_GRAD, k));
    *inputs = n;
    if (e->problem->net.input == LSTM_INPUT_DENSE)
        list[n++] = input_knobs(e);
    for (size_t l = 0; l < e->problem->net.layers; l++) {
        list[n++] = engine_knobs(must_tensor(e->trainer, LSTM_STATE_H, l), must_tensor(e->trainer, LSTM_DSTATE_H, l));
        if (e->problem->net.cell == LSTM_CELL_LSTM)
            list[n++] = engine_knobs(must_tensor(e->trainer, LSTM_STATE_C, l),
                                     must_tensor(e->trainer, LSTM_DSTATE_C, l));
    }
    return n;
}

static void check_engine(const problem *p)
{
    engine e = engine_new(p);
    knobs *list[32];
    size_t inputs;

    engine_backward(&e);
    size_t n = all_knobs(&e, list, &inputs), worst = 0;
    double largest = 0;

    for (size_t k = 0; k < n; k++) {
        e.first = k < inputs ? 0 : p->passes - 1;
        double error = knobs_error(engine_loss, &e, list[k], p->seed + k);

        if (error > largest) {
            largest = error;
            worst = k;
        }
    }
    tap_ok(largest < TOLERANCE, "%s: largest error of %zu tensors %.1e (%s)", describe(p), n, largest,
           list[worst]->name);
    for (size_t k = 0; k < n; k++)
        knobs_free(list[k]);
    engine_free(&e);
}

/* The draw must not leave an option out. */
static void check_coverage(const problem *p)
{
    enum { OPTIONS = 21 };
    int seen[OPTIONS] = {0};

    for (size_t k = 0; k < PROBLEMS; k++) {
        seen[0] += p[k].net.cell == LSTM_CELL_RNN;
        seen[1] += p[k].net.cell == LSTM_CELL_LSTM;
        seen[2] += p[k].net.input == LSTM_INPUT_ONEHOT;
        seen[3] += p[k].net.input == LSTM_INPUT_EMBEDDING;
        seen[4] += p[k].net.input == LSTM_INPUT_DENSE;
        seen[5] += p[k].net.loss == LSTM_LOSS_MSE;
        seen[6] += p[k].net.loss == LSTM_LOSS_CROSS_ENTROPY;
        seen[7] += p[k].net.layers == 1;
        seen[8] += p[k].net.layers == 2;
        seen[9] += p[k].net.layers == 3;
        seen[10] += p[k].net.dropout > 0;
        seen[11] += p[k].train.loss_at == LSTM_LOSS_AT_LAST;
        seen[12] += p[k].train.reduction == LSTM_SUM;
        seen[13] += p[k].masked;
        seen[14] += p[k].passes > 1;
        seen[15] += p[k].started;
        seen[16] += p[k].net.dropout > 0 && p[k].net.layers > 1 && p[k].net.cell == LSTM_CELL_LSTM;
        seen[17] += p[k].own_logits;
        seen[18] += !p[k].own_logits && !p[k].own_states;
        seen[19] += p[k].own_states && p[k].net.layers > 1 && p[k].net.dropout > 0;
        seen[20] += p[k].own_states && p[k].net.cell == LSTM_CELL_RNN;
    }
    int fewest = PROBLEMS;

    for (int k = 0; k < OPTIONS; k++)
        fewest = seen[k] < fewest ? seen[k] : fewest;
    tap_ok(fewest >= 3, "%d problems, each option in at least %d", PROBLEMS, fewest);
}

/* ---- does the check see a mistake? ------------------------------------------------------------------------------ */

/* One number of the engine's gradient wrong by a tenth. */
static void check_tampered(const problem *p)
{
    engine e = engine_new(p);
    knobs *list[32];
    size_t inputs, n, missed = 0;

    engine_backward(&e);
    n = all_knobs(&e, list, &inputs);
    for (size_t k = 0; k < n; k++) {
        size_t largest = 0;

        for (size_t j = 0; j < list[k]->n; j++)
            largest = fabs(list[k]->gradient[j]) > fabs(list[k]->gradient[largest]) ? j : largest;
        list[k]->gradient[largest] *= 1.1;
        e.first = k < inputs ? 0 : p->passes - 1;
        missed += knobs_error(engine_loss, &e, list[k], 1) < TOLERANCE;
    }
    tap_ok(missed == 0, "one wrong number in the gradient of any of %zu tensors is noticed (missed %zu)", n, missed);
    for (size_t k = 0; k < n; k++)
        knobs_free(list[k]);
    engine_free(&e);
}

typedef struct plain {
    naive *net;
    naive_batch batch;
} plain;

static double plain_loss(void *context)
{
    plain *s = context;

    return naive_forward(s->net, &s->batch);
}

/* Largest error over the parameters of a naive network whose backward pass has this fault. */
static double fault_error(const lstm_model_config *net, naive_fault fault)
{
    lstm_trainer_config train;
    uint64_t seed = 5;
    data *d = data_new(net, 4, 3, false, 6);
    double largest = 0;

    lstm_trainer_defaults(&train);
    plain s = {naive_new(net, 4, 3), data_naive(d, &train)};

    for (size_t k = 0; k < s.net->params; k++)
        for (size_t j = 0; j < s.net->param[k].rows * s.net->param[k].cols; j++)
            s.net->param[k].value[j] = 0.4 * random_normal(&seed);
    s.net->fault = fault;
    naive_forward(s.net, &s.batch);
    naive_backward(s.net);
    for (size_t k = 0; k < s.net->params; k++) {
        naive_param *p = &s.net->param[k];
        knobs *list = knobs_new(p->name, p->rows * p->cols);

        for (size_t j = 0; j < list->n; j++) {
            list->knob[j] = &p->value[j];
            list->gradient[j] = p->grad[j];
        }
        double error = knobs_error(plain_loss, &s, list, 7);

        largest = error > largest ? error : largest;
        knobs_free(list);
    }
    naive_free(s.net);
    data_free(d);
    return largest;
}

static void check_faults(void)
{
    static const char *name[] = {"forget path", "output gate", "recurrent weights", "tanh"};
    lstm_model_config lstm = config_lstm(5, 7, 2), rnn = lstm;

    rnn.cell = LSTM_CELL_RNN;
    tap_ok(fault_error(&lstm, NAIVE_SOUND) < TOLERANCE, "naive lstm: sound derivatives pass");
    tap_ok(fault_error(&rnn, NAIVE_SOUND) < TOLERANCE, "naive rnn: sound derivatives pass");
    for (naive_fault fault = NAIVE_FAULT_FORGET; fault <= NAIVE_FAULT_TANH; fault++) {
        double error = fault_error(&lstm, fault);

        tap_ok(error > 100 * TOLERANCE, "naive lstm: a wrong derivative (%s) is noticed: error %.1e",
               name[fault - NAIVE_FAULT_FORGET], error);
    }
    tap_ok(fault_error(&rnn, NAIVE_FAULT_TANH) > 100 * TOLERANCE, "naive rnn: a wrong derivative (tanh) is noticed");
}

int main(void)
{
    problem p[PROBLEMS];

    for (size_t k = 0; k < PROBLEMS; k++)
        p[k] = draw_problem(1000 + k);
    check_coverage(p);
    check_faults();
    for (size_t k = 0; k < PROBLEMS; k++)
        check_engine(&p[k]);
    check_tampered(&p[0]);
    return tap_done();
}
