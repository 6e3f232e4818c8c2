/* SPDX-License-Identifier: MIT
 *
 * lua_handle.h - userdata that own one object of the file layer: logs, checkpoints, locks.
 *
 * A handle is born closed: its pointer is NULL until the object is there, and again after close. The close function of
 * a type is its __gc and its __close, too, and may be called again.
 */
#ifndef LSTM_LUA_HANDLE_H
#define LSTM_LUA_HANDLE_H

#include <lauxlib.h>
#include <lua.h>

#include "lstm.h"

typedef struct lua_handle {
    void *object;
} lua_handle;

/* Makes the metatable of a type ("lstm.log") with these methods; leaves nothing. */
void lua_handle_define(lua_State *L, const char *type, const luaL_Reg *methods, lua_CFunction close);
lua_handle *lua_handle_new(lua_State *L, const char *type); /* pushes a closed one */
/* The object of argument 1; raises when that is something else, or closed. */
void *lua_handle_check(lua_State *L, const char *type);

/* What functions return. The handle on top of the stack is given its object; NULL: the error is returned instead. */
int lua_handle_opened(lua_State *L, lua_handle *h, void *object, const lstm_error *err);
int lua_handle_done(lua_State *L, int result, const lstm_error *err); /* result 0: true; else as lua_handle_fail */
/* nil and a sentence. When an argument was wrong, rather than a file or the memory, once more without its name. */
int lua_handle_fail(lua_State *L, const lstm_error *err);

#endif
