/* SPDX-License-Identifier: MIT
 *
 * test_init.c - random numbers, initialisation schemes, and the choice of a sample.
 *
 * Statistics are of fixed seeds, so they never change by chance; their bounds are five standard errors, which a right
 * generator misses once in 1.7 million draws of a seed.
 */
#include "support.h"
#include "tap.h"

/* ---- random numbers --------------------------------------------------------------------------------------------- */

static void check_philox(void)
{
    /* Known answers of Random123 (kat_vectors, philox4x32-10): counter words 0..3, key words 0..1, result. */
    static const uint32_t known[][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
         0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1},
    };

    for (size_t k = 0; k < 3; k++) {
        const uint32_t *v = known[k];
        uint32_t out[4];

        lstm_philox((uint64_t)v[5] << 32 | v[4], (uint64_t)v[3] << 32 | v[2], (uint64_t)v[1] << 32 | v[0], out);
        tap_ok(!memcmp(out, v + 6, sizeof out), "Philox 4x32-10: known answer %zu", k + 1);
    }
}

typedef struct moments {
    double mean, deviation, kurtosis, least, most;
} moments;

static moments moments_of(const double *v, size_t n)
{
    moments m = {.least = v[0], .most = v[0]};
    double square = 0, fourth = 0;

    for (size_t k = 0; k < n; k++) {
        m.mean += v[k] / (double)n;
        m.least = fmin(m.least, v[k]);
        m.most = fmax(m.most, v[k]);
    }
    for (size_t k = 0; k < n; k++) {
        double d = v[k] - m.mean;

        square += d * d / (double)n;
        fourth += d * d * d * d / (double)n;
    }
    m.deviation = sqrt(square);
    m.kurtosis = fourth / (square * square);
    return m;
}

static double correlation(const double *a, const double *b, size_t n)
{
    moments ma = moments_of(a, n), mb = moments_of(b, n);
    double sum = 0;

    for (size_t k = 0; k < n; k++)
        sum += (a[k] - ma.mean) * (b[k] - mb.mean);
    return sum / ((double)n * ma.deviation * mb.deviation);
}

static void check_numbers(void)
{
    enum { N = 100000 };
    double *u = must_alloc(N * sizeof *u), *v = must_alloc(N * sizeof *v), *w = must_alloc(N * sizeof *w);

    for (uint64_t k = 0; k < N; k++) {
        u[k] = lstm_uniform(1, 5, k);
        v[k] = lstm_uniform(1, 6, k);
        w[k] = lstm_uniform(2, 5, k);
    }
    moments m = moments_of(u, N);

    tap_ok(m.least >= 0 && m.least < 1e-3 && m.most < 1 && m.most > 1 - 1e-3, "uniform: within [0,1), over all of it");
    tap_ok(fabs(m.mean - 0.5) < 5 * sqrt(1.0 / 12 / N), "uniform: mean %.5f", m.mean);
    tap_ok(fabs(m.deviation - sqrt(1.0 / 12)) < 5 * sqrt(0.2 / 12 / N), "uniform: deviation %.5f", m.deviation);
    tap_ok(fabs(correlation(u, v, N)) < 5 / sqrt(N), "uniform: streams are independent");
    tap_ok(fabs(correlation(u, w, N)) < 5 / sqrt(N), "uniform: seeds are independent");
    tap_ok(fabs(correlation(u, u + 1, N - 1)) < 5 / sqrt(N), "uniform: neighbours are independent");
    for (uint64_t k = 0; k < N; k++)
        v[k] = lstm_normal(1, 5, k);
    m = moments_of(v, N);
    tap_ok(fabs(m.mean) < 5 / sqrt(N), "normal: mean %.5f", m.mean);
    tap_ok(fabs(m.deviation - 1) < 5 / sqrt(2.0 * N), "normal: deviation %.5f", m.deviation);
    tap_ok(fabs(m.kurtosis - 3) < 5 * sqrt(24.0 / N), "normal: kurtosis %.4f", m.kurtosis);
    tap_ok(m.most > 3.5 && m.most < 6.5 && m.least < -3.5 && m.least > -6.5, "normal: extremes %.2f, %.2f", m.least,
           m.most);
    free(u);
    free(v);
    free(w);
}

