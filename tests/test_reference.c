/* SPDX-License-Identifier: MIT
 *
 * test_reference.c - the engine against PyTorch's autograd: every gate, state, gradient, norm, loss and parameter of
 * the cases in fixtures/reference.h5 (layout: make_reference.py), in float64 and float32. The naive networks of the
 * other tests are measured by the same numbers.
 *
 * usage: test_reference [FILE.h5]
 *
 * Errors are norm-wise: ||got - want|| / ||want|| for each tensor. float64 must agree to 1e-10, what two correct
 * programs with different summation orders reach with a wide margin. In float32 rounding is 6e-8 per operation; a
 * forward pass of these sizes must stay below 1e-5, gradients and parameters after AdamW steps below 1e-4.
 */
#include "naive.h"
#include "support.h"
#include "tap.h"

#include <hdf5.h>

/* With products of bfloat16 numbers: 24, 16 and 8 bits of each operand are kept. Where gates are saturated, the error of
 * a gradient is not relative to a gate's argument but as large as that of the argument, which is tens there. */
static const double TOLERANCE_X6 = 1e-5, TOLERANCE_X3 = 2e-5, TOLERANCE_BF16 = 2e-2, SATURATED = 10;
static const double TOLERANCE_F64 = 1e-10, TOLERANCE_F32_FORWARD = 1e-5, TOLERANCE_F32_BACKWARD = 1e-4;

/* ---- reading the file ------------------------------------------------------------------------------------------- */

static bool has(hid_t group, const char *path)
{
    char part[128];

    for (size_t k = 0; path[k]; k++)
        if (path[k] == '/') {
            snprintf(part, sizeof part, "%.*s", (int)k, path);
            if (H5Lexists(group, part, H5P_DEFAULT) <= 0)
                return false;
        }
    return H5Lexists(group, path, H5P_DEFAULT) > 0;
}

/* All of a dataset as `type`, whatever it is stored as; must have n elements. */
static void read_into(hid_t group, const char *path, hid_t type, size_t n, void *to)
{
    hid_t set = H5Dopen2(group, path, H5P_DEFAULT), space = set < 0 ? -1 : H5Dget_space(set);

    if (space < 0 || H5Sget_simple_extent_npoints(space) != (hssize_t)n)
        bail("%s: expected a dataset of %zu elements", path, n);
    if (H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to) < 0)
        bail("%s: cannot be read", path);
    H5Sclose(space);
    H5Dclose(set);
}

static double *read_doubles(hid_t group, const char *path, size_t n)
{
    double *v = must_alloc(n * sizeof *v);

    read_into(group, path, H5T_NATIVE_DOUBLE, n, v);
    return v;
}

static int32_t *read_ids(hid_t group, const char *path, size_t n)
{
    int32_t *v = must_alloc(n * sizeof *v);

    read_into(group, path, H5T_NATIVE_INT32, n, v);
    return v;
}

static double number(hid_t group, const char *name)
{
    double value = 0;

    if (H5Aexists(group, name) <= 0)
        return 0;
    hid_t attribute = H5Aopen(group, name, H5P_DEFAULT);

    if (attribute < 0 || H5Aread(attribute, H5T_NATIVE_DOUBLE, &value) < 0)
        bail("attribute %s cannot be read", name);
    H5Aclose(attribute);
    return value;
}

static size_t size(hid_t group, const char *name)
{
    return (size_t)number(group, name);
}

static bool text_is(hid_t group, const char *name, const char *wanted)
{
    hid_t attribute = H5Aopen(group, name, H5P_DEFAULT);
    hid_t type = H5Tcopy(H5T_C_S1);
    char *value = NULL;

    if (attribute < 0 || type < 0 || H5Tset_size(type, H5T_VARIABLE) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
        H5Aread(attribute, type, &value) < 0)
        bail("attribute %s cannot be read", name);
    bool same = value && !strcmp(value, wanted);

    H5free_memory(value);
    H5Tclose(type);
    H5Aclose(attribute);
    return same;
}

/* ---- a case ----------------------------------------------------------------------------------------------------- */

typedef struct reference {
    const char *name;
    hid_t group;
    lstm_model_config net;
    lstm_trainer_config train;
    data *data;
    double *h0, *c0;
} reference;

