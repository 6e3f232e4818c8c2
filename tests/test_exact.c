/* SPDX-License-Identifier: MIT
 *
 * test_exact.c - what must not depend on how the work is done: the number of threads, the instruction set, where a
 * sequence is cut, an evaluation in between, a stop and a restart. All of it to the last bit.
 *
 * usage: test_exact [--hash | --hash-large]      prints hashes of some training runs (used by the test itself, per kernel)
 *        test_exact --races                      only what threads share out, and few steps of it: for a thread checker
 *
 * With LSTM_TORTURE set (make torture) also 50 steps of the benchmark's configurations B and E, which takes minutes.
 */
#include "support.h"
#include "tap.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- training runs to compare ----------------------------------------------------------------------------------- */

typedef struct recipe {
    const char *name;
    lstm_model_config net;
    lstm_trainer_config train;
    bool masked;
} recipe;

enum { RECIPES = 6 };

static lstm_products products = LSTM_PRODUCTS_REAL; /* of the recipes in float32 */

static void make_recipes(recipe *r, lstm_type type)
{
    static const char *name[RECIPES] = {"one-hot, clipped",      "embedding, 2 layers, dropout, carry",
                                        "dense rnn, mse, last",  "wide batch, masked",
                                        "3 layers, accumulated", "many classes, rmsprop"};

    for (size_t k = 0; k < RECIPES; k++) {
        r[k] = (recipe){.name = name[k], .net = config_lstm(7, 18, 1)};
        r[k].net.type = type;
        r[k].net.products = type == LSTM_F32 ? products : LSTM_PRODUCTS_REAL;
        lstm_trainer_defaults(&r[k].train);
        r[k].train.batch = 3;
        r[k].train.seq = 5;
        r[k].train.lr = 0.01;
    }
    r[0].train.clip = LSTM_CLIP_NORM;
    r[0].train.clip_at = 0.1;
    r[1].net.input = LSTM_INPUT_EMBEDDING;
    r[1].net.embed = 6;
    r[1].net.layers = 2;
    r[1].net.dropout = 0.3;
    r[1].train.carry = true;
    r[2].net.cell = LSTM_CELL_RNN;
    r[2].net.layers = 2;
    r[2].net.input = LSTM_INPUT_DENSE;
    r[2].net.loss = LSTM_LOSS_MSE;
    r[2].net.vocab = 0;
    r[2].net.inputs = 3;
    r[2].net.outputs = 2;
    r[2].train.loss_at = LSTM_LOSS_AT_LAST;
    r[2].train.optimizer = LSTM_SGD;
    r[2].train.momentum = 0.9;
    r[3].net.hidden = 65;
    r[3].train.batch = 37;
    r[3].train.seq = 3;
    r[3].train.clip = LSTM_CLIP_VALUE;
    r[3].train.clip_at = 0.001;
    r[3].masked = true;
    r[4].net.layers = 3;
    r[4].net.hidden = 9;
    r[4].train.accumulate = 3;
    r[4].train.reduction = LSTM_SUM;
    r[4].train.optimizer = LSTM_ADAM;
    r[5].net.vocab = r[5].net.outputs = 70;
    r[5].train.batch = 1;
    r[5].train.seq = 17;
    r[5].train.optimizer = LSTM_RMSPROP;
}

static data *batch_of(const recipe *r, uint64_t number)
{
    return data_new(&r->net, r->train.seq, r->train.batch, r->masked, 77 + number);
}

static lstm_model *start_model(const recipe *r)
{
    lstm_model *m = must_model(&r->net);

    randomize(m, 0.3, 11);
    return m;
}

