/* SPDX-License-Identifier: MIT
 *
 * lua_run.h - what a run needs beside the engine, for Lua: its files (lua_run.c, lua_reader.c, lua_lock.c), the system
 * (lua_sys.c) and other processes (lua_process.c).
 */
#ifndef LSTM_LUA_RUN_H
#define LSTM_LUA_RUN_H

#include <lauxlib.h>
#include <lua.h>

#include "h5log.h"

/* Adds the tables `log`, `csv`, `checkpoint`, `results`, `sys` and `process` to the table on top of the stack. */
void lua_run_register(lua_State *L);

/* The open log that is argument 1 of a method. */
h5log *lua_log_check(lua_State *L);
/* Methods of the log that take tensors (lua_watch.c). */
extern const luaL_Reg lua_watch_methods[];

/* Adds reading (lua_reader.c) to the table `log` on top of the stack. */
void lua_reader_register(lua_State *L);
/* Adds the table `lock` to the table on top of the stack. */
void lua_lock_register(lua_State *L);

/* Pushes the table `sys`. */
void lua_sys_push(lua_State *L);
/* Pushes the table `process`. */
void lua_process_push(lua_State *L);
/* Pushes the table `results` (lua_results.c). */
void lua_results_push(lua_State *L);

#endif
