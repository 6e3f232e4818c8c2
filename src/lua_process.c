/* SPDX-License-Identifier: MIT
 *
 * lua_process.c - processes for Lua: started without a shell, waited for, recognised again, and alive to others; and
 * the few file operations by which several of them share a directory.
 *
 * Functions return nil and "path: reason" when the system says no.
 */
#define _GNU_SOURCE /* sched_getaffinity */
#include "lua_run.h"

#include "fileio.h"

#include <lauxlib.h>
#include <lua.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

extern char **environ;

static int fail(lua_State *L, const char *what, int reason)
{
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", what, strerror(reason));
    return 2;
}

static int done(lua_State *L, const char *what, int error)
{
    if (error)
        return fail(L, what, error);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- starting and ending ------------------------------------------------------------------------------------------ */

/* From here on a child's end is not lost: SIGCHLD waits for sigtimedwait. */
static void hold_sigchld(void)
{
    struct sigaction act = {.sa_handler = SIG_DFL};
    sigset_t set;
    sigemptyset(&act.sa_mask);
    sigaction(SIGCHLD, &act, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* No signal blocked; broken pipes and file sizes treated as usual; a process group of its own, so that what the terminal
 * sends reaches the parent alone. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, defaults;
    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    sigaddset(&defaults, SIGXFSZ);
    int error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &defaults);
    if (!error)
        error = posix_spawnattr_setpgroup(attributes, 0);
    if (!error)
        error = posix_spawnattr_setflags(attributes,
                                         POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    return error;
}

/* Nothing to read; what is written goes to the end of `output`. */
static int set_files(posix_spawn_file_actions_t *files, const char *output)
{
    int error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (!error)
        error = posix_spawn_file_actions_adddup2(files, STDOUT_FILENO, STDERR_FILENO);
    return error;
}

static int spawn(pid_t *pid, const char **arguments, const char *output)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t files;
    int error = posix_spawnattr_init(&attributes);
    if (error)
        return error;
    error = posix_spawn_file_actions_init(&files);
    if (!error) {
        error = set_attributes(&attributes);
        if (!error)
            error = set_files(&files, output);
        if (!error)
            error = posix_spawnp(pid, arguments[0], &files, &attributes, (char *const *)arguments, environ);
        posix_spawn_file_actions_destroy(&files);
    }
    posix_spawnattr_destroy(&attributes);
    return error;
}

/* spawn({ program, argument, ... }, output) -> pid. The program is looked for as a shell does; output and complaints are
 * added to the file `output`. */
static int process_spawn(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const char *output = luaL_checkstring(L, 2);
    const lua_Integer n = luaL_len(L, 1);
    luaL_argcheck(L, n >= 1 && n < 10000, 1, "a program and its arguments expected");
    const char **arguments = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *arguments, 0);
    for (lua_Integer k = 1; k <= n; k++) {
        luaL_argcheck(L, lua_geti(L, 1, k) == LUA_TSTRING, 1, "strings expected");
        arguments[k - 1] = lua_tostring(L, -1);
        lua_pop(L, 1); /* the table keeps the string */
    }
    arguments[n] = NULL;
    hold_sigchld();
    pid_t pid;
    int error = spawn(&pid, arguments, output);
    if (error)
        return fail(L, arguments[0], error);
    lua_pushinteger(L, pid);
    return 1;
}