/* Steps first .. last-1 of a training run; adds the losses to the hash. */
static uint64_t train(uint64_t hash, const recipe *r, lstm_trainer *tr, uint64_t first, uint64_t last)
{
    for (uint64_t k = first; k < last; k++) {
        data *d = batch_of(r, k % 5);
        lstm_batch batch = data_batch(d);
        lstm_step_stats stats = must_step(tr, &batch);

        hash = hash_bytes(hash, &stats.loss, sizeof stats.loss);
        hash = hash_bytes(hash, &stats.update.grad_norm, sizeof stats.update.grad_norm);
        data_free(d);
    }
    return hash;
}

/* Everything of a pass back from a loss of the caller's own. */
static uint64_t pass_from_own_loss(uint64_t hash, const recipe *r, lstm_trainer *tr)
{
    data *d = batch_of(r, 0);
    lstm_batch batch = data_batch(d);
    own_loss *own = own_loss_new(&r->net, r->train.seq, r->train.batch, true, true, 12);

    must_forward(tr, &batch, true);
    must_backward_from(tr, own);
    hash = hash_pass(hash, tr);
    own_loss_free(own);
    data_free(d);
    return hash;
}

/* A whole run: losses, norms, parameters, moments, state, counters, and everything of the last pass; and of one more,
 * from another loss. */
static uint64_t run(const recipe *r, int threads, uint64_t steps)
{
    lstm_trainer_config c = r->train;
    lstm_model *m = start_model(r);

    c.threads = threads;
    lstm_trainer *tr = must_trainer(m, &c);
    uint64_t hash = hash_pass(hash_training(train(HASH_START, r, tr, 0, steps), tr), tr);

    hash = pass_from_own_loss(hash, r, tr);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    return hash;
}

