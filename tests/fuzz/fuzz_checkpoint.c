/* SPDX-License-Identifier: MIT
 *
 * A file that claims to be a checkpoint: its header (at the end, h5checkpoint.c) decides whether libhdf5 sees any of it.
 * Here nobody knows SHA-256 by heart: all that is not one of the corpus' whole checkpoints is refused, with its path.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "h5checkpoint.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    lstm_error err = {0};
    fuzz_file f = fuzz_file_of(bytes, size);
    h5checkpoint *cp = h5checkpoint_read(f.path, &err);
    PROMISE(cp || strstr(err.message, f.path));
    h5checkpoint_free(cp);
    close(f.fd);
    return 0;
}
