/* SPDX-License-Identifier: MIT
 *
 * tiles.c - products of bfloat16 numbers in tiles by an instruction set, and what rounds, splits and packs operands, for
 * matrix units too. See tiles.h.
 */
#include "isa.h"
#include "kern.h"
#include "tiles.h"

#include <string.h>

#include "vec.h"

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#define PAIRS ((size_t)16) /* in a row of a tile */
#define HIGH_HALF UINT32_C(0xffff0000)
#define EXPONENT UINT32_C(0x7f800000)

typedef uint16_t halves __attribute__((vector_size(VBYTES / 2), may_alias));

INLINE ivec pairs_at(const uint16_t *p) { return *(const ivec *)(const void *)p; }

/* Pair p of a row of A, in all lanes. */
INLINE ivec pair_of(const uint16_t *row, size_t p)
{
    uint32_t two;
    memcpy(&two, row + 2 * p, sizeof two);
    return (ivec){0} + two;
}

/* Which parts of A and B are multiplied, in the order of tiles.h. */
static const struct {
    size_t count;
    struct {
        uint8_t a, b;
    } of[6];
} products[] = {
    {0, {{0, 0}}},
    {1, {{0, 0}}},
    {3, {{0, 1}, {1, 0}, {0, 0}}},
    {6, {{0, 2}, {1, 1}, {2, 0}, {1, 0}, {0, 1}, {0, 0}}},
};

#ifdef KERN_CHAINS
#include "tiles_chains.h"
#else
#include "tiles_wide.h"
#endif

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* Of two times 16 numbers, those of the first and of the second in turn. */
#define IN_TURN                                                                                                        \
    {                                                                                                                  \
        0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,  \
            15, 31                                                                                                     \
    }

/* x and y rounded to bfloat16 numbers (to nearest even): x in the lower half, y in the upper. Denormals become zeros, NaN
 * stays NaN, whatever its bits. */
#ifdef KERN_NARROW
INLINE halves narrowed(vec x) { return (halves)_mm512_cvtneps_pbh((__m512)x); }
INLINE ivec both_rounded(vec x, vec y)
{
    static const _Alignas(64) uint16_t order[2 * PAIRS] = IN_TURN;
    return (ivec)_mm512_permutexvar_epi16(_mm512_load_si512(order),
                                          (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x));
}
#else
INLINE ivec rounded(vec x)
{
    ivec bits = (ivec)x, up = (bits >> 16 & 1) + 0x7fff, nan = (ivec)(x != x), tiny = (ivec)((bits & EXPONENT) == 0);
    ivec number = (bits + up) & ~(tiny & ~SIGN_MASK);
    return ((number & ~nan) | ((bits | 0x400000) & nan)) & HIGH_HALF;
}
INLINE halves narrowed(vec x) { return __builtin_convertvector(rounded(x) >> 16, halves); }
INLINE ivec both_rounded(vec x, vec y) { return rounded(x) >> 16 | rounded(y); }
#endif

/* Which of the numbers along k are in pair p, and the order of a row's numbers for that. */
#ifdef KERN_CHAINS
INLINE size_t lower_k(size_t p) { return p / 2 * 4 + p % 2 + 2; }
INLINE size_t upper_k(size_t p) { return p / 2 * 4 + p % 2; }
#if defined(KERN_AVX512)
#define IN_FOURS(x, order) ((halves)_mm256_shufflehi_epi16(_mm256_shufflelo_epi16((__m256i)(x), order), order))
INLINE halves paired(halves x) { return IN_FOURS(x, _MM_SHUFFLE(1, 3, 0, 2)); }
#else
INLINE halves paired(halves x) { return (halves){x[2], x[0], x[3], x[1]}; }
#endif
#else
INLINE size_t lower_k(size_t p) { return 2 * p; }
INLINE size_t upper_k(size_t p) { return 2 * p + 1; }
INLINE halves paired(halves x) { return x; }
#endif

/* The parts of numbers in half a row of a tile of A, or as many of them as a vector has. */
INLINE void half_row(uint16_t *to, vec x, const size_t parts)
{
    for (size_t part = 0; part < parts; part++, to += TILE_SIZE) {
        const halves most = narrowed(x);
        *(halves *)(void *)to = paired(most);
        if (parts > 1)
            x = x - (vec)(__builtin_convertvector(most, ivec) << 16);
    }
}

