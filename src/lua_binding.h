/* SPDX-License-Identifier: MIT
 *
 * lua_binding.h - what the files of the Lua binding share: owners and views, tensors, models, trainers, texts.
 *
 * Userdata are born closed: the object is created first, with its metatable, and filled afterwards, so that whatever
 * raises in between leaves something the collector can free. __gc and __close are the same idempotent function.
 *
 * Who keeps whom alive, by user values: a view its owner; a trainer its model; a stream its text. An owner can be
 * closed while views of it live: every use of a view asks the owner first. A model closes its trainers before it goes.
 */
#ifndef LUA_BINDING_H
#define LUA_BINDING_H

#include <stdbool.h>
#include <stddef.h>

#include <lauxlib.h>
#include <lua.h>

#include "lstm.h"
#include "lua_args.h"
#include "stream.h"

/* ---- owners ----------------------------------------------------------------------------------------------------- */

/* First member of every userdata that holds memory in C. */
typedef struct lua_owner {
    const char *closed; /* NULL: open; else for messages: "closed model", "trainer whose model was closed" */
} lua_owner;

/* The userdata of type `tname` at `index`, which is the self of method `function`; raises when it is something else. */
void *lua_owner_self(lua_State *L, int index, const char *tname, const char *function);
/* The same, and raises "attempt to call 'function' on a closed model" when it is closed. */
void *lua_owner_check(lua_State *L, int index, const char *tname, const char *function);
/* The same for one already fetched. Whatever allocates in Lua may run finalizers, and those may close anything: what is
 * behind an owner is fetched after the last allocation, or again. NULL is always open. */
void lua_owner_recheck(lua_State *L, const lua_owner *owner, const char *function);
/* Makes metatable `tname` with these metamethods (including __gc and __close) and methods; leaves nothing. When the
 * metamethods have no __index, methods are looked up directly. */
void lua_owner_register(lua_State *L, const char *tname, const luaL_Reg *metamethods, const luaL_Reg *methods);
/* For an __index that computes fields: pushes method `key` (stack index) of metatable `tname`, or nil. */
void lua_owner_push_method(lua_State *L, const char *tname, int key);
/* The same, but raises when it is nil and a script asks: `fields` (NULL-terminated) are the names of what there is beside
 * methods. For objects that nobody takes for another kind, as streams and texts are taken. */
void lua_owner_push_known_method(lua_State *L, const char *tname, int key, const char *const *fields);

/* For an __index or __newindex: the key at 2 when it is a string, else "". */
const char *lua_owner_key(lua_State *L);

/* What a function gives back: nil and a sentence, when a file or the machine is to blame; or fields of the table on top
 * of the stack. */
int lua_failure(lua_State *L, const lstm_error *err);
void lua_field_integer(lua_State *L, const char *field, size_t value);
void lua_field_number(lua_State *L, const char *field, double value);
void lua_field_boolean(lua_State *L, const char *field, bool value);
void lua_field_string(lua_State *L, const char *field, const char *value);

/* Lua does not see memory held in C. Before `bytes` are taken: runs a full collection when what is held has grown by
 * half since the last one, so that objects made and dropped in a loop never pile up. May run finalizers. Raises when
 * that would be beyond the limit. */
void lua_memory_want(lua_State *L, size_t bytes);
void lua_memory_took(lua_State *L, size_t bytes); /* never raises; pair with lua_memory_gave */
void lua_memory_gave(lua_State *L, size_t bytes);
/* From now on the objects of this process in C, and all that L holds in Lua, may take so many bytes together. */
void lua_memory_limit(lua_State *L, size_t bytes);
void lua_memory_register(lua_State *L);

/* ---- tensors ---------------------------------------------------------------------------------------------------- */

#define LUA_TENSOR "lstm.tensor"

