/* SPDX-License-Identifier: MIT
 *
 * lua_sys.c - the little of POSIX that runs need and Lua lacks: directories, the terminal, a clock, signals.
 *
 * Functions return nil and "path: reason" when the system says no.
 */
#define _GNU_SOURCE /* realpath, TIOCGWINSZ */
#include "lua_run.h"

#include "h5version.h"
#if __has_include("revision.h")
#include "revision.h"
#else
#define LSTM_REVISION "unknown"
#endif

#include <lauxlib.h>
#include <lua.h>

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static int fail(lua_State *L, const char *path)
{
    int reason = errno;
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", path, strerror(reason));
    return 2;
}

static int done(lua_State *L, int result, const char *path)
{
    if (result != 0)
        return fail(L, path);
    lua_pushboolean(L, 1);
    return 1;
}

/* ---- files -------------------------------------------------------------------------------------------------- */

/* kind(path) -> "file", "directory", "other"; nil and a sentence when there is nothing */
static int sys_kind(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;
    if (stat(path, &st) != 0)
        return fail(L, path);
    lua_pushstring(L, S_ISREG(st.st_mode) ? "file" : S_ISDIR(st.st_mode) ? "directory" : "other");
    return 1;
}

static int make_one(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return 0;
    const int reason = errno;
    const bool there = stat(path, &st) == 0;
    if (there && S_ISDIR(st.st_mode))
        return 0;
    errno = there && reason == EEXIST ? ENOTDIR : reason; /* "File exists" would say nothing */
    return -1;
}

/* make_directory(path): with its parents; true also when it is there already */
static int sys_make_directory(lua_State *L)
{
    size_t length;
    const char *path = luaL_checklstring(L, 1, &length);
    char *copy = lua_newuserdatauv(L, length + 1, 0);
    memcpy(copy, path, length + 1);
    for (char *slash = length > 0 ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (make_one(copy) != 0)
            return fail(L, copy);
        *slash = '/';
    }
    return done(L, make_one(copy), path);
}

/* create_directory(path): this one only, which must not be there yet; nil, sentence, true when it is */
static int sys_create_directory(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    if (mkdir(path, 0777) == 0)
        return done(L, 0, path);
    int reason = errno;
    fail(L, path);
    lua_pushboolean(L, reason == EEXIST);
    return 3;
}

/* A directory that is read: closed by the collector, when Lua raises an error meanwhile. */
#define DIRECTORY_TYPE "lstm.directory"

static int directory_gc(lua_State *L)
{
    DIR **dir = luaL_checkudata(L, 1, DIRECTORY_TYPE);
    if (*dir)
        closedir(*dir);
    *dir = NULL;
    return 0;
}

/* Pushes one, and returns it; NULL and errno when it cannot be read. */
static DIR *push_directory(lua_State *L, const char *path)
{
    DIR **dir = lua_newuserdatauv(L, sizeof *dir, 0);
    *dir = NULL;
    if (luaL_newmetatable(L, DIRECTORY_TYPE)) {
        lua_pushcfunction(L, directory_gc);
        lua_setfield(L, -2, "__gc");
    }
    lua_setmetatable(L, -2);
    return *dir = opendir(path);
}

/* list(path) -> names of what is in a directory, in no order, without "." and ".." */
static int sys_list(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lua_settop(L, 1);
    DIR *dir = push_directory(L, path);
    if (!dir)
        return fail(L, path);
    lua_newtable(L);
    lua_Integer n = 0;
    errno = 0; /* at the end, and when the rest cannot be read, there is no entry */
    for (struct dirent *entry; (entry = readdir(dir)) != NULL; errno = 0) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    const int reason = errno;
    closedir(dir);
    *(DIR **)lua_touserdata(L, 2) = NULL;
    errno = reason;
    return reason ? fail(L, path) : 1;
}

static int sys_realpath(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char resolved[PATH_MAX];
    if (!realpath(path, resolved))
        return fail(L, path);
    lua_pushstring(L, resolved);
    return 1;
}

/* modified(path) -> seconds since 1970, with fractions */
static int sys_modified(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    struct stat st;
    if (stat(path, &st) != 0)
        return fail(L, path);
    lua_pushnumber(L, (lua_Number)st.st_mtim.tv_sec + 1e-9 * (lua_Number)st.st_mtim.tv_nsec);
    return 1;
}

/* ---- the terminal, the clock, the machine ---------------------------------------------------------------------- */

/* isatty(fd) */
static int sys_isatty(lua_State *L)
{
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)));
    return 1;
}

