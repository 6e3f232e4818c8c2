/* SPDX-License-Identifier: MIT
 *
 * mpi.c - a group (group.h) of the processes that mpirun, or srun, started together.
 *
 * MPI's own reductions may add in an order that depends on where the processes run. Here a sum is made by hand: every
 * rank owns a part of the array, gets it from all, adds in order of rank, and gives the result to all. So its bits
 * depend on the number of ranks alone.
 *
 * Waiting is polite: a rank that has nothing to do soon lets others use its processor, which matters where there are
 * more ranks than processors.
 */
#define _GNU_SOURCE /* dladdr, sched_getaffinity */
#include <mpi.h>

#include "group.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHUNK = 1 << 20, /* elements that are summed at a time: enough to be fast, little beside a model */
    FEW = 64,        /* so few that every rank may as well add all of them */
    SPINS = 2000,    /* tries before a waiting rank gives way, and before it sleeps */
    YIELDS = 20000,
};

static struct {
    lstm_group group;
    MPI_Comm leaving;          /* apart from the others, so that who leaves meets nobody who works */
    void *buffer;              /* CHUNK + ranks doubles */
    int *counts, *places;      /* [ranks] each: of this rank's array, and of what it gets */
    int *got_counts, *got_places;
} world;

static int first_failed; /* static: what leaving ranks add up must be there as long as MPI works at it */

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

static void sleep_seconds(double seconds)
{
    const struct timespec t = {.tv_sec = 0, .tv_nsec = (long)(seconds * 1e9)};
    nanosleep(&t, NULL);
}

