/* SPDX-License-Identifier: MIT
 *
 * lua_run.h - what a run needs beside the engine, for Lua: its files (lua_run.c) and the system (lua_sys.c).
 */
#ifndef LSTM_LUA_RUN_H
#define LSTM_LUA_RUN_H

#include <lua.h>

/* Adds the tables `log`, `csv`, `checkpoint` and `sys` to the table on top of the stack. */
void lua_run_register(lua_State *L);

/* Pushes the table `sys`. */
void lua_sys_push(lua_State *L);

#endif
