/* SPDX-License-Identifier: MIT
 *
 * test_failing.c - one call fails: each allocation, each call of the system and each of libhdf5 in turn, once and from
 * then on, while checkpoints, logs and results of sweeps are written and read, metrics.csv is written and gone on with,
 * texts are loaded, vocabularies made and journals used. Each time there must be a sentence or it must have worked,
 * nothing that was there before may be lost, and everything is given back. (Kills, and calls as they meet a log:
 * test_faults.c.)
 *
 * LSTM_TORTURE=1 takes every call that logs and results make instead of some.
 */
#define _GNU_SOURCE
#include "corpus.h"
#include "csvlog.h"
#include "failing.h"
#include "h5checkpoint.h"
#include "h5image.h"
#include "h5journal.h"
#include "h5log.h"
#include "h5probe.h"
#include "h5read.h"
#include "h5results.h"
#include "support.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* To the leak sanitizer: blocks of ours are counted here, and libhdf5 loses some of its own when it cannot read. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

static lstm_error err;

/* ---- campaigns -------------------------------------------------------------------------------------------------- */

typedef struct scenario {
    const char *what;
    void (*prepare)(void);          /* nothing fails here */
    bool (*act)(void);              /* whether it worked; if not, err says why */
    bool (*is_right)(bool worked);  /* what it left */
    size_t stride;                  /* without LSTM_TORTURE: from path to path */
} scenario;

typedef struct tally {
    long worked;
    int unclear, wrong, open, leaks;
} tally;

static void note(const scenario *s, const char *fault)
{
    tap_note("%s, %s fails%s: %s; message: %s", s->what, failed_name(), failing_for_ever ? " with all after it" : "",
             fault, err.message);
}

/* One time, with what was chosen to fail. Its own caller is not part of a path. */
__attribute__((noinline)) static void run_once(const scenario *s, tally *t)
{
    failing_root = __builtin_return_address(0);
    memset(&err, 0, sizeof err);
    const long blocks = failing_blocks;
    const ssize_t open = H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL);
    const bool worked = s->act();
    fail_nothing();
    t->worked += worked;
    if (!worked && !*err.message && t->unclear++ < 5)
        note(s, "no sentence");
    if (failing_blocks != blocks && t->leaks++ < 5)
        note(s, "memory was not given back");
    if (H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL) != open && t->open++ < 5)
        note(s, "libhdf5 has something open");
    if (!s->is_right(worked) && t->wrong++ < 5)
        note(s, worked ? "what it made is wrong" : "what was there is lost");
}

static bool is_clean(const tally *t)
{
    return !t->unclear && !t->leaks && !t->open && !t->wrong;
}

static void run_all(const scenario *s)
{
    tally once = {0};
    s->prepare();
    record_paths();
    run_once(s, &once);
    const size_t n = paths_recorded();
    tap_ok(once.worked && is_clean(&once) && n > 5, "%s: works", s->what);
    for (int ever = 0; ever < 2; ever++) {
        const size_t stride = getenv("LSTM_TORTURE") ? 1 : s->stride;
        tally t = {0};
        failing_for_ever = ever;
        for (size_t k = 0; k < n; k += stride) {
            s->prepare();
            fail_path(k);
            run_once(s, &t);
        }
        tap_ok(is_clean(&t), "%s: %zu calls fail in turn, %s: a sentence, or it works all the same (%ld times)",
               s->what, (n + stride - 1) / stride, ever ? "with all after them" : "alone", t.worked);
    }
    failing_for_ever = false;
}

/* Only call number `at` of this name fails: for this reason, or with this result when there is no reason. Whether it
 * worked all the same, or, if says is given, that is in the sentence. */
static bool run_with(const scenario *s, const char *name, long at, int error, long result, const char *says)
{
    tally t = {0};
    s->prepare();
    failing_errno = error;
    failing_result = result;
    fail_name(name, at);
    run_once(s, &t);
    failing_errno = EIO;
    failing_result = -1;
    return call_failed() && is_clean(&t) && (says ? !t.worked && strstr(err.message, says) : t.worked == 1);
}

static void nothing(void)
{
}

static bool anyway(bool worked)
{
    (void)worked;
    return true;
}

/* ---- checkpoints ------------------------------------------------------------------------------------------------ */

static const float weights[6] = {1, 2, 3, 4, 5, 6};
static float view_data[4] = {7, 8, 9, 10};

