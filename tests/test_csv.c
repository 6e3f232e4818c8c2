/* SPDX-License-Identifier: MIT
 *
 * metrics.csv: what is written, and what resume keeps.
 */
#define _GNU_SOURCE
#include "csvlog.h"
#include "tap.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/test_csv_XXXXXX";
static char path[64];
static lstm_error err;

static const char *content(void)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    return text;
}

static void spill(const char *text)
{
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static int row1(csvlog *csv, int64_t step, const char *name, double value)
{
    return csvlog_row(csv, step, 1, &name, &value, &err);
}

static void test_writing(void)
{
    const char *names[] = {"loss", "a,\"b\""};
    csvlog *csv = csvlog_create(path, &err);
    tap_ok(csv && !csvlog_columns(csv, 2, names, &err), "a new file with columns");
    tap_ok(!csvlog_row(csv, 1, 2, names, (double[]){0.1, 1.0 / 3}, &err), "a row");
    tap_ok(!row1(csv, 2, "loss", NAN) && !row1(csv, 2, "a,\"b\"", -INFINITY), "two calls of a step");
    tap_ok(!row1(csv, 3, "later", 1) && strcmp(csvlog_left_out(csv), "later") == 0, "a later column is left out");
    tap_ok(!csvlog_flush(csv, &err), "flush");
    tap_string(content(), "step,loss,\"a,\"\"b\"\"\"\n1,0.1,0.3333333333333333\n2,nan,-inf\n3,,\n", "the file so far");
    tap_ok(!row1(csv, 4, "loss", 1e300) && !csvlog_close(csv, &err), "close");
    tap_ok(strstr(content(), "\n4,1e+300,\n"), "writes the last row");
    tap_ok(!csvlog_create(path, &err) && strstr(err.message, "File exists"), "an existing file is not overwritten");
}

/* Resumes a file with this content after step 2, logs step 3, and expects what comes out. */
static void resumed(const char *before, const char *after, const char *what)
{
    spill(before);
    csvlog *csv = csvlog_resume(path, 2, &err);
    if (!tap_ok(csv != NULL, "resume: %s", what))
        return;
    row1(csv, 3, "loss", 5);
    csvlog_close(csv, &err);
    tap_string(content(), after, "  and what is in it then");
}

static void test_resume(void)
{
    resumed("step,loss\n1,1\n2,2\n3,3\n4,4\n", "step,loss\n1,1\n2,2\n3,5\n", "later rows go");
    resumed("step,loss\n1,1\n2,2", "step,loss\n1,1\n3,5\n", "an unfinished line goes, it is not known to be whole");
    resumed("step,loss\n1,1\ngarbage\n2,2\n", "step,loss\n1,1\n3,5\n", "from a line that is none on, all goes");
    resumed("step,lo", "step,loss\n3,5\n", "an unfinished header");
    resumed("", "step,loss\n3,5\n", "an empty file");
    resumed("step,\"a,\"\"b\",loss\n1,,1\n", "step,\"a,\"\"b\",loss\n1,,1\n3,,5\n", "a name in quotes");
    resumed("step,loss\r\n1,1\r\n", "step,loss\r\n1,1\r\n3,5\n", "line ends of other systems");
    unlink(path);
    csvlog *csv = csvlog_resume(path, 2, &err);
    tap_ok(csv && !csvlog_close(csv, &err), "a missing file is created");
    spill("Dear diary,\n");
    tap_ok(!csvlog_resume(path, 2, &err) && strstr(err.message, "not a metrics file"), "a file of somebody else's");
    tap_string(content(), "Dear diary,\n", "  is left alone");
    unlink(path);
    mkdir(path, 0777);
    tap_ok(!csvlog_resume(path, 2, &err) && strstr(err.message, "Is a directory"), "a directory");
    rmdir(path);
    mkfifo(path, 0666);
    tap_ok(!csvlog_resume(path, 2, &err) && strstr(err.message, "cannot read"), "a FIFO");
    unlink(path);
}

static void test_full_disk(void)
{
    struct rlimit old, small = {16, 0};
    csvlog *csv = csvlog_create(path, &err);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    row1(csv, 1, "loss", 1.5);
    row1(csv, 2, "loss", 2.5);
    tap_ok(csvlog_flush(csv, &err) && strstr(err.message, "cannot write") && strstr(err.message, "File too large"),
           "no space: a sentence");
    setrlimit(RLIMIT_FSIZE, &old);
    tap_ok(!csvlog_close(csv, &err), "space again");
    tap_string(content(), "step,loss\n1,1.5\n2,2.5\n", "no line is missing, or there twice");
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/metrics.csv", dir);
    test_writing();
    test_resume();
    test_full_disk();
    unlink(path);
    rmdir(dir);
    return tap_done();
}
