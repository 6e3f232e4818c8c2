/* SPDX-License-Identifier: MIT
 *
 * Kills, torn writes and failing disks, at every system call in turn: no checkpoint and no committed record of a log
 * is ever lost, and a failure is a sentence, not a signal.
 *
 * The program runs itself as the victim, with faultinject.c striking at the n-th call. A victim prints "committed N"
 * when it was told that N is safe. Reading is done in a child, too: libhdf5 may crash on a damaged file, and that
 * shall be counted, not suffered.
 *
 * Power failures are played from a record of a victim's calls: of what was written after a file's last sync, any
 * sectors may be on the disk and any not.
 *
 * LSTM_TORTURE=N takes up to N points of each kind instead of 40, or 13 under the sanitizers (make torture: 500).
 */
#define _GNU_SOURCE
#include "faultinject.h"
#include "h5checkpoint.h"
#include "h5log.h"
#include "h5txn.h"
#include "support.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEPS 60        /* a log victim's */
#define ELEMENTS 700    /* of a record, and of a checkpoint's tensor */

static const char *self;
static int every = 10; /* a log victim's steps from flush to flush */
static int checkpoints = 6; /* a checkpoint victim's */
static lstm_error err;

/* ---- what victims write ----------------------------------------------------------------------------------------- */

static double metric(int step, int column)
{
    return 1e6 * column + step + 0.1;
}

static float element(int step, int series, int k)
{
    return (float)((step * 131 + series * 7 + k) % 4099) * 0.37f;
}

static bool log_step(h5log *log, int step)
{
    static const char *const names[] = {"loss", "lr", "late"};
    float data[ELEMENTS];
    double values[3];
    int n = step < 25 ? 2 : 3; /* a column that comes later */
    for (int c = 0; c < n; c++)
        values[c] = metric(step, c);
    if (h5log_row(log, step, (size_t)n, names, values, &err))
        return false;
    for (int s = 0; s < (step < 30 ? 1 : 2); s++) { /* and a group that does */
        h5log_series series = {.name = s ? "later/x" : "act/x", .type = H5_F32, .ndim = 1,
                               .dim = {{"unit", ELEMENTS, NULL, NULL}}};
        for (int k = 0; k < ELEMENTS; k++)
            data[k] = element(step, s, k);
        if (h5log_announce(log, &series, &err) || h5log_array(log, series.name, step, NULL, data, &err))
            return false;
    }
    return step % 3 || !h5log_sample(log, step, "sample", 6, &err);
}

static int report(const char *what)
{
    printf("error: %s: %s\n", what, err.message);
    return 1;
}

/* Leaves a mark in the record of calls. */
static void mark_commit(int committed)
{
    char name[32];
    snprintf(name, sizeof name, "committed.%d", committed);
    unlink(in_dir(name));
}

/* Logs steps [from, STEPS); compression makes chunks change their size and place. */
static int log_victim(const char *path, int from)
{
    h5log_options options;
    h5log_defaults(&options);
    options.commit_seconds = 1e6; /* at flushes only: the calls are the same ones in every run */
    h5log *log = from ? h5log_resume(path, from - 1, &options, &err) : h5log_create(path, &options, &err);
    if (!log)
        return report("open");
    bool fine = true;
    for (int step = from; step < STEPS && fine; step++) {
        fine = log_step(log, step);
        if (fine && (step + 1) % every == 0 && (fine = !h5log_flush(log, &err))) {
            printf("committed %d\n", step + 1);
            fflush(stdout);
            mark_commit(step + 1);
        }
    }
    int result = fine ? 0 : report("log");
    if (h5log_close(log, &err))
        result = report("close");
    return result;
}

static int checkpoint_victim(void)
{
    static float data[ELEMENTS];
    size_t n = ELEMENTS;
    int result = 0;
    for (int step = 1; step <= checkpoints; step++) {
        h5checkpoint *cp = h5checkpoint_new(&err);
        for (int k = 0; k < ELEMENTS; k++)
            data[k] = element(step, 0, k);
        h5checkpoint_add_integer(cp, "step", step, &err);
        h5checkpoint_add(cp, "x", H5_F32, 1, &n, data, &err);
        if (h5checkpoint_write(cp, in_dir("latest.h5"), in_dir("previous.h5"), &err)) {
            result = report("checkpoint");
        } else {
            printf("committed %d\n", step);
            fflush(stdout);
            mark_commit(step);
        }
        h5checkpoint_free(cp);
    }
    return result;
}

