/* SPDX-License-Identifier: MIT
 *
 * lstm.h - the engine: recurrent networks, backpropagation through time, optimisers.
 *
 * Knows neither Lua nor HDF5. Dimension letters, here and everywhere: T time steps, B batch, V vocabulary,
 * E embedding, I input width, O output width, H hidden units, L layers. Arrays that cross this interface are
 * row-major and time-major. Gates are always in the order i, f, g, o (input, forget, candidate, output).
 *
 * Inside, everything is kept in blocks (layout.h); whatever leaves the engine does so as an lstm_tensor, which
 * carries the logical shape and knows where each element lies.
 *
 * Functions that can fail take an lstm_error and return NULL or -1; on success they return the object or 0. An error
 * names the configuration field or argument at fault. Every *_free accepts NULL.
 *
 * Results never depend on the number of threads or on the instruction set: see docs/engine.md.
 */
#ifndef LSTM_LSTM_H
#define LSTM_LSTM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LSTM_VERSION "0.1.0"
#define LSTM_MAX_DIMS 5
#define LSTM_NAME_SIZE 48

/* ---- errors ------------------------------------------------------------------------------------------------ */

typedef struct lstm_error {
    char field[LSTM_NAME_SIZE]; /* the configuration field or argument at fault, "" when there is none */
    char message[256];          /* one line: what was expected, what was got */
} lstm_error;

