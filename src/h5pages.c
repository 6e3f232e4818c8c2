/* SPDX-License-Identifier: MIT */
#include "h5pages.h"

#include <stdlib.h>

/* Where the page is, or would be put. */
static h5page **slot(h5page **table, size_t room, uint64_t number)
{
    size_t i = (size_t)(number * UINT64_C(0x9E3779B97F4A7C15) >> 20) & (room - 1);
    while (table[i] && table[i]->number != number)
        i = (i + 1) & (room - 1);
    return &table[i];
}

h5page *h5pages_find(const h5pages *pages, uint64_t number)
{
    return pages->count ? *slot(pages->table, pages->room, number) : NULL;
}

static bool make_room(h5pages *pages)
{
    size_t room = pages->room ? 2 * pages->room : 256;
    h5page **table = calloc(room, sizeof *table);
    if (!table)
        return false;
    for (size_t i = 0; i < pages->room; i++)
        if (pages->table[i])
            *slot(table, room, pages->table[i]->number) = pages->table[i];
    free(pages->table);
    pages->table = table;
    pages->room = room;
    return true;
}

h5page *h5pages_add(h5pages *pages, uint64_t number)
{
    if (2 * pages->count >= pages->room && !make_room(pages))
        return NULL;
    h5page *page = malloc(sizeof *page);
    if (!page)
        return NULL;
    page->number = number;
    page->metadata = false;
    *slot(pages->table, pages->room, number) = page;
    pages->count++;
    return page;
}

static int by_number(const void *a, const void *b)
{
    uint64_t x = (*(h5page *const *)a)->number, y = (*(h5page *const *)b)->number;
    return x < y ? -1 : x > y;
}

h5page **h5pages_sorted(const h5pages *pages, uint64_t limit, size_t *n)
{
    h5page **sorted = malloc((pages->count + 1) * sizeof *sorted);
    if (!sorted)
        return NULL;
    *n = 0;
    for (size_t i = 0; i < pages->room; i++)
        if (pages->table[i] && pages->table[i]->number < limit)
            sorted[(*n)++] = pages->table[i];
    qsort(sorted, *n, sizeof *sorted, by_number);
    return sorted;
}

void h5pages_clear(h5pages *pages)
{
    for (size_t i = 0; i < pages->room; i++)
        free(pages->table[i]);
    free(pages->table);
    *pages = (h5pages){0};
}
