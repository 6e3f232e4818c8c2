/* SPDX-License-Identifier: MIT
 *
 * kern.h - the arithmetic kernels: one body (kern.c), compiled for every instruction set and precision, chosen at run
 * time. Everything the engine computes in bulk goes through this table.
 *
 * Contract: each result is a fixed sequence of IEEE operations per element, the same for every instruction set, and
 * does not depend on how rows are split over calls. Sums over many elements run over NB lanes and then over a fixed
 * tree. All arrays are aligned to 64 bytes and padded to whole blocks of NB; padding holds zeros and stays zero.
 */
#ifndef LSTM_KERN_H
#define LSTM_KERN_H

#include <stdbool.h>
#include <stdint.h>

#include "../real.h"

/* C[r][n] (+)= sum over k, in increasing order, of A[r][k] * B[k][n];  r < rows, n < blocks*NB (blocks <= 5).
 * k runs through chunks of `len`: element k = chunk*len + e of A lies at chunk*a_chunk + e*a_k, of B at
 * chunk*b_chunk + e*b_k. Column block q of C lies at q*c_block. */
typedef struct kern_product {
    size_t rows, blocks, k, len;
    const real *a;
    size_t a_row, a_k, a_chunk;
    const real *b;
    size_t b_k, b_chunk;
    real *c;
    size_t c_row, c_block;
    bool add; /* start from what C holds rather than from zero */
} kern_product;

/* The product with transposed weights for very few rows, where packing a transposed copy costs more than it gains:
 * c[u][r] = sum over all columns n of W[u][n] d[r][n], for units first <= u < last. w: packed [panel][k][4][NB];
 * d: [panel][rows][4][NB]; c: [u / NB][rows][NB]; lanes: scratch, [k][NB]. */
typedef struct kern_thin {
    size_t rows, panels, k, first, last;
    const real *w, *d;
    real *c, *lanes;
} kern_thin;

/* One block of NB units of an LSTM layer at one time step, for `rows` sequences.
 * z [rows][4][NB]: products; gates [rows][4][NB]: i f g o, which may be in their place. The gates' arguments are
 * z + (row + bias), where row is table[ids[r]] ([V][4][NB], one-hot input), or nothing when ids is NULL. c, h,
 * c_prev: [rows][NB]. mixed: non-linearities in fewer steps, to 4e-7 (floats only). stream: gates and h are stored past
 * the caches (and not in the place of z); other threads see them after the next barrier or the pass's end.
 * (Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000.) */
typedef struct kern_lstm_forward {
    size_t rows;
    const real *z;
    real *gates;
    const real *bias, *table;
    const int32_t *ids;
    const real *c_prev;
    real *c, *h;
    bool mixed, stream;
} kern_lstm_forward;

/* The same block backwards; z: its gates. tanh c is computed once more, to the same bits: that takes less time than to
 * keep it. dh [rows][NB]: in: gradient from above, out: dL/dh with `through` (the next step's part,
 * rows `through_row` apart, or NULL) added. dc [rows][NB]: dL/dc; may be in the place of `through`.
 * carry [rows][NB]: in: dL/dc from the next step, out: for the step before. dz [rows][4][NB]: dL/d(arguments of the
 * gates). dbias [4][NB] += sum of dz over rows; dtable[ids[r]] += dz; neither when dbias is NULL (then kern_sums does
 * it). z_soon, c_soon: z and c_prev of a block that comes soon, which are fetched meanwhile; or NULL. */
typedef struct kern_lstm_backward {
    size_t rows;
    const real *z, *c_prev, *c, *z_soon, *c_soon;
    bool mixed;
    const real *through;
    size_t through_row;
    real *dh, *dc, *carry, *dz, *dbias, *dtable;
    const int32_t *ids;
} kern_lstm_backward;

/* One block of NB units of a tanh layer: h = tanh(z + (row + bias)); z has rows `z_row` apart. */
typedef struct kern_rnn_forward {
    size_t rows, z_row;
    const real *z, *bias, *table;
    const int32_t *ids;
    real *h;
} kern_rnn_forward;

