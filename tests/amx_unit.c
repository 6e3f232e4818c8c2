/* SPDX-License-Identifier: MIT
 *
 * amx_unit.c - see amx_unit.h. Instructions and their encodings: Intel 64 and IA-32 Architectures Software Developer's
 * Manual, volume 2, AMX; the order of sums: as measured on processors that have the unit (src/kern/tiles.h).
 */
#define _GNU_SOURCE /* names of registers */
#include "amx_unit.h"

#if defined(__x86_64__) && defined(__linux__)
#include <math.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include "engine.h"

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

typedef struct tile {
    uint8_t row[ROWS][ROW_BYTES];
} tile;

typedef struct unit {
    tile tile[TILES];
    uint16_t row_bytes[TILES];
    uint8_t rows[TILES];
} unit;

static _Thread_local unit own;
static atomic_bool wrong;
static atomic_size_t dots;

/* ---- what the instructions do ------------------------------------------------------------------------------------ */

static void configure(const uint8_t *config)
{
    if (config[0] != 1)
        abort();
    for (int i = 0; i < TILES; i++) {
        memcpy(&own.row_bytes[i], config + 16 + 2 * i, 2);
        own.rows[i] = config[48 + i];
        if (own.row_bytes[i] > ROW_BYTES || own.rows[i] > ROWS)
            abort();
    }
    memset(own.tile, 0, sizeof own.tile);
}

static float part_of(const tile *t, int row, int at)
{
    uint16_t half;
    float x;

    memcpy(&half, &t->row[row][2 * at], sizeof half);
    const uint32_t bits = (uint32_t)half << 16;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* One number of C. */
static float sum_of(const tile *a, const tile *b, int m, int n, int pairs, float c)
{
    float even = 0, odd = 0;

    for (int k = 0; k < pairs; k++) {
        even = fmaf(part_of(a, m, 2 * k), part_of(b, k, 2 * n), even);
        odd = fmaf(part_of(a, m, 2 * k + 1), part_of(b, k, 2 * n + 1), odd);
    }
    return atomic_load(&wrong) ? (c + even) + odd : c + (even + odd);
}

static void dot(int c, int a, int b)
{
    for (int m = 0; m < own.rows[c]; m++)
        for (int n = 0; n < own.row_bytes[c] / 4; n++) {
            float sum;

            memcpy(&sum, &own.tile[c].row[m][4 * n], sizeof sum);
            sum = sum_of(&own.tile[a], &own.tile[b], m, n, own.row_bytes[a] / 4, sum);
            memcpy(&own.tile[c].row[m][4 * n], &sum, sizeof sum);
        }
    atomic_fetch_add(&dots, 1);
}

static void load(int t, const char *from, ptrdiff_t stride)
{
    for (int r = 0; r < own.rows[t]; r++)
        memcpy(own.tile[t].row[r], from + r * stride, own.row_bytes[t]);
}

static void store(int t, char *to, ptrdiff_t stride)
{
    for (int r = 0; r < own.rows[t]; r++)
        memcpy(to + r * stride, own.tile[t].row[r], own.row_bytes[t]);
}

/* ---- reading them ------------------------------------------------------------------------------------------------ */

typedef struct instruction {
    unsigned opcode, prefix, reg, rm, vvvv; /* prefix: 0 none, 1 66, 2 F3, 3 F2 */
    bool memory;
    char *address;    /* without the stride */
    ptrdiff_t stride; /* of the index register, for rows */
    size_t length;
} instruction;

static int64_t register_value(const ucontext_t *c, unsigned number)
{
    static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

    return c->uc_mcontext.gregs[order[number]];
}

static int32_t displacement(const uint8_t **at, unsigned bytes)
{
    int32_t value = 0;

    if (bytes == 1)
        value = (int8_t)**at;
    else if (bytes == 4)
        memcpy(&value, *at, 4);
    *at += bytes;
    return value;
}

/* ModRM with memory, and what follows it. high: bits 3 of base (1) and index (2). */
static void read_memory(instruction *i, const uint8_t *at, const uint8_t *start, unsigned mod, unsigned high,
                        const ucontext_t *c)
{
    unsigned bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    const bool sib = i->rm == 4;
    unsigned base = i->rm;

    if (sib) {
        const unsigned byte = *at++, index = (byte >> 3 & 7) | (high & 2) << 2;

        base = byte & 7;
        if (index != 4)
            i->stride = (ptrdiff_t)((uint64_t)register_value(c, index) << (byte >> 6));
    }
    const bool based = mod != 0 || base != 5;

    if (!based)
        bytes = 4;
    int64_t address = displacement(&at, bytes);

    i->length = (size_t)(at - start);
    if (based)
        address += register_value(c, base | (high & 1) << 3);
    else if (!sib)
        address += (int64_t)(intptr_t)at; /* relative to the next instruction */
    i->address = (char *)(intptr_t)address;
}

/* False when it is none of the unit's: VEX.128.0F38.W0 opcode. */
static bool read_instruction(instruction *i, const ucontext_t *c)
{
    const uint8_t *start = (const uint8_t *)(intptr_t)c->uc_mcontext.gregs[REG_RIP];

    if (start[0] != 0xc4 || (start[1] & 0x1f) != 2 || start[2] & 0x84)
        return false;
    const unsigned high = (~start[1] >> 5 & 1) | (~start[1] >> 6 & 1) << 1, mod = start[4] >> 6;

    *i = (instruction){.opcode = start[3], .prefix = start[2] & 3, .reg = start[4] >> 3 & 7, .rm = start[4] & 7};
    i->vvvv = ~(unsigned)start[2] >> 3 & 15;
    i->memory = mod != 3;
    i->length = 5;
    if (i->memory)
        read_memory(i, start + 5, start, mod, high, c);
    return true;
}

static bool carry_out(const instruction *i)
{
    if (i->opcode == 0x49 && i->prefix == 0 && i->memory)
        configure((const uint8_t *)i->address);
    else if (i->opcode == 0x49 && i->prefix == 0)
        memset(&own, 0, sizeof own);
    else if (i->opcode == 0x49 && i->prefix == 3 && !i->memory)
        memset(&own.tile[i->reg], 0, sizeof own.tile[0]);
    else if (i->opcode == 0x4b && (i->prefix == 3 || i->prefix == 1) && i->memory) /* with a hint: 1 */
        load((int)i->reg, i->address, i->stride);
    else if (i->opcode == 0x4b && i->prefix == 2 && i->memory)
        store((int)i->reg, i->address, i->stride);
    else if (i->opcode == 0x5c && i->prefix == 2 && !i->memory)
        dot((int)i->reg, (int)i->rm, (int)i->vvvv);
    else
        return false;
    return true;
}

static void on_illegal(int signal, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    instruction i;

    (void)signal;
    (void)info;
    lstm_denormals_flush(); /* the unit does, always; the interrupted program gets its own mode back */
    if (!read_instruction(&i, c) || !carry_out(&i))
        abort();
    c->uc_mcontext.gregs[REG_RIP] += (long long)i.length;
}

void amx_unit_install(void)
{
    struct sigaction action = {.sa_sigaction = on_illegal, .sa_flags = SA_SIGINFO | SA_NODEFER};

    sigemptyset(&action.sa_mask);
    if (sigaction(SIGILL, &action, NULL))
        abort();
}

void amx_unit_spoil(bool spoilt) { atomic_store(&wrong, spoilt); }
size_t amx_unit_dots(void) { return atomic_load(&dots); }
#else
void amx_unit_install(void) {}
void amx_unit_spoil(bool spoilt) { (void)spoilt; }
size_t amx_unit_dots(void) { return 0; }
#endif