/* The same of two column blocks: both halves of a row. */
INLINE void whole_row(uint16_t *to, vec x, vec y, const size_t parts)
{
#if defined(KERN_NARROW) && !defined(KERN_CHAINS)
    if (parts == 1) {
        *(ivec *)(void *)to = (ivec)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x);
        return;
    }
#endif
    half_row(to, x, parts);
    half_row(to + TILE_SIDE, y, parts);
}

/* Row r in the first of its tiles. */
INLINE uint16_t *row_at(const kern_tile_rows *p, size_t r)
{
    return p->out + r / TILE_SIDE * p->out_group + r % TILE_SIDE * TILE_DEPTH;
}

INLINE void some_rows(const kern_tile_rows *p, const size_t parts)
{
    for (size_t r = 0; r < p->rows; r++) {
        const real *in = p->in + r * p->in_row;
        uint16_t *to = row_at(p, r);
        for (size_t left = p->blocks; left; left -= left > 1 ? 2 : 1, to += parts * TILE_SIZE, in += 2 * p->in_block)
            for (size_t i = 0; i < TILE_SIDE; i += VL)
                if (left > 1)
                    whole_row(to + i, v_load(in + i), v_load(in + p->in_block + i), parts);
                else
                    half_row(to + i, v_load(in + i), parts);
    }
}

static void rows(const kern_tile_rows *p)
{
    if (p->parts == 1)
        some_rows(p, 1);
    else
        some_rows(p, p->parts);
}

static void pairs(uint16_t *out, const real *const row[], size_t parts)
{
    for (size_t p = 0; p < PAIRS; p++)
        for (size_t i = 0; i < TILE_SIDE; i += VL) {
            uint16_t *to = out + 2 * (p * PAIRS + i);
            vec x = v_load(row[lower_k(p)] + i), y = v_load(row[upper_k(p)] + i);
            for (size_t part = 0; part < parts; part++, to += TILE_SIZE) {
                const ivec most = both_rounded(x, y);
                *(ivec *)(void *)to = most;
                if (parts > 1) {
                    x = x - (vec)(most << 16);
                    y = y - (vec)(most & HIGH_HALF);
                }
            }
        }
}

#if defined(KERN_AVX512)
/* Numbers of `lower` in the lower halves, in the order of k, those of `upper` in the upper ones. */
INLINE ivec both_halves(const uint16_t *lower, const uint16_t *upper)
{
#ifdef KERN_CHAINS
    static const _Alignas(64) uint16_t order[2 * PAIRS] = {1, 17, 3,  19, 0, 16, 2,  18, 5,  21, 7,  23, 4,  20, 6,  22,
                                                           9, 25, 11, 27, 8, 24, 10, 26, 13, 29, 15, 31, 12, 28, 14, 30};
#else
    static const _Alignas(64) uint16_t order[2 * PAIRS] = IN_TURN;
#endif
    const __m512i x = _mm512_castsi256_si512(*(const __m256i *)(const void *)lower);
    return (ivec)_mm512_permutexvar_epi16(_mm512_load_si512(order),
                                          _mm512_inserti64x4(x, *(const __m256i *)(const void *)upper, 1));
}
#else
#ifdef KERN_CHAINS
INLINE halves sorted(halves x) { return (halves){x[1], x[3], x[0], x[2]}; }
#else
INLINE halves sorted(halves x) { return x; }
#endif
INLINE ivec widened(const uint16_t *row)
{
    return __builtin_convertvector(sorted(*(const halves *)(const void *)row), ivec);
}
INLINE ivec both_halves(const uint16_t *lower, const uint16_t *upper) { return widened(lower) | widened(upper) << 16; }
#endif

static void weave(uint16_t *out, const uint16_t *const row[], size_t parts)
{
    for (size_t part = 0; part < parts; part++)
        for (size_t p = 0; p < PAIRS; p++)
            for (size_t i = 0; i < TILE_SIDE; i += VL) {
                const size_t at = part * TILE_SIZE + i;
                *(ivec *)(void *)(out + part * TILE_SIZE + 2 * (p * PAIRS + i)) =
                    both_halves(row[lower_k(p)] + at, row[upper_k(p)] + at);
            }
}

