/* SPDX-License-Identifier: MIT
 *
 * stream.h - batches of B x T tokens from one part of a corpus, in an order that can be interrupted and continued.
 *
 * A part has n tokens x[0] .. x[n-1]. A batch has B rows; each row is a stretch of at most T tokens and, as targets,
 * the same stretch one token later. A batch is a function of (configuration, epoch, position) alone.
 *
 * contiguous: the part is cut into B streams of S = floor(n/B) tokens, row b being x[b*S] .. x[b*S + S-1]. Batch k has
 *   tokens [k*T, (k+1)*T) of each stream; its targets are inside the stream, too. An epoch has floor((S-1)/T) batches,
 *   all full; what is left of each stream goes unused, as do the n - B*S tokens after the last. The first batch of an
 *   epoch says reset, the others continue the state of the one before. Endless: epochs follow each other.
 * shuffled: windows of T tokens begin at x[0], x[stride], x[2*stride], ... as long as their targets exist: W of them.
 *   Every epoch takes them in a new order, a function of (seed, epoch, W) that has each once, B at a time:
 *   floor(W/B) batches, all full, and the rest of the order is dropped. Every batch says reset. Endless.
 * once: for evaluation. As contiguous, but the last batch may be shorter than T, so that every token of a stream but
 *   the first is a target once: ceil((S-1)/T) batches. With B = 1 that's the whole part. After them one call returns
 *   false, and the next starts another pass.
 */
#ifndef LSTM_STREAM_H
#define LSTM_STREAM_H

#include "corpus.h"

typedef enum lstm_order { LSTM_ORDER_CONTIGUOUS, LSTM_ORDER_SHUFFLED, LSTM_ORDER_ONCE, LSTM_ORDERS } lstm_order;

const char *lstm_order_name(lstm_order order); /* "stream", "shuffled", "once"; NULL past the end */

typedef struct lstm_stream_config {
    lstm_part part;
    lstm_order order;
    size_t batch, seq; /* B, T: >= 1 */
    size_t stride;     /* shuffled: tokens from one window's beginning to the next; 0: T */
    uint64_t seed;     /* shuffled */
} lstm_stream_config;

typedef struct lstm_stream lstm_stream;

/* Holds a reference to the corpus. Fails when a field is wrong, when the corpus has no such part, or when the part is
 * too short for even one batch (field ""; the message says how many tokens are needed). */
lstm_stream *lstm_stream_new(lstm_corpus *c, const lstm_stream_config *config, lstm_error *err);
void lstm_stream_free(lstm_stream *s); /* accepts NULL */

const lstm_stream_config *lstm_stream_settings(const lstm_stream *s); /* with stride filled in */
lstm_corpus *lstm_stream_corpus(const lstm_stream *s);
size_t lstm_stream_batches(const lstm_stream *s); /* per epoch (once: per pass), >= 1 */
size_t lstm_stream_steps(const lstm_stream *s);   /* that its longest batch has: T, or fewer in a short part (once) */

/* Writes the next batch to the caller's ids[][B] and targets[][B], of which the first *steps rows count, at most
 * lstm_stream_steps. *reset: the state must start from zero. Returns false, with nothing written, only at the end of a
 * pass (once). */
bool lstm_stream_next(lstm_stream *s, int32_t *ids, int32_t *targets, size_t *steps, bool *reset);

/* Where a stream stands: that many batches of that epoch (from 0) are taken. position = batches means the epoch is used
 * up; the next batch is the first of the next one. */
typedef struct lstm_cursor {
    uint64_t epoch, position;
} lstm_cursor;
lstm_cursor lstm_stream_cursor(const lstm_stream *s);
/* Goes there; fails (field "epoch" or "position") and stays when there's no such place. {0, 0} is the beginning. */
int lstm_stream_seek(lstm_stream *s, lstm_cursor cursor, lstm_error *err);

#endif
