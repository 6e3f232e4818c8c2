/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5probe.h"

#include "fileio.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* What a child ends with when work has failed: unlike what ends programs in trouble (a sanitizer's 1, a shell's 127). */
#define WORK_FAILED 43

/* A child waits for nobody, but other processes may hold it up. */
#define WALL_CLOCK 3

/* A child that dies is expected: it shall die at once, and leave neither a core file nor a word. Nor shall it outlive its
 * parent: it has the same locks, and whoever begins anew would find them taken. */
static void prepare_child(double seconds)
{
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU, SIGALRM};
    const rlim_t whole = (rlim_t)ceil(seconds);
    const struct rlimit no_core = {0, 0}, time = {whole, whole};
    const double wall = WALL_CLOCK * seconds;
    const struct timeval limit = {(time_t)wall, (suseconds_t)(1e6 * (wall - floor(wall)))};
    sigset_t alarm;
    for (size_t k = 0; k < sizeof fatal / sizeof *fatal; k++)
        signal(fatal[k], SIG_DFL);
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &alarm, NULL);
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_CPU, &time);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, limit}, NULL);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
}

typedef int work_function(void *data, lstm_error *err);

static h5probe_result try_once(work_function *work, void *data, double seconds, lstm_error *said, bool *late)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        return H5PROBE_NONE;
    if (child == 0) {
        prepare_child(seconds);
        _exit(work(data, said) ? WORK_FAILED : 0);
    }
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return H5PROBE_NONE; /* somebody else waits for our children */
    *late = WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM;
    if (!WIFEXITED(status))
        return H5PROBE_DIED;
    const int code = WEXITSTATUS(status);
    return code == 0 ? H5PROBE_GOOD : code == WORK_FAILED ? H5PROBE_FAILED : H5PROBE_DIED;
}

/* A late child may have nothing to do with the work: a lock that another thread held when the child came to be (the
 * address sanitizer's allocator has some) is never given back in it. That hardly happens to two of them. */
h5probe_result h5probe(work_function *work, void *data, double seconds, lstm_error *err)
{
    lstm_error *said = mmap(NULL, sizeof *said, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (said == MAP_FAILED)
        return H5PROBE_NONE;
    bool late = false;
    h5probe_result result = try_once(work, data, seconds, said, &late);
    if (late)
        result = try_once(work, data, seconds, said, &late);
    if (result == H5PROBE_FAILED && err)
        *err = *said;
    munmap(said, sizeof *said);
    return result;
}

/* What is read of a file is far less than all of it: this is long. */
static double seconds_for(const char *path)
{
    struct stat st;
    return 3 + (stat(path, &st) == 0 ? (double)(st.st_size >> 26) : 0);
}

int h5probe_file(work_function *work, void *data, const char *path, lstm_error *err)
{
    char room[128];
    switch (h5probe(work, data, seconds_for(path), err)) {
    case H5PROBE_FAILED: return -1;
    case H5PROBE_DIED:
        return lstm_fail(err, "", "%s is damaged: libhdf5 could not cope with it", fileio_short_path(path, room));
    default: return 0;
    }
}
