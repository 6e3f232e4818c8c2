/* SPDX-License-Identifier: MIT
 *
 * naive.c - see naive.h. LSTM: Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000:
 *   i, f, o = sigmoid(W x_t + U h_{t-1} + b),  g = tanh(...),  c_t = f c_{t-1} + i g,  h_t = o tanh(c_t)
 */
#include "naive.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p)
{
    if (!p) {
        fprintf(stderr, "naive: out of memory\n");
        abort();
    }
    return p;
}

static double *zeros(size_t n)
{
    return must(calloc(n ? n : 1, sizeof(double)));
}

static void clear(double *p, size_t n)
{
    memset(p, 0, n * sizeof *p);
}

static double sigmoid(double x)
{
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* ---- construction ----------------------------------------------------------------------------------------------- */

static void add_param(naive *n, const char *name, size_t rows, size_t cols, bool bias)
{
    naive_param *p = &n->param[n->params++];

    snprintf(p->name, sizeof p->name, "%s", name);
    p->rows = rows;
    p->cols = cols;
    p->bias = bias;
    p->value = zeros(rows * cols);
    p->grad = zeros(rows * cols);
    p->moment1 = zeros(rows * cols);
    p->moment2 = zeros(rows * cols);
}

static void add_layer(naive *n, size_t l)
{
    const char *cell = n->net.cell == LSTM_CELL_LSTM ? "lstm" : "rnn";
    size_t rows = n->G * n->net.hidden;
    char name[LSTM_NAME_SIZE];

    snprintf(name, sizeof name, "%s.weight_ih_l%zu", cell, l);
    add_param(n, name, rows, l ? n->net.hidden : n->I, false);
    snprintf(name, sizeof name, "%s.weight_hh_l%zu", cell, l);
    add_param(n, name, rows, n->net.hidden, false);
    snprintf(name, sizeof name, "%s.bias_l%zu", cell, l);
    add_param(n, name, rows, 1, true);
}

naive *naive_new(const lstm_model_config *net, size_t T, size_t B)
{
    naive *n = must(calloc(1, sizeof *n));
    size_t H = net->hidden, L = net->layers, units = L * T * B * H;
    double **all[] = {&n->i,  &n->f,  &n->g,   &n->o,  &n->c,  &n->h,    &n->di, &n->df,
                      &n->dg, &n->dgo, &n->dc, &n->dh, &n->up, &n->dup, &n->drop};

    n->net = *net;
    n->T = T;
    n->B = B;
    n->G = net->cell == LSTM_CELL_LSTM ? 4 : 1;
    n->I = net->input == LSTM_INPUT_ONEHOT ? net->vocab : net->input == LSTM_INPUT_DENSE ? net->inputs : net->embed;
    n->O = net->outputs;
    n->param = must(calloc(3 * L + 3, sizeof *n->param));
    if (net->input == LSTM_INPUT_EMBEDDING)
        add_param(n, "embedding.weight", net->vocab, net->embed, false);
    for (size_t l = 0; l < L; l++)
        add_layer(n, l);
    add_param(n, "head.weight", n->O, H, false);
    add_param(n, "head.bias", n->O, 1, true);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        *all[k] = zeros(units);
    for (size_t k = 0; k < units; k++)
        n->drop[k] = 1;
    n->x = zeros(T * B * n->I);
    n->dx = zeros(T * B * n->I);
    n->y = zeros(T * B * n->O);
    n->dy = zeros(T * B * n->O);
    n->h0 = zeros(L * B * H);
    n->c0 = zeros(L * B * H);
    n->dh0 = zeros(L * B * H);
    n->dc0 = zeros(L * B * H);
    return n;
}

void naive_free(naive *n)
{
    if (!n)
        return;
    double *all[] = {n->i,  n->f,  n->g,    n->o, n->c,  n->h, n->di, n->df, n->dg, n->dgo, n->dc,  n->dh,
                     n->up, n->dup, n->drop, n->x, n->dx, n->y, n->dy, n->h0, n->c0, n->dh0, n->dc0};

    for (size_t k = 0; k < n->params; k++) {
        free(n->param[k].value);
        free(n->param[k].grad);
        free(n->param[k].moment1);
        free(n->param[k].moment2);
    }
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        free(all[k]);
    free(n->param);
    free(n);
}

naive_param *naive_find(naive *n, const char *name)
{
    for (size_t k = 0; k < n->params; k++)
        if (!strcmp(n->param[k].name, name))
            return &n->param[k];
    return NULL;
}

/* The three tensors of a layer, in the order of add_layer. */
enum { WEIGHT_IH, WEIGHT_HH, BIAS };

static naive_param *layer_param(const naive *n, int which, size_t l)
{
    return &n->param[(n->net.input == LSTM_INPUT_EMBEDDING) + 3 * l + (size_t)which];
}

double *naive_layer(const naive *n, double *p, size_t l)
{
    return p + l * n->T * n->B * n->net.hidden;
}

/* Offset of [l,t,b,0] in an [L,T,B,H] array. */
static size_t at(const naive *n, size_t l, size_t t, size_t b)
{
    return ((l * n->T + t) * n->B + b) * n->net.hidden;
}

/* ---- forward ---------------------------------------------------------------------------------------------------- */

static void gather_input(naive *n, const naive_batch *batch)
{
    naive_param *embedding = naive_find(n, "embedding.weight");

    n->ids = batch->ids;
    clear(n->x, n->T * n->B * n->I);
    for (size_t tb = 0; tb < n->T * n->B; tb++)
        for (size_t k = 0; k < n->I; k++) {
            double *x = &n->x[tb * n->I + k];

            if (n->net.input == LSTM_INPUT_DENSE)
                *x = batch->x[tb * n->I + k];
            else if (n->net.input == LSTM_INPUT_EMBEDDING)
                *x = embedding->value[(size_t)batch->ids[tb] * n->I + k];
            else
                *x = (size_t)batch->ids[tb] == k;
        }
}

/* What layer l sees at (t,b), and how wide it is. */
static const double *layer_input(const naive *n, size_t l, size_t t, size_t b, size_t *width)
{
    *width = l ? n->net.hidden : n->I;
    return l ? n->up + at(n, l - 1, t, b) : n->x + (t * n->B + b) * n->I;
}

static const double *before(const naive *n, const double *p, const double *p0, size_t l, size_t t, size_t b)
{
    return t ? p + at(n, l, t - 1, b) : p0 + (l * n->B + b) * n->net.hidden;
}

static double preactivation(naive *n, size_t l, size_t t, size_t b, size_t row)
{
    naive_param *W = layer_param(n, WEIGHT_IH, l), *U = layer_param(n, WEIGHT_HH, l);
    size_t width, H = n->net.hidden;
    const double *x = layer_input(n, l, t, b, &width), *h = before(n, n->h, n->h0, l, t, b);
    double z = layer_param(n, BIAS, l)->value[row];

    for (size_t k = 0; k < width; k++)
        z += W->value[row * width + k] * x[k];
    for (size_t k = 0; k < H; k++)
        z += U->value[row * H + k] * h[k];
    return z;
}

static void forward_cell(naive *n, size_t l, size_t t, size_t b)
{
    size_t H = n->net.hidden, a = at(n, l, t, b);
    const double *c = before(n, n->c, n->c0, l, t, b);

    for (size_t u = 0; u < H; u++) {
        if (n->net.cell == LSTM_CELL_LSTM) {
            n->i[a + u] = sigmoid(preactivation(n, l, t, b, u));
            n->f[a + u] = sigmoid(preactivation(n, l, t, b, H + u));
            n->g[a + u] = tanh(preactivation(n, l, t, b, 2 * H + u));
            n->o[a + u] = sigmoid(preactivation(n, l, t, b, 3 * H + u));
            n->c[a + u] = n->f[a + u] * c[u] + n->i[a + u] * n->g[a + u];
            n->h[a + u] = n->o[a + u] * tanh(n->c[a + u]);
        } else {
            n->h[a + u] = tanh(preactivation(n, l, t, b, u));
        }
        n->up[a + u] = n->h[a + u] * n->drop[a + u];
    }
}

static void forward_head(naive *n, size_t t, size_t b)
{
    naive_param *W = naive_find(n, "head.weight"), *bias = naive_find(n, "head.bias");
    size_t H = n->net.hidden;
    const double *h = n->up + at(n, n->net.layers - 1, t, b);

    for (size_t o = 0; o < n->O; o++) {
        double *y = &n->y[(t * n->B + b) * n->O + o];

        *y = bias->value[o];
        for (size_t k = 0; k < H; k++)
            *y += W->value[o * H + k] * h[k];
    }
}

static double weight_of(const naive *n, const naive_batch *batch, size_t tb)
{
    if (batch->loss_at == LSTM_LOSS_AT_LAST)
        for (size_t later = tb + n->B; later < n->T * n->B; later += n->B)
            if (!batch->mask || batch->mask[later] > 0)
                return 0; /* of a row only the last position that counts */
    return batch->mask ? batch->mask[tb] : 1;
}

static double cross_entropy(const double *y, size_t n, size_t target, double weight, double *dy)
{
    double max = y[0], sum = 0;

    for (size_t k = 1; k < n; k++)
        max = y[k] > max ? y[k] : max;
    for (size_t k = 0; k < n; k++)
        sum += exp(y[k] - max);
    for (size_t k = 0; k < n; k++)
        dy[k] = weight * (exp(y[k] - max) / sum - (k == target));
    return weight * (max + log(sum) - y[target]);
}

static double squared_error(const double *y, size_t n, const double *target, double weight, double *dy)
{
    double sum = 0;

    for (size_t k = 0; k < n; k++) {
        sum += weight * (y[k] - target[k]) * (y[k] - target[k]);
        dy[k] = weight * 2 * (y[k] - target[k]);
    }
    return sum;
}

/* The loss, and its derivative with respect to y in dy. */
static double loss_of(naive *n, const naive_batch *batch)
{
    bool classes = n->net.loss == LSTM_LOSS_CROSS_ENTROPY;
    double total = 0, loss = 0;

    for (size_t tb = 0; tb < n->T * n->B; tb++)
        total += weight_of(n, batch, tb) * (classes ? 1 : (double)n->O);
    if (batch->reduction == LSTM_SUM)
        total = 1;
    for (size_t tb = 0; tb < n->T * n->B; tb++) {
        double *y = n->y + tb * n->O, *dy = n->dy + tb * n->O, weight = weight_of(n, batch, tb) / total;

        if (weight == 0)
            clear(dy, n->O);
        else if (classes)
            loss += cross_entropy(y, n->O, (size_t)batch->target_ids[tb], weight, dy);
        else
            loss += squared_error(y, n->O, batch->target + tb * n->O, weight, dy);
    }
    return loss;
}

double naive_forward(naive *n, const naive_batch *batch)
{
    gather_input(n, batch);
    for (size_t t = 0; t < n->T; t++)
        for (size_t b = 0; b < n->B; b++) {
            for (size_t l = 0; l < n->net.layers; l++)
                forward_cell(n, l, t, b);
            forward_head(n, t, b);
        }
    return batch->target_ids || batch->target ? loss_of(n, batch) : NAN;
}

/* ---- backward --------------------------------------------------------------------------------------------------- */

static void backward_head(naive *n, size_t t, size_t b)
{
    naive_param *W = naive_find(n, "head.weight"), *bias = naive_find(n, "head.bias");
    size_t H = n->net.hidden, a = at(n, n->net.layers - 1, t, b);

    for (size_t o = 0; o < n->O; o++) {
        double dy = n->dy[(t * n->B + b) * n->O + o];

        bias->grad[o] += dy;
        for (size_t k = 0; k < H; k++) {
            W->grad[o * H + k] += dy * n->up[a + k];
            n->dup[a + k] += dy * W->value[o * H + k];
        }
    }
}

/* From dh and dc, all paths included, to the gates. dc_before: what goes on to c_{t-1}. */
static void backward_gates(naive *n, size_t l, size_t t, size_t b, double *dz, double *dc_before)
{
    size_t H = n->net.hidden, a = at(n, l, t, b);
    const double *c_before = before(n, n->c, n->c0, l, t, b);

    for (size_t u = 0; u < H; u++) {
        size_t k = a + u;

        if (n->net.cell == LSTM_CELL_RNN) {
            n->dg[k] = n->dh[k] * (1 - n->h[k] * (n->fault == NAIVE_FAULT_TANH ? 1 : n->h[k]));
            dz[u] = n->dg[k];
            continue;
        }
        double tc = tanh(n->c[k]);

        n->dc[k] = dc_before[u] + n->dh[k] * n->o[k] * (1 - tc * tc);
        n->dgo[k] = n->dh[k] * tc * (n->fault == NAIVE_FAULT_OUTPUT ? 1 : n->o[k] * (1 - n->o[k]));
        n->di[k] = n->dc[k] * n->g[k] * n->i[k] * (1 - n->i[k]);
        n->df[k] = n->dc[k] * c_before[u] * n->f[k] * (1 - n->f[k]);
        n->dg[k] = n->dc[k] * n->i[k] * (1 - n->g[k] * (n->fault == NAIVE_FAULT_TANH ? 1 : n->g[k]));
        dc_before[u] = n->dc[k] * (n->fault == NAIVE_FAULT_FORGET ? 1 : n->f[k]);
        dz[u] = n->di[k];
        dz[H + u] = n->df[k];
        dz[2 * H + u] = n->dg[k];
        dz[3 * H + u] = n->dgo[k];
    }
}

/* Where the gradient of layer l's input at (t,b) goes. */
static double *layer_input_grad(const naive *n, size_t l, size_t t, size_t b)
{
    return l ? n->dup + at(n, l - 1, t, b) : n->dx + (t * n->B + b) * n->I;
}

static void backward_products(naive *n, size_t l, size_t t, size_t b, const double *dz, double *dh_before)
{
    naive_param *W = layer_param(n, WEIGHT_IH, l), *U = layer_param(n, WEIGHT_HH, l);
    naive_param *bias = layer_param(n, BIAS, l);
    size_t width, H = n->net.hidden;
    const double *x = layer_input(n, l, t, b, &width), *h = before(n, n->h, n->h0, l, t, b);
    double *dx = layer_input_grad(n, l, t, b);

    if (n->fault == NAIVE_FAULT_RECURRENT)
        h = n->h + at(n, l, t, b);
    clear(dh_before, H);
    for (size_t row = 0; row < n->G * H; row++) {
        bias->grad[row] += dz[row];
        for (size_t k = 0; k < width; k++) {
            W->grad[row * width + k] += dz[row] * x[k];
            dx[k] += dz[row] * W->value[row * width + k];
        }
        for (size_t k = 0; k < H; k++) {
            U->grad[row * H + k] += dz[row] * h[k];
            dh_before[k] += dz[row] * U->value[row * H + k];
        }
    }
}

/* All time steps of layer l for batch row b. */
static void backward_row(naive *n, size_t l, size_t b)
{
    size_t H = n->net.hidden;
    double *dz = zeros(n->G * H), *dh = zeros(H), *dc = zeros(H);

    for (size_t t = n->T; t-- > 0;) {
        size_t a = at(n, l, t, b);

        for (size_t u = 0; u < H; u++)
            n->dh[a + u] = dh[u] + n->dup[a + u] * n->drop[a + u];
        backward_gates(n, l, t, b, dz, dc);
        backward_products(n, l, t, b, dz, dh);
    }
    memcpy(n->dh0 + (l * n->B + b) * H, dh, H * sizeof *dh);
    memcpy(n->dc0 + (l * n->B + b) * H, dc, H * sizeof *dc);
    free(dz);
    free(dh);
    free(dc);
}

static void backward_embedding(naive *n)
{
    naive_param *embedding = naive_find(n, "embedding.weight");

    for (size_t tb = 0; tb < n->T * n->B && embedding; tb++)
        for (size_t k = 0; k < n->I; k++)
            embedding->grad[(size_t)n->ids[tb] * n->I + k] += n->dx[tb * n->I + k];
}

void naive_backward(naive *n)
{
    clear(n->dup, n->net.layers * n->T * n->B * n->net.hidden);
    clear(n->dx, n->T * n->B * n->I);
    for (size_t t = 0; t < n->T; t++)
        for (size_t b = 0; b < n->B; b++)
            backward_head(n, t, b);
    for (size_t l = n->net.layers; l-- > 0;)
        for (size_t b = 0; b < n->B; b++)
            backward_row(n, l, b);
    backward_embedding(n);
}

/* ---- optimisers ------------------------------------------------------------------------------------------------- */

void naive_zero(naive *n)
{
    for (size_t k = 0; k < n->params; k++)
        clear(n->param[k].grad, n->param[k].rows * n->param[k].cols);
}

double naive_norm(const naive *n)
{
    double sum = 0;

    for (size_t k = 0; k < n->params; k++)
        for (size_t e = 0; e < n->param[k].rows * n->param[k].cols; e++)
            sum += n->param[k].grad[e] * n->param[k].grad[e];
    return sqrt(sum);
}

double naive_clip(naive *n, lstm_clip clip, double bound)
{
    double norm = naive_norm(n), scale = bound / (norm + 1e-6);

    for (size_t k = 0; k < n->params; k++)
        for (size_t e = 0; e < n->param[k].rows * n->param[k].cols; e++) {
            double *g = &n->param[k].grad[e];

            if (clip == LSTM_CLIP_NORM && scale < 1)
                *g *= scale;
            else if (clip == LSTM_CLIP_VALUE)
                *g = fmin(fmax(*g, -bound), bound);
        }
    return norm;
}

static void update_adam(const lstm_trainer_config *s, double lr, double t, double decay, naive_param *p, size_t e)
{
    double g = p->grad[e];

    if (s->optimizer == LSTM_ADAMW)
        p->value[e] *= 1 - lr * decay;
    else
        g += decay * p->value[e];
    p->moment1[e] = s->beta1 * p->moment1[e] + (1 - s->beta1) * g;
    p->moment2[e] = s->beta2 * p->moment2[e] + (1 - s->beta2) * g * g;

    double power = s->bias_correction == LSTM_CORRECTION_CONSTANT ? 1 : t;
    double mean = p->moment1[e] / (1 - pow(s->beta1, power)), square = p->moment2[e] / (1 - pow(s->beta2, power));

    p->value[e] -= lr * mean / (sqrt(square) + s->eps);
}

static void update_sgd(const lstm_trainer_config *s, double lr, double decay, naive_param *p, size_t e)
{
    p->moment1[e] = s->momentum * p->moment1[e] + p->grad[e] + decay * p->value[e];
    p->value[e] -= lr * p->moment1[e];
}

static void update_rmsprop(const lstm_trainer_config *s, double lr, double decay, naive_param *p, size_t e)
{
    double g = p->grad[e] + decay * p->value[e];

    p->moment2[e] = s->alpha * p->moment2[e] + (1 - s->alpha) * g * g;
    p->moment1[e] = s->momentum * p->moment1[e] + g / (sqrt(p->moment2[e]) + s->eps);
    p->value[e] -= lr * p->moment1[e];
}

void naive_update(naive *n, const lstm_trainer_config *s, double lr, unsigned long update)
{
    for (size_t k = 0; k < n->params; k++) {
        naive_param *p = &n->param[k];
        double decay = p->bias && !s->decay_biases ? 0 : s->weight_decay;

        for (size_t e = 0; e < p->rows * p->cols; e++)
            if (s->optimizer == LSTM_SGD)
                update_sgd(s, lr, decay, p, e);
            else if (s->optimizer == LSTM_RMSPROP)
                update_rmsprop(s, lr, decay, p, e);
            else
                update_adam(s, lr, (double)update, decay, p, e);
    }
}
