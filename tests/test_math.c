/* SPDX-License-Identifier: MIT
 *
 * test_math.c - exp, log, sigmoid and tanh of the kernels: at most 2 ulp from the true value, never an overflow, and
 * the same bits for every instruction set; those of cells in mixed precision; and the masks of dropout. Compiled for
 * float and for double (LSTM_REAL).
 *
 * usage: test_math [STRIDE]      float: every STRIDE-th of all 2^32 bit patterns (default 1009; 1 takes minutes)
 *
 * The true value is libm's in the next wider type (double for float, long double for double), far better than what
 * is measured.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern.h"
#include "support.h"
#include "tap.h"

#if LSTM_REAL == 64
typedef uint64_t bits;
typedef long double wide;
#define WIDE(f) f##l
#define SMALLEST 0x1p-1022
#define EXP_RANGE 708.0
#define ULP_BITS 52
#else
typedef uint32_t bits;
typedef double wide;
#define WIDE(f) f
#define SMALLEST 0x1p-126f
#define EXP_RANGE 87.0
#define ULP_BITS 23
#endif
#define LOT 4096
#define MOST_ULP 2.0

extern const kern REAL_NAME(kern_scalar);
#ifdef LSTM_X86_KERNELS
extern const kern REAL_NAME(kern_avx2), REAL_NAME(kern_avx512);
#endif

static wide true_exp(wide x) { return WIDE(exp)(x); }
static wide true_log(wide x) { return WIDE(log)(x); }
static wide true_sigmoid(wide x) { return 1 / (1 + WIDE(exp)(-x)); }
static wide true_tanh(wide x) { return WIDE(tanh)(x); }

typedef struct function {
    const char *name;
    size_t offset; /* of the kernel's function in kern */
    wide (*truth)(wide x);
    bool positive; /* defined for positive x only */
} function;

static const function functions[] = {
    {"exp", offsetof(kern, exp), true_exp, false},
    {"log", offsetof(kern, log), true_log, true},
    {"sigmoid", offsetof(kern, sigmoid), true_sigmoid, false},
    {"tanh", offsetof(kern, tanh), true_tanh, false},
};

typedef void (*mapping)(real *out, const real *in, size_t n);

static mapping of(const kern *k, const function *f)
{
    mapping m;
    memcpy(&m, (const char *)k + f->offset, sizeof m);
    return m;
}

/* |got - want| in units of the last place of want. */
static double ulps(real got, wide want)
{
    int e;
    WIDE(frexp)(want, &e);
    return (double)(WIDE(fabs)((wide)got - want) / WIDE(ldexp)(1, e - 1 - ULP_BITS));
}

typedef struct worst {
    double ulp;
    real at;
    size_t measured, overflows, moved;
} worst;

/* Arguments whose true result is a normal number are measured; all others must still give finite results. */
static void measure(const function *f, const kern *k, const real *x, size_t n, worst *w)
{
    static real y[LOT], scalar[LOT];
    of(k, f)(y, x, n);
    of(&REAL_NAME(kern_scalar), f)(scalar, x, n);
    w->moved += memcmp(y, scalar, n * sizeof *y) != 0;
    for (size_t i = 0; i < n; i++) {
        const wide want = f->truth(x[i]);
        const bool inside = f->truth != true_exp || WIDE(fabs)((wide)x[i]) <= EXP_RANGE;
        w->overflows += !isfinite(y[i]);
        if (!inside || WIDE(fabs)(want) < SMALLEST)
            continue;
        const double off = ulps(y[i], want);
        w->measured++;
        if (off > w->ulp) {
            w->ulp = off;
            w->at = x[i];
        }
    }
}

/* All finite numbers (positive normal ones where asked for), `stride` bit patterns apart. Denormal arguments are left
 * out for log: the engine flushes them. */
static void sweep(const function *f, const kern *k, bits stride, worst *w)
{
    static real x[LOT];
    size_t n = 0;
    for (bits b = 0, next; ; b = next) {
        real v;
        memcpy(&v, &b, sizeof v);
        if (isfinite(v) && (!f->positive || v >= SMALLEST))
            x[n++] = v;
        next = b + stride;
        if (n == LOT || next < b) {
            measure(f, k, x, n, w);
            n = 0;
        }
        if (next < b)
            return;
    }
}

