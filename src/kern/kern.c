/* SPDX-License-Identifier: MIT
 *
 * kern.c - the one body of the kernels. Compiled once per instruction set and precision with -DKERN_ISA=scalar|avx2|
 * avx512, -DLSTM_REAL=32|64 and the flags of that instruction set. See kern.h for what each does.
 */
#include "isa.h"
#include "kern.h"
#include "tiles.h"

#include <string.h>

#include "vec.h"

/* ---- products --------------------------------------------------------------------------------------------------
 * A tile of MR rows and NV vectors stays in registers while k runs. Rows of A step by a_row, which is a constant in
 * each of the three layouts that matter (units, gates, and transposed for weight gradients), so that the compiler
 * folds it into the addresses. */

#define TILE(MR, NV)                                                                                                   \
    INLINE void tile_##MR##_##NV(const kern_product *p, const real *a, const real *b, real *c, size_t a_row,          \
                                 size_t a_k)                                                                           \
    {                                                                                                                  \
        const size_t b_k = p->b_k, c_row = p->c_row, c_block = p->c_block, len = p->len;                               \
        vec acc[MR][NV];                                                                                               \
        UNROLL for (size_t r = 0; r < MR; r++)                                                                         \
            UNROLL for (size_t n = 0; n < NV; n++)                                                                     \
                acc[r][n] = p->add ? v_load(c + r * c_row + (n / VPB) * c_block + (n % VPB) * VL) : v_zero();          \
        for (size_t left = p->k; left; a += p->a_chunk, b += p->b_chunk) {                                             \
            const size_t count = left < len ? left : len;                                                              \
            const real *ak = a, *bk = b;                                                                               \
            left -= count;                                                                                             \
            for (size_t k = 0; k < count; k++, ak += a_k, bk += b_k) {                                                 \
                vec bv[NV];                                                                                            \
                UNROLL for (size_t n = 0; n < NV; n++) bv[n] = v_load(bk + n * VL);                                    \
                UNROLL for (size_t r = 0; r < MR; r++)                                                                 \
                {                                                                                                      \
                    vec x = v_set(ak[r * a_row]);                                                                      \
                    UNROLL for (size_t n = 0; n < NV; n++) acc[r][n] = v_fma(x, bv[n], acc[r][n]);                     \
                }                                                                                                      \
            }                                                                                                          \
        }                                                                                                              \
        UNROLL for (size_t r = 0; r < MR; r++)                                                                         \
            UNROLL for (size_t n = 0; n < NV; n++)                                                                     \
                v_store(c + r * c_row + (n / VPB) * c_block + (n % VPB) * VL, acc[r][n]);                              \
    }

#define TILES(NV) TILE(1, NV) TILE(2, NV) TILE(3, NV) TILE(4, NV) TILE(5, NV) TILE(6, NV)
#define TILE_CASE(MR, NV)                                                                                              \
    case MR:                                                                                                           \
        tile_##MR##_##NV(p, a, b, c, a_row, a_k);                                                                      \
        break;
#define TILE_SWITCH(NV)                                                                                                \
    switch (rows) {                                                                                                    \
        TILE_CASE(1, NV)                                                                                               \
        TILE_CASE(2, NV)                                                                                               \
        TILE_CASE(3, NV)                                                                                               \
        TILE_CASE(4, NV)                                                                                               \
        TILE_CASE(5, NV)                                                                                               \
        TILE_CASE(6, NV)                                                                                               \
    }

