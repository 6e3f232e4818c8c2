/* SPDX-License-Identifier: MIT
 *
 * h5version.h - which libhdf5 this is.
 */
#ifndef LSTM_H5VERSION_H
#define LSTM_H5VERSION_H

/* "1.10.8": of the library in use, not of the headers. A static string. Safe to call at any time. */
const char *h5_version(void);

#endif