static lstm_model_config read_net(hid_t g)
{
    lstm_model_config net = {.hidden = size(g, "H"), .layers = size(g, "L"), .vocab = size(g, "V")};

    net.cell = text_is(g, "cell", "lstm") ? LSTM_CELL_LSTM : LSTM_CELL_RNN;
    net.input = text_is(g, "input", "dense")    ? LSTM_INPUT_DENSE
                : text_is(g, "input", "onehot") ? LSTM_INPUT_ONEHOT
                                                : LSTM_INPUT_EMBEDDING;
    net.loss = text_is(g, "loss", "mse") ? LSTM_LOSS_MSE : LSTM_LOSS_CROSS_ENTROPY;
    net.embed = net.input == LSTM_INPUT_EMBEDDING ? size(g, "E") : 0;
    net.inputs = net.input == LSTM_INPUT_DENSE ? size(g, "I") : 0;
    net.outputs = net.loss == LSTM_LOSS_MSE ? size(g, "O") : net.vocab;
    return net;
}

static lstm_trainer_config read_train(hid_t g)
{
    lstm_trainer_config train;

    lstm_trainer_defaults(&train);
    train.batch = size(g, "B");
    train.seq = size(g, "T");
    train.optimizer = LSTM_ADAMW;
    train.lr = number(g, "lr");
    train.beta1 = number(g, "beta1");
    train.beta2 = number(g, "beta2");
    train.eps = number(g, "eps");
    train.weight_decay = number(g, "weight_decay");
    train.decay_biases = true;
    train.clip = text_is(g, "clip", "none")   ? LSTM_CLIP_NONE
                 : text_is(g, "clip", "norm") ? LSTM_CLIP_NORM
                                              : LSTM_CLIP_VALUE;
    train.clip_at = number(g, "clip_value");
    train.accumulate = 1;
    train.loss_at = text_is(g, "loss_at", "last") ? LSTM_LOSS_AT_LAST : LSTM_LOSS_AT_ALL;
    train.reduction = LSTM_MEAN;
    train.carry = false;
    return train;
}

static void *copy_as(lstm_type type, const double *v, size_t n)
{
    char *copy = must_alloc(n * lstm_type_size(type));

    for (size_t k = 0; k < n; k++)
        if (type == LSTM_F32)
            ((float *)(void *)copy)[k] = (float)v[k];
        else
            ((double *)(void *)copy)[k] = v[k];
    return copy;
}

static data *read_data(hid_t g, const lstm_model_config *net, const lstm_trainer_config *train)
{
    data *d = must_alloc(sizeof *d);
    size_t n = train->seq * train->batch;

    d->T = train->seq;
    d->B = train->batch;
    d->I = net->inputs;
    d->O = net->outputs;
    if (net->input == LSTM_INPUT_DENSE) {
        d->x = read_doubles(g, "input/x", n * d->I);
        d->x_real = copy_as(net->type, d->x, n * d->I);
    } else {
        d->ids = read_ids(g, "input/ids", n);
    }
    if (net->loss == LSTM_LOSS_MSE) {
        d->target = read_doubles(g, "target/y", n * d->O);
        d->target_real = copy_as(net->type, d->target, n * d->O);
    } else {
        d->target_ids = read_ids(g, "target/ids", n);
    }
    return d;
}

static reference read_case(hid_t file, const char *name, lstm_type type)
{
    reference r = {.name = name, .group = H5Gopen2(file, name, H5P_DEFAULT)};

    if (r.group < 0)
        bail("%s: not a group", name);
    r.net = read_net(r.group);
    r.net.type = type;
    r.train = read_train(r.group);
    r.data = read_data(r.group, &r.net, &r.train);
    size_t n = r.net.layers * r.train.batch * r.net.hidden;

    r.h0 = read_doubles(r.group, "state0/h", n);
    r.c0 = read_doubles(r.group, "state0/c", n);
    return r;
}

static void close_case(reference *r)
{
    data_free(r->data);
    free(r->h0);
    free(r->c0);
    H5Gclose(r->group);
}

/* ---- comparing -------------------------------------------------------------------------------------------------- */

/* The largest error of a group of tensors, and how many there were. */
typedef struct worst {
    double error;
    char where[128];
    int tensors;
} worst;