/* One of everything, of this step. */
static bool write_checkpoint(int64_t step)
{
    lstm_tensor view;
    lstm_tensor_dense(&view, "state", LSTM_F32, 2, (size_t[]){2, 2}, view_data);
    h5checkpoint *cp = h5checkpoint_new(&err);
    const bool good = cp && !h5checkpoint_add_integer(cp, "step", step, &err) &&
                      !h5checkpoint_add_number(cp, "best", 0.5, &err) &&
                      !h5checkpoint_add_text(cp, "config", "{}", 2, &err) &&
                      !h5checkpoint_add(cp, "group/weights", H5_F32, 2, (size_t[]){2, 3}, weights, &err) &&
                      !h5checkpoint_add_tensor(cp, NULL, &view, &err) &&
                      !h5checkpoint_write(cp, in_dir("latest.h5"), in_dir("previous.h5"), &err);
    h5checkpoint_free(cp);
    return good;
}

static bool read_all(const h5checkpoint *cp, int64_t *step)
{
    float got[6], state[4];
    double best;
    lstm_tensor view;
    lstm_tensor_dense(&view, "state", LSTM_F32, 2, (size_t[]){2, 2}, state);
    const char *text = h5checkpoint_text(cp, "config", NULL, &err);
    return text && strcmp(text, "{}") == 0 && !h5checkpoint_integer(cp, "step", step, &err) &&
           !h5checkpoint_number(cp, "best", &best, &err) && best == 0.5 &&
           !h5checkpoint_get(cp, "group/weights", H5_F32, 2, (size_t[]){2, 3}, got, &err) &&
           memcmp(got, weights, sizeof got) == 0 && !h5checkpoint_get_tensor(cp, NULL, &view, &err) &&
           memcmp(state, view_data, sizeof state) == 0;
}

/* Of latest and previous, as they were: one step 2, the other 1. */
static unsigned char *kept[2];
static size_t kept_size[2];

static int64_t step_of(const char *name, int before)
{
    int64_t step = -1;
    size_t size;
    unsigned char *bytes = slurp(in_dir(name), &size);
    const bool same = size == kept_size[before] && memcmp(bytes, kept[before], size) == 0;
    free(bytes);
    if (same)
        return 2 - before;
    h5checkpoint *cp = h5checkpoint_read(in_dir(name), &err);
    if (cp && !read_all(cp, &step))
        step = -2;
    h5checkpoint_free(cp);
    return step;
}

static void keep_two_checkpoints(void)
{
    if (!write_checkpoint(1) || !write_checkpoint(2))
        bail("%s", err.message);
    kept[0] = slurp(in_dir("latest.h5"), &kept_size[0]);
    kept[1] = slurp(in_dir("previous.h5"), &kept_size[1]);
}

static void two_checkpoints(void)
{
    unlink(in_dir("latest.h5.tmp"));
    unlink(in_dir("previous.h5.tmp"));
    unlink(in_dir("latest.h5")); /* a new file, since it may have other names */
    unlink(in_dir("previous.h5"));
    spill(in_dir("latest.h5"), kept[0], kept_size[0]);
    spill(in_dir("previous.h5"), kept[1], kept_size[1]);
}

static bool write_third(void)
{
    return write_checkpoint(3);
}

/* The new one counts even if nobody was told that it is in place. */
static bool a_generation_is_there(bool worked)
{
    const lstm_error said = err;
    const int64_t latest = step_of("latest.h5", 0);
    const int64_t previous = access(in_dir("previous.h5"), F_OK) == 0 ? step_of("previous.h5", worked ? 0 : 1) : -1;
    err = said;
    if (worked)
        return latest == 3 && previous == 2;
    return latest == 3 || latest == 2;
}

static int64_t step_read;

static bool read_one(void)
{
    h5checkpoint *cp = h5checkpoint_read(in_dir("latest.h5"), &err);
    const bool good = cp && read_all(cp, &step_read);
    h5checkpoint_free(cp);
    return good;
}

static bool second_was_read(bool worked)
{
    return !worked || step_read == 2;
}

