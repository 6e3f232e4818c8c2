/* SPDX-License-Identifier: MIT
 *
 * failing.c - see failing.h
 */
#define _GNU_SOURCE
#include "failing.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MOST_PATHS 4096
#define DEPTH 32

typedef struct path {
    const char *function;
    void *caller;  /* where the call returns to, */
    uint64_t hash; /* and where all that led to it do */
} path;

typedef struct choice {
    enum { NOTHING, NUMBER, NAME, PATH, RECORD } how;
    long number, calls; /* the one that fails; those made */
    const char *name;
    bool failed;
    size_t npaths;
    path paths[MOST_PATHS];
} choice;

atomic_long failing_blocks;
bool failing_for_ever;
int failing_errno;
long failing_result = -1;
void *failing_root;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static choice *chosen; /* NULL: nothing was yet */

static void choose(int how, long number, const char *name)
{
    void *unused[1];
    backtrace(unused, 1); /* which loads what it needs at its first call */
    if (!chosen) {
        void *shared = mmap(NULL, sizeof *chosen, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
            abort();
        chosen = shared;
    }
    chosen->how = how;
    chosen->number = number;
    chosen->name = name;
    chosen->calls = 0;
    chosen->failed = false;
}

void fail_number(long number)
{
    choose(NUMBER, number, NULL);
}

void fail_name(const char *function, long number)
{
    choose(NAME, number, function);
}

void fail_path(size_t number)
{
    choose(PATH, (long)number, chosen->paths[number].function);
}

void record_paths(void)
{
    choose(RECORD, 0, NULL);
    chosen->npaths = 0;
}

void fail_nothing(void)
{
    chosen->how = NOTHING;
}

long calls_counted(void)
{
    return chosen->calls;
}

size_t paths_recorded(void)
{
    return chosen->npaths;
}

bool call_failed(void)
{
    return chosen->failed;
}

const char *failed_name(void)
{
    return chosen->name ? chosen->name : "";
}

/* From this one on. */
static uint64_t hash_callers(const void *caller)
{
    void *callers[DEPTH];
    uint64_t hash = 0;
    int k = 0;
    const int n = backtrace(callers, DEPTH);
    while (k < n && callers[k] != caller)
        k++;
    for (; k < n && callers[k] != failing_root; k++)
        hash = (hash ^ (uintptr_t)callers[k]) * UINT64_C(0x9e3779b97f4a7c15);
    return hash;
}

static void record(const char *function, void *caller)
{
    const path p = {function, caller, hash_callers(caller)};
    for (size_t k = 0; k < chosen->npaths; k++)
        if (chosen->paths[k].hash == p.hash && chosen->paths[k].caller == p.caller)
            return;
    if (chosen->npaths < MOST_PATHS)
        chosen->paths[chosen->npaths++] = p;
}

static bool is_chosen(const char *function, void *caller)
{
    const path *p = chosen->how == PATH ? &chosen->paths[chosen->number] : NULL;
    switch (chosen->how) {
    case NUMBER: return chosen->calls == chosen->number;
    case NAME: return strcmp(function, chosen->name) == 0 && chosen->number-- == 0;
    case PATH: return p->caller == caller && p->hash == hash_callers(caller);
    default: record(function, caller); return false;
    }
}

bool failing_now(const char *function, void *caller)
{
    if (!chosen || chosen->how == NOTHING)
        return false;
    pthread_mutex_lock(&lock);
    bool fails = chosen->failed ? failing_for_ever : is_chosen(function, caller);
    chosen->failed |= fails;
    chosen->calls++;
    pthread_mutex_unlock(&lock);
    if (fails && failing_errno)
        errno = failing_errno;
    return fails;
}