/* Pushes a view of what belongs to the open owner userdata at stack index `owner`. */
void lua_tensor_push_view(lua_State *L, int owner, const lstm_tensor *view);
/* Pushes a new dense tensor of zeros; returns its view, whose data may be written. */
const lstm_tensor *lua_tensor_push_new(lua_State *L, const char *name, lstm_type type, int ndim, const size_t *shape);
/* Pushes a dense copy of a view of the owner's (NULL: of nobody's) and returns it. */
const lstm_tensor *lua_tensor_push_copy(lua_State *L, const lua_owner *owner, const lstm_tensor *view);
/* The tensor at `index`, argument `arg` of `function`: raises when it is something else, or its owner is closed.
 * The pointer is good as long as the value stays on the stack and its owner is open. */
const lstm_tensor *lua_tensor_check(lua_State *L, int index, const char *function, int arg);
bool lua_tensor_is(lua_State *L, int index);
/* The tensor at stack index 1, of which `function` is a method. */
const lstm_tensor *lua_tensor_self(lua_State *L, const char *function);
const lua_owner *lua_tensor_owner(lua_State *L, int index); /* of the tensor at `index`; may be NULL */
/* Pushes a dense tensor made of the nested table at `table`; errors name argument `arg` of `function` and `what`. */
const lstm_tensor *lua_tensor_push_nested(lua_State *L, int table, lstm_type type, const char *function, int arg,
                                          const char *what);
const char *lua_tensor_push_shape(lua_State *L, const lstm_tensor *t); /* pushes "[2,3]" */
/* Elements [first, first+count) as doubles, and back. */
void lua_tensor_read(const lstm_tensor *t, size_t first, size_t count, double *values);
void lua_tensor_write(const lstm_tensor *t, size_t first, size_t count, const double *values);
/* Assigns the value at `index` (a number, a tensor or a nested table of the same shape) to a view of the owner's (NULL:
 * of nobody's); errors name argument `arg` of `function` and, unless NULL, `what`. */
void lua_tensor_assign(lua_State *L, const lua_owner *owner, const lstm_tensor *t, int index, const char *function,
                       int arg, const char *what);
void lua_tensor_register(lua_State *L); /* adds lstm.tensor to the table on top of the stack */
void lua_tensor_math_register(lua_State *L); /* adds arithmetic to tensors; leaves nothing */

/* ---- vocabularies, texts, streams ------------------------------------------------------------------------------- */

#define LUA_VOCABULARY "lstm.vocabulary"
#define LUA_CORPUS "lstm.corpus"
#define LUA_STREAM "lstm.stream"

typedef struct lua_vocabulary {
    lua_owner owner;
    lstm_vocab *vocab; /* a reference of its own */
} lua_vocabulary;

typedef struct lua_corpus {
    lua_owner owner;
    lstm_corpus *corpus; /* a reference of its own; streams have theirs, and go on when the text is closed */
    size_t bytes;
} lua_corpus;

typedef struct lua_stream {
    lua_owner owner;
    lstm_stream *stream; /* user value 1: the text */
} lua_stream;

/* The vocabulary at `index`, or of the text there; NULL when it is neither. */
lstm_vocab *lua_vocabulary_of(lua_State *L, int index);
/* Pushes a vocabulary of its own for what lua_vocabulary_of finds at `index`; nil when that is nothing. */
void lua_vocabulary_push(lua_State *L, int index);
/* Pushes the text of ids that are all in the vocabulary. */
void lua_vocabulary_push_text(lua_State *L, const lstm_vocab *vocab, const int32_t *ids, size_t count,
                              const char *function);
/* Pushes a userdata with the ids of the list or tensor at `index`, all checked to be in [0, below), and returns it;
 * errors name argument `arg` of `function` and `what`. */
int32_t *lua_ids_push(lua_State *L, int index, size_t below, const char *function, int arg, const char *what,
                      size_t *count);
