/* SPDX-License-Identifier: MIT
 *
 * h5probe.h - a child process that tries first.
 *
 * libhdf5 was not made for files that are wrong on purpose: it may crash over one, or never come back. What it does
 * with the bytes of a file that comes from elsewhere is therefore done once in a child, whose memory is the same and in
 * which it goes the same way; only when the child comes back does this process follow.
 */
#ifndef LSTM_H5PROBE_H
#define LSTM_H5PROBE_H

#include "lstm.h"

typedef enum h5probe_result {
    H5PROBE_GOOD,   /* work returned 0 */
    H5PROBE_FAILED, /* work returned something else */
    H5PROBE_DIED,   /* it crashed, or took more processor time than `seconds`, or twice 3 times that by the clock */
    H5PROBE_NONE    /* there is no child to be had */
} h5probe_result;

/* Calls work(data, &e) in a child; when that failed, *err (may be NULL) gets what it left in e. Between h5_enter and
 * h5_leave, so that no other thread is inside libhdf5. */
h5probe_result h5probe(int (*work)(void *data, lstm_error *err), void *data, double seconds, lstm_error *err);

/* The same for work that looks into the file at path, with time for that. 0: this process may follow, or there is no
 * child to be had; -1: it must not, since libhdf5 may have crashed, or have failed in a way that leaves it broken. */
int h5probe_file(int (*work)(void *data, lstm_error *err), void *data, const char *path, lstm_error *err);

#endif
