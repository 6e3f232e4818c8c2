/* SPDX-License-Identifier: MIT
 *
 * test_lua_memory.c - the binding when Lua runs out of memory: every allocation of a script fails in turn. Each time the
 * script must end with Lua's own error, the state must still work, and closing it must free everything.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "lstm.h"
#include "tap.h"

int luaopen_lstm_core(lua_State *L);

typedef struct account {
    size_t used;        /* bytes Lua holds */
    long calls, fail_at; /* allocations so far; from this one on they fail. -1: never */
} account;

static void *allocate(void *context, void *block, size_t old_size, size_t new_size)
{
    account *a = context;
    size_t before = block == NULL ? 0 : old_size; /* without a block, old_size is a kind of object */
    if (new_size > before && a->fail_at >= 0 && a->calls++ >= a->fail_at)
        return NULL;
    void *moved = NULL;
    if (new_size == 0)
        free(block);
    else if ((moved = realloc(block, new_size)) == NULL)
        return NULL;
    a->used += new_size - before;
    return moved;
}

static const char script[] =
    "local lstm = require 'lstm.core'\n"
    "local text = assert(lstm.corpus { text = ('to be or not to be\\n'):rep(8), split = { 0.7, 0.3 } })\n"
    "local model = lstm.model { vocab = text.vocab, hidden = 3, embed = 2, init = { recurrent = { 'normal', 0.1 },\n"
    "  bias = function(name, t) return { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } end } }\n"
    "local fit = model:trainer { batch = 1, seq = 2, clip_norm = 1, threads = 1 }\n"
    "fit:step(text)\n"
    "fit:step { ids = { 1, 2 }, targets = { { 2 }, { 3 } }, mask = { 1, 1 } }\n"
    "fit:forward(text:train { batch = 1, seq = 2, order = 'shuffled' }:next())\n"
    "fit:backward()\n"
    "fit:update()\n"
    "fit:evaluate(text)\n"
    "local s = fit:state()\n"
    "fit:set_state(s)\n"
    "for _, entry in ipairs(fit:checkpoint_tensors()) do entry[2]:assign(entry[2]:copy()) end\n"
    "for name, view in model:parameters() do view:totable(); tostring(view); view:abs():norm() end\n"
    "fit:activation('h'):slice(3, 1, 2)[1][1][1] = 0.5\n"
    "model:sample { prime = 'to', length = 3 }\n"
    "assert(lstm.vocabulary(model.vocab:serialize()):decode { 1, 2 })\n"
    "lstm.tensor { { 1, 2 }, { 3, 4 } }:reshape { 4 }:equal(lstm.tensor.normal { 4 })\n"
    "assert(not pcall(lstm.model, { vocab = 5, hiden = 3 }))\n"
    "assert(not pcall(lstm.model, { vocab = 5, hidden = {} }))\n"
    "local c, d = model.config, fit.config, tostring(model), tostring(fit), tostring(text)\n"
    "model:close()\n"
    "assert(not pcall(fit.step, fit, text))\n";

static int run_script(lua_State *L)
{
    luaL_openlibs(L);
    luaL_requiref(L, "lstm.core", luaopen_lstm_core, 0);
    if (luaL_loadbufferx(L, script, sizeof script - 1, "=script", "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

/* Runs the script with allocation k failing; k < 0: none. The result is what lua_pcall says. */
static int run(long k, bool *sound)
{
    account a = { 0, 0, -1 };
    lua_State *L = lua_newstate(allocate, &a);
    if (L == NULL)
        return LUA_ERRMEM;
    lua_pushcfunction(L, run_script);
    a.fail_at = k;
    int status = lua_pcall(L, 0, 0, 0);
    a.fail_at = -1;
    if (status != LUA_OK && status != LUA_ERRMEM)
        tap_note("allocation %ld: %s", k, lua_tostring(L, -1));
    lua_settop(L, 0);
    lua_pushcfunction(L, run_script); /* with memory again, the same state does it all */
    *sound = lua_pcall(L, 0, 0, 0) == LUA_OK;
    if (!*sound)
        tap_note("afterwards: %s", lua_tostring(L, -1));
    lua_close(L);
    *sound = *sound && a.used == 0;
    return status;
}

int main(void)
{
    bool sound;
    long k = 0, wrong = 0, broken = 0;
    lstm_set_threads(1);
    tap_ok(run(-1, &sound) == LUA_OK && sound, "the script runs");
    for (int status = LUA_ERRMEM; status != LUA_OK && k < 100000; k++) {
        status = run(k, &sound);
        wrong += status != LUA_OK && status != LUA_ERRMEM;
        broken += !sound;
    }
    tap_ok(k > 500 && k < 100000, "%ld allocations failed in turn", k - 1);
    tap_ok(wrong == 0, "each ended with Lua's memory error");
    tap_ok(broken == 0, "and left a state that works and frees everything");
    return tap_done();
}
