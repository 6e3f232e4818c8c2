/* SPDX-License-Identifier: MIT
 *
 * A metrics.csv that somebody edited, or that was cut off: going on with it either says why not, or leaves a file that
 * begins as it began and that can be gone on with once more, without losing anything.
 */
#define _GNU_SOURCE
#include "csvlog.h"
#include "fuzz.h"

#include <sys/stat.h>

static off_t size_of(int fd)
{
    struct stat st;
    PROMISE(fstat(fd, &st) == 0);
    return st.st_size;
}

static bool resume(const char *path, int64_t step, lstm_error *err)
{
    csvlog *csv = csvlog_resume(path, step, err);
    PROMISE(!csv || csvlog_close(csv, err) == 0);
    return csv != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    lstm_error err = {0};
    if (size < 1)
        return 0;
    const int64_t step = (int8_t)bytes[0];
    fuzz_file f = fuzz_file_of(++bytes, --size);
    if (resume(f.path, step, &err)) {
        const off_t kept = size_of(f.fd);
        char *left = malloc((size_t)kept + 1);
        PROMISE(kept <= (off_t)size && pread(f.fd, left, (size_t)kept, 0) == kept);
        PROMISE(memcmp(left, bytes, (size_t)kept) == 0);
        free(left);
        PROMISE(resume(f.path, step, &err) && size_of(f.fd) == kept);
    } else {
        PROMISE(strstr(err.message, f.path) && size_of(f.fd) == (off_t)size);
    }
    close(f.fd);
    return 0;
}
