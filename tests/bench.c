/* SPDX-License-Identifier: MIT
 *
 * bench.c - how fast the engine is, and how fast it could be on this machine at this moment.
 *
 *     make bench BENCHFLAGS="B D threads=1,2 rounds=5"
 *     tests/bench hidden=100,128 batch=1,7,20,33 seq=50 precision=float,double --json
 *     make bench BENCHFLAGS="B C D threads=1,2 precision=float,bf16x6,bf16x3,bf16"
 *
 * Every shape is checked before it is timed: the engine in each precision against the double engine, the double engine
 * against the plain loops of naive.c. Then rounds: each measures every shape once, with the machine's limits measured
 * right beside it. What is printed are medians over all steps of all rounds. With interleave=N a round is N steps of
 * each, and ratios are those of the same round. docs/benchmarks.md says how to read it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench_limits.h"
#include "engine.h"
#include "lstm.h"
#include "naive.h"
#include "support.h"

enum { MOST_VALUES = 16, MOST_RUNS = 512 };

/* ---- shapes ----------------------------------------------------------------------------------------------------- */

typedef struct shape {
    char name; /* 'A' to 'F', or '-' */
    size_t hidden, batch, seq, layers, embed, vocab;
    bool sample; /* one character after the other instead of training */
    double dropout;
    bool vanish; /* gradients fade to denormals on their way back */
} shape;

static const shape CONFIGS[] = {
    {.name = 'A', .hidden = 1000, .batch = 1, .seq = 28, .layers = 1, .vocab = 65},
    {.name = 'B', .hidden = 128, .batch = 50, .seq = 50, .layers = 2, .vocab = 65},
    {.name = 'C', .hidden = 512, .batch = 64, .seq = 128, .layers = 2, .embed = 64, .vocab = 65},
    {.name = 'D', .hidden = 1024, .batch = 128, .seq = 64, .layers = 1, .vocab = 65},
    {.name = 'E', .hidden = 64, .batch = 16, .seq = 200, .layers = 1, .vocab = 65},
    {.name = 'F', .hidden = 512, .batch = 1, .seq = 1, .layers = 2, .vocab = 65, .sample = true},
};
enum { CONFIG_COUNT = sizeof CONFIGS / sizeof *CONFIGS };
static const shape OWN = {.name = '-', .hidden = 128, .batch = 32, .seq = 64, .layers = 1, .vocab = 65};

/* loss, gradient: the largest errors that rounding makes, against double; as in tests/test_naive.c and test_tiles.c. */
typedef struct precision {
    const char *name;
    lstm_type type;
    lstm_products products;
    double loss, gradient;
} precision;

static const precision PRECISIONS[] = {
    {"float", LSTM_F32, LSTM_PRODUCTS_REAL, 1e-5, 1e-4},     {"double", LSTM_F64, LSTM_PRODUCTS_REAL, 1e-10, 1e-10},
    {"bf16x6", LSTM_F32, LSTM_PRODUCTS_BF16X6, 1e-5, 1e-4},  {"bf16x3", LSTM_F32, LSTM_PRODUCTS_BF16X3, 1e-5, 1e-4},
    {"bf16", LSTM_F32, LSTM_PRODUCTS_BF16, 1e-3, 2e-2},
};
enum { PRECISION_COUNT = sizeof PRECISIONS / sizeof *PRECISIONS };
static const precision *const DOUBLE = &PRECISIONS[1];

static lstm_model_config net_of(const shape *s, const precision *p)
{
    return (lstm_model_config){.cell = LSTM_CELL_LSTM,
                               .input = s->embed ? LSTM_INPUT_EMBEDDING : LSTM_INPUT_ONEHOT,
                               .loss = LSTM_LOSS_CROSS_ENTROPY,
                               .type = p->type,
                               .products = p->products,
                               .vocab = s->vocab,
                               .embed = s->embed,
                               .outputs = s->vocab,
                               .hidden = s->hidden,
                               .layers = s->layers,
                               .dropout = s->dropout,
                               .seed = 1};
}