/* ---- schemes ---------------------------------------------------------------------------------------------------- */

enum { V = 50, E = 40, H = 96 };

static lstm_model_config embedded(void)
{
    lstm_model_config net = config_lstm(V, H, 2);

    net.input = LSTM_INPUT_EMBEDDING;
    net.embed = E;
    return net;
}

static lstm_init all_zeros(void)
{
    return (lstm_init){.forget_bias = 0}; /* LSTM_INIT_ZEROS for every kind */
}

static void must_init(lstm_model *m, const lstm_init *init)
{
    lstm_error err = {0};

    if (lstm_model_init(m, init, &err))
        bail("lstm_model_init: field '%s': %s", err.field, err.message);
}

static size_t parameter(const lstm_model *m, const char *name)
{
    size_t k;

    if (lstm_model_find(m, name, &k))
        bail("no parameter %s", name);
    return k;
}

static double *parameter_values(const lstm_model *m, const char *name)
{
    lstm_tensor t = lstm_model_param(m, parameter(m, name));

    return values(&t);
}

/* Initialises weight_hh, weight_ih, head and embedding with one scheme; the values of the named parameter. */
static double *values_under(lstm_model *m, lstm_scheme scheme, double arg, const char *name)
{
    lstm_init init = all_zeros();

    for (int k = 0; k < LSTM_KINDS; k++)
        if (k != LSTM_KIND_BIAS && k != LSTM_KIND_HEAD_BIAS) {
            init.kind[k].scheme = scheme;
            init.kind[k].arg = arg;
        }
    must_init(m, &init);
    return parameter_values(m, name);
}

static void check_normal(lstm_model *m, lstm_scheme scheme, double arg, const char *name, double deviation)
{
    double *v = values_under(m, scheme, arg, name);
    lstm_tensor t = lstm_model_param(m, parameter(m, name));
    double n = (double)lstm_tensor_size(&t);
    moments s = moments_of(v, lstm_tensor_size(&t));

    tap_ok(fabs(s.mean) < 5 * deviation / sqrt(n) && fabs(s.deviation / deviation - 1) < 5 / sqrt(2 * n) &&
               fabs(s.kurtosis - 3) < 5 * sqrt(24 / n),
           "%s(%g) of %s: deviation %.4f, expected %.4f", lstm_scheme_name(scheme), arg, name, s.deviation, deviation);
    free(v);
}

static void check_uniform(lstm_model *m, lstm_scheme scheme, double arg, const char *name, double bound)
{
    double *v = values_under(m, scheme, arg, name);
    lstm_tensor t = lstm_model_param(m, parameter(m, name));
    double n = (double)lstm_tensor_size(&t);
    moments s = moments_of(v, lstm_tensor_size(&t));

    /* The largest of n uniform numbers is within 20/n of the bound with probability 1 - exp(-20). */
    tap_ok(s.least >= -bound && s.most <= bound && s.most > bound * (1 - 40 / n) && s.least < -bound * (1 - 40 / n) &&
               fabs(s.mean) < 5 * bound / sqrt(3 * n) && fabs(s.deviation * sqrt(3) / bound - 1) < 5 * sqrt(0.2 / n),
           "%s(%g) of %s: within %.4f, expected %.4f", lstm_scheme_name(scheme), arg, name, s.most, bound);
    free(v);
}

/* Largest deviation of the Gram matrix of one gate's rows (or columns, whichever are fewer) from gain^2 I. */
static double gram_error(const double *w, size_t rows, size_t cols, double gain)
{
    bool tall = rows > cols;
    size_t n = tall ? cols : rows, length = tall ? rows : cols;
    double worst = 0;

    for (size_t a = 0; a < n; a++)
        for (size_t b = 0; b < n; b++) {
            double dot = 0;

            for (size_t k = 0; k < length; k++)
                dot += tall ? w[k * cols + a] * w[k * cols + b] : w[a * cols + k] * w[b * cols + k];
            double error = fabs(dot - (a == b ? gain * gain : 0));

            worst = error <= worst ? worst : error; /* NaN is the worst */
        }
    return worst;
}

