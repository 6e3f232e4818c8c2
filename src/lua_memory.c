/* SPDX-License-Identifier: MIT
 *
 * lua_memory.c - memory held in C, which Lua does not see: counted, so that what is dropped is collected in time, and
 * limited, together with Lua's own, when the user wants that.
 */
#include <stdio.h>

#include "lua_binding.h"

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

/* ---- the limit -------------------------------------------------------------------------------------------------- */

/* Of the process. It outlives the state that it was set in, whose last objects are freed by way of it. */
static struct {
    lua_Alloc allocate; /* Lua's own; NULL: no limit was set */
    void *context;
    size_t most;        /* bytes */
    size_t held, used;  /* in C, in Lua */
} limit;

static bool has_room(size_t bytes)
{
    const size_t taken = limit.held + limit.used;
    return limit.allocate == NULL || (taken <= limit.most && bytes <= limit.most - taken);
}

/* A lua_Alloc. What it refuses Lua reports as "not enough memory". */
static void *allocate_limited(void *unused, void *block, size_t old_size, size_t size)
{
    (void)unused;
    const size_t before = block != NULL ? old_size : 0; /* without a block, old_size is a kind of object */
    if (size > before && !has_room(size - before))
        return NULL;
    void *moved = limit.allocate(limit.context, block, old_size, size);
    if (moved != NULL || size == 0)
        limit.used += size - before;
    return moved;
}

void lua_memory_limit(lua_State *L, size_t bytes)
{
    if (limit.allocate == NULL) {
        limit.allocate = lua_getallocf(L, &limit.context);
        limit.used = (size_t)lua_gc(L, LUA_GCCOUNT) * 1024 + (size_t)lua_gc(L, LUA_GCCOUNTB);
        lua_setallocf(L, allocate_limited, NULL);
    }
    limit.most = bytes;
}

static double mebibytes(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

/* Raises when so much cannot be had, not even when all is collected that can be. */
static void check_limit(lua_State *L, size_t bytes)
{
    char text[160];
    if (has_room(bytes))
        return;
    lua_gc(L, LUA_GCCOLLECT);
    if (has_room(bytes))
        return;
    snprintf(text, sizeof text, "%.1f MiB more than the %.1f MiB in use would be beyond max_memory, %.1f MiB",
             mebibytes(bytes), mebibytes(limit.held + limit.used), mebibytes(limit.most));
    lua_raise(L, "not enough memory: %s", text);
}

/* ---- what is held ----------------------------------------------------------------------------------------------- */

/* The next collection is due when half of everything, here and in Lua, has come on top: the work of collecting stays
 * in proportion to what was made since, and dropped objects never take more than half of what is in use. */
static void collect_when_due(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m == NULL || m->held + bytes <= m->next || lua_gc(L, LUA_GCISRUNNING) != 1)
        return;
    lua_gc(L, LUA_GCCOLLECT);
    size_t lua_bytes = (size_t)lua_gc(L, LUA_GCCOUNT) * 1024;
    size_t held = m->held + bytes;
    m->next = held + (held + lua_bytes) / 2;
}

void lua_memory_want(lua_State *L, size_t bytes)
{
    collect_when_due(L, bytes);
    check_limit(L, bytes);
}

void lua_memory_took(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m != NULL)
        m->held += bytes;
    limit.held += bytes;
}

void lua_memory_gave(lua_State *L, size_t bytes)
{
    memory *m = memory_of(L);
    if (m != NULL)
        m->held -= bytes < m->held ? bytes : m->held;
    limit.held -= bytes;
}