static const char *type_name(lstm_type type)
{
    static const char *const names[] = {"float32", "bf16x6", "bf16x3", "bf16"};

    return type == LSTM_F64 ? "float64" : names[products];
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* Wide enough for the engine to give seven threads work in either precision: it takes no more threads than there are
 * blocks of units, nor for less than 100,000 operations a time step each. */
static void widen(recipe *r)
{
    bool lstm = r->net.cell == LSTM_CELL_LSTM;

    r->net.hidden = lstm ? 100 : 140;
    r->train.batch = lstm ? 9 : 20;
    r->train.seq = 2;
}

/* Many rows and few units: the engine shares out the rows instead of the units. */
static void lengthen(recipe *r)
{
    r->net.hidden = 56;
    r->train.batch = 30;
    r->train.seq = 2;
}

/* The same with three rows: the engine goes back through so few by other products. The input is wide, too, so that its
 * blocks are shared out otherwise than the units'. */
static void thin(recipe *r)
{
    r->net.hidden = r->net.cell == LSTM_CELL_LSTM ? 172 : 344;
    r->net.inputs = r->net.inputs ? 700 : 0;
    r->train.batch = 3;
    r->train.seq = 2;
}

static uint64_t most_steps = UINT64_MAX;

static void check_recipe_threads(const recipe *r, uint64_t steps)
{
    static const int threads[] = {2, 3, 4, 7};
    steps = steps < most_steps ? steps : most_steps;
    uint64_t one = run(r, 1, steps);

    for (size_t j = 0; j < sizeof threads / sizeof *threads; j++)
        tap_ok(run(r, threads[j], steps) == one, "%s, %s, B=%zu: %d threads, %d steps: the bits of one thread", r->name,
               type_name(r->net.type), r->train.batch, threads[j], (int)steps);
}

static void check_threads(lstm_type type)
{
    recipe r[RECIPES];

    make_recipes(r, type);
    for (size_t k = 1; k <= 3; k++) {
        widen(&r[k]);
        check_recipe_threads(&r[k], 50);
    }
    lengthen(&r[1]);
    check_recipe_threads(&r[1], 50);
    lengthen(&r[3]);
    check_recipe_threads(&r[3], 10);
    thin(&r[0]);
    check_recipe_threads(&r[0], 10);
    thin(&r[2]);
    check_recipe_threads(&r[2], 10);
}

/* Batches whose products are added up near the cells: threads have rows enough for that, of their own or (three threads
 * and more) shared; or two of them have and four have not. */
static void check_near_threads(void)
{
    static const size_t batches[] = {40, 70};
    recipe r[RECIPES];

    make_recipes(r, LSTM_F32);
    for (size_t k = 0; k < sizeof batches / sizeof *batches; k++) {
        r[1].net.hidden = 100;
        r[1].train.batch = batches[k];
        check_recipe_threads(&r[1], 50);
    }
}

/* Products of bfloat16 numbers; each precision shares out its work in the same way. */
static void check_tiled_threads(void)
{
    products = LSTM_PRODUCTS_BF16X3;
    most_steps = 4;
    check_threads(LSTM_F32);
    check_near_threads();
    most_steps = UINT64_MAX;
    products = LSTM_PRODUCTS_REAL;
}

/* A trainer that asks for no number gets the program's, or what the engine finds to be faster from step to step. */
static void check_thread_setting(void)
{
    recipe r[RECIPES];
    int before = lstm_threads();

    make_recipes(r, LSTM_F32);
    widen(&r[1]);
    uint64_t one = run(&r[1], 1, 50);

    lstm_set_threads(3);
    tap_ok(run(&r[1], 0, 50) == one, "threads 0: the bits of one thread");
#ifdef _OPENMP
    tap_ok(lstm_threads() == 3, "lstm_set_threads is what lstm_threads tells");
#endif
    lstm_set_threads(-1);
    tap_ok(lstm_threads() == 1, "never fewer than one thread");
    lstm_set_threads(before);
}

/* ---- instruction sets ------------------------------------------------------------------------------------------- */

enum { NO_SUCH_KERNEL = 77 };

static bool has_kernel(void)
{
    lstm_error err;
    lstm_model_config probe = config_lstm(2, 1, 1);
    lstm_model *m = lstm_model_new(&probe, &err);

    lstm_model_free(m);
    return m != NULL;
}

/* What the helper process does. */
static int print_hashes(void)
{
    recipe r[RECIPES];

    if (!has_kernel())
        return NO_SUCH_KERNEL;
    printf("%s", lstm_kernel());
    for (int type = LSTM_F32; type <= LSTM_F64; type++) {
        make_recipes(r, (lstm_type)type);
        for (size_t k = 0; k < RECIPES; k++)
            printf(" %016llx", (unsigned long long)run(&r[k], 1, 8));
    }
    for (products = LSTM_PRODUCTS_BF16X6; products <= LSTM_PRODUCTS_BF16; products++) {
        make_recipes(r, LSTM_F32);
        for (size_t k = 0; k < RECIPES; k++)
            printf(" %016llx", (unsigned long long)run(&r[k], 1, 2));
    }
    putchar('\n');
    return EXIT_SUCCESS;
}

/* Configurations B and E of the benchmark, with dropout, in float. */
enum { LARGE = 2, LARGE_STEPS = 50 };

static void make_large(recipe *r)
{
    r[0] = (recipe){.name = "B", .net = config_lstm(65, 128, 2)};
    r[1] = (recipe){.name = "E", .net = config_lstm(65, 64, 1)};
    for (size_t k = 0; k < LARGE; k++) {
        r[k].net.type = LSTM_F32;
        r[k].net.dropout = 0.2;
        lstm_trainer_defaults(&r[k].train);
        r[k].train.clip = LSTM_CLIP_NORM;
        r[k].train.clip_at = 1;
        r[k].train.batch = k == 0 ? 50 : 16;
        r[k].train.seq = k == 0 ? 50 : 200;
    }
}

static int print_large_hashes(void)
{
    recipe r[LARGE];

    if (!has_kernel())
        return NO_SUCH_KERNEL;
    make_large(r);
    printf("%s", lstm_kernel());
    for (size_t k = 0; k < LARGE; k++)
        printf(" %016llx", (unsigned long long)run(&r[k], 1, LARGE_STEPS));
    putchar('\n');
    return EXIT_SUCCESS;
}

/* Runs this program with that kernel and option: its line without the kernel's name, or "" when the machine hasn't got
 * the kernel. */
static void hashes_of(const char *program, const char *option, const char *kernel, char *line, size_t size)
{
    char command[4200];
    size_t length = strlen(kernel);

    snprintf(command, sizeof command, "LSTM_KERNEL=%s '%s' %s", kernel, program, option);
    FILE *pipe = popen(command, "r");

    if (!pipe)
        bail("%s cannot be run", program);
    if (!fgets(line, (int)size, pipe))
        *line = 0;
    int status = pclose(pipe);

    if (WIFEXITED(status) && WEXITSTATUS(status) == NO_SUCH_KERNEL)
        *line = 0;
    else if (status || strncmp(line, kernel, length))
        bail("helper for kernel %s ended with status %d and '%s'", kernel, status, line);
    else
        memmove(line, line + length, strlen(line + length) + 1);
}

static void check_kernels(const char *program, const char *option, int runs)
{
    static const char *other[] = {"avx2", "avx512"};
    char scalar[1024], line[1024];

    hashes_of(program, option, "scalar", scalar, sizeof scalar);
    tap_ok(*scalar, "the scalar kernel runs everywhere");
    for (int k = 0; k < 2; k++) {
        hashes_of(program, option, other[k], line, sizeof line);
        if (*line)
            tap_string(line, scalar, "kernel %s: the bits of the scalar kernel, %d runs", other[k], runs);
        else
            tap_skip("no %s here", other[k]);
    }
}

static void check_large(const char *program)
{
    recipe r[LARGE];

    if (!getenv("LSTM_TORTURE"))
        return;
    make_large(r);
    for (size_t k = 0; k < LARGE; k++)
        check_recipe_threads(&r[k], LARGE_STEPS);
    check_kernels(program, "--hash-large", LARGE);
}

/* ---- cut sequences ---------------------------------------------------------------------------------------------- */

/* Steps first .. first+steps-1 of a batch of tokens. */
static lstm_batch cut(const data *d, size_t first, size_t steps)
{
    return (lstm_batch){.steps = steps, .ids = d->ids + first * d->B, .target_ids = d->target_ids + first * d->B};
}

/* Adds every activation of the last forward to a sum of hashes, one for each time step, layer and kind; `first` is the
 * place of its first step in the sequence. A sum, so that pieces add up to the whole. */
static uint64_t sum_activations(const lstm_trainer *tr, size_t layer, size_t first)
{
    static const lstm_what what[] = {LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_C, LSTM_H};
    uint64_t sum = 0;

    for (size_t k = 0; k < 6; k++) {
        lstm_tensor t = must_tensor(tr, what[k], layer);
        size_t steps = t.axis[0].size, n = lstm_tensor_size(&t) / steps;
        double *v = values(&t);

        for (size_t s = 0; s < steps; s++) {
            size_t key[] = {first + s, layer, k};

            sum += hash_bytes(hash_bytes(HASH_START, key, sizeof key), v + s * n, n * sizeof *v);
        }
        free(v);
    }
    return sum;
}

/* A hash of every activation of the sequence, computed in pieces of this many steps, and of the state at the end. */
static uint64_t forward_in_pieces(lstm_trainer *tr, const data *d, size_t piece)
{
    size_t layers = lstm_model_settings(lstm_trainer_model(tr))->layers;
    uint64_t sum = 0;

    lstm_trainer_reset(tr);
    for (size_t t = 0; t < d->T; t += piece) {
        lstm_batch batch = cut(d, t, d->T - t < piece ? d->T - t : piece);

        must_forward(tr, &batch, false);
        for (size_t l = 0; l < layers; l++)
            sum += sum_activations(tr, l, t);
        lstm_trainer_carry(tr);
    }
    for (size_t l = 0; l < layers; l++) {
        lstm_tensor h = must_tensor(tr, LSTM_STATE_H, l), c = must_tensor(tr, LSTM_STATE_C, l);

        sum = hash_tensor(hash_tensor(sum, &h), &c);
    }
    return sum;
}

static void check_cut_forward(void)
{
    static const size_t pieces[] = {1, 2, 4, 5, 11};
    recipe r[RECIPES];

    make_recipes(r, LSTM_F64);
    for (size_t k = 0; k < 2; k++) {
        recipe whole = r[3 * k + 1];

        whole.train.seq = 12;
        whole.train.batch = 4;
        lstm_model *m = start_model(&whole);
        lstm_trainer *tr = must_trainer(m, &whole.train);
        data *d = batch_of(&whole, 0);
        uint64_t hash = forward_in_pieces(tr, d, 12);

        for (size_t j = 0; j < sizeof pieces / sizeof *pieces; j++)
            tap_ok(forward_in_pieces(tr, d, pieces[j]) == hash, "%s: 12 steps in pieces of %zu: the bits of the whole",
                   whole.name, pieces[j]);
        data_free(d);
        lstm_trainer_free(tr);
        lstm_model_free(m);
    }
}

/* A batch that asks for it starts from zero, and the next one from where that ended. */
static void check_reset(void)
{
    recipe r = {.net = config_lstm(6, 10, 2)};

    lstm_trainer_defaults(&r.train);
    r.train.batch = 3;
    r.train.seq = 4;
    lstm_model *m = start_model(&r);
    lstm_trainer *fresh = must_trainer(m, &r.train), *used = must_trainer(m, &r.train);
    data *d = batch_of(&r, 1);
    lstm_batch batch = data_batch(d), reset = batch;

    reset.reset = true;
    randomize_state(used, 1, 4);
    tap_ok(must_forward(used, &batch, false) != must_forward(fresh, &batch, false), "the initial state counts");
    tap_ok(must_forward(used, &reset, false) == must_forward(fresh, &batch, false), "but not for a batch with reset");
    lstm_trainer_carry(used);
    lstm_trainer_carry(fresh);
    tap_ok(must_forward(used, &batch, false) == must_forward(fresh, &batch, false),
           "the next one goes on from its end");
    data_free(d);
    lstm_trainer_free(fresh);
    lstm_trainer_free(used);
    lstm_model_free(m);
}

/* Gradients of one parameter after backward passes over pieces of the sequence. */
static double *gradient_in_pieces(lstm_trainer *tr, const data *d, size_t piece, const char *parameter)
{
    size_t k;

    lstm_trainer_zero(tr);
    lstm_trainer_reset(tr);
    for (size_t t = 0; t < d->T; t += piece) {
        lstm_batch batch = cut(d, t, piece);

        must_forward(tr, &batch, true);
        must_backward(tr);
        lstm_trainer_carry(tr);
    }
    if (lstm_model_find(lstm_trainer_model(tr), parameter, &k))
        bail("no parameter %s", parameter);
    lstm_tensor g = must_tensor(tr, LSTM_GRAD, k);

    return values(&g);
}

/* Truncated backpropagation: what stays inside a time step (the head) has the whole gradient; what reaches back in time
 * loses the paths across the cuts, and only those. */
static void check_cut_backward(void)
{
    recipe r = {.net = config_lstm(6, 10, 1)};

    lstm_trainer_defaults(&r.train);
    r.train.batch = 3;
    r.train.seq = 8;
    r.train.reduction = LSTM_SUM;
    lstm_model *m = start_model(&r);
    lstm_trainer *tr = must_trainer(m, &r.train);
    data *d = batch_of(&r, 1);
    double *head = gradient_in_pieces(tr, d, 8, "head.weight"), *cut_head = gradient_in_pieces(tr, d, 4, "head.weight");
    double *recurrent = gradient_in_pieces(tr, d, 8, "lstm.weight_hh_l0");
    double *cut_recurrent = gradient_in_pieces(tr, d, 4, "lstm.weight_hh_l0");

    tap_ok(relative_error(cut_head, head, 60) < 1e-13, "cut in two: the head's gradients add up to the whole's");
    tap_ok(relative_error(cut_recurrent, recurrent, 400) > 1e-3, "cut in two: the recurrent gradient is truncated");
    free(head);
    free(cut_head);
    free(recurrent);
    free(cut_recurrent);
    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
}

/* ---- evaluation ------------------------------------------------------------------------------------------------- */

static uint64_t run_with_evaluation(const recipe *r, bool evaluate)
{
    lstm_model *m = start_model(r);
    lstm_trainer *tr = must_trainer(m, &r->train), *other = NULL;
    lstm_trainer_config c = r->train;
    uint64_t hash = HASH_START;

    c.inference = true;
    c.batch = 2;
    c.seq = 9;
    if (evaluate)
        other = must_trainer(m, &c);
    for (uint64_t k = 0; k < 10; k++) {
        data *d = data_new(&r->net, 9, 2, r->masked, k);
        lstm_batch batch = data_batch(d);

        hash = train(hash, r, tr, k, k + 1);
        if (other && !isfinite(must_forward(other, &batch, false)))
            bail("the evaluation has no finite loss");
        if (other)
            lstm_trainer_carry(other);
        data_free(d);
    }
    hash = hash_training(hash, tr);
    lstm_trainer_free(other);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    return hash;
}

static void check_evaluation(lstm_type type)
{
    recipe r[RECIPES];

    make_recipes(r, type);
    for (size_t k = 0; k < RECIPES; k++)
        tap_ok(run_with_evaluation(&r[k], true) == run_with_evaluation(&r[k], false),
               "%s, %s: evaluation after every step changes nothing", r[k].name, type_name(type));
}

/* An inference trainer computes what the training one does. */
static void check_inference_loss(lstm_type type)
{
    recipe r[RECIPES];

    make_recipes(r, type);
    for (size_t k = 0; k < RECIPES; k++) {
        lstm_model *m = start_model(&r[k]);
        lstm_trainer_config c = r[k].train;
        lstm_trainer *tr = must_trainer(m, &c);
        data *d = batch_of(&r[k], 4);
        lstm_batch batch = data_batch(d);

        c.inference = true;
        lstm_trainer *other = must_trainer(m, &c);
        double a = must_forward(tr, &batch, false), b = must_forward(other, &batch, false);
        lstm_tensor y = must_tensor(tr, LSTM_LOGITS, 0), z = must_tensor(other, LSTM_LOGITS, 0);

        tap_ok(a == b && hash_tensor(1, &y) == hash_tensor(1, &z), "%s, %s: inference gives training's logits and loss",
               r[k].name, type_name(type));
        lstm_trainer_free(other);
        lstm_trainer_free(tr);
        lstm_model_free(m);
        data_free(d);
    }
}

/* ---- stop and go on --------------------------------------------------------------------------------------------- */

static void copy_tensor(lstm_tensor from, lstm_tensor to)
{
    size_t n = lstm_tensor_size(&from);
    void *dense = must_alloc(n * lstm_type_size(from.type));

    lstm_tensor_read(&from, 0, n, dense);
    lstm_tensor_write(&to, 0, n, dense);
    free(dense);
}

static void copy_what(const lstm_trainer *from, const lstm_trainer *to, lstm_what what, size_t index)
{
    lstm_tensor t;

    if (!lstm_trainer_tensor(from, what, index, &t, NULL))
        copy_tensor(t, must_tensor(to, what, index));
}

/* Everything a checkpoint has, from one trainer to another of the same configuration. */
static void copy_training(const lstm_trainer *from, lstm_trainer *to)
{
    lstm_model *a = lstm_trainer_model(from), *b = lstm_trainer_model(to);

    for (size_t k = 0; k < lstm_model_params(a); k++) {
        copy_tensor(lstm_model_param(a, k), lstm_model_param(b, k));
        copy_what(from, to, LSTM_MOMENT1, k);
        copy_what(from, to, LSTM_MOMENT2, k);
        copy_what(from, to, LSTM_GRAD, k);
    }
    for (size_t l = 0; l < lstm_model_settings(a)->layers; l++) {
        copy_what(from, to, LSTM_STATE_H, l);
        copy_what(from, to, LSTM_STATE_C, l);
    }
    lstm_trainer_set_counters(to, lstm_trainer_counters(from));
}

static uint64_t run_stopped_at(const recipe *r, uint64_t stop, uint64_t steps)
{
    lstm_model *m = start_model(r), *fresh = must_model(&r->net);
    lstm_trainer *tr = must_trainer(m, &r->train);
    uint64_t hash = train(HASH_START, r, tr, 0, stop);
    lstm_trainer *next = must_trainer(fresh, &r->train);

    copy_training(tr, next);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    hash = hash_training(train(hash, r, next, stop, steps), next);
    lstm_trainer_free(next);
    lstm_model_free(fresh);
    return hash;
}

static void check_restart(lstm_type type)
{
    recipe r[RECIPES];

    make_recipes(r, type);
    for (size_t k = 0; k < RECIPES; k++) {
        uint64_t whole = run_stopped_at(&r[k], 0, 10);
        int same = 0;

        for (uint64_t stop = 1; stop <= 10; stop++)
            same += run_stopped_at(&r[k], stop, 10) == whole;
        tap_ok(same == 10, "%s, %s: stopped at any of 10 steps and gone on in a new trainer: the same bits (%d of 10)",
               r[k].name, type_name(type), same);
    }
}

/* Seven threads on two processors must not spin at barriers; OpenMP reads its wish only when a program starts. */
static void wait_passively(char **argv)
{
    if (getenv("OMP_WAIT_POLICY"))
        return;
    setenv("OMP_WAIT_POLICY", "passive", 1);
    execv(argv[0], argv);
    bail("%s cannot be run again", argv[0]);
}

/* ---- the caller's arithmetic ------------------------------------------------------------------------------------ */

/* The engine flushes denormals to zero while it works; its caller's numbers must not change for that. */
static void check_denormals(void)
{
    recipe r[RECIPES];
    volatile double small = 0x1p-1022;

    make_recipes(r, LSTM_F32);
    run(&r[0], 1, 1);
    run(&r[3], 2, 1);
    tap_ok(small / 2 > 0, "denormal numbers of the caller are left alone");
}

/* For a thread checker, under which all is slow: each way of sharing out the work, for a few steps. */
static int check_races(void)
{
    most_steps = 3;
    check_threads(LSTM_F32);
    products = LSTM_PRODUCTS_BF16;
    check_threads(LSTM_F32);
    check_near_threads();
    return tap_done();
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "--races"))
        return check_races();
    if (argc > 1 && !strcmp(argv[1], "--hash"))
        return print_hashes();
    if (argc > 1 && !strcmp(argv[1], "--hash-large"))
        return print_large_hashes();
    wait_passively(argv);
    check_threads(LSTM_F64);
    check_threads(LSTM_F32);
    check_tiled_threads();
    check_thread_setting();
    check_kernels(argv[0], "--hash", 5 * RECIPES);
    check_large(argv[0]);
    check_cut_forward();
    check_reset();
    check_cut_backward();
    check_evaluation(LSTM_F64);
    check_evaluation(LSTM_F32);
    check_inference_loss(LSTM_F64);
    check_inference_loss(LSTM_F32);
    check_restart(LSTM_F64);
    check_restart(LSTM_F32);
    products = LSTM_PRODUCTS_BF16X6;
    check_evaluation(LSTM_F32);
    check_inference_loss(LSTM_F32);
    check_restart(LSTM_F32);
    products = LSTM_PRODUCTS_REAL;
    check_denormals();
    return tap_done();
}
