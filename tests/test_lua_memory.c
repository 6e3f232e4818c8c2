/* SPDX-License-Identifier: MIT
 *
 * test_lua_memory.c - a script when memory runs out: every allocation in turn fails, once or from then on; those of Lua
 * as well as those of the engine, the binding and the files' writers (not those of libraries: libhdf5 crashes). Each
 * time the script must end with a sentence about memory or go on; afterwards the same state must do it all again, and
 * closing it must give everything back.
 *
 * LSTM_TORTURE=1 takes every point instead of some. With a number as argument only that point of the script that
 * writes files fails, with a second argument for good.
 */
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "failing.h"
#include "lstm.h"
#include "tap.h"

#include <stdlib.h>
#include <unistd.h>

int luaopen_lstm_core(lua_State *L);

/* The leak sanitizer's, where that is linked. */
void __lsan_disable(void) __attribute__((weak));
void __lsan_enable(void) __attribute__((weak));

/* Lua's: a block that shrinks always can. */
static void *allocate(void *context, void *block, size_t old_size, size_t new_size)
{
    (void)context;
    if (new_size == 0) {
        free(block);
        return NULL;
    }
    return block && new_size <= old_size ? shrink_block(block, new_size) : realloc(block, new_size);
}

/* ---- scripts ---------------------------------------------------------------------------------------------------- */

static const char engine_script[] =
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
    "assert(lstm.vocabulary(model.vocab:serialize())):decode { 1, 2 }\n"
    "lstm.tensor { { 1, 2 }, { 3, 4 } }:reshape { 4 }:equal(lstm.tensor.normal { 4 })\n"
    "lstm.model { input = 2, output = 2, hidden = 3, precision = 'double', init = 'orthogonal' }:close()\n"
    "assert(lstm.corpus { text = 'one two three, one two', tokens = 'words' }).vocab:encode 'two'\n"
    "local ok, reason = pcall(lstm.model, { vocab = 5, hiden = 3 })\n"
    "assert(not ok, 'made a model')\n"
    "ok = pcall(lstm.model, { vocab = 5, hidden = {} })\n"
    "assert(not ok, 'made a model')\n"
    "local c, d = model.config, fit.config, tostring(model), tostring(fit), tostring(text)\n"
    "model:close()\n"
    "ok = pcall(fit.step, fit, text)\n"
    "assert(not ok, 'stepped')\n";

static const char files_script[] =
    "local core = require 'lstm.core'\n"
    "local function name(file) return directory .. '/' .. file end\n"
    "for _, file in ipairs { 'log.h5', 'log.h5.journal', 'm.csv' } do os.remove(name(file)) end\n"
    "local text = assert(core.corpus { path = name 'text', split = { 0.7, 0.3 } })\n"
    "local model = core.model { vocab = text.vocab, hidden = 3 }\n"
    "local fit = model:trainer { batch = 1, seq = 2, threads = 1 }\n"
    "local log = assert(core.log.create(name 'log.h5', { deflate = 1 }))\n"
    "assert(log:set('run', 'title', 'a run'))\n"
    "assert(log:json '{ \"hidden\": 3 }')\n"
    "assert(log:columns { 'loss', 'lr' })\n"
    "local csv = assert(core.csv.create(name 'm.csv'))\n"
    "assert(log:announce { name = 'act/h', type = 'float', dims = { { 'time', 2 }, { 'batch', 1 }, { 'unit', 3 } } })\n"
    "for step = 1, 3 do\n"
    "  local loss = fit:step(text)\n"
    "  assert(log:row(step, { loss = loss, lr = 0.5 }))\n"
    "  assert(csv:row(step, { loss = loss, ['l,r'] = 0.5 }))\n"
    "  assert(log:tensors('act/h', step, fit:activation 'h'))\n"
    "  assert(log:sample(step, 'a text'))\n"
    "  assert(log:event(step, 'mark', 'here'))\n"
    "  if step == 2 then assert(log:flush()) assert(csv:flush()) end\n"
    "end\n"
    "assert(csv:close())\n"
    "assert(log:close())\n"
    "assert(core.csv.resume(name 'm.csv', 2)):close()\n"
    "assert(io.open(name 'm.csv'):read 'a':match '\\n2,', 'lost a line')\n"
    "assert(core.log.resume(name 'log.h5', 2)):close()\n"
    "assert(core.checkpoint.write(name 'c.h5', name 'p.h5', fit:checkpoint_tensors(), { config = '{}', step = 3 }))\n"
    "local saved = assert(core.checkpoint.read(name 'c.h5', name 'p.h5'))\n"
    "for _, entry in ipairs(fit:checkpoint_tensors()) do assert(saved:load(entry[1], entry[2])) end\n"
    "assert(saved:text 'config' == '{}' and saved:integer 'step' == 3 and #saved:names() > 3)\n"
    "saved:close()\n"
    "assert(core.sys.list(directory))\n";

