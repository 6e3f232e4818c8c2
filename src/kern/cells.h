/* SPDX-License-Identifier: MIT
 *
 * cells.h - the bodies of kern.lstm_forward and lstm_backward (kern.h says what they do), and of those that put what they
 * compute into tiles while it is in registers (tiles.h). Whoever includes it has defined
 *     CELL_STATE(tiles, r, q, h)            what else is done with h of row r and the units from q on
 *     CELL_GRADIENTS(p, tiles, r, q, d)     where the gradients d[4] of its gates' arguments go
 */

/* i, f, g, o of arguments a. */
INLINE void gates(vec a[4], const bool mixed)
{
#if LSTM_REAL == 32
    if (mixed) {
        const vec half = v_set(0.5f);
        two_quotients(tanh_quotient(a[0] * half), tanh_quotient(a[1] * half), &a[0], &a[1]);
        two_quotients(tanh_quotient(a[2]), tanh_quotient(a[3] * half), &a[2], &a[3]);
        a[0] = v_fma(a[0], half, half);
        a[1] = v_fma(a[1], half, half);
        a[3] = v_fma(a[3], half, half);
        return;
    }
#endif
    (void)mixed;
    a[0] = v_sigmoid(a[0]);
    a[1] = v_sigmoid(a[1]);
    a[2] = v_tanh(a[2]);
    a[3] = v_sigmoid(a[3]);
}

INLINE vec tanh_of_state(vec c, const bool mixed)
{
#if LSTM_REAL == 32
    if (mixed)
        return one_quotient(tanh_quotient(c));
#endif
    (void)mixed;
    return v_tanh(c);
}

INLINE void lstm_cells(const kern_lstm_forward *p, const kern_tile_rows *tiles, const size_t parts,
                       const bool mixed)
{
    for (size_t r = 0; r < p->rows; r++) {
        const real *row = p->ids ? p->table + (size_t)p->ids[r] * PANEL * NB : NULL;
        const real *z = p->z + r * PANEL * NB;
        real *to = p->gates + r * PANEL * NB;
        UNROLL
        for (size_t q = 0; q < NB; q += VL) {
            vec a[4];
            UNROLL
            for (size_t n = 0; n < 4; n++) {
                vec extra = v_load(p->bias + n * NB + q);
                if (row)
                    extra = v_load(row + n * NB + q) + extra;
                a[n] = v_load(z + n * NB + q) + extra;
            }
            gates(a, mixed);
            vec c = v_fma(a[1], v_load(p->c_prev + r * NB + q), a[0] * a[2]), h = a[3] * tanh_of_state(c, mixed);
            UNROLL
            for (size_t n = 0; n < 4; n++)
                v_store(to + n * NB + q, a[n]);
            v_store(p->c + r * NB + q, c);
            v_store(p->h + r * NB + q, h);
            CELL_STATE(tiles, r, q, h);
        }
    }
}

INLINE void add_to(real *p, vec a) { v_store(p, v_load(p) + a); }

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