/* AdamW and the global norm clipped at 5, as the peers do. */
static lstm_trainer_config training_of(const shape *s, int threads)
{
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = s->batch;
    c.seq = s->seq;
    c.inference = s->sample;
    c.clip = LSTM_CLIP_NORM;
    c.clip_at = 5;
    c.loss_at = s->vanish ? LSTM_LOSS_AT_LAST : LSTM_LOSS_AT_ALL;
    c.threads = threads;
    return c;
}

/* ---- one engine to measure -------------------------------------------------------------------------------------- */

typedef struct engine {
    lstm_model *m;
    lstm_trainer *tr;
    data *d;
    lstm_batch batch;
    int32_t id; /* sampling: the last character */
    uint64_t random;
} engine;

static void initialize(lstm_model *m, const shape *s)
{
    lstm_init init = {.forget_bias = 1};
    lstm_error err;

    for (int k = 0; k < LSTM_KINDS; k++)
        init.kind[k].scheme = LSTM_INIT_UNIFORM_HIDDEN;
    if (s->vanish) { /* f is about sigmoid(-6) and nothing else goes back: dL/dc shrinks four hundred times a step */
        init.kind[LSTM_KIND_RECURRENT].scheme = LSTM_INIT_ZEROS;
        init.kind[LSTM_KIND_BIAS].scheme = LSTM_INIT_ZEROS;
        init.forget_bias = -6;
    }
    if (lstm_model_init(m, &init, &err))
        bail("lstm_model_init: %s", err.message);
}

static engine engine_open(const shape *s, const precision *p, int threads)
{
    lstm_model_config net = net_of(s, p);
    lstm_trainer_config training = training_of(s, threads);
    engine e = {.m = must_model(&net), .random = 1};

    initialize(e.m, s);
    e.tr = must_trainer(e.m, &training);
    e.d = data_new(&net, s->seq, s->batch, false, 1);
    e.batch = data_batch(e.d);
    e.batch.reset = true;
    return e;
}

static void engine_close(engine *e)
{
    lstm_trainer_free(e->tr);
    lstm_model_free(e->m);
    data_free(e->d);
}

/* The next character, chosen from the softmax: what generating text does over and over. */
static void sample_one(engine *e)
{
    const lstm_batch one = {.steps = 1, .ids = &e->id, .same_weights = true};
    const size_t n = lstm_model_settings(e->m)->outputs;
    lstm_tensor logits;
    lstm_error err;
    size_t choice;

    must_forward(e->tr, &one, false);
    lstm_trainer_carry(e->tr);
    logits = must_tensor(e->tr, LSTM_LOGITS, 0);
    double *y = values(&logits);

    if (lstm_choose(y, n, 1, 0, random_unit(&e->random), &choice, &err))
        bail("lstm_choose: %s", err.message);
    free(y);
    e->id = (int32_t)choice;
}

static void one_step(engine *e)
{
    if (lstm_trainer_settings(e->tr)->inference)
        sample_one(e);
    else
        must_step(e->tr, &e->batch);
}

/* ---- checks ----------------------------------------------------------------------------------------------------- */

typedef struct check {
    double loss, gradient; /* relative errors; gradient: the worst tensor's */
} check;

/* The same layers and batch with as few steps as keep the check short, but never fewer than 3. */
static shape shortened(const shape *s, double flops)
{
    shape small = *s;
    const double per_step = 24.0 * (double)(s->batch * s->layers) * (double)(s->hidden * s->hidden);

    small.sample = false;
    small.vanish = false;
    small.dropout = 0;
    small.seq = (size_t)(flops / per_step);
    small.seq = small.seq < 3 ? 3 : small.seq > s->seq && s->seq > 3 ? s->seq : small.seq > 16 ? 16 : small.seq;
    return small;
}

