/* SPDX-License-Identifier: MIT
 *
 * tiles.c - tiles as a program, for each instruction set: bfloat16 numbers are widened to floats, whose fused
 * multiply-adds in the order of the matrix units give their bits. And what rounds, splits and packs operands, for those
 * units too. See tiles.h.
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

typedef uint16_t halves __attribute__((vector_size(VBYTES / 2), may_alias));

INLINE ivec pairs_at(const uint16_t *p) { return *(const ivec *)(const void *)p; }

/* ---- tiles ------------------------------------------------------------------------------------------------------- */

/* Even and odd k apart, as floats. of A: [row][pair]; of B: [pair][column]. */
typedef struct wide_tile {
    _Alignas(64) real even[TILE_SIDE][PAIRS], odd[TILE_SIDE][PAIRS];
} wide_tile;

typedef struct sum_tile {
    _Alignas(64) real at[TILE_SIDE][TILE_SIDE];
} sum_tile;

typedef struct tile_file {
    sum_tile c[4];
    wide_tile ab[4];
} tile_file;

INLINE void widen(wide_tile *to, const uint16_t *from)
{
    for (size_t r = 0; r < TILE_SIDE; r++)
        for (size_t i = 0; i < PAIRS; i += VL) {
            ivec x = pairs_at(from + 2 * (r * PAIRS + i));
            v_store(&to->even[r][i], (vec)(x << 16));
            v_store(&to->odd[r][i], (vec)(x & HIGH_HALF));
        }
}

INLINE void load_sums(sum_tile *to, const real *from, size_t row)
{
    for (size_t r = 0; r < TILE_SIDE; r++)
        memcpy(to->at[r], from + r * row, sizeof to->at[r]);
}

INLINE void store_sums(const sum_tile *from, real *to, size_t row)
{
    for (size_t r = 0; r < TILE_SIDE; r++)
        memcpy(to + r * row, from->at[r], sizeof from->at[r]);
}

/* Rows whose sums are in registers together: eight vectors of sums hide the latency of the additions. */
#define VECTORS (TILE_SIDE / VL)
#define ROWS (8 / VECTORS)

INLINE void chain(vec sum[ROWS][VECTORS], const real a[][PAIRS], const real b[][PAIRS])
{
    UNROLL for (size_t r = 0; r < ROWS; r++)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
            sum[r][i] = v_zero();
    for (size_t k = 0; k < PAIRS; k++) {
        vec bv[VECTORS];
        UNROLL for (size_t i = 0; i < VECTORS; i++) bv[i] = v_load(&b[k][i * VL]);
        UNROLL for (size_t r = 0; r < ROWS; r++)
        {
            vec x = v_set(a[r][k]);
            UNROLL for (size_t i = 0; i < VECTORS; i++) sum[r][i] = v_fma(x, bv[i], sum[r][i]);
        }
    }
}

static void dot(sum_tile *c, const wide_tile *a, const wide_tile *b, size_t rows)
{
    for (size_t r = 0; r < rows; r += ROWS) { /* rows beyond the last are zeros */
        vec even[ROWS][VECTORS], odd[ROWS][VECTORS];
        chain(even, a->even + r, b->even);
        chain(odd, a->odd + r, b->odd);
        UNROLL for (size_t j = 0; j < ROWS; j++)
            UNROLL for (size_t i = 0; i < VECTORS; i++)
            {
                real *at = &c->at[r + j][i * VL];
                v_store(at, v_load(at) + (even[j][i] + odd[j][i]));
            }
    }
}

#define TILE_FILE tile_file file
#define TILE_ZERO(i) memset(&file.c[i], 0, sizeof file.c[i])
#define TILE_LOAD(i, from, row) load_sums(&file.c[i], from, row)
#define TILE_STORE(i, to, row) store_sums(&file.c[i], to, row)
#define TILE_KEEP(i, from) widen(&file.ab[(i) - 4], from)
#define TILE_PASS(i, from) widen(&file.ab[(i) - 4], from)
#define TILE_DOT(i, a, b, rows) dot(&file.c[i], &file.ab[(a) - 4], &file.ab[(b) - 4], rows)
#include "tiles_product.h"

/* ---- few rows ---------------------------------------------------------------------------------------------------- */

/* Tiles of B beside each other whose sums are in registers together: again eight vectors. */
#define ABREAST (4 / VECTORS)

