/* SPDX-License-Identifier: MIT
 *
 * h5txn.h - a transactional file driver between libhdf5 and a file: the file on the disk only ever moves from one
 * committed state to the next.
 *
 *   - What the library writes beyond the committed end of the file goes straight to the file: nothing committed
 *     refers to it.
 *   - What overlaps committed space is held in memory, in pages; the library's reads see it.
 *   - h5txn_commit makes all of it durable: the new space, then a journal of the held bytes, then those in place.
 *
 * libhdf5 never sees a write fail, since it would lose data silently or crash; errors are kept in the status. A crash
 * while a commit is put in place is mended from the journal when the file is next opened through this driver, or by
 * h5txn_recover. Whatever is not committed when the file is closed is thrown away; a file that was made and has no
 * commit is removed.
 *
 * The application must set libver bounds with V18 as the upper one: later superblocks have an open-for-write flag.
 */
#ifndef LSTM_H5TXN_H
#define LSTM_H5TXN_H

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

/* Belongs to the application and must stay valid until the file is closed; it outlives the file. */
typedef struct h5txn_status {
    int error;        /* errno of the latest failure; 0 after a successful commit */
    bool dead;        /* no commit will succeed any more: close and open again */
    bool pending;     /* the last commit is in the journal, but not in place yet */
    bool replayed;    /* opening found an unfinished commit and completed it */
    uint64_t commits; /* that became durable since opening */
    uint64_t held;    /* bytes now held in memory */
    uint64_t held_max;
} h5txn_status;

/* Makes fapl use this driver. status may be NULL for reading only. Opening for reading sees the last commit even if
 * the writer was killed in the middle of it, and writes nothing. */
herr_t h5txn_set_driver(hid_t fapl, h5txn_status *status);

/* Whether this process has the file at path open for writing through this driver. */
bool h5txn_is_writing(const char *path);

/* Flushes the file and commits. 0 or an errno value; also 0 when the commit is durable but could not be put in place
 * yet (status->pending): that is tried again at the next commit and at closing. */
int h5txn_commit(hid_t file);

/* Whether the file at path is a new one, into which nothing was committed yet, or one whose writer was killed before. */
bool h5txn_never_committed(const char *path);

typedef enum h5txn_state {
    H5TXN_SOUND,     /* nothing had to be done */
    H5TXN_COMPLETED, /* an unfinished commit was completed */
    H5TXN_CUT,       /* an uncommitted tail was cut off */
    H5TXN_EMPTY      /* no commit was ever made */
} h5txn_state;
/* Brings the file at path to its last commit. 0 or an errno value; EBUSY while somebody writes it. Between h5_enter and
 * h5_leave, as all of these but h5txn_never_committed. */
int h5txn_recover(const char *path, h5txn_state *state);

#endif
