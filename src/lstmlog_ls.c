/* SPDX-License-Identifier: MIT
 *
 * lstmlog_ls.c - lstmlog ls: the runs below a folder, and how each of them stands.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include "utf8.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_FOLDERS 16 /* one in the other, below the one that is listed */

/* ---- the state of a run ----------------------------------------------------------------------------------------- */

#define LONGEST_KIND ((size_t)1 << 20)

/* Kind of the last event that says how the run stands; "" when there was none. A script's own may have any length. */
static const char *last_turn(const h5read *r)
{
    static const char *const turns[] = {"stop", "diverged", "failed", "ended", "resume"};
    const h5read_item *item = h5read_find(r, "events/kind");
    const char *found = NULL;
    if (!item || !item->is_text || item->ndim != 1 || item->width > LONGEST_KIND)
        return "";
    char *text = calloc(item->width + 1, 1);
    for (uint64_t k = text ? item->shape[0] : 0; !found && k-- > 0 && !h5read_rows(r, item, k, 1, H5_U8, text, NULL);)
        for (size_t t = 0; t < sizeof turns / sizeof *turns; t++)
            if (strcmp(text, turns[t]) == 0)
                found = turns[t];
    free(text);
    return found ? found : "";
}

static const char *status_of(const h5read *r, int64_t step)
{
    const char *turn = last_turn(r);
    char *steps = h5read_attribute(r, "config", "steps");
    bool closed = h5read_journal_of(h5read_path(r)) == H5READ_CLOSED;
    /* Without an option "steps" a run that was closed and not stopped has come to its end. A run of no steps has no
     * row: its last step is -1. */
    bool broken_off = strcmp(turn, "stop") == 0 || strcmp(turn, "failed") == 0;
    bool done = steps ? (step < 0 ? 0 : step) >= strtoll(steps, NULL, 10) : closed && !broken_off;
    done = done || strcmp(turn, "ended") == 0; /* the script left its loop early */
    free(steps);
    char *original = h5read_attribute(r, "environment", "replay_of");
    bool is_replay = original && strcmp(turn, "stop") != 0;
    free(original);
    if (h5read_is_live(r))
        return "running";
    if (is_replay)
        return "replay";
    return strcmp(turn, "diverged") == 0 ? "diverged" : done ? "done" : "stopped";
}

/* When the run began; for a log that does not say, when the file was made, as far as the file system knows. */
static time_t start_of(const h5read *r)
{
    struct stat st;
    struct tm tm = {0};
    const char *path = h5read_path(r);
    char *text = h5read_attribute(r, "environment", "started");
    bool is_known = text && strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    free(text);
    if (is_known)
        return timegm(&tm);
#ifdef STATX_BTIME
    struct statx more;
    if (statx(AT_FDCWD, path, 0, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME))
        return (time_t)more.stx_btime.tv_sec;
#endif
    return stat(path, &st) == 0 ? st.st_mtime : 0;
}

