/* SPDX-License-Identifier: MIT
 *
 * h5log_open.c - opening, closing and recovering a log.
 */
#define _GNU_SOURCE
#include "h5log_parts.h"

#include "fileio.h"
#include "h5file.h"
#include "h5probe.h"
#include "h5read.h"
#include "h5version.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FORMAT_NAME "lstmrun log"

/* ---- options ---------------------------------------------------------------------------------------------------- */

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

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* "cannot write PATH: REASON": the driver's reason when it has one, else libhdf5's. */
int h5log_write_fault(h5log *log, lstm_error *err)
{
    return log->status.error ? fileio_fail(err, "cannot write", log->path, log->status.error)
                             : h5_fail(err, "cannot write", log->path);
}

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
           h5_put_integer(log->file, "format_version", H5LOG_VERSION) || h5_put_integer(log->file, "commits", 0);
}

log_group *h5log_open_group(h5log *log, const char *path)
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

/* Opens everything below the root, or makes it. */
static int open_contents(h5log *log, lstm_error *err)
{
    log->commits_attribute = H5Aopen(log->file, "commits", H5P_DEFAULT);
    if (log->commits_attribute < 0 || H5Aread(log->commits_attribute, H5T_NATIVE_INT64, &log->commits) < 0)
        return h5log_write_fault(log, err);
    log->metrics = h5metrics_open(log->file, log->options.deflate); /* last: its columns are to be adopted */
    if (!log->metrics)
        return h5log_write_fault(log, err);
    log->last_row_step = h5metrics_last_step(log->metrics);
    return 0;
}

/* A series of /samples or /events, which are ours. */
static h5series *own_series(log_group *g, const char *name, h5type type, const char *title, const char *units,
                            lstm_error *err)
{
    return h5records_announce(g->records, &(h5log_series){.name = name, .type = type, .title = title, .units = units},
                              err);
}

