/* SPDX-License-Identifier: MIT */
#include "lua_handle.h"

#include <string.h>

lua_handle *lua_handle_new(lua_State *L, const char *type)
{
    lua_handle *h = lua_newuserdatauv(L, sizeof *h, 0);
    h->object = NULL;
    luaL_setmetatable(L, type);
    return h;
}

void *lua_handle_check(lua_State *L, const char *type)
{
    lua_handle *h = luaL_checkudata(L, 1, type);
    if (!h->object)
        luaL_error(L, "the %s is closed", strchr(type, '.') + 1);
    return h->object;
}

int lua_handle_fail(lua_State *L, const lstm_error *err)
{
    lua_pushnil(L);
    if (!err->field[0]) {
        lua_pushstring(L, err->message);
        return 2;
    }
    lua_pushfstring(L, "'%s': %s", err->field, err->message);
    lua_pushstring(L, err->message);
    return 3;
}

int lua_handle_done(lua_State *L, int result, const lstm_error *err)
{
    if (result != 0)
        return lua_handle_fail(L, err);
    lua_pushboolean(L, 1);
    return 1;
}

int lua_handle_opened(lua_State *L, lua_handle *h, void *object, const lstm_error *err)
{
    h->object = object;
    return object ? 1 : lua_handle_fail(L, err);
}

static int handle_tostring(lua_State *L)
{
    const lua_handle *h = lua_touserdata(L, 1);
    lua_pushfstring(L, "%s (%s)", lua_tostring(L, lua_upvalueindex(1)), h && h->object ? "open" : "closed");
    return 1;
}

void lua_handle_define(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction close)
{
    luaL_newmetatable(L, type);
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__gc");
    lua_pushcfunction(L, close);
    lua_setfield(L, -2, "__close");
    lua_pushstring(L, type);
    lua_pushcclosure(L, handle_tostring, 1);
    lua_setfield(L, -2, "__tostring");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    lua_setfield(L, -2, "__index");
    lua_pop(L, 1);
}
