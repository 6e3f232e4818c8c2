/* SPDX-License-Identifier: MIT
 *
 * h5version.c - which libhdf5 this is.
 */
#include "h5version.h"

#include "h5file.h"

#include <stdio.h>

const char *h5_version(void)
{
    static char text[48] = "";
    unsigned major, minor, release;
    h5_enter();
    if (!text[0] && H5get_libversion(&major, &minor, &release) >= 0)
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    h5_leave();
    return text[0] ? text : "unknown";
}