/* The arguments that matter most, densely: where range reduction changes over, and around 0. */
static void dense(const function *f, const kern *k, worst *w)
{
    static real x[LOT];
    const int lots = under_sanitizer() ? 60 : 500;

    for (int lot = 0; lot < lots; lot++) {
        for (size_t i = 0; i < LOT; i++) {
            const double u = (lot * LOT + (double)i) / ((double)lots * LOT);
            x[i] = (real)(f->positive ? exp(40 * u - 20) : 24 * u - 12);
        }
        measure(f, k, x, LOT, w);
    }
}

static void check(const kern *k, bits stride)
{
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        const function *f = &functions[i];
        worst w = {0};
        sweep(f, k, stride, &w);
        dense(f, k, &w);
        tap_ok(w.measured > 100000 && w.ulp <= MOST_ULP, "%s %d bits, %s: at most %.3f ulp (at %.9g) over %zu values",
               k->name, LSTM_REAL, f->name, w.ulp, (double)w.at, w.measured);
        tap_ok(w.overflows == 0, "%s %d bits, %s: finite everywhere", k->name, LSTM_REAL, f->name);
        tap_ok(w.moved == 0, "%s %d bits, %s: same bits as the scalar kernel", k->name, LSTM_REAL, f->name);
    }
}

static void check_nan(const kern *k)
{
    const real nan = (real)NAN;
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        real y = 0;
        if (functions[i].positive)
            continue;
        of(k, &functions[i])(&y, &nan, 1);
        tap_ok(isnan(y), "%s %d bits, %s: NaN stays NaN", k->name, LSTM_REAL, functions[i].name);
    }
}

#if LSTM_REAL == 32
/* What kern.h and vec.h say of cells in mixed precision. */
#define MIXED_TANH 4e-7      /* of tanh */
#define MIXED_SIGMOID 2.5e-7 /* of 1 */

enum { CELL_ROWS = LOT / NB };

typedef struct cells {
    _Alignas(LSTM_LINE) real z[CELL_ROWS][4][NB], gates[CELL_ROWS][4][NB];
    _Alignas(LSTM_LINE) real bias[4][NB], c_prev[CELL_ROWS][NB], c[CELL_ROWS][NB], h[CELL_ROWS][NB];
} cells;

typedef struct mixed_worst {
    double sigmoid, tanh, tanh_c;
    size_t outside, moved, open;
} mixed_worst;

static void run_cells(const kern *k, cells *s)
{
    k->lstm_forward(&(kern_lstm_forward){.rows = CELL_ROWS,
                                         .z = s->z[0][0],
                                         .gates = s->gates[0][0],
                                         .bias = s->bias[0],
                                         .c_prev = s->c_prev[0],
                                         .c = s->c[0],
                                         .h = s->h[0],
                                         .mixed = true});
}

static double relative(double got, double want) { return fabs(want) < SMALLEST ? 0 : fabs(got / want - 1); }

/* Gates of arguments x, and a state that is near x: f of 30 times x, and i g = 0. */
static void measure_mixed(const kern *k, const real *x, mixed_worst *w)
{
    static cells a, b, scalar;

    for (size_t r = 0; r < CELL_ROWS; r++)
        for (size_t u = 0; u < NB; u++) {
            for (size_t n = 0; n < 4; n++)
                a.z[r][n][u] = x[r * NB + u];
            b.z[r][1][u] = b.z[r][3][u] = 30;
            b.c_prev[r][u] = x[r * NB + u];
        }
    run_cells(k, &a);
    run_cells(k, &b);
    memcpy(scalar.z, a.z, sizeof a.z);
    run_cells(&REAL_NAME(kern_scalar), &scalar);
    w->moved += memcmp(a.gates, scalar.gates, sizeof a.gates) != 0 || memcmp(a.h, scalar.h, sizeof a.h) != 0;
    for (size_t r = 0; r < CELL_ROWS; r++)
        for (size_t u = 0; u < NB; u++) {
            const double arg = (double)x[r * NB + u];

            for (size_t n = 0; n < 4; n++) {
                const double got = (double)a.gates[r][n][u];

                if (n == 2)
                    w->tanh = fmax(w->tanh, relative(got, tanh(arg)));
                else
                    w->sigmoid = fmax(w->sigmoid, fabs(got - true_sigmoid(arg)));
                w->outside += !(got <= 1 && got >= (n == 2 ? -1 : 0));
                w->open += fabs(arg) >= (n == 2 ? 9 : 18) && got != (arg > 0 ? 1 : n == 2 ? -1 : 0);
            }
            w->open += fabs(arg) >= 9.1 && fabs((double)b.h[r][u]) != (double)b.gates[r][3][u];
            w->tanh_c = fmax(w->tanh_c, relative((double)b.h[r][u] / (double)b.gates[r][3][u], tanh((double)b.c[r][u])));
        }
}