static void copy_parameters(const lstm_model *from, const lstm_model *to)
{
    for (size_t k = 0; k < lstm_model_params(from); k++) {
        const lstm_tensor a = lstm_model_param(from, k), b = lstm_model_param(to, k);

        for (size_t i = 0; i < lstm_tensor_size(&a); i++)
            lstm_tensor_set(&b, i, lstm_tensor_at(&a, i));
    }
}

static double gradient_error(const engine *e, size_t k, const double *want)
{
    const lstm_tensor got = must_tensor(e->tr, LSTM_GRAD, k);

    return tensor_error(&got, want);
}

/* Against double, on all threads. */
static check check_rounding(const shape *s, const precision *p, int threads)
{
    const shape small = shortened(s, 4e9);
    engine f = engine_open(&small, p, threads), d = engine_open(&small, DOUBLE, threads);

    copy_parameters(f.m, d.m);
    const double loss = must_forward(f.tr, &f.batch, true), want = must_forward(d.tr, &d.batch, true);
    check c = {.loss = fabs(loss - want) / fabs(want)};

    must_backward(f.tr);
    must_backward(d.tr);
    for (size_t k = 0; k < lstm_model_params(f.m); k++) {
        const lstm_tensor t = must_tensor(d.tr, LSTM_GRAD, k);
        double *exact = values(&t);

        c.gradient = fmax(c.gradient, gradient_error(&f, k, exact));
        free(exact);
    }
    engine_close(&f);
    engine_close(&d);
    return c;
}

/* double against the plain loops, on a small network of the same kind; odd numbers, so that blocks are not full. */
static check check_double(const shape *s, int threads)
{
    shape small = shortened(s, 0);

    small.hidden = s->hidden < 37 ? s->hidden : 37;
    small.batch = s->batch < 5 ? s->batch : 5;
    engine e = engine_open(&small, DOUBLE, threads);
    naive *n = naive_of(e.tr, small.seq);
    const naive_batch plain = data_naive(e.d, lstm_trainer_settings(e.tr));
    const double loss = must_forward(e.tr, &e.batch, true), want = naive_forward(n, &plain);
    check c = {.loss = fabs(loss - want) / fabs(want)};

    must_backward(e.tr);
    naive_backward(n);
    for (size_t k = 0; k < n->params; k++)
        c.gradient = fmax(c.gradient, gradient_error(&e, k, n->param[k].grad));
    naive_free(n);
    engine_close(&e);
    return c;
}

static void verify(const shape *s, const precision *p, int threads)
{
    const check c = p == DOUBLE ? check_double(s, threads) : check_rounding(s, p, threads);
    const bool good = c.loss <= p->loss && c.gradient <= p->gradient;

    fprintf(stderr, "%s %c H=%zu B=%zu L=%zu  %s from %s: loss %.0e, gradients %.0e\n", good ? "checked" : "WRONG",
            s->name, s->hidden, s->batch, s->layers, p->name, p == DOUBLE ? "plain loops" : "double", c.loss,
            c.gradient);
    if (!good)
        bail("wrong results are not timed");
}

/* ---- measuring -------------------------------------------------------------------------------------------------- */

typedef struct samples {
    double *at;
    size_t n, room;
} samples;

static void add_sample(samples *s, double value)
{
    if (s->n == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->at = realloc(s->at, s->room * sizeof *s->at);
        if (!s->at)
            bail("out of memory");
    }
    s->at[s->n++] = value;
}

/* One line of the table. */
typedef struct run {
    shape s;
    size_t place; /* of the shape on the command line */
    const precision *p;
    int threads;
    samples step, fma, stream, handover; /* seconds of each step; limits before and after them */
    double phase[LSTM_PHASES]; /* seconds, all rounds */
    double ratio;              /* to float; NAN when that was not measured */
} run;

