/* SPDX-License-Identifier: MIT
 *
 * failing_memory.c - see failing.h
 */
#define _GNU_SOURCE
#include "failing.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#define CALLER __builtin_return_address(0)

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **p, size_t alignment, size_t size);
char *__real_strdup(const char *text);
ssize_t __real___getdelim(char **line, size_t *size, int end, FILE *file);
void __real_free(void *p);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **p, size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
int __wrap_asprintf(char **text, const char *format, ...);
ssize_t __wrap_getline(char **line, size_t *size, FILE *file);
ssize_t __wrap___getdelim(char **line, size_t *size, int end, FILE *file); /* what glibc's getline is when inlined */
void __wrap_free(void *p);

static bool refused(const char *function, void *caller)
{
    const bool fails = failing_now(function, caller);
    if (fails)
        errno = ENOMEM;
    return fails;
}

static void *taken(void *block)
{
    if (block)
        atomic_fetch_add(&failing_blocks, 1);
    return block;
}

void *shrink_block(void *block, size_t size)
{
    return __real_realloc(block, size);
}

void *__wrap_malloc(size_t size)
{
    return refused("malloc", CALLER) ? NULL : taken(__real_malloc(size));
}

void *__wrap_calloc(size_t n, size_t size)
{
    return refused("calloc", CALLER) ? NULL : taken(__real_calloc(n, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (refused("realloc", CALLER))
        return NULL;
    return old ? __real_realloc(old, size) : taken(__real_realloc(NULL, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return refused("aligned_alloc", CALLER) ? NULL : taken(__real_aligned_alloc(alignment, size));
}

int __wrap_posix_memalign(void **p, size_t alignment, size_t size)
{
    const int error = refused("posix_memalign", CALLER) ? ENOMEM : __real_posix_memalign(p, alignment, size);
    taken(error ? NULL : *p);
    return error;
}

char *__wrap_strdup(const char *text)
{
    return refused("strdup", CALLER) ? NULL : taken(__real_strdup(text));
}

int __wrap_asprintf(char **text, const char *format, ...)
{
    if (refused("asprintf", CALLER))
        return -1;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(text, format, arguments);
    va_end(arguments);
    taken(n < 0 ? NULL : *text);
    return n;
}

static ssize_t get_line(char **line, size_t *size, int end, FILE *file, void *caller)
{
    const bool has_none = !*line;
    if (refused("getline", caller))
        return -1;
    ssize_t n = __real___getdelim(line, size, end, file);
    taken(has_none ? *line : NULL);
    return n;
}

ssize_t __wrap___getdelim(char **line, size_t *size, int end, FILE *file)
{
    return get_line(line, size, end, file, CALLER);
}

ssize_t __wrap_getline(char **line, size_t *size, FILE *file)
{
    return get_line(line, size, '\n', file, CALLER);
}

void __wrap_free(void *p)
{
    if (p)
        atomic_fetch_sub(&failing_blocks, 1);
    __real_free(p);
}