static void check_mixed(const kern *k, bits stride)
{
    static real x[LOT];
    static cells s;
    mixed_worst w = {0};
    size_t n = 0, lots = 0;

    for (uint64_t b = 0; b <= UINT32_MAX; b += stride) {
        const bits pattern = (bits)b;

        memcpy(&x[n], &pattern, sizeof x[n]);
        n += isfinite(x[n]) != 0;
        if (n < LOT)
            continue;
        measure_mixed(k, x, &w);
        lots++;
        n = 0;
    }
    /* what the last division of the test's own rounds is in the third */
    tap_ok(lots > 100 && w.sigmoid <= MIXED_SIGMOID && w.tanh <= MIXED_TANH && w.tanh_c <= MIXED_TANH + 0x1p-23,
           "%s, mixed precision: sigmoid within %.2g, tanh within %.2g, of states %.2g of it", k->name, w.sigmoid, w.tanh,
           w.tanh_c);
    tap_ok(w.outside == 0, "%s, mixed precision: gates stay in their ranges", k->name);
    tap_ok(w.open == 0, "%s, mixed precision: gates and states of large arguments have no slope left", k->name);
    tap_ok(w.moved == 0, "%s, mixed precision: same bits as the scalar kernel", k->name);
    s.z[0][0][0] = s.z[0][1][1] = s.z[0][2][2] = s.z[0][3][3] = s.c_prev[0][4] = (real)NAN;
    run_cells(k, &s);
    for (n = 0; n < 5 && isnan(s.h[0][n]); n++)
        ;
    tap_ok(n == 5 && !isnan(s.h[0][5]), "%s, mixed precision: NaN stays NaN", k->name);
}
#endif

/* Of which counter and which half of which word each unit's bits are: what kern.h says, so that a run of an earlier
 * version is repeated. Rows end within a lot of counters, and counters pass 2^32. */
static void check_dropout(const kern *k)
{
    enum { ROWS = 5, UNITS = 37, GROUPS = (UNITS + 7) / 8, BLOCKS = 5 };
    const uint64_t seed = UINT64_C(0x123456789abcdef0), stream = UINT64_C(0xfedcba9876543210);
    const uint64_t first = UINT64_C(0x1fffffff0);
    const uint32_t threshold = 0x5000;
    _Alignas(LSTM_LINE) static real mask[BLOCKS][ROWS][NB];
    size_t wrong = 0;

    k->dropout(mask[0][0], ROWS, UNITS, ROWS * NB, seed, stream, first, threshold, (real)1.25);
    for (size_t r = 0; r < ROWS; r++)
        for (size_t u = 0; u < UNITS; u++) {
            uint32_t words[4];

            lstm_philox(seed, stream, first + r * GROUPS + u / 8, words);
            const uint32_t half = words[u % 8 / 2] >> (u % 2 ? 16 : 0) & 0xffff;

            wrong += mask[u / NB][r][u % NB] != (half < threshold ? 0 : (real)1.25);
        }
    tap_ok(wrong == 0, "%s %d bits: dropout's masks are Philox's halves (%zu wrong)", k->name, LSTM_REAL, wrong);
}

static void check_all(const kern *k, bits stride)
{
    check(k, stride);
    check_nan(k);
#if LSTM_REAL == 32
    check_mixed(k, stride);
#endif
    check_dropout(k);
}

int main(int argc, char **argv)
{
    const bits usual = LSTM_REAL == 64 ? (bits)(UINT64_C(1) << 43) + 12345
                                       : (bits)(argc > 1 ? strtoul(argv[1], NULL, 10) : 1009);
    const bits stride = under_sanitizer() ? 8 * usual : usual;
    check_all(&REAL_NAME(kern_scalar), stride ? stride : 1);
#ifdef LSTM_X86_KERNELS
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        check_all(&REAL_NAME(kern_avx2), stride ? stride : 1);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        check_all(&REAL_NAME(kern_avx512), stride ? stride : 1);
#endif
    return tap_done();
}
