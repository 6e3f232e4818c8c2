/* SPDX-License-Identifier: MIT
 *
 * engine.h - what the engine's own files share: the packed layout, the model, the trainer's workspace.
 *
 * Layout (nb = 64 bytes / size of a real; a block is nb units):
 *   h, c, dh, dc        [t][block][b][nb]                units in blocks, each block all of the batch
 *   gates, dgates       [t][panel][b][4][nb]             lstm: panel = block, 4 = gates; rnn: 4 blocks of units
 *   packed weights      [panel][k][blocks of a panel][nb]   k: input of the product
 *   logits              [t][b][output, padded]
 * Padding is zero everywhere and stays so.
 */
#ifndef LSTM_ENGINE_H
#define LSTM_ENGINE_H

#include <stdatomic.h>

#include "block.h"
#include "lstm.h"

/* A packed matrix: `blocks` column blocks in panels of `per_panel`, k rows. */
typedef struct lstm_packed {
    size_t k, blocks, per_panel;
} lstm_packed;

size_t lstm_packed_panels(const lstm_packed *p);
size_t lstm_packed_size(const lstm_packed *p, size_t nb); /* elements, padding included */

/* One parameter tensor: where it lies in the arena of parameters (and in those of gradients and moments). */
typedef struct lstm_param {
    lstm_tensor view; /* data is NULL; offset is added per arena */
    lstm_kind kind;
    size_t layer;
    size_t offset, length; /* elements, padding included, multiples of nb */
    lstm_packed packed;    /* matrices */
} lstm_param;

typedef struct lstm_layout {
    size_t nb, esize;
    size_t H, G;           /* units, blocks of units */
    size_t gates;          /* 4 or 1 */
    size_t panels;         /* of gates: z has panels*4*nb columns */
    size_t in, in_blocks;  /* width of layer 0's dense input (I or E), 0 for one-hot */
    size_t O, o_blocks, o_per_panel, o_stride; /* outputs; o_stride: a row of logits, in elements */
    size_t L;
    size_t params, total;  /* tensors; elements of the arena */
    size_t size;           /* scalars, without padding */
    lstm_param *param;
    size_t embedding, head, head_bias;         /* numbers of parameters; embedding: SIZE_MAX when there is none */
    size_t *wih, *whh, *bias;                  /* [L] */
} lstm_layout;

/* An axis whose neighbours are all `stride` elements apart. */
static inline lstm_axis lstm_axis_plain(size_t size, size_t stride)
{
    return (lstm_axis){.size = size, .group = size, .block = size, .stride = stride};
}

int lstm_layout_new(lstm_layout *out, const lstm_model_config *config, lstm_error *err);
void lstm_layout_free(lstm_layout *layout);

/* ---- checked sizes and memory ------------------------------------------------------------------------------ */

/* *total += a*b*c*size, false on overflow of what an allocation may be (PTRDIFF_MAX). */
bool lstm_size_add(size_t *total, size_t a, size_t b, size_t c, size_t size);
void *lstm_arena_new(size_t bytes); /* zeroed, 64-byte aligned, on huge pages when large; NULL */
void lstm_arena_free(void *arena);

int lstm_check_model(const lstm_model_config *c, lstm_error *err);
int lstm_check_trainer(const lstm_model_config *m, const lstm_trainer_config *c, lstm_error *err);
int lstm_check_batch(const lstm_trainer *tr, const lstm_batch *batch, lstm_error *err);

/* ---- model -------------------------------------------------------------------------------------------------- */

struct lstm_model {
    lstm_model_config config;
    lstm_layout layout;
    void *params;
    size_t bytes, held; /* of the model; with its trainers */
    const struct lstm_passes *passes;
};

/* A view of parameter k in any arena laid out as the parameters. */
lstm_tensor lstm_param_view(const lstm_model *m, size_t k, void *arena);

/* ---- trainer ------------------------------------------------------------------------------------------------ */

/* An operand in tiles (kern/tiles.h): `groups` of 16 rows or columns, `depth` tiles of 32 along k. */
typedef struct lstm_tiled {
    uint16_t *at;
    size_t groups, depth;
} lstm_tiled;

typedef struct lstm_layer_work {
    size_t k;             /* width of the dense input, 0 for one-hot */
    void *x;              /* [T] blocks: dense input, embedded input, or h of the layer below after dropout */
    void *mask;           /* dropout on x, as x; NULL without */
    void *z;              /* gates */
    void *h, *c;          /* [T+1], time 0 is the initial state */
    void *h_start, *c_start; /* [G][B][nb]: a copy of that, from before the last forward */
    void *dz, *dh, *dc;   /* as z, h, c but [T]; of dz and dc often only time 0, see wants_dz */
    void *carry;          /* [G][B][nb]: dL/dc passed to the step before */
    void *whh_t, *wih_t;  /* transposed weights, panels over their inputs; NULL in thin batches and with tiles */
    lstm_tiled whh, wih, whh_turned, wih_turned; /* with tiles: weights, and transposed; */
    lstm_tiled x_tiles, h_tiles; /* rows of the batch, at each time step: x, which may be h of the layer below, and h */
    void *dstate_h;       /* [G][B][nb] */
} lstm_layer_work;

/* Elements of the parameters that one update call works on: never across tensors. */
typedef struct lstm_piece {
    size_t offset, length;
    bool decay;
} lstm_piece;

/* How many threads a pass uses; see team.c. */
typedef struct lstm_team {
    size_t now, trial;         /* threads: in use; being tried, 0 when nothing is */
    double time_now, time_trial; /* seconds per time step, smoothed; of the trial */
    unsigned left, interval;   /* steps until the next trial; between trials */
    bool upwards;              /* which way the next trial goes */
} lstm_team;

