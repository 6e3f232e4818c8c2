/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5read.h"

#include "fileio.h"
#include "h5checkpoint.h"
#include "h5file.h"
#include "h5scale.h"
#include "h5journal.h"
#include "h5log.h"
#include "h5probe.h"
#include "h5txn.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_DEPTH 8
#define MOST_ITEMS 100000
#define PATH_ROOM 512
#define MOST_BYTES 0x1p62 /* of a dataset: sizes in bytes never overflow */
#define OPEN_TRIES 20 /* while a commit is put in place, which takes milliseconds */
#define BIRTH_TRIES 250 /* until a new log's first commit, which waits for the disk */

struct h5read {
    char *path;
    const char *only; /* the group that is listed; "": all */
    h5read_kind kind;
    bool live;
    hid_t file;
    int64_t commits;
    h5read_item *items;
    size_t count, room;
};

/* ---- the journal ------------------------------------------------------------------------------------------------ */

/* The writer holds a lock on the journal. Ours is given back at once; a writer that begins in between tries
 * again. */
static bool is_locked(int journal_fd)
{
    if (flock(journal_fd, LOCK_SH | LOCK_NB) != 0)
        return errno == EWOULDBLOCK;
    flock(journal_fd, LOCK_UN);
    return false;
}

h5read_journal h5read_journal_of(const char *path)
{
    char *name;
    if (asprintf(&name, "%s.journal", path) < 0)
        return H5READ_CLOSED;
    int journal_fd = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    free(name);
    if (journal_fd < 0)
        return H5READ_CLOSED;
    h5read_journal state = H5READ_LIVE;
    if (!is_locked(journal_fd)) {
        h5journal j = {0};
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        state = fd >= 0 && h5journal_load(&j, journal_fd, fd) ? H5READ_PENDING : H5READ_LEFT;
        h5journal_free(&j);
        if (fd >= 0)
            close(fd);
    }
    close(journal_fd);
    return state;
}

/* ---- attributes: all of these between h5_enter and h5_leave ----------------------------------------------------- */

