/* SPDX-License-Identifier: MIT
 *
 * tiles_product.h - the body of kern_tile_ops.product, over eight tiles with literal numbers: 0 to 3 of C, 4 and 5 of A,
 * 6 and 7 of B. Whoever includes it has defined
 *     TILE_FILE                  what must be declared, or done, before tiles are used
 *     TILE_ZERO(c)  TILE_LOAD(c, at, row)  TILE_STORE(c, at, row)     C: 16 rows of 16 floats, `row` floats apart
 *     TILE_KEEP(t, at)  TILE_PASS(t, at)                              of A or B: 512 numbers at `at`, which will soon be
 *                                                                     used again, or rather not
 *     TILE_DOT(c, a, b, rows)    C += A B; only the first `rows` rows count
 *     AROUND_TILES               how functions around them are declared: inline, where each of these is an instruction
 */

/* Where two by two tiles of C are, and what of A and B they are made of. */
typedef struct square {
    const uint16_t *a, *b;
    size_t a_group, b_block, depth, rows; /* rows: of each tile that count */
    real *c;
    size_t c_row, c_block;
    bool zero;
    bool a_stays, b_stays; /* near, for the next squares */
} square;

#define EACH_OF_C(DO)                                                                                                  \
    do {                                                                                                               \
        DO(0, s->c);                                                                                                   \
        if (n > 1)                                                                                                     \
            DO(1, s->c + s->c_block);                                                                                  \
        if (m > 1)                                                                                                     \
            DO(2, s->c + TILE_SIDE * s->c_row);                                                                        \
        if (m > 1 && n > 1)                                                                                            \
            DO(3, s->c + TILE_SIDE * s->c_row + s->c_block);                                                           \
    } while (0)
#define ZERO_C(tile, at) TILE_ZERO(tile)
#define LOAD_C(tile, at) TILE_LOAD(tile, at, s->c_row)
#define STORE_C(tile, at) TILE_STORE(tile, at, s->c_row)

/* A product takes less time than the load of what has left the first cache: what passes by shall not push out what
 * stays. (Measured with matrix units: up to 1.3 times as fast with one part.) */
#define LOAD(tile, at, stays)                                                                                          \
    do {                                                                                                               \
        if (stays)                                                                                                     \
            TILE_KEEP(tile, at);                                                                                       \
        else                                                                                                           \
            TILE_PASS(tile, at);                                                                                       \
    } while (0)
/* Two by two products of part x of A and part y of B, of which one or both are not yet there. Each load comes right before
 * the first product that needs it, and each store, after the last products, soon after that of its tile. (Measured with
 * matrix units: up to 1.1 times as fast as all loads before products, and 1.04 times as all stores after.) */
#define PRODUCT(x, load_x, y, load_y, last)                                                                            \
    do {                                                                                                               \
        if (load_x)                                                                                                    \
            LOAD(4, a + (x) * TILE_SIZE, a_stays);                                                                     \
        if (load_y)                                                                                                    \
            LOAD(6, b + (y) * TILE_SIZE, b_stays);                                                                     \
        TILE_DOT(0, 4, 6, s->rows);                                                                                    \
        if (load_y && n > 1)                                                                                           \
            LOAD(7, b + s->b_block + (y) * TILE_SIZE, b_stays);                                                        \
        if (n > 1)                                                                                                     \
            TILE_DOT(1, 4, 7, s->rows);                                                                                \
        if (last)                                                                                                      \
            STORE_C(0, s->c);                                                                                          \
        if (load_x && m > 1)                                                                                           \
            LOAD(5, a + s->a_group + (x) * TILE_SIZE, a_stays);                                                        \
        if (m > 1)                                                                                                     \
            TILE_DOT(2, 5, 6, s->rows);                                                                                \
        if ((last) && n > 1)                                                                                           \
            STORE_C(1, s->c + s->c_block);                                                                             \
        if (m > 1 && n > 1)                                                                                            \
            TILE_DOT(3, 5, 7, s->rows);                                                                                \
        if ((last) && m > 1)                                                                                           \
            STORE_C(2, s->c + TILE_SIDE * s->c_row);                                                                   \
        if ((last) && m > 1 && n > 1)                                                                                  \
            STORE_C(3, s->c + TILE_SIDE * s->c_row + s->c_block);                                                      \
    } while (0)

/* All products of one step of k, in the order of tiles.h. */
#define STEP(last)                                                                                                     \
    do {                                                                                                               \
        PRODUCT(0, true, parts - 1, true, (last) && parts == 1);                                                       \
        if (parts == 2) {                                                                                              \
            PRODUCT(1, true, 0, true, false);                                                                          \
            PRODUCT(0, true, 0, false, last);                                                                          \
        } else if (parts == 3) {                                                                                       \
            PRODUCT(1, true, 1, true, false);                                                                          \
            PRODUCT(2, true, 0, true, false);                                                                          \
            PRODUCT(1, true, 0, false, false);                                                                         \
            PRODUCT(0, true, 1, true, false);                                                                          \
            PRODUCT(0, false, 0, true, last);                                                                          \
        }                                                                                                              \
    } while (0)

/* m by n tiles of C, constants. */
INLINE void square_product(const square *s, const size_t parts, const int m, const int n, const bool a_stays,
                           const bool b_stays)
{
    TILE_FILE;
    const uint16_t *a = s->a, *b = s->b, *const last = a + (s->depth - 1) * parts * TILE_SIZE;
    if (s->zero)
        EACH_OF_C(ZERO_C);
    else
        EACH_OF_C(LOAD_C);
    for (; a != last; a += parts * TILE_SIZE, b += parts * TILE_SIZE)
        STEP(false);
    STEP(true);
}

