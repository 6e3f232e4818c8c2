/* SPDX-License-Identifier: MIT
 *
 * h5log_writer.c - the thread that writes the log: takes messages out of the queue, and commits in time.
 */
#define _GNU_SOURCE
#include "h5log_parts.h"

#include "fileio.h"
#include "h5file.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WAKE_BYTES ((size_t)1 << 20) /* so many in the queue are written before the next commit is due */
#define LONGEST 1e9 /* seconds to a commit that a timespec surely holds */
#define HELD_LIMIT (UINT64_C(64) << 20) /* bytes of overwrites held in memory: more force a commit */

double h5log_seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

message *h5log_new_message(message_kind kind, int64_t step, size_t size, lstm_error *err)
{
    message *m = size < SIZE_MAX - sizeof *m ? malloc(sizeof *m + size) : NULL;
    if (!m) {
        lstm_fail(err, "", "out of memory for a log record of %zu bytes", size);
        return NULL;
    }
    memset(m, 0, sizeof *m);
    m->kind = kind;
    m->step = step;
    m->size = size;
    return m;
}

/* Whether so many rows and records make a commit due. */
static bool enough(const h5log *log, size_t n)
{
    return log->options.commit_records && n >= log->options.commit_records;
}

/* mutex is held. A writer that is woken for every row takes a processor from the threads that train each time: it
 * sleeps until the next commit is due, unless this is the first change after a commit (which sets that time), there is
 * so much to do that it had better start, or somebody waits. */
void h5log_enqueue(h5log *log, message *m)
{
    size_t much = log->options.queue_bytes / 2 < WAKE_BYTES ? log->options.queue_bytes / 2 : WAKE_BYTES;
    log->queued += sizeof *m + m->size;
    log->waiting += m->kind < FLUSH;
    *log->end = m;
    log->end = &m->next;
    if (m->kind >= FLUSH || log->queued >= much || enough(log, log->uncommitted + log->waiting))
        h5log_hurry(log);
    else
        h5log_note_change(log);
}

void h5log_hurry(h5log *log)
{
    if (!log->hurry)
        pthread_cond_signal(&log->wake);
    log->hurry = true;
}

/* ---- commits ---------------------------------------------------------------------------------------------------- */

/* Gives libhdf5 all that waits for a commit, and the number of the commit. */
static int settle(h5log *log, int64_t count)
{
    if (h5metrics_settle(log->metrics))
        return -1;
    for (log_group *g = log->groups; g; g = g->next)
        if (h5records_settle(g->records))
            return -1;
    return H5Awrite(log->commits_attribute, H5T_NATIVE_INT64, &count) < 0 ? -1 : 0;
}

/* Makes everything written so far a commit. */
int h5log_commit(h5log *log, lstm_error *err)
{
    int64_t count = log->commits + 1;
    if (settle(log, count)) {
        log->library_failed = true;
        return h5log_write_fault(log, err);
    }
    int error = h5txn_commit(log->file);
    if (error)
        return fileio_fail(err, "cannot write", log->path, error);
    log->commits = count;
    return 0;
}

void h5log_note_change(h5log *log)
{
    if (log->dirty)
        return;
    log->deadline = h5log_seconds(CLOCK_MONOTONIC) + fmin(log->options.commit_seconds, LONGEST);
    log->dirty = true;
    pthread_cond_signal(&log->wake);
}

/* ---- messages --------------------------------------------------------------------------------------------------- */

/* Rounds float32 to so many bits of the mantissa, to nearest, ties to even; they compress better then. */
static void keep_bits(uint32_t *bits, size_t n, int keep)
{
    uint32_t drop = 23 - (uint32_t)keep, mask = (UINT32_C(1) << drop) - 1;
    for (size_t k = 0; k < n; k++) {
        uint32_t b = bits[k];
        if ((b & 0x7f800000u) == 0x7f800000u) /* NaN and Inf */
            continue;
        bits[k] = (b + (mask >> 1) + (b >> drop & 1)) & ~mask;
    }
}

/* Pointers to the texts of a record, which follow each other in the message. To be freed. */
static const char **texts_of(const message *m)
{
    size_t n = 0;
    for (size_t k = 0; k < m->size; k++)
        n += m->data[k] == 0;
    const char **texts = malloc((n + 1) * sizeof *texts);
    const char *text = (const char *)m->data;
    for (size_t k = 0; texts && k < n; k++, text += strlen(text) + 1)
        texts[k] = text;
    return texts;
}

static int write_record(message *m)
{
    h5series *s = m->series;
    hsize_t row;
    const size_t *shape = m->whole ? NULL : m->shape;
    if (s->keepbits && s->type == H5_F32)
        keep_bits((uint32_t *)(void *)m->data, m->size / 4, s->keepbits);
    if (h5records_row(s->group, m->step, true, &row))
        return -1;
    if (s->type != H5_TEXT)
        return h5records_write(s, row, shape, m->data);
    const char **texts = texts_of(m);
    int result = texts ? h5records_write(s, row, shape, texts) : -1;
    free(texts);
    return result;
}

