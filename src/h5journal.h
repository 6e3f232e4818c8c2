/* SPDX-License-Identifier: MIT
 *
 * h5journal.h - the journal of the transactional driver: overwrites of one commit, kept beside the file until they
 * are in place. Part of the driver (h5txn.c); knows the file's superblock but not libhdf5. Functions return 0 or an
 * errno value, unless said otherwise.
 *
 * The file "<file>.journal":  header | runs of { offset, length and class, bytes padded to 8 }
 * It is valid when magic, lengths and SHA-256 agree. Clearing it zeroes the header.
 */
#ifndef LSTM_H5JOURNAL_H
#define LSTM_H5JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Order in which runs are applied. The superblock goes last: with it the file has a signature again. */
typedef enum h5run_class { H5RUN_DATA, H5RUN_METADATA, H5RUN_SUPERBLOCK, H5RUN_CLASSES } h5run_class;

typedef struct h5journal { /* all zero: empty */
    unsigned char *bytes;  /* header and runs, as in the file */
    size_t size, room;
    size_t open_run; /* where the run begins that h5journal_extend adds to */
} h5journal;

typedef struct h5run {
    h5run_class class;
    uint64_t offset;
    size_t length;
    const unsigned char *bytes;
} h5run;

/* ---- making one ---- */
int h5journal_begin(h5journal *j);                                     /* forgets what was in it */
int h5journal_run(h5journal *j, h5run_class class, uint64_t offset, const void *bytes, size_t length);
int h5journal_extend(h5journal *j, const void *bytes, size_t length);  /* the last run goes on */
void h5journal_seal(h5journal *j, uint64_t old_end, uint64_t new_end); /* ends of the file before and after */
void h5journal_free(h5journal *j);

/* ---- using one ---- */
/* Steps through the runs: *at is 0 at first. false: that was the last one. */
bool h5journal_next(const h5journal *j, size_t *at, h5run *run);
uint64_t h5journal_new_end(const h5journal *j);
/* Writes all runs into the file. While the bytes change the file has no HDF5 signature, so that stock readers and,
 * above all, stock writers refuse it rather than meet a mixture. */
int h5journal_apply(const h5journal *j, int fd);
int h5journal_write(const h5journal *j, int journal_fd);
int h5journal_clear(int journal_fd);

/* Loads the journal if it is whole and belongs to this file's state; false: there is none, or none that counts. */
bool h5journal_load(h5journal *j, int journal_fd, int fd);

/* End of the file as its superblock says; 0: no superblock, which means that nothing was ever committed or that a
 * commit was under way. */
uint64_t h5journal_superblock_end(int fd);
/* Length of a superblock that begins with these bytes. */
size_t h5journal_superblock_size(const unsigned char *bytes);

#endif
