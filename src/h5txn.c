/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5txn.h"

#include "fileio.h"
#include "h5journal.h"
#include "h5pages.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_TRIES 20

typedef struct driver_info { /* what the access properties carry */
    h5txn_status *status;
} driver_info;

typedef struct txn_file {
    H5FD_t pub; /* libhdf5's part; must come first */
    int fd, journal_fd;
    char *path, *journal_path;
    dev_t device;
    ino_t inode;
    bool reading; /* opened for reading */
    bool shadow;  /* a second handle on a file this process writes: looks only */
    bool created; /* by this handle */
    haddr_t eoa, eof;    /* the library's view: allocated, written */
    uint64_t committed;  /* end of the committed file; 0: no commit yet */
    h5pages pages;
    bool hold_all;       /* a write failed: all further ones are held */
    bool unsynced;       /* something was written since the last sync */
    bool quiet;          /* nothing was written since the library's last full flush */
    bool truncate_seen, directory_synced;
    h5journal journal;   /* kept while a commit is pending */
    h5txn_status *status, own_status;
    struct txn_file *next;
} txn_file;

static hid_t driver_id = -1;
static txn_file *writers; /* open for writing in this process */

/* ---- small things ----------------------------------------------------------------------------------------------- */

/* Notes a failure, which libhdf5 is not told about. */
static int note(txn_file *f, int error)
{
    f->status->error = error;
    return error;
}

/* A failure after which what is on the disk is not known any more. */
static int note_death(txn_file *f, int error)
{
    f->status->dead = true;
    return note(f, error);
}

static int sync_data(int fd)
{
    int error;
    do
        error = fdatasync(fd) != 0 ? errno : 0;
    while (error == EINTR);
    return error;
}

/* Reads; beyond the end of the file there are zeros. */
static int read_padded(int fd, void *bytes, size_t size, uint64_t offset)
{
    size_t got = 0;
    int error = fileio_pread(fd, bytes, size, offset, &got);
    if (!error)
        memset((char *)bytes + got, 0, size - got);
    return error;
}

static uint64_t round_up(uint64_t n)
{
    return (n + H5PAGE_SIZE - 1) / H5PAGE_SIZE * H5PAGE_SIZE;
}

/* Below this everything is held: committed space, in whole pages; or the page of the superblock, held from the start,
 * so that a file without a commit has no signature and cannot be taken for a sound one. */
static uint64_t held_limit(const txn_file *f)
{
    return f->committed ? round_up(f->committed) : H5PAGE_SIZE;
}

/* The page, loaded from the file when it is not held yet. NULL: it cannot be held, and the file is dead. */
static h5page *hold(txn_file *f, uint64_t number)
{
    h5page *page = h5pages_find(&f->pages, number);
    if (page)
        return page;
    unsigned char bytes[H5PAGE_SIZE];
    int error = read_padded(f->fd, bytes, H5PAGE_SIZE, number * H5PAGE_SIZE);
    page = error ? NULL : h5pages_add(&f->pages, number);
    if (!page) {
        note_death(f, error ? error : ENOMEM);
        return NULL;
    }
    memcpy(page->bytes, bytes, H5PAGE_SIZE);
    f->status->held = f->pages.count * H5PAGE_SIZE;
    if (f->status->held > f->status->held_max)
        f->status->held_max = f->status->held;
    return page;
}

static void drop_pages(txn_file *f)
{
    h5pages_clear(&f->pages);
    f->status->held = 0;
}

/* ---- commit ----------------------------------------------------------------------------------------------------- */

/* What a page adds to the journal: from its first changed byte to its last. */
typedef struct journal_maker {
    txn_file *f;
    uint64_t end;        /* of the file after the commit */
    const h5page *last;  /* the page before, when the run may go on ... */
    size_t last_end;     /* ... and where its part ends */
} journal_maker;

