/* SPDX-License-Identifier: MIT
 *
 * machine.c - what this processor can do, how many threads, denormals.
 */
#include "engine.h"
#include "kern/units.h"

#include <stdlib.h>
#include <string.h>

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

static const char *const unit_names[] = {"software", "avx512bf16", "amx"};
static const char *const unit_features[] = {"", "AVX512-BF16", "AMX"};

typedef enum unit_state { UNIT_UNKNOWN, UNIT_MISSING, UNIT_WRONG, UNIT_GOOD } unit_state;

static unit_state look_for(lstm_tile_unit unit)
{
#ifdef LSTM_AMX_KERNEL
    if (unit == LSTM_TILES_AMX && kern_amx_usable())
        return kern_amx_agrees() ? UNIT_GOOD : UNIT_WRONG;
#endif
#ifdef LSTM_BF16_KERNEL
    if (unit == LSTM_TILES_AVX512BF16 && best_isa() == LSTM_ISA_AVX512 && __builtin_cpu_supports("avx512bf16"))
        return kern_avx512bf16_agrees() ? UNIT_GOOD : UNIT_WRONG;
#endif
    return unit == LSTM_TILES_SOFTWARE ? UNIT_GOOD : UNIT_MISSING;
}

/* Asked once: the answers of threads that ask at the same time are the same. */
static unit_state state_of(lstm_tile_unit unit)
{
    static atomic_int known[LSTM_TILES_UNKNOWN];
    int state = atomic_load(&known[unit]);
    if (state == UNIT_UNKNOWN) {
        const unsigned saved = lstm_denormals_flush();
        state = look_for(unit);
        lstm_denormals_restore(saved);
        atomic_store(&known[unit], state);
    }
    return (unit_state)state;
}

/* Intel's processors have AVX512-BF16 at half the rate of multiply-adds of floats (measured on one: training in bf16 by
 * it was 0.65 times as fast as in float), AMD's at the same rate. */
static bool is_slow(lstm_tile_unit unit)
{
#ifdef LSTM_BF16_KERNEL
    return unit == LSTM_TILES_AVX512BF16 && __builtin_cpu_is("intel");
#else
    (void)unit;
    return false;
#endif
}

static lstm_tile_unit best_unit(void)
{
    int unit = LSTM_TILES_AMX;
    while (is_slow((lstm_tile_unit)unit) || state_of((lstm_tile_unit)unit) != UNIT_GOOD)
        unit--;
    return (lstm_tile_unit)unit;
}

lstm_tile_unit lstm_machine_tiles(lstm_error *err)
{
    const char *wish = getenv("LSTM_TILES");
    if (!wish || !*wish)
        return best_unit();
    for (int i = 0; i < (int)LSTM_TILES_UNKNOWN; i++) {
        if (strcmp(wish, unit_names[i]))
            continue;
        if (state_of((lstm_tile_unit)i) == UNIT_GOOD)
            return (lstm_tile_unit)i;
        lstm_fail(err, "", "LSTM_TILES=%s: this machine, or this program, has no %s%s", wish, unit_features[i],
                  state_of((lstm_tile_unit)i) == UNIT_WRONG ? " that adds up as it is known to" : "");
        return LSTM_TILES_UNKNOWN;
    }
    lstm_fail(err, "", "LSTM_TILES=%.32s: unknown; expected software, avx512bf16 or amx", wish);
    return LSTM_TILES_UNKNOWN;
}

int lstm_check_machine(const lstm_model_config *config, lstm_error *err)
{
    const bool tiles = config->products != LSTM_PRODUCTS_REAL;
    if (lstm_machine_isa(err) == LSTM_ISA_UNKNOWN || (tiles && lstm_machine_tiles(err) == LSTM_TILES_UNKNOWN))
        return -1;
    return 0;
}

const char *lstm_tiles(void)
{
    const lstm_tile_unit unit = lstm_machine_tiles(NULL);
    return unit_names[unit == LSTM_TILES_UNKNOWN ? LSTM_TILES_SOFTWARE : unit];
}

const char *lstm_tiles_problem(void)
{
    static const char *const problem[] = {
        [LSTM_TILES_AVX512BF16] =
            "this processor's bfloat16 instructions (AVX512-BF16) do not add up as they are known to",
        [LSTM_TILES_AMX] = "this processor's matrix units (AMX) do not add up as they are known to"};
    for (int unit = LSTM_TILES_AMX; state_of((lstm_tile_unit)unit) != UNIT_GOOD; unit--)
        if (state_of((lstm_tile_unit)unit) == UNIT_WRONG)
            return problem[unit];
    return NULL;
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
