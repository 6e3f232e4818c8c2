/* SPDX-License-Identifier: MIT
 *
 * lua_lock.c - the lock of a run's directory (runlock.h) for Lua.
 */
#include "lua_run.h"

#include "lua_handle.h"
#include "runlock.h"

#define LOCK_TYPE "lstm.lock"

/* lock.take(path) -> lock; nil and a sentence when another process has it */
static int lock_take(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    lstm_error err = {0};
    lua_handle *h = lua_handle_new(L, LOCK_TYPE);
    return lua_handle_opened(L, h, runlock_take(path, &err), &err);
}

/* lock:lost() -> whether another process has the directory now */
static int lock_lost(lua_State *L)
{
    lua_pushboolean(L, runlock_lost(lua_handle_check(L, LOCK_TYPE)));
    return 1;
}

/* lock:close(): the same as __gc and __close; may be called again */
static int lock_close(lua_State *L)
{
    lua_handle *h = luaL_checkudata(L, 1, LOCK_TYPE);
    runlock_release(h->object);
    h->object = NULL;
    return 0;
}

void lua_lock_register(lua_State *L)
{
    static const luaL_Reg methods[] = {{"lost", lock_lost}, {"close", lock_close}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"take", lock_take}, {NULL, NULL}};
    lua_handle_define(L, LOCK_TYPE, methods, lock_close);
    lua_newtable(L);
    luaL_setfuncs(L, functions, 0);
    lua_setfield(L, -2, "lock");
}
