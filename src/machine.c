/* SPDX-License-Identifier: MIT
 *
 * machine.c - what this processor can do, how many threads, denormals.
 */
#include "engine.h"

#include <stdlib.h>
#include <string.h>

#ifdef LSTM_AMX_KERNEL
#include "kern/amx.h"
#endif

#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const char *const isa_names[] = {"scalar", "avx2", "avx512"};

#ifdef LSTM_X86_KERNELS
/* __builtin_cpu_supports also asks whether the system saves the wide registers (XGETBV). */
static lstm_isa best_isa(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return LSTM_ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return LSTM_ISA_AVX2;
    return LSTM_ISA_SCALAR;
}
#else
static lstm_isa best_isa(void) { return LSTM_ISA_SCALAR; }
#endif

lstm_isa lstm_machine_isa(lstm_error *err)
{
    const char *wish = getenv("LSTM_KERNEL");
    const lstm_isa best = best_isa();
    if (!wish || !*wish)
        return best;
    for (int i = 0; i <= (int)LSTM_ISA_AVX512; i++)
        if (!strcmp(wish, isa_names[i])) {
            if (i <= (int)best)
                return (lstm_isa)i;
            lstm_fail(err, "", "LSTM_KERNEL=%s: this machine can do %s at best", wish, isa_names[best]);
            return LSTM_ISA_UNKNOWN;
        }
    lstm_fail(err, "", "LSTM_KERNEL=%.32s: unknown; expected scalar, avx2 or avx512", wish);
    return LSTM_ISA_UNKNOWN;
}

const char *lstm_kernel(void)
{
    const lstm_isa isa = lstm_machine_isa(NULL);
    return isa_names[isa == LSTM_ISA_UNKNOWN ? best_isa() : isa];
}

/* ---- products in tiles ------------------------------------------------------------------------------------------- */

static const char *const unit_names[] = {"software", "amx"};

typedef enum amx_state { AMX_UNKNOWN, AMX_MISSING, AMX_WRONG, AMX_GOOD } amx_state;

/* Asked once: the answers of threads that ask at the same time are the same. */
static amx_state amx(void)
{
#ifdef LSTM_AMX_KERNEL
    static atomic_int known = AMX_UNKNOWN;
    int state = atomic_load(&known);
    if (state == AMX_UNKNOWN) {
        const unsigned saved = lstm_denormals_flush();
        state = !kern_amx_usable() ? AMX_MISSING : kern_amx_agrees() ? AMX_GOOD : AMX_WRONG;
        lstm_denormals_restore(saved);
        atomic_store(&known, state);
    }
    return (amx_state)state;
#else
    return AMX_MISSING;
#endif
}

lstm_tile_unit lstm_machine_tiles(lstm_error *err)
{
    const char *wish = getenv("LSTM_TILES");
    if (!wish || !*wish)
        return amx() == AMX_GOOD ? LSTM_TILES_AMX : LSTM_TILES_SOFTWARE;
    if (!strcmp(wish, unit_names[LSTM_TILES_SOFTWARE]))
        return LSTM_TILES_SOFTWARE;
    if (strcmp(wish, unit_names[LSTM_TILES_AMX]))
        lstm_fail(err, "", "LSTM_TILES=%.32s: unknown; expected software or amx", wish);
    else if (amx() == AMX_GOOD)
        return LSTM_TILES_AMX;
    else
        lstm_fail(err, "", "LSTM_TILES=amx: %s",
                  amx() == AMX_WRONG ? lstm_tiles_problem() : "this machine, or this program, has no AMX");
    return LSTM_TILES_UNKNOWN;
}

const char *lstm_tiles(void)
{
    const lstm_tile_unit unit = lstm_machine_tiles(NULL);
    return unit_names[unit == LSTM_TILES_UNKNOWN ? LSTM_TILES_SOFTWARE : unit];
}

const char *lstm_tiles_problem(void)
{
    return amx() == AMX_WRONG ? "this processor's matrix units (AMX) do not add up as they are known to" : NULL;
}

static int auto_units = -1;

void lstm_set_auto(int units) { auto_units = units; }

bool lstm_auto_units(void)
{
    return auto_units < 0 ? lstm_machine_tiles(NULL) == LSTM_TILES_AMX : auto_units > 0;
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static int wanted_threads;

int lstm_threads(void)
{
    if (wanted_threads)
        return wanted_threads;
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

void lstm_set_threads(int n)
{
#ifdef _OPENMP
    wanted_threads = n < 1 ? 1 : n;
#else
    (void)n;
    wanted_threads = 1;
#endif
}

/* Gradients that vanish become denormals, on which processors take a hundred times longer. */
unsigned lstm_denormals_flush(void)
{
#if defined(__x86_64__)
    const unsigned saved = _mm_getcsr();
    _mm_setcsr(saved | 0x8040); /* flush to zero, denormals are zero */
    return saved;
#elif defined(__aarch64__)
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    __asm__ volatile("msr fpcr, %0" : : "r"(saved | (UINT64_C(1) << 24)));
    return (unsigned)saved;
#else
    return 0;
#endif
}

void lstm_denormals_restore(unsigned saved)
{
#if defined(__x86_64__)
    _mm_setcsr(saved);
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)saved));
#else
    (void)saved;
#endif
}
