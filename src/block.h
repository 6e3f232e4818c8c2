/* SPDX-License-Identifier: MIT
 *
 * block.h - the two numbers the packed layout is made of.
 */
#ifndef LSTM_BLOCK_H
#define LSTM_BLOCK_H

/* Bytes of a block and alignment of everything: one cache line, one AVX-512 register. */
#define LSTM_LINE 64

/* Blocks in one panel of a packed weight matrix: four keep the widest kernels' registers busy, and are the four gates
 * of one block of units. */
#define PANEL 4

#endif