static void compare(worst *w, const reference *r, const char *path, const double *got, size_t n)
{
    double *want = read_doubles(r->group, path, n), error = relative_error(got, want, n);

    w->tensors++;
    if (!(error <= w->error)) {
        w->error = error;
        snprintf(w->where, sizeof w->where, "%s", path);
    }
    free(want);
}

static const char *output_path(const reference *r)
{
    return r->net.loss == LSTM_LOSS_MSE ? "forward/y" : "forward/logits";
}

static void compare_number(worst *w, const reference *r, const char *path, double got)
{
    compare(w, r, path, &got, 1);
}

static void report(const reference *r, const char *who, const char *what, const worst *w, double tolerance)
{
    tap_ok(w->tensors > 0 && w->error <= tolerance, "%s, %s: %s, %d tensors within %g: largest error %.1e (%s)",
           r->name, who, what, w->tensors, tolerance, w->error, w->where);
}

/* ---- the engine ------------------------------------------------------------------------------------------------- */

static const char *type_name(const lstm_model_config *net)
{
    static const char *const names[] = {"float32", "bf16x6", "bf16x3", "bf16"};

    return net->type == LSTM_F64 ? "float64" : names[net->products];
}

static void set_parameters(lstm_model *m, const reference *r)
{
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);
        char path[128];

        snprintf(path, sizeof path, "params/%s", t.name);
        double *v = read_doubles(r->group, path, lstm_tensor_size(&t));

        set_values(&t, v);
        free(v);
    }
}

static void set_state(lstm_trainer *tr, const reference *r)
{
    size_t n = r->train.batch * r->net.hidden;

    for (size_t l = 0; l < r->net.layers; l++) {
        lstm_tensor h = must_tensor(tr, LSTM_STATE_H, l);

        set_values(&h, r->h0 + l * n);
        if (r->net.cell == LSTM_CELL_RNN)
            continue;
        lstm_tensor c = must_tensor(tr, LSTM_STATE_C, l);

        set_values(&c, r->c0 + l * n);
    }
}

/* One tensor per layer, as the file has them in one dataset. */
static void compare_layers(worst *w, const reference *r, lstm_trainer *tr, lstm_what what, const char *path)
{
    size_t n = 0, L = r->net.layers;
    double *all = NULL;

    for (size_t l = 0; l < L; l++) {
        lstm_tensor t = must_tensor(tr, what, l);
        double *v = values(&t);

        if (!all) {
            n = lstm_tensor_size(&t);
            all = must_alloc(L * n * sizeof *all);
        }
        memcpy(all + l * n, v, n * sizeof *v);
        free(v);
    }
    compare(w, r, path, all, L * n);
    free(all);
}

static void compare_tensor(worst *w, const reference *r, const char *path, lstm_tensor t)
{
    double *v = values(&t);

    compare(w, r, path, v, lstm_tensor_size(&t));
    free(v);
}

static void engine_forward(const reference *r, lstm_trainer *tr, double tolerance)
{
    static const lstm_what gates[] = {LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_C};
    static const char *paths[] = {"forward/i", "forward/f", "forward/g", "forward/o", "forward/c"};
    lstm_batch batch = data_batch(r->data);
    worst w = {0};

    compare_number(&w, r, "forward/loss", must_forward(tr, &batch, true));
    compare_layers(&w, r, tr, LSTM_H, "forward/h");
    for (size_t k = 0; k < 5 && r->net.cell == LSTM_CELL_LSTM; k++)
        compare_layers(&w, r, tr, gates[k], paths[k]);
    compare_tensor(&w, r, output_path(r), must_tensor(tr, LSTM_LOGITS, 0));
    report(r, type_name(&r->net), "forward", &w, tolerance);
}

static void engine_backward(const reference *r, lstm_trainer *tr, double tolerance)
{
    worst w = {0};
    lstm_model *m = lstm_trainer_model(tr);

    must_backward(tr);
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        char path[128];

        snprintf(path, sizeof path, "backward/params/%s", lstm_model_param(m, k).name);
        compare_tensor(&w, r, path, must_tensor(tr, LSTM_GRAD, k));
    }
    compare_layers(&w, r, tr, LSTM_DH, "backward/dh");
    compare_layers(&w, r, tr, LSTM_DSTATE_H, "backward/dh0");
    if (r->net.cell == LSTM_CELL_LSTM) {
        compare_layers(&w, r, tr, LSTM_DC, "backward/dc");
        compare_layers(&w, r, tr, LSTM_DSTATE_C, "backward/dc0");
    }
    if (r->net.input == LSTM_INPUT_DENSE)
        compare_tensor(&w, r, "backward/dx", must_tensor(tr, LSTM_DX, 0));
    report(r, type_name(&r->net), "backward", &w, tolerance);
}

