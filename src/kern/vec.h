/* SPDX-License-Identifier: MIT
 *
 * vec.h - vectors of reals for one instruction set, which isa.h has named. Where that is neither AVX2 nor AVX-512 they
 * have 16 bytes and call fma() per element, which is slow on x86 without FMA, the same bits as the others, and NEON's
 * fused multiply-add where the compiler sees it.
 *
 * Operators + - * / on vec are the compiler's; contraction is off, so only v_fma and v_fnma are fused.
 */
#ifndef LSTM_VEC_H
#define LSTM_VEC_H

#include <math.h>
#include <stdint.h>

#include "../real.h"

#if defined(KERN_AVX512) || defined(KERN_AVX2)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(KERN_AVX512)
#define VBYTES 64
#elif defined(KERN_AVX2)
#define VBYTES 32
#else
#define VBYTES 16
#endif

#define VL (VBYTES / sizeof(real)) /* lanes of a vector */
#define VPB (LSTM_LINE / VBYTES)   /* vectors of a block */

typedef real vec __attribute__((vector_size(VBYTES), may_alias));
#if LSTM_REAL == 64
typedef uint64_t lane_bits;
typedef int64_t lane_int;
#define MANTISSA 52
#define ONE_BITS UINT64_C(0x3ff0000000000000)
#else
typedef uint32_t lane_bits;
typedef int32_t lane_int;
#define MANTISSA 23
#define ONE_BITS UINT32_C(0x3f800000)
#endif
typedef lane_bits ivec __attribute__((vector_size(VBYTES), may_alias));
typedef lane_int svec __attribute__((vector_size(VBYTES), may_alias));

INLINE vec v_load(const real *p) { return *(const vec *)p; }
INLINE void v_store(real *p, vec a) { *(vec *)p = a; }
/* The same past the caches, to memory. */
#if defined(KERN_AVX512) && LSTM_REAL == 32
INLINE void v_stream(real *p, vec a) { _mm512_stream_ps(p, (__m512)a); }
#elif defined(KERN_AVX512)
INLINE void v_stream(real *p, vec a) { _mm512_stream_pd(p, (__m512d)a); }
#else
INLINE void v_stream(real *p, vec a) { v_store(p, a); }
#endif

