/* SPDX-License-Identifier: MIT
 *
 * group.h - processes that train together. The binding gets a group from the module lstm.mpi (mpi.c, lua_mpi.c),
 * which is loaded when there is one: neither this program nor the module for a stock Lua is linked with MPI.
 */
#ifndef LSTM_GROUP_H
#define LSTM_GROUP_H

#include "lstm.h"

/* What every process of a group has of it. All of them call the same functions in the same order; a call returns when
 * all have made it. What cannot go on ends all processes. */
typedef struct lstm_group {
    const char *version; /* LSTM_VERSION of who made it */
    size_t rank, size;
    /* As lstm_partners has it. */
    void (*sum)(void *context, lstm_type type, void *values, size_t count);
    /* all := what each rank has, bytes[rank] of it, one after the other. */
    void (*gather)(void *context, const void *own, const size_t *bytes, void *all);
    void *context;
} lstm_group;

/* ---- over MPI (mpi.c) ------------------------------------------------------------------------------------------- */

const char *lstm_mpi_library(void); /* which it is: "Open MPI v4.1.4, ..." */
/* Begins. The group lives as long as the process. NULL when there is no memory for it. */
const lstm_group *lstm_mpi_start(void);
void lstm_mpi_max(int64_t *values, size_t count); /* values[i] := its maximum over the ranks */
/* Threads that leave every rank of this machine as many processors as any other. */
size_t lstm_mpi_threads(void);
/* This rank is at its end: waits until all are, at most so many seconds (< 0: as long as it takes). Returns false when
 * they are not; else MPI is finished, and *failed is the first rank that failed, or their number when none did. */
bool lstm_mpi_leave(double seconds, bool has_failed, int *failed);
void lstm_mpi_abort(int status); /* ends all processes */

#endif
