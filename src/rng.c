/* SPDX-License-Identifier: MIT
 *
 * rng.c - random numbers as functions of (seed, stream, counter), so that no order of execution changes them.
 */
#include "lstm.h"

#include <math.h>

/* Philox 4x32-10: Salmon, Moraes, Dror & Shaw 2011. */
void lstm_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4])
{
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    uint32_t x0 = (uint32_t)counter, x1 = (uint32_t)(counter >> 32);
    uint32_t x2 = (uint32_t)stream, x3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

static double to_unit(uint32_t low, uint32_t high)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

double lstm_uniform(uint64_t seed, uint64_t stream, uint64_t counter)
{
    uint32_t x[4];
    lstm_philox(seed, stream, counter, x);
    return to_unit(x[0], x[1]);
}

/* Marsaglia's polar method (Marsaglia & Bray 1964). Sub-streams of the counter are tried in turn until a point falls
 * into the unit circle; log comes from frexp and a series, because libm's last bit differs between systems and
 * initial weights must not. */
static double natural_log(double x)
{
    int e;
    double m = frexp(x, &e);
    if (m < 0.70710678118654757) {
        m *= 2;
        e--;
    }
    const double s = (m - 1) / (m + 1), z = s * s;
    double sum = 0;
    for (int n = 23; n >= 1; n -= 2)
        sum = sum * z + 1.0 / n;
    return 2 * s * sum + e * 0.69314718055994529;
}

double lstm_normal(uint64_t seed, uint64_t stream, uint64_t counter)
{
    for (uint64_t attempt = 0;; attempt++) {
        uint32_t x[4];
        lstm_philox(seed, stream ^ attempt << 40, counter, x);
        const double u = 2 * to_unit(x[0], x[1]) - 1, v = 2 * to_unit(x[2], x[3]) - 1, s = u * u + v * v;
        if (s > 0 && s < 1)
            return u * sqrt(-2 * natural_log(s) / s);
    }
}
