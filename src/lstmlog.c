/* SPDX-License-Identifier: MIT
 *
 * lstmlog.c - the program that looks into logs and checkpoints: its command line, and how commands are run. Each
 * command is in a file of its own.
 */
#define _GNU_SOURCE
#include "lstmlog.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define ATTEMPTS 5 /* to read a log that is being written */

/* ---- the command line ------------------------------------------------------------------------------------------- */

typedef struct command {
    const char *name;
    int (*run)(job *j);
    int least, most;     /* paths */
    const char *options; /* a letter each: see read_option */
    const char *usage, *help;
    bool direct;         /* prints as it goes */
} command;

static const command commands[] = {
    {"ls", list_runs, 0, 1, "j", "ls [--json] [FOLDER]", "the runs below a folder (default: runs)", false},
    {"show", show, 1, 1, "", "show RUN|FILE", "what is in a log or a checkpoint", false},
    {"verify", verify, 1, 256, "", "verify RUN|FILE...", "check checksums, structure and journals", false},
    {"recover", recover, 1, 1, "", "recover RUN|FILE", "bring the log of a killed run to its last commit", false},
    {"export", export, 1, 1, "co", "export RUN --csv[=GROUP/SERIES] [-o DIR]",
     "the metrics, or one series, as CSV (default: to standard output)", false},
    {"export", export, 1, 1, "mo", "export RUN --numpy -o DIR", "every series as a .npy file", false},
    {"export", export, 1, 1, "vors", "export RUN --lstmvis -o DIR [--row=N] [--steps=A:B]",
     "activations as a project of LSTMVis", false},
    {"export", export, 1, 1, "do", "export RUN --source -o DIR", "the script and its modules, as they were", false},
    {"diff", diff, 2, 2, "", "diff RUN RUN", "what differs in configuration, and from which step in metrics", false},
    {"tail", tail, 1, 1, "fnk", "tail [-f] [-n N] [--columns=A,B] RUN", "the last rows of the metrics", true},
};
#define COMMANDS (sizeof commands / sizeof *commands)

static int usage(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_complaint(stderr, format, args, "; see lstmlog --help");
    va_end(args);
    return 2;
}

