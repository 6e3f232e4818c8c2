/* SPDX-License-Identifier: MIT
 *
 * h5log_parts.h - what the parts of the log share: h5log.c (callers), h5log_writer.c (the thread), h5log_open.c
 * (opening and closing).
 *
 * Callers check and copy what is logged and put it into a queue; one thread takes it out and writes. `mutex` guards the
 * queue and everything marked so below; the h5_enter lock guards all that is libhdf5's, and the groups and columns. Who
 * needs both takes mutex first, or only one after the other.
 */
#ifndef LSTM_H5LOG_PARTS_H
#define LSTM_H5LOG_PARTS_H

#include "h5log.h"
#include "h5metrics.h"
#include "h5records.h"
#include "h5txn.h"

#include <pthread.h>
#include <time.h>

typedef struct log_group {
    struct log_group *next;
    h5records *records;
    int64_t last_step; /* of what was queued; mutex */
} log_group;

typedef struct log_series { /* never changes once it is in the list */
    struct log_series *next;
    char *name;
    log_group *group;
    h5series *series;
} log_series;

typedef enum message_kind { ROW, RECORD, SAMPLE, EVENT, FLUSH, CLOSE } message_kind;

/* What is queued. data: ROW: h5cell; RECORD: the array; SAMPLE: text; EVENT: kind, text. Texts end with NUL. */
typedef struct message {
    struct message *next;
    message_kind kind;
    int64_t step;
    h5series *series;
    bool whole; /* RECORD: of the announced shape */
    size_t shape[H5_MAX_DIMS];
    double time; /* EVENT: seconds since 1970 */
    size_t size; /* of data */
    _Alignas(16) unsigned char data[];
} message;

struct h5log {
    char *path;
    h5log_options options;

    /* h5_enter's lock */
    hid_t file, commits_attribute;
    h5txn_status status;
    int64_t commits;
    h5metrics *metrics;
    log_group *groups;
    log_group *samples, *events;
    h5series *sample_text, *sample_bytes, *event_kind, *event_text, *event_time;
    int64_t written_step;
    bool library_failed; /* a call of libhdf5 failed: what it holds is not to be committed any more */

    /* mutex */
    pthread_mutex_t mutex;
    pthread_cond_t wake, taken; /* for the thread; for callers who wait */
    message *first, **end;
    size_t queued;         /* bytes */
    size_t waiting;        /* rows and records in it, and being written */
    size_t uncommitted;    /* those written since the last commit */
    bool failed, abandoned;
    bool hurry;            /* the thread is not to wait for the deadline */
    bool dirty;            /* something is not committed */
    double deadline;       /* of the next commit, when dirty */
    uint64_t flushes_wanted, flushes_done;
    lstm_error error;
    log_series *series;
    h5column **columns;
    size_t ncolumns;
    int64_t last_row_step, last_sample_step, last_event_step;
    h5log_stats stats;

    message *close_order; /* made at the start: closing cannot be refused */
    pthread_t thread;
};

/* ---- h5log_writer.c --------------------------------------------------------------------------------------------- */

double h5log_seconds(clockid_t clock);

/* mutex is held. Takes m, even when the queue is full. */
void h5log_enqueue(h5log *log, message *m);
/* mutex is held: the thread writes now what is in the queue. */
void h5log_hurry(h5log *log);
message *h5log_new_message(message_kind kind, int64_t step, size_t size, lstm_error *err);
/* mutex is held: something is to be committed, commit_seconds from now at the latest. */
void h5log_note_change(h5log *log);
/* Makes everything written so far a commit. Between h5_enter and h5_leave. */
int h5log_commit(h5log *log, lstm_error *err);
int h5log_start_thread(h5log *log, lstm_error *err);

/* ---- h5log_open.c ----------------------------------------------------------------------------------------------- */

/* Sets "cannot write PATH: REASON", the driver's reason when it has one, else libhdf5's; returns -1. */
int h5log_write_fault(h5log *log, lstm_error *err);
/* The group, opened or made; NULL: failed. Between h5_enter and h5_leave. */
log_group *h5log_open_group(h5log *log, const char *path);

/* ---- h5log.c ---------------------------------------------------------------------------------------------------- */

/* mutex is held. The thread's failure, unless it was abandoned: -1 with err; else 0. */
int h5log_state(const h5log *log, lstm_error *err);

#endif