static int write_sample(h5log *log, const message *m)
{
    hsize_t row;
    int64_t bytes = (int64_t)m->shape[0];
    const char *text = (const char *)m->data;
    return h5records_row(log->samples->records, m->step, false, &row) ||
           h5records_write(log->sample_text, row, NULL, &text) ||
           h5records_write(log->sample_bytes, row, NULL, &bytes);
}

static int write_event(h5log *log, const message *m)
{
    const char *kind = (const char *)m->data, *text = kind + strlen(kind) + 1;
    hsize_t row;
    return h5records_row(log->events->records, m->step, false, &row) ||
           h5records_write(log->event_kind, row, NULL, &kind) || h5records_write(log->event_text, row, NULL, &text) ||
           h5records_write(log->event_time, row, NULL, &m->time);
}

static int write_one(h5log *log, message *m)
{
    switch (m->kind) {
    case ROW: return h5metrics_row(log->metrics, m->step, (const h5cell *)(void *)m->data, m->size / sizeof(h5cell));
    case RECORD: return write_record(m);
    case SAMPLE: return write_sample(log, m);
    case EVENT: return write_event(log, m);
    default: return 0;
    }
}

/* mutex is held. The first failure counts; everybody who waits is told. */
static void fail_log(h5log *log, const lstm_error *error)
{
    if (!log->failed)
        log->error = *error;
    log->failed = true;
    pthread_cond_broadcast(&log->taken);
}

/* mutex is held, and released meanwhile. */
static void commit_now(h5log *log)
{
    lstm_error error = {0};
    log->dirty = false;
    if (log->first)
        h5log_note_change(log);
    pthread_mutex_unlock(&log->mutex);
    h5_enter();
    int result = log->library_failed ? -1 : h5log_commit(log, &error);
    int64_t step = log->written_step, commits = log->commits;
    h5_leave();
    pthread_mutex_lock(&log->mutex);
    log->stats.commits = (uint64_t)commits;
    if (result)
        fail_log(log, &error);
    else
        log->stats.committed_step = step;
}

/* mutex is held, and released meanwhile. Returns whether so much is held in memory that a commit is due. */
static bool take_message(h5log *log, message *m)
{
    lstm_error error = {0};
    bool skip = log->failed;
    pthread_mutex_unlock(&log->mutex);
    h5_enter();
    int result = skip ? 0 : write_one(log, m);
    if (result) {
        h5log_write_fault(log, &error);
        log->library_failed = true;
    } else if (m->kind < FLUSH && m->step > log->written_step) {
        log->written_step = m->step;
    }
    bool full = log->status.held > HELD_LIMIT;
    h5_leave();
    pthread_mutex_lock(&log->mutex);
    if (result)
        fail_log(log, &error);
    return full;
}

/* mutex is held, and released while waiting: until there is a hurry, or it is time for the next commit. */
static void wait_for_work(h5log *log)
{
    while (!log->hurry) {
        if (!log->dirty || log->failed) {
            pthread_cond_wait(&log->wake, &log->mutex);
            continue;
        }
        struct timespec t = {(time_t)log->deadline, (long)(1e9 * (log->deadline - floor(log->deadline)))};
        if (pthread_cond_timedwait(&log->wake, &log->mutex, &t) == ETIMEDOUT)
            break;
    }
    log->hurry = false;
}

/* mutex is held, and released meanwhile. The last try, at closing, is made even after a commit has failed: there may be
 * space again. */
static void commit_if_needed(h5log *log, bool closing)
{
    if (log->failed ? closing : log->dirty)
        commit_now(log);
    log->uncommitted = 0;
}

/* mutex is held, and released meanwhile. Writes m, and commits if so much is uncommitted or somebody waits for it. */
static void serve(h5log *log, message *m)
{
    if (m->kind < FLUSH)
        h5log_note_change(log);
    bool full = take_message(log, m);
    log->waiting -= m->kind < FLUSH;
    log->uncommitted += m->kind < FLUSH;
    if (full || enough(log, log->uncommitted) || m->kind >= FLUSH)
        commit_if_needed(log, m->kind == CLOSE);
    log->queued -= sizeof *m + m->size;
    log->flushes_done += m->kind == FLUSH;
    pthread_cond_broadcast(&log->taken);
}

static void *write_loop(void *data)
{
    h5log *log = data;
    bool closing = false;
    pthread_mutex_lock(&log->mutex);
    while (!closing) {
        wait_for_work(log);
        message *m = log->first, *next;
        log->first = NULL;
        log->end = &log->first;
        for (; m; m = next) {
            next = m->next;
            serve(log, m);
            closing = closing || m->kind == CLOSE;
            free(m);
        }
        if (log->dirty && h5log_seconds(CLOCK_MONOTONIC) >= log->deadline)
            commit_if_needed(log, false);
    }
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

/* Signals are the main thread's. */
int h5log_start_thread(h5log *log, lstm_error *err)
{
    sigset_t all, old;
    log->stats.commits = (uint64_t)log->commits; /* from now on set by the thread */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&log->thread, NULL, write_loop, log);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error ? fileio_fail(err, "cannot start the thread that writes", log->path, error) : 0;
}
