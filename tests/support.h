/* SPDX-License-Identifier: MIT
 *
 * support.h - what the engine's tests share: random problems, engine tensors as plain doubles, comparisons.
 *
 * Everything that fails here ends the test program ("Bail out!"): it is never the thing under test.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include "lstm.h"
#include "naive.h"

#if defined(__GNUC__)
__attribute__((format(printf, 1, 2), noreturn))
#endif
void bail(const char *format, ...);
void *must_alloc(size_t bytes); /* zeroed */
bool under_sanitizer(void); /* make check of such a build, in which everything takes about three times as long */

/* ---- random numbers, not the engine's --------------------------------------------------------------------------- */

uint64_t random_next(uint64_t *state); /* splitmix64 (Steele, Lea & Flood 2014) */
size_t random_below(uint64_t *state, size_t n);
double random_unit(uint64_t *state);   /* [0, 1) */
double random_normal(uint64_t *state); /* about N(0,1): a sum of uniforms */

/* ---- one batch of random data ----------------------------------------------------------------------------------- */

typedef struct data {
    size_t T, B, I, O;
    int32_t *ids, *target_ids; /* NULL where the network has no use for them, as in lstm_batch */
    double *x, *target;
    void *x_real, *target_real; /* the same in the model's type */
    double *mask;
} data;

/* masked: weights in [0,1], some of them 0, as for padded sequences; never all 0. */
data *data_new(const lstm_model_config *net, size_t T, size_t B, bool masked, uint64_t seed);
void data_free(data *d);
lstm_batch data_batch(const data *d); /* all T steps, from the trainer's state */
naive_batch data_naive(const data *d, const lstm_trainer_config *settings);

/* A loss of the caller's own: the sum of outputs and states, each number times a weight of its own, normal with deviation
 * 0.1. These are its gradients. */
typedef struct own_loss {
    lstm_upstream upstream; /* as lstm_trainer_backward takes it */
    size_t layers;
    void *logits, **h, **c; /* the same arrays; NULL: nothing */
} own_loss;

/* For batches of T x B; of the outputs, of the states (where there are several layers, of all but the last but one), or
 * both. */
own_loss *own_loss_new(const lstm_model_config *net, size_t T, size_t B, bool outputs, bool states, uint64_t seed);
void own_loss_free(own_loss *o);

/* ---- engine objects that must come to be ------------------------------------------------------------------------ */

lstm_model_config config_lstm(size_t V, size_t H, size_t L); /* one-hot, cross-entropy, float64, seed 1 */
lstm_model *must_model(const lstm_model_config *config);
lstm_trainer *must_trainer(lstm_model *m, const lstm_trainer_config *config);
lstm_tensor must_tensor(const lstm_trainer *tr, lstm_what what, size_t index);
double must_forward(lstm_trainer *tr, const lstm_batch *batch, bool training); /* the loss */
void must_backward(lstm_trainer *tr);
void must_backward_from(lstm_trainer *tr, const own_loss *o);
lstm_update_stats must_update(lstm_trainer *tr);
lstm_step_stats must_step(lstm_trainer *tr, const lstm_batch *batch);

/* Every parameter normal with this standard deviation, whatever the engine's layout. */
void randomize(lstm_model *m, double std, uint64_t seed);
void randomize_state(lstm_trainer *tr, double std, uint64_t seed);

/* ---- values ----------------------------------------------------------------------------------------------------- */

double *values(const lstm_tensor *t);                       /* dense, row-major; the caller frees */
void set_values(const lstm_tensor *t, const double *value); /* rounds to the tensor's type */
/* ||got - want|| / ||want||; ||got|| when want is zero; infinite when anything is not finite. */
double relative_error(const double *got, const double *want, size_t n);
double tensor_error(const lstm_tensor *got, const double *want);

/* FNV-1a over the bits of the elements in logical order. */
uint64_t hash_bytes(uint64_t hash, const void *data, size_t size);
uint64_t hash_tensor(uint64_t hash, const lstm_tensor *t);
#define HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t hash_model(uint64_t hash, const lstm_model *m);
/* Parameters, moments, state and counters: all that a continuation needs. */
uint64_t hash_training(uint64_t hash, const lstm_trainer *tr);
/* Everything one forward and backward computes. */
uint64_t hash_pass(uint64_t hash, const lstm_trainer *tr);

/* ---- files ------------------------------------------------------------------------------------------------------ */

/* A new folder for the test's files, of its name: below /dev/shm where memory will do and there is one, else /tmp. */
void make_test_dir(const char *name, bool in_memory);
void remove_test_dir(void); /* with all that is in it */
extern char test_dir[64];
/* The path of a file in it, in one of 32 buffers that are used in turn: not to be kept. */
const char *in_dir(const char *name);
unsigned char *slurp(const char *path, size_t *size); /* the caller frees; there is room for one byte more */
void spill(const char *path, const void *bytes, size_t size);
/* Makes the checksum at the end of a checkpoint (see h5checkpoint.c) right. */
void put_checksum(unsigned char *file, size_t size);

/* ---- the same network in naive.h -------------------------------------------------------------------------------- */

/* A naive network with the trainer's parameters, initial state and T steps. */
naive *naive_of(const lstm_trainer *tr, size_t T);

#endif
