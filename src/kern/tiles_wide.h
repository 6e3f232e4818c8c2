/* SPDX-License-Identifier: MIT
 *
 * tiles_wide.h - part of tiles.c: the product as a program. bfloat16 numbers are widened to floats, whose fused
 * multiply-adds in the order of tiles.h give the bits of the matrix units.
 */

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

/* Each of these is some hundred instructions, used in a hundred places of tiles_product.h. */
#define APART static __attribute__((noinline))

APART void widen(wide_tile *to, const uint16_t *from)
{
    for (size_t r = 0; r < TILE_SIDE; r++)
        for (size_t i = 0; i < PAIRS; i += VL) {
            ivec x = pairs_at(from + 2 * (r * PAIRS + i));
            v_store(&to->even[r][i], (vec)(x << 16));
            v_store(&to->odd[r][i], (vec)(x & HIGH_HALF));
        }
}

APART void load_sums(sum_tile *to, const real *from, size_t row)
{
    for (size_t r = 0; r < TILE_SIDE; r++)
        memcpy(to->at[r], from + r * row, sizeof to->at[r]);
}

APART void store_sums(const sum_tile *from, real *to, size_t row)
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

APART void dot(sum_tile *c, const wide_tile *a, const wide_tile *b, size_t rows)
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
#define AROUND_TILES static
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
        const ivec x = pair_of(a, k);
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

/* Row r of n blocks of columns, from q on, which are of the same four. */
INLINE void row_product(const kern_tiles *p, size_t r, size_t q, const size_t n)
{
    const uint16_t *a = p->a + r * TILE_DEPTH, *b = p->b + q * p->b_block;
    real *c = kern_tiles_column(p, q) + r * p->c_row;
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
        tiles_product(p, p->rows);
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