/* Of a weight as products read it. */
static double weight_bytes(const precision *p)
{
    static const double of_parts[] = {[LSTM_PRODUCTS_BF16X6] = 6, [LSTM_PRODUCTS_BF16X3] = 4, [LSTM_PRODUCTS_BF16] = 2};

    return p->products == LSTM_PRODUCTS_REAL ? (double)lstm_type_size(p->type) : of_parts[p->products];
}

/* Bytes of weights that cannot but be read again at every time step: recurrent ones in training, where the products
 * with inputs are done for all steps at once; all of them in sampling. */
static double step_weights(const run *r)
{
    const double H = (double)r->s.hidden, L = (double)r->s.layers;
    const double head_bytes = r->s.vocab < LSTM_WIDE_HEAD ? (double)lstm_type_size(r->p->type) : weight_bytes(r->p);
    const double head = r->s.sample ? H * (double)r->s.vocab * head_bytes : 0;
    const double sampling = r->s.sample ? 4 * H * H * (L - 1) : 0;

    return (4 * H * H * L + sampling) * weight_bytes(r->p) + head;
}

/* Bytes streamed in the seconds of streamed_seconds(): the last step's recurrent weights are not needed going back. */
static double streamed_bytes(const run *r)
{
    return step_weights(r) * (r->s.sample ? 1 : 2 * (double)r->s.seq - 1);
}

static double streamed_seconds(const run *r, double median)
{
    if (r->s.sample)
        return median;
    return (r->phase[LSTM_PHASE_FORWARD] + r->phase[LSTM_PHASE_BACKWARD]) / (double)r->step.n;
}

static void measure_limits(run *r)
{
    add_sample(&r->fma, limit_fma(r->p->type, r->threads));
    add_sample(&r->stream, limit_stream((size_t)step_weights(r), r->threads));
    add_sample(&r->handover, limit_handover(r->threads));
}

static void measure(run *r, double seconds)
{
    engine e = engine_open(&r->s, r->p, r->threads);

    measure_limits(r);
    for (double start = bench_clock(), k = 0; k < 2 || bench_clock() - start < 0.1 * seconds; k++)
        one_step(&e); /* pages, caches, threads: not counted */
    lstm_trainer_profile(e.tr, true);
    for (double start = bench_clock(), now = start, k = 0; k < 3 || now - start < seconds; k++) {
        const double before = now;

        one_step(&e);
        now = bench_clock();
        add_sample(&r->step, now - before);
    }
    for (lstm_phase p = 0; p < LSTM_PHASES; p++)
        r->phase[p] += lstm_trainer_phase_seconds(e.tr, p);
    measure_limits(r);
    engine_close(&e);
}

/* Some steps of every run in each round, so that a moment in which the machine is slow is one for all of them. The first of
 * several is not counted: in training a step follows another one, and finds in the caches what that has left there. */