static const scenario writing = {"a checkpoint is written", two_checkpoints, write_third, a_generation_is_there, 1};
static bool write_text(void)
{
    h5checkpoint *cp = h5checkpoint_new(&err);
    const bool good = cp && !h5checkpoint_add_text(cp, "config", "{}", 2, &err) &&
                      !h5checkpoint_write(cp, in_dir("latest.h5"), in_dir("previous.h5"), &err);
    h5checkpoint_free(cp);
    return good;
}

static const scenario writing_text = {"a text is written", two_checkpoints, write_text, a_generation_is_there, 1};
static const scenario reading = {"a checkpoint is read", two_checkpoints, read_one, second_was_read, 1};

/* File systems without hard links say so in these ways. */
static void test_no_links(void)
{
    static const int reasons[] = {EPERM, EOPNOTSUPP, ENOSYS, EMLINK};
    for (size_t k = 0; k < sizeof reasons / sizeof *reasons; k++)
        tap_ok(run_with(&writing, "link", 0, reasons[k], -1, NULL), "both generations are kept without links (%s)",
               strerror(reasons[k]));
    failing_for_ever = true;
    tap_ok(run_with(&writing, "link", 0, EPERM, -1, strerror(EPERM)),
           "where nothing may be renamed, either, the old one stays");
    failing_for_ever = false;
}

/* What is no failure: a signal that came meanwhile, and a file system that has nothing to do for directories. */
static void test_no_failures(void)
{
    tap_ok(run_with(&writing, "fsync", 0, EINTR, -1, NULL), "a signal comes while a checkpoint goes to the disk");
    tap_ok(run_with(&writing, "fsync", 1, EINTR, -1, NULL), "or its directory");
    tap_ok(run_with(&writing, "close", 0, EINTR, -1, NULL), "or while it is closed");
    tap_ok(run_with(&writing, "fsync", 1, EINVAL, -1, NULL), "a directory that cannot be synced");
    tap_ok(run_with(&writing, "fsync", 0, EINVAL, -1, strerror(EINVAL)), "but not a file");
}

/* libhdf5 or the system says that it was all done, but it was not. */
static void test_lies(void)
{
    tap_ok(run_with(&writing, "H5Lvisit", 0, 0, 0, "latest.h5"),
           "an image without its tensors does not become a checkpoint");
    tap_ok(run_with(&writing_text, "H5Lvisit", 0, 0, 0, "latest.h5"), "nor does one without its text");
    tap_ok(run_with(&writing, "H5Aiterate2", 0, 0, 0, "latest.h5"), "nor does one without its numbers");
    tap_ok(run_with(&writing, "write", 0, 0, 0, "Input/output error"), "nor what nothing was written of");
    tap_ok(run_with(&reading, "pread", 0, 0, 0, "shrinks while it is read"), "a file loses its end while it is read");
    tap_ok(run_with(&reading, "pread", 1, 0, 0, "is damaged"), "or all but its end");
}

static bool finish_image(unsigned char *bytes, size_t room)
{
    h5image other = {calloc(1, 4096), 0, 4096}, im = {bytes, 0, room};
    const bool good = h5image_finish(&im, h5image_create(&other)) == 0;
    free(other.bytes);
    return good;
}

/* In memory that is too small at first. */
static bool grow_image(void)
{
    static const char bytes[100000];
    h5image im = {calloc(1, 64), 0, 64};
    hid_t file = im.bytes ? h5image_create(&im) : -1, space = H5Screate_simple(1, (hsize_t[]){sizeof bytes}, NULL);
    hid_t data = file >= 0 ? H5Dcreate2(file, "x", H5T_NATIVE_CHAR, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT) : -1;
    bool good = data >= 0 && H5Dwrite(data, H5T_NATIVE_CHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes) >= 0;
    if (data >= 0)
        H5Dclose(data);
    H5Sclose(space);
    good = file >= 0 && h5image_finish(&im, file) == 0 && good && im.size > sizeof bytes;
    free(im.bytes);
    return good || lstm_fail(&err, "", "no image") == 0;
}

static const scenario growing = {"an image grows", nothing, grow_image, anyway, 1};

static void test_unfinished_images(void)
{
    unsigned char bytes[96] = {0};
    tap_ok(!finish_image(bytes, 40), "an image too small for a superblock is none");
    tap_ok(!finish_image(bytes, sizeof bytes), "nor is one without a superblock");
    bytes[8] = 2; /* its version; 28: where the file ends */
    bytes[28] = 48;
    tap_ok(finish_image(bytes, sizeof bytes), "one that ends within its memory is");
    bytes[28] = 49;
    tap_ok(!finish_image(bytes, sizeof bytes), "and none that ends behind it");
}

