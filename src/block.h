/* SPDX-License-Identifier: MIT
 *
 * block.h - the numbers the packed layouts are made of.
 */
#ifndef LSTM_BLOCK_H
#define LSTM_BLOCK_H

/* Bytes of a block and alignment of everything: one cache line, one AVX-512 register. */
#define LSTM_LINE 64

/* Blocks in one panel of a packed weight matrix: four keep the widest kernels' registers busy, and are the four gates
 * of one block of units. */
#define PANEL 4

/* Tiles of bfloat16 numbers (kern/tiles.h): rows or columns, numbers along k, both; parts of a number at most. */
#define TILE_SIDE 16
#define TILE_DEPTH 32
#define TILE_SIZE (TILE_SIDE * TILE_DEPTH)
/* Tiles along k that go together: of 4, 8 and 16 the fastest with matrix units. */
#define TILES_AT_ONCE ((size_t)16)
#define TILE_PARTS 3

#endif