/* The superblock has a run of its own. *size is its length. */
static int journal_superblock(txn_file *f, const h5page *page, const unsigned char *on_disk, size_t *size)
{
    *size = h5journal_superblock_size(page->bytes);
    if (f->committed && memcmp(on_disk, page->bytes, *size) == 0)
        return 0;
    return h5journal_run(&f->journal, H5RUN_SUPERBLOCK, 0, page->bytes, *size);
}

/* The changed part [*first, *last) of the page's size bytes; what lies beyond the committed end counts as changed. */
static void changed_part(const txn_file *f, const h5page *page, const unsigned char *on_disk, size_t size,
                         size_t *first, size_t *last)
{
    uint64_t offset = page->number * H5PAGE_SIZE;
    size_t old = offset >= f->committed ? 0 : offset + size > f->committed ? f->committed - offset : size;
    size_t a = *first, z = size;
    while (a < old && on_disk[a] == page->bytes[a])
        a++;
    if (old == size)
        while (z > a && on_disk[z - 1] == page->bytes[z - 1])
            z--;
    *first = a;
    *last = z;
}

/* Neighbouring changed pages of one class make one run, which is one write to apply. */
static int journal_part(journal_maker *m, const h5page *page, size_t first, size_t last)
{
    h5journal *j = &m->f->journal;
    const h5page *before = m->last;
    int error;
    if (before && before->number + 1 == page->number && before->metadata == page->metadata) {
        error = h5journal_extend(j, before->bytes + m->last_end, H5PAGE_SIZE - m->last_end);
        if (!error)
            error = h5journal_extend(j, page->bytes, last);
    } else {
        error = h5journal_run(j, page->metadata ? H5RUN_METADATA : H5RUN_DATA, page->number * H5PAGE_SIZE + first,
                              page->bytes + first, last - first);
    }
    m->last = page;
    m->last_end = last;
    return error;
}

static int journal_page(journal_maker *m, const h5page *page)
{
    unsigned char on_disk[H5PAGE_SIZE];
    uint64_t offset = page->number * H5PAGE_SIZE;
    if (offset >= m->end) /* the file has become shorter */
        return 0;
    size_t size = m->end - offset < H5PAGE_SIZE ? (size_t)(m->end - offset) : H5PAGE_SIZE, first = 0, last;
    int error = read_padded(m->f->fd, on_disk, H5PAGE_SIZE, offset);
    if (!error && page->number == 0)
        error = journal_superblock(m->f, page, on_disk, &first);
    if (error)
        return error;
    changed_part(m->f, page, on_disk, size, &first, &last);
    return first < last ? journal_part(m, page, first, last) : 0;
}

static int make_journal(txn_file *f, uint64_t end)
{
    journal_maker m = {.f = f, .end = end};
    size_t n;
    h5page **pages = h5pages_sorted(&f->pages, held_limit(f) / H5PAGE_SIZE, &n);
    if (!pages)
        return ENOMEM;
    int error = h5journal_begin(&f->journal);
    for (size_t k = 0; k < n && !error; k++)
        error = journal_page(&m, pages[k]);
    free(pages);
    if (!error)
        h5journal_seal(&f->journal, f->committed, end);
    return error;
}

/* New space that was held back because a write to it failed: now, or not at all. */
static int write_held_tail(txn_file *f, uint64_t end)
{
    size_t n;
    h5page **pages = h5pages_sorted(&f->pages, round_up(end) / H5PAGE_SIZE, &n);
    int error = pages ? 0 : ENOMEM;
    for (size_t k = 0; k < n && !error; k++) {
        uint64_t offset = pages[k]->number * H5PAGE_SIZE;
        size_t size = end - offset < H5PAGE_SIZE ? (size_t)(end - offset) : H5PAGE_SIZE;
        if (offset >= held_limit(f))
            error = fileio_pwrite(f->fd, pages[k]->bytes, size, offset, NULL);
    }
    f->unsynced = true;
    free(pages);
    return error;
}