void h5read_decimal(double value, bool single, char text[40])
{
    int most = single ? 9 : 17;
    for (int digits = single ? 6 : 15; digits <= most; digits++) {
        snprintf(text, 40, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (single ? (float)back == (float)value : back == value)
            return;
    }
    if (isnan(value))
        snprintf(text, 40, "nan");
}

static char *variable_text_of(hid_t attribute, hid_t type)
{
    char *inside = NULL;
    if (H5Aread(attribute, type, &inside) < 0)
        return NULL;
    char *text = strdup(inside ? inside : "");
    H5free_memory(inside);
    return text;
}

static char *text_of(hid_t attribute, hid_t type)
{
    size_t width = H5Tget_size(type);
    htri_t variable = H5Tis_variable_str(type);
    if (variable)
        return variable > 0 ? variable_text_of(attribute, type) : NULL;
    char *text = width && width < SIZE_MAX ? calloc(width + 1, 1) : NULL;
    hid_t memory = text ? H5Tcopy(type) : -1; /* a text's type cannot be converted, only repeated */
    if (memory >= 0 && H5Aread(attribute, memory, text) < 0) {
        free(text);
        text = NULL;
    }
    h5_close(memory);
    return text;
}

static char *number_of(hid_t attribute, hid_t type)
{
    char text[40];
    if (H5Tget_class(type) == H5T_INTEGER) {
        int64_t integer;
        if (H5Aread(attribute, H5T_NATIVE_INT64, &integer) < 0)
            return NULL;
        snprintf(text, sizeof text, "%lld", (long long)integer);
    } else {
        double number;
        if (H5Aread(attribute, H5T_NATIVE_DOUBLE, &number) < 0)
            return NULL;
        h5read_decimal(number, false, text);
    }
    return strdup(text);
}

/* A scalar attribute's value; NULL when it is something else. Closes the attribute, which may be invalid. */
static char *take_value(hid_t attribute)
{
    if (attribute < 0)
        return NULL;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    H5T_class_t class = type >= 0 ? H5Tget_class(type) : H5T_NO_CLASS;
    char *value = NULL;
    if (space >= 0 && H5Sget_simple_extent_npoints(space) == 1) {
        if (class == H5T_STRING)
            value = text_of(attribute, type);
        else if (class == H5T_INTEGER || class == H5T_FLOAT)
            value = number_of(attribute, type);
    }
    h5_close(space);
    h5_close(type);
    h5_close(attribute);
    return value;
}

static hid_t open_object(const h5read *r, const char *path)
{
    return H5Oopen(r->file, *path ? path : "/", H5P_DEFAULT);
}

static char *value_at(const h5read *r, const char *path, const char *name)
{
    hid_t object = open_object(r, path);
    char *value = object >= 0 && H5Aexists(object, name) > 0 ? take_value(H5Aopen(object, name, H5P_DEFAULT)) : NULL;
    h5_close(object);
    return value;
}

char *h5read_attribute(const h5read *r, const char *object, const char *name)
{
    h5_enter();
    char *value = value_at(r, object, name);
    h5_leave();
    return value;
}

typedef struct entry_list {
    h5read_entry *entries;
    size_t n;
    bool no_memory;
} entry_list;

static herr_t add_entry(hid_t object, const char *name, const H5A_info_t *info, void *data)
{
    entry_list *list = data;
    (void)info;
    char *text = take_value(H5Aopen(object, name, H5P_DEFAULT));
    if (!text)
        return 0;
    h5read_entry *more = realloc(list->entries, (list->n + 1) * sizeof *more);
    char *own_name = strdup(name);
    if (more)
        list->entries = more;
    if (!more || !own_name) {
        free(text);
        free(own_name);
        list->no_memory = true;
        return -1;
    }
    list->entries[list->n++] = (h5read_entry){own_name, text};
    return 0;
}

static int read_attributes(const h5read *r, const char *object, entry_list *list)
{
    hid_t id = open_object(r, object);
    hsize_t at = 0;
    if (id < 0)
        return -1;
    int result = H5Aiterate2(id, H5_INDEX_CRT_ORDER, H5_ITER_INC, &at, add_entry, list) < 0 ? -1 : 0;
    if (result && !list->no_memory && list->n == 0) /* the order of creation is not kept everywhere */
        result = H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_INC, &at, add_entry, list) < 0 ? -1 : 0;
    h5_close(id);
    return result;
}

int h5read_attributes(const h5read *r, const char *object, h5read_entry **entries, size_t *n, lstm_error *err)
{
    entry_list list = {0};
    h5_enter();
    int result = read_attributes(r, object, &list);
    if (result) {
        list.no_memory ? lstm_fail(err, "", "out of memory for attributes") : h5_fail(err, "cannot read", r->path);
        h5read_free_entries(list.entries, list.n);
        list = (entry_list){0};
    }
    h5_leave();
    *entries = list.entries;
    *n = list.n;
    return result;
}

void h5read_free_entries(h5read_entry *entries, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        free(entries[k].name);
        free(entries[k].text);
    }
    free(entries);
}

/* ---- the list of what is in it: between h5_enter and h5_leave --------------------------------------------------- */

static void name_dimensions(hid_t dataset, h5read_item *item)
{
    if (H5Aexists(dataset, "CLASS") > 0 && item->ndim == 1) /* a scale is its own dimension */
        snprintf(item->dim[0], sizeof item->dim[0], "%.63s", h5read_leaf(item->path));
    h5scale_names(dataset, item->ndim, item->dim);
}

/* Texts of any length: as many as the space selects, to be given back by H5Dvlen_reclaim and free. NULL: failed. */
static char **read_texts(hid_t dataset, hid_t type, hid_t in_memory, hid_t in_file)
{
    hssize_t n = H5Sget_select_npoints(in_file);
    char **texts = n >= 0 && (uint64_t)n < SIZE_MAX / sizeof *texts ? calloc((size_t)n + 1, sizeof *texts) : NULL;
    if (texts && H5Dread(dataset, type, in_memory, in_file, H5P_DEFAULT, texts) >= 0)
        return texts;
    free(texts);
    return NULL;
}

