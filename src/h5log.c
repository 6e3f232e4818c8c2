/* SPDX-License-Identifier: MIT
 *
 * The log's two halves: callers, who check and copy what is logged and put it into a queue, and one thread, which
 * takes it out and writes. `mutex` guards the queue and everything marked so below; the h5_enter lock guards all that
 * is libhdf5's, and the groups and columns. Who needs both takes mutex first, or only one after the other.
 */
#define _GNU_SOURCE
#include "h5log.h"

#include "fileio.h"
#include "h5file.h"
#include "h5metrics.h"
#include "h5records.h"
#include "h5txn.h"
#include "h5version.h"
#include "utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FORMAT_NAME "lstmrun log"
#define FORMAT_VERSION 1
#define HELD_LIMIT (UINT64_C(64) << 20) /* bytes of overwrites held in memory: more force a commit */
#define MOST_COLUMNS 4096
#define ATTRIBUTE_BYTES 60000 /* more is no attribute any more */
#define KIND_BYTES 32
#define EVENT_BYTES 512

/* ---- types ------------------------------------------------------------------------------------------------------ */

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

/* What is queued. data: ROW: h5cell; RECORD: the array; SAMPLE: text; EVENT: kind, NUL, text. */
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
    bool failed, abandoned;
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

/* ---- small things ----------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void h5log_defaults(h5log_options *o)
{
    *o = (h5log_options){.deflate = 1, .commit_seconds = 2, .queue_bytes = (size_t)64 << 20, .text_bytes = 65535};
}

static int check_options(const h5log_options *o, lstm_error *err)
{
    if (o->deflate < 0 || o->deflate > 9)
        return lstm_fail(err, "deflate", "0 to 9 expected, got %d", o->deflate);
    if (!(o->commit_seconds >= 0) || isinf(o->commit_seconds))
        return lstm_fail(err, "commit_seconds", "a number of at least 0 expected, got %g", o->commit_seconds);
    if (o->queue_bytes < 1)
        return lstm_fail(err, "queue_bytes", "a positive number expected");
    if (o->text_bytes < 16 || o->text_bytes > 65535)
        return lstm_fail(err, "text_bytes", "16 to 65535 expected, got %zu", o->text_bytes);
    return 0;
}

static int check_name(const char *what, const char *name, lstm_error *err)
{
    if (name && h5_name_ok(name, strlen(name)))
        return 0;
    return lstm_fail(err, what, "'%.70s' cannot be a name in the log: 1 to 63 bytes of UTF-8 without '/', control "
                     "characters or blanks at the ends expected", name ? name : "");
}

/* "cannot write PATH: REASON": the driver's reason when it has one, else libhdf5's. */
static int write_fault(h5log *log, lstm_error *err)
{
    return log->status.error ? fileio_fail(err, "cannot write", log->path, log->status.error)
                             : h5_fail(err, "cannot write", log->path);
}

/* Valid UTF-8 of at most limit bytes: what is not valid becomes U+FFFD, as does NUL, which would end the text; what is
 * too much is left out. To be freed. */
static char *clean_text(const char *text, size_t length, size_t limit, size_t *clean_length)
{
    char *clean = malloc(limit + 4);
    size_t n = 0, k = 0;
    while (clean && k < length) {
        uint32_t code;
        size_t size = lstm_utf8_decode(text + k, length - k, &code);
        bool valid = size && code;
        const char *from = valid ? text + k : "\xef\xbf\xbd";
        size_t bytes = valid ? size : 3;
        if (n + bytes > limit)
            break;
        memcpy(clean + n, from, bytes);
        n += bytes;
        k += size ? size : 1;
    }
    *clean_length = n;
    return clean;
}

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

static message *new_message(message_kind kind, int64_t step, size_t size, lstm_error *err)
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

/* ---- the file --------------------------------------------------------------------------------------------------- */

static hid_t file_access(h5log *log)
{
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
    if (fapl >= 0 && h5txn_set_driver(fapl, &log->status) >= 0 &&
        H5Pset_libver_bounds(fapl, H5F_LIBVER_V18, H5F_LIBVER_V18) >= 0)
        return fapl;
    h5_close(fapl);
    return -1;
}

static hid_t create_file(h5log *log, unsigned flags)
{
    hid_t fapl = file_access(log), fcpl = H5Pcreate(H5P_FILE_CREATE), file = -1;
    unsigned order = H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED;
    if (fapl >= 0 && fcpl >= 0 && H5Pset_link_creation_order(fcpl, order) >= 0 &&
        H5Pset_attr_creation_order(fcpl, order) >= 0)
        file = H5Fcreate(log->path, flags, fcpl, fapl);
    h5_close(fcpl);
    h5_close(fapl);
    return file;
}

