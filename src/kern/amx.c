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

/* ---- what is read soon after ------------------------------------------------------------------------------------- */

/* While units multiply, what the next cells read comes from memory: otherwise a backward pass waits for memory and for the
 * units in turn. (Measured with 128 units, 50 rows: cells that go back take 0.9 of 1.7 ms, products 0.4 ms more.) */

/* Lines that are still to be fetched: `left` of run `run` from `at` on, then those of later runs, and of later aheads. */
typedef struct fetch {
    const kern_ahead *ahead;
    size_t run, left;
    const char *at;
    size_t each; /* in a step of a product */
} fetch;

static void begin_run(fetch *f)
{
    f->left = f->ahead->lines;
    f->at = (const char *)(f->ahead->at + f->run * f->ahead->step);
}

static void next_run(fetch *f)
{
    if (++f->run == f->ahead->runs) {
        f->run = 0;
        f->ahead++;
    }
    begin_run(f);
}

/* All of it in `steps` steps. */
static fetch fetch_in(const kern_ahead *ahead, size_t steps)
{
    fetch f = {.ahead = ahead};
    size_t lines = 0;
    for (; ahead && ahead->lines; ahead++)
        lines += ahead->lines * ahead->runs;
    if (lines == 0)
        return f;
    f.each = (lines + steps - 1) / steps;
    begin_run(&f);
    return f;
}

/* To the second cache: the first one does not hold it. */
static void fetch_some(fetch *f)
{
    for (size_t n = f->each; n && f->left;) {
        const size_t now = n < f->left ? n : f->left;
        for (size_t i = 0; i < now; i++, f->at += LSTM_LINE)
            _mm_prefetch(f->at, _MM_HINT_T1);
        n -= now;
        f->left -= now;
        if (f->left == 0)
            next_run(f);
    }
}

#define TILE_FILE FROM_MEMORY
#define TILE_ZERO(i) _tile_zero(i)
#define TILE_LOAD(i, from, row) _tile_loadd(i, from, (row) * sizeof(float))
#define TILE_STORE(i, to, row) _tile_stored(i, to, (row) * sizeof(float))
#define TILE_KEEP(i, from) _tile_loadd(i, from, TILE_ROW)
#define TILE_PASS(i, from) _tile_stream_loadd(i, from, TILE_ROW)
#define TILE_DOT(i, a, b, rows) _tile_dpbf16ps(i, a, b)
#define TILE_FETCH(f)                                                                                                  \
    do {                                                                                                               \
        if ((f)->left)                                                                                                 \
            fetch_some(f);                                                                                             \
    } while (0)
#include "tiles_product.h"

/* A tile of few rows takes the time of a whole one, and goes with others only as one. */
static void product(const kern_tiles *p)
{
    kern_tiles all = *p;
    const size_t groups = (p->rows + TILE_SIDE - 1) / TILE_SIDE;
    fetch f = fetch_in(p->ahead, (groups + 1) / 2 * ((p->blocks + 1) / 2) * p->depth);
    if (p->whole)
        all.rows = groups * TILE_SIDE;
    tiles_product(&all, &f);
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
