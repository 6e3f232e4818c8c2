/* SPDX-License-Identifier: MIT
 *
 * A log's journal, whose checksum is put right: whoever made it wrong on purpose can, too. What is in it is applied to a
 * file; all that may happen is that the file's content is wrong.
 */
#define _GNU_SOURCE
#include "fuzz.h"
#include "h5journal.h"
#include "sha256.h"

#include <errno.h>

#define DIGEST 32 /* where it is in the header, and how long */

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t image[4096] = {0};
    h5journal j;
    if (size < DIGEST + LSTM_SHA256_SIZE || size > 65536)
        return 0;
    uint8_t *copy = malloc(size);
    memcpy(copy, bytes, size);
    lstm_sha256 s;
    lstm_sha256_init(&s);
    lstm_sha256_update(&s, copy, DIGEST);
    lstm_sha256_update(&s, copy + DIGEST + LSTM_SHA256_SIZE, size - DIGEST - LSTM_SHA256_SIZE);
    lstm_sha256_final(&s, copy + DIGEST);
    fuzz_file journal = fuzz_file_of(copy, size), file = fuzz_file_of(image, sizeof image);
    if (h5journal_load(&j, journal.fd, file.fd)) {
        PROMISE(h5journal_apply(&j, file.fd) != EFAULT); /* it took its own memory only */
        h5journal_free(&j);
    }
    close(journal.fd);
    close(file.fd);
    free(copy);
    return 0;
}
