/* SPDX-License-Identifier: MIT
 *
 * init.c - initialisation schemes, by name. A parameter's numbers are a function of the model's seed, the parameter's
 * place in the list and the element's row-major index, so nothing else about a model changes them.
 */
#include "engine.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool needs_argument;
} schemes[LSTM_INIT_SCHEMES] = {
    [LSTM_INIT_ZEROS] = {"zeros", false},
    [LSTM_INIT_NORMAL] = {"normal", true},
    [LSTM_INIT_UNIFORM] = {"uniform", true},
    [LSTM_INIT_UNIFORM_HIDDEN] = {"uniform_hidden", false},
    [LSTM_INIT_XAVIER_NORMAL] = {"xavier_normal", false},
    [LSTM_INIT_XAVIER_UNIFORM] = {"xavier_uniform", false},
    [LSTM_INIT_HE_NORMAL] = {"he_normal", false},
    [LSTM_INIT_HE_UNIFORM] = {"he_uniform", false},
    [LSTM_INIT_ORTHOGONAL] = {"orthogonal", false},
    [LSTM_INIT_IDENTITY] = {"identity", false},
    [LSTM_INIT_CONSTANT] = {"constant", true},
};

static const char *const kinds[LSTM_KINDS] = {
    [LSTM_KIND_EMBEDDING] = "embedding", [LSTM_KIND_INPUT] = "input", [LSTM_KIND_RECURRENT] = "recurrent",
    [LSTM_KIND_BIAS] = "bias",           [LSTM_KIND_HEAD] = "head",   [LSTM_KIND_HEAD_BIAS] = "head_bias",
};

const char *lstm_scheme_name(lstm_scheme s) { return (unsigned)s < LSTM_INIT_SCHEMES ? schemes[s].name : NULL; }
bool lstm_scheme_takes_argument(lstm_scheme s) { return (unsigned)s < LSTM_INIT_SCHEMES && schemes[s].needs_argument; }
const char *lstm_kind_name(lstm_kind k) { return (unsigned)k < LSTM_KINDS ? kinds[k] : NULL; }

/* One parameter under initialisation. Gates are separate matrices of rows x columns: fans are per gate. */
typedef struct filling {
    const lstm_model *m;
    lstm_tensor t;
    uint64_t seed, stream;
    size_t rows, columns, parts; /* of one gate; number of gates */
} filling;

static void fill_normal(const filling *f, double std)
{
    const size_t n = lstm_tensor_size(&f->t);
    for (size_t i = 0; i < n; i++)
        lstm_tensor_set(&f->t, i, std * lstm_normal(f->seed, f->stream, i));
}

static void fill_uniform(const filling *f, double bound)
{
    const size_t n = lstm_tensor_size(&f->t);
    for (size_t i = 0; i < n; i++)
        lstm_tensor_set(&f->t, i, bound * (2 * lstm_uniform(f->seed, f->stream, i) - 1));
}

static void fill_constant(const filling *f, double value)
{
    const size_t n = lstm_tensor_size(&f->t);
    for (size_t i = 0; i < n; i++)
        lstm_tensor_set(&f->t, i, value);
}

static void fill_identity(const filling *f, double value)
{
    fill_constant(f, 0);
    for (size_t part = 0; part < f->parts; part++)
        for (size_t i = 0; i < f->rows && i < f->columns; i++)
            lstm_tensor_set(&f->t, (part * f->rows + i) * f->columns + i, value);
}

/* Eight sums side by side, which the compiler can keep in vectors; the order is fixed by the width. */
static double dot_product(const double *a, const double *b, size_t width)
{
    double sum[8] = {0};
    size_t k = 0;
    for (; k + 8 <= width; k += 8)
        for (size_t i = 0; i < 8; i++)
            sum[i] += a[k + i] * b[k + i];
    for (; k < width; k++)
        sum[0] += a[k] * b[k];
    return sum[0] + sum[1] + (sum[2] + sum[3]) + (sum[4] + sum[5] + (sum[6] + sum[7]));
}

/* Rows [n][width], n <= width, made orthonormal by Gram and Schmidt's method, twice over ("twice is enough": Giraud,
 * Langou & Rozloznik 2005). Random Gaussian rows, so the result is uniform over orthogonal matrices (Saxe et al. 2014,
 * up to signs). */
static void orthonormal_rows(double *a, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++) {
        double *row = a + i * width;
        for (int pass = 0; pass < 2; pass++)
            for (size_t j = 0; j < i; j++) {
                const double *other = a + j * width;
                const double along = dot_product(row, other, width);
                for (size_t k = 0; k < width; k++)
                    row[k] -= along * other[k];
            }
        const double scale = 1 / sqrt(dot_product(row, row, width));
        for (size_t k = 0; k < width; k++)
            row[k] *= scale;
    }
}

