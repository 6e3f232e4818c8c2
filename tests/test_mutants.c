/* SPDX-License-Identifier: MIT
 *
 * Checkpoints made wrong on purpose: bytes of a good one changed at random, and the checksum put right again, so that
 * what is read is not stopped at the door. Each must be refused with a sentence or come out as a whole: no crash, no
 * hang, nothing that could be read from it in part only.
 *
 * Mutants are read in a child, which goes through them until one kills it; then another child goes on behind that one.
 *
 * Logs have no checksum over all: theirs are changed as accidents change files, too (a page of zeros, the end cut off),
 * and must be refused when they are read and when a run goes on with them, or be fit for both.
 *
 * Then a checkpoint's header alone: it is changed at random and its checksum left as it is, or put right half of the
 * time, which reaches all that is checked before libhdf5 is.
 *
 * LSTM_TORTURE=N: 40 N mutants, N of logs, and 2,000 N headers instead of 400, 80 and 5,000 (make torture: N = 500).
 */
#define _GNU_SOURCE
#include "h5checkpoint.h"
#include "h5log.h"
#include "h5read.h"
#include "support.h"
#include "tap.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRAILER 64
#define SECONDS 120 /* more for one mutant is a hang; readers give a child 3 or 10 s of processor time */

/* What the child has seen; shared with its parent. */
typedef struct progress {
    long at, refused, taken, partial, unclear;
} progress;

static lstm_error err;
static uint64_t random_state;

static size_t below(size_t n) /* xorshift64 */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state >> 11) % n;
}

/* ---- a small checkpoint with one of everything ------------------------------------------------------------------ */

static void write_good(const char *path)
{
    static const float f[6] = {1, 2, 3, 4, 5, 6};
    static const int64_t i[2] = {7, 8};
    h5checkpoint *cp = h5checkpoint_new(&err);
    if (!cp || h5checkpoint_add(cp, "lstm.weight", H5_F32, 2, (size_t[]){2, 3}, f, &err) ||
        h5checkpoint_add(cp, "moment1/head.bias", H5_I64, 1, (size_t[]){2}, i, &err) ||
        h5checkpoint_add_text(cp, "config", "{\"hidden\": 12}", 14, &err) ||
        h5checkpoint_add_integer(cp, "step", 5, &err) || h5checkpoint_add_number(cp, "best", 1.5, &err) ||
        h5checkpoint_write(cp, path, NULL, &err)) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
    h5checkpoint_free(cp);
}

/* ---- libhdf5's own checksums ------------------------------------------------------------------------------------ */

/* Not in its header files, but in the library; where it is not, mutants fail at these checksums. */
uint32_t H5_checksum_lookup3(const void *bytes, size_t size, uint32_t start) __attribute__((weak));

#define MOST_PIECES 64

/* What has a checksum of 4 bytes behind it: the superblock, and each object's header (HDF5 file format, IV.A.1.b). */
static struct piece {
    size_t at, size;
} pieces[MOST_PIECES];
static size_t npieces;

static void find_pieces(const unsigned char *image, size_t size)
{
    pieces[npieces++] = (struct piece){0, 44};
    for (size_t at = 0; at + 32 < size && npieces < MOST_PIECES; at++) {
        if (memcmp(image + at, "OHDR", 4) != 0)
            continue;
        unsigned char flags = image[at + 5];
        size_t head = 6 + (flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0), width = (size_t)1 << (flags & 3), n = 0;
        for (size_t k = width; k-- > 0;)
            n = n << 8 | image[at + head + k];
        if (at + head + width + n + 4 <= size)
            pieces[npieces++] = (struct piece){at, head + width + n};
    }
}

static void mend_pieces(unsigned char *image)
{
    for (size_t k = 0; k < npieces && H5_checksum_lookup3; k++) {
        const uint32_t sum = H5_checksum_lookup3(image + pieces[k].at, pieces[k].size, 0);
        for (int i = 0; i < 4; i++)
            image[pieces[k].at + pieces[k].size + (size_t)i] = (unsigned char)(sum >> 8 * i);
    }
}

/* ---- mutants ---------------------------------------------------------------------------------------------------- */