static void measure_interleaved(run *runs, size_t count, size_t rounds, size_t steps)
{
    engine *e = calloc(count, sizeof *e);

    if (!e)
        bail("out of memory");
    for (size_t k = 0; k < count; k++) {
        e[k] = engine_open(&runs[k].s, runs[k].p, runs[k].threads);
        one_step(&e[k]);
        lstm_trainer_profile(e[k].tr, true);
    }
    for (size_t round = 0; round < rounds; round++)
        for (size_t k = 0; k < count; k++) {
            if (round % 8 == 0) /* they take longer than a step */
                measure_limits(&runs[k]);
            if (steps > 1)
                one_step(&e[k]);
            const size_t counted = steps > 1 ? steps - 1 : 1;
            const double before = bench_clock();

            for (size_t i = 0; i < counted; i++)
                one_step(&e[k]);
            add_sample(&runs[k].step, (bench_clock() - before) / (double)counted);
        }
    for (size_t k = 0; k < count; k++) {
        for (lstm_phase p = 0; p < LSTM_PHASES; p++)
            runs[k].phase[p] = lstm_trainer_phase_seconds(e[k].tr, p);
        engine_close(&e[k]);
    }
    free(e);
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

typedef struct result {
    double tokens, median, best, gflops, fma, gbs, stream, handover, phase[LSTM_PHASES];
} result;

static result result_of(run *r)
{
    const lstm_model_config net = net_of(&r->s, r->p);
    const lstm_trainer_config training = training_of(&r->s, r->threads);
    lstm_error err;
    lstm_plan plan;
    double all = 0;

    if (lstm_plan_for(&net, &training, &plan, &err))
        bail("lstm_plan_for: %s", err.message);
    result out = {.median = bench_median(r->step.at, r->step.n),
                  .fma = bench_median(r->fma.at, r->fma.n),
                  .stream = bench_median(r->stream.at, r->stream.n),
                  .handover = bench_median(r->handover.at, r->handover.n)};

    out.best = r->step.at[0];
    out.tokens = (double)(r->s.batch * r->s.seq) / out.median;
    out.gflops = 1e-9 * plan.flops_per_step / out.median;
    out.gbs = 1e-9 * streamed_bytes(r) / streamed_seconds(r, out.median);
    for (int p = 0; p < LSTM_PHASES; p++)
        all += r->phase[p];
    for (int p = 0; p < LSTM_PHASES; p++)
        out.phase[p] = 100 * r->phase[p] / all;
    return out;
}

/* The run in float of the same shape and threads; NULL when there is none. */
static run *float_run(run *runs, size_t count, const run *r)
{
    for (size_t k = 0; k < count; k++)
        if (runs[k].p == &PRECISIONS[0] && runs[k].threads == r->threads && runs[k].place == r->place)
            return &runs[k];
    return NULL;
}

/* How many times as fast as in float: by the medians, or in the median round. */
static double ratio(run *r, run *in_float, bool interleaved)
{
    samples each = {0};
    double median;

    if (!in_float || in_float == r)
        return NAN;
    if (!interleaved)
        return bench_median(in_float->step.at, in_float->step.n) / bench_median(r->step.at, r->step.n);
    for (size_t round = 0; round < r->step.n; round++)
        add_sample(&each, in_float->step.at[round] / r->step.at[round]);
    median = bench_median(each.at, each.n);
    free(each.at);
    return median;
}

/* Before any samples are sorted, where those of a round belong together. */
static void find_ratios(run *runs, size_t count, bool interleaved)
{
    for (size_t k = 0; k < count; k++)
        runs[k].ratio = ratio(&runs[k], float_run(runs, count, &runs[k]), interleaved);
}

static void print_header(void)
{
    printf("%6s %5s %4s %4s %2s %4s %-6s %2s %9s %8s %8s %5s %5s %8s %4s %6s %4s %4s  ", "config", "H", "B", "T", "L",
           "E", "real", "p", "tokens/s", "ms", "best", "n", "ratio", "GFLOP/s", "%", "GB/s", "%", "ns");
    for (int p = 0; p < LSTM_PHASES; p++)
        printf(" %s", lstm_phase_name(p));
    printf("\n");
}

static void print_text(run *r)
{
    const result v = result_of(r);

    printf("%6c %5zu %4zu %4zu %2zu %4zu %-6s %2d %9.0f %8.3f %8.3f %5zu ", r->s.name, r->s.hidden,
           r->s.batch, r->s.seq, r->s.layers, r->s.embed, r->p->name, r->threads, v.tokens, 1e3 * v.median,
           1e3 * v.best, r->step.n);
    if (!isnan(r->ratio))
        printf("%5.2f ", r->ratio);
    else
        printf("%5s ", "");
    printf("%8.1f %4.0f ", v.gflops, 100 * v.gflops / v.fma);
    if (r->s.batch == 1)
        printf("%6.1f %4.0f ", v.gbs, 100 * v.gbs / v.stream);
    else
        printf("%6s %4s ", "", "");
    printf("%4.0f  ", v.handover);
    for (int p = 0; p < LSTM_PHASES; p++)
        printf(" %*.0f%%", (int)strlen(lstm_phase_name(p)) - 1, v.phase[p]);
    printf("\n");
}

static void print_json(run *r)
{
    const result v = result_of(r);

    printf("{\"peer\": \"lstmrun\", \"version\": \"%s\", \"kernel\": \"%s\", \"tiles\": \"%s\", \"config\": \"%c\", "
           "\"hidden\": %zu, \"batch\": %zu, \"seq\": %zu, \"layers\": %zu, \"embed\": %zu, \"vocab\": %zu, \"dropout\": %g, "
           "\"vanish\": %s, \"precision\": \"%s\", \"threads\": %d, ",
           LSTM_VERSION, lstm_kernel(), lstm_tiles(), r->s.name, r->s.hidden, r->s.batch, r->s.seq, r->s.layers,
           r->s.embed, r->s.vocab, r->s.dropout, r->s.vanish ? "true" : "false", r->p->name, r->threads);
    if (!isnan(r->ratio))
        printf("\"times_float\": %.4g, ", r->ratio);
    printf("\"tokens_per_second\": %.6g, \"ms\": %.6g, \"ms_best\": %.6g, \"repetitions\": %zu, \"gflops\": %.5g, "
           "\"fma_gflops\": %.5g, \"weights_gbs\": %.5g, \"stream_gbs\": %.5g, \"handover_ns\": %.3g, "
           "\"phases\": {",
           v.tokens, 1e3 * v.median, 1e3 * v.best, r->step.n, v.gflops, v.fma, v.gbs, v.stream, v.handover);
    for (int p = 0; p < LSTM_PHASES; p++)
        printf("%s\"%s\": %.4g", p ? ", " : "", lstm_phase_name(p), 1e-2 * v.phase[p]);
    printf("}}\n");
}

/* ---- command line ----------------------------------------------------------------------------------------------- */

typedef struct options {
    shape base[MOST_VALUES];
    size_t bases;
    size_t hidden[MOST_VALUES], batch[MOST_VALUES], threads[MOST_VALUES]; /* 0: end of the list */
    bool precisions[PRECISION_COUNT];
    size_t rounds, interleave;
    double seconds;
    bool json, check;
} options;

static const char USAGE[] =
    "usage: bench [CONFIG...] [KEY=VALUE...] [--json] [--no-check]\n"
    "  CONFIG     A B C D E F (docs/benchmarks.md); none and no shape below: all\n"
    "  hidden= batch= seq= layers= embed= vocab= dropout=   another shape, or changes to the configurations named\n"
    "  vanish=1   gradients that fade to denormals\n"
    "  threads=1,2  precision=float,double,bf16x6,bf16x3,bf16  hidden= and batch= take lists, too\n"
    "  seconds=1  of each measurement;  rounds=3  each measures everything once\n"
    "  interleave=5  a round is so many steps of everything, of which the first is not counted (but a single one is);\n"
    "             ratios are those of the median round: for unsteady machines\n";

static void usage(const char *argument)
{
    fprintf(stderr, "bench: cannot read '%s'\n%s", argument, USAGE);
    exit(2);
}

static void read_sizes(size_t *list, const char *text, const char *argument)
{
    for (size_t n = 0; n < MOST_VALUES - 1; n++) {
        char *end;
        const unsigned long value = strtoul(text, &end, 10);

        if (end == text || value == 0 || value > 1000000 || (*end && *end != ','))
            usage(argument);
        list[n] = value;
        list[n + 1] = 0;
        if (!*end)
            return;
        text = end + 1;
    }
    usage(argument);
}

static size_t read_size(const char *text, const char *argument, bool zero)
{
    size_t list[MOST_VALUES];

    if (zero && !strcmp(text, "0"))
        return 0;
    read_sizes(list, text, argument);
    if (list[1])
        usage(argument);
    return list[0];
}

static double read_number(const char *text, const char *argument)
{
    char *end;
    const double value = strtod(text, &end);

    if (end == text || *end || !(value >= 0) || value > 1e6)
        usage(argument);
    return value;
}

static const precision *precision_named(const char *name, size_t length)
{
    for (size_t k = 0; k < PRECISION_COUNT; k++)
        if (strlen(PRECISIONS[k].name) == length && !strncmp(PRECISIONS[k].name, name, length))
            return &PRECISIONS[k];
    return NULL;
}

static void read_precisions(options *o, const char *text, const char *argument)
{
    memset(o->precisions, 0, sizeof o->precisions);
    for (size_t length; ; text += length + 1) {
        length = strcspn(text, ",");
        const precision *p = precision_named(text, length);

        if (!p)
            usage(argument);
        o->precisions[p - PRECISIONS] = true;
        if (!text[length])
            return;
    }
}

/* A change to a shape; false when it is none. */
static bool change_shape(shape *s, const char *key, const char *value, const char *argument)
{
    if (!strcmp(key, "seq"))
        s->seq = read_size(value, argument, false);
    else if (!strcmp(key, "layers"))
        s->layers = read_size(value, argument, false);
    else if (!strcmp(key, "embed"))
        s->embed = read_size(value, argument, true);
    else if (!strcmp(key, "vocab"))
        s->vocab = read_size(value, argument, false);
    else if (!strcmp(key, "dropout"))
        s->dropout = read_number(value, argument);
    else if (!strcmp(key, "vanish"))
        s->vanish = read_size(value, argument, true) > 0;
    else
        return false;
    return true;
}

static bool read_setting(options *o, const char *key, const char *value, const char *argument)
{
    if (!strcmp(key, "threads"))
        read_sizes(o->threads, value, argument);
    else if (!strcmp(key, "precision"))
        read_precisions(o, value, argument);
    else if (!strcmp(key, "seconds"))
        o->seconds = read_number(value, argument);
    else if (!strcmp(key, "rounds"))
        o->rounds = read_size(value, argument, false);
    else if (!strcmp(key, "interleave"))
        o->interleave = read_size(value, argument, true);
    else
        return false;
    return true;
}

static bool list_of_shapes(options *o, const char *key, const char *value, const char *argument)
{
    if (!strcmp(key, "hidden"))
        read_sizes(o->hidden, value, argument);
    else if (!strcmp(key, "batch"))
        read_sizes(o->batch, value, argument);
    else
        return false;
    return true;
}

static void name_config(options *o, const char *argument)
{
    for (size_t k = 0; k < CONFIG_COUNT; k++)
        if (argument[0] == CONFIGS[k].name && !argument[1] && o->bases < MOST_VALUES) {
            o->base[o->bases++] = CONFIGS[k];
            return;
        }
    usage(argument);
}

static void split_argument(const char *argument, char *key, size_t size, const char **value)
{
    const char *equals = strchr(argument, '=');

    if ((size_t)(equals - argument) >= size)
        usage(argument);
    memcpy(key, argument, (size_t)(equals - argument));
    key[equals - argument] = '\0';
    *value = equals + 1;
}

/* Configurations and flags first, then settings: changes of a shape apply to all the configurations named. */
static void read_names(options *o, int argc, char **argv)
{
    for (int k = 1; k < argc; k++)
        if (!strcmp(argv[k], "--json"))
            o->json = true;
        else if (!strcmp(argv[k], "--no-check"))
            o->check = false;
        else if (!strchr(argv[k], '='))
            name_config(o, argv[k]);
}

static void read_settings(options *o, int argc, char **argv)
{
    const bool named = o->bases > 0;

    for (int k = 1; k < argc; k++) {
        char key[16];
        const char *value;

        if (!strchr(argv[k], '='))
            continue;
        split_argument(argv[k], key, sizeof key, &value);
        if (read_setting(o, key, value, argv[k]))
            continue;
        if (!named && o->bases == 0)
            o->base[o->bases++] = OWN;
        if (list_of_shapes(o, key, value, argv[k]))
            continue;
        for (size_t b = 0; b < o->bases; b++)
            if (!change_shape(&o->base[b], key, value, argv[k]))
                usage(argv[k]);
    }
}

static options read_options(int argc, char **argv)
{
    options o = {.rounds = 3, .seconds = 1, .check = true, .precisions = {true}};
    const size_t threads = (size_t)lstm_threads();

    o.threads[0] = 1;
    o.threads[1] = threads > 1 ? threads : 0;
    read_names(&o, argc, argv);
    read_settings(&o, argc, argv);
    if (o.bases == 0) {
        memcpy(o.base, CONFIGS, sizeof CONFIGS);
        o.bases = CONFIG_COUNT;
    }
    return o;
}

/* ---- the runs of a command line --------------------------------------------------------------------------------- */

typedef struct plan {
    run run[MOST_RUNS];
    size_t count, shapes;
} plan;

static void add_runs(plan *p, const options *o, const shape *s)
{
    for (size_t t = 0; t < PRECISION_COUNT; t++)
        for (size_t k = 0; o->precisions[t] && o->threads[k]; k++) {
            if (p->count == MOST_RUNS)
                bail("more than %d runs", MOST_RUNS);
            p->run[p->count++] = (run){.s = *s, .place = p->shapes, .p = &PRECISIONS[t], .threads = (int)o->threads[k]};
        }
}

static void plan_shape(plan *p, const options *o, shape s)
{
    const size_t hidden = s.hidden, batch = s.batch;

    for (size_t h = 0; h == 0 || o->hidden[h]; h++)
        for (size_t b = 0; b == 0 || o->batch[b]; b++) {
            s.hidden = o->hidden[h] ? o->hidden[h] : hidden;
            s.batch = o->batch[b] ? o->batch[b] : batch;
            for (size_t t = 0; o->check && t < PRECISION_COUNT; t++)
                if (o->precisions[t] || &PRECISIONS[t] == DOUBLE)
                    verify(&s, &PRECISIONS[t], lstm_threads());
            add_runs(p, o, &s);
            p->shapes++;
        }
}

static void print_machine(void)
{
    char line[256], cpu[200] = "unknown processor";
    FILE *f = fopen("/proc/cpuinfo", "r");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "model name : %199[^\n]", cpu) == 1)
            break;
    if (f)
        fclose(f);
    printf("lstmrun %s, kernel %s, tiles by %s, %ld processors: %s\n", LSTM_VERSION, lstm_kernel(), lstm_tiles(),
           sysconf(_SC_NPROCESSORS_ONLN), cpu);
}

int main(int argc, char **argv)
{
    static plan p;
    const options o = read_options(argc, argv);

    for (size_t k = 0; k < o.bases; k++)
        plan_shape(&p, &o, o.base[k]);
    if (o.interleave)
        measure_interleaved(p.run, p.count, o.rounds, o.interleave);
    for (size_t round = 0; !o.interleave && round < o.rounds; round++)
        for (size_t k = 0; k < p.count; k++)
            measure(&p.run[k], o.seconds);
    find_ratios(p.run, p.count, o.interleave > 0);
    if (!o.json) {
        print_machine();
        print_header();
    }
    for (size_t k = 0; k < p.count; k++)
        (o.json ? print_json : print_text)(&p.run[k]);
    for (size_t k = 0; k < p.count; k++) {
        free(p.run[k].step.at);
        free(p.run[k].fma.at);
        free(p.run[k].stream.at);
        free(p.run[k].handover.at);
    }
    return 0;
}
