/* SPDX-License-Identifier: MIT
 *
 * h5pages.h - pages of a file that are held in memory, found by their number. Part of the transactional driver.
 */
#ifndef LSTM_H5PAGES_H
#define LSTM_H5PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define H5PAGE_SIZE 4096u

typedef struct h5page {
    uint64_t number; /* holds bytes [number * H5PAGE_SIZE, (number+1) * H5PAGE_SIZE) of the file */
    bool metadata;   /* something other than raw data was written to it */
    unsigned char bytes[H5PAGE_SIZE];
} h5page;

typedef struct h5pages { /* all zero: none held */
    h5page **table;      /* open addressing, at most half full */
    size_t room, count;
} h5pages;

h5page *h5pages_find(const h5pages *pages, uint64_t number); /* NULL: not held */
/* A page that is not held yet; its bytes are the caller's to set. NULL: out of memory. */
h5page *h5pages_add(h5pages *pages, uint64_t number);
/* All pages with a number below limit, by rising number; *n of them. NULL: out of memory. The array is to be freed. */
h5page **h5pages_sorted(const h5pages *pages, uint64_t limit, size_t *n);
void h5pages_clear(h5pages *pages); /* frees everything */

#endif
