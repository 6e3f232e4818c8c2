/* SPDX-License-Identifier: MIT */
#include "lstm.h"

#include <stdarg.h>
#include <stdio.h>

int lstm_fail(lstm_error *err, const char *field, const char *format, ...)
{
    if (err) {
        va_list args;
        snprintf(err->field, sizeof err->field, "%s", field ? field : "");
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return -1;
}
