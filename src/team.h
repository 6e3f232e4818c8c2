/* SPDX-License-Identifier: MIT
 *
 * team.h - how the threads of a pass share work: every thread owns fixed things, so no sum ever depends on who does it.
 * Works without OpenMP, as a team of one.
 */
#ifndef LSTM_TEAM_H
#define LSTM_TEAM_H

#include "engine.h"
#include "kern/kern.h"
#include "real.h"

/* One thread's place in a pass. */
typedef struct team {
    lstm_trainer *tr;
    const lstm_layout *y;
    const kern *kern;
    size_t id, count;
    size_t g0, g1; /* blocks of units this thread owns, in every layer */
} team;

/* Items [*first, *last) of n are this thread's. */
static inline void team_share(const team *me, size_t n, size_t *first, size_t *last)
{
    *first = n * me->id / me->count;
    *last = n * (me->id + 1) / me->count;
}

/* Elements of [T][block][B][nb] and of [T][panel][B][4][nb] at one time step. */
static inline size_t unit_step(const team *me) { return me->y->G * me->tr->config.batch * NB; }
static inline size_t gate_step(const team *me) { return me->y->panels * PANEL * me->tr->config.batch * NB; }

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
