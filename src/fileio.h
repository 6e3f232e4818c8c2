/* SPDX-License-Identifier: MIT
 *
 * fileio.h - system calls on files, complete and checked. Functions return 0 or an errno value.
 */
#ifndef LSTM_FILEIO_H
#define LSTM_FILEIO_H

#include "lstm.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* All size bytes, or an error; *done (may be NULL) says how many got there in either case. */
int fileio_write(int fd, const void *bytes, size_t size, size_t *done);               /* where the file stands */
int fileio_pwrite(int fd, const void *bytes, size_t size, uint64_t offset, size_t *done);
/* What was written is on the disk. */
int fileio_sync(int fd);
/* Whether all was well with a file that was written; it is closed in any case. */
int fileio_close(int fd);
/* Reads up to size bytes; *done is smaller only at the end of the file. */
int fileio_pread(int fd, void *bytes, size_t size, uint64_t offset, size_t *done);
/* Whether the open file is still the one at path, where it may have been removed or replaced. */
bool fileio_is_at(const char *path, int fd);
/* *seconds since the file at path was changed, by the clock of the file system that holds it: the hosts' own clocks may
 * differ. directory: where a file can be made to read that clock. */
int fileio_age(const char *path, const char *directory, double *seconds);
/* Opens a new file of a name that nobody else has: path and something behind it, put in name. Two processes may have the
 * same number, on different hosts or in different containers; whoever comes second takes another name. */
int fileio_open_beside(const char *path, char name[PATH_MAX], int *fd);
/* The file at path for reading, and what fstat says of it: -1 and a sentence where there is none, or something else than a
 * file. */
int fileio_open_to_read(const char *path, struct stat *st, lstm_error *err);
/* Makes the name of this file durable: fsync of the directory that holds it, on file systems that know such a thing. */
int fileio_sync_directory(const char *path);

/* Sets "WHAT PATH: REASON" (a long path loses its beginning, never the reason) and returns -1. */
int fileio_fail(lstm_error *err, const char *what, const char *path, int error);
/* The end of path, at most 120 bytes of it, in room. Returns room's text. */
const char *fileio_short_path(const char *path, char room[128]);

#endif
