/* SPDX-License-Identifier: MIT
 *
 * lua_owner.c - userdata that hold memory in C: checks, metatables, and what the collector is told.
 */
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

void lua_owner_register(lua_State *L, const char *tname, const luaL_Reg *metamethods, const luaL_Reg *methods)
{
    luaL_newmetatable(L, tname);
    luaL_setfuncs(L, metamethods, 0);
    lua_pushstring(L, tname);
    lua_setfield(L, -2, "__metatable"); /* scripts can't reach the metamethods */
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

/* ---- memory ----------------------------------------------------------------------------------------------------- */

typedef struct memory {
    size_t held; /* bytes held in C by all objects of this Lua state */
    size_t next; /* collect before more than that are held */
} memory;

static const char memory_key = 0; /* its address is the key in the registry */

static memory *memory_of(lua_State *L)
{
    lua_rawgetp(L, LUA_REGISTRYINDEX, &memory_key);
    memory *m = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return m;
}

void lua_memory_register(lua_State *L)
{
    if (memory_of(L) != NULL)
        return;
    memory *m = lua_newuserdatauv(L, sizeof *m, 0);
    *m = (memory){ 0, 0 };
    lua_rawsetp(L, LUA_REGISTRYINDEX, &memory_key);
}

/* The next collection is due when half of everything, here and in Lua, has come on top: the work of collecting stays
 * in proportion to what was made since, and dropped objects never take more than half of what is in use. */
void lua_memory_want(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m == NULL || m->held + bytes <= m->next || lua_gc(L, LUA_GCISRUNNING) != 1)
        return;
    lua_gc(L, LUA_GCCOLLECT);
    size_t lua_bytes = (size_t)lua_gc(L, LUA_GCCOUNT) * 1024;
    size_t held = m->held + bytes;
    m->next = held + (held + lua_bytes) / 2;
}

void lua_memory_took(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m != NULL)
        m->held += bytes;
}

void lua_memory_gave(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m != NULL)
        m->held -= bytes < m->held ? bytes : m->held;
}