/* Bytes of the longest of a dataset's texts; 0: they cannot be read. */
static size_t longest_text(hid_t dataset, hid_t type, hid_t space)
{
    size_t longest = 1;
    char **texts = read_texts(dataset, type, H5S_ALL, space);
    for (hssize_t k = 0; texts && k < H5Sget_simple_extent_npoints(space); k++)
        if (texts[k] && strlen(texts[k]) > longest)
            longest = strlen(texts[k]);
    if (texts)
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, texts);
    free(texts);
    return texts ? longest : 0;
}

/* Reads texts of any length into so many places of width bytes. */
static int copy_texts(hid_t dataset, hid_t type, hid_t in_memory, hid_t in_file, size_t width, char *out)
{
    hssize_t n = H5Sget_select_npoints(in_file);
    char **texts = read_texts(dataset, type, in_memory, in_file);
    for (hssize_t k = 0; texts && k < n; k++) {
        memset(out + (size_t)k * width, 0, width);
        if (texts[k])
            memcpy(out + (size_t)k * width, texts[k], strnlen(texts[k], width));
    }
    if (texts)
        H5Dvlen_reclaim(type, in_memory, H5P_DEFAULT, texts);
    free(texts);
    return texts ? 0 : -1;
}

static int describe_dataset(hid_t dataset, h5read_item *item)
{
    hid_t type = H5Dget_type(dataset), space = H5Dget_space(dataset);
    hsize_t shape[H5S_MAX_RANK];
    int result = -1;
    item->ndim = space >= 0 ? H5Sget_simple_extent_ndims(space) : -1;
    item->is_text = type >= 0 && H5Tget_class(type) == H5T_STRING;
    item->width = type < 0 ? 0 : item->is_text && H5Tis_variable_str(type) > 0 ? longest_text(dataset, type, space)
                                                                               : H5Tget_size(type);
    bool known = item->width && (item->is_text || h5_type_of(type, &item->type));
    if (known && item->ndim >= 0 && item->ndim <= H5READ_DIMS &&
        H5Sget_simple_extent_dims(space, shape, NULL) >= 0) {
        for (int d = 0; d < item->ndim; d++)
            item->shape[d] = shape[d];
        item->stored = H5Dget_storage_size(dataset);
        name_dimensions(dataset, item);
        result = 0;
    }
    h5_close(space);
    h5_close(type);
    return result;
}

typedef struct walk {
    h5read *r;
    const char *below; /* path of the group */
    int depth;
    lstm_error *err;
} walk;

static int list_group(h5read *r, hid_t group, const char *path, int depth, lstm_error *err);

static h5read_item *new_item(h5read *r, const char *path)
{
    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 64;
        h5read_item *more = realloc(r->items, room * sizeof *more);
        if (!more)
            return NULL;
        r->items = more;
        r->room = room;
    }
    char *own_path = strdup(path);
    if (!own_path)
        return NULL;
    h5read_item *item = &r->items[r->count++];
    memset(item, 0, sizeof *item);
    item->path = own_path;
    return item;
}

/* Sizes that a damaged file claims may be what there is no memory for. */
static void fail_at(const h5read *r, const char *path, bool no_memory, lstm_error *err)
{
    char room[128];
    const char *file = fileio_short_path(r->path, room);
    if (no_memory)
        lstm_fail(err, "", "out of memory at /%.100s of %s: free some (see ulimit -v); if there is enough, the file is "
                  "damaged", path, file);
    else
        lstm_fail(err, "", "%s is damaged at /%.100s", file, path);
}

