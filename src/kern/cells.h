/* SPDX-License-Identifier: MIT
 *
 * cells.h - the bodies of kern.lstm_forward and lstm_backward (kern.h says what they do), and of those that put what they
 * compute into tiles while it is in registers (tiles.h). Whoever includes it has defined
 *     CELL_STATE(tiles, r, q, h)            what else is done with h of row r and the units from q on
 *     CELL_GRADIENTS(p, tiles, r, q, d)     where the gradients d[4] of its gates' arguments go
 */

/* tanh of a state c. */
INLINE vec tanh_of_state(vec c, const bool mixed)
{
#if LSTM_REAL == 32
    if (mixed) {
        const quotient_form *const form = &tanh_form;
        quotient q;
        quotients(&q, &c, &form, 1);
        return tanh_of(q);
    }
#endif
    (void)mixed;
    return v_tanh(c);
}

/* Arguments of the gates i, f, g, o of row r and the units from q on. */
INLINE void arguments(vec a[4], const kern_lstm_forward *p, size_t r, size_t q)
{
    const real *row = p->ids ? p->table + (size_t)p->ids[r] * PANEL * NB : NULL;
    UNROLL
    for (size_t n = 0; n < 4; n++) {
        vec extra = v_load(p->bias + n * NB + q);
        if (row)
            extra = v_load(row + n * NB + q) + extra;
        a[n] = v_load(p->z + (r * PANEL + n) * NB + q) + extra;
    }
}

/* Stores gates; c, which is returned, comes from them. */
INLINE vec new_state(const kern_lstm_forward *p, size_t r, size_t q, const vec gate[4])
{
    const vec c = v_fma(gate[1], v_load(p->c_prev + r * NB + q), gate[0] * gate[2]);
    real *to = p->gates + r * PANEL * NB + q;
    if (p->stream)
        UNROLL for (size_t n = 0; n < 4; n++) v_stream(to + n * NB, gate[n]);
    else
        UNROLL for (size_t n = 0; n < 4; n++) v_store(to + n * NB, gate[n]);
    v_store(p->c + r * NB + q, c);
    return c;
}

#define NEW_OUTPUT(p, tiles, r, q, h)                                                                                  \
    do {                                                                                                               \
        if ((p)->stream)                                                                                               \
            v_stream((p)->h + (r) * NB + (q), h);                                                                      \
        else                                                                                                           \
            v_store((p)->h + (r) * NB + (q), h);                                                                       \
        CELL_STATE(tiles, r, q, h);                                                                                    \
    } while (0)

#if LSTM_REAL == 32
/* tanh of a state is computed beside the gates of the next cell: by itself it would wait for each of its own steps. The
 * four gates take one division. */
INLINE void mixed_cells(const kern_lstm_forward *p, const kern_tile_rows *tiles, const size_t parts)
{
    const quotient_form *const form[5] = {&sigmoid_form, &sigmoid_form, &tanh_form, &sigmoid_form, &tanh_form};
    const vec half = v_set(0.5f);
    vec output = v_zero(), h;
    vec x[5] = {output, output, output, output, output};
    if (!p->rows)
        return;
    for (size_t i = 0; i < p->rows * VPB; i++) {
        const size_t r = i / VPB, q = i % VPB * VL;
        quotient a[5];
        vec gate[4];
        arguments(x, p, r, q);
        quotients(a, x, form, 5);
        const vec below = a[0].under * a[1].under, above = a[2].under * a[3].under;
        const vec inverse = v_set(1) / (below * above), first = inverse * above, second = inverse * below;
        h = output * tanh_of(a[4]);
        if (i)
            NEW_OUTPUT(p, tiles, (i - 1) / VPB, (i - 1) % VPB * VL, h);
        gate[0] = v_within(0, v_fma(a[0].over * a[1].under, first, half), 1);
        gate[1] = v_within(0, v_fma(a[1].over * a[0].under, first, half), 1);
        gate[2] = v_within(-1, a[2].over * a[3].under * second, 1);
        gate[3] = v_within(0, v_fma(a[3].over * a[2].under, second, half), 1);
        x[4] = new_state(p, r, q, gate);
        output = gate[3];
    }
    h = output * tanh_of_state(x[4], true);
    NEW_OUTPUT(p, tiles, p->rows - 1, NB - VL, h);
}
#endif