/* Fills *err (may be NULL) and returns -1, so that callers can write "return lstm_fail(err, ...)". */
int lstm_fail(lstm_error *err, const char *field, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
/* Shows the control characters of a text, which names in arguments and files may hold, as \n, \t or \x1b, so that a
 * message stays one line. In place; what then does not fit into `size` bytes is cut. */
void lstm_show_controls(char *text, size_t size);

/* ---- tensors ----------------------------------------------------------------------------------------------- */

typedef enum lstm_type { LSTM_F32, LSTM_F64 } lstm_type;

/* How an index along one axis turns into an offset, in elements:
 *   index = g*group + r;  r = b*block + e;  offset = g*group_stride + b*block_stride + e*stride
 * A plain dense axis of n has group = block = n and only stride matters. */
typedef struct lstm_axis {
    size_t size, group, block;
    size_t group_stride, block_stride, stride;
} lstm_axis;

/* A view of numbers that belong to a model or trainer (or to the caller). Copying the struct copies the view; the
 * data stay the owner's, valid until the owner is freed. */
typedef struct lstm_tensor {
    char name[LSTM_NAME_SIZE]; /* "lstm.weight_hh_l0", "f", ... */
    const char *dim[LSTM_MAX_DIMS]; /* names of the axes: "time", "batch", "unit", ... static strings */
    lstm_type type;
    int ndim; /* 0 .. LSTM_MAX_DIMS; 0: a scalar */
    lstm_axis axis[LSTM_MAX_DIMS];
    void *data;
} lstm_tensor;

size_t lstm_type_size(lstm_type type);
size_t lstm_tensor_size(const lstm_tensor *t); /* number of elements */
/* A dense row-major view of the caller's data. shape has ndim entries. */
void lstm_tensor_dense(lstm_tensor *t, const char *name, lstm_type type, int ndim, const size_t *shape, void *data);
/* Offset in elements of the element with this row-major flat index (< lstm_tensor_size). */
size_t lstm_axis_offset(const lstm_axis *a, size_t index); /* of an index along one axis, in elements */
size_t lstm_tensor_offset(const lstm_tensor *t, size_t flat);
double lstm_tensor_at(const lstm_tensor *t, size_t flat);
void lstm_tensor_set(const lstm_tensor *t, size_t flat, double value);
/* Copy between a dense row-major array of the tensor's own type and elements [first, first+count) of the view. */
void lstm_tensor_read(const lstm_tensor *t, size_t first, size_t count, void *dense);
void lstm_tensor_write(const lstm_tensor *t, size_t first, size_t count, const void *dense);

/* ---- random numbers: functions of (seed, stream, counter) only ---------------------------------------------- */

/* Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). */
void lstm_philox(uint64_t seed, uint64_t stream, uint64_t counter, uint32_t out[4]);
double lstm_uniform(uint64_t seed, uint64_t stream, uint64_t counter); /* [0, 1), 53 bits */
double lstm_normal(uint64_t seed, uint64_t stream, uint64_t counter);  /* mean 0, variance 1 */
/* Streams used by the engine have the top bit set; callers use any other number. */
#define LSTM_STREAM_INIT (UINT64_C(1) << 63)
#define LSTM_STREAM_DROPOUT (UINT64_C(3) << 62)

/* ---- element-wise functions ---------------------------------------------------------------------------------- */

typedef enum lstm_function { LSTM_EXP, LSTM_LOG, LSTM_SIGMOID, LSTM_TANH } lstm_function;
/* Puts f(x) in place of each of n values, as the engine computes it: at most 2 ulp from the truth, and the same bits on
 * every instruction set. */
void lstm_apply(lstm_function f, double *values, size_t n);

/* ---- model ------------------------------------------------------------------------------------------------- */

typedef enum lstm_cell { LSTM_CELL_LSTM, LSTM_CELL_RNN } lstm_cell;
typedef enum lstm_input { LSTM_INPUT_ONEHOT, LSTM_INPUT_EMBEDDING, LSTM_INPUT_DENSE } lstm_input;
typedef enum lstm_loss { LSTM_LOSS_CROSS_ENTROPY, LSTM_LOSS_MSE } lstm_loss;
/* How the products of layers (and of a head of 256 outputs or more) are computed: in the model's type, or (LSTM_F32
 * only) from operands that are rounded to one bfloat16 number or split into two or three, added up in float. Parameters,
 * states, gates, loss and optimiser are in the model's type always. See docs/precision.md. */
typedef enum lstm_products {
    LSTM_PRODUCTS_REAL,
    LSTM_PRODUCTS_BF16X6, /* three parts: as accurate as float */
    LSTM_PRODUCTS_BF16X3, /* two */
    LSTM_PRODUCTS_BF16,   /* one */
    LSTM_PRODUCTS_AUTO    /* the fastest of the first two for the shape, on this machine: decided for each trainer */
} lstm_products;

typedef struct lstm_model_config {
    lstm_cell cell;
    lstm_input input;
    lstm_loss loss;
    lstm_type type;
    lstm_products products;
    size_t vocab;   /* V: token inputs; 0 for dense input */
    size_t embed;   /* E: LSTM_INPUT_EMBEDDING only, else 0 */
    size_t inputs;  /* I: LSTM_INPUT_DENSE only, else 0 */
    size_t outputs; /* O: classes of the softmax, or width of the linear output */
    size_t hidden, layers;
    double dropout;    /* between layers and before the head, in [0, 1); kept values are scaled by 1/(1-dropout) */
    uint64_t seed;     /* of initialisation and dropout */
    size_t max_memory; /* bytes this model and its trainers may hold together, 0: no limit */
} lstm_model_config;

typedef struct lstm_model lstm_model;

/* All parameters zero: call lstm_model_init. Fields are checked completely before memory is taken. */
lstm_model *lstm_model_new(const lstm_model_config *config, lstm_error *err);
void lstm_model_free(lstm_model *m); /* after all its trainers */
const lstm_model_config *lstm_model_settings(const lstm_model *m);

size_t lstm_model_params(const lstm_model *m);  /* number of parameter tensors */
size_t lstm_model_size(const lstm_model *m);    /* number of scalars in them */
size_t lstm_model_bytes(const lstm_model *m);   /* memory held by the model itself */
/* Parameter tensor k < lstm_model_params: "embedding.weight" [V,E], "lstm.weight_ih_l0" [4H,I], "lstm.weight_hh_l0"
 * [4H,H], "lstm.bias_l0" [4H] (rnn: "rnn.*", H rows), "head.weight" [O,H], "head.bias" [O]; in this order. */
lstm_tensor lstm_model_param(const lstm_model *m, size_t k);
int lstm_model_find(const lstm_model *m, const char *name, size_t *k); /* -1 when there is no such tensor */

/* ---- initialisation ---------------------------------------------------------------------------------------- */

typedef enum lstm_scheme {
    LSTM_INIT_ZEROS,
    LSTM_INIT_NORMAL,         /* N(0, arg^2) */
    LSTM_INIT_UNIFORM,        /* U(-arg, arg) */
    LSTM_INIT_UNIFORM_HIDDEN, /* U(-1/sqrt(H), 1/sqrt(H)), as PyTorch */
    LSTM_INIT_XAVIER_NORMAL,  /* Glorot & Bengio 2010: std = arg*sqrt(2/(fan_in+fan_out)), per gate */
    LSTM_INIT_XAVIER_UNIFORM, /* bound = arg*sqrt(6/(fan_in+fan_out)) */
    LSTM_INIT_HE_NORMAL,      /* He et al. 2015: std = arg*sqrt(2/fan_in) */
    LSTM_INIT_HE_UNIFORM,     /* bound = arg*sqrt(6/fan_in) */
    LSTM_INIT_ORTHOGONAL,     /* Saxe et al. 2014: each gate's matrix has orthonormal rows or columns, times arg */
    LSTM_INIT_IDENTITY,       /* Le, Jaitly & Hinton 2015: arg on the diagonal, per gate */
    LSTM_INIT_CONSTANT,       /* arg */
    LSTM_INIT_SCHEMES
} lstm_scheme;

const char *lstm_scheme_name(lstm_scheme s); /* "zeros", "normal", ...; NULL past the end */
bool lstm_scheme_takes_argument(lstm_scheme s); /* needs arg; the others use 1 when arg is 0 or may scale by it */

/* Kinds of parameters that can have a scheme of their own. */
typedef enum lstm_kind {
    LSTM_KIND_EMBEDDING, /* embedding.weight */
    LSTM_KIND_INPUT,     /* weight_ih */
    LSTM_KIND_RECURRENT, /* weight_hh */
    LSTM_KIND_BIAS,      /* bias_l* */
    LSTM_KIND_HEAD,      /* head.weight */
    LSTM_KIND_HEAD_BIAS, /* head.bias */
    LSTM_KINDS
} lstm_kind;
const char *lstm_kind_name(lstm_kind k); /* "embedding", "input", "recurrent", "bias", "head", "head_bias" */
lstm_kind lstm_model_param_kind(const lstm_model *m, size_t k);

typedef struct lstm_init {
    struct {
        lstm_scheme scheme;
        double arg;
    } kind[LSTM_KINDS];
    double forget_bias; /* added to the forget gate's bias after the scheme (Gers et al. 2000); lstm only */
} lstm_init;

/* Sets every parameter from (model's seed, parameter's place): independent of threads and of each other. */
int lstm_model_init(lstm_model *m, const lstm_init *init, lstm_error *err);

/* ---- trainer: a workspace for B x T, gradients, optimiser ---------------------------------------------------- */

typedef enum lstm_optimizer { LSTM_ADAMW, LSTM_ADAM, LSTM_SGD, LSTM_RMSPROP } lstm_optimizer;
/* Adam's bias correction: by 1 - beta^t at update t; or always by 1 - beta, as programs have it that forget the power. */
typedef enum lstm_correction { LSTM_CORRECTION_POWER, LSTM_CORRECTION_CONSTANT } lstm_correction;
typedef enum lstm_clip { LSTM_CLIP_NONE, LSTM_CLIP_VALUE, LSTM_CLIP_NORM } lstm_clip;
typedef enum lstm_loss_at { LSTM_LOSS_AT_ALL, LSTM_LOSS_AT_LAST } lstm_loss_at;
typedef enum lstm_reduction { LSTM_MEAN, LSTM_SUM } lstm_reduction;

/* Partners: processes (or threads) that train equal models, each on some rows of the same batches, so that together
 * they do what one would do with the whole batch. All of them make the same calls with the same arguments but for the
 * rows. Losses and gradients are those of the whole batch, summed over the partners; activations, their gradients and
 * states are those of the trainer's own rows. Dropout is that of the rows' places in the whole batch. */
typedef struct lstm_partners {
    size_t rows;  /* B of the whole batch; 0: there are no partners, the fields below mean nothing */
    size_t first; /* the row of the whole batch that is this trainer's row 0 */
    /* values[i] := its sum over all partners, the same bits for each of them: added in an order that never changes.
     * Called from the thread that called the trainer. Cannot fail: what cannot go on must end the process. */
    void (*sum)(void *context, lstm_type type, void *values, size_t count);
    void *context;
} lstm_partners;

typedef struct lstm_trainer_config {
    size_t batch, seq;   /* B: of this trainer; T: the longest sequence a batch may have */
    bool inference;      /* forward only: no gradients, no optimiser, no kept gates */
    lstm_optimizer optimizer;
    double lr, beta1, beta2, eps, momentum, alpha, weight_decay; /* torch's meanings and names (alpha: RMSprop) */
    lstm_correction bias_correction; /* adamw and adam */
    bool decay_biases;   /* weight decay on biases, too */
    lstm_clip clip;
    double clip_at;      /* bound of |g| (value) or of the global L2 norm */
    size_t accumulate;   /* backward passes per update, >= 1: their gradients are averaged */
    lstm_loss_at loss_at;
    lstm_reduction reduction; /* loss and gradient: mean over what counts, or sum */
    bool carry;          /* lstm_trainer_step carries h and c to the next batch */
    int threads;         /* 0: lstm_threads() */
    lstm_partners partners;
} lstm_trainer_config;

/* B of the whole batch. */
static inline size_t lstm_whole_batch(const lstm_trainer_config *c)
{
    return c->partners.rows ? c->partners.rows : c->batch;
}

void lstm_trainer_defaults(lstm_trainer_config *config); /* AdamW 1e-3, .9, .999, 1e-8, decay .01; B = T = 0 */

typedef struct lstm_trainer lstm_trainer;

lstm_trainer *lstm_trainer_new(lstm_model *m, const lstm_trainer_config *config, lstm_error *err);
void lstm_trainer_free(lstm_trainer *tr);
const lstm_trainer_config *lstm_trainer_settings(const lstm_trainer *tr);
lstm_model *lstm_trainer_model(const lstm_trainer *tr);
size_t lstm_trainer_bytes(const lstm_trainer *tr);
lstm_products lstm_trainer_products(const lstm_trainer *tr); /* never auto */

/* What one pass works on; arrays are the caller's and are only read. T = steps <= config.seq; B = config.batch. */
typedef struct lstm_batch {
    size_t steps;
    const int32_t *ids;         /* [T][B] in [0, V): token inputs */
    const void *x;              /* [T][B][I], model's type: dense input */
    const int32_t *target_ids;  /* [T][B] in [0, O): cross-entropy; NULL: forward computes no loss */
    const void *target;         /* [T][B][O], model's type: mean squared error; NULL: no loss */
    const double *mask;         /* [T][B] weights >= 0 of each position's loss, or NULL: all 1. With loss_at last each
                                   row's last weight above 0 counts, which is that of a padded sequence's end */
    bool reset;                 /* set the trainer's state to zero first */
    bool same_weights;          /* no parameter has changed since this trainer's last forward pass, whose copies of them
                                   may be used again: for many short ones, as in sampling */
} lstm_batch;

/* Each position's weight in the loss of a batch's targets, [T][rows]: the mask, or 1; with LSTM_LOSS_AT_LAST that of each
 * row's last position that has one, alone. */
void lstm_batch_weights(const lstm_batch *batch, size_t rows, lstm_loss_at loss_at, double *weights);

/* Forward from the trainer's initial state. training: dropout is on. *loss: in nats per counted position (or MSE per
 * element), or their sum; NaN without targets. Does not change the state. */
int lstm_trainer_forward(lstm_trainer *tr, const lstm_batch *batch, bool training, double *loss, lstm_error *err);
/* Sum of the weights of the positions that counted in the last forward with targets; of the whole batch. */
double lstm_trainer_weight(const lstm_trainer *tr);

/* Gradients of a loss of the caller's own, from which the backward pass goes on through the network. Arrays are of the
 * trainer's rows and the model's type, dense; they are read during the call only. T: steps of the last forward. */
typedef struct lstm_upstream {
    const void *logits;   /* [T][B][O] dL/dlogits (or dL/d output), instead of those of the targets, or NULL: these, and
                             without targets zero */
    const void *const *h; /* [layers], each [T][B][H] or NULL: what the loss itself adds to dL/dh_t of the layer, before
                             dropout; NULL: nothing */
    const void *const *c; /* the same for dL/dc_t; lstm only */
} lstm_upstream;

/* Backward through the last forward (the batch's arrays must still be there); adds to the gradients of earlier
 * backward passes since the last update or lstm_trainer_zero. Parameters' gradients are those of the whole batch.
 * upstream: NULL for the loss of the targets. */
int lstm_trainer_backward(lstm_trainer *tr, const lstm_upstream *upstream, lstm_error *err);
void lstm_trainer_zero(lstm_trainer *tr); /* forget accumulated gradients */
size_t lstm_trainer_summed(const lstm_trainer *tr); /* passes whose sum the gradients are; an update takes their mean */

typedef struct lstm_update_stats {
    double grad_norm;      /* global L2 norm before clipping (of the mean over accumulated passes) */
    double clipped_norm;   /* and after */
    double clipped_share;  /* share of elements changed by clipping */
    double update_ratio;   /* ||change of parameters|| / ||parameters|| */
    bool updated;          /* false: accumulating, nothing was changed */
} lstm_update_stats;

/* One optimiser step on the gradients; then they count as used and the next backward starts afresh. A non-finite
 * gradient norm is reported in stats and the parameters are left alone (updated = false). */
int lstm_trainer_update(lstm_trainer *tr, lstm_update_stats *stats, lstm_error *err);

typedef struct lstm_step_stats {
    double loss;
    lstm_update_stats update;
} lstm_step_stats;

/* forward (training) + backward + update (every `accumulate`-th call) + carry when configured. */
int lstm_trainer_step(lstm_trainer *tr, const lstm_batch *batch, lstm_step_stats *stats, lstm_error *err);

void lstm_trainer_carry(lstm_trainer *tr); /* initial state := state after the last forward */
void lstm_trainer_reset(lstm_trainer *tr); /* initial state := 0 */

double lstm_trainer_lr(const lstm_trainer *tr);
void lstm_trainer_set_lr(lstm_trainer *tr, double lr);

/* Counters a bit-exact continuation needs, beside parameters, moments and state. */
typedef struct lstm_counters {
    uint64_t updates;     /* optimiser steps done: power of the bias correction */
    uint64_t passes;      /* backward passes done: dropout's counter */
    uint64_t accumulated; /* backward passes since the last update */
} lstm_counters;
lstm_counters lstm_trainer_counters(const lstm_trainer *tr);
void lstm_trainer_set_counters(lstm_trainer *tr, lstm_counters counters);

/* Tensors of a trainer. `index` is a layer, or a parameter's number for the last three. Activations and their
 * gradients have T of the last forward. */
typedef enum lstm_what {
    LSTM_I, LSTM_F, LSTM_G, LSTM_O, LSTM_C, LSTM_H,       /* [T,B,H]; I F G O C: lstm only */
    LSTM_DI, LSTM_DF, LSTM_DG, LSTM_DO,                   /* dL/d(gate before its non-linearity) [T,B,H]; rnn: DG only */
    LSTM_DC, LSTM_DH,                                     /* dL/dc_t, dL/dh_t, all paths included [T,B,H] */
    LSTM_LOGITS,                                          /* logits, or linear output [T,B,O] (index 0) */
    LSTM_LOSS,                                            /* each position's share of the loss [T,B], double (index 0) */
    LSTM_DLOGITS,                                         /* dL/dlogits [T,B,O] (index 0) */
    LSTM_DX,                                              /* dL/dx [T,B,I], dense and embedded input (index 0) */
    LSTM_STATE_H, LSTM_STATE_C,                           /* initial state [B,H], may be written */
    LSTM_START_H, LSTM_START_C,                           /* state that the last forward began with [B,H] */
    LSTM_FINAL_H, LSTM_FINAL_C,                           /* state after the last forward [B,H] */
    LSTM_DSTATE_H, LSTM_DSTATE_C,                         /* dL/d initial state [B,H] */
    LSTM_GRAD, LSTM_MOMENT1, LSTM_MOMENT2,                /* shaped as the parameter */
    LSTM_WHATS
} lstm_what;
const char *lstm_what_name(lstm_what w); /* "i", ..., "dh", "logits", "input", "state.h", ... */
/* -1 when this trainer has no such tensor (inference, wrong cell, no forward yet, index too large). */
int lstm_trainer_tensor(const lstm_trainer *tr, lstm_what what, size_t index, lstm_tensor *out, lstm_error *err);

/* ---- where the time goes ------------------------------------------------------------------------------------- */

typedef enum lstm_phase {
    LSTM_PHASE_INPUT,    /* gathering inputs, dropout, products of dense inputs, where not in forward */
    LSTM_PHASE_FORWARD,  /* recurrent products and cells; in tiles, and with rows enough, products of inputs, too */
    LSTM_PHASE_HEAD,     /* head, softmax, loss; and their way back to dL/dh and the head's gradients */
    LSTM_PHASE_BACKWARD, /* recurrent products and cells, backwards; transposing weights */
    LSTM_PHASE_INPUTS_BACK, /* dL/d(input of a layer), embedding */
    LSTM_PHASE_WEIGHTS,  /* dW */
    LSTM_PHASE_PARTNERS, /* sums over partners, and waiting for them */
    LSTM_PHASE_UPDATE,   /* norm, clipping, optimiser */
    LSTM_PHASES
} lstm_phase;
const char *lstm_phase_name(lstm_phase p);
/* Seconds spent in each phase since the last call with on = true (which sets them to 0), as thread 0 saw it; measured
 * only while on. */
void lstm_trainer_profile(lstm_trainer *tr, bool on);
double lstm_trainer_phase_seconds(const lstm_trainer *tr, lstm_phase p);

/* ---- sampling ---------------------------------------------------------------------------------------------- */

/* One choice from n logits: softmax(logits/temperature) restricted to the top_k largest (0: all); u in [0,1) picks.
 * temperature 0: the largest (the first of equals). -1 and error when nothing can be chosen (non-finite logits). */
int lstm_choose(const double *logits, size_t n, double temperature, size_t top_k, double u, size_t *choice,
                lstm_error *err);

/* ---- plan: what a configuration needs, before anything is taken ---------------------------------------------- */

typedef struct lstm_plan {
    size_t parameters;      /* scalars */
    size_t model_bytes, trainer_bytes;
    double flops_per_step;  /* one training step, multiplications and additions counted apart */
    lstm_products products; /* never auto */
} lstm_plan;
int lstm_plan_for(const lstm_model_config *model, const lstm_trainer_config *trainer, lstm_plan *plan, lstm_error *err);

/* ---- machine ----------------------------------------------------------------------------------------------- */

/* Instruction set in use: "scalar", "avx2", "avx512". Chosen by CPU and OS, or by LSTM_KERNEL; an impossible wish is
 * an error at the first lstm_model_new. */
const char *lstm_kernel(void);
/* Who computes products of bfloat16 numbers: "amx", the processor's matrix units, "avx512bf16", its vector instructions for
 * them, or "software"; the same bits. Chosen by CPU and OS, or by LSTM_TILES. */
const char *lstm_tiles(void);
/* Why units or instructions that are there are not used: they failed a check against the program. NULL: nothing is
 * wrong. */
const char *lstm_tiles_problem(void);
/* Whether LSTM_PRODUCTS_AUTO decides as on a machine with matrix units (1), without (0), or as on this one (-1, at first),
 * so that what one machine began another can repeat. */
void lstm_set_auto(int units);
bool lstm_auto_units(void); /* how it decides */
int lstm_threads(void);        /* threads an engine call may use; at first OpenMP's default */
void lstm_set_threads(int n);  /* n >= 1; 1 without OpenMP */

#endif