#if defined(KERN_AVX512)
TILES(1) TILES(2) TILES(3) TILES(4)
TILE(1, 5) TILE(2, 5) TILE(3, 5) TILE(4, 5) TILE(5, 5)
#define BLOCKS_AT_ONCE 5
INLINE size_t most_rows(size_t blocks) { return blocks == 5 ? 5 : 6; }
INLINE void any_tile(const kern_product *p, size_t rows, size_t blocks, const real *a, const real *b, real *c,
                     size_t a_row, size_t a_k)
{
    switch (blocks) {
    case 1: TILE_SWITCH(1) break;
    case 2: TILE_SWITCH(2) break;
    case 3: TILE_SWITCH(3) break;
    case 4: TILE_SWITCH(4) break;
    case 5:
        switch (rows) {
            TILE_CASE(1, 5)
            TILE_CASE(2, 5)
            TILE_CASE(3, 5)
            TILE_CASE(4, 5)
            TILE_CASE(5, 5)
        }
        break;
    }
}
#elif defined(KERN_AVX2) || defined(__ARM_NEON)
#if VPB == 2
TILES(2)
#define BLOCK_SWITCH TILE_SWITCH(2)
#else
TILES(4)
#define BLOCK_SWITCH TILE_SWITCH(4)
#endif
#define BLOCKS_AT_ONCE 1
#define MOST_ROWS 6
#else /* a call of fma() for every element: nothing to gain from large tiles */
TILE(1, 4) TILE(2, 4)
#define BLOCK_SWITCH                                                                                                   \
    switch (rows) {                                                                                                    \
        TILE_CASE(1, 4)                                                                                                \
        TILE_CASE(2, 4)                                                                                                \
    }
#define BLOCKS_AT_ONCE 1
#define MOST_ROWS 2
#endif

#ifdef BLOCK_SWITCH
INLINE size_t most_rows(size_t blocks) { (void)blocks; return MOST_ROWS; }
INLINE void any_tile(const kern_product *p, size_t rows, size_t blocks, const real *a, const real *b, real *c,
                     size_t a_row, size_t a_k)
{
    (void)blocks;
    BLOCK_SWITCH
}
#endif

/* Cuts the rows into tiles of nearly equal height. */
INLINE void all_tiles(const kern_product *p, size_t a_row, size_t a_k)
{
    for (size_t q = 0; q < p->blocks; q += BLOCKS_AT_ONCE) {
        const size_t blocks = p->blocks - q < BLOCKS_AT_ONCE ? p->blocks - q : BLOCKS_AT_ONCE;
        const size_t most = most_rows(blocks), tiles = (p->rows + most - 1) / most;
        for (size_t i = 0, r = 0; i < tiles; i++) {
            const size_t rows = p->rows / tiles + (i < p->rows % tiles);
            any_tile(p, rows, blocks, p->a + r * a_row, p->b + q * NB, p->c + r * p->c_row + q * p->c_block, a_row,
                     a_k);
            r += rows;
        }
    }
}

static void product_units(const kern_product *p) { all_tiles(p, NB, 1); }
static void product_gates(const kern_product *p) { all_tiles(p, PANEL * NB, 1); }
static void product_transposed(const kern_product *p) { all_tiles(p, 1, NB); }
static void product_any(const kern_product *p) { all_tiles(p, p->a_row, p->a_k); }

static void product_by_layout(const kern_product *p)
{
    if (p->a_row == NB && p->a_k == 1)
        product_units(p);
    else if (p->a_row == PANEL * NB && p->a_k == 1)
        product_gates(p);
    else if (p->a_row == 1 && p->a_k == NB)
        product_transposed(p);
    else
        product_any(p);
}

/* k in pieces of about DEPTH, so that the piece of B (at most 64 KB) stays near while the rows go by. */
#define DEPTH 256

static void product(const kern_product *p)
{
    const size_t deep = DEPTH / p->len * p->len;
    if (p->k <= deep || p->len > DEPTH) {
        product_by_layout(p);
        return;
    }
    kern_product part = *p;
    for (size_t k = 0; k < p->k; k += deep) {
        part.k = p->k - k < deep ? p->k - k : deep;
        product_by_layout(&part);
        part.a += deep / p->len * p->a_chunk;
        part.b += deep / p->len * p->b_chunk;
        part.add = true;
    }
}