/* ---- the child that tries first --------------------------------------------------------------------------------- */

static volatile int *children; /* counted in memory that they share */

/* Waits for ever, as one does for a lock that nobody gives back: in the first child only, or in all. */
static int work_that_waits(void *always, lstm_error *e)
{
    (void)e;
    while ((*children)++ == 0 || always)
        pause();
    return 0;
}

static int work_that(void *what, lstm_error *e)
{
    switch (*(char *)what) {
    case 'g': return 0;
    case 'f': return lstm_fail(e, "", "the child's reason");
    case 'e': _exit(1);
    case 'w': usleep(100000); return 0;
    default: raise(SIGSEGV); return 0;
    }
}

/* Tells that it is there, and waits for ever. */
static int work_that_begins(void *pipe, lstm_error *e)
{
    (void)e;
    ssize_t ignored = write(((int *)pipe)[1], "", 1);
    (void)ignored;
    pause();
    return 0;
}

/* A process is killed while its child tries. The pipe is closed when both are gone. */
static bool child_goes_with_its_parent(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        return false;
    const pid_t parent = fork();
    if (parent == 0)
        _exit(h5probe(work_that_begins, ends, 10, NULL) != H5PROBE_DIED);
    close(ends[1]);
    bool good = read(ends[0], &byte, 1) == 1 && kill(parent, SIGKILL) == 0 && waitpid(parent, NULL, 0) == parent;
    struct pollfd end = {.fd = ends[0]};
    good = good && poll(&end, 1, 5000) == 1 && read(ends[0], &byte, 1) == 0;
    close(ends[0]);
    return good;
}

static void wake(int signal)
{
    (void)signal;
}

static void test_probe(void)
{
    tap_ok(h5probe(work_that, "good", 1, &err) == H5PROBE_GOOD, "a child that comes back");
    tap_ok(h5probe(work_that, "fails", 1, &err) == H5PROBE_FAILED, "a child whose work fails");
    tap_ok(strcmp(err.message, "the child's reason") == 0, "and says why");
    tap_ok(h5probe(work_that, "fails", 1, NULL) == H5PROBE_FAILED, "or to nobody");
    struct rlimit room, none = {0, 0};
    getrlimit(RLIMIT_AS, &room);
    none.rlim_max = room.rlim_max;
    setrlimit(RLIMIT_AS, &none);
    const h5probe_result without_memory = h5probe(work_that, "good", 1, &err);
    setrlimit(RLIMIT_AS, &room);
    tap_ok(without_memory == H5PROBE_NONE, "no memory for the child's reason");
    tap_ok(!h5probe_file(work_that, "good", "no/such/file", &err), "how long it may take, of a file that is not there");
    tap_ok(h5probe(work_that, "exits", 1, &err) == H5PROBE_DIED, "a child that ends by itself");
    tap_ok(h5probe(work_that, "crashes", 1, &err) == H5PROBE_DIED, "a child that crashes");
    struct sigaction old, action = {.sa_handler = wake}; /* without SA_RESTART */
    sigaction(SIGALRM, &action, &old);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 20000}}, NULL);
    tap_ok(h5probe(work_that, "waits", 1, &err) == H5PROBE_GOOD, "a signal does not end the wait for it");
    sigaction(SIGALRM, &old, NULL);
    children = mmap(NULL, sizeof *children, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    tap_ok(children != MAP_FAILED && h5probe(work_that_waits, NULL, 0.5, &err) == H5PROBE_GOOD && *children == 2,
           "a child that waits for ever is replaced once");
    tap_ok(h5probe(work_that_waits, "always", 0.1, &err) == H5PROBE_DIED && *children == 4, "and only once");
    tap_ok(child_goes_with_its_parent(), "a child does not outlive its parent");
    signal(SIGCHLD, SIG_IGN);
    tap_ok(h5probe(work_that, "good", 1, &err) == H5PROBE_NONE, "a child that nobody may wait for");
    signal(SIGCHLD, SIG_DFL);
}

/* ---- metrics.csv ------------------------------------------------------------------------------------------------ */

static const char *const columns[] = {"loss", "a \"b\", c"};
enum { ROWS = 200 }; /* more than there is room for at first */

