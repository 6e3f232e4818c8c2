/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5probe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a child ends with when work has failed: unlike what ends programs in trouble (a sanitizer's 1, a shell's 127). */
#define WORK_FAILED 43

/* A child that dies is expected: it shall die at once, and leave neither a core file nor a word. */
static void prepare_child(unsigned seconds)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU};
    const struct rlimit no_core = {0, 0}, time = {seconds, seconds};
    for (size_t k = 0; k < sizeof fatal / sizeof *fatal; k++)
        signal(fatal[k], SIG_DFL);
    setrlimit(RLIMIT_CORE, &no_core);
    setrlimit(RLIMIT_CPU, &time);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        dup2(null, STDERR_FILENO);
}

h5probe_result h5probe(int (*work)(void *), void *data, unsigned seconds)
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
    if (!WIFEXITED(status))
        return H5PROBE_DIED;
    const int code = WEXITSTATUS(status);
    return code == 0 ? H5PROBE_GOOD : code == WORK_FAILED ? H5PROBE_FAILED : H5PROBE_DIED;
}
