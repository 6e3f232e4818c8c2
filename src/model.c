/* SPDX-License-Identifier: MIT
 *
 * model.c - a model is its configuration, its layout and one arena of parameters.
 */
#include "engine.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int take_memory(lstm_model *m, lstm_error *err)
{
    const size_t most = m->config.max_memory;
    m->bytes = sizeof *m + m->layout.params * sizeof(lstm_param) + m->layout.total * m->layout.esize;
    if (most && m->bytes > most)
        return lstm_fail(err, "max_memory", "the model needs %zu bytes, more than the %zu allowed", m->bytes, most);
    m->params = lstm_arena_new(m->layout.total * m->layout.esize);
    if (!m->params)
        return lstm_fail(err, "hidden", "not enough memory for %zu parameters (%zu MiB)", m->layout.size,
                         m->bytes >> 20);
    m->held = m->bytes;
    return 0;
}

lstm_model *lstm_model_new(const lstm_model_config *config, lstm_error *err)
{
    if (lstm_check_model(config, err) || lstm_check_machine(config, err))
        return NULL;
    lstm_model *m = calloc(1, sizeof *m);
    if (!m) {
        lstm_fail(err, "", "not enough memory for a model");
        return NULL;
    }
    m->config = *config;
    m->passes = config->type == LSTM_F64 ? &lstm_passes_f64 : &lstm_passes_f32;
    if (lstm_layout_new(&m->layout, config, err) || take_memory(m, err)) {
        lstm_model_free(m);
        return NULL;
    }
    return m;
}

void lstm_model_free(lstm_model *m)
{
    if (!m)
        return;
    lstm_arena_free(m->params);
    lstm_layout_free(&m->layout);
    free(m);
}

const lstm_model_config *lstm_model_settings(const lstm_model *m) { return &m->config; }
size_t lstm_model_params(const lstm_model *m) { return m->layout.params; }
size_t lstm_model_size(const lstm_model *m) { return m->layout.size; }
size_t lstm_model_bytes(const lstm_model *m) { return m->bytes; }

lstm_tensor lstm_param_view(const lstm_model *m, size_t k, void *arena)
{
    lstm_tensor t = m->layout.param[k].view;
    t.data = (char *)arena + m->layout.param[k].offset * m->layout.esize;
    return t;
}

lstm_tensor lstm_model_param(const lstm_model *m, size_t k) { return lstm_param_view(m, k, m->params); }
lstm_kind lstm_model_param_kind(const lstm_model *m, size_t k) { return m->layout.param[k].kind; }

int lstm_model_find(const lstm_model *m, const char *name, size_t *k)
{
    for (size_t i = 0; i < m->layout.params; i++)
        if (!strcmp(m->layout.param[i].view.name, name)) {
            *k = i;
            return 0;
        }
    return -1;
}
