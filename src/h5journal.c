/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5journal.h"

#include "fileio.h"
#include "sha256.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MAGIC UINT64_C(0x4c4e524a4d54534c) /* "LSTMJRNL" */
#define SIGNATURE "\211HDF\r\n\032\n"

/* Numbers are the machine's own: a journal is used up where it was made. */
typedef struct header {
    uint64_t magic, old_end, new_end, body; /* body: bytes after the header */
    unsigned char digest[LSTM_SHA256_SIZE]; /* of the fields above and of the body */
} header;

typedef struct run_header {
    uint64_t offset, length, class;
} run_header;

/* ---- making one ------------------------------------------------------------------------------------------------- */

static int append(h5journal *j, const void *bytes, size_t n)
{
    if (n > j->room - j->size) {
        size_t room = 2 * (j->size + n) + 4096;
        unsigned char *p = realloc(j->bytes, room);
        if (!p)
            return ENOMEM;
        j->bytes = p;
        j->room = room;
    }
    memcpy(j->bytes + j->size, bytes, n);
    j->size += n;
    return 0;
}

int h5journal_begin(h5journal *j)
{
    header h = {0};
    j->size = j->open_run = 0;
    return append(j, &h, sizeof h);
}

int h5journal_run(h5journal *j, h5run_class class, uint64_t offset, const void *bytes, size_t length)
{
    const run_header r = {offset, 0, class};
    const size_t padding = (8 - j->size % 8) % 8;
    unsigned char head[8 + sizeof r] = {0};
    memcpy(head + padding, &r, sizeof r);
    int error = append(j, head, padding + sizeof r);
    if (error)
        return error;
    j->open_run = j->size - sizeof r;
    return h5journal_extend(j, bytes, length);
}

int h5journal_extend(h5journal *j, const void *bytes, size_t length)
{
    run_header r;
    int error = append(j, bytes, length);
    if (error)
        return error;
    memcpy(&r, j->bytes + j->open_run, sizeof r);
    r.length += length;
    memcpy(j->bytes + j->open_run, &r, sizeof r);
    return 0;
}

static void digest_of(const header *h, const unsigned char *body, unsigned char digest[LSTM_SHA256_SIZE])
{
    lstm_sha256 s;
    lstm_sha256_init(&s);
    lstm_sha256_update(&s, h, offsetof(header, digest));
    lstm_sha256_update(&s, body, h->body);
    lstm_sha256_final(&s, digest);
}

void h5journal_seal(h5journal *j, uint64_t old_end, uint64_t new_end)
{
    header h = {.magic = MAGIC, .old_end = old_end, .new_end = new_end, .body = j->size - sizeof(header)};
    digest_of(&h, j->bytes + sizeof h, h.digest);
    memcpy(j->bytes, &h, sizeof h);
}

void h5journal_free(h5journal *j)
{
    free(j->bytes);
    *j = (h5journal){0};
}

/* ---- using one -------------------------------------------------------------------------------------------------- */

bool h5journal_next(const h5journal *j, size_t *at, h5run *run)
{
    run_header r;
    size_t here = *at ? *at : sizeof(header);
    if (j->size < sizeof r || here > j->size - sizeof r)
        return false;
    memcpy(&r, j->bytes + here, sizeof r);
    if (r.length > j->size - here - sizeof r || r.class >= H5RUN_CLASSES)
        return false;
    if (r.class == H5RUN_SUPERBLOCK && r.length == 0)
        return false;
    *run = (h5run){(h5run_class)r.class, r.offset, (size_t)r.length, j->bytes + here + sizeof r};
    *at = (here + sizeof r + (size_t)r.length + 7) / 8 * 8;
    return true;
}

uint64_t h5journal_new_end(const h5journal *j)
{
    header h;
    memcpy(&h, j->bytes, sizeof h);
    return h.new_end;
}

/* The superblock without the first byte of its signature, which is the very last to come. */
static int apply_run(const h5run *run, int fd)
{
    size_t skip = run->class == H5RUN_SUPERBLOCK;
    return fileio_pwrite(fd, run->bytes + skip, run->length - skip, run->offset + skip, NULL);
}

int h5journal_apply(const h5journal *j, int fd)
{
    h5run run;
    int error = fileio_pwrite(fd, "", 1, 0, NULL); /* no signature from here on */
    for (int class = 0; class < H5RUN_CLASSES && !error; class++)
        for (size_t at = 0; !error && h5journal_next(j, &at, &run);)
            if (run.class == (h5run_class)class)
                error = apply_run(&run, fd);
    return error ? error : fileio_pwrite(fd, SIGNATURE, 1, 0, NULL);
}

int h5journal_write(const h5journal *j, int journal_fd)
{
    return fileio_pwrite(journal_fd, j->bytes, j->size, 0, NULL);
}

int h5journal_clear(int journal_fd)
{
    header none = {0};
    return fileio_pwrite(journal_fd, &none, sizeof none, 0, NULL);
}

/* ---- loading ---------------------------------------------------------------------------------------------------- */

static uint64_t little_endian(const unsigned char *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

size_t h5journal_superblock_size(const unsigned char *bytes)
{
    return bytes[8] < 2 ? 96 : 48;
}

uint64_t h5journal_superblock_end(int fd)
{
    unsigned char s[96];
    size_t got;
    if (fileio_pread(fd, s, sizeof s, 0, &got) || got < sizeof s || memcmp(s, SIGNATURE, 8) != 0)
        return 0;
    if (s[8] < 2 && s[13] == 8) /* versions 0 and 1: byte 13 is the size of addresses */
        return little_endian(s + 40 + (s[8] == 1 ? 4 : 0));
    if ((s[8] == 2 || s[8] == 3) && s[9] == 8)
        return little_endian(s + 28);
    return 0;
}

/* Somebody else may have written the file since. If not, it ends, by its superblock, as before or after the commit. */
static bool belongs_to(const header *h, int fd)
{
    struct stat st;
    uint64_t end = h5journal_superblock_end(fd);
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < h->new_end)
        return false;
    return end == 0 || end == h->old_end || end == h->new_end;
}

static bool load_whole(h5journal *j, int journal_fd, const header *h)
{
    unsigned char digest[LSTM_SHA256_SIZE];
    size_t got;
    j->room = j->size = sizeof *h + (size_t)h->body;
    j->bytes = malloc(j->size);
    if (!j->bytes || fileio_pread(journal_fd, j->bytes, j->size, 0, &got) || got != j->size)
        return false;
    digest_of(h, j->bytes + sizeof *h, digest);
    return memcmp(digest, h->digest, sizeof digest) == 0;
}

bool h5journal_load(h5journal *j, int journal_fd, int fd)
{
    header h;
    struct stat st;
    size_t got;
    *j = (h5journal){0};
    if (journal_fd < 0 || fstat(journal_fd, &st) != 0 || fileio_pread(journal_fd, &h, sizeof h, 0, &got) ||
        got != sizeof h || h.magic != MAGIC || h.body > (uint64_t)st.st_size - sizeof h || !belongs_to(&h, fd))
        return false;
    if (load_whole(j, journal_fd, &h))
        return true;
    h5journal_free(j);
    return false;
}
