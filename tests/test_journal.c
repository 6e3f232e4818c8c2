/* SPDX-License-Identifier: MIT
 *
 * A log's journal: what goes in comes out and gets into the file in its order; what is not whole, or not of this file,
 * does not count. (Kills and power failures: test_faults.c.)
 */
#define _GNU_SOURCE
#include "h5journal.h"
#include "support.h"
#include "tap.h"

#include <fcntl.h>
#include <unistd.h>

#define SIGNATURE "\211HDF\r\n\032\n"
#define HEADER 64 /* bytes of a journal before its first run; 24 of each run before its data */

static int file, journal;

static void put(int fd, const void *bytes, size_t size, off_t offset)
{
    if (pwrite(fd, bytes, size, offset) != (ssize_t)size)
        bail("cannot write");
}

/* A file of 200 bytes whose superblock, of version 2, says that it ends there. */
static void make_file(void)
{
    unsigned char bytes[200] = SIGNATURE;
    bytes[8] = 2;
    bytes[9] = 8;
    bytes[28] = 200;
    put(file, bytes, sizeof bytes, 0);
}

/* A sealed journal that makes the file end at 300. */
static h5journal make_journal(void)
{
    h5journal j = {0};
    unsigned char superblock[48] = SIGNATURE;
    superblock[8] = 2;
    superblock[9] = 8;
    superblock[28] = 44; /* 300 = 44 + 1 * 256 */
    superblock[29] = 1;
    if (h5journal_begin(&j) || h5journal_run(&j, H5RUN_SUPERBLOCK, 0, superblock, sizeof superblock) ||
        h5journal_run(&j, H5RUN_METADATA, 100, "meta", 4) || h5journal_run(&j, H5RUN_DATA, 100, "da", 2) ||
        h5journal_extend(&j, "ta!", 3))
        bail("no journal");
    h5journal_seal(&j, 200, 300);
    return j;
}

static bool loads(int journal_fd)
{
    h5journal j;
    const bool good = h5journal_load(&j, journal_fd, file);
    if (good)
        h5journal_free(&j);
    return good;
}

static void test_use(void)
{
    h5journal j = make_journal(), again;
    h5run run;
    size_t at = 0, n = 0;
    char text[6] = "";
    make_file();
    tap_ok(!loads(journal), "an empty journal does not count");
    tap_ok(h5journal_write(&j, journal) == 0 && ftruncate(file, 300) == 0 && h5journal_load(&again, journal, file),
           "a journal is written and loaded");
    tap_ok(h5journal_new_end(&again) == 300, "it knows where the file ends afterwards");
    while (h5journal_next(&again, &at, &run))
        n += run.length;
    tap_ok(n == 48 + 4 + 5, "it has all that was put into it");
    tap_ok(h5journal_apply(&again, file) == 0 && h5journal_superblock_end(file) == 300, "it is applied");
    tap_ok(pread(file, text, 5, 100) == 5 && strcmp(text, "meta!") == 0, "metadata after data");
    tap_ok(loads(journal), "it may be applied once more");
    tap_ok(h5journal_clear(journal) == 0 && !loads(journal), "once cleared it does not count");
    h5journal_free(&j);
    h5journal_free(&again);
}

/* The journal as it is on the disk, with one byte changed. */
static bool loads_with(const h5journal *j, size_t at, unsigned char value)
{
    put(journal, j->bytes, j->size, 0);
    put(journal, &value, 1, (off_t)at);
    return loads(journal);
}

static void test_damage(void)
{
    h5journal j = make_journal();
    make_file();
    put(journal, j.bytes, j.size, 0);
    tap_ok(!loads(-1), "there is no journal");
    int taken = 0;
    for (size_t k = 0; k < j.size; k++)
        taken += loads_with(&j, k, j.bytes[k] ^ 1);
    tap_ok(taken == 0 && loads_with(&j, 0, j.bytes[0]), "a journal with any of %zu bytes changed does not count",
           j.size);
    for (size_t size = j.size; size-- > 0;)
        taken += ftruncate(journal, (off_t)size) != 0 || loads(journal);
    tap_ok(taken == 0, "nor does one that was cut off anywhere");
    put(journal, j.bytes, j.size, 0);
    put(file, "\x64", 1, 28); /* the file ends at 100 */
    tap_ok(!loads(journal), "nor one of another state of the file");
    put(file, "", 1, 0);
    tap_ok(loads(journal), "a file without signature is in the middle of a commit");
    tap_ok(ftruncate(file, 299) == 0 && !loads(journal), "a file that became shorter is another one");
    h5journal_free(&j);
}

/* Whether the first run can be had when its header, of offset, length and class, is this. */
static bool has_run(uint64_t length, uint64_t class)
{
    h5journal j = {0};
    h5run run;
    size_t at = 0;
    if (h5journal_begin(&j) || h5journal_run(&j, H5RUN_DATA, 0, "12345678", 8))
        bail("no journal");
    memcpy(j.bytes + HEADER + 8, &length, 8);
    memcpy(j.bytes + HEADER + 16, &class, 8);
    const bool has = h5journal_next(&j, &at, &run);
    h5journal_free(&j);
    return has;
}

static void test_runs(void)
{
    h5run run;
    size_t at = 0;
    tap_ok(!h5journal_next(&(h5journal){0}, &at, &run), "no journal has no runs");
    tap_ok(has_run(8, H5RUN_DATA) && has_run(0, H5RUN_DATA) && has_run(8, H5RUN_SUPERBLOCK), "good runs");
    tap_ok(!has_run(9, H5RUN_DATA) && !has_run(UINT64_MAX, H5RUN_DATA),
           "a run that is longer than its journal is none");
    tap_ok(!has_run(8, H5RUN_CLASSES), "nor one of no class");
    tap_ok(!has_run(0, H5RUN_SUPERBLOCK), "nor a superblock without bytes");
}

static uint64_t end_of(int version, int address_size, size_t where)
{
    unsigned char bytes[96] = SIGNATURE;
    bytes[8] = (unsigned char)version;
    bytes[version < 2 ? 13 : 9] = (unsigned char)address_size;
    bytes[where] = 77;
    put(file, bytes, sizeof bytes, 0);
    return h5journal_superblock_end(file);
}

/* HDF5 file format specification, II.A: where each version of the superblock keeps the end of the file. */
static void test_superblocks(void)
{
    tap_ok(end_of(0, 8, 40) == 77 && end_of(1, 8, 44) == 77 && end_of(2, 8, 28) == 77 && end_of(3, 8, 28) == 77,
           "the end of the file is found in each version of the superblock");
    tap_ok(!end_of(4, 8, 28) && !end_of(0, 4, 40) && !end_of(2, 4, 28), "not in others, nor with short addresses");
    tap_ok(h5journal_superblock_size((const unsigned char *)SIGNATURE "\1") == 96 &&
           h5journal_superblock_size((const unsigned char *)SIGNATURE "\2") == 48, "their lengths");
    tap_ok(ftruncate(file, 95) == 0 && h5journal_superblock_end(file) == 0, "a file that is shorter has none");
    tap_ok(h5journal_superblock_end(-1) == 0, "nor one that cannot be read");
}

int main(void)
{
    make_test_dir("test_journal", false);
    file = open(in_dir("file"), O_RDWR | O_CREAT, 0600);
    journal = open(in_dir("journal"), O_RDWR | O_CREAT, 0600);
    test_use();
    test_damage();
    test_runs();
    test_superblocks();
    close(file);
    close(journal);
    unlink(in_dir("file"));
    unlink(in_dir("journal"));
    rmdir(test_dir);
    return tap_done();
}
