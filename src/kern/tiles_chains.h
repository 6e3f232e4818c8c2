/* SPDX-License-Identifier: MIT
 *
 * tiles_chains.h - part of tiles.c: the product for processors that have VDPBF16PS (AVX512-BF16: Zen 4, Cooper Lake and
 * later). To a float it adds the product of two upper halves, then that of two lower ones, each as a fused multiply-add
 * does, and takes denormals for zeros. Of neighbours it would make one sum where the order of tiles.h wants a chain of
 * even k and one of odd k. But pairs of two k of the same chain, the earlier one above, are two steps of it in one
 * instruction: the bits are the same, at twice the speed of floats.
 */

/* Rows and column blocks whose sums are in registers together: eight vectors, and as many of each chain. */
enum { MOST_ROWS = 4, MOST_BLOCKS = 4, VECTORS = TILE_SIDE / VL };

#if defined(KERN_AVX512)
#define IN_REGISTERS UNROLL
INLINE vec two_steps(vec sum, ivec a, ivec b)
{
    return (vec)_mm512_dpbf16_ps((__m512)sum, (__m512bh)(__m512i)a, (__m512bh)(__m512i)b);
}
#else /* what the instruction does, to test the rest of this without it */
#define IN_REGISTERS
INLINE vec two_steps(vec sum, ivec a, ivec b)
{
    return v_fma((vec)(a << 16), (vec)(b << 16), v_fma((vec)(a & HIGH_HALF), (vec)(b & HIGH_HALF), sum));
}
#endif

typedef vec sums[MOST_ROWS][MOST_BLOCKS][VECTORS];

/* sum += A B of one tile each, for `rows` rows from the tile's row on and `blocks` blocks of columns; constants. */
INLINE void add_tile(sums sum, const uint16_t *a, const uint16_t *b, size_t b_block, const size_t rows,
                     const size_t blocks)
{
    sums even, odd;
    IN_REGISTERS for (size_t r = 0; r < rows; r++)
        IN_REGISTERS for (size_t j = 0; j < blocks; j++)
            IN_REGISTERS for (size_t i = 0; i < VECTORS; i++)
                even[r][j][i] = odd[r][j][i] = v_zero();
    IN_REGISTERS for (size_t p = 0; p < PAIRS; p += 2)
        IN_REGISTERS for (size_t r = 0; r < rows; r++)
            IN_REGISTERS for (size_t j = 0; j < blocks; j++)
                IN_REGISTERS for (size_t i = 0; i < VECTORS; i++)
                {
                    const uint16_t *pairs = b + j * b_block + 2 * (p * PAIRS + i * VL);
                    even[r][j][i] = two_steps(even[r][j][i], pair_of(a + r * TILE_DEPTH, p), pairs_at(pairs));
                    odd[r][j][i] =
                        two_steps(odd[r][j][i], pair_of(a + r * TILE_DEPTH, p + 1), pairs_at(pairs + TILE_DEPTH));
                }
    IN_REGISTERS for (size_t r = 0; r < rows; r++)
        IN_REGISTERS for (size_t j = 0; j < blocks; j++)
            IN_REGISTERS for (size_t i = 0; i < VECTORS; i++)
                sum[r][j][i] += even[r][j][i] + odd[r][j][i];
}

/* Rows r and following, which are in the same tile, and column blocks q and following, which are of the same four. */
INLINE void few_sums(const kern_tiles *p, size_t r, size_t q, const size_t rows, const size_t blocks)
{
    const size_t step = p->parts * TILE_SIZE;
    const uint16_t *a = p->a + r / TILE_SIDE * p->a_group + r % TILE_SIDE * TILE_DEPTH;
    const uint16_t *b = p->b + q * p->b_block;
    real *c = kern_tiles_column(p, q) + r * p->c_row;
    sums sum;
    IN_REGISTERS for (size_t m = 0; m < rows; m++)
        IN_REGISTERS for (size_t j = 0; j < blocks; j++)
            IN_REGISTERS for (size_t i = 0; i < VECTORS; i++)
                sum[m][j][i] = p->add ? v_load(c + m * p->c_row + j * p->c_block + i * VL) : v_zero();
    for (size_t k = 0; k < p->depth; k++, a += step, b += step)
        for (size_t i = 0; i < products[p->parts].count; i++)
            add_tile(sum, a + products[p->parts].of[i].a * TILE_SIZE, b + products[p->parts].of[i].b * TILE_SIZE,
                     p->b_block, rows, blocks);
    IN_REGISTERS for (size_t m = 0; m < rows; m++)
        IN_REGISTERS for (size_t j = 0; j < blocks; j++)
            IN_REGISTERS for (size_t i = 0; i < VECTORS; i++)
                v_store(c + m * p->c_row + j * p->c_block + i * VL, sum[m][j][i]);
}

#define ROWS(n, blocks)                                                                                                \
    for (; r + (n) <= p->rows; r += (n))                                                                               \
    few_sums(p, r, q, n, blocks)

/* All rows. Where there are few, more columns go together: the sums of a single chain would wait for each other. */
static void columns(const kern_tiles *p, size_t q, size_t blocks)
{
    size_t r = 0;
    switch (blocks) {
    case 4:
        ROWS(2, 4);
        ROWS(1, 4);
        break;
    case 2:
        ROWS(4, 2);
        ROWS(2, 2);
        ROWS(1, 2);
        break;
    case 1:
        ROWS(4, 1);
        ROWS(1, 1);
        break;
    }
}

static size_t blocks_at(const kern_tiles *p, size_t q)
{
    const size_t left = p->blocks - q, of_four = 4 - q % 4, most = left < of_four ? left : of_four;
    return most == 4 && p->rows < MOST_ROWS ? 4 : most >= 2 ? 2 : 1;
}

static void product(const kern_tiles *p)
{
    for (size_t q = 0, n; q < p->blocks; q += n) {
        n = blocks_at(p, q);
        columns(p, q, n);
    }
}
