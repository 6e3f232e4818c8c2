/* SPDX-License-Identifier: MIT */
#include "sha256.h"

#include <string.h>

/* Names and numbers of equations are those of FIPS 180-4. */

static const uint32_t K[64] = { /* 4.2.2 */
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void store_be32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> (24 - 8 * i));
}

/* 6.2.2, step 1 */
static void schedule(uint32_t w[64], const uint8_t block[64])
{
    for (int t = 0; t < 16; t++)
        w[t] = load_be32(block + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = rotr(w[t - 15], 7) ^ rotr(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = rotr(w[t - 2], 17) ^ rotr(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
}

/* 6.2.2, steps 2 to 4 */
static void compress(uint32_t state[8], const uint8_t block[64])
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    schedule(w, block);
    for (int t = 0; t < 64; t++) {
        uint32_t sum1 = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25), ch = (e & f) ^ (~e & g);
        uint32_t sum0 = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22), maj = (a & b) ^ (a & c) ^ (b & c);
        uint32_t t1 = h + sum1 + ch + K[t] + w[t], t2 = sum0 + maj;
        h = g, g = f, f = e, e = d + t1;
        d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void lstm_sha256_init(lstm_sha256 *s)
{
    static const uint32_t initial[8] = { /* 5.3.3 */
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    };
    memcpy(s->state, initial, sizeof initial);
    s->length = 0;
}

void lstm_sha256_update(lstm_sha256 *s, const void *bytes, size_t size)
{
    const uint8_t *p = bytes;
    size_t held = s->length % 64;

    if (size == 0) /* bytes may be NULL, which memcpy doesn't allow */
        return;
    s->length += size;
    if (held > 0) {
        size_t taken = size < 64 - held ? size : 64 - held;
        memcpy(s->block + held, p, taken);
        if (held + taken < 64)
            return;
        compress(s->state, s->block);
        p += taken;
        size -= taken;
    }
    for (; size >= 64; p += 64, size -= 64)
        compress(s->state, p);
    if (size > 0)
        memcpy(s->block, p, size);
}

void lstm_sha256_final(lstm_sha256 *s, uint8_t digest[LSTM_SHA256_SIZE])
{
    static const uint8_t padding[64] = { 0x80 };
    uint64_t bits = s->length * 8; /* 5.1.1: modulo 2^64 */
    uint8_t length[8];

    store_be32(length, (uint32_t)(bits >> 32));
    store_be32(length + 4, (uint32_t)bits);
    lstm_sha256_update(s, padding, 1 + (119 - s->length % 64) % 64);
    lstm_sha256_update(s, length, 8);
    for (int i = 0; i < 8; i++)
        store_be32(digest + 4 * i, s->state[i]);
}

void lstm_sha256_digits(const uint8_t digest[LSTM_SHA256_SIZE], char hex[LSTM_SHA256_HEX_SIZE])
{
    for (int i = 0; i < LSTM_SHA256_SIZE; i++) {
        hex[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        hex[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    hex[2 * LSTM_SHA256_SIZE] = '\0';
}

void lstm_sha256_hex(const void *bytes, size_t size, char hex[LSTM_SHA256_HEX_SIZE])
{
    lstm_sha256 s;
    uint8_t digest[LSTM_SHA256_SIZE];

    lstm_sha256_init(&s);
    lstm_sha256_update(&s, bytes, size);
    lstm_sha256_final(&s, digest);
    lstm_sha256_digits(digest, hex);
}
