/* SPDX-License-Identifier: MIT
 *
 * lua_run.h - what a run needs beside the engine, for Lua: its files (lua_run.c) and the system (lua_sys.c).
 */
#ifndef LSTM_LUA_RUN_H
#define LSTM_LUA_RUN_H

#include <lauxlib.h>
#include <lua.h>

#include "h5log.h"

/* Adds the tables `log`, `csv`, `checkpoint` and `sys` to the table on top of the stack. */
void lua_run_register(lua_State *L);

/* The open log that is argument 1 of a method. */
h5log *lua_log_check(lua_State *L);
/* What a method of the log returns: true, or nil and a sentence. */
int lua_log_done(lua_State *L, int result, const lstm_error *err);
/* Methods of the log that take tensors (lua_watch.c). */
extern const luaL_Reg lua_watch_methods[];

/* Pushes the table `sys`. */
void lua_sys_push(lua_State *L);

#endif
