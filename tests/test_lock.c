/* SPDX-License-Identifier: MIT
 *
 * The lock of a run's directory: taken once, given back however its process ends, and what is made of the locks of
 * processes that are gone, on this host and on others. And the lock of a log, which is on its journal: whatever other
 * processes do between the calls of one that opens a log. flock() and access() go through the test's own functions.
 */
#define _GNU_SOURCE
#include "fileio.h"
#include "h5log.h"
#include "h5read.h"
#include "runlock.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/test_lock_XXXXXX";
static char path[64], host[80], boot[64];
static lstm_error err;

static pid_t self;
static void (*meanwhile)(void); /* what another process does before this one has its first exclusive lock */
static bool without_flock; /* a file system that has none */
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation)
{
    void (*others)(void) = operation & LOCK_EX && getpid() == self ? meanwhile : NULL;
    if (others) {
        meanwhile = NULL;
        others();
    }
    if (!without_flock)
        return __real_flock(fd, operation);
    errno = ENOLCK;
    return -1;
}

static void (*after_access)(void); /* what another process does when we have looked whether there is a file */
int __real_access(const char *name, int mode);
int __wrap_access(const char *name, int mode);
int __wrap_access(const char *name, int mode)
{
    const int result = __real_access(name, mode), error = errno;
    if (after_access)
        after_access();
    after_access = NULL;
    errno = error;
    return result;
}

static bool set_back; /* the host's clock is set back by an hour, each time after it was asked */
int __real_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    const int result = __real_clock_gettime(clock, now);
    if (set_back && clock == CLOCK_REALTIME)
        now->tv_sec += 3600;
    return result;
}

static const char *renamed; /* what the host is called now; NULL: as before */
int __real_gethostname(char *name, size_t size);
int __wrap_gethostname(char *name, size_t size);
int __wrap_gethostname(char *name, size_t size)
{
    if (!renamed)
        return __real_gethostname(name, size);
    snprintf(name, size, "%s", renamed);
    return 0;
}

static bool is_there(void) { return access(path, F_OK) == 0; }

static runlock *take(void)
{
    err.message[0] = 0;
    return runlock_take(path, &err);
}

/* Leaves the file that a process of this description would have left, last touched so many seconds ago. */
static void leave(long pid, const char *on, const char *since, const char *start, int age)
{
    FILE *f = fopen(path, "w");
    fprintf(f, "pid %ld\nhost %s\nboot %s\nstart %s\n", pid, on, since, start);
    fclose(f);
    const struct timespec then[2] = {{.tv_sec = time(NULL) - age}, {.tv_sec = time(NULL) - age}};
    utimensat(AT_FDCWD, path, then, 0);
}

static void can_take(bool possible, const char *what)
{
    runlock *lock = take();
    tap_ok((lock != NULL) == possible, "%s: %s%s%s", what, possible ? "taken" : "refused", lock ? "" : ": ",
           lock ? "" : err.message);
    runlock_release(lock);
    unlink(path);
}

/* ---- one process at a time -------------------------------------------------------------------------------------- */

static bool lost_with_one_descriptor(const runlock *lock)
{
    int fds[64], count = 0;
    struct rlimit old, few;
    getrlimit(RLIMIT_NOFILE, &old);
    few = old;
    few.rlim_cur = 32;
    setrlimit(RLIMIT_NOFILE, &few);
    while (count < 64 && (fds[count] = dup(0)) >= 0)
        count++;
    close(fds[--count]);
    const bool lost = runlock_lost(lock);
    while (count > 0)
        close(fds[--count]);
    setrlimit(RLIMIT_NOFILE, &old);
    return lost;
}