static herr_t add_item(hid_t group, const char *name, const H5L_info_t *info, void *data)
{
    walk *w = data;
    char path[PATH_ROOM], room[128];
    (void)info;
    int length = snprintf(path, sizeof path, "%s%s%s", w->below, *w->below ? "/" : "", name);
    bool fits = length < (int)sizeof path && w->depth <= MOST_DEPTH && w->r->count < MOST_ITEMS;
    if (!h5_name_ok(name, strlen(name)) || !fits)
        return lstm_fail(w->err, "", "%s is damaged: it has names that none of our files has",
                         fileio_short_path(w->r->path, room));
    errno = 0; /* libhdf5 does not say why it failed, but malloc leaves its own reason */
    hid_t object = H5Oopen(group, name, H5P_DEFAULT);
    h5read_item *item = object >= 0 ? new_item(w->r, path) : NULL;
    int result = -1;
    if (item && H5Iget_type(object) == H5I_GROUP) {
        item->is_group = true;
        result = list_group(w->r, object, path, w->depth + 1, w->err);
    } else if (item && H5Iget_type(object) == H5I_DATASET) {
        result = describe_dataset(object, item);
    }
    if (result && !w->err->message[0])
        fail_at(w->r, path, errno == ENOMEM, w->err);
    h5_close(object);
    return result;
}

static int list_links(h5read *r, hid_t group, const char *path, int depth, lstm_error *err)
{
    walk w = {r, path, depth, err};
    hsize_t at = 0;
    size_t before = r->count;
    if (H5Literate(group, H5_INDEX_CRT_ORDER, H5_ITER_INC, &at, add_item, &w) >= 0)
        return 0;
    if (r->count > before || err->message[0]) /* else: the order of creation is not kept */
        return -1;
    at = 0;
    return H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, &at, add_item, &w) >= 0 ? 0 : -1;
}

/* What does not grow, and steps, are written as a whole, and deflate makes at most a 1,032nd of anything: what is
 * smaller yet was never written, and would take for ever to read. Other series may be filled rather than written. */
static bool is_plausible(const h5read_item *item, bool is_filled)
{
    const double width = (double)item->width, stored = (double)item->stored + (64 << 10);
    double elements = 1;
    for (int d = 0; d < item->ndim; d++)
        elements *= (double)item->shape[d];
    return elements * width < MOST_BYTES && (is_filled || elements <= 1032 * (1 + stored / width));
}

/* What grows in a group has a row for each of its steps. */
static int check_length(const h5read *r, const h5read_item *item, const h5read_item *step, lstm_error *err)
{
    char room[128];
    const bool follows = step && step != item && step->ndim == 1 && h5read_grows(item);
    if (item->is_group)
        return 0;
    if (follows && item->shape[0] != step->shape[0])
        return lstm_fail(err, "", "%s is damaged: /%.100s has %llu rows, /%.100s has %llu",
                         fileio_short_path(r->path, room), item->path, (unsigned long long)item->shape[0], step->path,
                         (unsigned long long)step->shape[0]);
    if (!is_plausible(item, follows))
        return lstm_fail(err, "", "%s is damaged: /%.100s claims %llu rows in %llu bytes",
                         fileio_short_path(r->path, room), item->path,
                         (unsigned long long)(item->ndim ? item->shape[0] : 1), (unsigned long long)item->stored);
    return 0;
}

static bool is_in(const h5read_item *item, const char *group)
{
    const size_t length = strlen(group);
    const char *leaf = h5read_leaf(item->path);
    return strncmp(item->path, group, length) == 0 && leaf == item->path + length + (length > 0);
}

/* Checks what is directly in a group; its items are those from `first` on. */
static int check_lengths(const h5read *r, const char *group, size_t first, lstm_error *err)
{
    const h5read_item *step = NULL;
    for (size_t k = first; k < r->count; k++)
        if (is_in(&r->items[k], group) && !r->items[k].is_group && strcmp(h5read_leaf(r->items[k].path), "step") == 0)
            step = &r->items[k];
    for (size_t k = first; k < r->count; k++)
        if (is_in(&r->items[k], group) && check_length(r, &r->items[k], step, err))
            return -1;
    return 0;
}