/* width(fd) -> columns of the terminal; nil when it does not say */
static int sys_width(lua_State *L)
{
    struct winsize size;
    if (ioctl((int)luaL_checkinteger(L, 1), TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 0;
    lua_pushinteger(L, size.ws_col);
    return 1;
}

/* clock() -> seconds from some point in the past, never set back */
static int sys_clock(lua_State *L)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    lua_pushnumber(L, (lua_Number)now.tv_sec + 1e-9 * (lua_Number)now.tv_nsec);
    return 1;
}

/* sleep(seconds): a signal may end it early */
static int sys_sleep(lua_State *L)
{
    const lua_Number seconds = luaL_checknumber(L, 1);
    luaL_argcheck(L, seconds >= 0 && seconds < 1e9, 1, "seconds expected");
    const time_t whole = (time_t)seconds;
    const struct timespec t = {.tv_sec = whole, .tv_nsec = (long)((seconds - (lua_Number)whole) * 1e9)};
    nanosleep(&t, NULL);
    return 0;
}

/* quit(status): ends the program as it is, with nothing flushed or closed */
static int sys_quit(lua_State *L)
{
    _exit((int)luaL_checkinteger(L, 1));
}

/* memory() -> bytes of physical memory; nil when unknown */
static int sys_memory(lua_State *L)
{
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || size <= 0)
        return 0;
    lua_pushinteger(L, (lua_Integer)pages * size);
    return 1;
}

/* free(path) -> bytes that a user may still write to the file system that holds path; nil when unknown */
static int sys_free(lua_State *L)
{
    struct statvfs s;
    if (statvfs(luaL_checkstring(L, 1), &s) != 0)
        return 0;
    lua_pushnumber(L, (double)s.f_bavail * (double)s.f_frsize);
    return 1;
}

/* machine() -> name of the host, system ("Linux 6.1.0 x86_64"), processors that are on */
static int sys_machine(lua_State *L)
{
    struct utsname u;
    if (uname(&u) != 0)
        return fail(L, "uname");
    lua_pushstring(L, u.nodename);
    lua_pushfstring(L, "%s %s %s", u.sysname, u.release, u.machine);
    lua_pushinteger(L, sysconf(_SC_NPROCESSORS_ONLN));
    return 3;
}

static int sys_pid(lua_State *L)
{
    lua_pushinteger(L, getpid());
    return 1;
}

/* typename(value) -> "lstm.trainer" for userdata of that type, else what type() says */
static int sys_typename(lua_State *L)
{
    luaL_checkany(L, 1);
    if (luaL_getmetafield(L, 1, "__name") != LUA_TSTRING)
        lua_pushstring(L, luaL_typename(L, 1));
    return 1;
}