/* Panels that go together: their part of d stays in registers while the units go by. */
#define THIN_PANELS 4

/* lanes[u] += W[u][n] d[r][n] over the columns n of `count` panels, for every unit: W is read in streams. */
INLINE void thin_panels(const kern_thin *p, size_t r, size_t panel, const size_t count)
{
    const size_t row = PANEL * NB;
    const real *d = p->d + (panel * p->rows + r) * row, *w = p->w + panel * p->k * row;
    for (size_t q = 0; q < NB; q += VL) {
        vec x[THIN_PANELS][PANEL];
        UNROLL
        for (size_t j = 0; j < count; j++)
            UNROLL
            for (size_t n = 0; n < PANEL; n++)
                x[j][n] = v_load(d + j * p->rows * row + n * NB + q);
        for (size_t u = p->first; u < p->last; u++) {
            real *lanes = p->lanes + u * NB + q;
            vec acc = panel ? v_load(lanes) : v_zero();
            UNROLL
            for (size_t j = 0; j < count; j++)
                UNROLL
                for (size_t n = 0; n < PANEL; n++)
                    acc = v_fma(x[j][n], v_load(w + (j * p->k + u) * row + n * NB + q), acc);
            v_store(lanes, acc);
        }
    }
}

/* The rows of W are the units: each sum runs over the columns in NB lanes, panel by panel, and then over the lanes. */
static void thin(const kern_thin *p)
{
    for (size_t r = 0; r < p->rows; r++) {
        size_t panel = 0;
        for (; panel + THIN_PANELS <= p->panels; panel += THIN_PANELS)
            thin_panels(p, r, panel, THIN_PANELS);
        for (; panel < p->panels; panel++)
            thin_panels(p, r, panel, 1);
        for (size_t u = p->first; u < p->last; u++) {
            vec acc[VPB];
            for (size_t q = 0; q < VPB; q++)
                acc[q] = v_load(p->lanes + u * NB + q * VL);
            p->c[(u / NB * p->rows + r) * NB + u % NB] = sum_block(acc);
        }
    }
}

/* ---- cells ----------------------------------------------------------------------------------------------------- */

#define CELL_STATE(tiles, r, q, h) (void)(tiles), (void)parts
#define CELL_GRADIENTS(p, tiles, r, q, d)                                                                              \
    do {                                                                                                               \
        (void)(tiles), (void)parts;                                                                                    \
        UNROLL for (size_t n_ = 0; n_ < 4; n_++)                                                                       \
            v_store((p)->dz + ((r) * PANEL + n_) * NB + (q), (d)[n_]);                                                 \
    } while (0)
#include "cells.h"

static void lstm_forward(const kern_lstm_forward *p)
{
    if (p->mixed)
        lstm_cells(p, NULL, 0, true);
    else
        lstm_cells(p, NULL, 0, false);
}

static void lstm_backward(const kern_lstm_backward *p)
{
    if (p->mixed)
        lstm_cells_back(p, NULL, 0, true);
    else
        lstm_cells_back(p, NULL, 0, false);
}

static void rnn_forward(const kern_rnn_forward *p)
{
    for (size_t r = 0; r < p->rows; r++)
        for (size_t q = 0; q < NB; q += VL) {
            vec a = v_load(p->bias + q);
            if (p->ids)
                a = v_load(p->table + (size_t)p->ids[r] * PANEL * NB + q) + a;
            v_store(p->h + r * NB + q, v_tanh(v_load(p->z + r * p->z_row + q) + a));
        }
}

static void rnn_backward(const kern_rnn_backward *p)
{
    for (size_t r = 0; r < p->rows; r++)
        for (size_t q = 0; q < NB; q += VL) {
            vec h = v_load(p->h + r * NB + q), dh = v_load(p->dh + r * NB + q);
            if (p->through)
                dh = dh + v_load(p->through + r * p->through_row + q);
            vec d = v_fnma(h * h, dh, dh);
            v_store(p->dh + r * NB + q, dh);
            v_store(p->dz + r * p->z_row + q, d);
            if (p->dbias)
                add_to(p->dbias + q, d);
            if (p->ids)
                add_to(p->dtable + (size_t)p->ids[r] * PANEL * NB + q, d);
        }
}

