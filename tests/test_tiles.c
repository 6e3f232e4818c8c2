/* SPDX-License-Identifier: MIT
 *
 * test_tiles.c - products of bfloat16 numbers in tiles: packing, the order of sums, the code for matrix units (on a
 * processor without them by amx_unit.c) and for AVX512-BF16 (as a program, too), and what networks compute with them,
 * against float64.
 *
 * usage: test_tiles            LSTM_TORTURE set (make torture): larger networks, too
 *
 * Linked with --wrap=kern_amx_usable: whether the machine has a unit is for the tests to say.
 */
#include "amx_unit.h"
#include "engine.h"
#include "kern/kern.h"
#include "kern/tiles.h"
#include "support.h"
#include "tap.h"

#include <float.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kern/units.h"

extern const kern_tile_ops kern_tiles_scalar_f32, kern_tiles_chains_f32;

/* One of those who pack and multiply. */
typedef struct way {
    const char *name;
    const kern_tile_ops *ops;
    bool chains; /* how it packs */
} way;

#ifdef LSTM_AMX_KERNEL
static bool unit_there;

bool __real_kern_amx_usable(void);
bool __wrap_kern_amx_usable(void);
bool __wrap_kern_amx_usable(void) { return unit_there; }
#endif

/* ---- numbers ---------------------------------------------------------------------------------------------------- */

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float widened(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* A float of any sign and of a size from 2^-20 to 2^20. */
static float some_float(uint64_t *seed)
{
    return (float)ldexp(2 * random_unit(seed) - 1, (int)random_below(seed, 41) - 20);
}

/* Where k lies in a row of A: as it is, or for chains (tiles.h). */
static size_t place(const way *w, size_t k)
{
    static const size_t in_four[] = {1, 3, 0, 2};

    return w->chains ? k / 4 * 4 + in_four[k % 4] : k;
}

/* Element (r, k) of A, or (k, n) of B for n = r: part number `part`. */
static uint16_t a_part(const way *w, const uint16_t *tile, size_t r, size_t k, size_t part)
{
    return tile[part * TILE_SIZE + r * TILE_DEPTH + place(w, k)];
}

static uint16_t b_part(const way *w, const uint16_t *tile, size_t k, size_t n, size_t part)
{
    return tile[part * TILE_SIZE + place(w, k) / 2 * TILE_DEPTH + 2 * n + place(w, k) % 2];
}

/* ---- packing ---------------------------------------------------------------------------------------------------- */

/* Round to nearest even, by the nearest of what can be had: the definition, not the way it is done. */
static bool is_nearest(float x, uint16_t half)
{
    const double got = (double)widened(half), up = (double)widened((uint16_t)(half + 1)),
                 down = (double)widened((uint16_t)(half - 1)), error = fabs((double)x - got);

    return error <= fabs((double)x - up) && error <= fabs((double)x - down) &&
           (error < fmin(fabs((double)x - up), fabs((double)x - down)) || half % 2 == 0);
}

/* One column block, rows 16 apart. */
static void pack(const way *w, uint16_t *out, size_t out_group, const float *in, size_t rows, size_t parts)
{
    w->ops->rows(&(kern_tile_rows){
        .rows = rows, .blocks = 1, .parts = parts, .in = in, .in_row = 16, .out = out, .out_group = out_group});
}

static void check_rounding(const way *w)
{
    static _Alignas(64) float in[16][16];
    static _Alignas(64) uint16_t tile[TILE_PARTS * TILE_SIZE];
    uint64_t seed = 3;
    size_t nearest = 0, exact = 0;

    for (size_t k = 0; k < 256; k++)
        in[k / 16][k % 16] = k % 3 ? some_float(&seed) : (float)(1 + (double)k / 512); /* many of these are halfway */
    pack(w, tile, 0, in[0], 16, 3);
    for (size_t k = 0; k < 256; k++) {
        const float x = in[k / 16][k % 16];
        const double sum = (double)widened(a_part(w, tile, k / 16, k % 16, 0)) +
                           (double)widened(a_part(w, tile, k / 16, k % 16, 1)) +
                           (double)widened(a_part(w, tile, k / 16, k % 16, 2));

        nearest += is_nearest(x, a_part(w, tile, k / 16, k % 16, 0));
        exact += sum == (double)x;
    }
    tap_ok(nearest == 256, "%s: the first part is the nearest bfloat16, even where there are two (%zu)", w->name,
           nearest);
    tap_ok(exact == 256, "%s: three parts are the float (%zu)", w->name, exact);
}

static void check_special(const way *w)
{
    static _Alignas(64) float in[16];
    static _Alignas(64) uint16_t tile[TILE_SIZE], pairs[TILE_SIZE];
    const float *row[TILE_DEPTH];
    const uint32_t all_ones = 0x7fffffff, largest_denormal = 0x807fffff;
    bool zero = true;

    for (size_t k = 0; k < TILE_DEPTH; k++)
        row[k] = in;
    in[0] = INFINITY;
    in[1] = -INFINITY;
    in[2] = NAN;
    memcpy(&in[3], &all_ones, sizeof in[3]); /* a NaN that would be -0 if it were rounded */
    in[4] = -0.0f;
    memcpy(&in[5], &largest_denormal, sizeof in[5]); /* nearer to the smallest bfloat16 that is none than to zero */
    in[6] = FLT_MIN;
    pack(w, tile, 0, in, 1, 1);
    w->ops->pairs(pairs, row, 1);
    float got[5];

    for (size_t k = 0; k < 5; k++)
        got[k] = widened(a_part(w, tile, 0, k, 0));
    tap_ok(isinf(got[0]) && got[0] > 0 && isinf(got[1]) && got[1] < 0 && isnan(got[2]) && isnan(got[3]) &&
               bits_of(got[4]) == 0x80000000,
           "%s: infinities, NaNs and -0 are kept", w->name);
    for (size_t k = 0; k < 2; k++)
        zero = zero && b_part(w, pairs, k, 5, 0) == 0x8000 && b_part(w, pairs, k, 6, 0) == 0x0080;
    tap_ok(zero && a_part(w, tile, 0, 5, 0) == 0x8000 && a_part(w, tile, 0, 6, 0) == 0x0080,
           "%s: denormals are zeros, the smallest other number is kept", w->name);
}

/* All ways of packing put element (row, column) of a 32 x 16 matrix where it belongs. */
static void check_places(const way *w)
{
    static _Alignas(64) float m[32][16];
    static _Alignas(64) uint16_t left[2 * TILE_SIZE], b[2 * TILE_SIZE], a[2 * TILE_SIZE];
    static _Alignas(64) uint16_t halves[4 * TILE_SIZE], woven[2 * TILE_SIZE];
    const float *row[32];
    const uint16_t *packed[32];
    uint64_t seed = 4;
    size_t wrong_b = 0, wrong_a = 0, wrong_rows = 0;

    for (size_t k = 0; k < 32; k++) {
        for (size_t n = 0; n < 16; n++)
            m[k][n] = some_float(&seed);
        row[k] = m[k];
        packed[k] = halves + k / 16 * 2 * TILE_SIZE + k % 16 * TILE_DEPTH;
    }
    w->ops->pairs(b, row, 2);
    w->ops->turn(a, b, 2);
    pack(w, left + 16, TILE_SIZE, m[0], 16, 2); /* the right half */
    pack(w, halves, 2 * TILE_SIZE, m[0], 32, 2);
    w->ops->weave(woven, packed, 2);
    for (size_t k = 0; k < 32; k++)
        for (size_t n = 0; n < 16; n++) {
            const double x = (double)m[k][n];
            const double in_b = (double)widened(b_part(w, b, k, n, 0)) + (double)widened(b_part(w, b, k, n, 1));
            const double in_a = (double)widened(a_part(w, a, n, k, 0)) + (double)widened(a_part(w, a, n, k, 1));

            wrong_b += fabs(in_b - x) > ldexp(fabs(x), -16);
            wrong_a += in_a != in_b;
            wrong_rows += k < 16 && a_part(w, left, k, 16 + n, 1) != b_part(w, b, k, n, 1);
        }
    tap_ok(wrong_b == 0, "%s: pairs: a tile of B (%zu wrong)", w->name, wrong_b);
    tap_ok(memcmp(woven, b, sizeof b) == 0, "%s: woven: the same from rows in tiles of A", w->name);
    tap_ok(wrong_a == 0, "%s: turned: a tile of A of the transposed matrix (%zu wrong)", w->name, wrong_a);
    tap_ok(wrong_rows == 0, "%s: rows: half a tile of A (%zu wrong)", w->name, wrong_rows);
}

/* Three column blocks (rows of m, five apart) of 17 rows: two groups of two tiles, whose last column block is nobody's. */
static void check_blocks(const way *w)
{
    enum { ROWS = 17, BLOCKS = 3, APART = 5, GROUP = 2 * 2 * TILE_SIZE };
    static _Alignas(64) float m[ROWS + (BLOCKS - 1) * APART][16];
    static _Alignas(64) uint16_t tiles[2 * GROUP];
    uint64_t seed = 5;

    for (size_t k = 0; k < sizeof m / sizeof m[0][0]; k++)
        m[k / 16][k % 16] = some_float(&seed);
    for (size_t parts = 1; parts <= 2; parts++) {
        size_t wrong = 0;

        memset(tiles, 0xee, sizeof tiles);
        w->ops->rows(&(kern_tile_rows){.rows = ROWS,
                                       .blocks = BLOCKS,
                                       .parts = parts,
                                       .in = m[0],
                                       .in_row = 16,
                                       .in_block = APART * 16,
                                       .out = tiles,
                                       .out_group = GROUP});
        for (size_t r = 0; r < 32; r++)
            for (size_t k = 0; k < 64; k++) {
                const uint16_t *tile = tiles + r / 16 * GROUP + k / 32 * parts * TILE_SIZE;
                const uint16_t first = a_part(w, tile, r % 16, k % 32, 0);

                if (r < ROWS && k < BLOCKS * 16)
                    wrong += !is_nearest(m[r + k / 16 * APART][k % 16], first);
                else
                    wrong += first != 0xeeee;
            }
        tap_ok(wrong == 0, "%s: rows of three column blocks, parts: %zu (%zu wrong)", w->name, parts, wrong);
    }
}

/* ---- the order of sums ------------------------------------------------------------------------------------------ */

enum { MOST_ROWS = 80, MOST_BLOCKS = 9, MOST_DEPTH = 19, GROUPS = (MOST_ROWS + 15) / 16 };

typedef struct operands {
    _Alignas(64) uint16_t a[GROUPS * MOST_DEPTH * TILE_PARTS * TILE_SIZE];
    _Alignas(64) uint16_t b[MOST_BLOCKS * MOST_DEPTH * TILE_PARTS * TILE_SIZE];
    _Alignas(64) float before[MOST_ROWS * MOST_BLOCKS * TILE_SIDE], c[MOST_ROWS * MOST_BLOCKS * TILE_SIDE];
} operands;

/* As tiles.h has it, number by number. */
static float expected(const way *w, const kern_tiles *p, size_t r, size_t n, float c)
{
    static const struct {
        size_t count, a[6], b[6];
    } order[] = {{0}, {1, {0}, {0}}, {3, {0, 1, 0}, {1, 0, 0}}, {6, {0, 1, 2, 1, 0, 0}, {2, 1, 0, 0, 1, 0}}};

    for (size_t tile = 0; tile < p->depth; tile++)
        for (size_t j = 0; j < order[p->parts].count; j++) {
            const uint16_t *a = p->a + r / 16 * p->a_group + tile * p->parts * TILE_SIZE;
            const uint16_t *b = p->b + n / 16 * p->b_block + tile * p->parts * TILE_SIZE;
            float even = 0, odd = 0;

            for (size_t k = 0; k < TILE_DEPTH; k += 2) {
                even = fmaf(widened(a_part(w, a, r % 16, k, order[p->parts].a[j])),
                            widened(b_part(w, b, k, n % 16, order[p->parts].b[j])), even);
                odd = fmaf(widened(a_part(w, a, r % 16, k + 1, order[p->parts].a[j])),
                           widened(b_part(w, b, k + 1, n % 16, order[p->parts].b[j])), odd);
            }
            c += even + odd;
        }
    return c;
}

/* One in nine is so small that it, or its products, are denormal. */
static void draw(uint16_t *to, size_t n, uint64_t *seed)
{
    for (size_t k = 0; k < n; k++) {
        const uint64_t exponent = random_below(seed, 9) ? 100 + random_below(seed, 40) : random_below(seed, 64);

        to[k] = (uint16_t)((random_next(seed) & 0x807f) | exponent << 7);
    }
}

/* Wrong numbers of a product of this shape; columns in panels of four blocks that lie apart, as gradients do. */
static size_t wrong_numbers(operands *o, const way *w, size_t rows, size_t blocks, size_t depth, size_t parts, bool add,
                            bool whole)
{
    const size_t step = depth * parts * TILE_SIZE, panel = 4 * TILE_SIDE, room = whole ? (rows + 15) / 16 * 16 : rows;
    const kern_tiles p = {.rows = rows,
                          .blocks = blocks,
                          .depth = depth,
                          .parts = parts,
                          .a = o->a,
                          .b = o->b,
                          .a_group = step,
                          .b_block = step,
                          .c = o->c,
                          .c_row = panel,
                          .c_block = TILE_SIDE,
                          .c_panel = room * panel,
                          .add = add,
                          .whole = whole};
    const size_t every = under_sanitizer() ? 7 : 1; /* what is looked for there are accesses */
    size_t wrong = 0;

    memcpy(o->c, o->before, sizeof o->c);
    w->ops->product(&p);
    for (size_t r = 0; r < rows; r++)
        for (size_t n = r % every; n < blocks * 16; n += every) {
            const size_t at = n / panel * room * panel + r * panel + n % panel;

            wrong += bits_of(o->c[at]) != bits_of(expected(w, &p, r, n, add ? o->before[at] : 0));
        }
    for (size_t at = (blocks + 3) / 4 * room * panel; at < sizeof o->c / sizeof *o->c; at++)
        wrong += bits_of(o->c[at]) != bits_of(o->before[at]);
    return wrong;
}

static void check_sums(const way *w, bool few)
{
    static operands o;
    static const struct {
        size_t rows, blocks, depth;
    } shape[] = {{1, 1, 1},  {16, 2, 3}, {17, 4, 2}, {32, 4, 9}, {75, 3, 2},
                 {48, 9, 17}, {5, 4, 19}, {64, 4, 8}, {1, 7, 9},  {3, 6, 5}};
    const size_t shapes = few ? 5 : sizeof shape / sizeof *shape;
    uint64_t seed = 9;
    size_t wrong = 0, tried = 0;

    draw(o.a, sizeof o.a / sizeof *o.a, &seed);
    draw(o.b, sizeof o.b / sizeof *o.b, &seed);
    for (size_t k = 0; k < sizeof o.before / sizeof *o.before; k++)
        o.before[k] = some_float(&seed);
    for (size_t k = 0; k < shapes; k++)
        for (size_t parts = 1; parts <= 3; parts++, tried++)
            wrong += wrong_numbers(&o, w, shape[k].rows, shape[k].blocks, shape[k].depth, parts, (k + parts) % 2 == 0,
                                   (k / 2 + parts) % 2 == 0);
    tap_ok(wrong == 0, "%s: the documented sums, bit by bit, in %zu products (%zu wrong)", w->name, tried, wrong);
}

static bool has_avx512bf16(void)
{
#ifdef LSTM_BF16_KERNEL
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
#else
    return false;
#endif
}

/* Not chosen by itself. */
static bool has_slow_avx512bf16(void)
{
#ifdef LSTM_BF16_KERNEL
    return __builtin_cpu_is("intel");
#else
    return false;
#endif
}

static void check_way(const way *w)
{
    check_rounding(w);
    check_special(w);
    check_places(w);
    check_blocks(w);
    check_sums(w, false);
}

static void check_operations(void)
{
    const kern *used = kern_select_f32();
    const unsigned saved = lstm_denormals_flush();

    check_way(&(way){"scalar", &kern_tiles_scalar_f32, false});
    if (used->tiles != &kern_tiles_scalar_f32)
        check_way(&(way){used->name, used->tiles, false});
    check_way(&(way){"a program in chains", &kern_tiles_chains_f32, true});
    kern_tile_ops wrong = kern_tiles_chains_f32;

    tap_ok(kern_tiles_agree(&kern_tiles_chains_f32, used->tiles), "tiles in chains pass the check of units");
    wrong.rows = kern_tiles_scalar_f32.rows;
    wrong.pairs = kern_tiles_scalar_f32.pairs;
    tap_ok(!kern_tiles_agree(&wrong, used->tiles), "... and not with neighbours in a pair, whose sums are in another order");
#ifdef LSTM_BF16_KERNEL
    if (has_avx512bf16()) {
        check_way(&(way){"avx512bf16", &kern_tiles_avx512bf16_f32, true});
        check_way(&(way){"avx512, narrowed by AVX512-BF16", &kern_tiles_avx512narrow_f32, false});
    } else
        tap_skip("no AVX512-BF16 here");
#endif
    lstm_denormals_restore(saved);
}

/* ---- networks --------------------------------------------------------------------------------------------------- */

static const char *const names[] = {"float", "bf16x6", "bf16x3", "bf16"};

typedef struct network {
    const char *name;
    lstm_model_config net;
    size_t B, T;
    bool own; /* back from a loss of outputs and states, not from that of targets */
} network;

static lstm_model_config net_of(size_t V, size_t H, size_t L)
{
    lstm_model_config c = config_lstm(V, H, L);

    c.type = LSTM_F32;
    return c;
}

static lstm_model_config dense(lstm_cell cell, size_t I, size_t H, size_t L)
{
    lstm_model_config c = net_of(0, H, L);

    c.cell = cell;
    c.input = LSTM_INPUT_DENSE;
    c.loss = LSTM_LOSS_MSE;
    c.inputs = I;
    c.outputs = 3;
    return c;
}

static lstm_model_config embedded(size_t V, size_t E, size_t H, size_t L)
{
    lstm_model_config c = net_of(V, H, L);

    c.input = LSTM_INPUT_EMBEDDING;
    c.embed = E;
    return c;
}

/* Many outputs: the head's products are in tiles, too. */
static lstm_model_config wide_head(size_t H, size_t classes, double dropout)
{
    lstm_model_config c = net_of(7, H, dropout > 0 ? 2 : 1);

    c.outputs = classes;
    c.dropout = dropout;
    return c;
}

/* The model's parameters, drawn as PyTorch does: what networks of this width begin with. */
static lstm_model *model_of(lstm_model_config net, lstm_type type, lstm_products products)
{
    net.type = type;
    net.products = products;
    lstm_model *m = must_model(&net);

    randomize(m, 1 / sqrt((double)net.hidden), 21);
    return m;
}

/* Gradients of every parameter, one after the other. */
static double *gradients(const network *n, lstm_type type, lstm_products products, int threads)
{
    lstm_model *m = model_of(n->net, type, products);
    lstm_trainer_config c;
    lstm_model_config net = n->net;

    net.type = LSTM_F32; /* the same rounded inputs for all */
    data *d = data_new(&net, n->T, n->B, false, 5);

    if (type == LSTM_F64) {
        free(d->x_real);
        free(d->target_real);
        d->x_real = d->target_real = NULL;
    }
    lstm_batch batch = data_batch(d);

    if (type == LSTM_F64) {
        batch.x = d->x;
        batch.target = d->target;
    }
    lstm_trainer_defaults(&c);
    c.batch = n->B;
    c.seq = n->T + 1;
    c.threads = threads;
    lstm_trainer *tr = must_trainer(m, &c);
    double *all = must_alloc(lstm_model_size(m) * sizeof *all);
    size_t at = 0;
    net.type = type;
    own_loss *own = n->own ? own_loss_new(&net, n->T, n->B, true, true, 6) : NULL;

    randomize_state(tr, 0.5, 8);
    must_forward(tr, &batch, true);
    if (own)
        must_backward_from(tr, own);
    else
        must_backward(tr);
    for (size_t k = 0; k < lstm_model_params(m); k++) {
        lstm_tensor g = must_tensor(tr, LSTM_GRAD, k);
        double *v = values(&g);

        memcpy(all + at, v, lstm_tensor_size(&g) * sizeof *v);
        at += lstm_tensor_size(&g);
        free(v);
    }
    own_loss_free(own);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    data_free(d);
    return all;
}

/* The largest relative error of a parameter's gradient. */
static double worst_error(const network *n, const double *got, const double *want)
{
    lstm_model *m = model_of(n->net, LSTM_F32, LSTM_PRODUCTS_REAL);
    double worst = 0;

    for (size_t k = 0, at = 0; k < lstm_model_params(m); k++) {
        lstm_tensor t = lstm_model_param(m, k);

        worst = fmax(worst, relative_error(got + at, want + at, lstm_tensor_size(&t)));
        at += lstm_tensor_size(&t);
    }
    lstm_model_free(m);
    return worst;
}

/* A float's rounding is 6e-8 in each operation, and gradients of these networks end up within some 1e-6: as accurate
 * means within half as much again, or below what chance makes of it. Splits keep 16 bits (1.5e-5 each, of which sums
 * average most out) and 8 (4e-3). */
static double bound_of(lstm_products products, double float_error)
{
    return products == LSTM_PRODUCTS_BF16X6 ? fmax(1.5 * float_error, 1e-6) : products == LSTM_PRODUCTS_BF16X3 ? 2e-5
                                                                                                               : 2e-2;
}

static void check_network(const network *n)
{
    double *exact = gradients(n, LSTM_F64, LSTM_PRODUCTS_REAL, 1), error[4];

    for (lstm_products p = LSTM_PRODUCTS_REAL; p <= LSTM_PRODUCTS_BF16; p++) {
        double *got = gradients(n, LSTM_F32, p, 2);

        error[p] = worst_error(n, got, exact);
        free(got);
        if (p > LSTM_PRODUCTS_REAL)
            tap_ok(error[p] <= bound_of(p, error[0]), "%s, %s: gradients within %.1e of float64's (float: %.1e)",
                   n->name, names[p], error[p], error[0]);
    }
    /* what is rounded must also be seen: otherwise floats were multiplied */
    tap_ok(error[LSTM_PRODUCTS_BF16] > 1e-4 && error[LSTM_PRODUCTS_BF16X3] > error[0],
           "%s: the fewer parts, the larger the error", n->name);
    free(exact);
}

static void check_networks(void)
{
    const network list[] = {
        {"one-hot, 2x48, B=16 T=7", net_of(11, 48, 2), 16, 7, false},
        {"one-hot, 1x33, B=1 T=9", net_of(7, 33, 1), 1, 9, false},
        {"embedding 5, 3x19, B=5 T=3", embedded(9, 5, 19, 3), 5, 3, false},
        {"embedding 40, 2x65, B=33 T=5", embedded(9, 40, 65, 2), 33, 5, false},
        {"dense 37, 1x50, B=17 T=4", dense(LSTM_CELL_LSTM, 37, 50, 1), 17, 4, false},
        {"dense rnn 3, 2x21, B=3 T=6", dense(LSTM_CELL_RNN, 3, 21, 2), 3, 6, false},
        {"dense rnn 90, 1x100, B=40 T=3", dense(LSTM_CELL_RNN, 90, 100, 1), 40, 3, false},
        {"dense 150, 1x16, B=130 T=4 (more rows, more k)", dense(LSTM_CELL_LSTM, 150, 16, 1), 130, 4, false},
        {"embedding 5, 1x150, B=18 T=31 (more k than goes together, in steps that do)", embedded(9, 5, 150, 1), 18, 31, false},
        {"one-hot, 1x8, B=2 T=1", net_of(5, 8, 1), 2, 1, false},
        {"one-hot, 1x30, 33 classes (the fewest whose head is in tiles), B=9 T=5", wide_head(30, 33, 0), 9, 5, false},
        {"one-hot, 1x24, 300 classes, B=6 T=4", wide_head(24, 300, 0), 6, 4, false},
        {"one-hot, 2x40, 265 classes, dropout, B=19 T=3", wide_head(40, 265, 0.3), 19, 3, false},
        {"one-hot, 1x20, 530 classes, B=20 T=5 (more classes than go together)", wide_head(20, 530, 0), 20, 5, false},
        {"embedding 6, 3x40, a loss of one's own, B=18 T=5", embedded(7, 6, 40, 3), 18, 5, true},
        {"one-hot, 2x70, 40 classes, dropout, a loss of one's own, B=33 T=4", wide_head(70, 40, 0.3), 33, 4, true},
    };

    for (size_t k = 0; k < sizeof list / sizeof *list; k++)
        check_network(&list[k]);
}

/* Layers of configurations C and D of the benchmark, for fewer steps. */
static void check_large_networks(void)
{
    const network list[] = {{"C, T=16", embedded(65, 64, 512, 2), 64, 16, false}, {"D, T=8", net_of(65, 1024, 1), 128, 8, false}};

    for (size_t k = 0; getenv("LSTM_TORTURE") && k < sizeof list / sizeof *list; k++)
        check_network(&list[k]);
}

/* ---- units ------------------------------------------------------------------------------------------------------- */

/* Networks and batches of some size: a team has no second thread for less. */
static uint64_t hash_of_training(lstm_model_config net, size_t B, size_t T, lstm_products products, int threads,
                                 const char *tiles)
{
    lstm_trainer_config c;

    setenv("LSTM_TILES", tiles, 1);
    lstm_model *m = model_of(net, LSTM_F32, products);

    lstm_trainer_defaults(&c);
    c.batch = B;
    c.seq = T;
    c.carry = true;
    c.threads = threads;
    lstm_trainer *tr = must_trainer(m, &c);
    data *d = data_new(lstm_model_settings(m), T, B, false, 2);
    lstm_batch batch = data_batch(d);

    for (int k = 0; k < 3; k++)
        must_step(tr, &batch);
    uint64_t hash = hash_pass(hash_training(HASH_START, tr), tr);

    data_free(d);
    lstm_trainer_free(tr);
    lstm_model_free(m);
    setenv("LSTM_TILES", "software", 1);
    return hash;
}

static void check_training(const char *unit)
{
    const lstm_model_config net = embedded(7, 6, 45, 2), wide = wide_head(40, 265, 0.3), large = embedded(7, 6, 128, 1);

    for (lstm_products p = LSTM_PRODUCTS_BF16X6; p <= LSTM_PRODUCTS_BF16; p++) {
        tap_ok(hash_of_training(net, 18, 3, p, 2, unit) == hash_of_training(net, 18, 3, p, 1, "software"),
               "%s: three steps by %s, two threads: the bits of software, one thread", names[p], unit);
        tap_ok(hash_of_training(wide, 18, 3, p, 1, unit) == hash_of_training(wide, 18, 3, p, 2, "software"),
               "%s: the same with many classes", names[p]);
    }
    /* More rows than two tiles hold, and more gates than a second cache: other ways to memory. */
    tap_ok(hash_of_training(large, 33, 32, LSTM_PRODUCTS_BF16, 1, unit) ==
               hash_of_training(large, 33, 32, LSTM_PRODUCTS_BF16, 2, "software"),
           "bf16: the same with what the caches do not hold");
}

#ifdef LSTM_AMX_KERNEL
static void check_units(void)
{
    const unsigned saved = lstm_denormals_flush();
    const bool real = __real_kern_amx_usable();
    const kern_tile_ops ops = kern_amx_tiles(kern_amx_packing());
    const size_t before = amx_unit_dots();

    tap_note(real ? "by this processor's matrix units" : "by a matrix unit that the test plays");
    if (!real)
        amx_unit_install();
    ops.begin();
    check_sums(&(way){"amx", &ops, false}, true);
    ops.end();
    tap_ok(real || amx_unit_dots() > before, "... by the unit");
    tap_ok(kern_amx_agrees(), "units that add up as they should pass their check");
    if (real)
        tap_skip("these units cannot be spoilt");
    else {
        amx_unit_spoil(true);
        tap_ok(!kern_amx_agrees(), "units that do not are found out");
        amx_unit_spoil(false);
    }
    lstm_denormals_restore(saved);
    unit_there = true;
    unsetenv("LSTM_TILES");
    tap_string(lstm_tiles(), "amx", "units that are there are used");
    check_training("amx");
}
#else
static void check_units(void) { tap_skip("this build has no code for matrix units"); }
#endif

/* Threads share blocks of units, 16 each, or groups of as many rows, whichever are fairer shares; some get none. */
static void check_shares(void)
{
    static const struct {
        size_t H, B;
        int threads;
        const char *what;
    } shares[] = {{64, 32, 2, "by units"}, {48, 80, 2, "by rows"}, {64, 80, 6, "by rows, of which one thread has none"}};

    for (size_t k = 0; k < sizeof shares / sizeof *shares; k++) {
        const lstm_model_config net = net_of(5, shares[k].H, 2);

        tap_ok(hash_of_training(net, shares[k].B, 3, LSTM_PRODUCTS_BF16, shares[k].threads, "software") ==
                   hash_of_training(net, shares[k].B, 3, LSTM_PRODUCTS_BF16, 1, "software"),
               "%d threads %s: the bits of one", shares[k].threads, shares[k].what);
    }
}

/* Gradients of gates and cells, which a step only keeps when somebody has asked for them. */
enum { GATES = LSTM_DC - LSTM_DI + 1 };

static void ask_for_gates(const lstm_trainer *tr, lstm_tensor view[2 * GATES])
{
    for (size_t k = 0; k < 2 * GATES; k++)
        view[k] = must_tensor(tr, LSTM_DI + (lstm_what)(k % GATES), k / GATES);
}

static uint64_t hash_of_views(const lstm_tensor view[2 * GATES])
{
    uint64_t hash = HASH_START;

    for (size_t k = 0; k < 2 * GATES; k++)
        hash = hash_tensor(hash, &view[k]);
    return hash;
}

typedef struct asking {
    lstm_model *m;
    lstm_trainer *tr;
    data *d;
    lstm_batch batch;
} asking;

static asking begin_asking(lstm_model_config net, lstm_products products, int threads)
{
    asking a = {.m = model_of(net, LSTM_F32, products)};
    lstm_trainer_config c;

    lstm_trainer_defaults(&c);
    c.batch = 18;
    c.seq = 4;
    c.carry = true;
    c.threads = threads;
    a.tr = must_trainer(a.m, &c);
    a.d = data_new(lstm_model_settings(a.m), 4, c.batch, false, 2);
    a.batch = data_batch(a.d);
    return a;
}

static void end_asking(asking *a)
{
    data_free(a->d);
    lstm_trainer_free(a->tr);
    lstm_model_free(a->m);
}

/* By one who asks after the first step, and by one who asks after the second; states are carried on, so that the initial
 * one is gone by then. */
static void check_asked_later(lstm_products products, int threads)
{
    const lstm_model_config net = embedded(7, 6, 64, 2); /* four blocks of units: threads share them, not rows */
    asking always = begin_asking(net, products, threads), late = begin_asking(net, products, threads);
    lstm_tensor theirs[2 * GATES], ours[2 * GATES];

    must_step(always.tr, &always.batch);
    must_step(late.tr, &late.batch);
    ask_for_gates(always.tr, theirs);
    const uint64_t first = hash_of_views(theirs);

    must_step(always.tr, &always.batch);
    must_step(late.tr, &late.batch);
    const uint64_t second = hash_of_views(theirs);

    ask_for_gates(late.tr, ours);
    tap_ok(second != first && hash_of_views(ours) == second,
           "%s, %d threads: gradients of gates and cells are the same for one who asks later", names[products], threads);
    must_step(always.tr, &always.batch);
    must_step(late.tr, &late.batch);
    tap_ok(hash_of_views(ours) == hash_of_views(theirs) && hash_of_views(ours) != second,
           "... whose views then show every step's");
    end_asking(&always);
    end_asking(&late);
}

static void backward_from_own_loss(asking *a)
{
    own_loss *own = own_loss_new(lstm_model_settings(a->m), a->d->T, a->d->B, true, true, 3);

    must_forward(a->tr, &a->batch, true);
    must_backward_from(a->tr, own);
    own_loss_free(own);
}

/* What is asked for later is computed from gates and dL/dh; what a loss says of cells by itself is gone by then. */
static void check_own_loss_asked_later(lstm_products products, int threads)
{
    const lstm_model_config net = embedded(7, 6, 64, 2);
    asking always = begin_asking(net, products, threads), late = begin_asking(net, products, threads);
    lstm_tensor theirs[2 * GATES], ours[2 * GATES];

    must_step(always.tr, &always.batch);
    must_step(late.tr, &late.batch);
    ask_for_gates(always.tr, theirs);
    backward_from_own_loss(&always);
    backward_from_own_loss(&late);
    ask_for_gates(late.tr, ours);
    tap_ok(hash_of_views(ours) == hash_of_views(theirs),
           "%s, %d threads: also back from a loss of one's own of c", names[products], threads);
    end_asking(&always);
    end_asking(&late);
}

static void check_avx512bf16(void)
{
    if (has_avx512bf16())
        check_training("avx512bf16");
    else
        tap_skip("no AVX512-BF16 here");
}

/* ---- what stands for auto, and wishes ---------------------------------------------------------------------------- */

static lstm_products chosen(size_t H, size_t B)
{
    lstm_model_config net = net_of(5, H, 1);
    lstm_trainer_config c;
    lstm_plan plan;

    net.products = LSTM_PRODUCTS_AUTO;
    lstm_trainer_defaults(&c);
    c.batch = B;
    c.seq = 4;
    if (lstm_plan_for(&net, &c, &plan, NULL))
        bail("no plan");
    return plan.products;
}

static void check_auto(void)
{
    lstm_set_auto(true);
    tap_ok(chosen(512, 64) == LSTM_PRODUCTS_BF16X6, "auto, with units: a wide network and many rows: bf16x6");
    tap_ok(chosen(511, 64) == LSTM_PRODUCTS_REAL && chosen(512, 63) == LSTM_PRODUCTS_REAL,
           "... fewer units, fewer rows: float");
    lstm_set_auto(false);
    tap_ok(chosen(512, 64) == LSTM_PRODUCTS_REAL, "auto, without units: float");
    lstm_set_auto(-1);
}

static bool is_refused(const char *wish, const char *why)
{
    lstm_model_config net = net_of(5, 4, 1);
    lstm_error err = {0};

    net.products = LSTM_PRODUCTS_BF16;
    setenv("LSTM_TILES", wish, 1);
    return !lstm_model_new(&net, &err) && strstr(err.message, why);
}

/* Without matrix units; in a process of its own, since a process looks for them once. */
static void check_wishes(void)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        const char *best = has_avx512bf16() && !has_slow_avx512bf16() ? "avx512bf16" : "software";
        bool good = is_refused("amx", "no AMX") && is_refused("hardware", "expected software, avx512bf16 or amx") &&
                    (has_avx512bf16() || is_refused("avx512bf16", "no AVX512-BF16"));

        unsetenv("LSTM_TILES");
        _exit(good && !strcmp(lstm_tiles(), best) && !lstm_tiles_problem() ? 0 : 1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child)
        bail("no process");
    tap_ok(status == 0, "LSTM_TILES: what cannot be had is refused; without it the best there is");
}

int main(void)
{
    check_wishes();
    setenv("LSTM_TILES", "software", 1);
    check_operations();
    check_shares();
    check_asked_later(LSTM_PRODUCTS_BF16X3, 1);
    check_asked_later(LSTM_PRODUCTS_BF16, 2);
    check_own_loss_asked_later(LSTM_PRODUCTS_BF16, 2);
    check_avx512bf16();
    check_units();
    check_networks();
    check_large_networks();
    check_auto();
    return tap_done();
}
