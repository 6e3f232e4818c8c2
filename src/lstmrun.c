/* SPDX-License-Identifier: MIT
 *
 * lstmrun.c - the program: a Lua with the module lstm built in, which finds its Lua files and hands the command line to
 * lua/lstm/command.lua.
 */
#define _GNU_SOURCE /* readlink */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef LSTM_LUADIR
#define LSTM_LUADIR "/usr/local/share/lua/5.4"
#endif
#ifndef LSTM_LUAEXECDIR
#define LSTM_LUAEXECDIR "/usr/local/lib/lua/5.4"
#endif
#ifndef LSTM_PKGDATADIR
#define LSTM_PKGDATADIR "/usr/local/share/lstmrun"
#endif

int luaopen_lstm_core(lua_State *L);

/* Where the Lua modules are, those in C, and the directory `experiments`. */
typedef struct places {
    char modules[PATH_MAX];
    char c_modules[PATH_MAX];
    char root[PATH_MAX];
} places;

static int set_place(char *place, const char *directory, const char *name)
{
    int n = snprintf(place, PATH_MAX, "%s%s", directory, name);
    return n >= 0 && n < PATH_MAX ? 0 : -1;
}

static int set_places(places *p, const char *directory, const char *modules, const char *c_modules, const char *root)
{
    return set_place(p->modules, directory, modules) || set_place(p->c_modules, directory, c_modules) ||
           set_place(p->root, directory, root);
}

static int has_modules(const places *p)
{
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/lstm/command.lua", p->modules);
    return access(path, R_OK) == 0;
}

/* The directory of this program; -1 when the system does not tell. */
static int own_directory(char *directory, size_t size)
{
    ssize_t length = readlink("/proc/self/exe", directory, size - 1);
    if (length <= 0)
        return -1;
    directory[length] = '\0';
    *strrchr(directory, '/') = '\0';
    return 0;
}

/* Beside the program: the source or build tree. Beside its bin: an installed tree, wherever it was moved. Else where
 * `make install` put them. */
static int find_places(places *p)
{
    char directory[PATH_MAX];
    if (own_directory(directory, sizeof directory) == 0) {
        if (set_places(p, directory, "/lua", "/lib", "") == 0 && has_modules(p))
            return 0;
        if (set_places(p, directory, "/../share/lua/5.4", "/../lib/lua/5.4", "/../share/lstmrun") == 0 &&
            has_modules(p))
            return 0;
    }
    if (set_places(p, "", LSTM_LUADIR, LSTM_LUAEXECDIR, LSTM_PKGDATADIR) == 0 && has_modules(p))
        return 0;
    return -1;
}

/* Our modules come first, so that they are those of this program; `experiments` last, after the user's own. */
static void set_path(lua_State *L, const places *p)
{
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "path");
    lua_pushfstring(L, "%s/?.lua;%s/?/init.lua;%s;%s/?.lua", p->modules, p->modules, lua_tostring(L, -1), p->root);
    lua_setfield(L, -3, "path");
    lua_pop(L, 1);
    lua_getfield(L, -1, "cpath");
    lua_pushfstring(L, "%s/?.so;" LSTM_LUAEXECDIR "/?.so;%s", p->c_modules, lua_tostring(L, -1));
    lua_setfield(L, -3, "cpath");
    lua_pop(L, 2);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, luaopen_lstm_core);
    lua_setfield(L, -2, "lstm.core");
    lua_pop(L, 1);
}

/* command.main(arguments, program, root) -> exit status. Arguments: argc, argv, places. */
static int protected_main(lua_State *L)
{
    int argc = (int)lua_tointeger(L, 1);
    char **argv = lua_touserdata(L, 2);
    const places *p = lua_touserdata(L, 3);
    luaL_openlibs(L);
    set_path(L, p);
    lua_getglobal(L, "require");
    lua_pushliteral(L, "lstm.command");
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_createtable(L, argc, 0);
    for (int k = 1; k < argc; k++) {
        lua_pushstring(L, argv[k]);
        lua_rawseti(L, -2, k);
    }
    lua_pushstring(L, argc > 0 ? argv[0] : "lstmrun");
    lua_pushstring(L, p->root[0] ? p->root : "/");
    lua_call(L, 3, 1);
    return 1;
}

static int complain(const char *message)
{
    fprintf(stderr, "lstmrun: %s\n", message);
    return EXIT_FAILURE;
}

/* A descriptor 0, 1 or 2 that is closed would be taken by the next file opened, and messages be written into it. */
static void hold_standard_descriptors(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

/* What a script printed may still be on its way, and a script need not look at what io.write returns. Where a pipe has
 * no reader any more, or a terminal is gone, nobody misses it. */
static int check_output(int status)
{
    struct pollfd out = {STDOUT_FILENO, POLLOUT, 0};
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (poll(&out, 1, 0) == 1 && out.revents & (POLLERR | POLLHUP))
        return status;
    const int failed = complain("cannot write all of standard output; is a disk full?");
    return status != EXIT_SUCCESS ? status : failed;
}

int main(int argc, char **argv)
{
    static places p;
    hold_standard_descriptors();
    signal(SIGCHLD, SIG_DFL); /* ignored by whoever started us, no child could be waited for */
    if (find_places(&p) != 0)
        return complain("cannot find its Lua modules, neither beside the program nor in " LSTM_LUADIR
                        "; is the installation complete?");
    lua_State *L = luaL_newstate();
    if (!L)
        return complain("not enough memory");
    lua_pushcfunction(L, protected_main);
    lua_pushinteger(L, argc);
    lua_pushlightuserdata(L, argv);
    lua_pushlightuserdata(L, &p);
    int status;
    if (lua_pcall(L, 3, 1, 0) == LUA_OK)
        status = (int)lua_tointeger(L, -1);
    else
        status = complain(lua_tostring(L, -1) ? lua_tostring(L, -1) : "unknown error");
    lua_close(L);
    return check_output(status);
}