static void check_once(void)
{
    runlock *lock = take();
    char says[32];
    tap_ok(lock && is_there(), "a lock is taken, its file is there");
    tap_ok(!take(), "not twice: %s", err.message);
    snprintf(says, sizeof says, "process %ld is", (long)getpid());
    tap_ok(strstr(err.message, says) && strstr(err.message, dir + 5), "it says who has it, and where");
    without_flock = true;
    tap_ok(!take(), "not twice either where there is no flock: %s", err.message);
    without_flock = false;
    tap_ok(!runlock_lost(lock), "nobody else has it");
    renamed = "another-name";
    tap_ok(!runlock_lost(lock), "nor when the host is renamed");
    renamed = NULL;
    tap_ok(!lost_with_one_descriptor(lock), "nor when there is but one file descriptor left to see that");
    runlock_release(lock);
    tap_ok(!is_there(), "the file goes with the lock");
    lock = take();
    tap_ok(lock != NULL, "it can be taken again");
    unlink(path);
    tap_ok(!runlock_lost(lock), "the file removed by hand: nobody else has it yet");
    runlock *second = take();
    tap_ok(second != NULL, "the file removed by hand: another takes it");
    runlock_release(lock);
    tap_ok(is_there(), "the first one's end leaves the other's file alone");
    runlock_release(second);
    runlock_release(NULL);
}

/* Seconds since the file was touched. */
static double age(void)
{
    double seconds = -1;
    return fileio_age(path, dir, &seconds) == 0 ? seconds : -1;
}

/* Whether the file is touched, within ten seconds. */
static bool beats(void)
{
    const struct timespec then[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}}, moment = {.tv_nsec = 5000000};
    utimensat(AT_FDCWD, path, then, 0);
    for (int k = 0; k < 2000 && age() > 100; k++)
        nanosleep(&moment, NULL);
    return age() < 100;
}

/* Other hosts see this one alive, whatever it is busy with; and one that wakes sees that another has taken over. */
static void check_alive(void)
{
    runlock_beat_ms = 20;
    runlock *lock = take();
    tap_ok(beats() && beats(), "its heart beats by itself");
    set_back = true;
    tap_ok(beats() && beats() && beats(), "and goes on when the clock is set back");
    set_back = false;
    tap_ok(!runlock_lost(lock), "it is not lost");
    unlink(path);
    leave((long)getpid(), "elsewhere", "x", "1", 0);
    tap_ok(runlock_lost(lock), "another host has taken it over");
    runlock_release(lock);
    tap_ok(is_there(), "whose file stays");
    unlink(path);
    runlock_beat_ms = 10000;
}

/* A child takes the lock and is killed. */
static void check_killed(void)
{
    int ready[2];
    char byte;
    tap_ok(pipe(ready) == 0, "a pipe");
    pid_t child = fork();
    if (child == 0) {
        byte = take() ? 'y' : 'n';
        ssize_t ignored = write(ready[1], &byte, 1);
        (void)ignored;
        for (;;)
            pause();
    }
    tap_ok(read(ready[0], &byte, 1) == 1 && byte == 'y', "another process takes it");
    tap_ok(!take(), "refused meanwhile: %s", err.message);
    without_flock = true;
    tap_ok(!take(), "refused without flock: %s", err.message);
    without_flock = false;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    tap_ok(is_there(), "it is killed, its file stays");
    without_flock = true;
    can_take(true, "the lock of a killed process, without flock");
    without_flock = false;
}

/* ---- what others left behind ------------------------------------------------------------------------------------ */

static void check_left(void)
{
    const long own = (long)getpid();
    leave(own, host, boot, "1", 0);
    can_take(true, "this process' number, of a process that began earlier");
    for (int k = 0; k < 2; k++, without_flock = !without_flock) {
        const char *how = without_flock ? "without flock" : "with flock";
        char what[120];
        snprintf(what, sizeof what, "%s: number used again by a process that began later", how);
        leave(own, host, boot, "1", 0);
        can_take(true, what);
        snprintf(what, sizeof what, "%s: before this host was started again", how);
        leave(own, host, "00000000-0000", "1", 0);
        can_take(true, what);
        snprintf(what, sizeof what, "%s: of another host, long ago", how);
        leave(own, "elsewhere", "x", "1", RUNLOCK_FRESH + 5);
        can_take(true, what);
        snprintf(what, sizeof what, "%s: of another host, a moment ago", how);
        leave(own, "elsewhere", "x", "1", 5);
        can_take(false, what);
        tap_ok(strstr(err.message, "on elsewhere") && strstr(err.message, "remove"), "  it says where, and what to do");
    }
    without_flock = false;
    FILE *f = fopen(path, "w");
    fputs("nonsense\npid\nhost", f);
    fclose(f);
    can_take(true, "a file with something else in it");
    f = fopen(path, "w");
    fclose(f);
    can_take(true, "an empty file");
}