/* Space on the disk for all of the file, so that applying the journal cannot meet a full disk. */
static int reserve_space(txn_file *f, uint64_t end)
{
    struct stat st;
    if (end <= f->committed)
        return 0;
    f->unsynced = true;
#ifdef __linux__
    int failed;
    do
        failed = fallocate(f->fd, 0, (off_t)f->committed, (off_t)(end - f->committed));
    while (failed && errno == EINTR);
    if (!failed)
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return errno;
#endif
    if (fstat(f->fd, &st) != 0)
        return errno;
    return (uint64_t)st.st_size < end && ftruncate(f->fd, (off_t)end) != 0 ? errno : 0;
}

/* All but the held pages, durable. */
static int commit_new_space(txn_file *f, uint64_t end)
{
    int error = f->hold_all ? write_held_tail(f, end) : 0;
    if (!error)
        error = reserve_space(f, end);
    if (error)
        return note(f, error);
    /* After a failed sync the kernel may have dropped what was not written: nobody knows what is on the disk. */
    if (f->unsynced && (error = sync_data(f->fd)))
        return note_death(f, error);
    f->unsynced = false;
    return 0;
}

/* The journal, durable: then the commit is made. */
static int commit_journal(txn_file *f, uint64_t end)
{
    int error = make_journal(f, end);
    if (error)
        return note(f, error);
    error = h5journal_write(&f->journal, f->journal_fd);
    if (!error)
        error = sync_data(f->journal_fd);
    if (!error && !f->directory_synced)
        error = fileio_sync_directory(f->path);
    if (!error) {
        f->directory_synced = true;
        return 0;
    }
    /* It must not stay valid: the application is told that this commit failed. */
    int worse = h5journal_clear(f->journal_fd);
    if (!worse)
        worse = sync_data(f->journal_fd);
    return worse ? note_death(f, error) : note(f, error);
}

/* Puts the journal, which is durable, in place. */
static int apply_journal(txn_file *f)
{
    int error = h5journal_apply(&f->journal, f->fd);
    if (error)
        return note(f, error);
    if ((error = sync_data(f->fd)) || (error = h5journal_clear(f->journal_fd)))
        return note_death(f, error);
    f->status->pending = false;
    f->status->error = 0;
    return 0;
}

static int commit(txn_file *f)
{
    uint64_t end = f->eoa;
    int error = 0;
    if (f->reading || f->shadow)
        return EBADF;
    if (f->status->dead)
        return f->status->error;
    if (!f->quiet)
        return EBUSY;
    if (f->status->pending)
        error = apply_journal(f);
    if (!error && f->committed == end && !f->pages.count && !f->unsynced)
        return 0;
    if (!error)
        error = commit_new_space(f, end);
    if (!error)
        error = commit_journal(f, end);
    if (error)
        return error;
    f->committed = end;
    f->status->commits++;
    f->status->pending = true;
    f->status->error = 0;
    f->hold_all = apply_journal(f) != 0; /* the commit is durable either way */
    if (!f->hold_all)
        drop_pages(f);
    return 0;
}

/* ---- recovery --------------------------------------------------------------------------------------------------- */

static int cut_tail(int fd, uint64_t end, bool *cut)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return errno;
    *cut = (uint64_t)st.st_size > end;
    return *cut && ftruncate(fd, (off_t)end) != 0 ? errno : 0;
}

/* Brings the file to its last commit. The caller holds the lock on the journal. */
static int recover(int fd, int journal_fd, h5txn_state *state)
{
    h5journal j;
    bool found = h5journal_load(&j, journal_fd, fd), cut = false;
    int error = found ? h5journal_apply(&j, fd) : 0;
    uint64_t end = found ? h5journal_new_end(&j) : h5journal_superblock_end(fd);
    if (!error && end)
        error = cut_tail(fd, end, &cut);
    if (!error && (found || cut))
        error = sync_data(fd);
    if (!error && found && !(error = h5journal_clear(journal_fd)))
        error = sync_data(journal_fd);
    h5journal_free(&j);
    *state = found ? H5TXN_COMPLETED : !end ? H5TXN_EMPTY : cut ? H5TXN_CUT : H5TXN_SOUND;
    return error;
}