static int write_root(h5log *log, const char *version)
{
    return h5_put_text(log->file, "NX_class", "NXroot") || h5_put_text(log->file, "default", "metrics") ||
           h5_put_text(log->file, "creator", "lstmrun " LSTM_VERSION) ||
           h5_put_text(log->file, "HDF5_Version", version) || h5_put_text(log->file, "format", FORMAT_NAME) ||
           h5_put_integer(log->file, "format_version", FORMAT_VERSION) || h5_put_integer(log->file, "commits", 0);
}

/* Opens everything below the root, or makes it. */
static int open_contents(h5log *log, lstm_error *err)
{
    log->metrics = h5metrics_open(log->file, log->options.deflate);
    log->commits_attribute = H5Aopen(log->file, "commits", H5P_DEFAULT);
    if (!log->metrics || log->commits_attribute < 0 ||
        H5Aread(log->commits_attribute, H5T_NATIVE_INT64, &log->commits) < 0)
        return write_fault(log, err);
    log->stats.commits = (uint64_t)log->commits;
    log->last_row_step = h5metrics_last_step(log->metrics);
    return 0;
}

static log_group *open_group(h5log *log, const char *path)
{
    for (log_group *g = log->groups; g; g = g->next)
        if (strcmp(h5records_path(g->records), path) == 0)
            return g;
    log_group *g = calloc(1, sizeof *g);
    if (!g || !(g->records = h5records_open(log->file, path, log->options.deflate))) {
        free(g);
        return NULL;
    }
    g->last_step = h5records_last_step(g->records);
    g->next = log->groups;
    return log->groups = g;
}

static int open_texts(h5log *log, lstm_error *err)
{
    static const h5log_series bytes = {.name = "samples/bytes", .type = H5_I64, .title = "bytes of the whole sample"};
    static const h5log_series when = {.name = "events/time", .type = H5_F64, .units = "seconds since 1970-01-01"};
    log->samples = open_group(log, "samples");
    log->events = log->samples ? open_group(log, "events") : NULL;
    if (!log->events)
        return write_fault(log, err);
    log->sample_text = h5records_text(log->samples->records, "text", err);
    log->sample_bytes = log->sample_text ? h5records_announce(log->samples->records, &bytes, err) : NULL;
    log->event_kind = log->sample_bytes ? h5records_text(log->events->records, "kind", err) : NULL;
    log->event_text = log->event_kind ? h5records_text(log->events->records, "text", err) : NULL;
    log->event_time = log->event_text ? h5records_announce(log->events->records, &when, err) : NULL;
    log->last_sample_step = log->samples->last_step;
    log->last_event_step = log->events->last_step;
    return log->event_time ? 0 : write_fault(log, err);
}

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
static int commit(h5log *log, lstm_error *err)
{
    int64_t count = log->commits + 1;
    if (settle(log, count)) {
        log->library_failed = true;
        return write_fault(log, err);
    }
    int error = h5txn_commit(log->file);
    if (error)
        return fileio_fail(err, "cannot write", log->path, error);
    log->commits = count;
    return 0;
}

/* ---- writing: the thread ---------------------------------------------------------------------------------------- */

static int write_record(message *m)
{
    h5series *s = m->series;
    hsize_t row;
    if (s->keepbits && s->type == H5_F32)
        keep_bits((uint32_t *)(void *)m->data, m->size / 4, s->keepbits);
    return h5records_row(s->group, m->step, true, &row) || h5records_write(s, row, m->whole ? NULL : m->shape, m->data);
}

static int write_sample(h5log *log, const message *m)
{
    hsize_t row;
    int64_t bytes = (int64_t)m->shape[0];
    return h5records_row(log->samples->records, m->step, false, &row) ||
           h5records_write_text(log->sample_text, row, (const char *)m->data, m->size) ||
           h5records_write(log->sample_bytes, row, NULL, &bytes);
}

