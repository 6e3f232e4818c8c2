/* SPDX-License-Identifier: MIT
 *
 * sample.c - choosing one of n by temperature and top-k.
 */
#include "lstm.h"

#include <math.h>
#include <string.h>

/* Doubles in their order as unsigned integers, and back. */
static uint64_t to_key(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

static double from_key(uint64_t key)
{
    const uint64_t bits = key >> 63 ? key & ~(UINT64_C(1) << 63) : ~key;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The k-th largest value: everything below it is left out. Found bit by bit, the largest key that k values reach, which
 * needs no memory and takes as long for any k. */
static double kth_largest(const double *x, size_t n, size_t k)
{
    uint64_t found = 0;
    for (int bit = 64; bit-- > 0;) {
        const uint64_t candidate = found | UINT64_C(1) << bit;
        size_t reach = 0;
        for (size_t i = 0; i < n; i++)
            reach += to_key(x[i]) >= candidate;
        if (reach >= k)
            found = candidate;
    }
    return from_key(found);
}

static size_t largest(const double *x, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

int lstm_choose(const double *logits, size_t n, double temperature, size_t top_k, double u, size_t *choice,
                lstm_error *err)
{
    if (n == 0)
        return lstm_fail(err, "logits", "nothing to choose from");
    if (!(temperature >= 0 && isfinite(temperature)))
        return lstm_fail(err, "temperature", "expected a finite number of at least 0, got %g", temperature);
    if (!(u >= 0 && u < 1))
        return lstm_fail(err, "u", "expected a number in [0, 1), got %g", u);
    for (size_t i = 0; i < n; i++)
        if (!isfinite(logits[i]))
            return lstm_fail(err, "logits", "logit %zu is %g: the model's weights are not usable", i, logits[i]);
    const size_t best = largest(logits, n);
    *choice = best;
    if (temperature == 0)
        return 0;
    const double floor = top_k && top_k < n ? kth_largest(logits, n, top_k) : -INFINITY;
    double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        if (logits[i] >= floor)
            total += exp((logits[i] - logits[best]) / temperature);
    for (size_t i = 0; i < n; i++)
        if (logits[i] >= floor) {
            sum += exp((logits[i] - logits[best]) / temperature);
            if (u * total < sum) {
                *choice = i;
                return 0;
            }
        }
    return 0;
}
