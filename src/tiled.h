/* SPDX-License-Identifier: MIT
 *
 * tiled.h - the products of a pass whose operands are bfloat16 numbers in tiles (kern/tiles.h), in place of the products
 * of reals in forward.c and backward.c. Used by float networks with such a precision; compiled for double, too, which
 * never has one.
 *
 * What is packed, and when: weights once a pass, and transposed once a backward pass; h and dz where a cell has computed
 * them, for the next time step and for the layer above or below; for the gradients of weights, whose k are positions, h
 * once a layer and dz while it is used. All of it lies in the trainer's arena, planned in trainer.c with the sizes below.
 */
#ifndef LSTM_TILED_H
#define LSTM_TILED_H

#include "team.h"

static inline bool tiled(const team *me) { return me->tr->parts > 0; }
static inline bool mixed(const team *me) { return tiled(me) && kern_tiles_mixed(me->tr->parts); }
/* The head, too, where it is wide: a narrow one takes little time. */
static inline bool tiled_head(const team *me) { return me->tr->wide_head; }

/* The pass, with what products in tiles need about it. */
void REAL_NAME(tiled_run)(team *me, void (*pass)(team *me));

/* All threads, before the first layer: the weights. A barrier must follow. */
void REAL_NAME(tiled_weights)(const team *me);
/* The input of layer l (or, for l = L, of the head) at time steps [first, last): where it is not h of the layer below. */
void REAL_NAME(tiled_input)(const team *me, size_t l, const real *x, size_t first, size_t last);

/* Time steps of an operand that should go through the same weights one after the other. */
size_t REAL_NAME(tiled_times)(const team *me, const lstm_tiled *rows);

/* z (+)= x W_ih^T, or h W_hh^T, of layer l at time t, for a piece of the units and this thread's rows: z is where those
 * begin, [rows][4][NB]. */
void REAL_NAME(tiled_input_gates)(const team *me, const team_piece *p, size_t l, size_t t, real *z);
void REAL_NAME(tiled_recurrent_gates)(const team *me, const team_piece *p, size_t l, size_t t, real *z);
/* h of layer l, block g, at time t (0: the initial state), for this thread's rows; or with the cells that compute it. */
void REAL_NAME(tiled_state)(const team *me, size_t l, size_t t, size_t g);
void REAL_NAME(tiled_cell)(const team *me, size_t l, size_t t, size_t g, const kern_lstm_forward *p);

/* The same backwards. c = dz W of layer l at times [from, to), W being parameter weight_ih (input) or weight_hh;
 * c: [block][B][NB], c_step from one time to the next. */
void REAL_NAME(tiled_transposed_weights)(const team *me);
void REAL_NAME(tiled_input_product)(const team *me, const team_piece *p, size_t l, size_t from, size_t to, bool input,
                                    real *c, size_t c_step);
/* Gradients of the gates of block g at time t, for this thread's rows, which are PANEL*NB apart at dz. */
void REAL_NAME(tiled_gate_gradients)(const team *me, size_t t, size_t g, const real *dz);
/* The same with the cells that compute them, and nowhere else. */
void REAL_NAME(tiled_cell_back)(const team *me, size_t t, size_t g, const kern_lstm_backward *p);
/* Gradients of both weights of layer l; all threads, with barriers. */
void REAL_NAME(tiled_weight_gradients)(const team *me, size_t l);

/* A wide head: the logits; dL/d(logits) in tiles, before a barrier; and the products with them. dh: at time `from`. */
void REAL_NAME(tiled_outputs)(const team *me);
void REAL_NAME(tiled_output_gradients)(const team *me);
void REAL_NAME(tiled_head_weights)(const team *me);
void REAL_NAME(tiled_head_inputs)(const team *me, const team_piece *p, size_t from, size_t to, real *dh);

/* Blocks of units in the pieces that tiled_input_product is called with: as many as share what is read of dz. */
#define TILED_BLOCKS 16

#endif
