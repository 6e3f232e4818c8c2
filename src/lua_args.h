/* SPDX-License-Identifier: MIT
 *
 * lua_args.h - checked arguments: tables whose fields are known by name, type and range.
 *
 * Everything here raises a Lua error in one manner, with the position of the script in front:
 *
 *     mine.lua:12: bad argument #1 to 'model' (field 'hidden': positive integer expected, got -4)
 *
 * Values are never converted: a string that looks like a number is not a number, and a float is an integer only when
 * it is one exactly.
 */
#ifndef LUA_ARGS_H
#define LUA_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include <lauxlib.h>
#include <lua.h>

#include "lstm.h"

/* Largest size a script may ask for along one dimension. */
#define LUA_ARGS_SIZE_MAX INT32_MAX

typedef struct lua_args {
    lua_State *L;
    const char *function; /* as the script calls it */
    int arg;              /* number of the argument, not counting self; 0: `field` alone says where */
    int table;            /* absolute stack index of the table */
    const char *prefix;   /* in front of the field names in messages: "init." for a table in a table, else "" */
} lua_args;

/* Ranges of numbers; infinities and NaN are in none. */
typedef enum lua_range {
    LUA_RANGE_FINITE,
    LUA_RANGE_POSITIVE,
    LUA_RANGE_NOT_NEGATIVE,
    LUA_RANGE_FRACTION, /* [0, 1) */
} lua_range;

/* Raises "where: message" with the position of the innermost Lua function. Never returns; an int for the caller's
 * "return lua_raise(...)". */
int lua_raise(lua_State *L, const char *format, ...);
/* What takes long in C calls this now and then, so that an interrupted program ends: Ctrl-C becomes an error when Lua
 * calls a function. */
void lua_let_interrupt(lua_State *L);
/* Raises "where: bad argument #arg to 'function' (message)". */
int lua_args_error(lua_State *L, const char *function, int arg, const char *format, ...);
/* The same with "field 'prefix+field': " before the message. */
int lua_args_field_error(const lua_args *a, const char *field, const char *format, ...);
/* Turns an engine's error into the same: names the field when it has one. */
int lua_args_engine_error(const lua_args *a, const lstm_error *err);

/* Pushes and returns what a message says of the value at index: -4, 'text', nil, a table, ... */
const char *lua_args_got(lua_State *L, int index);

/* Checks that stack index `table` holds a table whose string keys are all in `names` (NULL-terminated) and which has
 * no other keys than those and, when positional, 1..#table. Another name is refused with the nearest known one. A table
 * with __index is asked for all names now, and what it answered takes its place at the stack index: that may run any code
 * of the script, later calls do not. */
lua_args lua_args_open(lua_State *L, int table, const char *function, int arg, const char *const *names,
                       bool positional);
/* The same for a table in a field of another, at stack index `table`; prefix must outlive the result. */
lua_args lua_args_open_field(const lua_args *a, int table, const char *prefix, const char *const *names,
                             bool positional);

/* Whether the table at a stack index, a list of `length` elements, has something else: [0], of somebody who counts from
 * there, or a field; then its key is pushed. Beside [0] it looks at the keys after the last element, as all others are
 * where the elements lie in the array that Lua keeps for them: to look at all would take as long as to read the list. */
bool lua_args_push_other_key(lua_State *L, int table, size_t length);

/* The name among `names` (NULL-terminated) that someone who wrote `wrong` may have meant, or NULL. */
const char *lua_args_nearest(const char *wrong, const char *const *names);

/* Fields. A field that is nil gets `absent`. */
bool lua_args_has(const lua_args *a, const char *field);
lua_Integer lua_args_integer(const lua_args *a, const char *field, lua_Integer min, lua_Integer max,
                             lua_Integer absent);
double lua_args_number(const lua_args *a, const char *field, lua_range range, double absent);
bool lua_args_boolean(const lua_args *a, const char *field, bool absent);
/* The string belongs to the table: valid as long as that is on the stack and the field is not changed. May hold NULs:
 * length (may be NULL). */
const char *lua_args_string(const lua_args *a, const char *field, size_t *length, const char *absent);
/* Index of the string in `choices` (NULL-terminated). */
int lua_args_choice(const lua_args *a, const char *field, const char *const *choices, int absent);

/* The value at a stack index; `what` says where it is in messages ("field 'seq'", "axis 2"); NULL: the argument. */
lua_Integer lua_args_to_integer(lua_State *L, int index, const char *function, int arg, const char *what,
                                lua_Integer min, lua_Integer max);
double lua_args_to_number(lua_State *L, int index, const char *function, int arg, const char *what, lua_range range);

#endif
