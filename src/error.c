/* SPDX-License-Identifier: MIT */
#include "lstm.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Bytes that show a character: as it is, as "\\n", or as "\\x1b". */
static size_t shown_width(unsigned char c)
{
    return c >= ' ' && c != 127 ? 1 : strchr("\n\r\t", c) ? 2 : 4;
}

/* Writes these bytes, and no NUL. */
static void put_shown(char *to, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    const size_t width = shown_width(c);
    to[0] = width == 1 ? (char)c : '\\';
    if (width == 2)
        to[1] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
    if (width == 4)
        memcpy(to + 1, (char[]){'x', digits[c >> 4], digits[c & 15]}, 3);
}

void lstm_show_controls(char *text, size_t size)
{
    size_t n = 0, width = 0;
    while (text[n] && width + shown_width((unsigned char)text[n]) < size)
        width += shown_width((unsigned char)text[n++]);
    text[width] = 0;
    while (n > 0) { /* from the end, since it only grows */
        width -= shown_width((unsigned char)text[--n]);
        put_shown(text + width, (unsigned char)text[n]);
    }
}

int lstm_fail(lstm_error *err, const char *field, const char *format, ...)
{
    if (err) {
        va_list args;
        snprintf(err->field, sizeof err->field, "%s", field ? field : "");
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
        lstm_show_controls(err->message, sizeof err->message);
    }
    return -1;
}