/* compiler() -> "gcc 12.2.0" */
static int sys_compiler(lua_State *L)
{
#if defined(__clang__)
    lua_pushfstring(L, "clang %d.%d.%d", __clang_major__, __clang_minor__, __clang_patchlevel__);
#elif defined(__GNUC__)
    lua_pushfstring(L, "gcc %d.%d.%d", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
    lua_pushliteral(L, "unknown compiler");
#endif
    return 1;
}

/* revision() -> of the source, as git describes it */
static int sys_revision(lua_State *L)
{
    lua_pushliteral(L, LSTM_REVISION);
    return 1;
}

/* lua_release() -> "5.4.4" */
static int sys_lua_release(lua_State *L)
{
    lua_pushliteral(L, LUA_VERSION_MAJOR "." LUA_VERSION_MINOR "." LUA_VERSION_RELEASE);
    return 1;
}

/* hdf5_version() -> "1.10.8" */
static int sys_hdf5_version(lua_State *L)
{
    lua_pushstring(L, h5_version());
    return 1;
}

/* ---- signals ----------------------------------------------------------------------------------------------------
 *
 * Ways to treat the signals that ask a program to stop (INT, TERM, USR1, USR2, HUP):
 *   "raise"      an error "interrupted" at the next Lua instruction
 *   "interrupt"  the same for INT, the system's default for the others
 *   "note"       stop_signal() tells; a second signal ends the process at once (which a terminal is told, when INT has
 *                had no effect for a second). Batch systems tell every process of a job and its leader tells them
 *                again: TERM, USR1 and HUP within some seconds are the same request
 * A signal that was ignored when the program began (nohup) stays ignored. */

enum { SIGNALS = 5 };
static const int signals[SIGNALS] = {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP};
static const char *const signal_names[SIGNALS] = {"INT", "TERM", "USR1", "USR2", "HUP"};

static volatile sig_atomic_t noted; /* the signal that came, 0: none */
static lua_State *volatile raise_in;
static volatile sig_atomic_t at_terminal; /* somebody sees standard error */

static int exit_status(int signal_number)
{
    return signal_number == SIGINT ? 130 : 75;
}

static void raise_interrupted(lua_State *L, lua_Debug *ar)
{
    (void)ar;
    lua_sethook(L, NULL, 0, 0);
    luaL_error(L, "interrupted");
}

static void on_raise(int signal_number)
{
    signal(signal_number, SIG_DFL); /* if Lua does not get to its next instruction, a second signal ends it */
    noted = signal_number;
    lua_sethook(raise_in, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

/* Milliseconds within which a signal is the same request: batch systems repeat theirs; one Ctrl-C may come from the
 * terminal and from a program that passes it on, but nobody presses it twice so fast. */
#define SAME_REQUEST 5000
#define SAME_CTRL_C 100

static int64_t milliseconds_now(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_note(int signal_number)
{
    static volatile int64_t noted_at;
    if (noted && milliseconds_now() - noted_at < (signal_number == SIGINT ? SAME_CTRL_C : SAME_REQUEST))
        return;
    if (noted) {
        ssize_t ignored = write(STDERR_FILENO, "\n", 1);
        (void)ignored;
        _exit(exit_status(signal_number));
    }
    noted_at = milliseconds_now();
    noted = signal_number;
    if (signal_number == SIGINT && at_terminal)
        alarm(1);
}

/* The step takes long: whoever pressed the keys wants to know that they were noticed. */
static void on_alarm(int signal_number)
{
    static const char line[] = "\nlstmrun: stopping after this step (again to quit at once)\n";
    (void)signal_number;
    ssize_t ignored = write(STDERR_FILENO, line, sizeof line - 1);
    (void)ignored;
}

static void set_handler(int signal_number, void (*handler)(int))
{
    struct sigaction old, new = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&new.sa_mask);
    if (sigaction(signal_number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(signal_number, &new, NULL);
}

/* on_signal("raise" | "interrupt" | "note") */
static int sys_on_signal(lua_State *L)
{
    static const char *const modes[] = {"raise", "interrupt", "note", NULL};
    static void (*const on_int[])(int) = {on_raise, on_raise, on_note};
    static void (*const on_others[])(int) = {on_raise, SIG_DFL, on_note};
    int mode = luaL_checkoption(L, 1, NULL, modes);
    lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
    raise_in = lua_tothread(L, -1);
    at_terminal = isatty(STDERR_FILENO);
    alarm(0);
    set_handler(SIGALRM, on_alarm);
    for (int k = 0; k < SIGNALS; k++)
        set_handler(signals[k], signals[k] == SIGINT ? on_int[mode] : on_others[mode]);
    return 0;
}

/* stop_signal() -> "INT", "TERM", "USR1", "USR2", "HUP" and the exit status that goes with it; nil when none came */
static int sys_stop_signal(lua_State *L)
{
    for (int k = 0; k < SIGNALS; k++) {
        if (noted == signals[k]) {
            lua_pushstring(L, signal_names[k]);
            lua_pushinteger(L, exit_status(signals[k]));
            return 2;
        }
    }
    return 0;
}

/* ignore_pipe(): writing to a closed pipe, or beyond the largest size of a file that is allowed, is an error of the
 * write, not the end of the process */
static int sys_ignore_pipe(lua_State *L)
{
    (void)L;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return 0;
}

void lua_sys_push(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"kind", sys_kind},
        {"make_directory", sys_make_directory},
        {"create_directory", sys_create_directory},
        {"list", sys_list},
        {"realpath", sys_realpath},
        {"modified", sys_modified},
        {"isatty", sys_isatty},
        {"width", sys_width},
        {"clock", sys_clock},
        {"sleep", sys_sleep},
        {"quit", sys_quit},
        {"memory", sys_memory},
        {"free", sys_free},
        {"machine", sys_machine},
        {"pid", sys_pid},
        {"typename", sys_typename},
        {"compiler", sys_compiler},
        {"revision", sys_revision},
        {"lua_release", sys_lua_release},
        {"hdf5_version", sys_hdf5_version},
        {"on_signal", sys_on_signal},
        {"stop_signal", sys_stop_signal},
        {"ignore_pipe", sys_ignore_pipe},
        {NULL, NULL},
    };
    luaL_newlib(L, functions);
}
