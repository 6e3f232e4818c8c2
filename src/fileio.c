/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_BESIDE 1000 /* files that killed processes left behind */

int fileio_write(int fd, const void *bytes, size_t size, size_t *done)
{
    size_t n = 0;
    int error = 0;
    while (n < size && !error) {
        ssize_t r = write(fd, (const char *)bytes + n, size - n);
        if (r > 0)
            n += (size_t)r;
        else if (r == 0)
            error = EIO;
        else if (errno != EINTR)
            error = errno;
    }
    if (done)
        *done = n;
    return error;
}

int fileio_pwrite(int fd, const void *bytes, size_t size, uint64_t offset, size_t *done)
{
    size_t n = 0;
    int error = 0;
    while (n < size && !error) {
        ssize_t r = pwrite(fd, (const char *)bytes + n, size - n, (off_t)(offset + n));
        if (r > 0)
            n += (size_t)r;
        else if (r == 0)
            error = EIO;
        else if (errno != EINTR)
            error = errno;
    }
    if (done)
        *done = n;
    return error;
}

/* Where a file system is a program (FUSE), or far away, a signal may end these calls. */

int fileio_sync(int fd)
{
    int error;
    do
        error = fsync(fd) != 0 ? errno : 0;
    while (error == EINTR);
    return error;
}

int fileio_close(int fd)
{
    return close(fd) != 0 && errno != EINTR ? errno : 0; /* it is closed even then */
}

int fileio_pread(int fd, void *bytes, size_t size, uint64_t offset, size_t *done)
{
    size_t n = 0;
    while (n < size) {
        ssize_t r = pread(fd, (char *)bytes + n, size - n, (off_t)(offset + n));
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0) {
            *done = n;
            return r < 0 ? errno : 0;
        }
        n += (size_t)r;
    }
    *done = n;
    return 0;
}

bool fileio_is_at(const char *path, int fd)
{
    struct stat here, there;
    return fstat(fd, &here) == 0 && stat(path, &there) == 0 && here.st_ino == there.st_ino &&
           here.st_dev == there.st_dev;
}

/* Where the clock of the file system stands. */
static int clock_of(const char *directory, struct timespec *now)
{
    char name[4096];
    struct stat st;
    const int length = snprintf(name, sizeof name, "%s/.clock.XXXXXX", directory);
    if (length < 0 || (size_t)length >= sizeof name)
        return ENAMETOOLONG;
    const int fd = mkstemp(name);
    if (fd < 0)
        return errno;
    const int error = write(fd, "", 1) != 1 || fstat(fd, &st) != 0 ? errno : 0;
    close(fd);
    unlink(name);
    if (!error)
        *now = st.st_mtim;
    return error;
}

int fileio_age(const char *path, const char *directory, double *seconds)
{
    struct stat then;
    struct timespec now;
    if (stat(path, &then) != 0)
        return errno;
    const int error = clock_of(directory, &now);
    if (!error)
        *seconds = difftime(now.tv_sec, then.st_mtim.tv_sec) + 1e-9 * (double)(now.tv_nsec - then.st_mtim.tv_nsec);
    return error;
}

int fileio_open_beside(const char *path, char name[PATH_MAX], int *fd)
{
    for (int k = 0; k < MOST_BESIDE; k++) {
        const int length = snprintf(name, PATH_MAX, "%s.%ld-%d.tmp", path, (long)getpid(), k);
        if (length < 0 || length >= PATH_MAX)
            return ENAMETOOLONG;
        *fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0 || errno != EEXIST)
            return *fd >= 0 ? 0 : errno;
    }
    return EEXIST;
}

int fileio_sync_directory(const char *path)
{
    char *copy = strdup(path);
    if (!copy)
        return ENOMEM;
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = fd < 0 ? errno : fileio_sync(fd);
    if (fd >= 0)
        close(fd);
    free(copy);
    return error == EINVAL ? 0 : error; /* of a directory: there is no such call, as on VirtualBox's shared folders */
}

const char *fileio_short_path(const char *path, char room[128])
{
    size_t n = strlen(path);
    if (n <= 120)
        snprintf(room, 128, "%s", path);
    else
        snprintf(room, 128, "...%s", path + n - 117);
    return room;
}

int fileio_fail(lstm_error *err, const char *what, const char *path, int error)
{
    char room[128];
    return lstm_fail(err, "", "%s %s: %s", what, fileio_short_path(path, room), strerror(error));
}

int fileio_open_to_read(const char *path, struct stat *st, lstm_error *err)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe would wait for its writer */
    int error = fd < 0 || fstat(fd, st) != 0 ? errno : 0;
    if (!error && !S_ISREG(st->st_mode))
        error = S_ISDIR(st->st_mode) ? EISDIR : EINVAL;
    if (!error)
        return fd;
    if (fd >= 0)
        close(fd);
    return fileio_fail(err, "cannot read", path, error);
}
