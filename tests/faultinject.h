/* SPDX-License-Identifier: MIT
 *
 * faultinject.h - what faultinject.c keeps of each call in FAULT_RECORD.
 */
#ifndef FAULTINJECT_H
#define FAULTINJECT_H

#include <stddef.h>
#include <stdint.h>

typedef struct fault_call {
    char what; /* w write, s sync, t truncate, a allocate, r rename to, l link to, u unlink */
    char name[31];  /* the file, without its directory */
    int64_t offset; /* w: where, -1: where the file stands; t, a: the file's end then */
    size_t length;  /* w: of the bytes, which follow in the record */
} fault_call;

#endif