#if defined(KERN_AVX512) && LSTM_REAL == 32
INLINE vec v_set(real x) { return (vec)_mm512_set1_ps(x); }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return (vec)_mm512_fnmadd_ps((__m512)a, (__m512)b, (__m512)c); }
INLINE vec v_max(vec a, vec b) { return (vec)_mm512_max_ps((__m512)a, (__m512)b); }
INLINE vec v_min(vec a, vec b) { return (vec)_mm512_min_ps((__m512)a, (__m512)b); }
INLINE vec v_sqrt(vec a) { return (vec)_mm512_sqrt_ps((__m512)a); }
#elif defined(KERN_AVX512)
INLINE vec v_set(real x) { return (vec)_mm512_set1_pd(x); }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return (vec)_mm512_fnmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
INLINE vec v_max(vec a, vec b) { return (vec)_mm512_max_pd((__m512d)a, (__m512d)b); }
INLINE vec v_min(vec a, vec b) { return (vec)_mm512_min_pd((__m512d)a, (__m512d)b); }
INLINE vec v_sqrt(vec a) { return (vec)_mm512_sqrt_pd((__m512d)a); }
#elif defined(KERN_AVX2) && LSTM_REAL == 32
INLINE vec v_set(real x) { return (vec)_mm256_set1_ps(x); }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return (vec)_mm256_fnmadd_ps((__m256)a, (__m256)b, (__m256)c); }
INLINE vec v_max(vec a, vec b) { return (vec)_mm256_max_ps((__m256)a, (__m256)b); }
INLINE vec v_min(vec a, vec b) { return (vec)_mm256_min_ps((__m256)a, (__m256)b); }
INLINE vec v_sqrt(vec a) { return (vec)_mm256_sqrt_ps((__m256)a); }
#elif defined(KERN_AVX2)
INLINE vec v_set(real x) { return (vec)_mm256_set1_pd(x); }
INLINE vec v_fma(vec a, vec b, vec c) { return (vec)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
INLINE vec v_fnma(vec a, vec b, vec c) { return (vec)_mm256_fnmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
INLINE vec v_max(vec a, vec b) { return (vec)_mm256_max_pd((__m256d)a, (__m256d)b); }
INLINE vec v_min(vec a, vec b) { return (vec)_mm256_min_pd((__m256d)a, (__m256d)b); }
INLINE vec v_sqrt(vec a) { return (vec)_mm256_sqrt_pd((__m256d)a); }
#else
#if LSTM_REAL == 64
#define FMA1(a, b, c) __builtin_fma(a, b, c)
#define SQRT1(a) __builtin_sqrt(a)
#else
#define FMA1(a, b, c) __builtin_fmaf(a, b, c)
#define SQRT1(a) __builtin_sqrtf(a)
#endif
#define EACH_LANE(expression)                                                                                          \
    vec out;                                                                                                           \
    for (size_t i = 0; i < VL; i++)                                                                                    \
        out[i] = (expression);                                                                                         \
    return out
INLINE vec v_set(real x) { EACH_LANE(x); }
INLINE vec v_fma(vec a, vec b, vec c) { EACH_LANE(FMA1(a[i], b[i], c[i])); }
INLINE vec v_fnma(vec a, vec b, vec c) { EACH_LANE(FMA1(-a[i], b[i], c[i])); }
/* As MAXPS and MINPS: the second operand where they do not compare, so that NaN in b goes through. */
INLINE vec v_max(vec a, vec b) { EACH_LANE(a[i] > b[i] ? a[i] : b[i]); }
INLINE vec v_min(vec a, vec b) { EACH_LANE(a[i] < b[i] ? a[i] : b[i]); }
INLINE vec v_sqrt(vec a) { EACH_LANE(SQRT1(a[i])); }
#endif

INLINE vec v_zero(void) { return v_set(0); }

/* ---- exp, log, sigmoid, tanh -----------------------------------------------------------------------------------
 * Polynomials: Chebyshev interpolation of (e^r - 1 - r)/r^2 on |r| <= ln(2)/2, of (log(1+f) in s = f/(2+f)) on
 * [sqrt(1/2), sqrt(2)] and of (tanh(x)/x - 1)/x^2 in x^2; their errors are below 1e-8 (float) and 1e-17 (double). Range reduction as in Cody & Waite,
 * Software Manual for the Elementary Functions (1980), with the product fused. */

#if LSTM_REAL == 64
#define ROUND_MAGIC 6755399441055744.0 /* 1.5 * 2^52: adding it rounds to an integer kept in the low bits */
#define LN2_HI 0.693147180559945286
#define LN2_LO 2.3190468138462996e-17
#define EXP_MIN (-708.39)
#define EXP_MAX 709.4
#define TANH_MAX 20.0
#define SQRT_HALF_BITS UINT64_C(0x3fe6a09e667f3bcd)
#define MANTISSA_MASK UINT64_C(0x000fffffffffffff)
#define SIGN_MASK UINT64_C(0x8000000000000000)
static const real exp_poly[] = {1.6086627956780369e-10, 2.0918137737642736e-09, 2.5052071094293548e-08,
                                2.7557263279088498e-07, 2.7557319247218731e-06, 2.4801587336442236e-05,
                                0.00019841269841263298, 0.0013888888888879073,  0.0083333333333333332,
                                0.041666666666666678,   0.16666666666666666,    0.5};
static const real tanh_poly[] = {-2.4366763192580152e-06, 1.2205070696543997e-05, -3.7076300627988617e-05,
                                 9.6038403942704716e-05,  -0.00023888848777076985, 0.00058998159053386611,
                                 -0.0014558283645951344,  0.0035921275039821881,  -0.0088632354995673533,
                                 0.021869488535124274,    -0.053968253968235728,  0.13333333333333319,
                                 -0.33333333333333331};
static const real log_poly[] = {0.1188345239410786,  0.11687962997542156, 0.13335645841949378,
                                0.15384574966460907, 0.18181818595769064, 0.22222222219844232,
                                0.28571428571435409, 0.39999999999999991, 0.66666666666666663};
#else
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23 */
#define LN2_HI 0.693147182f
#define LN2_LO -1.90465421e-9f
#define EXP_MIN (-87.33f)
#define EXP_MAX 88.37f
#define TANH_MAX 10.0f
#define SQRT_HALF_BITS UINT32_C(0x3f3504f3)
#define MANTISSA_MASK UINT32_C(0x007fffff)
#define SIGN_MASK UINT32_C(0x80000000)
static const real exp_poly[] = {0.0013926183587713494f, 0.0083631790527225781f, 0.041666554617204574f,
                                0.16666576989698775f, 0.5f};
static const real tanh_poly[] = {-0.0060946413153564393f, 0.020995753890295579f, -0.053850609108377682f,
                                 0.13332767760291209f, -0.33333328924525096f};
static const real log_poly[] = {0.19363884986633198f, 0.22191337428065783f, 0.28571755535032944f, 0.39999998792441688f,
                                0.66666666667378682f};
#endif
#define POLY_TERMS(p) (sizeof(p) / sizeof((p)[0]))

/* e^x = scale * (1 + q), q = e^r - 1, for EXP_MIN <= x <= EXP_MAX (x is clamped; NaN stays NaN). */
INLINE vec exp_parts(vec x, vec *q)
{
    x = v_min(v_set(EXP_MAX), v_max(v_set(EXP_MIN), x));
    vec shifted = v_fma(x, v_set((real)1.4426950408889634), v_set(ROUND_MAGIC));
    vec n = shifted - v_set(ROUND_MAGIC);
    vec r = v_fnma(n, v_set(LN2_LO), v_fnma(n, v_set(LN2_HI), x));
    vec p = v_set(exp_poly[0]);
    UNROLL
    for (size_t i = 1; i < POLY_TERMS(exp_poly); i++)
        p = v_fma(p, r, v_set(exp_poly[i]));
    *q = v_fma(r * r, p, r);
    return (vec)(((ivec)shifted << MANTISSA) + ONE_BITS);
}

/* Below EXP_MIN and above EXP_MAX: the value there, so finite. */
INLINE vec v_exp(vec x)
{
    vec q, scale = exp_parts(x, &q);
    return v_fma(scale, q, scale);
}

/* 1 + e^x = (1 + scale) + scale q. `low` is what the first sum loses, so that little more than one rounding remains. */
INLINE vec one_plus_exp(vec x)
{
    vec q, scale = exp_parts(x, &q), sum = scale + v_set(1), low = v_set(1) - (sum - scale);
    return v_fma(scale, q, low) + sum;
}

INLINE vec v_sigmoid(vec x) { return v_set(1) / one_plus_exp(-x); }

#if defined(KERN_AVX512) && LSTM_REAL == 32
INLINE vec v_below(vec a, vec b, vec yes, vec no)
{
    return (vec)_mm512_mask_blend_ps(_mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ), (__m512)no, (__m512)yes);
}
#elif defined(KERN_AVX512)
INLINE vec v_below(vec a, vec b, vec yes, vec no)
{
    return (vec)_mm512_mask_blend_pd(_mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ), (__m512d)no, (__m512d)yes);
}
#else
/* a < b ? yes : no, lane by lane */
INLINE vec v_below(vec a, vec b, vec yes, vec no)
{
    ivec mask = (ivec)(a < b);
    return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask));
}
#endif

