/* SPDX-License-Identifier: MIT
 *
 * utf8.h - strict UTF-8 (RFC 3629; Unicode 15, table 3-7): no overlong forms, no surrogates, nothing above U+10FFFF.
 */
#ifndef LSTM_UTF8_H
#define LSTM_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Decodes the character that begins at text[0]. Returns its length, 1 to 4 bytes, and its code point in *code; or 0,
 * with *code untouched, when no valid character begins there within size bytes (always when size is 0). */
size_t lstm_utf8_decode(const char *text, size_t size, uint32_t *code);

/* Offset of the first byte at which no valid character begins; size when all of the text is valid. */
size_t lstm_utf8_fault(const char *text, size_t size);

#endif