/* The writer's lock is on the journal; the HDF5 file itself is never locked, so that anybody can read it. File
 * systems without locks do without. A reader that looks whether somebody writes (h5read.c) has the lock for some
 * microseconds: that is waited for, a writer is not. */
static int lock_journal(int journal_fd)
{
    const struct timespec pause = {0, 5 * 1000 * 1000};
    int failed = 0;
    for (int k = 0; k < LOCK_TRIES; k++) {
        failed = flock(journal_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
        if (failed != EWOULDBLOCK && failed != EINTR)
            break;
        nanosleep(&pause, NULL);
    }
    return failed == EWOULDBLOCK ? EBUSY : failed == EOPNOTSUPP || failed == ENOLCK || failed == ENOSYS ? 0 : failed;
}

/* The page of the superblock is held until the first commit (held_limit): zeros are where it should be. */
static bool never_committed(int fd)
{
    unsigned char start[H5PAGE_SIZE];
    size_t got = 0;
    struct stat st;
    bool yes = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && fileio_pread(fd, start, sizeof start, 0, &got) == 0;
    for (size_t k = 0; k < got; k++)
        yes = yes && start[k] == 0;
    return yes;
}

bool h5txn_never_committed(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    bool yes = fd >= 0 && never_committed(fd);
    if (fd >= 0)
        close(fd);
    return yes;
}

/* ---- the driver: open and close --------------------------------------------------------------------------------- */

static void free_file(txn_file *f)
{
    for (txn_file **p = &writers; *p; p = &(*p)->next)
        if (*p == f) {
            *p = f->next;
            break;
        }
    drop_pages(f);
    h5journal_free(&f->journal);
    if (f->fd >= 0)
        close(f->fd);
    if (f->journal_fd >= 0)
        close(f->journal_fd);
    free(f->path);
    free(f->journal_path);
    free(f);
}

/* Leaves the file at its last commit, without a journal if all is well. */
static void settle(txn_file *f)
{
    int error = 0;
    if (f->status->pending && !f->status->dead)
        apply_journal(f);
    if (f->status->pending || f->status->dead)
        return;
    if (f->committed && ftruncate(f->fd, (off_t)f->committed) != 0)
        error = errno;
    if (!error)
        error = h5journal_clear(f->journal_fd);
    if (!error && !f->status->error && fileio_is_at(f->journal_path, f->journal_fd))
        unlink(f->journal_path); /* else kept, cleared */
    if (error)
        note(f, error);
}

/* A file that was made here and has no commit goes again, while the lock keeps others from it: the journal goes last. */
static void remove_uncommitted(const txn_file *f)
{
    if (!f->created || f->committed)
        return;
    if (fileio_is_at(f->path, f->fd))
        unlink(f->path);
    if (fileio_is_at(f->journal_path, f->journal_fd))
        unlink(f->journal_path);
}

static herr_t txn_close(H5FD_t *file)
{
    txn_file *f = (txn_file *)file;
    if (!f->reading && !f->shadow) {
        settle(f);
        remove_uncommitted(f);
    }
    free_file(f);
    return 0;
}

/* For reading: an unfinished commit is completed in memory only. */
static int replay_in_memory(txn_file *f)
{
    h5journal j;
    h5run run;
    int error = 0;
    if (!h5journal_load(&j, f->journal_fd, f->fd))
        return 0;
    for (size_t at = 0; !error && h5journal_next(&j, &at, &run);)
        for (size_t k = 0; k < run.length && !error; k++) {
            h5page *page = hold(f, (run.offset + k) / H5PAGE_SIZE);
            if (page)
                page->bytes[(run.offset + k) % H5PAGE_SIZE] = run.bytes[k];
            else
                error = f->status->error;
        }
    h5page *first = error ? NULL : hold(f, 0);
    if (first)
        first->bytes[0] = 0x89; /* the signature, which was away while the writer applied it */
    h5journal_free(&j);
    return error;
}

static int open_for_writing(txn_file *f, unsigned flags)
{
    h5txn_state state;
    int error;
    *f->status = (h5txn_status){0};
    if (flags & H5F_ACC_TRUNC) {
        if (!never_committed(f->fd)) /* any more: somebody was faster */
            return EEXIST;
        if ((error = h5journal_clear(f->journal_fd)) || (error = sync_data(f->journal_fd)))
            return error;
        if (ftruncate(f->fd, 0) != 0)
            return errno;
    } else if ((error = recover(f->fd, f->journal_fd, &state))) {
        return error;
    } else {
        f->status->replayed = state == H5TXN_COMPLETED;
    }
    f->next = writers;
    writers = f;
    return 0;
}

static bool is_written(dev_t device, ino_t inode)
{
    for (const txn_file *w = writers; w; w = w->next)
        if (w->device == device && w->inode == inode)
            return true;
    return false;
}

bool h5txn_is_writing(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && is_written(st.st_dev, st.st_ino);
}

static int open_data(txn_file *f, int mode)
{
    struct stat st;
    if ((f->fd = open(f->path, mode, 0666)) < 0)
        return errno;
    f->created = (mode & O_EXCL) != 0;
    if (fstat(f->fd, &st) != 0)
        return errno;
    if (!S_ISREG(st.st_mode))
        return EINVAL;
    f->device = st.st_dev;
    f->inode = st.st_ino;
    /* H5Fopen opens first and compares afterwards: such a second handle must neither recover nor cut anything. */
    f->shadow = is_written(f->device, f->inode);
    return 0;
}

static void close_if_gone(const char *path, int *fd)
{
    if (fileio_is_at(path, *fd))
        return;
    close(*fd);
    *fd = -1;
}

/* Between our open and our lock whoever had the lock may have removed the journal, or the file, too: a lock on what has
 * no name any more keeps nobody away. */
static int open_locked(txn_file *f, int mode)
{
    for (int k = 0; k < LOCK_TRIES; k++) {
        int error = f->fd < 0 ? open_data(f, mode) : 0;
        if (error || f->shadow)
            return error;
        if (f->journal_fd < 0)
            f->journal_fd = open(f->journal_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if ((error = f->journal_fd < 0 ? errno : lock_journal(f->journal_fd)))
            return error;
        close_if_gone(f->path, &f->fd);
        close_if_gone(f->journal_path, &f->journal_fd);
        if (f->fd >= 0 && f->journal_fd >= 0)
            return 0;
    }
    return EBUSY;
}

static int open_descriptors(txn_file *f, unsigned flags)
{
    int mode = (flags & H5F_ACC_RDWR ? O_RDWR : O_RDONLY) | (flags & H5F_ACC_CREAT ? O_CREAT : 0) |
               (flags & H5F_ACC_EXCL ? O_EXCL : 0) | O_NONBLOCK | O_CLOEXEC;
    if (!f->reading)
        return open_locked(f, mode);
    int error = open_data(f, mode);
    if (!error && !f->shadow)
        f->journal_fd = open(f->journal_path, O_RDONLY | O_CLOEXEC);
    return error;
}

static int open_file(txn_file *f, unsigned flags)
{
    struct stat st;
    int error = open_descriptors(f, flags);
    if (!error && f->shadow)
        f->status = &f->own_status;
    else if (!error)
        error = f->reading ? replay_in_memory(f) : open_for_writing(f, flags);
    if (!error && fstat(f->fd, &st) != 0)
        error = errno;
    if (!error) {
        f->eof = (haddr_t)st.st_size;
        f->committed = f->shadow ? 0 : (uint64_t)st.st_size;
    }
    return error;
}

/* Nothing is open yet. NULL: out of memory. */
static txn_file *new_file(const char *path, unsigned flags, h5txn_status *status)
{
    txn_file *f = calloc(1, sizeof *f);
    if (!f)
        return NULL;
    f->fd = f->journal_fd = -1;
    f->status = status ? status : &f->own_status;
    f->reading = !(flags & H5F_ACC_RDWR);
    f->path = strdup(path);
    if (asprintf(&f->journal_path, "%s.journal", path) < 0)
        f->journal_path = NULL;
    if (f->path && f->journal_path)
        return f;
    free_file(f);
    return NULL;
}

static H5FD_t *txn_open(const char *name, unsigned flags, hid_t fapl, haddr_t maxaddr)
{
    const driver_info *info = H5Pget_driver_info(fapl);
    h5txn_status *status = info ? info->status : NULL;
    txn_file *f = new_file(name, flags, status);
    (void)maxaddr;
    int error = f ? open_file(f, flags) : ENOMEM;
    if (!error)
        return &f->pub;
    if (status)
        status->error = error;
    if (f && error != EBUSY) /* else it is another's by now */
        remove_uncommitted(f);
    if (f)
        free_file(f);
    errno = error;
    return NULL;
}

int h5txn_recover(const char *path, h5txn_state *state)
{
    txn_file *f = new_file(path, H5F_ACC_RDWR, NULL);
    int error = f ? open_descriptors(f, H5F_ACC_RDWR) : ENOMEM;
    if (!error)
        error = f->shadow ? EBUSY : recover(f->fd, f->journal_fd, state);
    if (!error && unlink(f->journal_path) != 0)
        error = errno;
    if (f)
        free_file(f);
    return error;
}

/* ---- the driver: the rest --------------------------------------------------------------------------------------- */

static int txn_compare(const H5FD_t *a, const H5FD_t *b)
{
    const txn_file *x = (const txn_file *)a, *y = (const txn_file *)b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode < y->inode ? -1 : x->inode > y->inode;
}

static herr_t txn_query(const H5FD_t *file, unsigned long *flags)
{
    (void)file;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
    return 0;
}

static haddr_t txn_get_eoa(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const txn_file *)file)->eoa;
}

