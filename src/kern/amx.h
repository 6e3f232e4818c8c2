/* SPDX-License-Identifier: MIT
 *
 * amx.h - the matrix units of a processor: whether they are there, and can be trusted. Where they are, see tiles.h.
 */
#ifndef LSTM_AMX_H
#define LSTM_AMX_H

#include <stdbool.h>

/* The processor has AMX-TILE and AMX-BF16, the system saves their registers, and has given this process leave to use
 * them, for which this asks. */
bool kern_amx_usable(void);
/* Whether they compute what tiles.c does: a short check, in a thread that flushes denormals, where they are usable. */
bool kern_amx_agrees(void);

#endif