INLINE void lstm_cells(const kern_lstm_forward *p, const kern_tile_rows *tiles, const size_t parts,
                       const bool mixed)
{
#if LSTM_REAL == 32
    if (mixed) {
        mixed_cells(p, tiles, parts);
        return;
    }
#endif
    for (size_t r = 0; r < p->rows; r++)
        UNROLL
        for (size_t q = 0; q < NB; q += VL) {
            vec a[4];
            arguments(a, p, r, q);
            const vec gate[4] = {v_sigmoid(a[0]), v_sigmoid(a[1]), v_tanh(a[2]), v_sigmoid(a[3])};
            const vec h = gate[3] * tanh_of_state(new_state(p, r, q, gate), mixed);
            NEW_OUTPUT(p, tiles, r, q, h);
        }
}

INLINE void add_to(real *p, vec a) { v_store(p, v_load(p) + a); }

/* Row r of what is read soon, to the second cache: the first one does not hold it. */
INLINE void fetch_soon(const kern_lstm_backward *p, size_t r)
{
    const size_t line = LSTM_LINE / sizeof(real);
    for (size_t n = 0; n < PANEL * NB; n += line)
        __builtin_prefetch(p->z_soon + r * PANEL * NB + n, 0, 2);
    for (size_t n = 0; n < NB; n += line)
        __builtin_prefetch(p->c_soon + r * NB + n, 0, 2);
}

INLINE void lstm_cells_back(const kern_lstm_backward *p, const kern_tile_rows *tiles, const size_t parts,
                            const bool mixed)
{
    const vec one = v_set(1);
    for (size_t q = 0; q < NB; q += VL) {
        vec sum[4];
        UNROLL
        for (size_t n = 0; n < 4; n++)
            sum[n] = p->dbias ? v_load(p->dbias + n * NB + q) : v_zero();
        for (size_t r = 0; r < p->rows; r++) {
            const real *z = p->z + r * PANEL * NB + q;
            const size_t at = r * NB + q;
            if (p->z_soon && q == 0)
                fetch_soon(p, r);
            vec i = v_load(z), f = v_load(z + NB), g = v_load(z + 2 * NB), o = v_load(z + 3 * NB);
            vec tc = tanh_of_state(v_load(p->c + at), mixed), dh = v_load(p->dh + at);
            if (p->through)
                dh = dh + v_load(p->through + r * p->through_row + q);
            vec dho = dh * o;
            vec dc = v_load(p->carry + at) + v_fnma(tc * tc, dho, dho);
            vec dcf = dc * f, dci = dc * i;
            vec d[4];
            d[0] = dc * g * v_fnma(i, i, i);
            d[1] = dcf * v_load(p->c_prev + at) * (one - f);
            d[2] = v_fnma(g * g, dci, dci);
            d[3] = dho * tc * (one - o);
            v_store(p->dh + at, dh);
            v_store(p->dc + at, dc);
            v_store(p->carry + at, dcf);
            CELL_GRADIENTS(p, tiles, r, q, d);
            UNROLL
            for (size_t n = 0; n < 4; n++) {
                sum[n] = sum[n] + d[n];
                if (p->ids)
                    add_to(p->dtable + (size_t)p->ids[r] * PANEL * NB + n * NB + q, d[n]);
            }
        }
        if (!p->dbias)
            continue;
        UNROLL
        for (size_t n = 0; n < 4; n++)
            v_store(p->dbias + n * NB + q, sum[n]);
    }
}