static void sums(const kern_sums *p)
{
    for (size_t q = 0; q < p->width; q += VL) {
        vec sum = v_load(p->sum + q);
        for (size_t r = 0; r < p->rows; r++) {
            vec d = v_load(p->d + r * p->d_row + q);
            sum = sum + d;
            if (p->ids)
                add_to(p->table + (size_t)p->ids[r] * PANEL * NB + q, d);
        }
        v_store(p->sum + q, sum);
    }
}

/* ---- outputs --------------------------------------------------------------------------------------------------- */

/* 1 in the lanes of the last block that are outputs, 0 in its padding. */
INLINE void last_block(real *keep, size_t n)
{
    for (size_t i = 0; i < NB; i++)
        keep[i] = i < (n - 1) % NB + 1 ? 1 : 0;
}

static void add_bias(const kern_output *p)
{
    for (size_t i = 0; i < p->n; i += VL)
        v_store(p->y + i, v_load(p->y + i) + v_load(p->bias + i));
    if (p->d)
        memset(p->d, 0, (p->n + NB - 1) / NB * NB * sizeof(real));
}

static double softmax(const kern_output *p, int32_t target)
{
    _Alignas(64) real keep[NB], e[NB];
    const size_t blocks = (p->n + NB - 1) / NB;
    vec most[VPB], sum[VPB];
    add_bias(p);
    if (target < 0)
        return 0;
    last_block(keep, p->n);
    for (size_t q = 0; q < VPB; q++)
        most[q] = v_set(p->y[0]), sum[q] = v_zero();
    for (size_t b = 0; b + 1 < blocks; b++)
        for (size_t q = 0; q < VPB; q++)
            most[q] = v_max(most[q], v_load(p->y + b * NB + q * VL));
    real top = max_block(most);
    for (size_t i = (blocks - 1) * NB; i < p->n; i++)
        top = p->y[i] > top ? p->y[i] : top;
    for (size_t b = 0; b < blocks; b++)
        for (size_t q = 0; q < VPB; q++) {
            vec x = v_exp(v_load(p->y + b * NB + q * VL) - v_set(top));
            if (b + 1 == blocks)
                x = x * v_load(keep + q * VL);
            sum[q] = sum[q] + x;
            if (p->d)
                v_store(p->d + b * NB + q * VL, x);
        }
    const real total = sum_block(sum);
    if (p->d) {
        const vec share = v_set((real)p->scale / total);
        for (size_t i = 0; i < blocks * NB; i += VL)
            v_store(p->d + i, v_load(p->d + i) * share);
        p->d[target] -= (real)p->scale;
    }
    v_store(e, v_log(v_set(total)));
    return (double)e[0] + ((double)top - (double)p->y[target]);
}

static double squares(const kern_output *p, const real *target)
{
    _Alignas(64) real t[NB];
    vec sum[VPB];
    add_bias(p);
    if (!target)
        return 0;
    for (size_t q = 0; q < VPB; q++)
        sum[q] = v_zero();
    for (size_t i = 0; i < p->n; i += NB) {
        memset(t, 0, sizeof t);
        memcpy(t, target + i, (p->n - i < NB ? p->n - i : NB) * sizeof(real));
        for (size_t q = 0; q < VPB; q++) {
            vec d = v_load(p->y + i + q * VL) - v_load(t + q * VL);
            sum[q] = v_fma(d, d, sum[q]);
            if (p->d)
                v_store(p->d + i + q * VL, d * v_set((real)(2 * p->scale)));
        }
    }
    return (double)sum_block(sum);
}

/* ---- dropout --------------------------------------------------------------------------------------------------- */

