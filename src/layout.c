/* SPDX-License-Identifier: MIT
 *
 * layout.c - name -> shape -> place, for every parameter. The only file that knows how weights are packed; the views
 * it makes are how everybody else finds an element.
 */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t lstm_packed_panels(const lstm_packed *p)
{
    return (p->blocks + p->per_panel - 1) / p->per_panel;
}

size_t lstm_packed_size(const lstm_packed *p, size_t nb)
{
    return lstm_packed_panels(p) * p->k * p->per_panel * nb;
}

/* Rows of a matrix whose columns-in-memory are the gates of all units: index = gate*H + unit. */
static lstm_axis gate_axis(const lstm_layout *y, size_t k)
{
    const size_t width = PANEL * y->nb;
    if (y->gates == 4)
        return (lstm_axis){.size = 4 * y->H,
                           .group = y->H,
                           .block = y->nb,
                           .group_stride = y->nb,
                           .block_stride = k * width,
                           .stride = 1};
    return (lstm_axis){.size = y->H, .group = width, .block = width, .group_stride = k * width, .stride = 1};
}

/* Outputs of the head: index runs through panels of o_per_panel blocks. */
static lstm_axis output_axis(const lstm_layout *y, size_t k)
{
    const size_t width = y->o_per_panel * y->nb;
    return (lstm_axis){.size = y->O, .group = width, .block = width, .group_stride = k * width, .stride = 1};
}

static lstm_param *begin(lstm_layout *y, lstm_kind kind, size_t layer, const char *format, const char *cell)
{
    lstm_param *p = &y->param[y->params++];
    p->kind = kind;
    p->layer = layer;
    snprintf(p->view.name, sizeof p->view.name, format, cell, layer);
    p->view.type = y->esize == sizeof(double) ? LSTM_F64 : LSTM_F32;
    p->offset = y->total;
    return p;
}

static size_t finish(lstm_layout *y, lstm_param *p, size_t length)
{
    p->length = length;
    y->total += length;
    y->size += lstm_tensor_size(&p->view);
    return (size_t)(p - y->param);
}

static size_t gate_matrix(lstm_layout *y, lstm_kind kind, size_t layer, const char *format, const char *cell, size_t k)
{
    lstm_param *p = begin(y, kind, layer, format, cell);
    p->packed = (lstm_packed){.k = k, .blocks = y->gates * y->G, .per_panel = PANEL};
    p->view.ndim = 2;
    p->view.axis[0] = gate_axis(y, k);
    p->view.axis[1] = lstm_axis_plain(k, PANEL * y->nb);
    p->view.dim[0] = y->gates == 4 ? "gate_unit" : "unit";
    p->view.dim[1] = kind == LSTM_KIND_RECURRENT ? "unit_from" : "input";
    return finish(y, p, lstm_packed_size(&p->packed, y->nb));
}

static size_t gate_bias(lstm_layout *y, size_t layer, const char *cell)
{
    lstm_param *p = begin(y, LSTM_KIND_BIAS, layer, "%s.bias_l%zu", cell);
    p->view.ndim = 1;
    p->view.axis[0] = gate_axis(y, 1);
    p->view.dim[0] = y->gates == 4 ? "gate_unit" : "unit";
    return finish(y, p, y->panels * PANEL * y->nb);
}

static void place_all(lstm_layout *y, const lstm_model_config *c)
{
    const char *cell = c->cell == LSTM_CELL_RNN ? "rnn" : "lstm";
    lstm_param *p;
    y->embedding = SIZE_MAX;
    if (c->input == LSTM_INPUT_EMBEDDING) {
        p = begin(y, LSTM_KIND_EMBEDDING, 0, "embedding.weight", "");
        p->view.ndim = 2;
        p->view.axis[0] = lstm_axis_plain(c->vocab, y->in_blocks * y->nb);
        p->view.axis[1] = lstm_axis_plain(c->embed, 1);
        p->view.dim[0] = "token";
        p->view.dim[1] = "embedding";
        y->embedding = finish(y, p, c->vocab * y->in_blocks * y->nb);
    }
    for (size_t l = 0; l < y->L; l++) {
        const size_t k = l ? y->H : y->in ? y->in : c->vocab;
        y->wih[l] = gate_matrix(y, LSTM_KIND_INPUT, l, "%s.weight_ih_l%zu", cell, k);
        y->whh[l] = gate_matrix(y, LSTM_KIND_RECURRENT, l, "%s.weight_hh_l%zu", cell, y->H);
        y->bias[l] = gate_bias(y, l, cell);
    }
    p = begin(y, LSTM_KIND_HEAD, 0, "head.weight", "");
    p->packed = (lstm_packed){.k = y->H, .blocks = y->o_blocks, .per_panel = y->o_per_panel};
    p->view.ndim = 2;
    p->view.axis[0] = output_axis(y, y->H);
    p->view.axis[1] = lstm_axis_plain(y->H, y->o_per_panel * y->nb);
    p->view.dim[0] = "output";
    p->view.dim[1] = "unit";
    y->head = finish(y, p, lstm_packed_size(&p->packed, y->nb));
    p = begin(y, LSTM_KIND_HEAD_BIAS, 0, "head.bias", "");
    p->view.ndim = 1;
    p->view.axis[0] = lstm_axis_plain(y->O, 1);
    p->view.dim[0] = "output";
    y->head_bias = finish(y, p, y->o_stride);
}

int lstm_layout_new(lstm_layout *y, const lstm_model_config *c, lstm_error *err)
{
    memset(y, 0, sizeof *y);
    y->esize = lstm_type_size(c->type);
    y->nb = LSTM_LINE / y->esize;
    y->H = c->hidden;
    y->G = (y->H + y->nb - 1) / y->nb;
    y->L = c->layers;
    y->gates = c->cell == LSTM_CELL_LSTM ? 4 : 1;
    y->panels = (y->gates * y->G + PANEL - 1) / PANEL;
    y->in = c->input == LSTM_INPUT_EMBEDDING ? c->embed : c->input == LSTM_INPUT_DENSE ? c->inputs : 0;
    y->in_blocks = (y->in + y->nb - 1) / y->nb;
    y->O = c->outputs;
    y->o_blocks = (y->O + y->nb - 1) / y->nb;
    /* A lone fifth block shares its panel with four others rather than going by itself. */
    y->o_per_panel = y->o_blocks > 1 && y->o_blocks % PANEL == 1 ? PANEL + 1 : PANEL;
    y->o_stride = (y->o_blocks + y->o_per_panel - 1) / y->o_per_panel * y->o_per_panel * y->nb;
    y->param = calloc(3 * y->L + 3, sizeof *y->param);
    y->wih = calloc(3 * y->L, sizeof *y->wih);
    if (!y->param || !y->wih) {
        lstm_layout_free(y);
        return lstm_fail(err, "", "not enough memory for the table of parameters");
    }
    y->whh = y->wih + y->L;
    y->bias = y->whh + y->L;
    place_all(y, c);
    return 0;
}

void lstm_layout_free(lstm_layout *y)
{
    free(y->param);
    free(y->wih);
    y->param = NULL;
    y->wih = NULL;
}
