/* SPDX-License-Identifier: MIT */
#include "lua_args.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- raising ---------------------------------------------------------------------------------------------------- */

/* Position of the innermost function written in Lua. luaL_where() is not enough: called from pcall or from an
 * iterator, the level above ours is a C function, which has no line. */
static void push_where(lua_State *L)
{
    lua_Debug at;
    for (int level = 0; lua_getstack(L, level, &at); level++) {
        lua_getinfo(L, "Sl", &at);
        if (at.currentline > 0) {
            lua_pushfstring(L, "%s:%d: ", at.short_src, at.currentline);
            return;
        }
    }
    lua_pushliteral(L, "");
}

static int raise_va(lua_State *L, const char *format, va_list values)
{
    push_where(L);
    const char *message = lua_pushvfstring(L, format, values);
    luaL_gsub(L, message, "\n", "\\n"); /* from names; an error is one line */
    lua_remove(L, -2);
    lua_concat(L, 2);
    return lua_error(L);
}

int lua_raise(lua_State *L, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    raise_va(L, format, values);
    va_end(values);
    return 0;
}

static int do_nothing(lua_State *L)
{
    (void)L;
    return 0;
}

void lua_let_interrupt(lua_State *L)
{
    lua_pushcfunction(L, do_nothing);
    lua_call(L, 0, 0);
}

int lua_args_error(lua_State *L, const char *function, int arg, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    const char *message = lua_pushvfstring(L, format, values);
    va_end(values);
    return lua_raise(L, "bad argument #%d to '%s' (%s)", arg, function, message);
}

int lua_args_field_error(const lua_args *a, const char *field, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    const char *message = lua_pushvfstring(a->L, format, values);
    va_end(values);
    return lua_args_error(a->L, a->function, a->arg, "field '%s%s': %s", a->prefix, field, message);
}

int lua_args_engine_error(const lua_args *a, const lstm_error *err)
{
    if (err->field[0] != '\0')
        return lua_args_field_error(a, err->field, "%s", err->message);
    return lua_raise(a->L, "%s: %s", a->function, err->message);
}