typedef struct kern_rnn_backward {
    size_t rows, z_row;
    const real *h, *through;
    size_t through_row;
    real *dh, *dz, *dbias, *dtable;
    const int32_t *ids;
} kern_rnn_backward;

/* What the backward kernels leave out without dbias: sum [width] += d[r] and table[ids[r]] += d[r], in order of rows;
 * rows of d are d_row apart, rows of the table 4*NB; ids may be NULL. */
typedef struct kern_sums {
    size_t rows, width, d_row;
    const real *d;
    real *sum, *table;
    const int32_t *ids;
} kern_sums;

/* A row of n outputs (padded to whole blocks): y += bias; with a target also its loss (returned) and, when d is not
 * NULL, d = dL/dy for loss * scale. Without one (target < 0, or NULL) d = 0 and the loss is 0. */
typedef struct kern_output {
    size_t n;
    real *y, *d;
    const real *bias;
    double scale;
} kern_output;

typedef struct kern_update {
    size_t n; /* multiple of NB */
    real *w, *g, *m, *v;
    double grad_scale; /* 1/accumulate and clipping by norm */
    double bound;      /* clipping by value, infinity for none */
    double lr, decay;  /* decay: the factor weight_decay, or 0 */
    double beta1, beta2, eps, momentum, alpha;
    double correct1, correct2; /* 1/(1 - beta1^t), 1/sqrt(1 - beta2^t) */
    double sum_w2, sum_d2;     /* out: squares of the old parameters, of their change */
    size_t clipped;            /* out: elements clipped by value */
    double sum_g2;             /* out: squares of the gradients after clipping */
} kern_update;

typedef struct kern {
    const char *name;
    void (*product)(const kern_product *p);
    void (*thin)(const kern_thin *p);
    void (*lstm_forward)(const kern_lstm_forward *p);
    void (*lstm_backward)(const kern_lstm_backward *p);
    void (*rnn_forward)(const kern_rnn_forward *p);
    void (*rnn_backward)(const kern_rnn_backward *p);
    void (*sums)(const kern_sums *p);
    /* Softmax cross-entropy: -log softmax(y)[target], in nats. */
    double (*softmax)(const kern_output *p, int32_t target);
    /* Sum of squared differences; the caller divides. d = 2 (y - target) scale. target is dense [n]. */
    double (*squares)(const kern_output *p, const real *target);
    /* Dropout masks, 0 or `keep_scale`: rows x units (padded), row r's unit u in block u/NB at
     * mask[(u/NB)*block + r*NB + u%NB]. Unit u of row r is dropped when 16 random bits, a function of
     * (seed, stream, first + r*ceil(units/8) + u/8), are below `threshold`. */
    void (*dropout)(real *mask, size_t rows, size_t units, size_t block, uint64_t seed, uint64_t stream, uint64_t first,
                    uint32_t threshold, real keep_scale);
    void (*multiply)(real *out, const real *a, const real *b, size_t n);
    void (*add)(real *out, const real *a, size_t n);
    double (*sum_squares)(const real *a, size_t n);
    void (*adam)(kern_update *u); /* AdamW: decoupled decay (Loshchilov & Hutter 2019, algorithm 2) */
    void (*adam_l2)(kern_update *u); /* Adam (Kingma & Ba 2015) with the decay added to the gradient */
    void (*sgd)(kern_update *u);
    void (*rmsprop)(kern_update *u);
    /* out[c][r] = in[r][c] for rows x columns; nothing else is written. */
    void (*transpose)(real *out, size_t out_row, const real *in, size_t in_row, size_t rows, size_t columns);
    /* Element-wise functions over n (any number of) values, for tests and tables. At most 2 ulp. */
    void (*exp)(real *out, const real *in, size_t n);
    void (*log)(real *out, const real *in, size_t n);
    void (*sigmoid)(real *out, const real *in, size_t n);
    void (*tanh)(real *out, const real *in, size_t n);
    const struct kern_tile_ops *tiles; /* tiles.h; float only, else NULL */
} kern;

/* The kernels in use for this precision (machine.h decides on the instruction set). */
const kern *REAL_NAME(kern_select)(void);

#endif