static int list_group(h5read *r, hid_t group, const char *path, int depth, lstm_error *err)
{
    const size_t first = r->count;
    return list_links(r, group, path, depth, err) || check_lengths(r, path, first, err) ? -1 : 0;
}

/* ---- blocks: between h5_enter and h5_leave ------------------------------------------------------------------------ */

/* The part of the dataset's space that the block covers, and the space of the block itself. */
static int select_block(hid_t dataset, const h5read_item *item, const uint64_t *start, const uint64_t *count,
                        hid_t *in_file, hid_t *in_memory)
{
    hsize_t first[H5READ_DIMS], n[H5READ_DIMS];
    *in_file = H5Dget_space(dataset);
    if (item->ndim == 0) {
        *in_memory = H5Screate(H5S_SCALAR);
        return *in_file < 0 || *in_memory < 0 ? -1 : 0;
    }
    for (int d = 0; d < item->ndim; d++) {
        first[d] = start[d];
        n[d] = count[d];
    }
    *in_memory = H5Screate_simple(item->ndim, n, NULL);
    if (*in_file < 0 || *in_memory < 0)
        return -1;
    return H5Sselect_hyperslab(*in_file, H5S_SELECT_SET, first, NULL, n, NULL) < 0 ? -1 : 0;
}

static int read_selection(hid_t dataset, const h5read_item *item, hid_t in_memory, hid_t in_file, h5type type,
                          void *out)
{
    if (!item->is_text)
        return H5Dread(dataset, h5_type_in_memory(type), in_memory, in_file, H5P_DEFAULT, out) < 0 ? -1 : 0;
    hid_t text = H5Dget_type(dataset);
    int result = -1;
    if (text >= 0 && H5Tis_variable_str(text) > 0)
        result = copy_texts(dataset, text, in_memory, in_file, item->width, out);
    else if (text >= 0)
        result = H5Dread(dataset, text, in_memory, in_file, H5P_DEFAULT, out) < 0 ? -1 : 0;
    h5_close(text);
    return result;
}

static int read_block(const h5read *r, const h5read_item *item, const uint64_t *start, const uint64_t *count,
                      h5type type, void *out, lstm_error *err)
{
    char what[200];
    hid_t dataset = H5Dopen2(r->file, item->path, H5P_DEFAULT), in_file = -1, in_memory = -1;
    int result = -1;
    if (dataset >= 0 && select_block(dataset, item, start, count, &in_file, &in_memory) == 0) {
        result = read_selection(dataset, item, in_memory, in_file, type, out);
        if (result) {
            snprintf(what, sizeof what, "cannot read /%.150s of", item->path);
            h5_fail(err, what, r->path);
        }
    } else {
        lstm_fail(err, "", "cannot read /%.150s", item->path);
    }
    h5_close(in_memory);
    h5_close(in_file);
    h5_close(dataset);
    return result;
}