static char directory[64];

/* Argument: the script. */
static int run_script(lua_State *L)
{
    const char *script = lua_touserdata(L, 1);
    luaL_openlibs(L);
    luaL_requiref(L, "lstm.core", luaopen_lstm_core, 0);
    lua_pushstring(L, directory);
    lua_setglobal(L, "directory");
    if (luaL_loadbufferx(L, script, strlen(script), "=script", "t") != LUA_OK)
        return lua_error(L);
    lua_call(L, 0, 0);
    return 0;
}

static int call_script(lua_State *L, const char *script)
{
    lua_pushcfunction(L, run_script);
    lua_pushlightuserdata(L, (void *)script);
    return lua_pcall(L, 1, 0, 0);
}

typedef struct tally {
    long points, calls, carried_on, unclear, broken, leaks, uncalled;
} tally;

/* Lua itself may have no memory to call a finalizer: it warns "error in __gc (not enough memory)" and never calls it
 * again. What that one would have given back is lost. */
static void note_warning(void *uncalled, const char *message, int goes_on)
{
    (void)goes_on;
    *(long *)uncalled += strstr(message, "not enough memory") != NULL;
}

/* The script, whose blocks are counted here. The leak sanitizer would report what Lua loses, too. */
static int call_script_with_failures(lua_State *L, const char *script, long k)
{
    if (__lsan_disable)
        __lsan_disable();
    fail_number(k);
    int status = call_script(L, script);
    fail_nothing();
    if (__lsan_enable)
        __lsan_enable();
    return status;
}

/* "not enough memory" is Lua's, "out of memory" ours, "Cannot allocate memory" the system's. */
static bool is_about_memory(lua_State *L)
{
    const char *message = lua_tostring(L, -1);
    return message && strstr(message, "memory");
}

/* Runs the script with allocation k failing. False: the script made fewer than that. */
static bool run_point(const char *script, long k, tally *t)
{
    const long before = failing_blocks;
    const long uncalled = t->uncalled;
    lua_State *L = lua_newstate(allocate, NULL);
    lua_setwarnf(L, note_warning, &t->uncalled);
    int status = call_script_with_failures(L, script, k);
    t->calls = calls_counted();
    const bool reached = k < 0 || t->calls > k;
    t->points++;
    t->carried_on += reached && status == LUA_OK;
    if (status != LUA_OK && !is_about_memory(L) && t->unclear++ < 5)
        tap_note("allocation %ld: %s", k, lua_tostring(L, -1));
    lua_settop(L, 0);
    if (call_script(L, script) != LUA_OK && t->broken++ < 5)
        tap_note("after allocation %ld: %s", k, lua_tostring(L, -1));
    lua_close(L);
    if (failing_blocks != before && t->uncalled == uncalled && t->leaks++ < 5)
        tap_note("after allocation %ld: %ld blocks were not given back", k, failing_blocks - before);
    return reached;
}

static tally run_points(const char *script, long stride)
{
    tally t = {0};
    for (long k = 0; run_point(script, k, &t) && k < 1000000;)
        k += stride;
    return t;
}

static void test_script(const char *what, const char *script, long least, long stride)
{
    tally once = {0};
    run_point(script, -1, &once);
    tap_ok(!once.unclear && !once.broken && !once.leaks && once.calls > least, "%s: the script runs, with %ld allocations",
           what, once.calls);
    for (int ever = 0; ever < 2; ever++) {
        failing_for_ever = ever;
        tally t = run_points(script, stride);
        const char *how = ever ? "from then on" : "once";
        tap_ok(t.points * stride > least, "%s: %ld allocations failed in turn, %s", what, t.points - 1, how);
        tap_ok(!t.unclear, "%s: each ended with a sentence about memory (%ld went on to the end)", what, t.carried_on);
        tap_ok(!t.broken && !t.leaks, "%s: and left a state that works and gives everything back", what);
        tap_note("Lua had no memory to call %ld finalizers", t.uncalled);
    }
}

static void write_text(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/text", directory);
    FILE *f = fopen(path, "w");
    for (int k = 0; k < 20; k++)
        fprintf(f, "to be or not to be, that is the question\n");
    fclose(f);
}

int main(int argc, char **argv)
{
    snprintf(directory, sizeof directory, "%s/test_lua_memory_XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(directory))
        return 1;
    write_text();
    lstm_set_threads(1);
    if (argc > 1) {
        failing_for_ever = argc > 2;
        run_point(files_script, -1, &(tally){0});
        run_point(files_script, atol(argv[1]), &(tally){0});
    } else {
        const bool all = getenv("LSTM_TORTURE") != NULL;
        test_script("engine", engine_script, 500, all ? 1 : 5);
        test_script("files", files_script, 500, all ? 1 : 29);
    }
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", directory);
    return system(command) ? 1 : tap_done();
}
