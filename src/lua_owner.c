/* SPDX-License-Identifier: MIT
 *
 * lua_owner.c - userdata that hold memory in C: checks, metatables, results.
 */
#include <stdlib.h>
#include <string.h>

#include "lua_binding.h"

void *lua_owner_self(lua_State *L, int index, const char *tname, const char *function)
{
    void *self = luaL_testudata(L, index, tname);
    if (self == NULL)
        lua_raise(L, "calling '%s' on bad self (%s expected, got %s)", function, tname, lua_args_got(L, index));
    return self;
}

void *lua_owner_check(lua_State *L, int index, const char *tname, const char *function)
{
    lua_owner *owner = lua_owner_self(L, index, tname, function);
    lua_owner_recheck(L, owner, function);
    return owner;
}

void lua_owner_recheck(lua_State *L, const lua_owner *owner, const char *function)
{
    if (owner != NULL && owner->closed != NULL)
        lua_raise(L, "attempt to call '%s' on a %s", function, owner->closed);
}

static int refuse_newindex(lua_State *L)
{
    return lua_raise(L, "attempt to set field %s of %s (none of its fields can be set)", lua_args_got(L, 2),
                     lua_args_got(L, 1));
}

void lua_owner_register(lua_State *L, const char *tname, const luaL_Reg *metamethods, const luaL_Reg *methods)
{
    luaL_newmetatable(L, tname);
    luaL_setfuncs(L, metamethods, 0);
    lua_pushstring(L, tname);
    lua_setfield(L, -2, "__metatable"); /* scripts can't reach the metamethods */
    if (lua_getfield(L, -1, "__newindex") == LUA_TNIL) {
        lua_pushcfunction(L, refuse_newindex);
        lua_setfield(L, -3, "__newindex");
    }
    lua_pop(L, 1);
    lua_newtable(L);
    luaL_setfuncs(L, methods, 0);
    if (lua_getfield(L, -2, "__index") == LUA_TNIL) {
        lua_pushvalue(L, -2);
        lua_setfield(L, -4, "__index");
    }
    lua_pop(L, 1);
    lua_setfield(L, -2, "methods");
    lua_pop(L, 1);
}

void lua_owner_push_method(lua_State *L, const char *tname, int key)
{
    key = lua_absindex(L, key);
    luaL_getmetatable(L, tname);
    lua_getfield(L, -1, "methods");
    lua_pushvalue(L, key);
    lua_rawget(L, -2);
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* Whether a script reads the field, rather than C code that asks an object what it is. */
static bool is_read_by_script(lua_State *L)
{
    lua_Debug reader;
    return lua_getstack(L, 1, &reader) && lua_getinfo(L, "l", &reader) && reader.currentline > 0;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Raises for the name at `key`. Of the names of the methods, in the table on top of the stack, and the fields the nearest
 * is told. */
static void refuse_unknown(lua_State *L, const char *tname, int key, const char *const *fields)
{
    enum { MOST = 96 };
    const char *names[MOST + 1], *name = lua_type(L, key) == LUA_TSTRING ? lua_tostring(L, key) : "";
    size_t n = 0;
    while (fields[n] != NULL) {
        names[n] = fields[n];
        n++;
    }
    for (lua_pushnil(L); lua_next(L, -2) != 0 && n < MOST; lua_pop(L, 1))
        names[n++] = lua_tostring(L, -2);
    names[n] = NULL;
    qsort(names, n, sizeof *names, compare_names); /* lua_next's order is another each time, and of equals the first counts */
    const char *nearest = lua_args_nearest(name, names);
    lua_raise(L, "a %s has no field or method %s%s%s%s", tname, lua_args_got(L, key), nearest ? ", did you mean '" : "",
              nearest ? nearest : "", nearest ? "'?" : "");
}

void lua_owner_push_known_method(lua_State *L, const char *tname, int key, const char *const *fields)
{
    lua_owner_push_method(L, tname, key);
    if (!lua_isnil(L, -1) || !is_read_by_script(L))
        return;
    luaL_getmetatable(L, tname);
    lua_getfield(L, -1, "methods");
    refuse_unknown(L, tname, key, fields);
}

const char *lua_owner_key(lua_State *L)
{
    return lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "";
}

/* ---- results ---------------------------------------------------------------------------------------------------- */

int lua_failure(lua_State *L, const lstm_error *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    return 2;
}

void lua_field_integer(lua_State *L, const char *field, size_t value)
{
    lua_pushinteger(L, (lua_Integer)value);
    lua_setfield(L, -2, field);
}

void lua_field_number(lua_State *L, const char *field, double value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, field);
}

void lua_field_boolean(lua_State *L, const char *field, bool value)
{
    lua_pushboolean(L, value);
    lua_setfield(L, -2, field);
}

void lua_field_string(lua_State *L, const char *field, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, field);
}