/* All of a dataset with one dimension or none; what it held is forgotten. */
static void read_column(const h5read *r, const h5read_item *item)
{
    const uint64_t start = 0, count = item->ndim ? item->shape[0] : 1;
    const size_t width = item->is_text ? item->width : sizeof(double);
    void *room = count && count <= SIZE_MAX / width ? malloc((size_t)count * width) : NULL;
    if (room)
        read_block(r, item, &start, &count, H5_F64, room, NULL);
    free(room);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

/* Whoever reads or goes on with a log of another layout would take it for something else. */
static int check_version(const h5read *r, lstm_error *err)
{
    char room[128], known[24];
    char *version = value_at(r, "", "format_version");
    snprintf(known, sizeof known, "%d", H5LOG_VERSION);
    const bool is_known = version && strcmp(version, known) == 0;
    if (!is_known)
        lstm_fail(err, "", "%s has format_version %s, this program knows %s: use the lstmrun that wrote it",
                  fileio_short_path(r->path, room), version ? version : "none", known);
    free(version);
    return is_known ? 0 : -1;
}

/* Opens the file and lists it; between h5_enter and h5_leave. */
static int look(h5read *r, lstm_error *err)
{
    char room[128];
    r->file = h5_open_to_read(r->path, err);
    if (r->file < 0)
        return -1;
    char *format = value_at(r, "", "format"), *commits = value_at(r, "", "commits");
    bool ours = format && strncmp(format, "lstmrun ", 8) == 0;
    r->kind = ours && strcmp(format, "lstmrun checkpoint") == 0 ? H5READ_CHECKPOINT : H5READ_LOG;
    r->commits = commits ? strtoll(commits, NULL, 10) : -1;
    ours = ours && (r->kind == H5READ_CHECKPOINT || (strcmp(format, "lstmrun log") == 0 && commits));
    free(format);
    free(commits);
    if (!ours)
        return lstm_fail(err, "", "%s is neither a log nor a checkpoint of lstmrun", fileio_short_path(r->path, room));
    if (r->kind == H5READ_LOG && check_version(r, err))
        return -1;
    hid_t root = open_object(r, r->only);
    int result = root < 0 ? -1 : list_group(r, root, r->only, *r->only ? 1 : 0, err);
    if (result && !err->message[0])
        h5_fail(err, "cannot read", r->path);
    h5_close(root);
    return result;
}

static void forget(h5read *r)
{
    for (size_t k = 0; k < r->count; k++)
        free(r->items[k].path);
    r->count = 0;
    h5_close(r->file);
    r->file = -1;
}

/* Goes through what a program does that looks into a log, in a child. What cannot be read of a column's numbers or
 * texts is told when they are read: that leaves libhdf5 whole. */
static int look_at_all(void *data, lstm_error *err)
{
    h5read *r = data;
    int result = look(r, err);
    for (size_t k = 0; !result && k < r->count; k++) {
        const h5read_item *item = &r->items[k];
        if (read_attributes(r, item->path, &(entry_list){0}))
            result = h5_fail(err, "cannot read", r->path);
        else if (!item->is_group && item->ndim <= 1)
            read_column(r, item);
    }
    forget(r);
    return result;
}

static int look_carefully(h5read *r, lstm_error *err)
{
    return h5probe_file(look_at_all, r, r->path, err) ? -1 : look(r, err);
}

/* A checkpoint has its checksum behind it: nothing in it is believed before that is compared. */
static int check_checkpoint(const char *path, lstm_error *err)
{
    unsigned char trailer[8] = {0};
    size_t got;
    struct stat st;
    bool is_checkpoint = false;
    const int fd = fileio_open_to_read(path, &st, err);
    if (fd < 0)
        return -1;
    if (st.st_size > 64 && fileio_pread(fd, trailer, sizeof trailer, (uint64_t)st.st_size - 64, &got) == 0)
        is_checkpoint = memcmp(trailer, "LSTMCKPT", 8) == 0;
    close(fd);
    if (!is_checkpoint)
        return 0;
    h5checkpoint *cp = h5checkpoint_read(path, err);
    h5checkpoint_free(cp);
    return cp ? 0 : -1;
}

/* Of a file that could not be opened. */
static int fail_empty(const h5read *r, lstm_error *err)
{
    char room[128];
    return lstm_fail(err, "", "%s: %s", fileio_short_path(r->path, room),
                     r->live ? "its writer has just begun and has committed nothing yet; try again"
                             : "empty: nothing was ever committed to it");
}

/* Tries again while there is a writer. Looks at what is still empty have a number of their own: the first commit may come
 * after any of them, and is then looked at as often as any other. */
static int open_and_look(h5read *r, lstm_error *err)
{
    const struct timespec pause = {0, 20 * 1000 * 1000};
    int births = BIRTH_TRIES, opens = OPEN_TRIES;
    for (;;) {
        *err = (lstm_error){0};
        r->live = h5read_journal_of(r->path) == H5READ_LIVE;
        h5_enter();
        const int result = look_carefully(r, err);
        if (result)
            forget(r);
        h5_leave();
        if (!result)
            return 0;
        const bool is_empty = h5txn_never_committed(r->path);
        if (is_empty)
            fail_empty(r, err);
        if (!r->live || (is_empty ? --births : --opens) == 0)
            return -1;
        nanosleep(&pause, NULL);
    }
}

h5read *h5read_open_group(const char *path, const char *group, lstm_error *err)
{
    lstm_error own;
    h5read *r = calloc(1, sizeof *r);
    if (!r || !(r->path = strdup(path))) {
        free(r);
        lstm_fail(err, "", "out of memory");
        return NULL;
    }
    r->file = -1;
    r->only = group;
    if (check_checkpoint(path, err) || open_and_look(r, err ? err : &own)) {
        h5read_close(r);
        return NULL;
    }
    return r;
}

h5read *h5read_open(const char *path, lstm_error *err)
{
    return h5read_open_group(path, "", err);
}

/* To be called when the file is closed: libhdf5 shows a file that it has open as it was. */
static bool has_changed(const h5read *r)
{
    h5read now = {.path = r->path, .file = h5_open_to_read(r->path, NULL)};
    char *commits = now.file >= 0 ? value_at(&now, "", "commits") : NULL;
    bool changed = !commits || strtoll(commits, NULL, 10) != r->commits;
    free(commits);
    h5_close(now.file);
    return changed;
}

bool h5read_close(h5read *r)
{
    if (!r)
        return false;
    h5_enter();
    bool opened = r->file >= 0;
    forget(r);
    bool changed = opened && r->live && has_changed(r);
    h5_leave();
    free(r->items);
    free(r->path);
    free(r);
    return changed;
}

const char *h5read_path(const h5read *r)
{
    return r->path;
}

h5read_kind h5read_kind_of(const h5read *r)
{
    return r->kind;
}

bool h5read_is_live(const h5read *r)
{
    return r->live;
}

/* ---- items ------------------------------------------------------------------------------------------------------ */

size_t h5read_count(const h5read *r)
{
    return r->count;
}

const h5read_item *h5read_item_at(const h5read *r, size_t k)
{
    return &r->items[k];
}

const h5read_item *h5read_find(const h5read *r, const char *path)
{
    for (size_t k = 0; k < r->count; k++)
        if (strcmp(r->items[k].path, path) == 0)
            return &r->items[k];
    return NULL;
}

uint64_t h5read_row_elements(const h5read_item *item)
{
    uint64_t n = 1;
    for (int d = 1; d < item->ndim; d++)
        n *= item->shape[d];
    return n;
}

uint64_t h5read_elements(const h5read_item *item)
{
    return (item->ndim ? item->shape[0] : 1) * h5read_row_elements(item);
}

bool h5read_grows(const h5read_item *item)
{
    return !item->is_group && item->ndim && (strcmp(item->dim[0], "record") == 0 || strcmp(item->dim[0], "step") == 0);
}

const char *h5read_leaf(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

int h5read_block(const h5read *r, const h5read_item *item, const uint64_t *start, const uint64_t *count, h5type type,
                 void *out, lstm_error *err)
{
    for (int d = 0; d < item->ndim; d++) {
        if (count[d] > item->shape[d] || start[d] > item->shape[d] - count[d])
            return lstm_fail(err, "", "/%.100s has %llu elements in dimension %d", item->path,
                             (unsigned long long)item->shape[d], d);
        if (count[d] == 0)
            return 0;
    }
    h5_enter();
    int result = read_block(r, item, start, count, type, out, err);
    h5_leave();
    return result;
}

int h5read_rows(const h5read *r, const h5read_item *item, uint64_t first, uint64_t n, h5type type, void *out,
                lstm_error *err)
{
    uint64_t start[H5READ_DIMS] = {first}, count[H5READ_DIMS] = {n};
    for (int d = 1; d < item->ndim; d++)
        count[d] = item->shape[d];
    return h5read_block(r, item, start, count, type, out, err);
}