static void no_csv(void)
{
    unlink(in_dir("m.csv"));
}

static bool write_csv(void)
{
    csvlog *csv = csvlog_create(in_dir("m.csv"), &err);
    bool good = csv && !csvlog_columns(csv, 2, columns, &err);
    for (int step = 1; step <= ROWS && good; step++)
        good = !csvlog_row(csv, step, 1, columns, &(double){step / 3.0}, &err) &&
               !csvlog_row(csv, step, 1, (const char *const[]){"late"}, &(double){0}, &err) &&
               (step != 20 ||
                (!csvlog_flush(csv, &err) && !csvlog_row(csv, step, 1, columns, &(double){step / 3.0}, &err)));
    return !csvlog_close(csv, &err) && good;
}

static const char *csv_content(void)
{
    static char text[16384];
    FILE *f = fopen(in_dir("m.csv"), "r");
    text[f ? fread(text, 1, sizeof text - 1, f) : 0] = 0;
    if (f)
        fclose(f);
    return text;
}

/* Nothing but whole lines from the beginning; all of them when it worked. */
static bool lines_are_whole(bool worked)
{
    const char *p = csv_content(), *header = "step,loss,\"a \"\"b\"\", c\"\n";
    if (!*p)
        return !worked;
    bool whole = strncmp(p, header, strlen(header)) == 0;
    p += whole ? strlen(header) : 0;
    int step = 0, at = 0, n = 0;
    double value;
    for (; whole && *p; p += n)
        whole = sscanf(p, "%d,%lf,\n%n", &at, &value, &n) == 2 && at == ++step && value == step / 3.0;
    return whole && (!worked || step == ROWS);
}

/* Its columns are those of the first row. */
static bool begin_csv(void)
{
    csvlog *csv = csvlog_create(in_dir("m.csv"), &err);
    const bool good = csv && !csvlog_row(csv, 1, 2, columns, (double[]){1, 2}, &err);
    return !csvlog_close(csv, &err) && good;
}

static void three_rows(void)
{
    spill(in_dir("m.csv"), "step,loss\n1,1\n2,2\n3,3\n", 22);
}

static bool resume_csv(void)
{
    csvlog *csv = csvlog_resume(in_dir("m.csv"), 2, &err);
    const bool good = csv && !csvlog_row(csv, 3, 1, columns, &(double){5}, &err);
    return !csvlog_close(csv, &err) && good;
}

static bool two_rows_are_there(bool worked)
{
    const char *text = csv_content(), *two = "step,loss\n1,1\n2,2\n";
    return worked ? strcmp(text, "step,loss\n1,1\n2,2\n3,5\n") == 0 : strncmp(text, two, strlen(two)) == 0;
}

static const scenario csv_writing = {"metrics.csv is written", no_csv, write_csv, lines_are_whole, 1};
static const scenario csv_beginning = {"metrics.csv is begun", no_csv, begin_csv, anyway, 1};
static const scenario csv_resuming = {"metrics.csv is gone on with", three_rows, resume_csv, two_rows_are_there, 1};

/* ---- logs -------------------------------------------------------------------------------------------------------- */

static int64_t committed; /* the step up to which the log was told to be safe */
static unsigned char *kept_log;
static size_t kept_log_size;

static const char *const labels[] = {"i", "f"};
static const h5log_series series[] = {
    {.name = "act/f", .type = H5_F32, .ndim = 2, .keepbits = 7, .units = "1", .title = "forget gate",
     .dim = {{"layer", 2, NULL, labels}, {"unit", 3, (const double[]){0, 0.5, 1}, NULL}}},
    {.name = "act/id", .type = H5_I32, .ndim = 1, .deflate = H5LOG_PLAIN, .dim = {{"unit", 3, NULL, NULL}}},
    {.name = "inputs/text", .type = H5_TEXT, .ndim = 1, .dim = {{"row", 2, NULL, NULL}}},
};
enum { SERIES = sizeof series / sizeof *series };

static bool log_settings(h5log *log)
{
    bool good = !h5log_set_text(log, "config", "name", "x", &err) && !h5log_set_integer(log, "config", "n", 3, &err) &&
                !h5log_set_number(log, "config", "lr", 0.5, &err) && !h5log_set_json(log, "{}", &err) &&
                !h5log_set_texts(log, "vocabulary", "symbol", 2, labels, &err) &&
                !h5log_columns(log, 1, (const char *const[]){"loss"}, &err);
    for (int k = 0; k < SERIES && good; k++)
        good = !h5log_announce(log, &series[k], &err);
    return good;
}

