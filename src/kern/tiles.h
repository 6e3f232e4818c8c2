/* SPDX-License-Identifier: MIT
 *
 * tiles.h - products of matrices whose operands are bfloat16 numbers in tiles, added up in float: what the matrix units
 * (AMX) of some processors do. One body (tiles_product.h) is compiled for those units (amx.c) and, as a program, for
 * each instruction set (tiles_wide.h); another one (tiles_chains.h) for AVX512-BF16, whose instructions get the same
 * order of sums from tiles that are packed in another order. All of them give the same bits.
 *
 * A number x is the sum of `parts` bfloat16 numbers: x0 = x rounded to 8 bits (to nearest even), x1 = x - x0 rounded,
 * x2 = what then remains, rounded. One part is mixed precision; two keep 16 bits, three all 24. A product of two such
 * sums leaves out what is smaller than the last part, and adds small ones first:
 *
 *     1 part   x0 y0                                                    bf16
 *     2 parts  x0 y1 + x1 y0 + x0 y0                                    bf16x3
 *     3 parts  x0 y2 + x1 y1 + x2 y0 + x1 y0 + x0 y1 + x0 y0            bf16x6
 *
 * (Splitting floats so: Henry, Tang & Heinecke 2019, "Leveraging the bfloat16 artificial intelligence datatype for
 * higher-precision computations".) The order of all sums, for each number of C: for each 32 steps of k, from 0 on, and
 * in them for each of the products above: one chain of fused multiply-adds over the even k, from zero, and one over the
 * odd k; their sum (this is TDPBF16PS), which is added to C. Denormals are zeros. So bits depend on the shape alone.
 *
 * A tile has 16 rows of 64 bytes:
 *     of A   row r: 32 numbers, A[r][k] for 32 steps of k
 *     of B   row p: 16 pairs, (B[2p][n], B[2p+1][n]) for 16 columns n
 * Tiles of an operand lie as [16 rows of A, or columns of B][32 steps of k][part][512 numbers]; what is beyond the
 * operand's edge is zero. A tile of A, taken as 16 x 16 pairs and transposed, is one of B for the transposed matrix.
 *
 * Tiles for chains have k, k+1, k+2, k+3 in the order k+2, k, k+3, k+1 (k a multiple of 4). So tiles are only for the
 * operations that packed them.
 */
#ifndef LSTM_TILES_H
#define LSTM_TILES_H

#include <stdbool.h>
#include <stdint.h>

#include "../real.h"
#include "kern.h"

/* C[r][n] (+)= sum over k of A[r][k] B[k][n];  r < rows, n < blocks*16.
 * a, b: the first tiles; a_group: numbers from 16 rows of A to the next, b_block: from 16 columns of B to the next.
 * Column block q of C lies at q/4*c_panel + q%4*c_block, row r at r*c_row; c is aligned as all arrays are. */
typedef struct kern_tiles {
    size_t rows, blocks;
    size_t depth; /* tiles along k */
    size_t parts;
    const uint16_t *a, *b;
    size_t a_group, b_block;
    real *c;
    size_t c_row, c_block, c_panel;
    bool add; /* start from what C holds rather than from zero */
    bool whole; /* C has room for 16 rows of the last group, and nobody minds what is in those beyond `rows` */
} kern_tiles;

/* Column block q of C. */
static inline real *kern_tiles_column(const kern_tiles *p, size_t q)
{
    return p->c + q / 4 * p->c_panel + q % 4 * p->c_block;
}

/* Column blocks of 16 of some rows into tiles of A: two to a tile, from its left half at `out` on; a single one into its
 * right half at out + 16, too. out_group: numbers from 16 rows to the next. */
typedef struct kern_tile_rows {
    size_t rows, blocks, parts;
    const real *in;
    size_t in_row, in_block;
    uint16_t *out;
    size_t out_group;
} kern_tile_rows;

/* Whether products of so many parts are so much less exact than floats that a cell's non-linearities need not be as exact
 * (kern_lstm_forward.mixed). */
static inline bool kern_tiles_mixed(size_t parts) { return parts < TILE_PARTS; }

typedef struct kern_tile_ops {
    void (*begin)(void), (*end)(void); /* in each thread, around products; NULL: nothing to do */
    /* What is not read soon is better stored past the caches, and what is read soon better fetched before: products take
     * so little time that the rest waits for memory. (With matrix units and 128 units of a layer 5 % of a step each.) */
    bool stream;
    void (*product)(const kern_tiles *p);
    void (*rows)(const kern_tile_rows *p);
    /* 32 rows of 16 numbers into a tile of B. */
    void (*pairs)(uint16_t *out, const real *const row[], size_t parts);
    /* The same from rows that are already in tiles of A: 16 numbers of each, and of each of its parts. */
    void (*weave)(uint16_t *out, const uint16_t *const row[], size_t parts);
    /* The tile (of `parts` parts) as 16 x 16 pairs, transposed. */
    void (*turn)(uint16_t *out, const uint16_t *in, size_t parts);
    /* The cells of kern.h, whose h, or dz, become tiles, too, as by `rows` (in and its steps are not looked at): h as one
     * column block; dz as the four of i, f, g, o, and only so. */
    void (*lstm_forward)(const kern_lstm_forward *p, const kern_tile_rows *tiles);
    void (*lstm_backward)(const kern_lstm_backward *p, const kern_tile_rows *tiles);
} kern_tile_ops;

#if LSTM_REAL == 32
extern const kern_tile_ops kern_tiles_avx512_f32;
/* Where the processor has AVX512-BF16: by its products; the program that packs by its conversions. */
extern const kern_tile_ops kern_tiles_avx512bf16_f32, kern_tiles_avx512narrow_f32;
/* By matrix units, where units.h has found them; `packing` packs for them. */
kern_tile_ops kern_amx_tiles(const kern_tile_ops *packing);
/* Whether two give the same bits: a short check, with denormals, in a thread that flushes them. */
bool kern_tiles_agree(const kern_tile_ops *x, const kern_tile_ops *y);
#endif

#endif