#define COUNTERS ((size_t)16) /* at once */
#define LOW_HALF UINT64_C(0xffffffff)

/* 32-bit numbers in the low halves of 64-bit lanes; what is in the high ones does not matter. */
#if defined(KERN_AVX512)
typedef uint64_t wide __attribute__((vector_size(64), may_alias));
INLINE wide low_product(wide x, uint64_t y)
{
    return (wide)_mm512_mul_epu32((__m512i)x, _mm512_set1_epi64((int64_t)y));
}
#elif defined(KERN_AVX2)
typedef uint64_t wide __attribute__((vector_size(32), may_alias));
INLINE wide low_product(wide x, uint64_t y)
{
    return (wide)_mm256_mul_epu32((__m256i)x, _mm256_set1_epi64x((int64_t)y));
}
#else
typedef uint64_t wide __attribute__((vector_size(16), may_alias));
INLINE wide low_product(wide x, uint64_t y) { return (x & LOW_HALF) * y; }
#endif
#define WIDE (sizeof(wide) / sizeof(uint64_t))

/* The four words of each of COUNTERS counters from `first` on, each word twice, in both halves. Same function as
 * lstm_philox. */
static void philox(uint64_t out[4][COUNTERS], uint64_t seed, uint64_t stream, uint64_t first)
{
    for (size_t i = 0; i < COUNTERS; i += WIDE) {
        wide x0 = {0}, x2 = x0 + stream, x3 = x2 >> 32;
        for (size_t lane = 0; lane < WIDE; lane++)
            x0[lane] = first + i + lane;
        wide x1 = x0 >> 32;
        uint64_t k0 = seed & LOW_HALF, k1 = seed >> 32;
        UNROLL
        for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
            const wide a = low_product(x0, 0xD2511F53u), b = low_product(x2, 0xCD9E8D57u);
            x0 = b >> 32 ^ x1 ^ k0;
            x1 = b;
            x2 = a >> 32 ^ x3 ^ k1;
            x3 = a;
        }
        const wide words[4] = {x0, x1, x2, x3};
        UNROLL
        for (size_t w = 0; w < 4; w++)
            *(wide *)(void *)&out[w][i] = (words[w] & LOW_HALF) | words[w] << 32;
    }
}

typedef uint64_t four_words __attribute__((vector_size(32)));
typedef uint32_t eight_halves __attribute__((vector_size(32)));
typedef int32_t eight_answers __attribute__((vector_size(32)));
typedef lane_int eight_lanes __attribute__((vector_size(8 * sizeof(real))));
typedef real eight __attribute__((vector_size(8 * sizeof(real)), may_alias));

/* Eight units of a mask, from four words of which each is there twice. */
INLINE void drop_eight(real *mask, const uint64_t words[4][COUNTERS], size_t i, uint32_t threshold, real keep_scale)
{
    const four_words all = {words[0][i], words[1][i], words[2][i], words[3][i]};
    const eight_halves shift = {0, 16, 0, 16, 0, 16, 0, 16}, bits = (eight_halves)all >> shift & 0xffff;
    const eight_answers keep = (eight_answers)(bits >= threshold);
    const eight scale = (eight){0} + keep_scale;
    *(eight *)(void *)mask = (eight)(__builtin_convertvector(keep, eight_lanes) & (eight_lanes)scale);
}

static void dropout(real *mask, size_t rows, size_t units, size_t block, uint64_t seed, uint64_t stream,
                    uint64_t first, uint32_t threshold, real keep_scale)
{
    const size_t groups = (units + 7) / 8, total = rows * groups;
    _Alignas(64) uint64_t words[4][COUNTERS];
    for (size_t at = 0, r = 0, group = 0; at < total; at += COUNTERS) {
        philox(words, seed, stream, first + at);
        for (size_t i = 0; i < COUNTERS && at + i < total; i++) {
            const size_t u = group * 8;
            drop_eight(mask + u / NB * block + r * NB + u % NB, words, i, threshold, keep_scale);
            if (++group == groups) {
                group = 0;
                r++;
            }
        }
    }
}