static int fill_orthogonal(const filling *f, double gain, lstm_error *err)
{
    const bool tall = f->rows > f->columns;
    const size_t n = tall ? f->columns : f->rows, width = tall ? f->rows : f->columns;
    double *a = malloc(n * width * sizeof *a);
    if (!a)
        return lstm_fail(err, "init", "not enough memory to make %s orthogonal", f->t.name);
    for (size_t part = 0; part < f->parts; part++) {
        const size_t first = part * f->rows * f->columns;
        for (size_t i = 0; i < n * width; i++)
            a[i] = lstm_normal(f->seed, f->stream, first + i);
        orthonormal_rows(a, n, width);
        for (size_t r = 0; r < f->rows; r++)
            for (size_t c = 0; c < f->columns; c++)
                lstm_tensor_set(&f->t, first + r * f->columns + c, gain * (tall ? a[c * width + r] : a[r * width + c]));
    }
    free(a);
    return 0;
}

static int fill(const filling *f, lstm_scheme scheme, double arg, lstm_error *err)
{
    const double fan_in = (double)f->columns, fan_out = (double)f->rows;
    const double gain = schemes[scheme].needs_argument || arg != 0 ? arg : 1;
    switch (scheme) {
    case LSTM_INIT_ZEROS:
        fill_constant(f, 0);
        break;
    case LSTM_INIT_CONSTANT:
        fill_constant(f, gain);
        break;
    case LSTM_INIT_NORMAL:
        fill_normal(f, gain);
        break;
    case LSTM_INIT_UNIFORM:
        fill_uniform(f, gain);
        break;
    case LSTM_INIT_UNIFORM_HIDDEN:
        fill_uniform(f, gain / sqrt((double)f->m->config.hidden));
        break;
    case LSTM_INIT_XAVIER_NORMAL:
        fill_normal(f, gain * sqrt(2 / (fan_in + fan_out)));
        break;
    case LSTM_INIT_XAVIER_UNIFORM:
        fill_uniform(f, gain * sqrt(6 / (fan_in + fan_out)));
        break;
    case LSTM_INIT_HE_NORMAL:
        fill_normal(f, gain * sqrt(2 / fan_in));
        break;
    case LSTM_INIT_HE_UNIFORM:
        fill_uniform(f, gain * sqrt(6 / fan_in));
        break;
    case LSTM_INIT_IDENTITY:
        fill_identity(f, gain);
        break;
    case LSTM_INIT_ORTHOGONAL:
        return fill_orthogonal(f, gain, err);
    case LSTM_INIT_SCHEMES:
        break;
    }
    return 0;
}

static int check_init(const lstm_init *init, lstm_error *err)
{
    for (int k = 0; k < LSTM_KINDS; k++) {
        const lstm_scheme s = init->kind[k].scheme;
        const double arg = init->kind[k].arg;
        const bool vector = k == LSTM_KIND_BIAS || k == LSTM_KIND_HEAD_BIAS;
        if ((unsigned)s >= LSTM_INIT_SCHEMES)
            return lstm_fail(err, "init", "%s: no such scheme", kinds[k]);
        if (!isfinite(arg))
            return lstm_fail(err, "init", "%s: the argument of '%s' is %g", kinds[k], schemes[s].name, arg);
        if (vector && (s == LSTM_INIT_ORTHOGONAL || s == LSTM_INIT_IDENTITY || (s >= LSTM_INIT_XAVIER_NORMAL &&
                                                                                s <= LSTM_INIT_HE_UNIFORM)))
            return lstm_fail(err, "init", "%s: '%s' is for matrices", kinds[k], schemes[s].name);
    }
    if (!isfinite(init->forget_bias))
        return lstm_fail(err, "forget_bias", "expected a finite number, got %g", init->forget_bias);
    return 0;
}

int lstm_model_init(lstm_model *m, const lstm_init *init, lstm_error *err)
{
    const lstm_layout *y = &m->layout;
    if (check_init(init, err))
        return -1;
    for (size_t k = 0; k < y->params; k++) {
        const lstm_param *p = &y->param[k];
        const bool gated = p->kind == LSTM_KIND_INPUT || p->kind == LSTM_KIND_RECURRENT || p->kind == LSTM_KIND_BIAS;
        filling f = {.m = m, .t = lstm_model_param(m, k), .seed = m->config.seed, .stream = LSTM_STREAM_INIT + k};
        f.parts = gated ? y->gates : 1;
        f.rows = f.t.axis[0].size / f.parts;
        f.columns = f.t.ndim > 1 ? f.t.axis[1].size : 1;
        if (fill(&f, init->kind[p->kind].scheme, init->kind[p->kind].arg, err))
            return -1;
        if (p->kind == LSTM_KIND_BIAS && y->gates == 4)
            for (size_t u = y->H; u < 2 * y->H; u++)
                lstm_tensor_set(&f.t, u, lstm_tensor_at(&f.t, u) + init->forget_bias);
    }
    return 0;
}
