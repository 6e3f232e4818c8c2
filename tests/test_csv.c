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
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/test_csv_XXXXXX";
static char path[64];
static lstm_error err;

static double later; /* seconds by which the clock is ahead */

/* Comes before the C library's. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    const long result = syscall(SYS_clock_gettime, clock, t);
    t->tv_sec += (time_t)later;
    return (int)result;
}

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

static void spill_bytes(const char *text, size_t size)
{
    FILE *f = fopen(path, "w");
    fwrite(text, 1, size, f);
    fclose(f);
}

static void spill(const char *text)
{
    spill_bytes(text, strlen(text));
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
    tap_ok(!row1(csv, 3, "loss", 7) && !row1(csv, 3, "a,\"b\"", 8), "more of the step whose line is written");
    tap_ok(strstr(content(), "\n2,nan,-inf\n3,7,8\n") && content()[strlen(content()) - 2] == '8', "changes that line at once");
    tap_ok(!row1(csv, 4, "loss", 1e300) && !csvlog_close(csv, &err), "close");
    tap_ok(strstr(content(), "\n4,1e+300,\n"), "writes the last row");
    tap_ok(!csvlog_create(path, &err) && strstr(err.message, "File exists"), "an existing file is not overwritten");
}

static void test_numbers(void)
{
    unlink(path);
    csvlog *csv = csvlog_create(path, &err);
    tap_ok(!row1(csv, 1, "x", 0.5) && !row1(csv, 2, "x", 0.1 + 0.2) && !row1(csv, 3, "x", 5e-324) &&
           !row1(csv, 4, "x", 0.1234567890123457) && !csvlog_close(csv, &err), "numbers");
    tap_string(content(), "step,x\n1,0.5\n2,0.30000000000000004\n3,4.94065645841247e-324\n4,0.1234567890123457\n",
               "have as few as 15 and as many as 17 digits");
}

/* A line is written when it is whole and 64 KiB have come together, or a second has gone by. */
static void test_when(void)
{
    unlink(path);
    csvlog *csv = csvlog_create(path, &err);
    row1(csv, 1, "x", 1);
    row1(csv, 2, "x", 2);
    tap_string(content(), "", "lines are kept for a while");
    later += 2;
    row1(csv, 3, "x", 3);
    tap_string(content(), "step,x\n1,1\n2,2\n", "but after a second they are there");
    for (int64_t step = 4; step < 8000; step++)
        row1(csv, step, "x", 1.0 / 3);
    tap_ok(strlen(content()) > 60000, "and when they are many, too");
    tap_ok(!csvlog_close(csv, &err), "close");
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
    resumed("step,loss\n1,1\n99999999999999999999,2\n", "step,loss\n1,1\n3,5\n", "a step that is no number of ours");
    resumed("step,loss\n1\n2;2\n", "step,loss\n1\n3,5\n", "a line without values, and one with other commas");
    resumed("step,\"loss\"x,\"\n", "step,\"loss\"x,\"\n3,,\n", "names with quotes at the wrong places");
    resumed("st", "step,loss\n3,5\n", "the beginning of a header");
    unlink(path);
    csvlog *csv = csvlog_resume(path, 2, &err);
    tap_ok(csv && !csvlog_close(csv, &err), "a missing file is created");
    tap_ok(!csvlog_close(NULL, &err), "no file is closed, too");
}

static void test_others_files(void)
{
    static char large[1100000];
    static const char *const texts[] = {"Dear diary,\n", "Dear diary", "\n", "step;loss\n", "D"};
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++) {
        spill(texts[k]);
        tap_ok(!csvlog_resume(path, 2, &err) && strstr(err.message, "not a metrics file"), "a file of somebody else's");
        tap_string(content(), texts[k], "  is left alone");
    }
    memset(large, 'x', sizeof large);
    large[sizeof large - 1] = '\n';
    spill_bytes(large, sizeof large);
    tap_ok(!csvlog_resume(path, 2, &err) && strstr(err.message, "not a metrics file"), "a line of 1.1 MB is no header");
    spill_bytes("step,x\n1\0,1\n", 12);
    csvlog *csv = csvlog_resume(path, 2, &err);
    tap_ok(csv && !csvlog_close(csv, &err), "a line with a NUL");
    tap_string(content(), "step,x\n1", "  is as long as it was");
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
    tap_ok(!row1(csv, 2, "loss", 3.5), "more to say of the line that was not written");
    tap_ok(!csvlog_close(csv, &err), "space again");
    tap_string(content(), "step,loss\n1,1.5\n2,3.5\n", "no line is missing, or there twice");
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/metrics.csv", dir);
    test_writing();
    test_numbers();
    test_when();
    test_resume();
    test_others_files();
    test_full_disk();
    unlink(path);
    rmdir(dir);
    return tap_done();
}
