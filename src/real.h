/* SPDX-License-Identifier: MIT
 *
 * real.h - one source, two precisions. Files that include this are compiled twice, with LSTM_REAL=32 and =64; their
 * external names get a suffix through REAL_NAME, so that both live in one program.
 */
#ifndef LSTM_REAL_H
#define LSTM_REAL_H

#include <stddef.h>

#include "block.h"

#define REAL_PASTE2(a, b) a##b
#define REAL_PASTE(a, b) REAL_PASTE2(a, b)

#if LSTM_REAL == 64
typedef double real;
#define REAL_NAME(x) REAL_PASTE(x, _f64)
#define LSTM_REAL_TYPE LSTM_F64
#elif LSTM_REAL == 32
typedef float real;
#define REAL_NAME(x) REAL_PASTE(x, _f32)
#define LSTM_REAL_TYPE LSTM_F32
#else
#error "compile with -DLSTM_REAL=32 or -DLSTM_REAL=64"
#endif

/* Numbers in a block. */
#define NB (LSTM_LINE / sizeof(real))

#endif