static bool log_step(h5log *log, int64_t step)
{
    const float f[6] = {1, 2, 3, 4, 5, 6};
    const int32_t ids[3] = {1, 2, 3};
    lstm_tensor part;
    lstm_tensor_dense(&part, "f", LSTM_F32, 2, (size_t[]){2, 3}, (void *)f);
    static const char *const names[] = {"loss", "late"};
    bool good = !h5log_row(log, step, 2, names, (double[]){1.0 / (double)step, 2}, &err);
    good = good && (step % 2 ? !h5log_array(log, "act/f", step, (size_t[]){2, 2}, f, &err)
                             : !h5log_tensors(log, "act/f", step, 1, &part, &err));
    return good && !h5log_array(log, "act/id", step, NULL, ids, &err) &&
           !h5log_texts(log, "inputs/text", step, NULL, (const char *const[]){"a", "b"}, &err) &&
           !h5log_sample(log, step, "text", 4, &err) && !h5log_event(log, step, "mark", "here", &err);
}

/* Steps first to 4; 2 is flushed. */
static bool log_steps(h5log *log, int64_t first)
{
    bool good = log && log_settings(log);
    for (int64_t step = first; step <= 4 && good; step++) {
        good = log_step(log, step);
        if (good && step == 2 && (good = !h5log_flush(log, &err)))
            committed = 2;
    }
    if (log && h5log_close(log, &err))
        good = false;
    return good;
}

static const h5log_options *by_flush_only(void)
{
    static h5log_options options;
    h5log_defaults(&options);
    options.commit_seconds = 1e6;
    return &options;
}

static void no_log(void)
{
    unlink(in_dir("log.h5"));
    unlink(in_dir("log.h5.journal"));
    committed = 0;
}

static bool write_log(void)
{
    return log_steps(h5log_create(in_dir("log.h5"), by_flush_only(), &err), 1);
}

static void keep_log(void)
{
    no_log();
    if (!write_log())
        bail("%s", err.message);
    kept_log = slurp(in_dir("log.h5"), &kept_log_size);
}

static void one_log(void)
{
    no_log();
    spill(in_dir("log.h5"), kept_log, kept_log_size);
    committed = 2;
}

static bool resume_log(void)
{
    return log_steps(h5log_resume(in_dir("log.h5"), 2, by_flush_only(), &err), 3);
}

/* How many rows of the metrics are right, all of them from the first; -1: another thing is wrong. */
static int64_t rows_in_log(void)
{
    double steps[8], loss[8];
    h5read *r = h5read_open(in_dir("log.h5"), &err);
    const h5read_item *step = r ? h5read_find(r, "metrics/step") : NULL, *l = r ? h5read_find(r, "metrics/loss") : NULL;
    int64_t n = step && l && step->shape[0] <= 8 ? (int64_t)step->shape[0] : -1;
    if (n > 0 && (h5read_rows(r, step, 0, (uint64_t)n, H5_F64, steps, &err) ||
                  h5read_rows(r, l, 0, (uint64_t)n, H5_F64, loss, &err)))
        n = -1;
    for (int64_t k = 0; k < n; k++)
        if (steps[k] != (double)(k + 1) || loss[k] != 1.0 / steps[k])
            n = -1;
    h5read_close(r);
    return n;
}

static bool committed_rows_are_there(bool worked)
{
    const lstm_error said = err;
    const bool there = access(in_dir("log.h5"), F_OK) == 0;
    const bool mended = there && h5log_recover(in_dir("log.h5"), NULL, &err) == 0;
    const int64_t n = mended ? rows_in_log() : 0;
    const bool right = worked ? n == 4 : committed == 0 || n >= committed;
    if (!right)
        tap_note("%s: %lld rows; %s", mended ? "after recovery" : "not mended", (long long)n, err.message);
    err = said;
    return right;
}