static int open_texts(h5log *log, lstm_error *err)
{
    if (!(log->samples = h5log_open_group(log, "samples")) || !(log->events = h5log_open_group(log, "events")))
        return h5log_write_fault(log, err);
    if (!(log->sample_text = own_series(log->samples, "text", H5_TEXT, NULL, NULL, err)) ||
        !(log->sample_bytes = own_series(log->samples, "bytes", H5_I64, "bytes of the whole sample", NULL, err)) ||
        !(log->event_kind = own_series(log->events, "kind", H5_TEXT, NULL, NULL, err)) ||
        !(log->event_text = own_series(log->events, "text", H5_TEXT, NULL, NULL, err)) ||
        !(log->event_time = own_series(log->events, "time", H5_F64, NULL, "seconds since 1970-01-01", err)))
        return h5log_write_fault(log, err);
    log->last_sample_step = log->samples->last_step;
    log->last_event_step = log->events->last_step;
    return 0;
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
    if (!log || !(log->path = strdup(path)) || !(log->close_order = h5log_new_message(CLOSE, 0, 0, NULL))) {
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

/* The columns that were in the file are known by name, and the log's own from now on. */
static int adopt_columns(h5log *log, lstm_error *err)
{
    size_t n = 0;
    for (h5column *c = h5metrics_columns(log->metrics); c; c = c->next)
        n++;
    log->columns = calloc(n + 1, sizeof *log->columns);
    if (!log->columns) {
        h5metrics_discard(log->metrics);
        log->metrics = NULL;
        return lstm_fail(err, "", "out of memory for a log");
    }
    for (h5column *c = h5metrics_columns(log->metrics); c; c = c->next)
        log->columns[log->ncolumns++] = c;
    return 0;
}

static int fill_new_file(h5log *log, unsigned flags, const char *version, lstm_error *err)
{
    log->file = create_file(log, flags);
    if (log->file < 0 || write_root(log, version))
        return h5log_write_fault(log, err);
    return open_contents(log, err) || open_texts(log, err) || h5log_commit(log, err) ? -1 : 0;
}

/* "cannot write PATH: REASON" where the driver has one; else the file is not as it should be. */
static int old_file_fault(h5log *log, lstm_error *err)
{
    return log->status.error ? h5log_write_fault(log, err) : h5_fail(err, "cannot go on with", log->path);
}

/* Everything but the commit: until then the file on the disk keeps what it has. */
static int open_old_file(h5log *log, int64_t step, lstm_error *err)
{
    char room[128];
    if (h5txn_is_writing(log->path))
        return lstm_fail(err, "", "%s is open already in this process", fileio_short_path(log->path, room));
    hid_t fapl = file_access(log);
    log->file = fapl >= 0 ? H5Fopen(log->path, H5F_ACC_RDWR, fapl) : -1;
    if (log->file < 0) /* before another call of the library forgets the reason */
        log->status.error == EBUSY
            ? lstm_fail(err, "", "%s is being written by another process", fileio_short_path(log->path, room))
            : old_file_fault(log, err);
    h5_close(fapl);
    if (log->file < 0)
        return -1;
    if (H5Aexists(log->file, "format_version") <= 0 || H5Aexists(log->file, "commits") <= 0)
        return lstm_fail(err, "", "%s is no log of lstmrun", fileio_short_path(log->path, room));
    if (h5records_cut_all(log->file, step))
        return old_file_fault(log, err);
    return open_contents(log, err) || adopt_columns(log, err) || open_texts(log, err) ? -1 : 0;
}

typedef struct attempt {
    h5log *log;
    int64_t step;
} attempt;

static int try_old_file(void *data, lstm_error *err)
{
    const attempt *a = data;
    int result = open_old_file(a->log, a->step, err);
    if (!result && H5Fflush(a->log->file, H5F_SCOPE_LOCAL) < 0)
        result = old_file_fault(a->log, err);
    close_file(a->log);
    return result;
}

/* What libhdf5 makes of it is found out by a child, which commits nothing. */
static int open_old_file_carefully(h5log *log, int64_t step, lstm_error *err)
{
    if (h5probe_file(try_old_file, &(attempt){log, step}, log->path, err))
        return -1;
    return open_old_file(log, step, err) || h5log_commit(log, err) ? -1 : 0;
}

/* All of what is there can be listed; a file that is none of ours or damaged is told as readers tell it. */
static int look_first(const char *path, lstm_error *err)
{
    h5read *r = h5read_open(path, err);
    h5read_close(r);
    return r ? 0 : -1;
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
    if (!result && !h5log_start_thread(log, err))
        return log;
    return give_up(log);
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
    const bool empty = h5txn_never_committed(path);
    int result = empty ? 0 : look_first(path, err);
    h5_enter();
    if (!result)
        result = empty ? fill_new_file(log, H5F_ACC_TRUNC, version, err) : open_old_file_carefully(log, step, err);
    h5_leave();
    if (result || h5log_start_thread(log, err))
        return give_up(log);
    log->stats.committed_step = step;
    snprintf(text, sizeof text, "%s", log->status.replayed ? "an unfinished commit was completed" : "");
    h5log_event(log, step, "resume", text, err);
    return log;
}

int h5log_close(h5log *log, lstm_error *err)
{
    if (!log)
        return 0;
    pthread_mutex_lock(&log->mutex);
    h5log_enqueue(log, log->close_order);
    log->close_order = NULL;
    pthread_mutex_unlock(&log->mutex);
    pthread_join(log->thread, NULL);
    int result = h5log_state(log, err);
    h5_enter();
    close_file(log);
    if (!result && !log->abandoned && log->status.error)
        result = h5log_write_fault(log, err);
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
    h5_enter();
    int error = h5txn_recover(path, &state);
    h5_leave();
    if (error == EBUSY)
        return lstm_fail(err, "", "%s is being written by a running process", fileio_short_path(path, room));
    if (error)
        return fileio_fail(err, "cannot recover", path, error);
    if (what)
        *what = said[state];
    return 0;
}
