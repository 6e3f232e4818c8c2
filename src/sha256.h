/* SPDX-License-Identifier: MIT
 *
 * sha256.h - SHA-256 (FIPS 180-4), of a stream or of a block of memory. Nothing here can fail or allocates.
 */
#ifndef LSTM_SHA256_H
#define LSTM_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define LSTM_SHA256_SIZE 32       /* bytes of a digest */
#define LSTM_SHA256_HEX_SIZE 65   /* lower-case hexadecimal digits and a NUL */

typedef struct lstm_sha256 {
    uint32_t state[8];
    uint64_t length;   /* bytes hashed so far */
    uint8_t block[64]; /* the last length % 64 of them wait here */
} lstm_sha256;

void lstm_sha256_init(lstm_sha256 *s);
void lstm_sha256_update(lstm_sha256 *s, const void *bytes, size_t size);
/* After this, s must be initialised again before it is used again. */
void lstm_sha256_final(lstm_sha256 *s, uint8_t digest[LSTM_SHA256_SIZE]);

/* A digest as 64 lower-case hexadecimal digits. */
void lstm_sha256_digits(const uint8_t digest[LSTM_SHA256_SIZE], char hex[LSTM_SHA256_HEX_SIZE]);
/* All at once: the digits of the digest of size bytes. */
void lstm_sha256_hex(const void *bytes, size_t size, char hex[LSTM_SHA256_HEX_SIZE]);

#endif
