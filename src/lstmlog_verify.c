/* SPDX-License-Identifier: MIT
 *
 * lstmlog_verify.c - lstmlog verify and recover: whether files are whole, and making them so.
 */
#define _GNU_SOURCE
#include "lstmlog.h"
#include "h5log.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK ((size_t)4 << 20) /* bytes read at once */

/* Reads all of a dataset, in pieces. */
static int verify_readable(job *j, const h5read *r, const h5read_item *item)
{
    uint64_t row = h5read_row_elements(item) * item->width, rows = item->ndim ? item->shape[0] : 1;
    uint64_t step = row && row < BLOCK ? BLOCK / row : 1;
    step = step < rows ? step : rows;
    lstm_error err = {0};
    if (h5read_elements(item) == 0)
        return 0;
    void *room = malloc((size_t)(step * row));
    if (!room)
        return complain(j, "out of memory for /%s", item->path);
    int result = 0;
    for (uint64_t k = 0; k < rows && !result; k += step)
        result = h5read_rows(r, item, k, step < rows - k ? step : rows - k, item->type, room, &err);
    free(room);
    return result ? complain(j, "%s", err.message) : 0;
}

/* The column of steps never decreases. */
static int verify_steps(job *j, const h5read *r, const h5read_item *step)
{
    size_t n;
    lstm_error err = {0};
    int result = 0;
    int64_t *steps = read_integers(r, step->path, &n, &err);
    if (!steps)
        return complain(j, "%s", err.message);
    for (size_t k = 1; k < n && !result; k++)
        if (steps[k] < steps[k - 1])
            result = complain(j, "%s: /%s goes back from %lld to %lld at row %zu", h5read_path(r), step->path,
                              (long long)steps[k - 1], (long long)steps[k], k);
    free(steps);
    return result;
}

static bool has_named_dimensions(const h5read_item *item)
{
    for (int d = 0; d < item->ndim; d++)
        if (!item->dim[d][0])
            return false;
    return true;
}

/* Records are of steps. */
static int verify_group(job *j, const h5read *r, const h5read_item *record)
{
    char step[512];
    path_beside(record->path, "step", step);
    return h5read_find(r, step) ? 0 : complain(j, "%s lacks /%s", h5read_path(r), step);
}

static int verify_contents(job *j, const h5read *r)
{
    int result = 0;
    for (size_t k = 0; k < h5read_count(r); k++) {
        const h5read_item *item = h5read_item_at(r, k);
        if (item->is_group)
            continue;
        if (verify_readable(j, r, item))
            result = 1;
        else if (strcmp(h5read_leaf(item->path), "step") == 0 && !item->is_text && item->ndim == 1)
            result |= verify_steps(j, r, item);
        else if (strcmp(h5read_leaf(item->path), "record") == 0)
            result |= verify_group(j, r, item);
        else if (!has_named_dimensions(item))
            result = complain(j, "%s: /%s has a dimension without a name", h5read_path(r), item->path);
    }
    return result;
}

static int verify_log(job *j, const h5read *r)
{
    static const char *const expected[] = {"metrics/step", "samples/record", "events/record"};
    const char *note = "";
    int result = verify_contents(j, r);
    for (size_t k = 0; k < sizeof expected / sizeof *expected; k++)
        if (!h5read_find(r, expected[k]))
            result = complain(j, "%s lacks /%s", h5read_path(r), expected[k]);
    switch (h5read_journal_of(h5read_path(r))) {
    case H5READ_CLOSED: break;
    case H5READ_LIVE: note = ", being written"; break;
    case H5READ_LEFT: note = ", not closed: its writer was killed"; break;
    case H5READ_PENDING:
        result = complain(j, "%s: an unfinished commit waits in its journal; complete it by: lstmlog recover %s",
                          h5read_path(r), h5read_path(r));
    }
    if (result)
        return result;
    print_text(j->out, h5read_path(r));
    fprintf(j->out, ": sound log, %zu datasets and groups%s\n", h5read_count(r), note);
    return 0;
}

static int verify_file(job *j, const char *path)
{
    h5read *r = open_path(j, path);
    if (!r)
        return 1;
    int result = 0;
    if (h5read_kind_of(r) == H5READ_LOG) {
        result = verify_log(j, r);
    } else {
        print_text(j->out, path);
        fprintf(j->out, ": sound checkpoint, %zu datasets and groups\n", h5read_count(r));
    }
    close_log(j, r);
    return result;
}

int verify(job *j)
{
    static const char *const checkpoints[] = {"checkpoint-latest.h5", "checkpoint-previous.h5", "checkpoint-best.h5"};
    char path[PATH_MAX];
    int result = 0;
    for (int k = 0; k < j->request->npaths; k++) {
        result |= verify_file(j, j->request->paths[k]);
        for (size_t c = 0; is_directory(j->request->paths[k]) && c < 3; c++) {
            int length = snprintf(path, sizeof path, "%s/%s", j->request->paths[k], checkpoints[c]);
            if (length < (int)sizeof path && exists(path))
                result |= verify_file(j, path);
        }
    }
    return result;
}

/* ---- recover ---------------------------------------------------------------------------------------------------- */

int recover(job *j)
{
    char path[PATH_MAX];
    const char *what = "";
    lstm_error err = {0};
    file_of(j->request->paths[0], path);
    h5read_journal journal = h5read_journal_of(path);
    if (journal == H5READ_CLOSED || journal == H5READ_LEFT) { /* then it must open; what is not ours is not touched */
        h5read *r = open_log(j, j->request->paths[0]);
        h5read_close(r);
        if (!r)
            return 1;
    }
    if (h5log_recover(path, &what, &err))
        return complain(j, "%s", err.message);
    print_text(j->out, path);
    fprintf(j->out, ": %s\n", what);
    return 0;
}
