/* SPDX-License-Identifier: MIT
 *
 * naive.h - the same networks once more, as plainly as they can be written: the yardstick of the tests.
 *
 * Always double, always dense row-major arrays in the logical shapes of lstm.h, one loop per index, no blocks, no
 * threads. Shares nothing with the engine but the configuration structs. Running out of memory aborts.
 */
#ifndef NAIVE_H
#define NAIVE_H

#include "lstm.h"

typedef struct naive_param {
    char name[LSTM_NAME_SIZE];
    size_t rows, cols; /* cols is 1 for a bias */
    bool bias;
    double *value, *grad, *moment1, *moment2; /* [rows, cols] */
} naive_param;

/* Errors that can be switched on, to show that a check of the derivatives notices them. */
typedef enum naive_fault {
    NAIVE_SOUND,
    NAIVE_FAULT_FORGET,    /* dL/dc_{t-1} without the factor f_t */
    NAIVE_FAULT_OUTPUT,    /* dL/do without the derivative of the sigmoid */
    NAIVE_FAULT_RECURRENT, /* dL/dweight_hh with h_t instead of h_{t-1} */
    NAIVE_FAULT_TANH       /* candidate's (rnn: unit's) tanh' as 1 - g instead of 1 - g^2 */
} naive_fault;

typedef struct naive {
    lstm_model_config net;
    size_t T, B, I, O, G; /* I: width of layer 0's input; G: gates per unit, 4 or 1 */
    naive_fault fault;
    size_t params;
    naive_param *param; /* in the engine's order */
    double *x, *dx;                 /* [T,B,I]: one-hot, embedded or dense */
    double *i, *f, *g, *o, *c, *h;  /* [L,T,B,H]; rnn: h only */
    double *di, *df, *dg, *dgo, *dc, *dh; /* gates': before the non-linearity; dgo is the output gate's */
    double *drop;                   /* [L,T,B,H]: factor on h on its way up; 1 unless the caller changes it */
    double *up, *dup;               /* [L,T,B,H]: h * drop */
    double *y, *dy;                 /* [T,B,O]: logits or linear output */
    double *h0, *c0, *dh0, *dc0;    /* [L,B,H] */
    const int32_t *ids;             /* of the last forward */
} naive;

typedef struct naive_batch {
    const int32_t *ids;        /* [T,B] or NULL */
    const double *x;           /* [T,B,I] or NULL */
    const int32_t *target_ids; /* [T,B] or NULL */
    const double *target;      /* [T,B,O] or NULL */
    const double *mask;        /* [T,B] or NULL */
    lstm_loss_at loss_at;
    lstm_reduction reduction;
} naive_batch;

naive *naive_new(const lstm_model_config *net, size_t T, size_t B); /* everything zero, drop 1 */
void naive_free(naive *n);
naive_param *naive_find(naive *n, const char *name); /* NULL when there is none */
/* Activations of layer l: p is one of the [L,T,B,H] arrays. */
double *naive_layer(const naive *n, double *p, size_t l);

double naive_forward(naive *n, const naive_batch *batch); /* the loss; from h0, c0 */
void naive_backward(naive *n);                            /* adds to param[].grad */
void naive_zero(naive *n);
double naive_norm(const naive *n); /* global L2 norm of the gradients */
/* Clips the gradients in place, as torch.nn.utils.clip_grad_norm_ and clip_grad_value_; the norm before. */
double naive_clip(naive *n, lstm_clip clip, double at);
/* Update number `update` (from 1) with the formulas of torch.optim: config's optimizer and its numbers. */
void naive_update(naive *n, const lstm_trainer_config *config, double lr, unsigned long update);

#endif
