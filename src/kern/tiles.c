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

/* x and y rounded to bfloat16 numbers (to nearest even): x in the lower half, y in the upper. Denormals become zeros, NaN
 * stays NaN, whatever its bits. */
#ifdef KERN_NARROW
INLINE halves narrowed(vec x) { return (halves)_mm512_cvtneps_pbh((__m512)x); }
INLINE ivec both_rounded(vec x, vec y)
{
    static const _Alignas(64) uint16_t order[2 * PAIRS] = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23,
                                                           8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
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

/* Which of the numbers along k are in pair p, and the order of a row's numbers for that; sorted() is its inverse. */
#ifdef KERN_CHAINS
INLINE size_t lower_k(size_t p) { return p / 2 * 4 + p % 2 + 2; }
INLINE size_t upper_k(size_t p) { return p / 2 * 4 + p % 2; }
#if defined(KERN_AVX512)
#define IN_FOURS(x, order) ((halves)_mm256_shufflehi_epi16(_mm256_shufflelo_epi16((__m256i)(x), order), order))
INLINE halves paired(halves x) { return IN_FOURS(x, _MM_SHUFFLE(1, 3, 0, 2)); }
INLINE halves sorted(halves x) { return IN_FOURS(x, _MM_SHUFFLE(2, 0, 3, 1)); }
#else
INLINE halves paired(halves x) { return (halves){x[2], x[0], x[3], x[1]}; }
INLINE halves sorted(halves x) { return (halves){x[1], x[3], x[0], x[2]}; }
#endif
#else
INLINE size_t lower_k(size_t p) { return 2 * p; }
INLINE size_t upper_k(size_t p) { return 2 * p + 1; }
INLINE halves paired(halves x) { return x; }
INLINE halves sorted(halves x) { return x; }
#endif

static void rows(uint16_t *out, size_t out_group, const real *in, size_t in_row, size_t rows, size_t parts)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < TILE_SIDE; i += VL) {
            uint16_t *to = out + r / TILE_SIDE * out_group + r % TILE_SIDE * TILE_DEPTH + i;
            vec x = v_load(in + r * in_row + i);
            for (size_t part = 0; part < parts; part++, to += TILE_SIZE) {
                const halves most = narrowed(x);
                *(halves *)(void *)to = paired(most);
                if (parts > 1)
                    x = x - (vec)(__builtin_convertvector(most, ivec) << 16);
            }
        }
}

static void pairs(uint16_t *out, const real *const row[], size_t parts)
{
    for (size_t p = 0; p < PAIRS; p++)
        for (size_t i = 0; i < TILE_SIDE; i += VL) {
            uint16_t *to = out + 2 * (p * PAIRS + i);
            vec x = row[lower_k(p)] ? v_load(row[lower_k(p)] + i) : v_zero();
            vec y = row[upper_k(p)] ? v_load(row[upper_k(p)] + i) : v_zero();
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

INLINE ivec widened(const uint16_t *row)
{
    return row ? __builtin_convertvector(sorted(*(const halves *)(const void *)row), ivec) : (ivec){0};
}

static void weave(uint16_t *out, const uint16_t *const row[], size_t parts)
{
    for (size_t p = 0; p < PAIRS; p++)
        for (size_t part = 0; part < parts; part++)
            for (size_t i = 0; i < TILE_SIDE; i += VL) {
                const size_t at = part * TILE_SIZE + i;
                const ivec lower = widened(row[lower_k(p)] ? row[lower_k(p)] + at : NULL);
                const ivec upper = widened(row[upper_k(p)] ? row[upper_k(p)] + at : NULL);
                *(ivec *)(void *)(out + part * TILE_SIZE + 2 * (p * PAIRS + i)) = lower | upper << 16;
            }
}

#if defined(__SSE__)
/* Four by four pairs. They travel as floats, which are only moved. */
INLINE void turn_four(float *out, const float *in)
{
    __m128 a = _mm_load_ps(in), b = _mm_load_ps(in + PAIRS), c = _mm_load_ps(in + 2 * PAIRS),
           d = _mm_load_ps(in + 3 * PAIRS);
    _MM_TRANSPOSE4_PS(a, b, c, d);
    _mm_store_ps(out, a);
    _mm_store_ps(out + PAIRS, b);
    _mm_store_ps(out + 2 * PAIRS, c);
    _mm_store_ps(out + 3 * PAIRS, d);
}
#else
INLINE void turn_four(float *out, const float *in)
{
    for (size_t r = 0; r < 4; r++)
        for (size_t c = 0; c < 4; c++)
            memcpy(out + c * PAIRS + r, in + r * PAIRS + c, sizeof *out);
}
#endif

static void turn(uint16_t *out, const uint16_t *in, size_t parts)
{
    for (size_t part = 0; part < parts; part++, out += TILE_SIZE, in += TILE_SIZE)
        for (size_t r = 0; r < PAIRS; r += 4)
            for (size_t c = 0; c < PAIRS; c += 4)
                turn_four((void *)(out + 2 * (c * PAIRS + r)), (const void *)(in + 2 * (r * PAIRS + c)));
}

const kern_tile_ops KERN_NAME(kern_tiles_) = {.product = product, .rows = rows, .pairs = pairs,
                                           .weave = weave, .turn = turn};