/* |x| < 5/8: x + x^3 p(x^2), which loses nothing near 0; beyond: 1 - 2 / (1 + e^2|x|). */
INLINE vec v_tanh(vec x)
{
    ivec sign = (ivec)x & SIGN_MASK;
    vec a = v_min(v_set(TANH_MAX), (vec)((ivec)x ^ sign)), z = a * a, p = v_set(tanh_poly[0]);
    UNROLL
    for (size_t i = 1; i < POLY_TERMS(tanh_poly); i++)
        p = v_fma(p, z, v_set(tanh_poly[i]));
    vec near = v_fma(a * z, p, a), far = v_set(1) - v_set(2) / one_plus_exp(a + a);
    return (vec)((ivec)v_below(a, v_set((real)0.625), near, far) | sign);
}

#if LSTM_REAL == 32
/* ---- tanh and sigmoid in fewer steps, for cells in mixed precision ---------------------------------------------
 * tanh x = x P(x^2) / Q(x^2) for |x| <= 9, and what it is there beyond: a minimax fit of tanh x + 5e-7 (x/9)^10 by its
 * relative error, 2e-8 before coefficients are rounded, 4e-7 as computed. So it passes 1 before 9, and is cut off there:
 * what is saturated is 1, and 1 - tanh^2 is zero, as with v_tanh (of a small derivative Adam can make a large step).
 * sigmoid x = 1/2 + tanh(x/2)/2 has the same coefficients times powers of two, and is right to 2.5e-7 (not relative:
 * below -15 it is zero). */
