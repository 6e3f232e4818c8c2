/* SPDX-License-Identifier: MIT
 *
 * What is parsed in Lua: fuzz.lua, which returns a table of functions; FUZZ_TARGET names the one that gets the bytes. An
 * error that it raises is a broken promise. (libFuzzer sees Lua's interpreter only, not which line of a script ran: here
 * the corpus and the dictionary have to bring it to the interesting places.)
 */
#define _GNU_SOURCE
#include "fuzz.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

static lua_State *start(void)
{
    const char *script = getenv("FUZZ_SCRIPT"), *target = getenv("FUZZ_TARGET");
    lua_State *L = luaL_newstate();
    PROMISE(L && script && target);
    luaL_openlibs(L);
    if (luaL_dofile(L, script) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        exit(1);
    }
    PROMISE(lua_getfield(L, -1, target) == LUA_TFUNCTION);
    return L;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static lua_State *L;
    if (!L)
        L = start();
    lua_pushvalue(L, -1);
    lua_pushlstring(L, (const char *)bytes, size);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        abort();
    }
    return 0;
}