/* One change of the image: a byte, a number of 2, 4 or 8 bytes to an awkward value, or a piece copied elsewhere. */
static void change(unsigned char *image, size_t size)
{
    static const uint64_t awkward[] = {0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    size_t at = below(size), kind = below(4);
    if (kind == 0)
        image[at] = (unsigned char)below(256);
    else if (kind == 1)
        image[at] ^= (unsigned char)(1 << below(8));
    else if (kind == 2 && size - at >= 8)
        memcpy(image + at, &awkward[below(10)], (size_t)2 << below(3));
    else if (kind == 3) {
        size_t n = 1 + below(32), from = below(size);
        memmove(image + at, image + from, n < size - at && n < size - from ? n : 1);
    }
}

/* What is changed, by which numbers, and what must survive it. */
typedef struct subject {
    const char *name;
    /* Returns the mutant's size, at most that of the good one. */
    size_t (*make)(const unsigned char *good, size_t size, unsigned char *mutant, long number);
    void (*try)(const char *path, progress *p);
} subject;

static void begin_mutant(const unsigned char *good, size_t size, unsigned char *mutant, long number)
{
    random_state = (uint64_t)number * 2654435761u + 88172645463325252u;
    memcpy(mutant, good, size);
}

static size_t make_checkpoint(const unsigned char *good, size_t size, unsigned char *mutant, long number)
{
    begin_mutant(good, size, mutant, number);
    for (size_t n = 1 + below(6); n > 0; n--)
        change(mutant, size - TRAILER);
    if (number % 4)
        mend_pieces(mutant);
    put_checksum(mutant, size);
    return size;
}

/* Reads all there is. False: something that is listed cannot be had. */
static bool read_all(const h5checkpoint *cp)
{
    static char room[1 << 20];
    bool whole = true;
    h5checkpoint_item item;
    for (size_t k = 0; h5checkpoint_item_at(cp, k, &item) == 0; k++) {
        size_t bytes = 8;
        for (int d = 0; d < item.ndim; d++)
            bytes = item.shape[d] > sizeof room ? SIZE_MAX : bytes * item.shape[d];
        if (bytes <= sizeof room)
            whole = !h5checkpoint_get(cp, item.name, item.type, item.ndim, item.shape, room, &err) && whole;
    }
    return whole;
}

static void note(progress *p, bool taken, const char *path)
{
    p->taken += taken;
    p->refused += !taken;
    p->unclear += !taken && !strstr(err.message, path);
}

static void try_checkpoint(const char *path, progress *p)
{
    h5checkpoint *cp = h5checkpoint_read(path, &err);
    note(p, cp, path);
    if (!cp)
        return;
    p->partial += !read_all(cp);
    h5checkpoint_free(cp);
}

static const subject checkpoints = {"checkpoints", make_checkpoint, try_checkpoint};

static void run_child(const subject *s, const unsigned char *good, size_t size, long mutants, progress *p)
{
    unsigned char *mutant = malloc(size);
    const char *path = in_dir("mutant.h5");
    for (; p->at < mutants; p->at++) {
        spill(path, mutant, s->make(good, size, mutant, p->at));
        alarm(SECONDS);
        s->try(path, p);
    }
    _exit(0);
}

static void run_mutants(const subject *s, const unsigned char *good, size_t size, long mutants, progress *p)
{
    long deaths = 0;
    *p = (progress){0};
    while (p->at < mutants) {
        int status = 0;
        fflush(stdout);
        pid_t child = fork();
        if (child == 0)
            run_child(s, good, size, mutants, p);
        waitpid(child, &status, 0);
        if (status == 0)
            break;
        if (deaths++ < 5)
            tap_note("mutant %ld: %s", p->at, WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "exit");
        p->at++;
    }
    tap_ok(deaths == 0, "%s: %ld mutants of %zu bytes: no crash, no hang (%ld)", s->name, mutants, size, deaths);
    tap_ok(p->refused > 0 && p->unclear == 0, "%ld refused, each with its path", p->refused);
    tap_ok(p->taken > 0 && p->partial == 0, "%ld taken; all that is in them can be read (%ld not)", p->taken,
           p->partial);
}

/* ---- logs -------------------------------------------------------------------------------------------------------- */

enum { LAST_STEP = 40 };

static int log_step(h5log *log, int64_t step)
{
    const float h[6] = {1, 2, 3, 4, 5, (float)step};
    return h5log_row(log, step, 2, (const char *[]){"loss", "norm"}, (double[]){1.0 / (double)step, 2}, &err) ||
           h5log_array(log, "activations/h", step, NULL, h, &err) || h5log_sample(log, step, "ROMEO:\n", 7, &err);
}

static int announce(h5log *log)
{
    const h5log_series h = {.name = "activations/h",
                            .type = H5_F32,
                            .ndim = 2,
                            .dim = {{.name = "layer", .size = 2}, {.name = "unit", .size = 3}}};
    return h5log_announce(log, &h, &err);
}

static int describe(h5log *log)
{
    return h5log_set_json(log, "{\"hidden\": 3}", &err) || h5log_set_text(log, "config", "data", "text", &err) ||
           h5log_set_number(log, "environment", "threads", 2, &err) ||
           h5log_columns(log, 2, (const char *[]){"loss", "norm"}, &err) || announce(log);
}

static void write_good_log(const char *path)
{
    h5log *log = h5log_create(path, NULL, &err);
    int failed = !log || describe(log);
    for (int64_t step = 1; step <= LAST_STEP && !failed; step++)
        failed = log_step(log, step);
    if (h5log_close(log, &err) || failed) {
        printf("Bail out! %s\n", err.message);
        exit(1);
    }
}

static size_t make_log(const unsigned char *good, size_t size, unsigned char *mutant, long number)
{
    enum { PAGE = 4096 };
    begin_mutant(good, size, mutant, number);
    const size_t kind = below(8), at = below(size);
    if (kind == 0)
        return at;
    if (kind == 1)
        memset(mutant + at, 0, size - at < PAGE ? size - at : PAGE);
    else
        for (size_t n = 1 + below(12); n > 0; n--)
            change(mutant, size);
    return size;
}

/* As a replay does. */
static bool read_log(const char *path)
{
    h5read *r = h5read_open(path, &err);
    for (size_t k = 0; r && k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        const uint64_t n = h5read_elements(item);
        void *room = !item->is_group && item->ndim <= 1 && n < 1 << 20 ? malloc(n * item->width + 8 * n + 1) : NULL;
        if (room)
            h5read_rows(r, item, 0, item->ndim ? n : 1, H5_F64, room, &err);
        free(room);
    }
    h5read_close(r);
    return r;
}

/* As a run that goes on. What cannot be written is told, and leaves what was there. */
static bool go_on(const char *path)
{
    h5log *log = h5log_resume(path, LAST_STEP - 3, NULL, &err);
    if (!log)
        return false;
    lstm_error first = {0};
    if (describe(log) || log_step(log, LAST_STEP - 2))
        first = err;
    if (h5log_close(log, &err) == 0)
        return true;
    if (first.message[0])
        err = first;
    return false;
}

static void try_log(const char *path, progress *p)
{
    note(p, read_log(path), path);
    const bool went_on = go_on(path);
    note(p, went_on, path);
    p->partial += went_on && !read_log(path);
}

static const subject logs = {"logs", make_log, try_log};

/* ---- headers ---------------------------------------------------------------------------------------------------- */

/* A change of the trailer's 64 bytes. It is never the good one. */
static void make_header(const unsigned char *good, size_t size, unsigned char *mutant, long number)
{
    unsigned char *trailer = mutant + size - TRAILER;
    random_state = (uint64_t)number * 2654435761u + 1;
    memcpy(trailer, good + size - TRAILER, TRAILER);
    for (size_t n = 1 + below(3); n > 0; n--)
        change(trailer, TRAILER);
    if (number % 2 && memcmp(trailer, good + size - TRAILER, 32) != 0)
        put_checksum(mutant, size);
    if (memcmp(trailer, good + size - TRAILER, TRAILER) == 0)
        trailer[below(TRAILER)] ^= 1;
}

static void test_headers(const unsigned char *good, size_t size, long headers)
{
    const char *path = in_dir("mutant.h5");
    unsigned char *mutant = malloc(size);
    long taken = 0, unclear = 0;
    memcpy(mutant, good, size);
    spill(path, good, size);
    FILE *file = fopen(path, "rb+");
    if (!mutant || !file)
        abort();
    for (long k = 0; k < headers; k++) {
        make_header(good, size, mutant, k);
        if (pwrite(fileno(file), mutant + size - TRAILER, TRAILER, (off_t)(size - TRAILER)) != TRAILER)
            abort();
        h5checkpoint *cp = h5checkpoint_read(path, &err);
        taken += cp != NULL;
        unclear += !cp && !strstr(err.message, path);
        h5checkpoint_free(cp);
    }
    fclose(file);
    free(mutant);
    tap_ok(!taken && !unclear, "%ld wrong headers are refused, each with its path", headers);
}

/* N of LSTM_TORTURE=N; without it another number. */
static long torture(long otherwise)
{
    const char *text = getenv("LSTM_TORTURE");
    long n = text ? atol(text) : 0;
    return n > 0 ? n : otherwise;
}

int main(void)
{
    progress *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make_test_dir("test_mutants", true);
    if (p == MAP_FAILED)
        return 1;
    size_t size, log_size;
    write_good(in_dir("good.h5"));
    write_good_log(in_dir("log.h5"));
    unsigned char *good = slurp(in_dir("good.h5"), &size), *log = slurp(in_dir("log.h5"), &log_size);
    find_pieces(good, size - TRAILER);
    tap_ok(npieces > 3, "libhdf5's checksums are found");
    run_mutants(&checkpoints, good, size, torture(10) * 40, p);
    run_mutants(&logs, log, log_size, torture(80), p);
    test_headers(good, size, torture(0) ? torture(0) * 2000 : 5000);
    free(good);
    free(log);
    unlink(in_dir("good.h5"));
    unlink(in_dir("log.h5"));
    unlink(in_dir("mutant.h5"));
    unlink(in_dir("mutant.h5.journal"));
    rmdir(test_dir);
    return tap_done();
}