/* ---- running one ------------------------------------------------------------------------------------------------ */

typedef struct fault {
    const char *kind; /* NULL: none */
    int error;        /* errno of "once" and "always" */
    long at;
} fault;

typedef struct outcome {
    int status;    /* of waitpid */
    int committed; /* the last number it was told is safe; 0: none */
    bool error;    /* it reported one ... */
    bool clear;    /* ... with the file's path and the injected reason */
} outcome;

static void set_number(const char *name, long value)
{
    char text[24];
    snprintf(text, sizeof text, "%ld", value);
    setenv(name, text, 1);
}

static void become_victim(const char *mode, const fault *f)
{
    setenv("FAULT_PATH", test_dir, 1);
    if (!f->kind)
        setenv("FAULT_COUNT", in_dir("count.txt"), 1);
    if (f->kind) {
        setenv("FAULT_KIND", f->kind, 1);
        set_number("FAULT_AT", f->at);
        set_number("FAULT_ERRNO", f->error);
    }
    execl(self, self, mode, test_dir, (char *)NULL);
    _exit(127);
}

static void read_report(FILE *from, const fault *f, outcome *o)
{
    char line[1024];
    while (fgets(line, sizeof line, from)) {
        sscanf(line, "committed %d", &o->committed);
        if (strncmp(line, "error: ", 7) != 0)
            continue;
        o->clear = (o->clear || !o->error) && strstr(line, test_dir) && f->error && strstr(line, strerror(f->error));
        o->error = true;
    }
}

static outcome run_victim(const char *mode, const fault *f)
{
    outcome o = {0};
    int ends[2];
    fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        become_victim(mode, f);
    }
    close(ends[1]);
    FILE *from = fdopen(ends[0], "r");
    read_report(from, f, &o);
    fclose(from);
    waitpid(child, &o.status, 0);
    return o;
}