AROUND_TILES void any_square(const square *s, const size_t parts, int m, int n)
{
    if (m == 2 && n == 2 && !s->b_stays)
        square_product(s, parts, 2, 2, true, false);
    else if (m == 2 && n == 2 && !s->a_stays)
        square_product(s, parts, 2, 2, false, true);
    else if (m == 2 && n == 2)
        square_product(s, parts, 2, 2, true, true);
    else if (m == 2)
        square_product(s, parts, 2, 1, false, true);
    else if (n == 2)
        square_product(s, parts, 1, 2, false, true);
    else
        square_product(s, parts, 1, 1, false, true);
}

/* Column blocks q and, if it is of the same four, q+1: how many. */
AROUND_TILES size_t pair_at(const kern_tiles *p, size_t q) { return q % 4 < 3 && q + 1 < p->blocks ? 2 : 1; }

/* Two of the groups of rows, from g on, and columns from q on, for `count` tiles along k from k0 on. */
AROUND_TILES void whole_square(const kern_tiles *p, const size_t parts, size_t groups, size_t g, size_t q, size_t k0,
                               size_t count, const bool a_stays, const bool b_stays)
{
    const size_t at = k0 * parts * TILE_SIZE;
    const square s = {.a = p->a + g * p->a_group + at,
                      .b = p->b + q * p->b_block + at,
                      .a_group = p->a_group,
                      .b_block = p->b_block,
                      .depth = count,
                      .rows = TILE_SIDE,
                      .c = kern_tiles_column(p, q) + g * TILE_SIDE * p->c_row,
                      .c_row = p->c_row,
                      .c_block = p->c_block,
                      .zero = k0 == 0 && !p->add,
                      .a_stays = a_stays,
                      .b_stays = b_stays};
    any_square(&s, parts, g + 1 < groups ? 2 : 1, (int)pair_at(p, q));
}

/* Tiles of A that stay in half a first cache of 48 KB. */
#define FEW_TILES 24

/* Rows that fill their tiles. What there is little of stays in the caches while the other goes by: columns where rows
 * are many (gradients of weights: up to 1.6 times as fast as the other way round), else rows; and few of A stay, too. */
AROUND_TILES void whole_groups(const kern_tiles *p, const size_t parts, size_t groups, size_t k0, size_t count)
{
    const bool few = groups * count * parts <= FEW_TILES;
    if (groups > 2 * p->blocks)
        for (size_t g = 0; g < groups; g += 2)
            for (size_t q = 0; q < p->blocks; q += pair_at(p, q))
                whole_square(p, parts, groups, g, q, k0, count, true, false);
    else
        for (size_t q = 0; q < p->blocks; q += pair_at(p, q))
            for (size_t g = 0; g < groups; g += 2)
                whole_square(p, parts, groups, g, q, k0, count, few, true);
}

static void copy_rows(real *to, size_t to_row, const real *from, size_t from_row, size_t rows)
{
    for (size_t r = 0; r < rows; r++)
        memcpy(to + r * to_row, from + r * from_row, TILE_SIDE * sizeof *to);
}

/* The last rows, which do not fill a tile: by way of one that they fill. */
AROUND_TILES void last_group(const kern_tiles *p, const size_t parts)
{
    const size_t g = p->rows / TILE_SIDE, rows = p->rows % TILE_SIDE;
    _Alignas(64) real c[TILE_SIDE][2 * TILE_SIDE] = {{0}};
    for (size_t q = 0, n; q < p->blocks; q += n) {
        n = pair_at(p, q);
        real *at = kern_tiles_column(p, q) + g * TILE_SIDE * p->c_row;
        for (size_t i = 0; p->add && i < n; i++)
            copy_rows(&c[0][i * TILE_SIDE], 2 * TILE_SIDE, at + i * p->c_block, p->c_row, rows);
        const square s = {.a = p->a + g * p->a_group,
                          .b = p->b + q * p->b_block,
                          .b_block = p->b_block,
                          .depth = p->depth,
                          .rows = rows,
                          .c = c[0],
                          .c_row = 2 * TILE_SIDE,
                          .c_block = TILE_SIDE,
                          .zero = !p->add,
                          .b_stays = true};
        any_square(&s, parts, 1, (int)n);
        for (size_t i = 0; i < n; i++)
            copy_rows(at + i * p->c_block, p->c_row, &c[0][i * TILE_SIDE], 2 * TILE_SIDE, rows);
    }
}

/* `parts` of them, a constant. What is around the tiles is part of it: after 64 lines of C have been stored, whatever is
 * then loaded from memory waits. (Measured with matrix units and products of 4 tiles along k: 1.15 times as fast.) */
#define PRODUCT_OF(parts)                                                                                              \
    static void product_##parts(const kern_tiles *all, size_t rows)                                                    \
    {                                                                                                                  \
        const kern_tiles p = *all;                                                                                     \
        const size_t groups = rows / TILE_SIDE;                                                                        \
        for (size_t k = 0; groups && k < p.depth; k += TILES_AT_ONCE)                                                  \
            whole_groups(&p, parts, groups, k, p.depth - k < TILES_AT_ONCE ? p.depth - k : TILES_AT_ONCE);             \
        if (rows % TILE_SIDE)                                                                                          \
            last_group(&p, parts);                                                                                     \
    }
PRODUCT_OF(1)
PRODUCT_OF(2)
PRODUCT_OF(3)

/* `rows`: those of p, or as many as fill their tiles. */
static void tiles_product(const kern_tiles *p, size_t rows)
{
    switch (p->parts) {
    case 1: product_1(p, rows); break;
    case 2: product_2(p, rows); break;
    case 3: product_3(p, rows); break;
    }
}
