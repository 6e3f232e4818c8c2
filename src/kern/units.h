/* SPDX-License-Identifier: MIT
 *
 * units.h - what of a processor multiplies bfloat16 numbers in tiles (tiles.h): is it there, and can it be trusted?
 */
#ifndef LSTM_UNITS_H
#define LSTM_UNITS_H

#include <stdbool.h>

/* The processor has AMX-TILE and AMX-BF16, the system saves their registers, and has given this process leave to use
 * them, for which this asks. (For AVX512-BF16 machine.c asks the compiler's library.) */
bool kern_amx_usable(void);
/* What packs for them: the program, as a processor with matrix units does it fastest. */
const struct kern_tile_ops *kern_amx_packing(void);
/* Whether they compute what the program does: a short check, in a thread that flushes denormals, where they are
 * usable. */
bool kern_amx_agrees(void);
bool kern_avx512bf16_agrees(void);

#endif
