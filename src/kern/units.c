/* SPDX-License-Identifier: MIT
 *
 * units.c - do two ways to multiply in tiles give the same bits? Asked of a processor's units before their first use. See
 * units.h, tiles.h.
 */
#include "units.h"
#include "kern.h"
#include "tiles.h"

#include <string.h>

enum { ROWS = 37, BLOCKS = 3, DEPTH = 2, GROUPS = 3, K = DEPTH * TILE_DEPTH, COLUMNS = BLOCKS * TILE_SIDE };

typedef struct check {
    _Alignas(LSTM_LINE) real x[ROWS * K], y[K * COLUMNS];
    _Alignas(LSTM_LINE) uint16_t a[GROUPS * DEPTH * TILE_PARTS * TILE_SIZE], b[BLOCKS * DEPTH * TILE_PARTS * TILE_SIZE];
    _Alignas(LSTM_LINE) real c[2][ROWS * COLUMNS];
} check;

/* Numbers of any sign and size between 2^-30 and 2^9; one in seven so small that it or its products are denormal. */
static real some_number(uint32_t *random)
{
    *random = *random * UINT32_C(1664525) + UINT32_C(1013904223);
    const uint32_t some = *random >> 8, exponent = some % 7 == 0 ? some >> 10 & 63 : 97 + (some >> 10) % 40;
    const uint32_t bits = some << 31 | exponent << 23 | (*random * UINT32_C(2246822519)) >> 9;
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static void pack(check *k, const kern_tile_ops *ops, size_t parts)
{
    const size_t tile = parts * TILE_SIZE;
    memset(k->a, 0, sizeof k->a); /* rows beyond the last */
    ops->rows(&(kern_tile_rows){.rows = ROWS,
                                .blocks = K / TILE_SIDE,
                                .parts = parts,
                                .in = k->x,
                                .in_row = K,
                                .in_block = TILE_SIDE,
                                .out = k->a,
                                .out_group = DEPTH * tile});
    for (size_t i = 0; i < (size_t)BLOCKS * DEPTH; i++) {
        const real *row[TILE_DEPTH];
        for (size_t j = 0; j < TILE_DEPTH; j++)
            row[j] = k->y + (i % DEPTH * TILE_DEPTH + j) * COLUMNS + i / DEPTH * TILE_SIDE;
        ops->pairs(k->b + i * tile, row, parts);
    }
}

static void multiply(check *k, const kern_tile_ops *ops, size_t parts, real *c)
{
    const size_t step = DEPTH * parts * TILE_SIZE;
    pack(k, ops, parts);
    if (ops->begin)
        ops->begin();
    ops->product(&(kern_tiles){.rows = ROWS,
                               .blocks = BLOCKS,
                               .depth = DEPTH,
                               .parts = parts,
                               .a = k->a,
                               .b = k->b,
                               .a_group = step,
                               .b_block = step,
                               .c = c,
                               .c_row = COLUMNS,
                               .c_block = TILE_SIDE,
                               .add = parts == 2});
    if (ops->end)
        ops->end();
}

bool kern_tiles_agree(const kern_tile_ops *x, const kern_tile_ops *y)
{
    check k;
    uint32_t random = 1;
    bool same = true;
    for (size_t i = 0; i < sizeof k.x / sizeof *k.x; i++)
        k.x[i] = some_number(&random);
    for (size_t i = 0; i < sizeof k.y / sizeof *k.y; i++)
        k.y[i] = some_number(&random);
    memset(k.c, 0, sizeof k.c);
    for (size_t parts = 1; parts <= TILE_PARTS; parts++) {
        multiply(&k, x, parts, k.c[0]);
        multiply(&k, y, parts, k.c[1]);
        same = same && !memcmp(k.c[0], k.c[1], sizeof k.c[0]);
    }
    return same;
}

#ifdef LSTM_BF16_KERNEL
bool kern_avx512bf16_agrees(void) { return kern_tiles_agree(&kern_tiles_avx512bf16_f32, kern_select_f32()->tiles); }
#endif

#ifdef LSTM_AMX_KERNEL
const kern_tile_ops *kern_amx_packing(void)
{
    const kern_tile_ops *program = kern_select_f32()->tiles;
#ifdef LSTM_BF16_KERNEL
    if (program == &kern_tiles_avx512_f32 && __builtin_cpu_supports("avx512bf16"))
        return &kern_tiles_avx512narrow_f32;
#endif
    return program;
}

bool kern_amx_agrees(void)
{
    const kern_tile_ops units = kern_amx_tiles(kern_amx_packing());
    return kern_tiles_agree(&units, kern_select_f32()->tiles);
}
#endif
