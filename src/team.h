/* SPDX-License-Identifier: MIT
 *
 * team.h - how the threads of a pass share work: every thread owns fixed things, so no sum ever depends on who does it.
 * Works without OpenMP, as a team of one.
 */
#ifndef LSTM_TEAM_H
#define LSTM_TEAM_H

#include "engine.h"
#include "kern/kern.h"
#include "kern/tiles.h"
#include "real.h"

/* One thread's place in a pass. */
typedef struct team {
    lstm_trainer *tr;
    const lstm_layout *y;
    const kern *kern;
    kern_tile_ops tiles; /* this machine's; of no use without tiles */
    size_t id, count;
    bool by_rows;  /* threads share the batch's rows; else the blocks of units */
    size_t g0, g1; /* blocks of units this thread owns, in every layer */
    size_t r0, r1; /* and rows */
} team;

/* Items [*first, *last) of n are this thread's. */
static inline void team_share(const team *me, size_t n, size_t *first, size_t *last)
{
    *first = n * me->id / me->count;
    *last = n * (me->id + 1) / me->count;
}

/* This thread's blocks of units that lie in one panel, panels of `width` blocks: the i-th of team_pieces. Odd time steps
 * go through them from the other end, so that what the last step left in the cache is used first. */
typedef struct team_piece {
    size_t panel, first, blocks; /* first: within the panel */
} team_piece;

static inline size_t team_pieces(size_t g0, size_t g1, size_t width)
{
    return g1 > g0 ? (g1 - 1) / width - g0 / width + 1 : 0;
}

static inline team_piece team_piece_at(size_t g0, size_t g1, size_t width, size_t i, bool reverse)
{
    const size_t panel = g0 / width + (reverse ? team_pieces(g0, g1, width) - 1 - i : i);
    const size_t from = panel * width > g0 ? panel * width : g0;
    const size_t to = (panel + 1) * width < g1 ? (panel + 1) * width : g1;
    return (team_piece){.panel = panel, .first = from - panel * width, .blocks = to - from};
}

/* Time steps that go together through the panels of a weight matrix, so that a panel is used several times while it is
 * near: as many as have `bytes` each in half a second-level cache. */
static inline size_t team_times(size_t bytes)
{
    return bytes < (size_t)256 << 10 ? ((size_t)256 << 10) / (bytes ? bytes : 1) : 1;
}

/* Parameter tensor number `param`, packed. */
static inline const real *weights(const team *me, size_t param)
{
    return (const real *)me->tr->m->params + me->y->param[param].offset;
}

/* Elements of [T][block][B][nb] and of [T][panel][B][4][nb] at one time step. */
static inline size_t unit_step(const team *me) { return me->y->G * me->tr->config.batch * NB; }
static inline size_t gate_step(const team *me) { return me->y->panels * PANEL * me->tr->config.batch * NB; }

/* Gates of block g at time t in z or dz of a layer, for this thread's rows, which are PANEL*NB apart. */
static inline real *team_gates(const team *me, void *all, size_t t, size_t g)
{
    const size_t panel = g * me->y->gates / PANEL, lane = g * me->y->gates % PANEL * NB;
    return (real *)all + t * gate_step(me) + (panel * me->tr->config.batch + me->r0) * PANEL * NB + lane;
}

/* The place in tr->near that is this thread's, and in tr->through that of block g. */
static inline real *team_near(const team *me)
{
    return (real *)me->tr->near + (me->g0 * me->tr->room + me->r0) * PANEL * NB;
}
static inline real *team_through(const team *me, size_t g)
{
    return (real *)me->tr->through + (g * me->tr->room + me->r0) * NB;
}

static inline void team_barrier(const team *me)
{
    if (me->count > 1)
        lstm_barrier_wait(me->tr->barrier, me->count);
}

/* What thread 0 did since the last call counts to this phase. */
static inline void team_phase(const team *me, lstm_phase phase)
{
    if (me->id == 0 && me->tr->profile) {
        const double now = lstm_clock();
        me->tr->phase[phase] += now - me->tr->phase_start;
        me->tr->phase_start = now;
    }
}

/* Runs the pass in one parallel region, denormals flushed; defined in forward.c. */
void REAL_NAME(lstm_team_run)(lstm_trainer *tr, void (*pass)(team *me));

#endif