/* One row of A in a tile, and n tiles of B: nothing is widened to memory, so that weights pass as fast as they come. */
INLINE void row_dot(vec sum[ABREAST][VECTORS], const uint16_t *a, const uint16_t *b, size_t b_block, const size_t n)
{
    vec even[ABREAST][VECTORS], odd[ABREAST][VECTORS];
    UNROLL for (size_t j = 0; j < n; j++)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
            even[j][i] = odd[j][i] = v_zero();
    for (size_t k = 0; k < PAIRS; k++) {
        uint32_t two;
        memcpy(&two, a + 2 * k, sizeof two);
        const ivec x = (ivec){0} + two;
        UNROLL for (size_t j = 0; j < n; j++)
            UNROLL for (size_t i = 0; i < VECTORS; i++)
            {
                const ivec w = pairs_at(b + j * b_block + 2 * (k * PAIRS + i * VL));
                even[j][i] = v_fma((vec)(x << 16), (vec)(w << 16), even[j][i]);
                odd[j][i] = v_fma((vec)(x & HIGH_HALF), (vec)(w & HIGH_HALF), odd[j][i]);
            }
    }
    UNROLL for (size_t j = 0; j < n; j++)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
            sum[j][i] += even[j][i] + odd[j][i];
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

/* Row r of n blocks of columns, from q on, which are of the same four. */
INLINE void row_product(const kern_tiles *p, size_t r, size_t q, const size_t n)
{
    const uint16_t *a = p->a + r * TILE_DEPTH, *b = p->b + q * p->b_block;
    real *c = column_block(p, q) + r * p->c_row;
    vec sum[ABREAST][VECTORS];
    UNROLL for (size_t j = 0; j < n; j++)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
            sum[j][i] = p->add ? v_load(c + j * p->c_block + i * VL) : v_zero();
    for (size_t k = 0; k < p->depth; k++, a += p->parts * TILE_SIZE, b += p->parts * TILE_SIZE)
        for (size_t i = 0; i < products[p->parts].count; i++)
            row_dot(sum, a + products[p->parts].of[i].a * TILE_SIZE, b + products[p->parts].of[i].b * TILE_SIZE,
                    p->b_block, n);
    UNROLL for (size_t j = 0; j < n; j++)
        UNROLL for (size_t i = 0; i < VECTORS; i++)
            v_store(c + j * p->c_block + i * VL, sum[j][i]);
}

static void product(const kern_tiles *p)
{
    if (p->rows >= ROWS) {
        tiles_product(p);
        return;
    }
    for (size_t q = 0, n; q < p->blocks; q += n) {
        n = q % ABREAST == 0 && q + ABREAST <= p->blocks ? ABREAST : 1;
        for (size_t r = 0; r < p->rows; r++)
            if (n == ABREAST)
                row_product(p, r, q, ABREAST);
            else
                row_product(p, r, q, 1);
    }
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* The bits of x rounded to a bfloat16 (to nearest even), in the upper half. NaN stays NaN, whatever its bits. */
INLINE ivec rounded(vec x)
{
    ivec bits = (ivec)x, up = (bits >> 16 & 1) + 0x7fff, nan = (ivec)(x != x);
    return ((bits + up) & ~nan & HIGH_HALF) | ((bits | 0x400000) & nan & HIGH_HALF);
}

static void rows(uint16_t *out, size_t out_group, const real *in, size_t in_row, size_t rows, size_t parts)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < TILE_SIDE; i += VL) {
            uint16_t *to = out + r / TILE_SIDE * out_group + r % TILE_SIDE * TILE_DEPTH + i;
            vec x = v_load(in + r * in_row + i);
            for (size_t part = 0; part < parts; part++, to += TILE_SIZE) {
                ivec bits = rounded(x);
                *(halves *)(void *)to = __builtin_convertvector(bits >> 16, halves);
                x = x - (vec)bits;
            }
        }
}

static void pairs(uint16_t *out, const real *const row[], size_t parts)
{
    for (size_t p = 0; p < PAIRS; p++)
        for (size_t i = 0; i < TILE_SIDE; i += VL) {
            uint16_t *to = out + 2 * (p * PAIRS + i);
            vec x = row[2 * p] ? v_load(row[2 * p] + i) : v_zero();
            vec y = row[2 * p + 1] ? v_load(row[2 * p + 1] + i) : v_zero();
            for (size_t part = 0; part < parts; part++, to += TILE_SIZE) {
                ivec a = rounded(x), b = rounded(y);
                *(ivec *)(void *)to = a >> 16 | b;
                x = x - (vec)a;
                y = y - (vec)b;
            }
        }
}

INLINE ivec widened(const uint16_t *row)
{
    return row ? __builtin_convertvector(*(const halves *)(const void *)row, ivec) : (ivec){0};
}

static void weave(uint16_t *out, const uint16_t *const row[], size_t parts)
{
    for (size_t p = 0; p < PAIRS; p++)
        for (size_t part = 0; part < parts; part++)
            for (size_t i = 0; i < TILE_SIDE; i += VL) {
                const size_t at = part * TILE_SIZE + i;
                const ivec even = widened(row[2 * p] ? row[2 * p] + at : NULL);
                const ivec odd = widened(row[2 * p + 1] ? row[2 * p + 1] + at : NULL);
                *(ivec *)(void *)(out + part * TILE_SIZE + 2 * (p * PAIRS + i)) = even | odd << 16;
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

extern const kern_tile_ops KERN_NAME(kern_tiles_);
const kern_tile_ops KERN_NAME(kern_tiles_) = {.product = product, .rows = rows, .pairs = pairs,
                                           .weave = weave, .turn = turn};