static void empty_dir(void)
{
    static const char *const names[] = {"log.h5", "log.h5.journal", "latest.h5", "latest.h5.tmp", "previous.h5",
                                        "previous.h5.tmp", "count.txt"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        unlink(in_dir(names[k]));
}

/* How many calls a whole run makes. */
static long count_calls(const char *mode)
{
    fault none = {0};
    long n = 0;
    empty_dir();
    outcome o = run_victim(mode, &none);
    FILE *f = fopen(in_dir("count.txt"), "r");
    if (!f || fscanf(f, "%ld", &n) != 1)
        n = 0;
    if (f)
        fclose(f);
    tap_ok(o.status == 0 && !o.error && n > 10, "%s: an undisturbed run makes %ld calls", mode, n);
    return n;
}

/* Runs a check in a child. Returns what it returns, or -100 when it crashed. */
static int in_child(int (*check)(int), int argument)
{
    int result = -100, ends[2], status;
    fflush(stdout);
    if (pipe(ends) != 0)
        abort();
    pid_t child = fork();
    if (child == 0) {
        alarm(60);
        result = check(argument);
        if (write(ends[1], &result, sizeof result) != sizeof result)
            _exit(1);
        _exit(0);
    }
    close(ends[1]);
    if (read(ends[0], &result, sizeof result) != sizeof result)
        result = -100;
    close(ends[0]);
    waitpid(child, &status, 0);
    return result;
}

/* ---- is a log whole? -------------------------------------------------------------------------------------------- */

/* Rows of a dataset; -1: it cannot be read. data has room for STEPS rows of that many elements. */
static long read_rows(hid_t file, const char *name, hid_t type, void *data)
{
    long rows = -1;
    hsize_t size[H5S_MAX_RANK] = {0};
    hid_t d = H5Dopen2(file, name, H5P_DEFAULT), space = d >= 0 ? H5Dget_space(d) : -1;
    if (space >= 0 && H5Sget_simple_extent_dims(space, size, NULL) >= 1 && size[0] <= STEPS &&
        H5Dread(d, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0)
        rows = (long)size[0];
    H5Sclose(space);
    H5Dclose(d);
    return rows;
}

/* Whether column c holds its values in the first n rows. */
static bool column_is_right(hid_t file, const char *name, int c, int n)
{
    double got[STEPS];
    if (c == 2 && n <= 25 && H5Lexists(file, name, H5P_DEFAULT) == 0)
        return true;
    if (read_rows(file, name, H5T_NATIVE_DOUBLE, got) != n)
        return false;
    for (int step = 0; step < n; step++)
        if (c == 2 && step < 25 ? !isnan(got[step]) : got[step] != metric(step, c))
            return false;
    return true;
}

static bool series_is_right(hid_t file, const char *group, int s, int first, int n)
{
    static float got[STEPS * ELEMENTS];
    double steps[STEPS];
    char name[32];
    if (n <= first) /* it was not there yet */
        return true;
    snprintf(name, sizeof name, "%s/x", group);
    if (read_rows(file, name, H5T_NATIVE_FLOAT, got) != n - first)
        return false;
    snprintf(name, sizeof name, "%s/step", group);
    if (read_rows(file, name, H5T_NATIVE_DOUBLE, steps) != n - first)
        return false;
    for (int row = 0; row < n - first; row++) {
        if (steps[row] != first + row)
            return false;
        for (int k = 0; k < ELEMENTS; k++)
            if (got[row * ELEMENTS + k] != element(first + row, s, k))
                return false;
    }
    return true;
}

/* Number of whole, right steps in the log; -1: cannot be opened; -2: opens but is wrong. Read by our driver, which
 * completes an unfinished commit in memory, or as any program does. */
static int steps_in_log(int by_our_driver)
{
    double steps[STEPS];
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    if (by_our_driver && h5txn_set_driver(access, NULL) < 0)
        return -3;
    hid_t file = H5Fopen(in_dir("log.h5"), H5F_ACC_RDONLY, access);
    H5Pclose(access);
    if (file < 0)
        return -1;
    int n = (int)read_rows(file, "metrics/step", H5T_NATIVE_DOUBLE, steps);
    for (int k = 0; k < n; k++)
        if (steps[k] != k)
            return -2;
    static const char *const names[] = {"metrics/loss", "metrics/lr", "metrics/late"};
    for (int c = 0; n > 0 && c < 3; c++)
        if (!column_is_right(file, names[c], c, n))
            return -2;
    if (n < 0 || !series_is_right(file, "act", 0, 0, n) || !series_is_right(file, "later", 1, 30, n))
        return -2;
    H5Fclose(file);
    return n;
}

/* n steps are right when that many were acknowledged, or one commit more, of which nobody was told. */
static bool is_right(int n, int committed)
{
    return n == committed || n == committed + every || (committed == 0 && n == -1);
}

/* Goes on with a log as a resumed run would. */
static int resume_log(int committed)
{
    fflush(stdout);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    return log_victim(in_dir("log.h5"), committed > 0 ? committed : 1);
}

/* ---- the campaigns ---------------------------------------------------------------------------------------------- */

typedef struct tally {
    int points, bad, whole, refused, wrong, signals, unclear, completed;
} tally;

static long points_wanted(void)
{
    const char *text = getenv("LSTM_TORTURE");
    long n = text ? atol(text) : 0;
    return n > 0 ? n : under_sanitizer() ? 13 : 40;
}

/* The k-th of so many points spread over 1 .. n. */
static long point(long k, long points, long n)
{
    return points >= n ? k + 1 : 1 + k * n / points;
}

static void note_bad(tally *t, const fault *f, const outcome *o, int got)
{
    if (t->bad++ < 5)
        tap_note("%s at call %ld: committed %d, found %d, status %d", f->kind, f->at, o->committed, got, o->status);
}

/* Mends what was hit, by recover or, every third time, by going on with the run. */
static void mend_log(tally *t, const fault *f, const outcome *o)
{
    const char *what = "";
    bool there = access(in_dir("log.h5"), F_OK) == 0;
    if (f->at % 3 == 0 && o->committed > 0) {
        int result = in_child(resume_log, o->committed);
        int n = in_child(steps_in_log, 0);
        if (result || n != STEPS)
            note_bad(t, f, o, n);
        return;
    }
    if (there && h5log_recover(in_dir("log.h5"), &what, &err)) {
        tap_note("recover: %s", err.message);
        note_bad(t, f, o, -3);
        return;
    }
    t->completed += strstr(what, "completed") != NULL;
    int n = there ? in_child(steps_in_log, 0) : -1;
    if (!is_right(n, o->committed) || access(in_dir("log.h5.journal"), F_OK) == 0)
        note_bad(t, f, o, n);
}

/* A kill, or failing calls, at each of the points of a log. */
static tally strike_log(const char *kind, int error, long calls)
{
    tally t = {0};
    long points = points_wanted() < calls ? points_wanted() : calls;
    for (long k = 0; k < points; k++) {
        fault f = {kind, error, point(k, points, calls)};
        empty_dir();
        outcome o = run_victim("log", &f);
        bool killed = WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGKILL;
        t.points++;
        t.signals += error ? !WIFEXITED(o.status) : !killed;
        t.unclear += error && (o.error != (WEXITSTATUS(o.status) == 1) || (o.error && !o.clear));
        int n = in_child(steps_in_log, 0); /* as a stock reader finds it */
        t.whole += is_right(n, o.committed);
        t.refused += n == -1 && o.committed > 0;
        t.wrong += n < -1 || (n >= 0 && !is_right(n, o.committed));
        n = in_child(steps_in_log, 1);
        if (!is_right(n, o.committed))
            note_bad(&t, &f, &o, n);
        mend_log(&t, &f, &o);
    }
    return t;
}

static void test_log_kills(long calls)
{
    static const char *const kinds[] = {"before", "after", "torn"};
    for (int k = 0; k < 3; k++) {
        tally t = strike_log(kinds[k], 0, calls);
        tap_ok(t.points && !t.bad && !t.signals, "log: %d kills (%s a call): every committed record is there after "
               "recovery", t.points, kinds[k]);
        tap_note("without recovery stock readers found %d whole, refused %d, met a mixture in %d; %d commits were "
                 "completed by recover", t.whole, t.refused, t.wrong, t.completed);
    }
}

static void test_log_errors(long calls)
{
    static const int errors[] = {ENOSPC, EIO};
    for (int e = 0; e < 2; e++)
        for (int always = 0; always < 2; always++) {
            tally t = strike_log(always ? "always" : "once", errors[e], calls);
            tap_ok(t.points && !t.bad, "log: %d times '%s' %s: the last commit is there", t.points, strerror(errors[e]),
                   always ? "for ever" : "once");
            tap_ok(!t.signals && !t.unclear, "  never a signal, and each failure is a sentence with path and reason");
            if (t.signals || t.unclear)
                tap_note("%d signals, %d unclear", t.signals, t.unclear);
        }
}

/* ---- power failures ---------------------------------------------------------------------------------------------- */

#define SECTOR 512

typedef struct call {
    fault_call head;
    unsigned char *bytes;
} call;

/* A file on a disk: what was synced, and the calls since. */
typedef struct image {
    unsigned char *bytes;
    size_t size, room;
    const call *pending[4096];
    size_t npending;
} image;

static uint64_t random_state;

static double random_number(void) /* [0, 1); xorshift64 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (double)(random_state >> 11) / 9007199254740992.0;
}

static void resize(image *im, size_t size)
{
    if (size > im->room) {
        im->room = 2 * size;
        im->bytes = realloc(im->bytes, im->room);
    }
    if (size > im->size)
        memset(im->bytes + im->size, 0, size - im->size);
    im->size = size;
}

/* Does a call, or with probability 1 - p leaves it out: a write sector by sector. */
static void do_call(image *im, const call *c, double p)
{
    size_t end = (size_t)c->head.offset;
    if (c->head.what == 't' && random_number() < p)
        resize(im, end);
    if (c->head.what == 'a' && end > im->size && random_number() < p)
        resize(im, end);
    for (size_t done = 0, n; c->head.what == 'w' && done < c->head.length; done += n) {
        size_t at = (size_t)c->head.offset + done;
        n = SECTOR - at % SECTOR;
        if (n > c->head.length - done)
            n = c->head.length - done;
        if (random_number() >= p)
            continue;
        if (at + n > im->size)
            resize(im, at + n);
        memcpy(im->bytes + at, c->bytes + done, n);
    }
}

static void play(image *im, const call *c)
{
    if (c->head.what != 's') {
        im->pending[im->npending++] = c;
        return;
    }
    for (size_t k = 0; k < im->npending; k++)
        do_call(im, im->pending[k], 1);
    im->npending = 0;
}

/* What is on the disk after the failure. */
static void fail_power(image *im, const char *path)
{
    static const double shares[] = {0, 0.1, 0.5, 0.9, 1};
    double p = shares[(int)(5 * random_number())];
    for (size_t k = 0; k < im->npending; k++)
        do_call(im, im->pending[k], p);
    FILE *f = fopen(path, "wb");
    if (!f || (im->size && fwrite(im->bytes, 1, im->size, f) != im->size) || fclose(f) != 0)
        abort();
    free(im->bytes);
}

/* Plays the first n calls and fails. Returns how many steps were committed then. */
static int play_to(const call *calls, size_t n)
{
    static image log, journal;
    int committed = 0;
    bool gone = false;
    log = journal = (image){0};
    for (size_t k = 0; k < n; k++) {
        const call *c = &calls[k];
        sscanf(c->head.name, "committed.%d", &committed);
        gone |= c->head.what == 'u' && strcmp(c->head.name, "log.h5.journal") == 0;
        if (strchr("wsta", c->head.what) && strcmp(c->head.name, "log.h5") == 0)
            play(&log, c);
        if (strchr("wsta", c->head.what) && strcmp(c->head.name, "log.h5.journal") == 0)
            play(&journal, c);
    }
    empty_dir();
    fail_power(&log, in_dir("log.h5"));
    fail_power(&journal, in_dir("log.h5.journal"));
    if (gone && random_number() < 0.5)
        unlink(in_dir("log.h5.journal"));
    return committed;
}

/* The record of an undisturbed run. */
static call *read_calls(size_t *n)
{
    call *calls = NULL;
    fault_call head;
    FILE *f = fopen(in_dir("record"), "rb");
    *n = 0;
    while (f && fread(&head, sizeof head, 1, f) == 1) {
        calls = realloc(calls, (*n + 1) * sizeof *calls);
        calls[*n] = (call){head, malloc(head.length + 1)};
        if (fread(calls[*n].bytes, 1, head.length, f) != head.length)
            break;
        ++*n;
    }
    if (f)
        fclose(f);
    unlink(in_dir("record"));
    return calls;
}

static void test_power_failures(void)
{
    size_t n;
    int bad = 0, completed = 0;
    empty_dir();
    setenv("FAULT_RECORD", in_dir("record"), 1);
    run_victim("log", &(fault){0});
    unsetenv("FAULT_RECORD");
    call *calls = read_calls(&n);
    long trials = 3 * points_wanted();
    for (long k = 0; k < trials && n; k++) {
        const char *what = "";
        random_state = (uint64_t)k * 2654435761u + 88172645463325252u;
        size_t cut = 1 + (size_t)(random_number() * (double)n);
        int committed = play_to(calls, cut);
        int error = h5log_recover(in_dir("log.h5"), &what, &err);
        int found = in_child(steps_in_log, 0);
        completed += strstr(what, "completed") != NULL;
        if ((error || !is_right(found, committed)) && bad++ < 5)
            tap_note("power failure %ld after call %zu: committed %d, found %d", k, cut, committed, found);
    }
    tap_ok(n > 100 && !bad, "log: %ld power failures: every committed record is there after recovery", trials);
    tap_note("%d commits were completed by recover", completed);
    for (size_t k = 0; k < n; k++)
        free(calls[k].bytes);
    free(calls);
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------- */

typedef struct order {
    bool unsynced, moved; /* bytes of the new file, its name: not on the disk yet */
    int renames, early, marks, unsafe;
} order;

/* What a call does to that: early counts renames of what was not synced, unsafe acknowledgements of a name that was not. */
static void follow(order *o, const fault_call *c)
{
    bool is_new = strcmp(c->name, "latest.h5.tmp") == 0;
    if (c->what == 'w' && is_new)
        o->unsynced = true;
    if (c->what == 's' && is_new)
        o->unsynced = false;
    if (c->what == 's' && strcmp(c->name, strrchr(test_dir, '/') + 1) == 0)
        o->moved = false;
    if (c->what == 'r' && strcmp(c->name, "latest.h5") == 0) {
        o->renames++;
        o->early += o->unsynced;
        o->moved = true;
    }
    if (c->what == 'u' && strncmp(c->name, "committed.", 10) == 0) {
        o->marks++;
        o->unsafe += o->moved || o->renames < o->marks;
    }
}

static void test_order_of_calls(void)
{
    order o = {0};
    size_t n;
    empty_dir();
    setenv("FAULT_RECORD", in_dir("record"), 1);
    run_victim("checkpoint", &(fault){0});
    unsetenv("FAULT_RECORD");
    call *calls = read_calls(&n);
    for (size_t k = 0; k < n; k++) {
        follow(&o, &calls[k].head);
        free(calls[k].bytes);
    }
    free(calls);
    tap_ok(o.renames == checkpoints && !o.early, "checkpoint: each of %d is synced before it is renamed", o.renames);
    tap_ok(o.marks == checkpoints && !o.unsafe, "checkpoint: the directory is synced before success is told");
}

/* The step of the checkpoint that a run would go on from; -1: none; -2: its content is wrong. */
static int step_of_checkpoint(int unused)
{
    float data[ELEMENTS];
    int64_t step = -2;
    (void)unused;
    h5checkpoint *cp = h5checkpoint_read_either(in_dir("latest.h5"), in_dir("previous.h5"), NULL, &err);
    if (!cp)
        return -1;
    if (h5checkpoint_integer(cp, "step", &step, &err) ||
        h5checkpoint_get(cp, "x", H5_F32, 1, (size_t[]){ELEMENTS}, data, &err))
        step = -2;
    for (int k = 0; step > 0 && k < ELEMENTS; k++)
        if (data[k] != element((int)step, 0, k))
            step = -2;
    h5checkpoint_free(cp);
    return (int)step;
}

static tally strike_checkpoint(const char *kind, int error, long calls)
{
    tally t = {0};
    long points = points_wanted() < calls ? points_wanted() : calls;
    for (long k = 0; k < points; k++) {
        fault f = {kind, error, point(k, points, calls)};
        empty_dir();
        outcome o = run_victim("checkpoint", &f);
        bool killed = WIFSIGNALED(o.status) && WTERMSIG(o.status) == SIGKILL;
        int step = in_child(step_of_checkpoint, 0);
        t.points++;
        t.signals += error ? !WIFEXITED(o.status) : !killed;
        t.unclear += error && (o.error != (WEXITSTATUS(o.status) == 1) || (o.error && !o.clear));
        /* One more than acknowledged may be in place; after failures that go on, several. */
        if (!(step >= o.committed && step != 0) && !(step == -1 && o.committed == 0))
            note_bad(&t, &f, &o, step);
    }
    return t;
}

static void test_checkpoints(long calls)
{
    static const struct {
        const char *kind;
        int error;
    } kinds[] = {{"before", 0}, {"after", 0}, {"torn", 0}, {"once", ENOSPC}, {"always", ENOSPC}, {"once", EIO},
                 {"always", EIO}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        tally t = strike_checkpoint(kinds[k].kind, kinds[k].error, calls);
        tap_ok(t.points && !t.bad && !t.signals && !t.unclear, "checkpoint: %d times %s%s%s: the last one is there",
               t.points, kinds[k].kind, kinds[k].error ? ", " : " a kill",
               kinds[k].error ? strerror(kinds[k].error) : "");
        if (t.signals || t.unclear)
            tap_note("%d signals, %d unclear", t.signals, t.unclear);
    }
}

int main(int argc, char **argv)
{
    if (points_wanted() > 40) { /* there must be as many calls */
        every = 2;
        checkpoints = 60;
    }
    if (argc == 3) {
        snprintf(test_dir, sizeof test_dir, "%s", argv[2]);
        return strcmp(argv[1], "log") == 0 ? log_victim(in_dir("log.h5"), 0)
                                           : checkpoint_victim();
    }
    self = argv[0];
    /* Kills and errors are ours, not the disk's: memory will do, and syncs cost nothing there. */
    make_test_dir("test_faults", true);
    if (access("/proc/self/fd", F_OK) != 0)
        tap_skip_all("needs /proc to know the files that calls are about");
    long calls = count_calls("log");
    test_log_kills(calls);
    test_log_errors(calls);
    test_power_failures();
    test_order_of_calls();
    test_checkpoints(count_calls("checkpoint"));
    empty_dir();
    rmdir(test_dir);
    return tap_done();
}