/* The open text at `index`. */
lstm_corpus *lua_corpus_check(lua_State *L, int index, const char *function);
/* Pushes a new stream of the text at stack index `corpus`; errors name argument `arg` of `function`. */
lua_stream *lua_stream_push(lua_State *L, int corpus, const lstm_stream_config *config, const char *function, int arg);
/* Pushes another stream like the one at stack index `stream`, at its beginning. */
lua_stream *lua_stream_push_like(lua_State *L, int stream, const char *function, int arg);
extern const char *const lua_part_names[]; /* "train", "val", "test", NULL */
int lua_corpus_train(lua_State *L); /* text:train{...}, and so on */
int lua_corpus_val(lua_State *L);
int lua_corpus_test(lua_State *L);
int lua_corpus_stream(lua_State *L);
void lua_vocabulary_register(lua_State *L);
void lua_corpus_register(lua_State *L);
void lua_stream_register(lua_State *L);

/* ---- models ----------------------------------------------------------------------------------------------------- */

#define LUA_MODEL "lstm.model"

struct lua_trainer;

/* User values of a model. */
enum { LUA_MODEL_VOCAB = 1, LUA_MODEL_INIT, LUA_MODEL_WORKERS, LUA_MODEL_USER_VALUES = LUA_MODEL_WORKERS };

typedef struct lua_model {
    lua_owner owner;
    lstm_model *model;
    struct lua_trainer *trainers; /* all open ones; each takes itself out */
    size_t bytes;
} lua_model;

lua_model *lua_model_check(lua_State *L, int index, const char *function);
extern const char *const lua_model_fields[]; /* names of the fields lstm.model takes */
lstm_model_config lua_model_read_config(lua_State *L, const lua_args *a); /* checks all but `init` */
void lua_model_check_init(lua_State *L, const lua_args *a, lstm_cell cell); /* this */
const char *lua_precision_name(lstm_type type, lstm_products products); /* as field `precision` has it */
void lua_model_register(lua_State *L);

/* ---- trainers --------------------------------------------------------------------------------------------------- */

#define LUA_TRAINER "lstm.trainer"

/* User values of a trainer. */
enum {
    LUA_TRAINER_MODEL = 1,
    LUA_TRAINER_ARRAYS, /* userdata: the arrays of the last batch */
    LUA_TRAINER_TEXT,   /* the text of the stream below */
    LUA_TRAINER_STREAM, /* stream that step(text) takes its batches from */
    LUA_TRAINER_DRAWN,  /* what the last batch came from: text, stream, object; nil: a table */
    LUA_TRAINER_SOURCE, /* the same of the last one that went backward, too */
    LUA_TRAINER_USER_VALUES = LUA_TRAINER_SOURCE
};

typedef enum lua_carry { LUA_CARRY_AUTO, LUA_CARRY_ON, LUA_CARRY_OFF } lua_carry;

typedef struct lua_trainer {
    lua_owner owner;
    lstm_trainer *trainer;
    lua_model *model; /* alive as long as this is: user value */
    struct lua_trainer *next, **link; /* in the model's list */
    size_t bytes;
    double lr, lr_scale; /* what the script set; the optimiser's rate is their product */
    lua_carry carry;
    void *arrays;     /* of the last batch; a user value keeps them */
    lstm_batch batch, whole; /* the last one: this process's rows; all rows */
    bool in_order;    /* it is one of a sequence: carry says what becomes of the state */
    bool drawn;       /* it came from a text, a stream or an object, rather than as a table */
    bool ready;       /* it went forward and not yet backward */
    size_t forwards;  /* how often it did, by step and forward */
    size_t number;    /* trainers are numbered as they are made */
    size_t kept_by;   /* number of the run whose checkpoints have it */
} lua_trainer;

