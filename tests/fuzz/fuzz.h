/* SPDX-License-Identifier: MIT
 *
 * fuzz.h - what the fuzz targets share. Each has LLVMFuzzerTestOneInput (see the manual of libFuzzer), which gives bytes
 * to something that parses, and ends the program where a promise is broken.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Ends the program unless the promise is kept. */
#define PROMISE(kept) \
    do { \
        if (!(kept)) { \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #kept); \
            abort(); \
        } \
    } while (0)

typedef struct fuzz_file {
    int fd;
    char path[40];
} fuzz_file;

/* A file in memory that holds these bytes; its path is good while fd is open. */
static inline fuzz_file fuzz_file_of(const uint8_t *bytes, size_t size)
{
    fuzz_file f = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    PROMISE(f.fd >= 0 && (size_t)pwrite(f.fd, bytes, size, 0) == size);
    snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

#endif