int summarize(const h5read *r, summary *s, lstm_error *err)
{
    size_t n, nloss, nval;
    *s = (summary){.step = -1, .best_step = -1, .loss = NAN, .best = NAN, .start = start_of(r)};
    int64_t *steps = read_integers(r, "metrics/step", &n, err);
    if (!steps)
        return -1;
    double *loss = read_numbers(r, "metrics/loss", &nloss, NULL);
    double *val = read_numbers(r, "metrics/val_loss", &nval, NULL);
    if (n)
        s->step = steps[n - 1];
    if (loss && nloss && nloss == n)
        s->loss = loss[n - 1];
    for (size_t k = 0; val && nval == n && k < n; k++)
        if (!isnan(val[k]) && !(s->best <= val[k])) {
            s->best = val[k];
            s->best_step = steps[k];
        }
    s->status = status_of(r, s->step);
    free(steps);
    free(loss);
    free(val);
    return 0;
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

/* JSON is UTF-8: U+FFFD stands for each byte that is not. */
static void print_json_text(FILE *out, const char *text)
{
    uint32_t code;
    fputc('"', out);
    for (size_t left = strlen(text), n; left; text += n, left -= n) {
        n = lstm_utf8_decode(text, left, &code);
        if (n == 0) {
            fputs("\xef\xbf\xbd", out);
            n = 1;
        } else if (code == '"' || code == '\\') {
            fprintf(out, "\\%c", *text);
        } else if (code < ' ') {
            fprintf(out, "\\u%04x", (unsigned)code);
        } else {
            fwrite(text, 1, n, out);
        }
    }
    fputc('"', out);
}

static void print_json_number(FILE *out, const char *name, double value)
{
    char text[40] = "null";
    if (isfinite(value))
        h5read_decimal(value, false, text);
    fprintf(out, ", \"%s\": %s", name, text);
}

/* ---- the list --------------------------------------------------------------------------------------------------- */

typedef struct path_list {
    char **paths;
    size_t n;
} path_list;

static void add_path(path_list *list, const char *path)
{
    char **more = realloc(list->paths, (list->n + 1) * sizeof *more), *copy = strdup(path);
    if (more)
        list->paths = more;
    if (more && copy)
        more[list->n++] = copy;
    else
        free(copy);
}

static void free_paths(path_list *list)
{
    for (size_t k = 0; k < list->n; k++)
        free(list->paths[k]);
    free(list->paths);
}

static int visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Directories with a log.h5, in the order of their names. Symbolic links are not followed. */
static void find_runs(path_list *list, const char *folder, int depth)
{
    char path[PATH_MAX];
    struct dirent **entries;
    struct stat st;
    if (snprintf(path, sizeof path, "%s/log.h5", folder) >= (int)sizeof path)
        return;
    if (exists(path))
        add_path(list, folder);
    int n = depth < MOST_FOLDERS ? scandir(folder, &entries, visible, alphasort) : 0;
    for (int k = 0; k < n; k++) {
        const char *between = folder[strlen(folder) - 1] == '/' ? "" : "/";
        int length = snprintf(path, sizeof path, "%s%s%s", folder, between, entries[k]->d_name);
        if (length < (int)sizeof path && lstat(path, &st) == 0 && S_ISDIR(st.st_mode))
            find_runs(list, strncmp(path, "./", 2) == 0 ? path + 2 : path, depth + 1);
        free(entries[k]);
    }
    if (n > 0)
        free(entries);
}

static void number_or_dash(double value, char text[32])
{
    snprintf(text, 32, isnan(value) ? "-" : "%.4f", value);
}

static void print_run(FILE *out, const char *path, int width, const summary *s)
{
    char step[32] = "-", loss[32], best[32], start[32];
    struct tm tm;
    if (s->step >= 0)
        snprintf(step, sizeof step, "%lld", (long long)s->step);
    number_or_dash(s->loss, loss);
    number_or_dash(s->best, best);
    strftime(start, sizeof start, "%Y-%m-%d %H:%M", localtime_r(&s->start, &tm));
    print_padded(out, path, width);
    fprintf(out, "  %-8s  %9s  %8s  %8s  %s\n", s->status, step, loss, best, start);
}

static void print_run_json(FILE *out, const char *path, const summary *s)
{
    char start[32];
    struct tm tm;
    strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&s->start, &tm));
    fputs("{\"path\": ", out);
    print_json_text(out, path);
    fprintf(out, ", \"status\": \"%s\"", s->status);
    print_json_number(out, "step", s->step < 0 ? NAN : (double)s->step);
    print_json_number(out, "loss", s->loss);
    print_json_number(out, "best_val_loss", s->best);
    print_json_number(out, "best_step", s->best_step < 0 ? NAN : (double)s->best_step);
    fprintf(out, ", \"start\": \"%s\"}\n", start);
}

static int list_run(job *j, const char *path, int width)
{
    summary s;
    lstm_error err = {0};
    h5read *r = open_log(j, path);
    if (!r)
        return 1;
    int result = summarize(r, &s, &err) ? complain(j, "%s: %s", path, err.message) : 0;
    if (!result && j->request->json)
        print_run_json(j->out, path, &s);
    else if (!result)
        print_run(j->out, path, width, &s);
    close_log(j, r);
    return result;
}

int list_runs(job *j)
{
    path_list list = {0};
    int result = 0, width = 3;
    const char *folder = j->request->npaths ? j->request->paths[0] : is_directory("runs") ? "runs" : ".";
    if (!is_directory(folder))
        return complain(j, "%s: %s", folder, exists(folder) ? "not a folder" : strerror(errno));
    find_runs(&list, folder, 0);
    for (size_t k = 0; k < list.n; k++)
        width = text_width(list.paths[k]) > width ? text_width(list.paths[k]) : width;
    if (list.n && !j->request->json)
        fprintf(j->out, "%-*s  %-8s  %9s  %8s  %8s  %s\n", width, "run", "status", "step", "loss", "best val", "start");
    for (size_t k = 0; k < list.n; k++)
        result |= list_run(j, list.paths[k], width);
    if (!list.n)
        result = complain(j, "no runs below %s", folder);
    free_paths(&list);
    return result;
}
