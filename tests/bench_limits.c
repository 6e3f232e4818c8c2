/* SPDX-License-Identifier: MIT
 *
 * bench_limits.c - see bench_limits.h
 */
#include "bench_limits.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "support.h"

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef LSTM_X86_KERNELS
#include <immintrin.h>
#endif

enum { BURSTS = 7 };
#define BURST_SECONDS 6e-3

double bench_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *sample, size_t n)
{
    if (n == 0)
        return NAN;
    qsort(sample, n, sizeof *sample, by_size);
    return n % 2 ? sample[n / 2] : (sample[n / 2 - 1] + sample[n / 2]) / 2;
}

/* ---- the loops, for each instruction set ------------------------------------------------------------------------ */

/* Independent sums enough to hide the latency of the units, few enough for the registers of AVX2. */
enum { SUMS = 12, STREAMS = 8 };

#if defined(__clang__)
#define UNROLLED _Pragma("unroll")
#else
#define UNROLLED _Pragma("GCC unroll 16")
#endif

/* The results depend on arguments the compiler does not know and are used by the caller, so nothing can be left out. */
/* n rounds of SUMS vectors. */
#define FMA_LOOP(isa, TARGET, real, vec, set1, fma)                                                                    \
    TARGET static double fma_##isa(size_t n, double a, double b)                                                       \
    {                                                                                                                  \
        const vec x = set1((real)a), y = set1((real)b);                                                                \
        vec s[SUMS];                                                                                                   \
        real out[sizeof(vec) / sizeof(real)];                                                                          \
                                                                                                                       \
        for (int k = 0; k < SUMS; k++)                                                                                 \
            s[k] = set1((real)k);                                                                                      \
        for (size_t i = 0; i < n; i++) {                                                                               \
            UNROLLED                                                                                                   \
            for (int k = 0; k < SUMS; k++)                                                                             \
                s[k] = fma(s[k], x, y);                                                                                \
        }                                                                                                              \
        for (int k = 1; k < SUMS; k++)                                                                                 \
            s[0] = fma(s[k], x, s[0]);                                                                                 \
        memcpy(out, &s[0], sizeof out);                                                                                \
        return (double)out[0] + (double)out[sizeof out / sizeof *out - 1];                                             \
    }

/* Reads `bytes` from `data`, whole groups of STREAMS vectors. */
#define STREAM_LOOP(isa, TARGET, vec, set1, load, fma)                                                                 \
    TARGET static double stream_##isa(const char *data, size_t bytes)                                                  \
    {                                                                                                                  \
        const vec x = set1(0.5f);                                                                                      \
        vec s[STREAMS];                                                                                                \
        float out[sizeof(vec) / sizeof(float)];                                                                        \
                                                                                                                       \
        for (int k = 0; k < STREAMS; k++)                                                                              \
            s[k] = set1((float)k);                                                                                     \
        for (size_t at = 0; at + sizeof s <= bytes; at += sizeof s) {                                                  \
            UNROLLED                                                                                                   \
            for (int k = 0; k < STREAMS; k++)                                                                          \
                s[k] = fma(load((const void *)(data + at + (size_t)k * sizeof(vec))), x, s[k]);                        \
        }                                                                                                              \
        for (int k = 1; k < STREAMS; k++)                                                                              \
            s[0] = fma(s[k], x, s[0]);                                                                                 \
        memcpy(out, &s[0], sizeof out);                                                                                \
        return (double)out[0];                                                                                         \
    }
#define PLAIN
#define SCALAR_SET(x) (x)
#define SCALAR_LOAD(p) (*(const float *)(p))
/* The scalar kernels call fma(), too: without the instruction it is a function, which would limit the stream. */
#define SCALAR_MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
FMA_LOOP(scalar_f32, PLAIN, float, float, SCALAR_SET, fmaf)
FMA_LOOP(scalar_f64, PLAIN, double, double, SCALAR_SET, fma)
STREAM_LOOP(scalar, PLAIN, float, SCALAR_SET, SCALAR_LOAD, SCALAR_MULTIPLY_ADD)

#ifdef LSTM_X86_KERNELS
#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f")))
FMA_LOOP(avx2_f32, AVX2, float, __m256, _mm256_set1_ps, _mm256_fmadd_ps)
FMA_LOOP(avx2_f64, AVX2, double, __m256d, _mm256_set1_pd, _mm256_fmadd_pd)
FMA_LOOP(avx512_f32, AVX512, float, __m512, _mm512_set1_ps, _mm512_fmadd_ps)
FMA_LOOP(avx512_f64, AVX512, double, __m512d, _mm512_set1_pd, _mm512_fmadd_pd)
STREAM_LOOP(avx2, AVX2, __m256, _mm256_set1_ps, _mm256_load_ps, _mm256_fmadd_ps)
STREAM_LOOP(avx512, AVX512, __m512, _mm512_set1_ps, _mm512_load_ps, _mm512_fmadd_ps)
#endif