static herr_t txn_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t eoa)
{
    (void)type;
    ((txn_file *)file)->eoa = eoa;
    return 0;
}

static haddr_t txn_get_eof(const H5FD_t *file, H5FD_mem_t type)
{
    (void)type;
    return ((const txn_file *)file)->eof;
}

static herr_t txn_get_handle(H5FD_t *file, hid_t fapl, void **handle)
{
    (void)fapl;
    *handle = file;
    return 0;
}

static herr_t txn_read(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t offset, size_t size, void *bytes)
{
    txn_file *f = (txn_file *)file;
    (void)type;
    (void)dxpl;
    int error = read_padded(f->fd, bytes, size, offset);
    if (error) { /* there is nothing to give back: the one error that libhdf5 sees */
        note_death(f, error);
        return -1;
    }
    for (uint64_t k = offset / H5PAGE_SIZE; f->pages.count && k * H5PAGE_SIZE < offset + size; k++) {
        const h5page *page = h5pages_find(&f->pages, k);
        uint64_t start = k * H5PAGE_SIZE, end = start + H5PAGE_SIZE;
        uint64_t a = start > offset ? start : offset, z = end < offset + size ? end : offset + size;
        if (page)
            memcpy((char *)bytes + (a - offset), page->bytes + (a - start), z - a);
    }
    return 0;
}

