/* SPDX-License-Identifier: MIT
 *
 * amx.c - products in tiles by a processor's matrix units (AMX-TILE, AMX-BF16). Compiled with the flags of these; what
 * is here, but for kern_amx_usable, may only be called where that has found them. See tiles.h.
 */
#define _GNU_SOURCE /* syscall */
#include "units.h"
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

static void begin(void)
{
    _Alignas(64) tile_config c = {.palette = 1};
    for (size_t i = 0; i < 8; i++) {
        c.row_bytes[i] = TILE_ROW;
        c.rows[i] = TILE_SIDE;
    }
    FROM_MEMORY;
    _tile_loadconfig(&c);
}

/* Threads that meet at a barrier see each other's streamed stores by its locked instruction; others by this fence. */
static void end(void)
{
    _tile_release();
    _mm_sfence();
}

#define TILE_FILE FROM_MEMORY
#define TILE_ZERO(i) _tile_zero(i)
#define TILE_LOAD(i, from, row) _tile_loadd(i, from, (row) * sizeof(float))
#define TILE_STORE(i, to, row) _tile_stored(i, to, (row) * sizeof(float))
#define TILE_KEEP(i, from) _tile_loadd(i, from, TILE_ROW)
#define TILE_PASS(i, from) _tile_stream_loadd(i, from, TILE_ROW)
#define TILE_DOT(i, a, b, rows) _tile_dpbf16ps(i, a, b)
#define AROUND_TILES INLINE
#include "tiles_product.h"

/* A tile of few rows takes the time of a whole one, and goes with others only as one. */
static void product(const kern_tiles *p)
{
    tiles_product(p, p->whole ? (p->rows + TILE_SIDE - 1) / TILE_SIDE * TILE_SIDE : p->rows);
}

kern_tile_ops kern_amx_tiles(const kern_tile_ops *packing)
{
    kern_tile_ops ops = *packing;
    ops.stream = true;
    ops.begin = begin;
    ops.end = end;
    ops.product = product;
    return ops;
}