/* ---- element-wise ------------------------------------------------------------------------------------------------ */

static void multiply(real *out, const real *a, const real *b, size_t n)
{
    for (size_t i = 0; i < n; i += VL)
        v_store(out + i, v_load(a + i) * v_load(b + i));
}

static void add(real *out, const real *a, size_t n)
{
    for (size_t i = 0; i < n; i += VL)
        add_to(out + i, v_load(a + i));
}

static double sum_squares(const real *a, size_t n)
{
    vec sum[VPB];
    for (size_t q = 0; q < VPB; q++)
        sum[q] = v_zero();
    for (size_t i = 0; i < n; i += NB)
        for (size_t q = 0; q < VPB; q++)
            sum[q] = v_fma(v_load(a + i + q * VL), v_load(a + i + q * VL), sum[q]);
    return (double)sum_block(sum);
}

static void transpose(real *out, size_t out_row, const real *in, size_t in_row, size_t rows, size_t columns)
{
    for (size_t r = 0; r < rows; r += NB) {
        const size_t count = rows - r < NB ? rows - r : NB;
        for (size_t c = 0; c < columns; c++)
            for (size_t i = 0; i < count; i++)
                out[c * out_row + r + i] = in[(r + i) * in_row + c];
    }
}

#define MAP(name, function)                                                                                            \
    static void name(real *out, const real *in, size_t n)                                                              \
    {                                                                                                                  \
        for (size_t i = 0; i < n; i += VL) {                                                                           \
            const size_t count = n - i < VL ? n - i : VL;                                                              \
            _Alignas(64) real part[VL];                                                                                \
            for (size_t k = 0; k < VL; k++)                                                                            \
                part[k] = in[i + (k < count ? k : 0)];                                                                 \
            v_store(part, function(v_load(part)));                                                                     \
            memcpy(out + i, part, count * sizeof(real));                                                               \
        }                                                                                                              \
    }
MAP(map_exp, v_exp)
MAP(map_log, v_log)
MAP(map_sigmoid, v_sigmoid)
MAP(map_tanh, v_tanh)

/* ---- optimisers ---------------------------------------------------------------------------------------------------
 * Each is a step function: from (w, g) and the two states to the new w. The loop around it scales and clips the
 * gradient and gathers the sums. */

typedef struct constants {
    vec lr, decay, beta1, rest1, beta2, rest2, eps, correct2, keep, momentum, alpha, rest_alpha;
} constants;

typedef vec (*stepper)(const constants *k, vec w, vec g, vec *m, vec *v);

INLINE vec step_adam(const constants *k, vec w, vec g, vec *m, vec *v)
{
    *m = v_fma(k->beta1, *m, k->rest1 * g);
    *v = v_fma(k->beta2, *v, k->rest2 * g * g);
    vec root = v_fma(v_sqrt(*v), k->correct2, k->eps);
    return v_fnma(k->lr, *m / root, w * k->keep);
}

INLINE vec step_adam_l2(const constants *k, vec w, vec g, vec *m, vec *v)
{
    return step_adam(k, w, v_fma(k->decay, w, g), m, v);
}

INLINE vec step_sgd(const constants *k, vec w, vec g, vec *m, vec *v)
{
    (void)v;
    *m = v_fma(k->momentum, *m, v_fma(k->decay, w, g));
    return v_fnma(k->lr, *m, w);
}

INLINE vec step_rmsprop(const constants *k, vec w, vec g, vec *m, vec *v)
{
    g = v_fma(k->decay, w, g);
    *v = v_fma(k->alpha, *v, k->rest_alpha * g * g);
    *m = v_fma(k->momentum, *m, g / (v_sqrt(*v) + k->eps));
    return v_fnma(k->lr, *m, w);
}