static int write_event(h5log *log, const message *m)
{
    const char *kind = (const char *)m->data, *text = kind + strlen(kind) + 1;
    hsize_t row;
    return h5records_row(log->events->records, m->step, false, &row) ||
           h5records_write_text(log->event_kind, row, kind, strlen(kind)) ||
           h5records_write_text(log->event_text, row, text, m->size - strlen(kind) - 1) ||
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
    pthread_mutex_unlock(&log->mutex);
    h5_enter();
    int result = log->library_failed ? -1 : commit(log, &error);
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
        write_fault(log, &error);
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

/* mutex is held. */
static void note_change(h5log *log)
{
    if (!log->dirty)
        log->deadline = seconds(CLOCK_MONOTONIC) + log->options.commit_seconds;
    log->dirty = true;
}

/* mutex is held. Waits for a message or for the time of the next commit; NULL: it is time. */
static message *next_message(h5log *log)
{
    while (!log->first) {
        if (!log->dirty || log->failed) {
            pthread_cond_wait(&log->wake, &log->mutex);
            continue;
        }
        struct timespec t = {(time_t)log->deadline, (long)(1e9 * (log->deadline - floor(log->deadline)))};
        if (pthread_cond_timedwait(&log->wake, &log->mutex, &t) == ETIMEDOUT)
            return NULL;
    }
    message *m = log->first;
    log->first = m->next;
    if (!log->first)
        log->end = &log->first;
    return m;
}

static void *write_loop(void *data)
{
    h5log *log = data;
    size_t since = 0; /* messages since the last commit */
    bool closing = false;
    pthread_mutex_lock(&log->mutex);
    while (!closing) {
        message *m = next_message(log);
        bool due = !m;
        if (m) {
            if (m->kind < FLUSH)
                note_change(log);
            due = take_message(log, m) || m->kind >= FLUSH;
            due = due || (log->options.commit_records && ++since >= log->options.commit_records);
            due = due || (log->dirty && seconds(CLOCK_MONOTONIC) >= log->deadline);
            closing = m->kind == CLOSE;
        }
        /* The last try, at closing, is made even after a commit has failed: there may be space again. */
        if (due && (log->dirty || (closing && log->failed)) && (!log->failed || closing)) {
            commit_now(log);
            since = 0;
        }
        if (m) {
            log->queued -= sizeof *m + m->size;
            log->flushes_done += m->kind == FLUSH;
            pthread_cond_broadcast(&log->taken);
            free(m);
        }
    }
    pthread_mutex_unlock(&log->mutex);
    return NULL;
}

/* Signals are the main thread's. */
static int start_thread(h5log *log, lstm_error *err)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(&log->thread, NULL, write_loop, log);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error ? fileio_fail(err, "cannot start the thread that writes", log->path, error) : 0;
}

/* ---- opening and closing ---------------------------------------------------------------------------------------- */

static void free_log(h5log *log)
{
    while (log->first) {
        message *m = log->first;
        log->first = m->next;
        free(m);
    }
    while (log->series) {
        log_series *s = log->series;
        log->series = s->next;
        free(s->name);
        free(s);
    }
    for (size_t k = 0; k < log->ncolumns; k++)
        h5column_free(log->columns[k]);
    free(log->columns);
    free(log->close_order);
    pthread_mutex_destroy(&log->mutex);
    pthread_cond_destroy(&log->wake);
    pthread_cond_destroy(&log->taken);
    free(log->path);
    free(log);
}

/* Between h5_enter and h5_leave. What was not committed is thrown away by the driver. */
static void close_file(h5log *log)
{
    h5metrics_close(log->metrics);
    while (log->groups) {
        log_group *g = log->groups;
        log->groups = g->next;
        h5records_close(g->records);
        free(g);
    }
    h5_close(log->commits_attribute);
    h5_close(log->file);
}

static h5log *new_log(const char *path, const h5log_options *options, lstm_error *err)
{
    pthread_condattr_t monotonic;
    h5log_options defaults;
    h5log_defaults(&defaults);
    if (check_options(options ? options : &defaults, err))
        return NULL;
    h5log *log = calloc(1, sizeof *log);
    if (!log || !(log->path = strdup(path)) || !(log->close_order = new_message(CLOSE, 0, 0, NULL))) {
        if (log)
            free(log->path);
        free(log);
        lstm_fail(err, "", "out of memory for a log");
        return NULL;
    }
    log->options = options ? *options : defaults;
    log->file = log->commits_attribute = -1;
    log->end = &log->first;
    log->stats.committed_step = log->written_step = -1;
    log->last_row_step = log->last_sample_step = log->last_event_step = INT64_MIN;
    pthread_mutex_init(&log->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &monotonic);
    pthread_cond_init(&log->taken, NULL);
    pthread_condattr_destroy(&monotonic);
    return log;
}

/* The columns that were in the file are known by name. */
static int adopt_columns(h5log *log, lstm_error *err)
{
    for (h5column *c = h5metrics_columns(log->metrics); c; c = c->next) {
        h5column **all = realloc(log->columns, (log->ncolumns + 1) * sizeof *all);
        if (!all)
            return lstm_fail(err, "", "out of memory for a log");
        log->columns = all;
        all[log->ncolumns++] = c;
    }
    return 0;
}

static int fill_new_file(h5log *log, unsigned flags, const char *version, lstm_error *err)
{
    log->file = create_file(log, flags);
    if (log->file < 0 || write_root(log, version))
        return write_fault(log, err);
    return open_contents(log, err) || open_texts(log, err) || commit(log, err) ? -1 : 0;
}

static int open_old_file(h5log *log, int64_t step, lstm_error *err)
{
    char room[128];
    if (h5txn_is_writing(log->path))
        return lstm_fail(err, "", "%s is open already in this process", fileio_short_path(log->path, room));
    hid_t fapl = file_access(log);
    log->file = fapl >= 0 ? H5Fopen(log->path, H5F_ACC_RDWR, fapl) : -1;
    h5_close(fapl);
    if (log->file < 0)
        return log->status.error == EBUSY
                   ? lstm_fail(err, "", "%s is being written by another process", fileio_short_path(log->path, room))
                   : write_fault(log, err);
    if (H5Aexists(log->file, "format_version") <= 0 || H5Aexists(log->file, "commits") <= 0)
        return lstm_fail(err, "", "%s is no log of lstmrun", fileio_short_path(log->path, room));
    if (h5records_cut_all(log->file, step))
        return write_fault(log, err);
    return open_contents(log, err) || adopt_columns(log, err) || open_texts(log, err) || commit(log, err) ? -1 : 0;
}