size_t lstm_team_size(const lstm_trainer *tr);
bool lstm_team_by_rows(const lstm_trainer *tr, size_t count);
void lstm_team_learn(lstm_trainer *tr, double seconds);
double lstm_clock(void); /* seconds, monotonic */

/* Where the threads of a pass meet; the two counters lie on lines of their own. */
typedef struct lstm_barrier {
    _Alignas(LSTM_LINE) atomic_size_t arrived;
    _Alignas(LSTM_LINE) atomic_size_t round;
} lstm_barrier;

void lstm_barrier_wait(lstm_barrier *b, size_t count);

struct lstm_trainer {
    lstm_model *m;
    lstm_team team;
    lstm_barrier *barrier;            /* in the arena */
    lstm_trainer_config config;
    lstm_counters counters;
    size_t bytes;
    void *arena;                      /* everything below lies in it */
    lstm_layer_work *layer;           /* [L] */
    void *head_x, *head_mask;         /* h of the top layer after dropout, or its h */
    void *logits, *dlogits, *head_t;
    void *dx;                         /* dense or embedded input: [T] blocks */
    void *grad, *m1, *m2;
    size_t room;                      /* rows of through and near: those of the batch, with tiles of whole groups of 16 */
    void *through;                    /* [G][room][nb]: dz W_hh */
    void *lanes;                      /* scratch of thin products, [widest input][nb]; NULL: transposed weights */
    /* Products in tiles: parts of a number, 0: none. */
    lstm_products products;           /* never auto */
    size_t parts;
    lstm_tiled dz;                    /* rows of the batch, at each time step: gradients of gates */
    lstm_tiled x_turned, h_turned;    /* k: all positions (t, b) of a batch; dense input of a layer, and its states */
    lstm_tiled woven;                 /* some of these of dz or dy, for each column block */
    void *near;                       /* z at one time step: each thread uses the place of the first block it owns */
    bool wide_head;                   /* its products are in tiles, too: */
    lstm_tiled head_tiles, head_turned, head_x_tiles, dy; /* as whh, whh_turned, x_tiles, dz */
    bool has_weights;                 /* the layers' weights have been packed */
    lstm_piece *piece;
    size_t pieces;
    double *piece_sums;               /* [pieces][4] */
    double *loss_at;                  /* [T*B] */
    double *weight_at;                /* [T*B] */
    /* the last forward */
    lstm_batch batch;
    bool has_forward, has_backward, training, has_dstate;
    bool wants_dz;                    /* somebody asked for dz or dc, and may look at them after each step */
    lstm_upstream upstream;           /* of the backward pass that is running */
    size_t steps;
    size_t summed;                    /* passes whose sum grad is: as many as accumulated, after the update, too */
    double weight_sum, loss, loss_scale; /* of the whole batch; loss: until it is summed, of the own rows */
    double forward_seconds;           /* of the last forward pass */
    lstm_update_stats update;
    bool profile;
    double phase[LSTM_PHASES], phase_start; /* seconds, of thread 0 */
};

/* Outputs from which a head's products are in tiles as those of the layers are: with fewer, packing its operands takes as
 * long as they do. */
#define LSTM_WIDE_HEAD 33

/* Whether dL/dh_0 is computed with the layer, and not when somebody asks: without a copy of the weights, and with tiles of
 * gates' gradients, which the next layer's replace. */
static inline bool lstm_early_state(const lstm_trainer *tr) { return tr->lanes || tr->parts; }

/* The passes for one precision. Each opens its own parallel region and leaves results in the trainer. */
typedef struct lstm_passes {
    const char *(*kernel)(void);
    void (*forward)(lstm_trainer *tr);
    void (*backward)(lstm_trainer *tr);
    void (*update)(lstm_trainer *tr);
    void (*gate_gradients)(lstm_trainer *tr);
    void (*state_gradients)(lstm_trainer *tr);
    void (*apply)(lstm_function f, void *values, size_t n); /* values of this precision */
} lstm_passes;

extern const lstm_passes lstm_passes_f32, lstm_passes_f64;

/* ---- machine -------------------------------------------------------------------------------------------------- */

typedef enum lstm_isa { LSTM_ISA_SCALAR, LSTM_ISA_AVX2, LSTM_ISA_AVX512, LSTM_ISA_UNKNOWN } lstm_isa;
/* The instruction set to use; LSTM_ISA_UNKNOWN and err when LSTM_KERNEL asks for one that cannot be had. */
lstm_isa lstm_machine_isa(lstm_error *err);

/* Who computes products in tiles, the fastest last; LSTM_TILES_UNKNOWN and err when LSTM_TILES asks for what cannot be
 * had. */
typedef enum lstm_tile_unit {
    LSTM_TILES_SOFTWARE,
    LSTM_TILES_AVX512BF16,
    LSTM_TILES_AMX,
    LSTM_TILES_UNKNOWN
} lstm_tile_unit;
lstm_tile_unit lstm_machine_tiles(lstm_error *err);
/* 0 when what LSTM_KERNEL and, where products may be in tiles, LSTM_TILES ask for can be had; else -1. */
int lstm_check_machine(const lstm_model_config *config, lstm_error *err);
/* What `auto` stands for. */
lstm_products lstm_products_for(const lstm_model_config *m, const lstm_trainer_config *c);

/* Denormals to zero in this thread; returns what lstm_denormals_restore needs. */
unsigned lstm_denormals_flush(void);
void lstm_denormals_restore(unsigned saved);

#endif
