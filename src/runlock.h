/* SPDX-License-Identifier: MIT
 *
 * runlock.h - a run's directory belongs to one process at a time: a lock file in it, flock()ed, that says by whom.
 *
 * The system gives the flock back when a process ends, however it ends; the file stays behind, and what is in it tells
 * whether its writer may still be there where flock() does not reach: on file systems without it, and on other hosts.
 * For these it is touched every few seconds, by a thread of its own: a step may take longer than they would wait.
 *
 *     pid 4711
 *     host node7
 *     boot 5c1e9a52-...       of that host, since it was last started
 *     start 8231776           of that process, as /proc/PID/stat has it: process numbers are used again
 */
#ifndef LSTM_RUNLOCK_H
#define LSTM_RUNLOCK_H

#include "lstm.h"

#include <stdbool.h>

#define RUNLOCK_FRESH 120 /* seconds after its last touch for which the lock of another host counts */
extern unsigned runlock_beat_ms; /* from one touch to the next; for tests, which cannot wait so long */

typedef struct runlock runlock;

/* Takes the lock of the directory with the file at path. NULL and a sentence when another process has it, or when the
 * file cannot be written. The lock of a dead process is taken over. */
runlock *runlock_take(const char *path, lstm_error *err);
/* Whether another process has the directory now: it took this one, which had been stopped for a while, for dead. */
bool runlock_lost(const runlock *lock);
/* Removes the file. NULL is fine. */
void runlock_release(runlock *lock);

#endif