const char *lua_args_got(lua_State *L, int index)
{
    switch (lua_type(L, index)) {
    case LUA_TNONE:
        return lua_pushliteral(L, "nothing");
    case LUA_TNUMBER:
        if (lua_isinteger(L, index))
            return lua_pushfstring(L, "%I", (LUAI_UACINT)lua_tointeger(L, index));
        if (isnan(lua_tonumber(L, index)))
            return lua_pushliteral(L, "nan"); /* printf would show its sign, which means nothing */
        return lua_pushfstring(L, "%f", (LUAI_UACNUMBER)lua_tonumber(L, index));
    case LUA_TBOOLEAN:
        return lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
    case LUA_TSTRING: {
        char text[41]; /* a long string is cut; bytes that would break the line become '?' */
        snprintf(text, sizeof text, "%s", lua_tostring(L, index));
        for (char *c = text; *c != '\0'; c++)
            if ((unsigned char)*c < ' ')
                *c = '?';
        return lua_pushfstring(L, "'%s'%s", text, strlen(text) == sizeof text - 1 ? "..." : "");
    }
    case LUA_TNIL:
        return lua_pushliteral(L, "nil");
    default: {
        const char *name = luaL_typename(L, index);
        int type = luaL_getmetafield(L, index, "__name");
        if (type == LUA_TSTRING)
            name = lua_tostring(L, -1); /* stays on the stack, as the result does */
        return lua_pushfstring(L, "a %s", name);
    }
    }
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

#define NAME_MAX_LENGTH 31

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool differ(char a, char b)
{
    return tolower((unsigned char)a) != tolower((unsigned char)b);
}

/* How many letters must be added, dropped, changed or swapped with their neighbour to turn a into b, whatever the case;
 * names longer than NAME_MAX_LENGTH are like nothing. */
static size_t distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b), rows[3][NAME_MAX_LENGTH + 1];
    if (n > NAME_MAX_LENGTH || m > NAME_MAX_LENGTH)
        return SIZE_MAX;
    for (size_t j = 0; j <= m; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t *row = rows[i % 3], *last = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            row[j] = least(least(last[j], row[j - 1]) + 1, last[j - 1] + differ(a[i - 1], b[j - 1]));
            if (i > 1 && j > 1 && !differ(a[i - 1], b[j - 2]) && !differ(a[i - 2], b[j - 1]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[n % 3][m];
}

/* Whether wrong is a longer word for name, as hidden_size and num_layers are elsewhere for hidden and layers. */
static bool is_longer(const char *wrong, const char *name)
{
    size_t n = strlen(name), w = strlen(wrong);
    if (n < 3 || n >= w)
        return false;
    return strncmp(wrong, name, n) == 0 || (wrong[w - n - 1] == '_' && strcmp(wrong + w - n, name) == 0);
}

/* Whether name has the first letters of wrong's words, as lr has those of learning_rate. */
static bool is_short_for(const char *name, const char *wrong)
{
    size_t words = 0;
    for (const char *word = wrong; word; words++) {
        if (*word == '_')
            word++;
        if (*word == 0 || name[words] != *word)
            return false;
        word = strchr(word, '_');
    }
    return words > 1 && name[words] == 0;
}

const char *lua_args_nearest(const char *wrong, const char *const *names)
{
    const char *nearest = NULL;
    size_t best = strlen(wrong) / 3 + 2; /* farther than that is another word */
    for (const char *const *name = names; *name != NULL; name++)
        if (is_longer(wrong, *name) && (nearest == NULL || strlen(*name) > strlen(nearest)))
            nearest = *name;
    for (const char *const *name = names; nearest == NULL && *name != NULL; name++)
        if (is_short_for(*name, wrong))
            nearest = *name;
    if (nearest != NULL)
        return nearest;
    for (; *names != NULL; names++) {
        size_t d = distance(wrong, *names);
        if (d < best) {
            best = d;
            nearest = *names;
        }
    }
    return nearest;
}

static bool known(const char *name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* lstm:model { ... } has the module as its first argument, whose fields mean nothing. */
static void refuse_colon(const lua_args *a)
{
    lua_State *L = a->L;
    if (a->table == 1 && lua_getfield(L, 1, a->function) == LUA_TFUNCTION)
        lua_args_error(L, a->function, a->arg, "the table itself expected; write a dot, not a colon, before '%s'",
                       a->function);
}

static void refuse_name(const lua_args *a, const char *name, const char *const *names)
{
    refuse_colon(a);
    const char *nearest = lua_args_nearest(name, names);
    if (nearest != NULL)
        lua_args_error(a->L, a->function, a->arg, "unknown field '%s%s', did you mean '%s'?", a->prefix, name, nearest);
    lua_args_error(a->L, a->function, a->arg, "unknown field '%s%s'", a->prefix, name);
}

static void check_names(const lua_args *a, const char *const *names, bool positional)
{
    lua_State *L = a->L;
    lua_Integer count = positional ? (lua_Integer)lua_rawlen(L, a->table) : 0;
    for (lua_pushnil(L); lua_next(L, a->table) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) == LUA_TSTRING) {
            if (!known(lua_tostring(L, -2), names))
                refuse_name(a, lua_tostring(L, -2), names);
        } else if (!lua_isinteger(L, -2) || lua_tointeger(L, -2) < 1 || lua_tointeger(L, -2) > count) {
            lua_args_error(L, a->function, a->arg, "unknown field [%s]", lua_args_got(L, -2));
        }
    }
}

/* A table whose metatable answers for it may answer differently each time, or with a string that nobody else keeps: it is
 * replaced on the stack by a table of its answers. */
static void settle(const lua_args *a, const char *const *names)
{
    lua_State *L = a->L;
    if (luaL_getmetafield(L, a->table, "__index") == LUA_TNIL)
        return;
    lua_pop(L, 1);
    lua_newtable(L);
    for (lua_Integer k = 1; k <= (lua_Integer)lua_rawlen(L, a->table); k++) {
        lua_rawgeti(L, a->table, k);
        lua_rawseti(L, -2, k);
    }
    for (; *names != NULL; names++) {
        lua_getfield(L, a->table, *names);
        lua_setfield(L, -2, *names);
    }
    lua_replace(L, a->table);
}

lua_args lua_args_open(lua_State *L, int table, const char *function, int arg, const char *const *names,
                       bool positional)
{
    lua_args a = { L, function, arg, lua_absindex(L, table), "" };
    luaL_checkstack(L, 16, function);
    if (!lua_istable(L, table))
        lua_args_error(L, function, arg, "table expected, got %s", lua_args_got(L, table));
    check_names(&a, names, positional);
    settle(&a, names);
    return a;
}

lua_args lua_args_open_field(const lua_args *a, int table, const char *prefix, const char *const *names,
                             bool positional)
{
    lua_args inner = { a->L, a->function, a->arg, lua_absindex(a->L, table), prefix };
    luaL_checkstack(a->L, 16, a->function);
    check_names(&inner, names, positional);
    settle(&inner, names);
    return inner;
}

bool lua_args_push_other_key(lua_State *L, int table, size_t length)
{
    table = lua_absindex(L, table);
    const bool zero = lua_rawgeti(L, table, 0) != LUA_TNIL;
    lua_pop(L, 1);
    if (length > 0 || zero)
        lua_pushinteger(L, zero ? 0 : (lua_Integer)length);
    else
        lua_pushnil(L);
    if (zero)
        return true;
    while (lua_next(L, table) != 0) {
        const bool packed = lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "n") == 0 &&
                            lua_isinteger(L, -1) && lua_tointeger(L, -1) == (lua_Integer)length; /* by table.pack */
        lua_pop(L, 1);
        if (packed)
            continue;
        if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > (lua_Integer)length)
            return true;
    }
    return false;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* "field 'hidden': " or nothing, then what was expected and what was got. */