/* Closes after a failure to open; the error is kept. */
static h5log *give_up(h5log *log)
{
    h5_enter();
    close_file(log);
    h5_leave();
    free_log(log);
    return NULL;
}

/* Whether a process was killed before its first commit into this file: then nothing but zeros is where the superblock
 * should be. Any other file is left alone. */
static bool never_committed(const char *path)
{
    unsigned char start[4096];
    size_t got = 0;
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
               fileio_pread(fd, start, sizeof start, 0, &got) == 0;
    for (size_t k = 0; k < got; k++)
        yes = yes && start[k] == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static void remove_file(const char *path)
{
    char *journal;
    unlink(path);
    if (asprintf(&journal, "%s.journal", path) < 0)
        return;
    unlink(journal);
    free(journal);
}

h5log *h5log_create(const char *path, const h5log_options *options, lstm_error *err)
{
    if (access(path, F_OK) == 0) {
        fileio_fail(err, "cannot create", path, EEXIST);
        return NULL;
    }
    h5log *log = new_log(path, options, err);
    if (!log)
        return NULL;
    const char *version = h5_version();
    h5_enter();
    int result = fill_new_file(log, H5F_ACC_EXCL, version, err);
    h5_leave();
    if (!result && !start_thread(log, err))
        return log;
    give_up(log);
    if (never_committed(path)) /* ours, and nothing is in it */
        remove_file(path);
    return NULL;
}

h5log *h5log_resume(const char *path, int64_t step, const h5log_options *options, lstm_error *err)
{
    char text[64];
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return h5log_create(path, options, err);
    h5log *log = new_log(path, options, err);
    if (!log)
        return NULL;
    const char *version = h5_version();
    h5_enter();
    int result = never_committed(path) ? fill_new_file(log, H5F_ACC_TRUNC, version, err)
                                       : open_old_file(log, step, err);
    h5_leave();
    if (result || start_thread(log, err))
        return give_up(log);
    log->stats.committed_step = step;
    snprintf(text, sizeof text, "%s", log->status.replayed ? "an unfinished commit was completed" : "");
    h5log_event(log, step, "resume", text, err);
    return log;
}

/* ---- the queue: callers ----------------------------------------------------------------------------------------- */

/* mutex is held. */
static int log_state(const h5log *log, lstm_error *err)
{
    if (!log->failed || log->abandoned)
        return 0;
    if (err)
        *err = log->error;
    return -1;
}

/* mutex is held. A message larger than the whole queue waits until that is empty. */
static bool has_room(const h5log *log, const message *m)
{
    return log->queued == 0 || log->queued + sizeof *m + m->size <= log->options.queue_bytes;
}

/* mutex is held, and released while waiting. */
static void wait_for_room(h5log *log, const message *m)
{
    double start = seconds(CLOCK_MONOTONIC);
    log->stats.waits++;
    while (!has_room(log, m) && !log->failed)
        pthread_cond_wait(&log->taken, &log->mutex);
    log->stats.wait_seconds += seconds(CLOCK_MONOTONIC) - start;
}

/* mutex is held, and released while waiting. Steps within what `last` belongs to may not decrease. Takes m. */
static int enqueue(h5log *log, message *m, int64_t *last, lstm_error *err)
{
    int result = log_state(log, err);
    bool drop = log->abandoned || result;
    if (!drop && m->step < *last) {
        result = lstm_fail(err, "step", "step %lld after step %lld: steps of the log may not decrease",
                           (long long)m->step, (long long)*last);
        drop = true;
    }
    if (!drop && !has_room(log, m)) {
        if (log->options.drop && m->kind != EVENT) {
            log->stats.dropped++;
            drop = true;
        } else {
            wait_for_room(log, m);
            drop = (result = log_state(log, err)) != 0;
        }
    }
    if (drop) {
        free(m);
        return result;
    }
    *last = m->step;
    log->stats.rows += m->kind == ROW;
    log->stats.records += m->kind != ROW;
    log->stats.bytes += m->size;
    log->queued += sizeof *m + m->size;
    *log->end = m;
    log->end = &m->next;
    pthread_cond_signal(&log->wake);
    return 0;
}

/* ---- metrics ---------------------------------------------------------------------------------------------------- */

/* mutex is held. */
static h5column *find_column(h5log *log, const char *name, lstm_error *err)
{
    for (size_t k = 0; k < log->ncolumns; k++)
        if (strcmp(log->columns[k]->name, name) == 0)
            return log->columns[k];
    if (check_name("metric", name, err))
        return NULL;
    if (strcmp(name, "step") == 0) {
        lstm_fail(err, "metric", "'step' is the table's own column; give the value another name");
        return NULL;
    }
    if (log->ncolumns == MOST_COLUMNS) {
        lstm_fail(err, "metric", "'%s' would be metric number %d: too many; log it as a tensor", name,
                  MOST_COLUMNS + 1);
        return NULL;
    }
    h5column **all = realloc(log->columns, (log->ncolumns + 1) * sizeof *all);
    if (all)
        log->columns = all;
    h5column *column = all ? h5column_new(name) : NULL;
    if (!column) {
        lstm_fail(err, "", "out of memory for metric '%s'", name);
        return NULL;
    }
    return log->columns[log->ncolumns++] = column;
}

int h5log_columns(h5log *log, size_t n, const char *const *names, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    int result = log_state(log, err);
    bool skip = result || log->abandoned;
    for (size_t k = 0; k < n && !skip; k++) {
        h5column *c = find_column(log, names[k], err);
        if (!c) {
            result = -1;
            break;
        }
        h5_enter();
        if (h5metrics_add(log->metrics, c))
            result = write_fault(log, err);
        h5_leave();
        skip = result != 0;
    }
    note_change(log);
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

int h5log_row(h5log *log, int64_t step, size_t n, const char *const *names, const double *values, lstm_error *err)
{
    message *m = n < SIZE_MAX / sizeof(h5cell) ? new_message(ROW, step, n * sizeof(h5cell), err) : NULL;
    if (!m)
        return -1;
    h5cell *cells = (h5cell *)(void *)m->data;
    int result = 0;
    pthread_mutex_lock(&log->mutex);
    for (size_t k = 0; k < n && !result; k++) {
        cells[k] = (h5cell){find_column(log, names[k], err), values[k]};
        result = cells[k].column ? 0 : -1;
    }
    if (result)
        free(m);
    else
        result = enqueue(log, m, &log->last_row_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* ---- series ----------------------------------------------------------------------------------------------------- */

static bool reserved(const char *leaf)
{
    return strcmp(leaf, "step") == 0 || strcmp(leaf, "record") == 0;
}

/* "group/dataset", where the group may be a path: checks it and finds the slash. */
static int check_series_name(const char *name, const char **slash, lstm_error *err)
{
    *slash = name ? strrchr(name, '/') : NULL;
    bool good = *slash && strlen(name) < H5RECORDS_PATH_SIZE && h5_name_ok(*slash + 1, strlen(*slash + 1)) &&
                !reserved(*slash + 1);
    for (const char *part = name; good && part <= *slash; part += strcspn(part, "/") + 1)
        good = h5_name_ok(part, strcspn(part, "/"));
    static const char *const taken[] = {"metrics", "samples", "events", "config", "environment"};
    for (size_t k = 0; good && k < sizeof taken / sizeof *taken; k++)
        good = strcspn(name, "/") != strlen(taken[k]) || strncmp(name, taken[k], strlen(taken[k])) != 0;
    return good ? 0 : lstm_fail(err, "name", "'%.100s' cannot name a series: 'group/name' expected, neither in a group "
                                "of the log's own (metrics, samples, ...) nor named step or record", name ? name : "");
}

static int check_dims(const h5log_series *c, const char *leaf, lstm_error *err)
{
    size_t bytes = h5type_size(c->type);
    for (int d = 0; d < c->ndim; d++) {
        const h5log_dim *dim = &c->dim[d];
        if (check_name("dim", dim->name, err))
            return -1;
        if (reserved(dim->name) || strcmp(dim->name, leaf) == 0)
            return lstm_fail(err, "dim", "series '%s': a dimension cannot be named '%s'", c->name, dim->name);
        if (dim->size == 0 || dim->size > INT32_MAX || bytes > (SIZE_MAX >> 1) / dim->size)
            return lstm_fail(err, "dim", "series '%s': dimension '%s' has an impossible size, %zu", c->name, dim->name,
                             dim->size);
        for (int e = 0; e < d; e++)
            if (strcmp(c->dim[e].name, dim->name) == 0)
                return lstm_fail(err, "dim", "series '%s' has two dimensions named '%s'", c->name, dim->name);
        bytes *= dim->size;
    }
    return 0;
}

static int check_series(const h5log_series *c, const char **slash, lstm_error *err)
{
    if (check_series_name(c->name, slash, err))
        return -1;
    if (c->type != H5_F32 && c->type != H5_F64 && c->type != H5_I32 && c->type != H5_I64)
        return lstm_fail(err, "type", "series '%s': float32, float64, int32 or int64 expected", c->name);
    if (c->ndim < 0 || c->ndim > H5_MAX_DIMS)
        return lstm_fail(err, "dim", "series '%s': 0 to %d dimensions expected, got %d", c->name, H5_MAX_DIMS, c->ndim);
    if (c->keepbits < 0 || c->keepbits > 22 || (c->keepbits && c->type != H5_F32))
        return lstm_fail(err, "keepbits", "series '%s': 1 to 22 expected, for float32 only, got %d", c->name,
                         c->keepbits);
    return check_dims(c, *slash + 1, err);
}

/* mutex is held. */
static log_series *find_series(const h5log *log, const char *name)
{
    for (log_series *s = log->series; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

static int same_as_before(const h5series *s, const h5log_series *c, lstm_error *err)
{
    bool same = s->type == c->type && s->ndim == c->ndim;
    for (int d = 0; same && d < s->ndim; d++)
        same = s->shape[d] == c->dim[d].size && strcmp(s->dim[d], c->dim[d].name) == 0;
    return same ? 0 : lstm_fail(err, "", "series '%s' was announced with another type or shape", c->name);
}

/* Between h5_enter and h5_leave. */
static h5series *make_series(h5log *log, const h5log_series *c, const char *slash, log_group **group, lstm_error *err)
{
    char path[H5RECORDS_PATH_SIZE];
    snprintf(path, sizeof path, "%.*s", (int)(slash - c->name), c->name);
    lstm_error why = {0};
    *group = open_group(log, path);
    h5series *s = *group ? h5records_announce((*group)->records, c, &why) : NULL;
    if (!s && why.message[0] && err)
        *err = why;
    else if (!s)
        write_fault(log, err);
    return s;
}

/* mutex is held. */
static int add_series(h5log *log, const h5log_series *c, const char *slash, lstm_error *err)
{
    log_series *entry = calloc(1, sizeof *entry);
    if (!entry || !(entry->name = strdup(c->name))) {
        free(entry);
        return lstm_fail(err, "", "out of memory for series '%s'", c->name);
    }
    h5_enter();
    entry->series = make_series(log, c, slash, &entry->group, err);
    h5_leave();
    if (!entry->series) {
        free(entry->name);
        free(entry);
        return -1;
    }
    entry->next = log->series;
    log->series = entry;
    note_change(log);
    pthread_cond_signal(&log->wake);
    return 0;
}

int h5log_announce(h5log *log, const h5log_series *c, lstm_error *err)
{
    const char *slash;
    if (check_series(c, &slash, err))
        return -1;
    pthread_mutex_lock(&log->mutex);
    int result = log_state(log, err);
    if (!result && !log->abandoned) {
        log_series *known = find_series(log, c->name);
        result = known ? same_as_before(known->series, c, err) : add_series(log, c, slash, err);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* ---- records ---------------------------------------------------------------------------------------------------- */

/* Looks a series up and checks a record's shape (NULL: as announced). *bytes: of the record. */
static log_series *check_record(h5log *log, const char *name, const size_t *shape, size_t *bytes, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    log_series *s = find_series(log, name);
    pthread_mutex_unlock(&log->mutex);
    if (!s) {
        lstm_fail(err, "series", "'%s' was not announced", name);
        return NULL;
    }
    *bytes = h5type_size(s->series->type);
    for (int d = 0; d < s->series->ndim; d++) {
        size_t n = shape ? shape[d] : s->series->shape[d];
        if (n > s->series->shape[d]) {
            lstm_fail(err, "shape", "series '%s': size %zu in dimension '%s' is more than the %zu announced", name, n,
                      s->series->dim[d], s->series->shape[d]);
            return NULL;
        }
        *bytes *= n;
    }
    return s;
}

static message *new_record(const log_series *s, int64_t step, const size_t *shape, size_t bytes, lstm_error *err)
{
    message *m = new_message(RECORD, step, bytes, err);
    if (!m)
        return NULL;
    m->series = s->series;
    m->whole = true;
    for (int d = 0; shape && d < s->series->ndim; d++) {
        m->shape[d] = shape[d];
        m->whole = m->whole && shape[d] == s->series->shape[d];
    }
    return m;
}

static int enqueue_record(h5log *log, const log_series *s, message *m, lstm_error *err)
{
    pthread_mutex_lock(&log->mutex);
    int result = enqueue(log, m, &s->group->last_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* After h5log_abandon nothing was announced, perhaps. */
static bool is_abandoned(h5log *log)
{
    pthread_mutex_lock(&log->mutex);
    bool yes = log->abandoned;
    pthread_mutex_unlock(&log->mutex);
    return yes;
}

int h5log_array(h5log *log, const char *series, int64_t step, const size_t *shape, const void *data, lstm_error *err)
{
    size_t bytes;
    if (is_abandoned(log))
        return 0;
    log_series *s = check_record(log, series, shape, &bytes, err);
    message *m = s ? new_record(s, step, shape, bytes, err) : NULL;
    if (!m)
        return -1;
    memcpy(m->data, data, bytes);
    return enqueue_record(log, s, m, err);
}

/* The record's shape from its parts, which must be of one shape. */
static int shape_of_parts(const h5series *s, const char *name, size_t n, const lstm_tensor *parts, size_t *shape,
                          lstm_error *err)
{
    bool stacked = n > 0 && parts[0].ndim == s->ndim - 1;
    if (n == 0 || (!stacked && !(n == 1 && parts[0].ndim == s->ndim)))
        return lstm_fail(err, "parts", "series '%s' has %d dimensions: one tensor of as many, or several of one less "
                         "expected, got %zu of %d", name, s->ndim, n, n ? parts[0].ndim : 0);
    if (stacked)
        shape[0] = n;
    for (size_t k = 0; k < n; k++) {
        if ((parts[k].type == LSTM_F64 ? H5_F64 : H5_F32) != s->type)
            return lstm_fail(err, "parts", "series '%s' holds %s, tensor '%s' is of another type", name,
                             h5type_name(s->type), parts[k].name);
        for (int d = 0; d < parts[k].ndim; d++) {
            size_t size = parts[k].axis[d].size;
            if (k && (parts[k].ndim != parts[0].ndim || size != parts[0].axis[d].size))
                return lstm_fail(err, "parts", "series '%s': the tensors differ in shape", name);
            shape[stacked + d] = size;
        }
    }
    return 0;
}

int h5log_tensors(h5log *log, const char *series, int64_t step, size_t n, const lstm_tensor *parts, lstm_error *err)
{
    size_t bytes, shape[H5_MAX_DIMS] = {0};
    if (is_abandoned(log))
        return 0;
    log_series *s = check_record(log, series, shape, &bytes, err);
    if (!s || shape_of_parts(s->series, series, n, parts, shape, err) || !check_record(log, series, shape, &bytes, err))
        return -1;
    message *m = new_record(s, step, shape, bytes, err);
    if (!m)
        return -1;
    for (size_t k = 0; k < n; k++)
        lstm_tensor_read(&parts[k], 0, lstm_tensor_size(&parts[k]), m->data + k * (bytes / n));
    return enqueue_record(log, s, m, err);
}

/* ---- texts ------------------------------------------------------------------------------------------------------ */

int h5log_sample(h5log *log, int64_t step, const char *text, size_t length, lstm_error *err)
{
    size_t n;
    char *clean = clean_text(text, length, log->options.text_bytes, &n);
    message *m = clean ? new_message(SAMPLE, step, n, err) : NULL;
    int result = -1;
    if (m) {
        memcpy(m->data, clean, n);
        m->shape[0] = length;
        pthread_mutex_lock(&log->mutex);
        result = enqueue(log, m, &log->last_sample_step, err);
        pthread_mutex_unlock(&log->mutex);
    } else if (!clean) {
        lstm_fail(err, "", "out of memory for a text sample");
    }
    free(clean);
    return result;
}

static int enqueue_event(h5log *log, int64_t step, const char *kind, size_t nkind, const char *text, size_t ntext,
                         lstm_error *err)
{
    message *m = new_message(EVENT, step, nkind + 1 + ntext, err);
    if (!m)
        return -1;
    m->time = seconds(CLOCK_REALTIME);
    memcpy(m->data, kind, nkind);
    m->data[nkind] = 0;
    memcpy(m->data + nkind + 1, text, ntext);
    pthread_mutex_lock(&log->mutex);
    int result = enqueue(log, m, &log->last_event_step, err);
    pthread_mutex_unlock(&log->mutex);
    return result;
}

int h5log_event(h5log *log, int64_t step, const char *kind, const char *text, lstm_error *err)
{
    size_t nkind, ntext;
    char *clean_kind = clean_text(kind, strlen(kind), KIND_BYTES, &nkind);
    char *clean = clean_text(text, strlen(text), EVENT_BYTES, &ntext);
    int result = clean_kind && clean ? enqueue_event(log, step, clean_kind, nkind, clean, ntext, err)
                                     : lstm_fail(err, "", "out of memory for an event");
    free(clean_kind);
    free(clean);
    return result;
}

/* ---- said once -------------------------------------------------------------------------------------------------- */

typedef struct value {
    const char *text; /* or NULL, and then a number */
    bool is_integer;
    int64_t integer;
    double number;
} value;

/* Between h5_enter and h5_leave. */
static int put_value(hid_t file, const char *group, const char *name, const value *v)
{
    hid_t object = h5_make_group(file, group);
    int result = object < 0     ? -1
                 : v->text       ? h5_put_text(object, name, v->text)
                 : v->is_integer ? h5_put_integer(object, name, v->integer)
                                 : h5_put_number(object, name, v->number);
    h5_close(object);
    return result;
}

static int set_value(h5log *log, const char *group, const char *name, const value *v, lstm_error *err)
{
    if (check_name("group", group, err) || check_name("name", name, err))
        return -1;
    pthread_mutex_lock(&log->mutex);
    int result = log_state(log, err);
    if (!result && !log->abandoned) {
        h5_enter();
        if (put_value(log->file, group, name, v))
            result = write_fault(log, err);
        h5_leave();
        note_change(log);
        pthread_cond_signal(&log->wake);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

int h5log_set_text(h5log *log, const char *group, const char *name, const char *text, lstm_error *err)
{
    size_t n;
    char *clean = clean_text(text, strlen(text), ATTRIBUTE_BYTES, &n);
    if (!clean)
        return lstm_fail(err, "", "out of memory for '%s'", name);
    clean[n] = 0;
    int result = set_value(log, group, name, &(value){.text = clean}, err);
    free(clean);
    return result;
}

int h5log_set_integer(h5log *log, const char *group, const char *name, int64_t integer, lstm_error *err)
{
    return set_value(log, group, name, &(value){.is_integer = true, .integer = integer}, err);
}

int h5log_set_number(h5log *log, const char *group, const char *name, double number, lstm_error *err)
{
    return set_value(log, group, name, &(value){.number = number}, err);
}

/* Between h5_enter and h5_leave. A string dataset, since an attribute's size is limited. */
static int put_json(hid_t file, const char *json)
{
    hid_t group = h5_make_group(file, "config"), type = h5_text_type(), space = H5Screate(H5S_SCALAR);
    htri_t there = group >= 0 ? H5Lexists(group, "json", H5P_DEFAULT) : -1;
    hid_t dataset = -1;
    if (there >= 0 && type >= 0 && space >= 0 && (!there || H5Ldelete(group, "json", H5P_DEFAULT) >= 0))
        dataset = H5Dcreate2(group, "json", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    int result = dataset < 0 || H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &json) < 0;
    h5_close(dataset);
    h5_close(space);
    h5_close(type);
    h5_close(group);
    return result ? -1 : 0;
}

int h5log_set_json(h5log *log, const char *json, lstm_error *err)
{
    if (lstm_utf8_fault(json, strlen(json)) != strlen(json))
        return lstm_fail(err, "json", "the configuration is not valid UTF-8");
    pthread_mutex_lock(&log->mutex);
    int result = log_state(log, err);
    if (!result && !log->abandoned) {
        h5_enter();
        if (put_json(log->file, json))
            result = write_fault(log, err);
        h5_leave();
        note_change(log);
        pthread_cond_signal(&log->wake);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

/* ---- the rest --------------------------------------------------------------------------------------------------- */

/* mutex is held. FLUSH and CLOSE pass the queue even when it is full. */
static void enqueue_order(h5log *log, message *m)
{
    log->queued += sizeof *m + m->size;
    *log->end = m;
    log->end = &m->next;
    pthread_cond_signal(&log->wake);
}

int h5log_flush(h5log *log, lstm_error *err)
{
    message *m = new_message(FLUSH, 0, 0, err);
    if (!m)
        return -1;
    pthread_mutex_lock(&log->mutex);
    int result = log_state(log, err);
    if (result || log->abandoned) {
        free(m);
    } else {
        uint64_t mine = ++log->flushes_wanted;
        enqueue_order(log, m);
        while (log->flushes_done < mine)
            pthread_cond_wait(&log->taken, &log->mutex);
        result = log_state(log, err);
    }
    pthread_mutex_unlock(&log->mutex);
    return result;
}

void h5log_abandon(h5log *log)
{
    pthread_mutex_lock(&log->mutex);
    log->abandoned = true;
    pthread_cond_broadcast(&log->taken);
    pthread_mutex_unlock(&log->mutex);
}

void h5log_get_stats(h5log *log, h5log_stats *stats)
{
    pthread_mutex_lock(&log->mutex);
    *stats = log->stats;
    pthread_mutex_unlock(&log->mutex);
}

int h5log_close(h5log *log, lstm_error *err)
{
    if (!log)
        return 0;
    pthread_mutex_lock(&log->mutex);
    enqueue_order(log, log->close_order);
    log->close_order = NULL;
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    int result = log_state(log, err);
    h5_enter();
    close_file(log);
    if (!result && !log->abandoned && log->status.error)
        result = write_fault(log, err);
    h5_leave();
    free_log(log);
    return result;
}

int h5log_recover(const char *path, const char **what, lstm_error *err)
{
    static const char *const said[] = {
        [H5TXN_SOUND] = "sound, nothing to do",
        [H5TXN_COMPLETED] = "an unfinished commit was completed",
        [H5TXN_CUT] = "an uncommitted tail was cut",
        [H5TXN_EMPTY] = "nothing was ever committed",
    };
    char room[128];
    h5txn_state state = H5TXN_SOUND;
    int error = h5txn_recover(path, &state);
    if (error == EBUSY)
        return lstm_fail(err, "", "%s is being written by a running process", fileio_short_path(path, room));
    if (error)
        return fileio_fail(err, "cannot recover", path, error);
    if (what)
        *what = said[state];
    return 0;
}