#define QUOTIENT_TERMS 5
typedef struct quotient_form {
    real over[QUOTIENT_TERMS], under[QUOTIENT_TERMS], most; /* most: x^2 where it is cut off */
} quotient_form;
static const quotient_form tanh_form = {{1.34606619e-8f, 2.06744589e-5f, 3.49928811e-3f, 0.133840799f, 1.0f},
                                        {7.81613778e-7f, 3.29185219e-4f, 2.58908588e-2f, 0.467173964f, 1.0f},
                                        81.0f};
static const quotient_form sigmoid_form = {
    {1.34606619e-8f / 1024, 2.06744589e-5f / 256, 3.49928811e-3f / 64, 0.133840799f / 16, 1.0f / 4},
    {7.81613778e-7f / 256, 3.29185219e-4f / 64, 2.58908588e-2f / 16, 0.467173964f / 4, 1.0f},
    324.0f};

typedef struct quotient {
    vec over, under;
} quotient;

/* n of them side by side, as each step of one waits for the last: form[i] of x[i]. */
INLINE void quotients(quotient *q, const vec *x, const quotient_form *const *form, const size_t n)
{
    vec z[5];
    UNROLL for (size_t i = 0; i < n; i++)
    {
        z[i] = v_min(x[i] * x[i], v_set(form[i]->most)); /* NaN stays in x */
        q[i] = (quotient){v_set(form[i]->over[0]), v_set(form[i]->under[0])};
    }
    UNROLL for (size_t k = 1; k < QUOTIENT_TERMS; k++)
        UNROLL for (size_t i = 0; i < n; i++)
        {
            q[i].over = v_fma(q[i].over, z[i], v_set(form[i]->over[k]));
            q[i].under = v_fma(q[i].under, z[i], v_set(form[i]->under[k]));
        }
    UNROLL for (size_t i = 0; i < n; i++) q[i].over = x[i] * q[i].over;
}

INLINE vec v_within(real least, vec x, real most) { return v_min(v_set(most), v_max(v_set(least), x)); }

INLINE vec tanh_of(quotient q) { return v_within(-1, q.over / q.under, 1); }
#endif

/* For positive, finite, normal x. */
INLINE vec v_log(vec x)
{
    ivec shifted = (ivec)x - SQRT_HALF_BITS;
    vec e = __builtin_convertvector((svec)shifted >> MANTISSA, vec);
    vec f = (vec)((shifted & MANTISSA_MASK) + SQRT_HALF_BITS) - v_set(1);
    vec s = f / (f + v_set(2)), z = s * s, p = v_set(log_poly[0]);
    UNROLL
    for (size_t i = 1; i < POLY_TERMS(log_poly); i++)
        p = v_fma(p, z, v_set(log_poly[i]));
    /* log(1+f) = f - s (f - p z), then e ln 2 in two parts */
    vec low = v_fma(s, v_fnma(p, z, f), -(e * v_set(LN2_LO)));
    return v_fma(e, v_set(LN2_HI), f - low);
}

/* Sum of the NB lanes of a block held in VPB vectors, by halves: the same tree whatever VL is. */
INLINE real sum_block(const vec *acc)
{
    _Alignas(64) real lane[NB];
    for (size_t q = 0; q < VPB; q++)
        v_store(lane + q * VL, acc[q]);
    for (size_t half = NB / 2; half; half /= 2)
        for (size_t i = 0; i < half; i++)
            lane[i] += lane[i + half];
    return lane[0];
}

INLINE real max_block(const vec *acc)
{
    _Alignas(64) real lane[NB];
    for (size_t q = 0; q < VPB; q++)
        v_store(lane + q * VL, acc[q]);
    real most = lane[0];
    for (size_t i = 1; i < NB; i++)
        most = lane[i] > most ? lane[i] : most;
    return most;
}

#endif