lua_trainer *lua_trainer_check(lua_State *L, int index, const char *function);
/* Pushes a new trainer of the model at stack index `model`. Engine errors are raised as of `a`. */
lua_trainer *lua_trainer_push(lua_State *L, int model, const lstm_trainer_config *config, const lua_args *a);
extern const char *const lua_trainer_fields[];
lstm_trainer_config lua_trainer_read_config(lua_State *L, const lua_args *a);
/* Whether the state after the last batch is the next one's initial state. */
bool lua_trainer_carries(const lua_trainer *t);
void lua_trainer_close(lua_State *L, lua_trainer *t, const char *why); /* idempotent, never raises */
void lua_trainer_register(lua_State *L);
int lua_trainer_new(lua_State *L); /* model:trainer{...} */
/* Raises the engine's error as one of the method's only argument, or of the method itself. */
int lua_trainer_engine_error(lua_State *L, const char *function, const lstm_error *err);

/* The gradients of the script's own loss in the table at stack index `table`, the argument of fit:backward, for trainer t,
 * which has gone forward. What they lie in is left on the stack. */
lstm_upstream lua_upstream_take(lua_State *L, lua_trainer *t, int table);

/* Methods of trainers in lua_views.c. */
int lua_trainer_activation(lua_State *L);
int lua_trainer_gradient(lua_State *L);
int lua_trainer_moment(lua_State *L);
int lua_trainer_state(lua_State *L);
int lua_trainer_set_state(lua_State *L);
int lua_trainer_state_view(lua_State *L);
int lua_trainer_counters(lua_State *L);
int lua_trainer_set_counters(lua_State *L);
int lua_trainer_checkpoint_tensors(lua_State *L);

/* Pushes the stream that step(text) takes its batches from: the training part of the text at stack index `text`, in
 * order, for this trainer's batch and seq. It is made the first time, and kept until another text is given. */
lua_stream *lua_trainer_push_stream(lua_State *L, int self, lua_trainer *t, int text, const char *function, int arg);

/* Takes the next batch of `source` (stack index: a batch table, a text, a stream, an object with a method next) into
 * trainer t (stack index `self`). Returns false at the end of a stream that ends. */
bool lua_batch_take(lua_State *L, int self, lua_trainer *t, int source, const char *function, int arg);

/* ---- processes that share batches ------------------------------------------------------------------------------- */

/* Where this program is one of a group of processes (core.join), gives a trainer its share of the c->batch rows that
 * all of them have: sets batch and partners. False, and nothing is set, when there are fewer rows than processes. */
bool lua_group_share(lua_State *L, lstm_trainer_config *c);
size_t lua_group_size(lua_State *L); /* processes; 1: this one is alone */
/* From [steps][whole batch][bytes], the trainer's own rows [steps][batch][bytes]; `to` may be `from`. */
void lua_group_keep_rows(const lstm_trainer_config *c, size_t steps, const void *from, void *to, size_t bytes);
/* Pushes a copy of a tensor of trainer t, which has partners, with everybody's rows along `axis`; all must call it. */
void lua_group_push_whole(lua_State *L, const lua_trainer *t, const lstm_tensor *own, int axis);
int lua_trainer_whole(lua_State *L);
int lua_trainer_fingerprint(lua_State *L);
void lua_group_register(lua_State *L); /* adds `join` to the table on top of the stack */

/* ---- uses of inference ------------------------------------------------------------------------------------------ */

int lua_sample(lua_State *L);           /* model:sample{...} */
int lua_model_evaluate(lua_State *L);   /* model:evaluate(source, options) */
int lua_trainer_evaluate(lua_State *L); /* fit:evaluate(source, options) */

/* An inference trainer of the model at stack index `model`, with batch, seq, loss_at and threads of `like`: pushes and
 * returns it. Its state is zero. It belongs to the caller alone, who may call functions of the script, until it is given
 * back to be used again; when an error is raised in between, it is left to the collector. */
lua_trainer *lua_worker_take(lua_State *L, int model, const lstm_trainer_config *like, const char *function);
/* Pops the worker and keeps it with its model. */
void lua_worker_give_back(lua_State *L, int model);

/* Streams of lstm_uniform and lstm_normal that the binding draws from. */
enum { LUA_RANDOM_TENSOR = 1, LUA_RANDOM_SAMPLE };

#endif