typedef struct loops {
    const char *isa;
    double (*fma[2])(size_t n, double a, double b); /* [lstm_type]: n rounds of SUMS vectors */
    size_t bytes;                                   /* of a vector; 0: one number */
    double (*stream)(const char *data, size_t bytes);
} loops;

static const loops LOOPS[] = {
#ifdef LSTM_X86_KERNELS
    {"avx512", {fma_avx512_f32, fma_avx512_f64}, 64, stream_avx512},
    {"avx2", {fma_avx2_f32, fma_avx2_f64}, 32, stream_avx2},
#endif
    {"scalar", {fma_scalar_f32, fma_scalar_f64}, 0, stream_scalar}, /* the last: for any other name */
};

static const loops *loops_in_use(void)
{
    const loops *l = LOOPS;

    while (l < LOOPS + sizeof LOOPS / sizeof *LOOPS - 1 && strcmp(l->isa, lstm_kernel()))
        l++;
    return l;
}

/* ---- bursts on all threads -------------------------------------------------------------------------------------- */

/* One burst: every thread does `rounds` rounds; fma: data is NULL. */
typedef struct burst {
    const loops *l;
    lstm_type type;
    const char *data;
    size_t bytes; /* of each thread's share */
    size_t rounds;
} burst;

static volatile double sink;

static void run_burst(const burst *b, size_t thread)
{
    double sum = 0;

    if (!b->data)
        sum = b->l->fma[b->type](b->rounds, 0.999, 0.001);
    else
        for (size_t r = 0; r < b->rounds; r++)
            sum += b->l->stream(b->data + thread * b->bytes, b->bytes);
    sink = sum;
}

static double seconds_of_burst(const burst *b, int threads)
{
    double start = 0;

#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
    {
        const size_t id = (size_t)omp_get_thread_num();

#pragma omp barrier
#pragma omp master
        start = bench_clock();
        run_burst(b, id);
    }
#else
    (void)threads;
    start = bench_clock();
    run_burst(b, 0);
#endif
    return bench_clock() - start;
}

/* Rounds per second of all threads together. */
static double rounds_rate(burst *b, int threads)
{
    double rate[BURSTS];

    b->rounds = 1;
    while (seconds_of_burst(b, 1) < BURST_SECONDS)
        b->rounds *= 2;
    for (int k = 0; k < BURSTS; k++)
        rate[k] = (double)b->rounds * threads / seconds_of_burst(b, threads);
    return bench_median(rate, BURSTS);
}

double limit_fma(lstm_type type, int threads)
{
    burst b = {.l = loops_in_use(), .type = type};
    const double numbers = b.l->bytes ? (double)b.l->bytes / (double)lstm_type_size(type) : 1;

    return 2e-9 * SUMS * numbers * rounds_rate(&b, threads);
}

double limit_stream(size_t bytes, int threads)
{
    const size_t line = 64 * STREAMS, share = (bytes / (size_t)threads + line - 1) / line * line;
    char *data = lstm_arena_new(share * (size_t)threads);

    if (!data)
        bail("out of memory");
    burst b = {.l = loops_in_use(), .data = data, .bytes = share};
    const double rate = 1e-9 * (double)share * rounds_rate(&b, threads);

    lstm_arena_free(data);
    return rate;
}

/* ---- handing over ----------------------------------------------------------------------------------------------- */

enum { HANDOVERS = 2000 };

/* The first two threads take turns: 0 writes 1, 1 answers 2, 0 writes 3, ... */
static void take_turns(atomic_int *turn, int id)
{
    for (int k = 0; k < HANDOVERS; k++) {
        while (atomic_load_explicit(turn, memory_order_acquire) != 2 * k + id)
            continue;
        atomic_store_explicit(turn, 2 * k + id + 1, memory_order_release);
    }
}

static double seconds_of_turns(void)
{
    double start = bench_clock();
#ifdef _OPENMP
    static _Alignas(128) atomic_int turn;

    atomic_store(&turn, 0);
#pragma omp parallel num_threads(2)
    {
#pragma omp barrier
#pragma omp master
        start = bench_clock();
        if (omp_get_num_threads() == 2)
            take_turns(&turn, omp_get_thread_num());
    }
#endif
    return bench_clock() - start;
}

double limit_handover(int threads)
{
    double ns[BURSTS];

    for (int k = 0; k < BURSTS; k++)
        ns[k] = threads > 1 ? 1e9 * seconds_of_turns() / HANDOVERS : 0;
    return bench_median(ns, BURSTS);
}
