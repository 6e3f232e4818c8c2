/* SPDX-License-Identifier: MIT
 *
 * failing.h - calls that fail when a test says so.
 *
 * failing.c: which call is to fail. It is chosen by number, by name, or by path: the functions that lead to it. A call
 *   in a loop, which has a thousand numbers, has one path.
 * failing_memory.c: allocations of the program, and none of its libraries' (linked with --wrap for these functions).
 * failing_calls.c: calls of the system about files and processes, and of libhdf5.
 *
 * A child shares these choices with its parent, and its calls count.
 */
#ifndef FAILING_H
#define FAILING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

extern atomic_long failing_blocks; /* of memory, taken and not given back */
extern bool failing_for_ever;      /* the chosen call fails, and all after it */
extern int failing_errno;          /* the reason; 0: none. Of memory it is always ENOMEM */
extern long failing_result;        /* what a call says that is not made (or is, if it closes something): -1 */

void fail_number(long number); /* from 0; -1: no call fails, but they are counted */
void fail_name(const char *function, long number); /* a call of it, from 0 */
void fail_path(size_t number);
void record_paths(void); /* no call fails, but paths are numbered from here on */
void fail_nothing(void); /* ends all of this */

/* Where a path ends: at the call that returns here. To be set by who calls what is tested. */
extern void *failing_root;

long calls_counted(void);
size_t paths_recorded(void);
bool call_failed(void);          /* whether the chosen one was made */
const char *failed_name(void);   /* the function; of a path also before it was called */

/* To be asked for each such call, with the address it returns to: whether it is to fail. */
bool failing_now(const char *function, void *caller);
/* A block of memory never fails to become smaller. */
void *shrink_block(void *block, size_t size);

#endif
