/* SPDX-License-Identifier: MIT
 *
 * h5version.c - which libhdf5 this is.
 */
#include "h5version.h"

#include <hdf5.h>
#include <stdio.h>

const char *h5_version(void)
{
    static char text[48] = "";
    unsigned major, minor, release;
    if (!text[0] && H5get_libversion(&major, &minor, &release) >= 0)
        snprintf(text, sizeof text, "%u.%u.%u", major, minor, release);
    return text[0] ? text : "unknown";
}