static bool read_log(void)
{
    double numbers[64];
    char texts[sizeof numbers];
    h5read_entry *entries;
    size_t n;
    h5read *r = h5read_open(in_dir("log.h5"), &err);
    bool good = r != NULL;
    for (size_t k = 0; good && k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const uint64_t rows = item->ndim ? item->shape[0] : 1;
        if (!item->is_group && h5read_elements(item) <= 64 && item->width * h5read_elements(item) <= sizeof numbers)
            good = !h5read_rows(r, item, 0, rows, H5_F64, item->is_text ? (void *)texts : (void *)numbers, &err);
        good = good && !h5read_attributes(r, item->path, &entries, &n, &err);
        if (good)
            h5read_free_entries(entries, n);
    }
    char *format = good ? h5read_attribute(r, "", "format") : NULL;
    good = good && h5read_count(r) > 20 && (format || lstm_fail(&err, "", "no format"));
    free(format);
    h5read_close(r);
    return good;
}

static const scenario log_writing = {"a log is written", no_log, write_log, committed_rows_are_there, 149};
static const scenario log_resuming = {"a log is gone on with", one_log, resume_log, committed_rows_are_there, 97};
static const scenario log_reading = {"a log is read", one_log, read_log, anyway, 7};

/* ---- results of a sweep ------------------------------------------------------------------------------------------ */

static void no_results(void)
{
    one_log();
    unlink(in_dir("sweep.h5"));
}

static bool write_results(void)
{
    static const h5results_attribute attributes[] = {{"name", "a sweep"}};
    const h5results_column table[] = {{"trial", H5RESULTS_INTEGER, 8, (int64_t[]){1, 2}, NULL},
                                      {"lr", H5RESULTS_NUMBER, 8, (double[]){0.1, 0.2}, "learning rate"},
                                      {"cell", H5RESULTS_TEXT, 4, "lstmrnn", NULL},
                                      {"good", H5RESULTS_BOOLEAN, 1, "\1", NULL}};
    h5curves *curves = h5curves_new(2, 100, &err);
    const h5results results = {2, 1, attributes, 4, table, "lr", curves, "loss", (const char *const[]){"a", "b"},
                               (const char *const[]){"log.h5", NULL}};
    const bool good = curves && !h5curves_read(curves, 0, in_dir("log.h5"), &err) && !h5curves_settle(curves, &err) &&
                      !h5results_write(&results, in_dir("sweep.h5"), &err);
    h5curves_free(curves);
    return good;
}

/* It is put in place when it is whole. */
static bool results_are_whole(bool worked)
{
    hid_t file = -1, column = -1;
    const bool there = access(in_dir("sweep.h5"), F_OK) == 0;
    if (there) {
        file = H5Fopen(in_dir("sweep.h5"), H5F_ACC_RDONLY, H5P_DEFAULT);
        column = H5Dopen2(file, "curves/loss", H5P_DEFAULT);
        H5Dclose(column);
        H5Fclose(file);
    }
    return there ? file >= 0 && column >= 0 : !worked;
}

static const scenario results_writing = {"the results of a sweep are written", no_results, write_results,
                                         results_are_whole, 97};

/* ---- texts and vocabularies ------------------------------------------------------------------------------------- */

static size_t tokens_read;

/* 200 words, each a symbol of its own. */
static void write_words(void)
{
    char text[2000] = "";
    size_t n = 0;
    for (int k = 0; k < 200; k++)
        n += (size_t)snprintf(text + n, sizeof text - n, "word%d ", k);
    spill(in_dir("words.txt"), text, n);
}

static bool load_words(void)
{
    lstm_corpus_config config = {.tokens = LSTM_TOKENS_WORDS, .source = {{in_dir("words.txt"), NULL, 0}}};
    lstm_corpus *c = lstm_corpus_new(&config, &err);
    tokens_read = c ? lstm_corpus_size(c) : 0;
    lstm_corpus_free(c);
    return c != NULL;
}

static bool all_words(bool worked)
{
    return !worked || tokens_read == 400;
}

static bool keep_vocabulary(void)
{
    const lstm_text text = {"t", "to be or not", 12, 0};
    lstm_vocab *v = lstm_vocab_build(LSTM_TOKENS_WORDS, &text, 1, &err), *again = NULL;
    char bytes[200];
    if (v) {
        lstm_vocab_serialize(v, bytes);
        again = lstm_vocab_restore(bytes, lstm_vocab_serialized_size(v), &err);
    }
    const bool same = again && lstm_vocab_equal(v, again);
    lstm_vocab_free(v);
    lstm_vocab_free(again);
    return same;
}