static void compare_parameters(worst *w, const reference *r, lstm_model *m, int step)
{
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        char path[128];

        snprintf(path, sizeof path, "adamw/step%d/params/%s", step, lstm_model_param(m, k).name);
        if (has(r->group, path))
            compare_tensor(w, r, path, lstm_model_param(m, k));
    }
}

static void engine_steps(const reference *r, lstm_trainer *tr, double tolerance)
{
    lstm_batch batch = data_batch(r->data);
    worst losses = {0}, parameters = {0};
    double loss[10];

    lstm_trainer_zero(tr);
    for (int step = 1; step <= 10; step++) {
        lstm_step_stats stats = must_step(tr, &batch);

        loss[step - 1] = stats.loss;
        if (step == 1)
            compare_number(&losses, r, "backward/norm", stats.update.grad_norm);
        compare_parameters(&parameters, r, lstm_trainer_model(tr), step);
    }
    compare(&losses, r, "adamw/losses", loss, 10);
    report(r, type_name(&r->net), "gradient norm and ten losses", &losses, tolerance);
    report(r, type_name(&r->net), "parameters after 1, 2, 10 updates", &parameters, tolerance);
    tap_ok(parameters.tensors == 3 * (int)lstm_model_params(lstm_trainer_model(tr)),
           "%s, %s: every parameter was compared", r->name, type_name(&r->net));
}

static void check_engine(hid_t file, const char *name, lstm_type type)
{
    reference r = read_case(file, name, type);
    lstm_model *m = must_model(&r.net);
    lstm_trainer *tr = must_trainer(m, &r.train);

    set_parameters(m, &r);
    set_state(tr, &r);
    engine_forward(&r, tr, type == LSTM_F64 ? TOLERANCE_F64 : TOLERANCE_F32_FORWARD);
    engine_backward(&r, tr, type == LSTM_F64 ? TOLERANCE_F64 : TOLERANCE_F32_BACKWARD);
    engine_steps(&r, tr, type == LSTM_F64 ? TOLERANCE_F64 : TOLERANCE_F32_BACKWARD);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    close_case(&r);
}

/* Products of bfloat16 numbers: one forward and backward pass. What AdamW makes of a gradient that is nearly nothing is
 * its sign, so that parameters are no measure of a rounding. */
static void check_products(hid_t file, const char *name, lstm_products products, double tolerance)
{
    reference r = read_case(file, name, LSTM_F32);

    tolerance *= strcmp(name, "saturated") ? 1 : SATURATED;
    r.net.products = products;
    lstm_model *m = must_model(&r.net);
    lstm_trainer *tr = must_trainer(m, &r.train);

    set_parameters(m, &r);
    set_state(tr, &r);
    engine_forward(&r, tr, tolerance);
    engine_backward(&r, tr, tolerance);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    close_case(&r);
}

/* ---- naive ------------------------------------------------------------------------------------------------------ */

static void naive_pass(const reference *r, naive *n, const naive_batch *batch)
{
    size_t units = r->net.layers * r->train.seq * r->train.batch * r->net.hidden;
    size_t state = r->net.layers * r->train.batch * r->net.hidden, steps = r->train.seq * r->train.batch;
    bool lstm = r->net.cell == LSTM_CELL_LSTM;
    worst w = {0};

    compare_number(&w, r, "forward/loss", naive_forward(n, batch));
    naive_backward(n);
    compare_number(&w, r, "backward/norm", naive_norm(n));
    compare(&w, r, output_path(r), n->y, steps * n->O);
    compare(&w, r, "forward/h", n->h, units);
    compare(&w, r, "backward/dh", n->dh, units);
    compare(&w, r, "backward/dh0", n->dh0, state);
    if (r->net.input == LSTM_INPUT_DENSE)
        compare(&w, r, "backward/dx", n->dx, steps * n->I);
    if (lstm) {
        compare(&w, r, "forward/i", n->i, units);
        compare(&w, r, "forward/f", n->f, units);
        compare(&w, r, "forward/g", n->g, units);
        compare(&w, r, "forward/o", n->o, units);
        compare(&w, r, "forward/c", n->c, units);
        compare(&w, r, "backward/dc", n->dc, units);
        compare(&w, r, "backward/dc0", n->dc0, state);
    }
    for (size_t k = 0; k < n->params; k++) {
        char path[128];

        snprintf(path, sizeof path, "backward/params/%s", n->param[k].name);
        compare(&w, r, path, n->param[k].grad, n->param[k].rows * n->param[k].cols);
    }
    report(r, "naive", "forward and backward", &w, TOLERANCE_F64);
}