/* Pushes pid, "exit" or "signal", and the status or the signal's number. */
static int push_end(lua_State *L, pid_t pid, int status)
{
    lua_pushinteger(L, pid);
    lua_pushstring(L, WIFSIGNALED(status) ? "signal" : "exit");
    lua_pushinteger(L, WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return 3;
}

/* One of the children in the table at index 1 that has ended: 3 values; else 0. */
static int ended_child(lua_State *L)
{
    const lua_Integer n = luaL_len(L, 1);
    for (lua_Integer k = 1; k <= n; k++) {
        lua_geti(L, 1, k);
        const pid_t pid = (pid_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
        int status;
        const pid_t got = waitpid(pid, &status, WNOHANG);
        if (got == pid)
            return push_end(L, pid, status);
        if (got < 0 && errno == ECHILD) /* somebody else has waited for it: all that is known is that it is gone */
            return push_end(L, pid, 0);
    }
    return 0;
}

/* wait({ pid, ... }, seconds) -> pid, "exit" | "signal", number of one that has ended; nothing after that time, or when
 * a signal came. */
static int process_wait(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    const double seconds = luaL_checknumber(L, 2);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 2, "seconds expected");
    int results = ended_child(L);
    if (results || seconds == 0)
        return results;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    struct timespec most = {.tv_sec = (time_t)seconds};
    most.tv_nsec = (long)((seconds - (double)most.tv_sec) * 1e9);
    sigtimedwait(&set, NULL, &most);
    return ended_child(L);
}

/* kill(pid, "TERM" | "KILL") */
static int process_kill(lua_State *L)
{
    static const char *const names[] = {"TERM", "KILL", NULL};
    static const int numbers[] = {SIGTERM, SIGKILL};
    const lua_Integer pid = luaL_checkinteger(L, 1);
    luaL_argcheck(L, pid > 1, 1, "a process expected");
    const int number = numbers[luaL_checkoption(L, 2, NULL, names)];
    return done(L, "kill", kill((pid_t)pid, number) != 0 ? errno : 0);
}

static _Atomic pid_t followed; /* 0: nobody */

/* follow(pid): when that process, which must be the parent, ends, this one gets SIGTERM; if it does not heed that and
 * has a heartbeat, it is killed after some minutes. Whether that process is the parent still. */
static int process_follow(lua_State *L)
{
    const lua_Integer parent = luaL_checkinteger(L, 1);
#ifdef __linux__
    if (getppid() == parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
#endif
    if (getppid() == parent)
        followed = (pid_t)parent;
    lua_pushboolean(L, getppid() == parent);
    return 1;
}

/* setenv(name, value): for the children */
static int process_setenv(lua_State *L)
{
    const char *name = luaL_checkstring(L, 1);
    return done(L, name, setenv(name, luaL_checkstring(L, 2), 1) != 0 ? errno : 0);
}

/* cores() -> how many this process may use */
static int process_cores(lua_State *L)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        n = CPU_COUNT(&set);
#endif
    lua_pushinteger(L, n > 0 ? n : 1);
    return 1;
}

/* ---- who is who ----------------------------------------------------------------------------------------------------- */

/* When a process began, in ticks since the machine did (proc(5)); 0 when the system does not tell. *state: 'Z' for one
 * that has ended and was not waited for. */
static unsigned long long started(long pid, char *state)
{
    *state = '?';
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    const size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *at = strrchr(text, ')'); /* the program's name may hold anything */
    unsigned long long ticks = 0;
    if (!at || sscanf(at + 1, " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
                      state, &ticks) != 2)
        return 0;
    return ticks;
}

/* What process numbers mean something in: one boot of one machine, and one namespace of processes. */
static void name_machine(char *name, size_t size)
{
    char boot[64] = "", space[64] = "";
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (file) {
        if (!fgets(boot, sizeof boot, file))
            boot[0] = '\0';
        fclose(file);
    }
    boot[strcspn(boot, "\n")] = '\0';
    const ssize_t n = readlink("/proc/self/ns/pid", space, sizeof space - 1);
    space[n > 0 ? n : 0] = '\0';
    snprintf(name, size, "%s %s", boot, space);
}

/* identity() -> host, machine, pid, start: this process, so that others can tell whether it is alive */
static int process_identity(lua_State *L)
{
    char host[256] = "", machine[160], state;
    if (gethostname(host, sizeof host - 1) != 0)
        strcpy(host, "unknown");
    name_machine(machine, sizeof machine);
    lua_pushstring(L, host);
    lua_pushstring(L, machine);
    lua_pushinteger(L, getpid());
    lua_pushinteger(L, (lua_Integer)started(getpid(), &state));
    return 4;
}

/* alive(pid, start): whether that process of this machine is there. A zombie is not. */
static int process_alive(lua_State *L)
{
    const lua_Integer pid = luaL_checkinteger(L, 1), start = luaL_checkinteger(L, 2);
    int there = pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
    if (there && start != 0) {
        char state;
        const unsigned long long ticks = started((long)pid, &state);
        there = ticks == 0 || (ticks == (unsigned long long)start && state != 'Z');
    }
    lua_pushboolean(L, there);
    return 1;
}

/* ---- a heartbeat: the file's time of change is now, again and again ------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    char *path; /* NULL: no thread yet */
    struct timespec period;
} heart = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A trial that hangs would outlive the sweep that was killed, and its heart would beat for ever. */
static void end_as_orphan(void)
{
    static const time_t patience = 300; /* seconds for the step in hand and a checkpoint */
    static time_t alone;
    if (!followed || getppid() == followed)
        return;
    alone += heart.period.tv_sec;
    if (alone > patience)
        kill(getpid(), SIGKILL);
}

