/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "runlock.h"

#include "fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRIES 10 /* the file may be removed between our open and our flock */

typedef struct holder {
    long pid;
    char host[80], boot[48], start[32];
} holder;

struct runlock {
    int fd;
    holder mine; /* as it is signed: a host may be renamed meanwhile, and /proc may not open */
    pthread_t heart;
    bool beats, ends; /* there is such a thread; it is to end */
    pthread_mutex_t mutex;
    pthread_cond_t end;
    char path[];
};

unsigned runlock_beat_ms = 10000;

/* ---- who somebody is -------------------------------------------------------------------------------------------- */

/* The beginning of a file of /proc; "" when there is none. */
static void read_start(const char *path, char *text, size_t size)
{
    size_t got = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fileio_pread(fd, text, size - 1, 0, &got) != 0)
        got = 0;
    if (fd >= 0)
        close(fd);
    text[got] = '\0';
}

/* When a process began, in ticks since the host did: field 22 of its stat, of which the second may hold blanks. */
static void start_of(long pid, char start[32])
{
    char path[48], stat[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    read_start(path, stat, sizeof stat);
    const char *field = strrchr(stat, ')');
    for (int k = 2; k < 22 && field; k++)
        field = strchr(field + 1, ' ');
    start[0] = '\0';
    if (field)
        sscanf(field, "%31s", start);
}

static holder myself(void)
{
    holder h = {.pid = (long)getpid()};
    if (gethostname(h.host, sizeof h.host - 1) != 0)
        h.host[0] = '\0';
    read_start("/proc/sys/kernel/random/boot_id", h.boot, sizeof h.boot);
    h.boot[strcspn(h.boot, "\n")] = '\0';
    start_of(h.pid, h.start);
    return h;
}

/* Whoever wrote the file; pid 0 when it does not say. */
static holder holder_of(int fd)
{
    holder h = {0};
    char text[512] = "";
    size_t got = 0;
    if (fileio_pread(fd, text, sizeof text - 1, 0, &got) != 0)
        return h;
    text[got] = '\0';
    for (char *line = text, *rest; *line; line = rest) {
        rest = line + strcspn(line, "\n");
        if (*rest)
            *rest++ = '\0';
        sscanf(line, "pid %ld", &h.pid);
        sscanf(line, "host %79s", h.host);
        sscanf(line, "boot %47s", h.boot);
        sscanf(line, "start %31s", h.start);
    }
    return h;
}

/* ---- whether somebody is still there ---------------------------------------------------------------------------- */

static bool runs_here(const holder *h)
{
    char start[32];
    if (h->pid <= 0 || (kill((pid_t)h->pid, 0) != 0 && errno != EPERM))
        return false;
    start_of(h->pid, start);
    return !*start || !*h->start || strcmp(start, h->start) == 0;
}

static void directory_of(const char *path, char directory[4096])
{
    const char *slash = strrchr(path, '/');
    snprintf(directory, 4096, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
}

/* Seconds since the holder last showed that it is alive. */
static double age_of(const char *path)
{
    char directory[4096];
    double seconds = 0;
    directory_of(path, directory);
    return fileio_age(path, directory, &seconds) == 0 ? seconds : 0;
}

/* Whether the one who wrote the file may be alive. flocked: we hold the flock, so nobody on this host does. */
static bool may_be_alive(const holder *h, const holder *me, const char *path, bool flocked)
{
    if (h->pid == 0)
        return false;
    if (strcmp(h->host, me->host) != 0)
        return age_of(path) < RUNLOCK_FRESH;
    return !flocked && strcmp(h->boot, me->boot) == 0 && runs_here(h);
}

static int refuse(const char *path, int fd, const holder *me, lstm_error *err)
{
    const holder h = holder_of(fd);
    char room[128], directory[4096];
    directory_of(path, directory);
    const char *name = fileio_short_path(directory, room);
    if (h.pid == 0)
        return lstm_fail(err, "", "another process is running in %s", name);
    if (strcmp(h.host, me->host) == 0)
        return lstm_fail(err, "", "%s is in use: process %ld is running in it", name, h.pid);
    return lstm_fail(err, "",
                     "%s is in use: process %ld on %s was running in it %.0f seconds ago; if that is gone, remove the "
                     "file 'lock' there, or wait for %d seconds",
                     name, h.pid, h.host, age_of(path), RUNLOCK_FRESH);
}

/* ---- taking it -------------------------------------------------------------------------------------------------- */

/* 1: flocked; 0: this file system has no flock; -1: somebody has it. */
static int try_flock(int fd)
{
    int result;
    do
        result = flock(fd, LOCK_EX | LOCK_NB);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 1 : errno == EWOULDBLOCK ? -1 : 0;
}

static int sign(int fd, const char *path, const holder *me, lstm_error *err)
{
    char text[512];
    const int size =
        snprintf(text, sizeof text, "pid %ld\nhost %s\nboot %s\nstart %s\n", me->pid, me->host, me->boot, me->start);
    int error = ftruncate(fd, 0) == 0 ? fileio_pwrite(fd, text, (size_t)size, 0, NULL) : errno;
    return error ? fileio_fail(err, "cannot write", path, error) : 0;
}

/* 0: taken; -1: an error; 1: try again. */
static int take(int fd, const char *path, const holder *me, lstm_error *err)
{
    const int flocked = try_flock(fd);
    if (flocked < 0)
        return refuse(path, fd, me, err);
    if (!fileio_is_at(path, fd))
        return 1;
    const holder h = holder_of(fd);
    if (may_be_alive(&h, me, path, flocked > 0))
        return refuse(path, fd, me, err);
    return sign(fd, path, me, err);
}

/* ---- being seen alive ------------------------------------------------------------------------------------------- */

static void *beat(void *argument)
{
    runlock *lock = argument;
    pthread_mutex_lock(&lock->mutex);
    while (!lock->ends) {
        struct timespec until;
        futimens(lock->fd, NULL); /* nothing depends on it here */
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += runlock_beat_ms / 1000;
        until.tv_nsec += (long)(runlock_beat_ms % 1000) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&lock->end, &lock->mutex, &until);
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

/* Signals are for the main thread. Without a thread, the lock is good on this host. */
static void start_beating(runlock *lock)
{
    sigset_t all, before;
    pthread_condattr_t monotonic; /* the other clock may be set back by hours, and the heart would stand still */
    sigfillset(&all);
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->end, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lock->ends = false;
    lock->beats = pthread_create(&lock->heart, NULL, beat, lock) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void stop_beating(runlock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    lock->ends = true;
    pthread_cond_signal(&lock->end);
    pthread_mutex_unlock(&lock->mutex);
    if (lock->beats)
        pthread_join(lock->heart, NULL);
    pthread_cond_destroy(&lock->end);
    pthread_mutex_destroy(&lock->mutex);
}

bool runlock_lost(const runlock *lock)
{
    const int fd = open(lock->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0)
        return false; /* removed by hand: nobody else is here yet */
    const holder now = holder_of(fd), *mine = &lock->mine;
    close(fd);
    return now.pid != 0 &&
           (now.pid != mine->pid || strcmp(now.host, mine->host) != 0 || strcmp(now.start, mine->start) != 0);
}

/* ---- taking and giving back ------------------------------------------------------------------------------------- */

runlock *runlock_take(const char *path, lstm_error *err)
{
    runlock *lock = malloc(sizeof *lock + strlen(path) + 1);
    if (!lock) {
        lstm_fail(err, "", "out of memory for a lock");
        return NULL;
    }
    strcpy(lock->path, path);
    lock->mine = myself();
    int result = 1;
    for (int k = 0; k < TRIES && result == 1; k++) {
        lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, 0666);
        if (lock->fd < 0)
            result = fileio_fail(err, "cannot write", path, errno);
        else if ((result = take(lock->fd, path, &lock->mine, err)) != 0)
            close(lock->fd);
    }
    if (result == 0) {
        start_beating(lock);
        return lock;
    }
    if (result == 1)
        lstm_fail(err, "", "%s is made and removed by others all the time", path);
    free(lock);
    return NULL;
}

void runlock_release(runlock *lock)
{
    if (!lock)
        return;
    stop_beating(lock);
    if (fileio_is_at(lock->path, lock->fd))
        unlink(lock->path);
    close(lock->fd);
    free(lock);
}
