/* SPDX-License-Identifier: MIT
 *
 * amx.c - products in tiles by a processor's matrix units (AMX-TILE, AMX-BF16). Compiled with the flags of these; what
 * is here, but for kern_amx_usable, may only be called where that has found them. See tiles.h.
 */
#define _GNU_SOURCE /* syscall */
#include "amx.h"
#include "kern.h"
#include "tiles.h"

#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define INLINE static inline __attribute__((always_inline))
/* Compilers do not all know that a tile is loaded from memory. */
#define FROM_MEMORY __asm__ volatile("" ::: "memory")

/* ---- are they there? --------------------------------------------------------------------------------------------- */

#define OSXSAVE (1u << 27)            /* CPUID 1, ecx */
#define BF16_AND_TILE (1u << 22 | 1u << 24) /* CPUID 7.0, edx */
#define TILE_STATE (3u << 17)         /* XCR0: configuration and data of tiles */
#define REQUEST_PERMISSION 0x1023     /* arch_prctl: ARCH_REQ_XCOMP_PERM, Linux 5.16 */
#define TILE_DATA 18

static unsigned system_saves(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

bool kern_amx_usable(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE) || (system_saves() & TILE_STATE) != TILE_STATE)
        return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & BF16_AND_TILE) != BF16_AND_TILE)
        return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* ---- the product ------------------------------------------------------------------------------------------------- */

#define TILE_ROW (TILE_DEPTH * sizeof(uint16_t)) /* bytes */

/* LDTILECFG's operand: palette 1, all eight tiles 16 rows of 64 bytes. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

void kern_amx_begin(void)
{
    _Alignas(64) tile_config c = {.palette = 1};
    for (size_t i = 0; i < 8; i++) {
        c.row_bytes[i] = TILE_ROW;
        c.rows[i] = TILE_SIDE;
    }
    FROM_MEMORY;
    _tile_loadconfig(&c);
}

void kern_amx_end(void) { _tile_release(); }

#define TILE_FILE FROM_MEMORY
#define TILE_ZERO(i) _tile_zero(i)
#define TILE_LOAD(i, from, row) _tile_loadd(i, from, (row) * sizeof(float))
#define TILE_STORE(i, to, row) _tile_stored(i, to, (row) * sizeof(float))
#define TILE_KEEP(i, from) _tile_loadd(i, from, TILE_ROW)
#define TILE_PASS(i, from) _tile_stream_loadd(i, from, TILE_ROW)
#define TILE_DOT(i, a, b, rows) _tile_dpbf16ps(i, a, b)
#include "tiles_product.h"

void kern_amx_product(const kern_tiles *p) { tiles_product(p); }

/* ---- do they compute what they should? --------------------------------------------------------------------------- */

enum { CHECK_ROWS = 37, CHECK_BLOCKS = 3, CHECK_DEPTH = 2, CHECK_GROUPS = 3 };

typedef struct check {
    _Alignas(64) uint16_t a[CHECK_GROUPS * CHECK_DEPTH * TILE_PARTS * TILE_SIZE];
    _Alignas(64) uint16_t b[CHECK_BLOCKS * CHECK_DEPTH * TILE_PARTS * TILE_SIZE];
    _Alignas(64) real c[2][CHECK_ROWS][CHECK_BLOCKS * TILE_SIDE];
} check;

/* Numbers of any sign and size between 2^-30 and 2^9; one in seven so small that it or its products are denormal. */
static uint16_t some_number(uint32_t *random)
{
    *random = *random * UINT32_C(1664525) + UINT32_C(1013904223);
    const uint32_t bits = *random >> 8, exponent = bits % 7 == 0 ? bits >> 10 & 63 : 97 + (bits >> 10) % 40;
    return (uint16_t)((bits & 1) << 15 | exponent << 7 | (bits >> 16 & 0x7f));
}

static void check_product(check *k, size_t which, size_t parts, void (*product)(const kern_tiles *p))
{
    const size_t step = CHECK_DEPTH * parts * TILE_SIZE, row = CHECK_BLOCKS * TILE_SIDE;
    product(&(kern_tiles){.rows = CHECK_ROWS,
                          .blocks = CHECK_BLOCKS,
                          .depth = CHECK_DEPTH,
                          .parts = parts,
                          .a = k->a,
                          .b = k->b,
                          .a_group = step,
                          .b_block = step,
                          .c = k->c[which][0],
                          .c_row = row,
                          .c_block = TILE_SIDE,
                          .add = parts == 2});
}

bool kern_amx_agrees(void)
{
    check k;
    uint32_t random = 1;
    bool same = true;
    for (size_t i = 0; i < sizeof k.a / sizeof *k.a; i++)
        k.a[i] = some_number(&random);
    for (size_t i = 0; i < sizeof k.b / sizeof *k.b; i++)
        k.b[i] = some_number(&random);
    kern_amx_begin();
    for (size_t parts = 1; parts <= TILE_PARTS; parts++) {
        check_product(&k, 0, parts, kern_select_f32()->tiles->product);
        check_product(&k, 1, parts, kern_amx_product);
        same = same && !memcmp(k.c[0], k.c[1], sizeof k.c[0]);
    }
    kern_amx_end();
    return same;
}