static void *beat(void *unused)
{
    (void)unused;
    for (;;) {
        nanosleep(&heart.period, NULL);
        end_as_orphan();
        pthread_mutex_lock(&heart.lock);
        utimensat(AT_FDCWD, heart.path, NULL, 0); /* a file that is gone has nobody who looks at it */
        pthread_mutex_unlock(&heart.lock);
    }
    return NULL;
}

static int start_beating(void)
{
    sigset_t all, before;
    pthread_t thread;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the main thread */
    int error = pthread_create(&thread, NULL, beat, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        pthread_detach(thread);
    return error;
}

/* heartbeat(path, seconds): from now on, whatever this process is busy with, until it ends or another path is given.
 * The first call settles the period. */
static int process_heartbeat(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    const lua_Integer seconds = luaL_checkinteger(L, 2);
    luaL_argcheck(L, seconds > 0, 2, "seconds expected");
    char *copy = strdup(path);
    if (!copy)
        return fail(L, path, ENOMEM);
    pthread_mutex_lock(&heart.lock);
    const int first = !heart.path;
    free(heart.path);
    heart.path = copy;
    if (first)
        heart.period.tv_sec = (time_t)seconds;
    pthread_mutex_unlock(&heart.lock);
    const int error = first ? start_beating() : 0;
    if (error) { /* another call may try again */
        free(heart.path);
        heart.path = NULL;
    }
    return done(L, path, error);
}

/* ---- files that several processes share ----------------------------------------------------------------------------- */

/* Writes text to a new file (fileio_open_beside), whose name is put in name. */
static int write_beside(const char *path, const char *text, size_t size, int durable, char *name)
{
    int fd, error = fileio_open_beside(path, name, &fd);
    if (error)
        return error;
    error = fileio_write(fd, text, size, NULL);
    if (!error && durable)
        error = fileio_sync(fd);
    const int closed = fileio_close(fd);
    if (!error)
        error = closed;
    if (error)
        unlink(name);
    return error;
}

/* replace(path, text [, durable]): the file is the old one or the new one, never anything between. Durable: the text is
 * on the disk before it gets its name. */
static int process_replace(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
    char name[PATH_MAX];
    int error = write_beside(path, text, size, lua_toboolean(L, 3), name);
    if (!error && rename(name, path) != 0) {
        error = errno;
        unlink(name);
    }
    return done(L, path, error);
}

/* put(path, text): a new file, whole from its first moment, made by exactly one of all who try. True; false when there
 * is one; nil and a sentence. */
static int process_put(lua_State *L)
{
    size_t size;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &size);
    char name[PATH_MAX];
    int error = write_beside(path, text, size, 0, name);
    if (error)
        return fail(L, path, error);
    error = link(name, path) != 0 ? errno : 0;
    struct stat st;
    if (error && stat(name, &st) == 0 && st.st_nlink == 2)
        error = 0; /* NFS: done, but the answer was lost, and the second try met the first */
    unlink(name);
    if (error && error != EEXIST)
        return fail(L, path, error);
    lua_pushboolean(L, !error);
    return 1;
}

/* age(path, directory) -> seconds since the file was changed (fileio.h) */
static int process_age(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1), *directory = luaL_checkstring(L, 2);
    double seconds;
    const int error = fileio_age(path, directory, &seconds);
    if (error)
        return fail(L, path, error);
    lua_pushnumber(L, seconds);
    return 1;
}

void lua_process_push(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"spawn", process_spawn},
        {"wait", process_wait},
        {"kill", process_kill},
        {"follow", process_follow},
        {"setenv", process_setenv},
        {"cores", process_cores},
        {"identity", process_identity},
        {"alive", process_alive},
        {"heartbeat", process_heartbeat},
        {"replace", process_replace},
        {"put", process_put},
        {"age", process_age},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