/* Writes new space straight to the file. Returns how many bytes got there; the rest is to be held. */
static size_t write_direct(txn_file *f, haddr_t offset, size_t size, const void *bytes)
{
    size_t done = 0;
    int error = fileio_pwrite(f->fd, bytes, size, offset, &done);
    f->unsynced = true;
    if (error) {
        note(f, error);
        f->hold_all = true;
    }
    return done;
}

static herr_t txn_write(H5FD_t *file, H5FD_mem_t type, hid_t dxpl, haddr_t offset, size_t size, const void *bytes)
{
    txn_file *f = (txn_file *)file;
    (void)dxpl;
    f->quiet = false;
    if (offset + size > f->eof)
        f->eof = offset + size;
    while (size) {
        size_t in_page = H5PAGE_SIZE - offset % H5PAGE_SIZE, n = size < in_page ? size : in_page;
        if (offset >= held_limit(f) && !f->hold_all && !f->status->dead) {
            n = write_direct(f, offset, size, bytes);
        } else {
            h5page *page = hold(f, offset / H5PAGE_SIZE);
            if (page) {
                memcpy(page->bytes + offset % H5PAGE_SIZE, bytes, n);
                page->metadata |= type != H5FD_MEM_DRAW;
            }
        }
        offset += n;
        size -= n;
        bytes = (const char *)bytes + n;
    }
    return 0;
}