static void naive_steps(const reference *r, naive *n, const naive_batch *batch)
{
    worst w = {0};
    double loss[10];

    for (int step = 1; step <= 10; step++) {
        loss[step - 1] = naive_forward(n, batch);
        naive_zero(n);
        naive_backward(n);
        naive_clip(n, r->train.clip, r->train.clip_at);
        naive_update(n, &r->train, r->train.lr, (unsigned long)step);
        for (size_t k = 0; k < n->params; k++) {
            char path[128];

            snprintf(path, sizeof path, "adamw/step%d/params/%s", step, n->param[k].name);
            if (has(r->group, path))
                compare(&w, r, path, n->param[k].value, n->param[k].rows * n->param[k].cols);
        }
    }
    compare(&w, r, "adamw/losses", loss, 10);
    report(r, "naive", "ten AdamW steps", &w, TOLERANCE_F64);
}

static void check_naive(hid_t file, const char *name)
{
    reference r = read_case(file, name, LSTM_F64);
    naive *n = naive_new(&r.net, r.train.seq, r.train.batch);
    naive_batch batch = data_naive(r.data, &r.train);
    size_t state = r.net.layers * r.train.batch * r.net.hidden;

    for (size_t k = 0; k < n->params; k++) {
        char path[128];

        snprintf(path, sizeof path, "params/%s", n->param[k].name);
        read_into(r.group, path, H5T_NATIVE_DOUBLE, n->param[k].rows * n->param[k].cols, n->param[k].value);
    }
    memcpy(n->h0, r.h0, state * sizeof *n->h0);
    memcpy(n->c0, r.c0, state * sizeof *n->c0);
    naive_pass(&r, n, &batch);
    naive_steps(&r, n, &batch);
    naive_free(n);
    close_case(&r);
}

/* ---- main ------------------------------------------------------------------------------------------------------- */

static void check_case(hid_t file, const char *name)
{
    check_naive(file, name);
    check_engine(file, name, LSTM_F64);
    check_engine(file, name, LSTM_F32);
    check_products(file, name, LSTM_PRODUCTS_BF16X6, TOLERANCE_X6);
    check_products(file, name, LSTM_PRODUCTS_BF16X3, TOLERANCE_X3);
    check_products(file, name, LSTM_PRODUCTS_BF16, TOLERANCE_BF16);
}

/* Every group of the file; their number. */
static size_t check_cases(hid_t file)
{
    H5G_info_t info;
    char name[128];

    if (H5Gget_info(file, &info) < 0)
        bail("the file's groups cannot be listed");
    for (hsize_t k = 0; k < info.nlinks; k++) {
        if (H5Lget_name_by_idx(file, ".", H5_INDEX_NAME, H5_ITER_INC, k, name, sizeof name, H5P_DEFAULT) < 0)
            bail("group %zu has no name", (size_t)k);
        check_case(file, name);
    }
    return (size_t)info.nlinks;
}

/* make check sets srcdir. */
static const char *default_path(void)
{
    static char path[4096];
    const char *srcdir = getenv("srcdir");

    snprintf(path, sizeof path, "%s/tests/fixtures/reference.h5", srcdir ? srcdir : ".");
    return path;
}

int main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : default_path();
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);

    if (file < 0)
        bail("%s: cannot be opened", path);
    size_t cases = check_cases(file);

    tap_ok(cases >= 7, "%zu cases", cases);
    H5Fclose(file);
    return tap_done();
}