static void check_orthogonal(lstm_model *m, const char *name, size_t gates, size_t rows, size_t cols, double gain)
{
    double *v = values_under(m, LSTM_INIT_ORTHOGONAL, gain, name), worst = 0;
    bool exact = lstm_model_settings(m)->type == LSTM_F64;

    for (size_t g = 0; g < gates; g++) {
        double error = gram_error(v + g * rows * cols, rows, cols, gain != 0 ? gain : 1);

        worst = error <= worst ? worst : error;
    }
    tap_ok(worst < (exact ? 1e-12 : 1e-5), "orthogonal(%g) %s %s: W W' = I within %.1e", gain,
           exact ? "float64" : "float32", name, worst);
    if (gates > 1)
        tap_ok(relative_error(v, v + rows * cols, rows * cols) > 0.5, "orthogonal: every gate has a matrix of its own");
    free(v);
}

static void check_schemes(lstm_type type)
{
    lstm_model_config net = embedded();

    net.type = type;
    lstm_model *m = must_model(&net);
    const char *ih = "lstm.weight_ih_l0", *hh = "lstm.weight_hh_l1", *head = "head.weight", *table = "embedding.weight";

    check_normal(m, LSTM_INIT_NORMAL, 0.02, hh, 0.02);
    check_normal(m, LSTM_INIT_NORMAL, 1, table, 1);
    check_uniform(m, LSTM_INIT_UNIFORM, 0.08, ih, 0.08);
    check_uniform(m, LSTM_INIT_UNIFORM_HIDDEN, 0, hh, 1 / sqrt(H));
    check_uniform(m, LSTM_INIT_UNIFORM_HIDDEN, 0, head, 1 / sqrt(H));
    check_normal(m, LSTM_INIT_XAVIER_NORMAL, 0, ih, sqrt(2.0 / (E + H)));
    check_normal(m, LSTM_INIT_XAVIER_NORMAL, 0, head, sqrt(2.0 / (V + H)));
    check_uniform(m, LSTM_INIT_XAVIER_UNIFORM, 0, hh, sqrt(6.0 / (H + H)));
    check_normal(m, LSTM_INIT_HE_NORMAL, 0, ih, sqrt(2.0 / E));
    check_uniform(m, LSTM_INIT_HE_UNIFORM, 0, head, sqrt(6.0 / H));
    check_normal(m, LSTM_INIT_HE_NORMAL, 0.5, ih, 0.5 * sqrt(2.0 / E));
    check_orthogonal(m, hh, 4, H, H, 0);
    check_orthogonal(m, ih, 4, H, E, 0);
    check_orthogonal(m, head, 1, V, H, 0);
    lstm_model_free(m);
}

static void check_identity(void)
{
    lstm_model_config net = embedded();
    size_t wrong = 0;

    net.cell = LSTM_CELL_RNN;
    lstm_model *m = must_model(&net);
    double *v = values_under(m, LSTM_INIT_IDENTITY, 0.5, "rnn.weight_hh_l0");

    for (size_t k = 0; k < H * H; k++)
        wrong += v[k] != (k / H == k % H ? 0.5 : 0);
    tap_ok(wrong == 0, "identity(0.5) of rnn.weight_hh_l0");
    free(v);
    v = values_under(m, LSTM_INIT_CONSTANT, -0.25, "rnn.weight_hh_l0");
    for (size_t k = 0; k < H * H; k++)
        wrong += v[k] != -0.25;
    tap_ok(wrong == 0, "constant(-0.25)");
    free(v);
    lstm_model_free(m);
}

