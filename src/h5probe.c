/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5probe.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
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

static h5probe_result try_once(int (*work)(void *), void *data, double seconds, bool *late)
{
    int status;
    pid_t child = fork();
    if (child < 0)
        return H5PROBE_NONE;
    if (child == 0) {
        prepare_child(seconds);
        _exit(work(data) ? WORK_FAILED : 0);
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
h5probe_result h5probe(int (*work)(void *), void *data, double seconds)
{
    bool late = false;
    const h5probe_result result = try_once(work, data, seconds, &late);
    return late ? try_once(work, data, seconds, &late) : result;
}