static int refuse_value(lua_State *L, const char *got, const char *function, int arg, const char *what,
                        const char *expected)
{
    if (what == NULL)
        return lua_args_error(L, function, arg, "%s expected, got %s", expected, got);
    return lua_args_error(L, function, arg, "%s: %s expected, got %s", what, expected, got);
}

static const char *integer_range(lua_State *L, bool too_large, lua_Integer min, lua_Integer max)
{
    if (max == LUA_MAXINTEGER)
        too_large = false;
    if (min == 1 && max > INT16_MAX)
        return too_large ? lua_pushfstring(L, "positive integer up to %I", (LUAI_UACINT)max) : "positive integer";
    if (min == 0 && max > INT16_MAX)
        return too_large ? lua_pushfstring(L, "integer from 0 to %I", (LUAI_UACINT)max) : "non-negative integer";
    return lua_pushfstring(L, "integer from %I to %I", (LUAI_UACINT)min, (LUAI_UACINT)max);
}

/* Whether the number is above max: NaN is not, infinity is. */
static bool above(lua_State *L, int index, lua_Integer max)
{
    if (lua_isinteger(L, index))
        return lua_tointeger(L, index) > max;
    return lua_type(L, index) == LUA_TNUMBER && lua_tonumber(L, index) > (double)max;
}

lua_Integer lua_args_to_integer(lua_State *L, int index, const char *function, int arg, const char *what,
                                lua_Integer min, lua_Integer max)
{
    int exact = 0;
    index = lua_absindex(L, index);
    lua_Integer value = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &exact) : 0;
    if (exact && value >= min && value <= max)
        return value;
    bool too_large = above(L, index, max);
    const char *got = lua_args_got(L, index); /* first: at an index past the top is what is pushed next */
    return refuse_value(L, got, function, arg, what, integer_range(L, too_large, min, max));
}

