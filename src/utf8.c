/* SPDX-License-Identifier: MIT */
#include "utf8.h"

#include <string.h>

/* What each length of sequence looks like: the fixed bits of its first byte, and the least code point that needs it
 * (a smaller one is overlong). */
static const struct {
    uint8_t mask, lead;
    uint32_t least;
} form[5] = { { 0, 0, 0 }, { 0x80, 0x00, 0 }, { 0xe0, 0xc0, 0x80 }, { 0xf0, 0xe0, 0x800 }, { 0xf8, 0xf0, 0x10000 } };

static size_t sequence_length(uint8_t first)
{
    for (size_t n = 1; n <= 4; n++)
        if ((first & form[n].mask) == form[n].lead)
            return n;
    return 0;
}

size_t lstm_utf8_decode(const char *text, size_t size, uint32_t *code)
{
    const uint8_t *p = (const uint8_t *)text;
    size_t n = size > 0 ? sequence_length(p[0]) : 0;
    uint32_t c;

    if (n == 0 || n > size)
        return 0;
    c = p[0] & (uint8_t)~form[n].mask;
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3f);
    }
    if (c < form[n].least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *code = c;
    return n;
}

size_t lstm_utf8_fault(const char *text, size_t size)
{
    size_t at = 0, n;
    uint32_t code;

    while (at < size && (n = lstm_utf8_decode(text + at, size - at, &code)) > 0)
        at += n;
    return at;
}