INLINE void update_loop(kern_update *u, constants k, stepper step)
{
    const vec scale = v_set((real)u->grad_scale), bound = v_set((real)u->bound);
    const bool clip = u->bound < (double)INFINITY;
    vec w2[VPB], d2[VPB], g2[VPB];
    size_t clipped = 0;
    for (size_t q = 0; q < VPB; q++)
        w2[q] = d2[q] = g2[q] = v_zero();
    for (size_t i = 0; i < u->n; i += NB)
        for (size_t q = 0; q < VPB; q++) {
            const size_t at = i + q * VL;
            vec w = v_load(u->w + at), g = v_load(u->g + at) * scale;
            vec m = v_load(u->m + at), v = v_load(u->v + at);
            if (clip) {
                const vec in = g;
                g = v_max(-bound, v_min(bound, g));
                for (size_t lane = 0; lane < VL; lane++)
                    clipped += in[lane] != g[lane];
            }
            vec new = step(&k, w, g, &m, &v), change = new - w;
            v_store(u->m + at, m);
            v_store(u->v + at, v);
            v_store(u->w + at, new);
            w2[q] = v_fma(w, w, w2[q]);
            d2[q] = v_fma(change, change, d2[q]);
            g2[q] = v_fma(g, g, g2[q]);
        }
    u->sum_w2 = (double)sum_block(w2);
    u->sum_d2 = (double)sum_block(d2);
    u->sum_g2 = (double)sum_block(g2);
    u->clipped = clipped;
}

INLINE constants constants_of(const kern_update *u)
{
    return (constants){
        .lr = v_set((real)u->lr),
        .decay = v_set((real)u->decay),
        .beta1 = v_set((real)u->beta1),
        .rest1 = v_set((real)(1 - u->beta1)),
        .beta2 = v_set((real)u->beta2),
        .rest2 = v_set((real)(1 - u->beta2)),
        .eps = v_set((real)u->eps),
        .correct2 = v_set((real)u->correct2),
        .momentum = v_set((real)u->momentum),
        .alpha = v_set((real)u->alpha),
        .rest_alpha = v_set((real)(1 - u->alpha)),
    };
}

static void adam(kern_update *u)
{
    constants k = constants_of(u);
    k.lr = v_set((real)(u->lr * u->correct1));
    k.keep = v_set((real)(1 - u->lr * u->decay));
    update_loop(u, k, step_adam);
}

static void adam_l2(kern_update *u)
{
    constants k = constants_of(u);
    k.lr = v_set((real)(u->lr * u->correct1));
    k.keep = v_set(1);
    update_loop(u, k, step_adam_l2);
}

static void sgd(kern_update *u) { update_loop(u, constants_of(u), step_sgd); }
static void rmsprop(kern_update *u) { update_loop(u, constants_of(u), step_rmsprop); }

#if LSTM_REAL == 32
extern const kern_tile_ops KERN_NAME(kern_tiles_);
#endif
extern const kern KERN_NAME(kern_);
const kern KERN_NAME(kern_) = {
    .name = KERN_STRING(KERN_ISA),
    .product = product,
    .thin = thin,
    .lstm_forward = lstm_forward,
    .lstm_backward = lstm_backward,
    .rnn_forward = rnn_forward,
    .rnn_backward = rnn_backward,
    .sums = sums,
    .softmax = softmax,
    .squares = squares,
    .dropout = dropout,
    .multiply = multiply,
    .add = add,
    .sum_squares = sum_squares,
    .adam = adam,
    .adam_l2 = adam_l2,
    .sgd = sgd,
    .rmsprop = rmsprop,
    .transpose = transpose,
    .exp = map_exp,
    .log = map_log,
    .sigmoid = map_sigmoid,
    .tanh = map_tanh,
#if LSTM_REAL == 32
    .tiles = &KERN_NAME(kern_tiles_),
#endif
};