static const scenario text_loading = {"a text is loaded", write_words, load_words, all_words, 1};
static const scenario vocab_keeping = {"a vocabulary is kept", nothing, keep_vocabulary, anyway, 1};

/* ---- journals --------------------------------------------------------------------------------------------------- */

static const char old_data[200] = "the file before";
static int file_fd, journal_fd;

static void open_journal(void)
{
    spill(in_dir("data"), old_data, sizeof old_data);
    spill(in_dir("journal"), "", 0);
    if (file_fd > 0) {
        close(file_fd);
        close(journal_fd);
    }
    file_fd = open(in_dir("data"), O_RDWR);
    journal_fd = open(in_dir("journal"), O_RDWR);
}

static int write_journal(void)
{
    static const char large[5000] = "large";
    h5journal j = {0};
    int error = h5journal_begin(&j);
    if (!error) /* what there is room for at first, less what another run needs */
        error = h5journal_run(&j, H5RUN_DATA, 1000, large, j.room - j.size - 40);
    if (!error)
        error = h5journal_run(&j, H5RUN_SUPERBLOCK, 0, "superblock", 10);
    if (!error)
        error = h5journal_run(&j, H5RUN_DATA, 100, "new", 3);
    if (!error)
        error = h5journal_extend(&j, " data", 5);
    if (!error)
        error = h5journal_run(&j, H5RUN_METADATA, 300, large, sizeof large);
    if (!error) {
        h5journal_seal(&j, sizeof old_data, sizeof old_data);
        error = h5journal_write(&j, journal_fd);
    }
    h5journal_free(&j);
    return error;
}

static bool use_journal(void)
{
    h5journal j;
    int error = write_journal();
    if (!error && !h5journal_load(&j, journal_fd, file_fd))
        error = EINVAL;
    else if (!error) {
        error = h5journal_apply(&j, file_fd);
        h5journal_free(&j);
    }
    if (!error)
        error = h5journal_clear(journal_fd);
    if (error)
        lstm_fail(&err, "", "%s", strerror(error));
    return !error;
}

/* Either nothing was changed, or what the journal holds can still be put in place. */
static bool old_or_new(bool worked)
{
    size_t size;
    h5journal j;
    if (!worked && h5journal_load(&j, journal_fd, file_fd)) {
        const int error = h5journal_apply(&j, file_fd);
        h5journal_free(&j);
        worked = error == 0;
    }
    char *bytes = (char *)slurp(in_dir("data"), &size);
    const bool is_old = size == sizeof old_data && memcmp(bytes, old_data, size) == 0;
    const bool is_new = size == 5300 && memcmp(bytes + 1, "uperblock", 9) == 0 &&
                        memcmp(bytes + 100, "new data", 8) == 0 && strcmp(bytes + 300, "large") == 0;
    free(bytes);
    return is_new || (is_old && !worked);
}

static const scenario journal_using = {"a journal is written and applied", open_journal, use_journal, old_or_new, 1};

/* Its header was read whole. */
static void test_short_journal(void)
{
    tap_ok(run_with(&journal_using, "pread", 2, 0, 0, "Invalid argument"), "a journal that loses its end is not applied");
}

static void test_interruptions(void)
{
    static const struct {
        const scenario *act;
        const char *call;
    } cases[] = {{&writing, "write"}, {&reading, "pread"}, {&text_loading, "read"}, {&journal_using, "pwrite"}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        tap_ok(run_with(cases[k].act, cases[k].call, 0, EINTR, -1, NULL), "%s: %s is interrupted, and made again",
               cases[k].act->what, cases[k].call);
}

int main(void)
{
    make_test_dir("test_failing", true);
    failing_errno = EIO;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    keep_two_checkpoints();
    run_all(&writing);
    run_all(&reading);
    test_no_links();
    test_no_failures();
    test_lies();
    run_all(&growing);
    test_unfinished_images();
    test_probe();
    run_all(&csv_writing);
    run_all(&csv_beginning);
    run_all(&csv_resuming);
    keep_log();
    run_all(&log_writing);
    run_all(&log_resuming);
    run_all(&log_reading);
    run_all(&results_writing);
    run_all(&text_loading);
    run_all(&vocab_keeping);
    run_all(&journal_using);
    test_short_journal();
    test_interruptions();
    free(kept[0]);
    free(kept[1]);
    free(kept_log);
    remove_test_dir();
    return tap_done();
}