double lua_args_to_number(lua_State *L, int index, const char *function, int arg, const char *what, lua_range range)
{
    static const char *const expected[] = { "finite number", "positive number", "non-negative number",
                                            "number from 0 to below 1" };
    index = lua_absindex(L, index);
    double value = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : NAN;
    bool good = isfinite(value);
    if (range == LUA_RANGE_POSITIVE)
        good = good && value > 0;
    if (range == LUA_RANGE_NOT_NEGATIVE || range == LUA_RANGE_FRACTION)
        good = good && value >= 0;
    if (range == LUA_RANGE_FRACTION)
        good = good && value < 1;
    if (!good)
        refuse_value(L, lua_args_got(L, index), function, arg, what, expected[range]);
    return value;
}

/* ---- fields ----------------------------------------------------------------------------------------------------- */

/* Pushes the field; false (and nothing pushed) when it is nil. */
static bool push_field(const lua_args *a, const char *field)
{
    if (lua_getfield(a->L, a->table, field) != LUA_TNIL)
        return true;
    lua_pop(a->L, 1);
    return false;
}

static const char *field_name(const lua_args *a, const char *field)
{
    return lua_pushfstring(a->L, "field '%s%s'", a->prefix, field);
}

bool lua_args_has(const lua_args *a, const char *field)
{
    bool has = push_field(a, field);
    if (has)
        lua_pop(a->L, 1);
    return has;
}

lua_Integer lua_args_integer(const lua_args *a, const char *field, lua_Integer min, lua_Integer max,
                             lua_Integer absent)
{
    if (!push_field(a, field))
        return absent;
    int index = lua_gettop(a->L);
    const char *what = field_name(a, field);
    lua_Integer value = lua_args_to_integer(a->L, index, a->function, a->arg, what, min, max);
    lua_settop(a->L, index - 1);
    return value;
}

double lua_args_number(const lua_args *a, const char *field, lua_range range, double absent)
{
    if (!push_field(a, field))
        return absent;
    int index = lua_gettop(a->L);
    const char *what = field_name(a, field);
    double value = lua_args_to_number(a->L, index, a->function, a->arg, what, range);
    lua_settop(a->L, index - 1);
    return value;
}

bool lua_args_boolean(const lua_args *a, const char *field, bool absent)
{
    if (!push_field(a, field))
        return absent;
    if (!lua_isboolean(a->L, -1))
        lua_args_field_error(a, field, "true or false expected, got %s", lua_args_got(a->L, -1));
    bool value = lua_toboolean(a->L, -1);
    lua_pop(a->L, 1);
    return value;
}

const char *lua_args_string(const lua_args *a, const char *field, size_t *length, const char *absent)
{
    if (!push_field(a, field)) {
        if (length != NULL)
            *length = absent == NULL ? 0 : strlen(absent);
        return absent;
    }
    if (lua_type(a->L, -1) != LUA_TSTRING)
        lua_args_field_error(a, field, "string expected, got %s", lua_args_got(a->L, -1));
    const char *value = lua_tolstring(a->L, -1, length);
    lua_pop(a->L, 1);
    return value;
}

/* "'a', 'b' or 'c'" */
static const char *push_choices(lua_State *L, const char *const *choices)
{
    luaL_Buffer text;
    luaL_buffinit(L, &text);
    for (size_t k = 0; choices[k] != NULL; k++) {
        if (k > 0)
            luaL_addstring(&text, choices[k + 1] != NULL ? ", " : " or ");
        luaL_addchar(&text, '\'');
        luaL_addstring(&text, choices[k]);
        luaL_addchar(&text, '\'');
    }
    luaL_pushresult(&text);
    return lua_tostring(L, -1);
}

int lua_args_choice(const lua_args *a, const char *field, const char *const *choices, int absent)
{
    if (!push_field(a, field))
        return absent;
    int index = lua_gettop(a->L);
    if (lua_type(a->L, index) == LUA_TSTRING) {
        for (int k = 0; choices[k] != NULL; k++) {
            if (strcmp(lua_tostring(a->L, index), choices[k]) == 0) {
                lua_pop(a->L, 1);
                return k;
            }
        }
    }
    const char *expected = push_choices(a->L, choices);
    return lua_args_field_error(a, field, "%s expected, got %s", expected, lua_args_got(a->L, index));
}