/* Columns c to c + 3 of 16 x 16 pairs are rows of `out`. They travel as floats, which are only moved. */
#if defined(KERN_AVX512)
/* Rows r, r + 4, r + 8, r + 12 of four columns. */
INLINE __m512 every_fourth(const float *in)
{
    __m512 x = _mm512_castps128_ps512(_mm_load_ps(in));
    x = _mm512_insertf32x4(x, _mm_load_ps(in + 4 * PAIRS), 1);
    x = _mm512_insertf32x4(x, _mm_load_ps(in + 8 * PAIRS), 2);
    return _mm512_insertf32x4(x, _mm_load_ps(in + 12 * PAIRS), 3);
}
INLINE __m512 joined_low(__m512 x, __m512 y)
{
    return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
}
INLINE __m512 joined_high(__m512 x, __m512 y)
{
    return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(x), _mm512_castps_pd(y)));
}
INLINE void turn_columns(float *out, const float *in)
{
    const __m512 a = every_fourth(in), b = every_fourth(in + PAIRS), c = every_fourth(in + 2 * PAIRS),
                 d = every_fourth(in + 3 * PAIRS);
    const __m512 ab = _mm512_unpacklo_ps(a, b), cd = _mm512_unpacklo_ps(c, d);
    const __m512 ab_high = _mm512_unpackhi_ps(a, b), cd_high = _mm512_unpackhi_ps(c, d);
    _mm512_store_ps(out, joined_low(ab, cd));
    _mm512_store_ps(out + PAIRS, joined_high(ab, cd));
    _mm512_store_ps(out + 2 * PAIRS, joined_low(ab_high, cd_high));
    _mm512_store_ps(out + 3 * PAIRS, joined_high(ab_high, cd_high));
}
#elif defined(__SSE__)
INLINE void turn_columns(float *out, const float *in)
{
    for (size_t r = 0; r < PAIRS; r += 4, in += 4 * PAIRS) {
        __m128 a = _mm_load_ps(in), b = _mm_load_ps(in + PAIRS), c = _mm_load_ps(in + 2 * PAIRS),
               d = _mm_load_ps(in + 3 * PAIRS);
        _MM_TRANSPOSE4_PS(a, b, c, d);
        _mm_store_ps(out + r, a);
        _mm_store_ps(out + PAIRS + r, b);
        _mm_store_ps(out + 2 * PAIRS + r, c);
        _mm_store_ps(out + 3 * PAIRS + r, d);
    }
}
#else
INLINE void turn_columns(float *out, const float *in)
{
    for (size_t r = 0; r < PAIRS; r++)
        for (size_t c = 0; c < 4; c++)
            memcpy(out + c * PAIRS + r, in + r * PAIRS + c, sizeof *out);
}
#endif

static void turn(uint16_t *out, const uint16_t *in, size_t parts)
{
    for (size_t part = 0; part < parts; part++, out += TILE_SIZE, in += TILE_SIZE)
        for (size_t c = 0; c < PAIRS; c += 4)
            turn_columns((void *)(out + 2 * c * PAIRS), (const void *)(in + 2 * c));
}

/* ---- cells ------------------------------------------------------------------------------------------------------- */

#define CELL_STATE(tiles, r, q, h) half_row(row_at(tiles, r) + (q), h, parts)
#define CELL_GRADIENTS(p, tiles, r, q, d)                                                                              \
    do {                                                                                                               \
        uint16_t *to_ = row_at(tiles, r) + (q);                                                                        \
        whole_row(to_, (d)[0], (d)[1], parts);                                                                         \
        whole_row(to_ + parts * TILE_SIZE, (d)[2], (d)[3], parts);                                                     \
    } while (0)
#include "cells.h"

static void lstm_forward(const kern_lstm_forward *p, const kern_tile_rows *tiles)
{
    switch (tiles->parts) {
    case 1: lstm_cells(p, tiles, 1, kern_tiles_mixed(1)); break;
    case 2: lstm_cells(p, tiles, 2, kern_tiles_mixed(2)); break;
    case 3: lstm_cells(p, tiles, 3, kern_tiles_mixed(3)); break;
    }
}

static void lstm_backward(const kern_lstm_backward *p, const kern_tile_rows *tiles)
{
    switch (tiles->parts) {
    case 1: lstm_cells_back(p, tiles, 1, kern_tiles_mixed(1)); break;
    case 2: lstm_cells_back(p, tiles, 2, kern_tiles_mixed(2)); break;
    case 3: lstm_cells_back(p, tiles, 3, kern_tiles_mixed(3)); break;
    }
}

const kern_tile_ops KERN_NAME(kern_tiles_) = {.product = product,
                                              .rows = rows,
                                              .pairs = pairs,
                                              .weave = weave,
                                              .turn = turn,
                                              .lstm_forward = lstm_forward,
                                              .lstm_backward = lstm_backward};
