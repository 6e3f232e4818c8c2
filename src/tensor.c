/* SPDX-License-Identifier: MIT
 *
 * tensor.c - views: logical shape on the outside, packed memory inside.
 */
#include "engine.h"

#include <stdio.h>
#include <string.h>

size_t lstm_type_size(lstm_type type)
{
    return type == LSTM_F64 ? sizeof(double) : sizeof(float);
}

size_t lstm_tensor_size(const lstm_tensor *t)
{
    size_t n = 1;
    for (int d = 0; d < t->ndim; d++)
        n *= t->axis[d].size;
    return n;
}

void lstm_tensor_dense(lstm_tensor *t, const char *name, lstm_type type, int ndim, const size_t *shape, void *data)
{
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name ? name : "");
    t->type = type;
    t->ndim = ndim;
    t->data = data;
    size_t stride = 1;
    for (int d = ndim; d-- > 0;) {
        t->axis[d] = (lstm_axis){.size = shape[d], .group = shape[d], .block = shape[d], .stride = stride};
        stride *= shape[d];
    }
}

size_t lstm_axis_offset(const lstm_axis *a, size_t index)
{
    const size_t rest = index % a->group;
    return index / a->group * a->group_stride + rest / a->block * a->block_stride + rest % a->block * a->stride;
}

size_t lstm_tensor_offset(const lstm_tensor *t, size_t flat)
{
    size_t offset = 0;
    for (int d = t->ndim; d-- > 0;) {
        offset += lstm_axis_offset(&t->axis[d], flat % t->axis[d].size);
        flat /= t->axis[d].size;
    }
    return offset;
}

double lstm_tensor_at(const lstm_tensor *t, size_t flat)
{
    const size_t at = lstm_tensor_offset(t, flat);
    return t->type == LSTM_F64 ? ((const double *)t->data)[at] : (double)((const float *)t->data)[at];
}

void lstm_tensor_set(const lstm_tensor *t, size_t flat, double value)
{
    const size_t at = lstm_tensor_offset(t, flat);
    if (t->type == LSTM_F64)
        ((double *)t->data)[at] = value;
    else
        ((float *)t->data)[at] = (float)value;
}

/* Where an index of an axis lies: what lstm_axis_offset computes, but moved on without a division. */
typedef struct axis_place {
    size_t group_at, block_at; /* offsets of its group, and of its block in that */
    size_t in_group, in_block;
} axis_place;

static axis_place place_of(const lstm_axis *a, size_t index)
{
    const size_t rest = index % a->group;
    return (axis_place){index / a->group * a->group_stride, rest / a->block * a->block_stride, rest, rest % a->block};
}

/* How many of the next `most` elements lie at one stride, at least 1. */
static size_t run_length(const lstm_axis *a, const axis_place *p, size_t most)
{
    size_t n = a->block - p->in_block;
    if (n > a->group - p->in_group)
        n = a->group - p->in_group;
    return n < most ? n : most;
}

/* Moves on by a run. */
static void move_on(const lstm_axis *a, axis_place *p, size_t n)
{
    p->in_block += n;
    p->in_group += n;
    if (p->in_group == a->group) {
        p->group_at += a->group_stride;
        p->block_at = p->in_group = p->in_block = 0;
    } else if (p->in_block == a->block) {
        p->block_at += a->block_stride;
        p->in_block = 0;
    }
}

/* One element of a size that the compiler knows, which makes it one load and one store. */
static inline void copy_one(char *to, const char *from, size_t esize)
{
    if (esize == sizeof(float))
        memcpy(to, from, sizeof(float));
    else
        memcpy(to, from, sizeof(double));
}

/* n elements that lie at a stride, to or from dense ones. */
static void copy_run(char *view, size_t stride, char *dense, size_t n, size_t esize, bool to_view)
{
    if (stride == 1 && n * esize == LSTM_LINE)
        memcpy(to_view ? view : dense, to_view ? dense : view, LSTM_LINE);
    else if (stride == 1)
        memcpy(to_view ? view : dense, to_view ? dense : view, n * esize);
    else if (to_view)
        for (size_t i = 0; i < n; i++)
            copy_one(view + i * stride * esize, dense + i * esize, esize);
    else
        for (size_t i = 0; i < n; i++)
            copy_one(dense + i * esize, view + i * stride * esize, esize);
}

/* Where an element lies: its index on each axis, and the place of that. */
typedef struct position {
    size_t index[LSTM_MAX_DIMS];
    axis_place place[LSTM_MAX_DIMS];
} position;

static position position_of(const lstm_tensor *t, size_t flat)
{
    position p = {0};
    for (int d = t->ndim; d-- > 0; flat /= t->axis[d].size) {
        p.index[d] = flat % t->axis[d].size;
        p.place[d] = place_of(&t->axis[d], p.index[d]);
    }
    return p;
}

static size_t place_offset(const lstm_axis *a, const axis_place *p)
{
    return p->group_at + p->block_at + p->in_block * a->stride;
}

/* Offset of the row: of all axes but the last. */
static size_t row_offset(const lstm_tensor *t, const position *p)
{
    size_t offset = 0;
    for (int d = 0; d + 1 < t->ndim; d++)
        offset += place_offset(&t->axis[d], &p->place[d]);
    return offset;
}

/* To the beginning of the next row; after the last one to the first. */
static void next_row(const lstm_tensor *t, position *p)
{
    const int last = t->ndim - 1;
    p->index[last] = 0;
    p->place[last] = (axis_place){0};
    for (int d = last - 1; d >= 0; d--) {
        move_on(&t->axis[d], &p->place[d], 1);
        if (++p->index[d] < t->axis[d].size)
            return;
        p->index[d] = 0;
        p->place[d] = (axis_place){0};
    }
}

/* Copies run by run along the last axis; `to_view` says which way. */
static void copy_rows(const lstm_tensor *t, size_t first, size_t count, char *dense, bool to_view)
{
    const size_t esize = lstm_type_size(t->type);
    if (t->ndim == 0) {
        copy_run(t->data, 1, dense, count, esize, to_view);
        return;
    }
    const lstm_axis *last = &t->axis[t->ndim - 1];
    position at = position_of(t, first);
    axis_place *inner = &at.place[t->ndim - 1];
    while (count) {
        char *base = (char *)t->data + row_offset(t, &at) * esize;
        const size_t rest = last->size - at.index[t->ndim - 1], size = rest < count ? rest : count;
        for (size_t i = 0, n; i < size; i += n, dense += n * esize) {
            n = run_length(last, inner, size - i);
            copy_run(base + place_offset(last, inner) * esize, last->stride, dense, n, esize, to_view);
            move_on(last, inner, n);
        }
        count -= size;
        next_row(t, &at);
    }
}

void lstm_tensor_read(const lstm_tensor *t, size_t first, size_t count, void *dense)
{
    copy_rows(t, first, count, dense, false);
}

void lstm_tensor_write(const lstm_tensor *t, size_t first, size_t count, const void *dense)
{
    copy_rows(t, first, count, (char *)dense, true);
}

void lstm_apply(lstm_function f, double *values, size_t n)
{
    lstm_passes_f64.apply(f, values, n);
}
