/* SPDX-License-Identifier: MIT
 *
 * Makes system calls on files fail, or kills the process at one of them. Linked into a program (the program's
 * functions come before the C library's, for its libraries, too), or preloaded as a shared object.
 *
 *     FAULT_PATH=text    counts calls on files whose path contains text; unset: nothing ever happens
 *     FAULT_AT=n         strikes at the n-th call, from 1; unset: only counts
 *     FAULT_KIND=        before | after   SIGKILL before or after the call
 *                        torn             a write is done by half, then SIGKILL; other calls: before
 *                        once | always    the call fails with FAULT_ERRNO; that one, or all from there on
 *     FAULT_COUNT=file   the number of calls so far is kept there
 *     FAULT_RECORD=file  all calls are kept there, with what they write: struct fault_call of faultinject.h
 */
#define _GNU_SOURCE
#include "faultinject.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef enum verdict { PASS, PASS_THEN_DIE, HALF_THEN_DIE, FAIL } verdict;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls;

/* The C library's own function of this name. */
#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static void keep_count(void)
{
    const char *path = getenv("FAULT_COUNT");
    FILE *f = path ? fopen(path, "w") : NULL;
    if (f) {
        fprintf(f, "%ld\n", calls);
        fclose(f);
    }
}

static void record(char what, const char *path, off_t offset, size_t length, const void *bytes)
{
    const char *file = getenv("FAULT_RECORD");
    fault_call c = {.what = what, .offset = (int64_t)offset, .length = length};
    FILE *f = file ? fopen(file, "a") : NULL;
    if (!f)
        return;
    const char *name = strrchr(path, '/');
    snprintf(c.name, sizeof c.name, "%s", name ? name + 1 : path);
    fwrite(&c, sizeof c, 1, f);
    if (bytes)
        fwrite(bytes, 1, length, f);
    fclose(f);
}

static verdict strike(long call)
{
    const char *at = getenv("FAULT_AT"), *kind = getenv("FAULT_KIND"), *error = getenv("FAULT_ERRNO");
    long n = at ? atol(at) : 0;
    if (!n || !kind || call < n)
        return PASS;
    if (strcmp(kind, "always") == 0 || (strcmp(kind, "once") == 0 && call == n)) {
        errno = error ? atoi(error) : EIO;
        return FAIL;
    }
    if (call > n)
        return PASS;
    if (strcmp(kind, "before") == 0)
        die();
    return strcmp(kind, "after") == 0 ? PASS_THEN_DIE : strcmp(kind, "torn") == 0 ? HALF_THEN_DIE : PASS;
}

static verdict judge(const char *path, char what, off_t offset, size_t length, const void *bytes)
{
    const char *wanted = getenv("FAULT_PATH");
    if (!wanted || !strstr(path, wanted))
        return PASS;
    pthread_mutex_lock(&lock);
    long call = ++calls;
    if (!getenv("FAULT_AT"))
        keep_count();
    record(what, path, offset, length, bytes);
    pthread_mutex_unlock(&lock);
    return strike(call);
}

static verdict judge_fd(int fd, char what, off_t offset, size_t length, const void *bytes)
{
    char link[64], path[4096];
    int kept = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = kept;
    path[n > 0 ? n : 0] = 0;
    return judge(path, what, offset, length, bytes);
}

/* Does the call, or what the verdict says instead. */
#define CALL(judgement, call) \
    do { \
        verdict judged = (judgement); \
        if (judged == HALF_THEN_DIE) \
            die(); \
        if (judged == FAIL) \
            return -1; \
        __auto_type result = (call); \
        if (judged == PASS_THEN_DIE) \
            die(); \
        return result; \
    } while (0)

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset)
{
    verdict v = judge_fd(fd, 'w', offset, n, bytes);
    if (v == HALF_THEN_DIE) {
        if (REAL(pwrite)(fd, bytes, n / 2, offset) < 0)
            v = FAIL;
        die();
    }
    CALL(v, REAL(pwrite)(fd, bytes, n, offset));
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t offset)
{
    return pwrite(fd, bytes, n, (off_t)offset);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    verdict v = judge_fd(fd, 'w', -1, n, bytes);
    if (v == HALF_THEN_DIE) {
        if (REAL(write)(fd, bytes, n / 2) < 0)
            v = FAIL;
        die();
    }
    CALL(v, REAL(write)(fd, bytes, n));
}

int fsync(int fd)
{
    CALL(judge_fd(fd, 's', 0, 0, NULL), REAL(fsync)(fd));
}

int fdatasync(int fd)
{
    CALL(judge_fd(fd, 's', 0, 0, NULL), REAL(fdatasync)(fd));
}

int ftruncate(int fd, off_t length)
{
    CALL(judge_fd(fd, 't', length, 0, NULL), REAL(ftruncate)(fd, length));
}

int ftruncate64(int fd, off64_t length)
{
    return ftruncate(fd, (off_t)length);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    CALL(judge_fd(fd, 'a', offset + length, 0, NULL), REAL(fallocate)(fd, mode, offset, length));
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length)
{
    return fallocate(fd, mode, (off_t)offset, (off_t)length);
}

int rename(const char *from, const char *to)
{
    CALL(judge(to, 'r', 0, 0, NULL), REAL(rename)(from, to));
}

int link(const char *from, const char *to)
{
    CALL(judge(to, 'l', 0, 0, NULL), REAL(link)(from, to));
}

int unlink(const char *path)
{
    CALL(judge(path, 'u', 0, 0, NULL), REAL(unlink)(path));
}