static void check_forget_bias(void)
{
    lstm_model_config net = embedded();
    lstm_model *m = must_model(&net);
    lstm_init init = all_zeros();
    size_t wrong = 0;

    init.forget_bias = 1;
    must_init(m, &init);
    double *bias = parameter_values(m, "lstm.bias_l1");

    for (size_t k = 0; k < 4 * H; k++)
        wrong += bias[k] != (k >= H && k < 2 * H);
    tap_ok(wrong == 0, "the forget bias is on the second gate only");
    free(bias);
    init.kind[LSTM_KIND_BIAS].scheme = LSTM_INIT_UNIFORM;
    init.kind[LSTM_KIND_BIAS].arg = 0.5;
    must_init(m, &init);
    bias = parameter_values(m, "lstm.bias_l0");
    moments forget = moments_of(bias + H, H), input = moments_of(bias, H);

    tap_ok(forget.least >= 0.5 && forget.most <= 1.5 && input.least < 0, "it is added to what the scheme gave");
    free(bias);
    lstm_model_free(m);
    net.cell = LSTM_CELL_RNN;
    m = must_model(&net);
    init.kind[LSTM_KIND_BIAS].scheme = LSTM_INIT_ZEROS;
    must_init(m, &init);
    bias = parameter_values(m, "rnn.bias_l0");
    tap_ok(relative_error(bias, bias, H) == 0 && moments_of(bias, H).most == 0, "an rnn has none");
    free(bias);
    lstm_model_free(m);
}

/* ---- what the numbers depend on --------------------------------------------------------------------------------- */

static lstm_init usual(void)
{
    lstm_init init = {.forget_bias = 1};

    init.kind[LSTM_KIND_EMBEDDING].scheme = LSTM_INIT_NORMAL;
    init.kind[LSTM_KIND_EMBEDDING].arg = 1;
    init.kind[LSTM_KIND_INPUT].scheme = LSTM_INIT_XAVIER_UNIFORM;
    init.kind[LSTM_KIND_RECURRENT].scheme = LSTM_INIT_ORTHOGONAL;
    init.kind[LSTM_KIND_HEAD].scheme = LSTM_INIT_UNIFORM_HIDDEN;
    return init;
}

static uint64_t parameter_hash(const lstm_model *m, const char *name)
{
    lstm_tensor t = lstm_model_param(m, parameter(m, name));

    return hash_tensor(HASH_START, &t);
}

static uint64_t hash_of_init(uint64_t seed, lstm_init init, const char *name)
{
    lstm_model_config net = embedded();

    net.seed = seed;
    lstm_model *m = must_model(&net);

    must_init(m, &init);
    uint64_t hash = name ? parameter_hash(m, name) : hash_model(HASH_START, m);

    lstm_model_free(m);
    return hash;
}

static void check_dependence(void)
{
    lstm_init init = usual(), other = usual();
    uint64_t hash = hash_of_init(1, init, NULL), threads = (uint64_t)lstm_threads();

    tap_ok(hash_of_init(1, init, NULL) == hash, "the same seed gives the same bits");
    tap_ok(hash_of_init(2, init, NULL) != hash, "another seed gives others");
    lstm_set_threads(3);
    tap_ok(hash_of_init(1, init, NULL) == hash, "the number of threads does not matter");
    lstm_set_threads((int)threads);
    other.kind[LSTM_KIND_EMBEDDING].scheme = LSTM_INIT_ZEROS;
    other.kind[LSTM_KIND_RECURRENT].scheme = LSTM_INIT_NORMAL;
    other.kind[LSTM_KIND_RECURRENT].arg = 1;
    tap_ok(hash_of_init(1, init, "lstm.weight_ih_l1") == hash_of_init(1, other, "lstm.weight_ih_l1") &&
               hash_of_init(1, init, "head.weight") == hash_of_init(1, other, "head.weight"),
           "a parameter does not depend on the schemes of others");
    tap_ok(hash_of_init(1, init, "lstm.weight_hh_l0") != hash_of_init(1, init, "lstm.weight_hh_l1"),
           "layers get different numbers");
}