static void wait_for(MPI_Request *request)
{
    int done = 0;
    for (unsigned tries = 0; MPI_Test(request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done; tries++) {
        if (tries > SPINS + YIELDS)
            sleep_seconds(50e-6);
        else if (tries > SPINS)
            sched_yield();
    }
}

/* ---- sums ------------------------------------------------------------------------------------------------------- */

/* parts[0][i] += parts[1][i], then parts[2][i], and so on; each part has count elements. */
#define ADD_PARTS(real)                                                                                                \
    static void add_parts_##real(real *parts, size_t ranks, size_t count)                                              \
    {                                                                                                                  \
        for (size_t r = 1; r < ranks; r++)                                                                             \
            for (size_t i = 0; i < count; i++)                                                                         \
                parts[i] += parts[r * count + i];                                                                      \
    }
ADD_PARTS(float)
ADD_PARTS(double)

static void add_parts(lstm_type type, void *parts, size_t count)
{
    if (type == LSTM_F32)
        add_parts_float(parts, world.group.size, count);
    else
        add_parts_double(parts, world.group.size, count);
}

static MPI_Datatype mpi_type(lstm_type type) { return type == LSTM_F32 ? MPI_FLOAT : MPI_DOUBLE; }
static size_t bytes_of(lstm_type type) { return type == LSTM_F32 ? sizeof(float) : sizeof(double); }

static void sum_few(lstm_type type, void *values, size_t count)
{
    MPI_Request request;
    MPI_Iallgather(values, (int)count, mpi_type(type), world.buffer, (int)count, mpi_type(type), MPI_COMM_WORLD,
                   &request);
    wait_for(&request);
    add_parts(type, world.buffer, count);
    memcpy(values, world.buffer, count * bytes_of(type));
}

/* Rank r owns elements [places[r], places[r] + counts[r]). */
static void sum_chunk(lstm_type type, void *values, size_t count)
{
    const size_t ranks = world.group.size, me = world.group.rank;
    MPI_Request request;
    for (size_t r = 0; r < ranks; r++) {
        world.places[r] = (int)(count * r / ranks);
        world.counts[r] = (int)(count * (r + 1) / ranks) - world.places[r];
    }
    const size_t own = (size_t)world.counts[me];
    for (size_t r = 0; r < ranks; r++) {
        world.got_places[r] = (int)(r * own);
        world.got_counts[r] = (int)own;
    }
    MPI_Ialltoallv(values, world.counts, world.places, mpi_type(type), world.buffer, world.got_counts,
                   world.got_places, mpi_type(type), MPI_COMM_WORLD, &request);
    wait_for(&request);
    add_parts(type, world.buffer, own);
    memcpy((char *)values + (size_t)world.places[me] * bytes_of(type), world.buffer, own * bytes_of(type));
    MPI_Iallgatherv(MPI_IN_PLACE, 0, mpi_type(type), values, world.counts, world.places, mpi_type(type),
                    MPI_COMM_WORLD, &request);
    wait_for(&request);
}

static void sum(void *context, lstm_type type, void *values, size_t count)
{
    (void)context;
    if (count <= FEW) {
        sum_few(type, values, count);
        return;
    }
    for (size_t at = 0; at < count; at += CHUNK)
        sum_chunk(type, (char *)values + at * bytes_of(type), count - at < CHUNK ? count - at : CHUNK);
}

void lstm_mpi_max(int64_t *values, size_t count)
{
    MPI_Request request;
    MPI_Iallreduce(MPI_IN_PLACE, values, (int)count, MPI_INT64_T, MPI_MAX, MPI_COMM_WORLD, &request);
    wait_for(&request);
}

/* ---- gathering -------------------------------------------------------------------------------------------------- */

/* From rank to rank, in pieces that an int can count. */
static void broadcast(void *bytes, size_t size, size_t root)
{
    const size_t most = (size_t)1 << 30;
    MPI_Request request;
    for (size_t at = 0; at < size; at += most) {
        const size_t count = size - at < most ? size - at : most;
        MPI_Ibcast((char *)bytes + at, (int)count, MPI_BYTE, (int)root, MPI_COMM_WORLD, &request);
        wait_for(&request);
    }
}

static void gather(void *context, const void *own, const size_t *bytes, void *all)
{
    char *at = all;
    (void)context;
    for (size_t r = 0; r < world.group.size; at += bytes[r++]) {
        if (r == world.group.rank && bytes[r] > 0)
            memcpy(at, own, bytes[r]);
        broadcast(at, bytes[r], r);
    }
}

/* ---- beginning and end ------------------------------------------------------------------------------------------ */

/* Open MPI loads plug-ins that look for its symbols in the whole program, where those of a module loaded by Lua are
 * not. */
static void show_symbols(void)
{
    Dl_info library;
    if (dladdr((const void *)(uintptr_t)&MPI_Init_thread, &library) != 0 && library.dli_fname != NULL)
        dlopen(library.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
}

const char *lstm_mpi_library(void)
{
    static char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    show_symbols();
    MPI_Get_library_version(text, &length);
    text[strcspn(text, "\n")] = '\0';
    return text;
}

static bool take_memory(size_t ranks)
{
    int *ints = calloc(4 * ranks, sizeof *ints);
    world.buffer = malloc((CHUNK + FEW * ranks) * sizeof(double));
    if (ints == NULL || world.buffer == NULL)
        return false;
    world.counts = ints;
    world.places = ints + ranks;
    world.got_counts = ints + 2 * ranks;
    world.got_places = ints + 3 * ranks;
    return true;
}

const lstm_group *lstm_mpi_start(void)
{
    int provided, rank, size;
    show_symbols();
    MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    MPI_Comm_dup(MPI_COMM_WORLD, &world.leaving);
    world.group = (lstm_group){
        .version = LSTM_VERSION, .rank = (size_t)rank, .size = (size_t)size, .sum = sum, .gather = gather};
    return take_memory((size_t)size) ? &world.group : NULL;
}

size_t lstm_mpi_threads(void)
{
    cpu_set_t own, all;
    MPI_Comm here;
    if (sched_getaffinity(0, sizeof own, &own) != 0)
        return 1;
    int count = CPU_COUNT(&own), sum_of_counts = 0;
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
    MPI_Allreduce(&own, &all, (int)sizeof own, MPI_BYTE, MPI_BOR, here);
    MPI_Allreduce(&count, &sum_of_counts, 1, MPI_INT, MPI_SUM, here);
    MPI_Comm_free(&here);
    const int share = (int)((long long)count * CPU_COUNT(&all) / sum_of_counts);
    return share > 0 ? (size_t)share : 1;
}

bool lstm_mpi_leave(double seconds, bool has_failed, int *failed)
{
    const double start = MPI_Wtime();
    MPI_Request request;
    int done = 0;
    first_failed = (int)(has_failed ? world.group.rank : world.group.size);
    MPI_Iallreduce(MPI_IN_PLACE, &first_failed, 1, MPI_INT, MPI_MIN, world.leaving, &request);
    while (MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done) {
        if (seconds >= 0 && MPI_Wtime() - start > seconds)
            return false;
        sleep_seconds(1e-3);
    }
    *failed = first_failed;
    MPI_Finalize();
    return true;
}

void lstm_mpi_abort(int status) { MPI_Abort(MPI_COMM_WORLD, status); }
