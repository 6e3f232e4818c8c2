/* SPDX-License-Identifier: MIT
 *
 * test_wrong_calls.c - runs tests/wrong_calls.lua, which makes hundreds of wrong calls, and afterwards looks where a
 * script cannot: whether libhdf5 has objects open that nobody closed, and whether parallel regions have their threads.
 */
#include "lstm.h"
#include "tap.h"

#include <hdf5.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

int luaopen_lstm_core(lua_State *L);

#define THREADS 3

static int threads_of_a_region(void)
{
    int n = 0;
#pragma omp parallel num_threads(THREADS) reduction(+ : n)
    n++;
    return n;
}

/* open_objects() -> files, datasets, groups, types and attributes that libhdf5 has open */
static int open_objects(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL));
    return 1;
}

/* region() -> threads of a parallel region */
static int region(lua_State *L)
{
    lua_pushinteger(L, threads_of_a_region());
    return 1;
}

static int run_script(lua_State *L)
{
    const char *source = getenv("srcdir");
    luaL_openlibs(L);
    luaL_requiref(L, "lstm.core", luaopen_lstm_core, 0);
    lua_register(L, "open_objects", open_objects);
    lua_register(L, "region", region);
    source = source ? source : ".";
    lua_getglobal(L, "package");
    lua_pushfstring(L, "%s/tests/?.lua;%s/lua/?.lua;%s/lua/?/init.lua", source, source, source);
    lua_setfield(L, -2, "path");
    lua_getglobal(L, "require");
    lua_pushstring(L, "wrong_calls");
    lua_call(L, 1, 0);
    return 0;
}

int main(void)
{
    lstm_set_threads(THREADS);
    const int before = threads_of_a_region();
    lua_State *L = luaL_newstate();
    if (!L)
        return EXIT_FAILURE;
    lua_pushcfunction(L, run_script);
    if (!tap_ok(lua_pcall(L, 0, 0, 0) == LUA_OK, "wrong calls are all refused"))
        tap_note("%s", lua_tostring(L, -1));
    lua_close(L);
    tap_ok(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0, "with the state closed, no object of libhdf5 is open");
    tap_ok(threads_of_a_region() == before, "parallel regions have their %d threads", before);
    return tap_done();
}