static void check_refusals(void)
{
    mkdir(path, 0777);
    tap_ok(!take() && strstr(err.message, path + 5), "a directory of that name: %s", err.message);
    rmdir(path);
    tap_ok(symlink("/tmp/nowhere", path) == 0 && !take(), "a link to somewhere else: %s", err.message);
    unlink(path);
    tap_ok(!runlock_take("/nowhere/lock", &err), "a directory that is not there: %s", err.message);
}

/* ---- the lock of a log ------------------------------------------------------------------------------------------ */

static char log_path[64], journal[80], other_path[64], other_journal[80];

static void remove_journal(void) { unlink(journal); } /* as recover does, and the end of a writer */
static void replace_log(void) { rename(other_path, log_path); }
static void begin_log(void) { close(open(log_path, O_RDWR | O_CREAT | O_EXCL, 0666)); } /* its first call */

static int log_row(h5log *log, int step)
{
    return h5log_row(log, step, 1, (const char *[]){"loss"}, (double[]){step}, &err);
}

/* Leaves a log with steps 1 to n, whose process did not come to close it. */
static void leave_log(const char *name, int n)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        h5log *log = h5log_create(name, NULL, &err);
        bool fine = log != NULL;
        for (int step = 1; step <= n && fine; step++)
            fine = !log_row(log, step);
        _exit(fine && !h5log_flush(log, &err) ? 0 : 1);
    }
    waitpid(child, NULL, 0);
}

static uint64_t rows_of(const char *name)
{
    h5read *r = h5read_open(name, &err);
    const h5read_item *item = r ? h5read_find(r, "metrics/step") : NULL;
    const uint64_t n = item ? item->shape[0] : 0;
    h5read_close(r);
    return n;
}

static void check_log(void)
{
    leave_log(log_path, 2);
    meanwhile = remove_journal;
    h5log *log = h5log_resume(log_path, 2, NULL, &err);
    tap_ok(log && h5read_journal_of(log_path) == H5READ_LIVE,
           "a log is recovered between open and lock: its writer has the lock that others meet");
    rename(journal, other_path);
    close(open(journal, O_RDWR | O_CREAT, 0666));
    tap_ok(!h5log_close(log, &err) && __real_access(journal, F_OK) == 0, "another's journal stays at the end");
    unlink(journal);
    unlink(other_path);
    leave_log(other_path, 5);
    meanwhile = replace_log;
    log = h5log_resume(log_path, 9, NULL, &err);
    tap_ok(log && !log_row(log, 10) && !h5log_close(log, &err) && rows_of(log_path) == 6,
           "a log is replaced: the new one goes on");
    unlink(log_path);
    leave_log(log_path, 3);
    meanwhile = remove_journal;
    tap_ok(!h5log_recover(log_path, NULL, &err) && rows_of(log_path) == 3, "two recover a log at once");
    unlink(log_path);
    unlink(other_journal);
}

static void check_new_log(void)
{
    after_access = begin_log;
    tap_ok(!h5log_create(log_path, NULL, &err) && strstr(err.message, "File exists"),
           "another makes the log first: %s", err.message);
    tap_ok(__real_access(log_path, F_OK) == 0, "whose file stays");
    unlink(log_path);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 99;
    snprintf(path, sizeof path, "%s/lock", dir);
    self = getpid();
    snprintf(log_path, sizeof log_path, "%s/log.h5", dir);
    snprintf(other_path, sizeof other_path, "%s/other.h5", dir);
    snprintf(journal, sizeof journal, "%s.journal", log_path);
    snprintf(other_journal, sizeof other_journal, "%s.journal", other_path);
    gethostname(host, sizeof host - 1);
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    if (!f || !fgets(boot, sizeof boot, f))
        boot[0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    check_once();
    check_alive();
    check_killed();
    check_left();
    check_refusals();
    check_log();
    check_new_log();
    rmdir(dir);
    return tap_done();
}