/* The library has settled where the file ends. On the disk that happens by a commit, and at closing. */
static herr_t txn_truncate(H5FD_t *file, hid_t dxpl, hbool_t closing)
{
    txn_file *f = (txn_file *)file;
    (void)dxpl;
    (void)closing;
    f->truncate_seen = true;
    f->eof = f->eoa;
    return 0;
}

/* The end of H5Fflush, but also of H5Dflush and the like, which write one object only. Only H5Fflush calls truncate
 * before it. */
static herr_t txn_flush(H5FD_t *file, hid_t dxpl, hbool_t closing)
{
    txn_file *f = (txn_file *)file;
    (void)dxpl;
    (void)closing;
    if (f->truncate_seen)
        f->quiet = true;
    f->truncate_seen = false;
    return 0;
}

static const H5FD_class_t txn_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = (H5FD_class_value_t)(H5_VFD_RESERVED + 0x1574), /* any number beyond those given out */
#endif
    .name = "lstmrun",
    .maxaddr = (haddr_t)INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    /* No sb_size and sb_encode: nothing about the driver is stored in the file. */
    .fapl_size = sizeof(driver_info),
    .open = txn_open,
    .close = txn_close,
    .cmp = txn_compare,
    .query = txn_query,
    .get_eoa = txn_get_eoa,
    .set_eoa = txn_set_eoa,
    .get_eof = txn_get_eof,
    .get_handle = txn_get_handle,
    .read = txn_read,
    .write = txn_write,
    .flush = txn_flush,
    .truncate = txn_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

/* ---- for the application ---------------------------------------------------------------------------------------- */

herr_t h5txn_set_driver(hid_t fapl, h5txn_status *status)
{
    driver_info info = {status};
    if (driver_id < 0 || H5Iget_type(driver_id) != H5I_VFL)
        driver_id = H5FDregister(&txn_class);
    return driver_id < 0 ? -1 : H5Pset_driver(fapl, driver_id, &info);
}

/* Our own struct behind a file that uses this driver, or NULL. */
static txn_file *behind(hid_t file)
{
    void *handle = NULL;
    hid_t fapl = H5Fget_access_plist(file);
    bool ours = fapl >= 0 && driver_id >= 0 && H5Pget_driver(fapl) == driver_id;
    if (fapl >= 0)
        H5Pclose(fapl);
    return ours && H5Fget_vfd_handle(file, H5P_DEFAULT, &handle) >= 0 ? handle : NULL;
}

int h5txn_commit(hid_t file)
{
    txn_file *f = behind(file);
    if (!f)
        return EBADF;
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        return f->status->error ? f->status->error : EIO;
    return commit(f);
}
