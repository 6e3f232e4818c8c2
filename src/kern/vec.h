/* SPDX-License-Identifier: MIT
 *
 * vec.h - vectors of reals for one instruction set. KERN_AVX512 and KERN_AVX2 are set by kern.c from the compiler's
 * flags; anything else gets 16-byte vectors and fma() per element, which is slow on x86 without FMA, the same bits as
 * the others, and NEON's fused multiply-add where the compiler sees it.
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
#define VPB (64 / VBYTES)          /* vectors of a block */

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
 * Polynomials: Chebyshev interpolation of (e^r - 1)/r on |r| <= ln(2)/2 and of (log(1+f) in s = f/(2+f)) on
 * [sqrt(1/2), sqrt(2)]; their errors are below 1e-8 (float) and 1e-17 (double). Range reduction as in Cody & Waite,
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
static const real exp_poly[] = {1.6088928283552838e-10, 2.0921588938971491e-09, 2.5052063494607451e-08,
                                2.7557251877225084e-07, 2.7557319256348671e-06, 2.4801587350139931e-05,
                                0.000198412698412585,   0.0013888888888871874,  0.008333333333333335,
                                0.041666666666666692,   0.16666666666666666,    0.5,
                                1.0};
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
static const real exp_poly[] = {0.0013933649996309251f, 0.008369155667697397f, 0.041666464925285904f,
                                0.16666505195758111f,   0.50000000134658096f,  1.0f};
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
    *q = p * r;
    return (vec)(((ivec)shifted << MANTISSA) + ONE_BITS);
}

/* Below EXP_MIN and above EXP_MAX: the value there, so finite. */
INLINE vec v_exp(vec x)
{
    vec q, scale = exp_parts(x, &q);
    return v_fma(scale, q, scale);
}

INLINE vec v_sigmoid(vec x) { return v_set(1) / (v_set(1) + v_exp(-x)); }

/* tanh |x| = expm1(2|x|) / (expm1(2|x|) + 2), which loses nothing near 0. */
INLINE vec v_tanh(vec x)
{
    ivec sign = (ivec)x & SIGN_MASK;
    vec a = v_min(v_set(TANH_MAX), (vec)((ivec)x ^ sign));
    vec q, scale = exp_parts(a + a, &q);
    vec e = v_fma(scale, q, scale - v_set(1));
    return (vec)((ivec)(e / (e + v_set(2))) | sign);
}

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