/* float32 models start from the rounded numbers of float64 ones. */
static void check_precision(void)
{
    lstm_model_config net = embedded(), single = embedded();
    lstm_init init = usual();

    single.type = LSTM_F32;
    lstm_model *a = must_model(&net), *b = must_model(&single);
    size_t wrong = 0;

    must_init(a, &init);
    must_init(b, &init);
    for (size_t k = 0; k < lstm_model_params(a); k++) {
        lstm_tensor t = lstm_model_param(a, k), s = lstm_model_param(b, k);

        for (size_t j = 0; j < lstm_tensor_size(&t); j++)
            wrong += (double)(float)lstm_tensor_at(&t, j) != lstm_tensor_at(&s, j);
    }
    tap_ok(wrong == 0, "float32 and float64 models start from the same numbers, rounded");
    lstm_model_free(a);
    lstm_model_free(b);
}

/* ---- names and errors ------------------------------------------------------------------------------------------- */

static void check_names(void)
{
    static const char *kinds[] = {"embedding", "input", "recurrent", "bias", "head", "head_bias"};
    static const char *schemes[] = {"zeros",         "normal",         "uniform",   "uniform_hidden",
                                    "xavier_normal", "xavier_uniform", "he_normal", "he_uniform",
                                    "orthogonal",    "identity",       "constant"};
    lstm_model_config net = embedded();
    lstm_model *m = must_model(&net);

    for (int k = 0; k < LSTM_KINDS; k++)
        tap_string(lstm_kind_name((lstm_kind)k), kinds[k], "kind %d", k);
    for (int k = 0; k < LSTM_INIT_SCHEMES; k++)
        tap_string(lstm_scheme_name((lstm_scheme)k), schemes[k], "scheme %d", k);
    tap_ok(!lstm_scheme_name(LSTM_INIT_SCHEMES) && !lstm_kind_name(LSTM_KINDS), "past the end there is none");
    tap_ok(lstm_scheme_takes_argument(LSTM_INIT_NORMAL) && !lstm_scheme_takes_argument(LSTM_INIT_ZEROS),
           "normal needs an argument, zeros does not");
    tap_ok(lstm_model_param_kind(m, 0) == LSTM_KIND_EMBEDDING && lstm_model_param_kind(m, 1) == LSTM_KIND_INPUT &&
               lstm_model_param_kind(m, 2) == LSTM_KIND_RECURRENT && lstm_model_param_kind(m, 3) == LSTM_KIND_BIAS &&
               lstm_model_param_kind(m, 7) == LSTM_KIND_HEAD && lstm_model_param_kind(m, 8) == LSTM_KIND_HEAD_BIAS,
           "parameters know their kinds");
    lstm_model_free(m);
}

static void refused(lstm_model *m, const lstm_init *init, const char *field, const char *what)
{
    lstm_error err = {0};
    uint64_t before = hash_model(HASH_START, m);
    bool failed = lstm_model_init(m, init, &err) != 0;

    tap_ok(failed && !strcmp(err.field, field) && *err.message && hash_model(HASH_START, m) == before,
           "%s: refused with field '%s' (%s), parameters left alone", what, err.field, err.message);
}

static void check_errors(void)
{
    lstm_model_config net = embedded();
    lstm_model *m = must_model(&net);
    lstm_init init = usual();

    must_init(m, &init);
    init.kind[LSTM_KIND_HEAD].scheme = LSTM_INIT_SCHEMES;
    refused(m, &init, "init", "no such scheme");
    init = usual();
    init.kind[LSTM_KIND_INPUT].arg = NAN;
    refused(m, &init, "init", "argument NaN");
    init = usual();
    init.kind[LSTM_KIND_INPUT].arg = INFINITY;
    refused(m, &init, "init", "argument infinite");
    init = usual();
    init.kind[LSTM_KIND_BIAS].scheme = LSTM_INIT_ORTHOGONAL;
    refused(m, &init, "init", "orthogonal bias");
    init = usual();
    init.kind[LSTM_KIND_HEAD_BIAS].scheme = LSTM_INIT_XAVIER_NORMAL;
    refused(m, &init, "init", "xavier_normal bias");
    init = usual();
    init.forget_bias = NAN;
    refused(m, &init, "forget_bias", "forget_bias NaN");
    lstm_model_free(m);
}

/* ---- choosing --------------------------------------------------------------------------------------------------- */