static int fault(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int fault(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_complaint(stderr, format, args, "");
    va_end(args);
    return 1;
}

/* What was written to standard output is there, or a sentence says why not. */
static int printed(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    return fault("cannot write to standard output: %s", strerror(errno));
}

static int print_help(void)
{
    puts("Usage: lstmlog COMMAND ...\n\nLooks into the logs and checkpoints that lstmrun writes.\n");
    for (size_t k = 0; k < COMMANDS; k++)
        printf("  %s\n      %s\n", commands[k].usage, commands[k].help);
    puts("\nRUN is a run's directory or its log.h5; FILE may be a checkpoint, too. diff exits with 1 when there is a\n"
         "difference. Exit status otherwise: 0 done, 1 error or not sound, 2 usage.");
    return printed();
}

/* The value of an option "--name=VALUE", or of "-n VALUE" in the next word; NULL: it is another option. */
static const char *value_of(const char *word, const char *name)
{
    size_t length = strlen(name);
    return strncmp(word, name, length) == 0 && word[length] == '=' ? word + length + 1 : NULL;
}

static bool read_count(const char *text, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return *text && !*end && errno == 0 && *value >= 0;
}

static bool read_range(const char *text, long *first, long *last)
{
    char *end;
    errno = 0;
    *first = strtol(text, &end, 10);
    if (end == text || *end != ':' || *first < 0)
        return false;
    return read_count(end + 1, last) && errno == 0 && *last >= *first;
}

static const struct {
    char letter;
    const char *name;
} options[] = {{'j', "--json"}, {'f', "-f"}, {'m', "--numpy"}, {'v', "--lstmvis"}, {'c', "--csv"}, {'n', "-n"},
               {'o', "-o"}, {'d', "--source"}, {'r', "--row"}, {'s', "--steps"}, {'k', "--columns"}};
#define OPTIONS (sizeof options / sizeof *options)

/* Whether a form of the command has the option. */
static bool has_option(const command *c, char letter)
{
    for (size_t k = 0; k < COMMANDS; k++)
        if (strcmp(commands[k].name, c->name) == 0 && strchr(commands[k].options, letter))
            return true;
    return false;
}

/* One option; *used: how many words it took. 0, or the exit status of wrong usage. */
static int read_option(const command *c, request *q, const char *word, const char *next, int *used)
{
    char letter = 0;
    const char *value = NULL;
    size_t at = 0;
    for (; at < OPTIONS && !letter; at++)
        if (strcmp(word, options[at].name) == 0 ||
            (options[at].name[1] == '-' && (value = value_of(word, options[at].name))))
            letter = options[at].letter;
    if (!letter || !has_option(c, letter))
        return usage("%s has no option '%s'", c->name, word);
    if (q->given & 1u << (at - 1))
        return usage("%s: option %s is given twice", c->name, options[at - 1].name);
    q->given |= 1u << (at - 1);
    *used = 1;
    if (letter == 'n' || letter == 'o') {
        if (!next)
            return usage("option %s needs a value", word);
        value = next;
        *used = 2;
    }
    if (!value && strchr("rsk", letter))
        return usage("option %s needs a value: %s=...", word, word);
    if (value && strchr("jfmvd", letter))
        return usage("option '%s' takes no value", word);
    switch (letter) {
    case 'j': q->json = true; break;
    case 'f': q->follow = true; break;
    case 'm': q->numpy = true; break;
    case 'v': q->lstmvis = true; break;
    case 'd': q->source = true; break;
    case 'c': q->csv = true; q->series = value; break;
    case 'o': q->out = value; break;
    case 'k': q->columns = value; break;
    case 'n': return read_count(value, &q->rows) ? 0 : usage("-n: a number of rows expected, got '%s'", value);
    case 'r': return read_count(value, &q->row) ? 0 : usage("--row: a row of the batch expected, got '%s'", value);
    default:
        return read_range(value, &q->first_step, &q->last_step) ? 0
                                                                : usage("--steps: A:B expected, got '%s'", value);
    }
    return 0;
}

/* An export is of one form, which has every option that was given. */
static int check_export(const request *q)
{
    const char form = q->csv ? 'c' : q->numpy ? 'm' : q->lstmvis ? 'v' : 'd';
    const command *c = commands;
    if (q->csv + q->numpy + q->lstmvis + q->source != 1)
        return usage("export: one of --csv, --numpy, --lstmvis and --source expected");
    while (c->run != export || !strchr(c->options, form))
        c++;
    for (size_t k = 0; k < OPTIONS; k++)
        if (q->given & 1u << k && !strchr(c->options, options[k].letter))
            return usage("this export has no option %s: lstmlog %s", options[k].name, c->usage);
    return q->out || q->csv ? 0 : usage("export: -o DIR expected");
}

static int read_request(const command *c, request *q, int argc, char **argv)
{
    bool options_end = false;
    *q = (request){.rows = 10, .first_step = -1};
    for (int k = 0, used = 1; k < argc; k += used) {
        used = 1;
        if (!options_end && strcmp(argv[k], "--") == 0) {
            options_end = true;
        } else if (!options_end && argv[k][0] == '-' && argv[k][1]) {
            int wrong = read_option(c, q, argv[k], k + 1 < argc ? argv[k + 1] : NULL, &used);
            if (wrong)
                return wrong;
        } else if (q->npaths == c->most) {
            return usage("%s: too many paths: '%s'", c->name, argv[k]);
        } else {
            q->paths[q->npaths++] = argv[k];
        }
    }
    if (q->npaths < c->least)
        return usage("usage: lstmlog %s", c->usage);
    return c->run == export ? check_export(q) : 0;
}

/* What is there already is not overwritten. */
static int make_out(const char *path)
{
    if (mkdir(path, 0777) != 0) {
        int n = 0, error = errno;
        DIR *d = error == EEXIST ? opendir(path) : NULL;
        if (d)
            while (readdir(d))
                n++;
        if (d)
            closedir(d);
        if (!d || n > 2)
            return fault("%s: %s", path, d ? "exists and is not empty; choose another folder" : strerror(error));
    }
    return 0;
}

/* ---- running a command ------------------------------------------------------------------------------------------ */

static int print_all(FILE *out, const char *text, size_t size)
{
    if (fwrite(text, 1, size, out) == size && fflush(out) == 0)
        return 0;
    if (out == stdout)
        fault("cannot write standard output: %s", strerror(errno));
    return 1;
}

/* Once, into memory; printed when nothing has changed meanwhile, or when this was the last attempt. */
static int attempt(const command *c, const request *q, bool last, bool *again)
{
    char *out = NULL, *err = NULL;
    size_t nout = 0, nerr = 0;
    job j = {q, open_memstream(&out, &nout), open_memstream(&err, &nerr), false};
    int result = 1;
    if (j.out && j.err) {
        result = c->run(&j);
        if (j.changed && last)
            result = complain(&j, "the log is being written, and changed in each of %d attempts to read it; try again",
                              ATTEMPTS);
    }
    bool whole = j.out && j.err && fclose(j.out) == 0;
    whole = j.err && fclose(j.err) == 0 && whole;
    *again = whole && j.changed && !last;
    if (!whole) {
        fputs("lstmlog: out of memory\n", stderr);
        result = 1;
    } else if (!*again) {
        result |= print_all(stdout, out, nout);
        print_all(stderr, err, nerr);
    }
    free(out);
    free(err);
    return result;
}

static int run_command(const command *c, const request *q)
{
    job direct = {q, stdout, stderr, false};
    bool again = true;
    int result = 1;
    if (c->direct)
        return c->run(&direct);
    for (int k = 1; again; k++)
        result = attempt(c, q, k == ATTEMPTS, &again);
    return result;
}

/* Runs the command in a process of its own; its status, or -1 when there can be none. */
static int run_apart(const command *c, const request *q)
{
    int status;
    const struct rlimit no_core = {0, 0};
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
#ifdef __linux__
        prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
        setrlimit(RLIMIT_CORE, &no_core);
        int result = run_command(c, q);
        fflush(NULL);
        _exit(result);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

static bool is_crash(int status)
{
    int number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL || number == SIGABRT;
}

/* libhdf5 was not made for damaged files, nor for those that change while it reads, and may crash over one: so it works
 * in a process of its own. What a crash leaves is a sentence, when trying again does not help. */
static int run_guarded(const command *c, const request *q)
{
    int status = run_apart(c, q);
    for (int k = 1; k < ATTEMPTS && status != -1 && is_crash(status) && !c->direct; k++)
        status = run_apart(c, q);
    if (status == -1)
        return fault("cannot start a process: %s", strerror(errno));
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (!is_crash(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        return 1;
    }
    return fault("%s is damaged (or changed while it was read): libhdf5 could not cope with it",
                 q->npaths ? q->paths[0] : "a log");
}

int main(int argc, char **argv)
{
    static request q;
    signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, no child could be waited for */
    if (argc < 2)
        return usage("a command expected");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("lstmlog %s\n", LSTM_VERSION);
        return printed();
    }
    for (size_t k = 0; k < COMMANDS; k++)
        if (strcmp(argv[1], commands[k].name) == 0) {
            for (int i = 2; i < argc; i++)
                if (strcmp(argv[i], "--help") == 0)
                    return print_help();
            int wrong = read_request(&commands[k], &q, argc - 2, argv + 2);
            if (wrong)
                return wrong;
            return q.out && make_out(q.out) ? 1 : run_guarded(&commands[k], &q);
        }
    return usage("no command '%s'", argv[1]);
}
