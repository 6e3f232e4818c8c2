/* SPDX-License-Identifier: MIT
 *
 * isa.h - for files compiled once per instruction set with -DKERN_ISA=scalar|avx2|avx512: what vec.h wants to know,
 * and names of their own for their tables. tiles.c is compiled with AVX512-BF16, too: with its products (avx512bf16), and
 * with its conversions alone, to pack for matrix units (avx512narrow); for tests also as a program that does what its
 * products do (chains).
 */
#ifndef LSTM_ISA_H
#define LSTM_ISA_H

#include "../real.h"

#define KERN_IS_scalar 0
#define KERN_IS_avx2 1
#define KERN_IS_avx512 2
#define KERN_IS_avx512bf16 3
#define KERN_IS_avx512narrow 4
#define KERN_IS_chains 5
#define KERN_WHICH2(isa) KERN_IS_##isa
#define KERN_WHICH(isa) KERN_WHICH2(isa)
#if KERN_WHICH(KERN_ISA) == 3 || KERN_WHICH(KERN_ISA) == 5
#define KERN_CHAINS
#endif
#if KERN_WHICH(KERN_ISA) == 3 || KERN_WHICH(KERN_ISA) == 4
#define KERN_NARROW
#endif
#if KERN_WHICH(KERN_ISA) >= 2 && KERN_WHICH(KERN_ISA) <= 4
#define KERN_AVX512
#elif KERN_WHICH(KERN_ISA) == 1
#define KERN_AVX2
#endif

/* KERN_NAME(kern_) is kern_avx2_f32, ... */
#define KERN_NAME2(prefix, isa) REAL_NAME(prefix##isa)
#define KERN_NAME1(prefix, isa) KERN_NAME2(prefix, isa)
#define KERN_NAME(prefix) KERN_NAME1(prefix, KERN_ISA)
#define KERN_STRING2(isa) #isa
#define KERN_STRING(isa) KERN_STRING2(isa)

#endif
