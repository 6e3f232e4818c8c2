/* SPDX-License-Identifier: MIT
 *
 * lua_core.c - the module lstm.core: what lua/lstm/init.lua builds on. Preloaded by lstmrun, loaded by a plain lua5.4.
 */
#define _GNU_SOURCE /* dladdr */
#include <dlfcn.h>

#include "lua_binding.h"
#include "lua_run.h"
#include "sha256.h"

/* lstm.kernel() -> name of the instruction set in use */
static int kernel(lua_State *L)
{
    lua_pushstring(L, lstm_kernel());
    return 1;
}

/* lstm.tiles() -> "amx", "avx512bf16" or "software": who computes products of bfloat16 numbers; and what is wrong with what
 * is not used, or nil */
static int tiles(lua_State *L)
{
    lua_pushstring(L, lstm_tiles());
    lua_pushstring(L, lstm_tiles_problem());
    return 2;
}

/* auto_units([units]) -> whether precision 'auto' decides as on a machine with matrix units. units: from now on so, or
 * not; nil: as this machine has them */
static int auto_units(lua_State *L)
{
    if (!lua_isnone(L, 1))
        lstm_set_auto(lua_isnil(L, 1) ? -1 : lua_toboolean(L, 1));
    lua_pushboolean(L, lstm_auto_units());
    return 1;
}

/* lstm.threads([n]) -> number of threads an engine call may use */
static int threads(lua_State *L)
{
    if (!lua_isnoneornil(L, 1))
        lstm_set_threads((int)lua_args_to_integer(L, 1, "threads", 1, NULL, 1, 4096));
    lua_pushinteger(L, lstm_threads());
    return 1;
}

/* max_memory(bytes): the most that models, trainers, texts and everything in Lua may take together, from now on */
static int max_memory(lua_State *L)
{
    lua_memory_limit(L, (size_t)lua_args_to_integer(L, 1, "max_memory", 1, NULL, 1, LUA_MAXINTEGER));
    return 0;
}

/* lstm.sha256(string) -> 64 hexadecimal digits */
static int sha256(lua_State *L)
{
    char digits[LSTM_SHA256_HEX_SIZE];
    size_t size;
    if (lua_type(L, 1) != LUA_TSTRING)
        lua_args_error(L, "sha256", 1, "string expected, got %s", lua_args_got(L, 1));
    const char *bytes = lua_tolstring(L, 1, &size);
    lstm_sha256_hex(bytes, size, digits);
    lua_pushstring(L, digits);
    return 1;
}

/* lua_close unloads modules. OpenMP's threads outlive that, and would find their code gone: keep it. */
static void stay_loaded(void)
{
    static const char here;
    Dl_info module;
    if (dladdr(&here, &module) != 0 && module.dli_fname != NULL)
        dlopen(module.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
}

int luaopen_lstm_core(lua_State *L);

int luaopen_lstm_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        { "kernel", kernel }, { "tiles", tiles }, { "auto_units", auto_units }, { "threads", threads },
        { "max_memory", max_memory },
        { "sha256", sha256 }, { NULL, NULL },
    };
    luaL_checkversion(L);
    stay_loaded();
    luaL_newlib(L, functions);
    lua_pushliteral(L, LSTM_VERSION);
    lua_setfield(L, -2, "version");
    lua_pushinteger(L, LUA_ARGS_SIZE_MAX);
    lua_setfield(L, -2, "size_max");
    lua_memory_register(L);
    lua_tensor_register(L);
    lua_vocabulary_register(L);
    lua_corpus_register(L);
    lua_stream_register(L);
    lua_model_register(L);
    lua_trainer_register(L);
    lua_group_register(L);
    lua_run_register(L);
    return 1;
}