static size_t choose(const double *logits, size_t n, double temperature, size_t top_k, double u)
{
    lstm_error err = {0};
    size_t choice = SIZE_MAX;

    if (lstm_choose(logits, n, temperature, top_k, u, &choice, &err))
        bail("lstm_choose: %s", err.message);
    return choice;
}

/* Shares of each choice over a fine grid of u are the probabilities. */
static void check_shares(double temperature, size_t top_k, const double *expected, const char *what)
{
    enum { N = 4, GRID = 100000 };
    static const double logits[N] = {1, 3, 2, -1};
    int count[N] = {0}, wrong = 0;

    for (int k = 0; k < GRID; k++)
        count[choose(logits, N, temperature, top_k, (k + 0.5) / GRID)]++;
    for (int k = 0; k < N; k++) {
        double sum = 0;

        for (int j = 0; j < N; j++)
            sum += expected[j];
        wrong += fabs((double)count[k] / GRID - expected[k] / sum) > 2.0 / GRID;
    }
    tap_ok(wrong == 0, "choose: %s", what);
}

static void check_choose(void)
{
    static const double logits[] = {1, 3, 2, -1}, equal[] = {5, 7, 7}, far[] = {-1e308, 0, 1e308}, one[] = {-3};
    const double e = exp(1);
    lstm_error err = {0};
    size_t choice = 99;

    check_shares(1, 0, (double[]){exp(1), exp(3), exp(2), exp(-1)}, "softmax");
    check_shares(0.5, 0, (double[]){exp(2), exp(6), exp(4), exp(-2)}, "temperature 1/2");
    check_shares(1, 2, (double[]){0, e, 1, 0}, "the two largest");
    check_shares(1, 4, (double[]){exp(1), exp(3), exp(2), exp(-1)}, "top_k = n: all");
    check_shares(1, 100, (double[]){exp(1), exp(3), exp(2), exp(-1)}, "top_k > n: all");
    check_shares(2, 1, (double[]){0, 1, 0, 0}, "top_k = 1: the largest");
    tap_ok(choose(logits, 4, 0, 0, 0.999) == 1, "temperature 0: the largest");
    tap_ok(choose(equal, 3, 0, 0, 0.5) == 1, "temperature 0: the first of equals");
    tap_ok(choose(logits, 4, 1, 0, 0) == 0, "u = 0: the first");
    tap_ok(choose(logits, 4, 1, 0, nextafter(1, 0)) == 3, "u just below 1: the last");
    tap_ok(choose(one, 1, 1, 0, 0.5) == 0, "a single one");
    tap_ok(choose(far, 3, 1, 0, 0.5) == 2 && choose(far, 3, 1e-300, 0, 0.5) == 2, "extreme logits and temperatures");
    static const struct {
        double logit, temperature, u;
        size_t n;
        const char *field, *what;
    } bad[] = {
        {NAN, 1, 0.5, 4, "logits", "logit NaN"},
        {INFINITY, 1, 0.5, 4, "logits", "logit infinite"},
        {-INFINITY, 0, 0.5, 4, "logits", "logit -inf"},
        {1, -1, 0.5, 4, "temperature", "temperature negative"},
        {1, NAN, 0.5, 4, "temperature", "temperature NaN"},
        {1, INFINITY, 0.5, 4, "temperature", "temperature infinite"},
        {1, 1, 1, 4, "u", "u = 1"},
        {1, 1, -0.1, 4, "u", "u negative"},
        {1, 1, NAN, 4, "u", "u NaN"},
        {1, 1, 0.5, 0, "logits", "no logits"},
    };

    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        double v[] = {1, bad[k].logit, 2, 0};
        bool failed = lstm_choose(v, bad[k].n, bad[k].temperature, 0, bad[k].u, &choice, &err) != 0;

        tap_ok(failed && !strcmp(err.field, bad[k].field), "choose: %s is refused, naming '%s'", bad[k].what,
               err.field);
    }
}

int main(void)
{
    check_philox();
    check_numbers();
    check_schemes(LSTM_F64);
    check_schemes(LSTM_F32);
    check_identity();
    check_forget_bias();
    check_dependence();
    check_precision();
    check_names();
    check_errors();
    check_choose();
    return tap_done();
}
