/* SPDX-License-Identifier: MIT
 *
 * team.c - how many threads a pass uses, and where they meet.
 *
 * Results do not depend on the number of threads, so it may change at any time. A trainer that was not told how many
 * tries, now and then, half or twice as many as it uses and keeps what is faster: on a machine that other programs
 * use, one thread that runs beats two of which one waits for its turn at every time step.
 */
#include "engine.h"

#include <sched.h>
#include <time.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#else
#define PAUSE() ((void)0)
#endif

double lstm_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Longer than a time step's work differs between threads that run; after that the other one does not run, and must be
 * let to. */
#define SPINS 4000

void lstm_barrier_wait(lstm_barrier *b, size_t count)
{
    const size_t round = atomic_load_explicit(&b->round, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&b->arrived, 1, memory_order_acq_rel) + 1 == count) {
        atomic_store_explicit(&b->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&b->round, round + 1, memory_order_release);
        return;
    }
    for (unsigned spin = 0; atomic_load_explicit(&b->round, memory_order_acquire) == round; spin++)
        if (spin < SPINS)
            PAUSE();
        else
            sched_yield();
}

/* Below this many operations a time step, a barrier costs more than a second thread gains. */
#define WORTH_A_THREAD 100000.0

/* The most threads that find work: blocks of units to own, and enough to do between two barriers. */
static size_t most_threads(const lstm_trainer *tr)
{
    const lstm_layout *y = &tr->m->layout;
    const double step = 2.0 * (double)tr->config.batch * (double)(y->gates * y->H) * (double)y->H;
    size_t n = (size_t)(tr->config.threads ? tr->config.threads : lstm_threads());
    if (n > y->G && !lstm_team_by_rows(tr, n))
        n = y->G;
    if ((double)n > step / WORTH_A_THREAD)
        n = (size_t)(step / WORTH_A_THREAD);
    return n ? n : 1;
}

#define ROWS_A_THREAD 4
#define NEAR_BYTES ((size_t)1 << 20)

/* The largest share of n things among so many threads. */
static double largest_share(size_t n, size_t count) { return (double)((n + count - 1) / count) / (double)n; }

/* In tiles, 16 rows go together, and a product of few of them waits for weights: rows only where they are fairer shares
 * than units. */
static bool fair_rows(const lstm_trainer *tr, size_t count)
{
    const size_t groups = (tr->config.batch + TILE_SIDE - 1) / TILE_SIDE;
    return largest_share(groups, count) < largest_share(tr->m->layout.G, count);
}

/* Rows of a batch do not need each other, so a team that shares them meets once a layer rather than once a time step;
 * but every thread then reads all the weights, which must lie in its own cache. The bits are the same. */
bool lstm_team_by_rows(const lstm_trainer *tr, size_t count)
{
    const lstm_layout *y = &tr->m->layout;
    if (count == 1 || y->H * y->panels * PANEL * y->nb * y->esize > NEAR_BYTES)
        return false;
    return tr->parts ? fair_rows(tr, count) : tr->config.batch >= ROWS_A_THREAD * count;
}

size_t lstm_team_size(const lstm_trainer *tr)
{
    const size_t most = most_threads(tr), now = tr->team.trial ? tr->team.trial : tr->team.now;
    return now && now < most ? now : most;
}

#define TRIAL_STEPS 2
#define FIRST_INTERVAL 8u
#define LONGEST_INTERVAL 512u
#define CLEARLY_FASTER 0.9
#define MUCH_SLOWER 1.5

static void start_trial(lstm_team *t, size_t most)
{
    t->upwards = t->now == 1 || (t->now < most && !t->upwards);
    t->trial = t->upwards ? t->now * 2 : t->now / 2;
    if (t->trial > most)
        t->trial = most;
    t->time_trial = 0;
    t->left = TRIAL_STEPS;
}

static void end_trial(lstm_team *t)
{
    if (t->time_trial < CLEARLY_FASTER * t->time_now) {
        t->now = t->trial;
        t->time_now = t->time_trial;
        t->interval = FIRST_INTERVAL;
    } else if (t->interval < LONGEST_INTERVAL)
        t->interval *= 2;
    t->trial = 0;
    t->left = t->interval;
}

void lstm_team_learn(lstm_trainer *tr, double seconds)
{
    lstm_team *t = &tr->team;
    const size_t most = most_threads(tr);
    const double time = seconds / (double)tr->steps;
    if (tr->config.threads || most == 1)
        return;
    if (!t->now || t->now > most)
        *t = (lstm_team){.now = most, .left = FIRST_INTERVAL, .interval = FIRST_INTERVAL};
    if (t->trial) {
        t->time_trial += time / TRIAL_STEPS;
        if (--t->left == 0)
            end_trial(t);
        return;
    }
    if (t->time_now > 0 && time > MUCH_SLOWER * t->time_now && t->left > FIRST_INTERVAL)
        t->left = FIRST_INTERVAL;
    t->time_now = t->time_now > 0 ? 0.75 * t->time_now + 0.25 * time : time;
    if (--t->left == 0)
        start_trial(t, most);
}
