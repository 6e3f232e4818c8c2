/* SPDX-License-Identifier: MIT
 *
 * bench_limits.h - what the machine can do at this moment: the yardsticks of the benchmark. A shared machine changes
 * from second to second, so each run is measured next to its own yardsticks.
 */
#ifndef BENCH_LIMITS_H
#define BENCH_LIMITS_H

#include "lstm.h"

/* GFLOP/s of independent fused multiply-adds on registers, all threads together, with the instruction set the engine
 * uses (lstm_kernel). The median of a few bursts of some milliseconds. */
double limit_fma(lstm_type type, int threads);

/* GB/s of reading `bytes` bytes (huge pages where to be had) over and over, each thread its own share, with one
 * multiply-add for every vector read. The median of a few bursts. */
double limit_stream(size_t bytes, int threads);

/* Nanoseconds until a thread sees what another wrote and the answer is back: a hundred where processors share a cache,
 * several hundred where they do not. What a barrier at every time step costs, at least. 0 for one thread. */
double limit_handover(int threads);

double bench_clock(void);                     /* seconds */
double bench_median(double *sample, size_t n); /* sorts them; NaN when n is 0 */

#endif
