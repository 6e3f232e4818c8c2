/* SPDX-License-Identifier: MIT */
#include "vocab.h"
#include "utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lstm_vocab {
    size_t references;
    lstm_tokens tokens;
    size_t size;          /* V */
    char *bytes;          /* of all symbols, one after another */
    size_t *offset;       /* [V+1] symbol k is bytes[offset[k]] .. bytes[offset[k+1]-1] */
    size_t room, bytes_room;
    int32_t single[256];  /* ids of symbols of one byte, -1: none */
    int32_t *slot;        /* hash table of the longer ones, open addressing; -1: empty */
    size_t slots, used;   /* slots is a power of two, more than twice used */
};

static const char *const tokens_name[] = { "bytes", "chars", "words" };

const char *lstm_tokens_name(lstm_tokens tokens)
{
    return (unsigned)tokens < LSTM_TOKENS_KINDS ? tokens_name[tokens] : NULL;
}

/* ---- messages ---------------------------------------------------------------------------------------------- */

void lstm_text_label(const char *name, char label[LSTM_LABEL_SIZE])
{
    const size_t most = LSTM_LABEL_SIZE - sizeof "text '...'";
    const char *dots = "";
    size_t size = name ? strlen(name) : 0;

    if (size == 0) {
        strcpy(label, "the text");
        return;
    }
    if (size > most) {
        name += size - most;
        dots = "...";
        while (((unsigned char)*name & 0xc0) == 0x80) /* not from the middle of a character */
            name++;
    }
    snprintf(label, LSTM_LABEL_SIZE, "text '%s%s'", dots, name);
}

/* The symbol as one readable word, control characters and what isn't UTF-8 escaped, cut when long. */
static void show_symbol(const char *symbol, size_t size, char *shown, size_t room)
{
    size_t used = 0;
    uint32_t code;

    for (size_t at = 0, n; at < size; at += n) {
        if (used + 8 > room) {
            snprintf(shown + used, room - used, "...");
            return;
        }
        n = lstm_utf8_decode(symbol + at, size - at, &code);
        if (n == 1 && code == '\n')
            used += (size_t)snprintf(shown + used, room - used, "\\n");
        else if ((n == 1 && code >= ' ' && code != 127) || (n > 1 && code >= 0xa0))
            used += (size_t)snprintf(shown + used, room - used, "%.*s", (int)n, symbol + at);
        else
            used += (size_t)snprintf(shown + used, room - used, "\\x%02X", (unsigned char)symbol[at]), n = 1;
    }
}

static size_t line_of(const lstm_text *text, size_t offset)
{
    size_t line = 1;

    for (size_t i = 0; i < offset; i++)
        line += text->bytes[i] == '\n';
    return line;
}

static int fail_utf8(const lstm_text *text, size_t offset, lstm_error *err)
{
    char label[LSTM_LABEL_SIZE];

    lstm_text_label(text->name, label);
    return lstm_fail(err, "", "%s is not valid UTF-8 at byte offset %zu, line %zu (0x%02X); "
                     "tokens=\"bytes\" takes any text", label, offset, line_of(text, offset),
                     (unsigned char)text->bytes[offset]);
}

static int fail_unknown(const lstm_reader *r, size_t size, lstm_error *err)
{
    char label[LSTM_LABEL_SIZE], symbol[40];

    lstm_text_label(r->text.name, label);
    show_symbol(r->text.bytes + r->offset, size, symbol, sizeof symbol);
    return lstm_fail(err, "", "%s has '%s' at byte offset %zu, line %zu, which is not in the vocabulary; "
                     "give a symbol to use instead (unknown=)", label, symbol, r->offset, line_of(&r->text, r->offset));
}

static int fail_memory(lstm_error *err)
{
    return lstm_fail(err, "", "not enough memory for the vocabulary");
}

/* ---- tokens ------------------------------------------------------------------------------------------------ */

/* Signs and punctuation beyond ASCII, in order: no table of Unicode, but of the blocks that texts really have. */
static const struct {
    uint32_t first, last;
} signs[] = {
    { 0x80, 0xa9 }, { 0xab, 0xb4 }, { 0xb6, 0xb9 }, { 0xbb, 0xbf }, /* Latin-1 but for the ordinals and micro */
    { 0xd7, 0xd7 }, { 0xf7, 0xf7 },                                 /* multiplication and division sign */
    { 0x2000, 0x2018 }, { 0x201a, 0x206f },                         /* punctuation but for the apostrophe U+2019 */
    { 0x20a0, 0x20cf },                                             /* currency */
    { 0x2190, 0x2bff },                                             /* arrows, mathematics, boxes, dingbats */
    { 0x3000, 0x3004 }, { 0x3008, 0x3020 },                         /* CJK space, comma, full stop; brackets, marks */
    { 0xfeff, 0xfeff },                                             /* byte order mark */
    { 0xff01, 0xff0f }, { 0xff1a, 0xff20 },                         /* full-width forms of ! to / and of : to @ */
    { 0xfffd, 0xfffd },                                             /* replacement character */
    { 0x1f000, 0x1faff },                                           /* pictures */
};

/* Letters, digits and apostrophes: beyond ASCII everything but the signs above. */
static bool is_word_character(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '\'';
    for (size_t k = 0; k < sizeof signs / sizeof *signs && c >= signs[k].first; k++)
        if (c <= signs[k].last)
            return false;
    return true;
}

static size_t char_length(const char *text, size_t size, uint32_t *code)
{
    if (size > 0 && (unsigned char)text[0] < 0x80) {
        *code = (unsigned char)text[0];
        return 1;
    }
    return lstm_utf8_decode(text, size, code);
}

static size_t word_length(const char *text, size_t size)
{
    size_t length = 0, n;
    uint32_t code;

    while ((n = char_length(text + length, size - length, &code)) > 0 && is_word_character(code))
        length += n;
    return length > 0 ? length : n;
}

/* Bytes of the token that begins here; 0 when none does (not UTF-8). size > 0. */
static size_t token_length(lstm_tokens tokens, const char *text, size_t size)
{
    uint32_t code;

    switch (tokens) {
    case LSTM_TOKENS_CHARS:
        return char_length(text, size, &code);
    case LSTM_TOKENS_WORDS:
        return word_length(text, size);
    default:
        return 1;
    }
}

int lstm_vocab_count(lstm_tokens tokens, const lstm_text *text, size_t *count, lstm_error *err)
{
    *count = 0;
    for (size_t at = text->start, n; at < text->size; at += n, ++*count) {
        n = token_length(tokens, text->bytes + at, text->size - at);
        if (n == 0)
            return fail_utf8(text, at, err);
    }
    return 0;
}

/* ---- table of symbols -------------------------------------------------------------------------------------- */

/* FNV-1a, and a final mix for its weak low bits. */
static uint64_t hash(const char *symbol, size_t size)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < size; i++)
        h = (h ^ (unsigned char)symbol[i]) * UINT64_C(0x100000001b3);
    return h ^ h >> 32;
}

static bool is_symbol(const lstm_vocab *v, int32_t id, const char *symbol, size_t size)
{
    size_t offset = v->offset[id];

    return v->offset[id + 1] - offset == size && memcmp(v->bytes + offset, symbol, size) == 0;
}

/* The slot that has the symbol, or the empty one where it would be. */
static size_t find_slot(const lstm_vocab *v, const char *symbol, size_t size)
{
    size_t k = (size_t)hash(symbol, size) & (v->slots - 1);

    while (v->slot[k] >= 0 && !is_symbol(v, v->slot[k], symbol, size))
        k = (k + 1) & (v->slots - 1);
    return k;
}

int32_t lstm_vocab_find(const lstm_vocab *v, const char *symbol, size_t size)
{
    if (size == 1)
        return v->single[(unsigned char)symbol[0]];
    return v->used > 0 ? v->slot[find_slot(v, symbol, size)] : -1;
}

static void enter(lstm_vocab *v, int32_t id)
{
    const char *symbol = v->bytes + v->offset[id];
    size_t size = v->offset[id + 1] - v->offset[id];

    if (size == 1) {
        v->single[(unsigned char)symbol[0]] = id;
    } else {
        v->slot[find_slot(v, symbol, size)] = id;
        v->used++;
    }
}

static int grow_slots(lstm_vocab *v)
{
    size_t slots = v->slots ? 2 * v->slots : 64;
    int32_t *slot = calloc(slots, sizeof *slot);

    if (!slot)
        return -1;
    memset(slot, -1, slots * sizeof *slot);
    free(v->slot);
    v->slot = slot;
    v->slots = slots;
    v->used = 0;
    for (size_t id = 0; id < v->size; id++)
        enter(v, (int32_t)id);
    return 0;
}

/* Room for `more` elements after the first `used`; keeps the old array when it fails. Both numbers are of things that
 * are in memory: no sum or product of them is too large to be told. */
static int make_room(void **array, size_t *room, size_t used, size_t more, size_t element)
{
    size_t wanted = used + more;
    void *bigger;

    if (wanted <= *room)
        return 0;
    wanted = wanted < 32 ? 64 : 2 * wanted;
    bigger = realloc(*array, wanted * element);
    if (!bigger)
        return -1;
    *array = bigger;
    *room = wanted;
    return 0;
}

static int make_room_for(lstm_vocab *v, size_t size)
{
    void *bytes = v->bytes, *offset = v->offset;
    int bad = make_room(&bytes, &v->bytes_room, v->offset ? v->offset[v->size] : 0, size, 1);
    bool first = !v->offset;

    v->bytes = bytes;
    bad = bad || make_room(&offset, &v->room, v->size, 2, sizeof *v->offset);
    v->offset = offset;
    if (!bad && first)
        v->offset[0] = 0;
    return bad || (2 * v->used >= v->slots && grow_slots(v)) ? -1 : 0;
}

/* Adds a symbol that isn't there yet. */
static int add_symbol(lstm_vocab *v, const char *symbol, size_t size, lstm_error *err)
{
    if (v->size >= INT32_MAX || size > UINT32_MAX) /* GCOVR_EXCL_BR_LINE: no test has a text of 4 GiB */
        return lstm_fail(err, "", "a vocabulary holds at most 2,147,483,647 symbols of at most 4 GiB");
    if (make_room_for(v, size))
        return fail_memory(err);
    memcpy(v->bytes + v->offset[v->size], symbol, size);
    v->offset[v->size + 1] = v->offset[v->size] + size;
    enter(v, (int32_t)v->size++);
    return 0;
}

/* ---- making and sharing ------------------------------------------------------------------------------------ */

static lstm_vocab *new_vocab(lstm_tokens tokens, lstm_error *err)
{
    lstm_vocab *v = calloc(1, sizeof *v);

    if (!v) {
        fail_memory(err);
        return NULL;
    }
    v->references = 1;
    v->tokens = tokens;
    memset(v->single, -1, sizeof v->single);
    return v;
}

lstm_vocab *lstm_vocab_ref(lstm_vocab *v)
{
    v->references++;
    return v;
}

void lstm_vocab_free(lstm_vocab *v)
{
    if (!v || --v->references > 0)
        return;
    free(v->bytes);
    free(v->offset);
    free(v->slot);
    free(v);
}

static int add_text(lstm_vocab *v, const lstm_text *text, lstm_error *err)
{
    for (size_t at = text->start, n; at < text->size; at += n) {
        const char *token = text->bytes + at;
        n = token_length(v->tokens, token, text->size - at);
        if (n == 0)
            return fail_utf8(text, at, err);
        if (lstm_vocab_find(v, token, n) < 0 && add_symbol(v, token, n, err))
            return -1;
    }
    return 0;
}

typedef struct symbol {
    const char *bytes;
    size_t size;
} symbol;

/* By bytes; what is a prefix of the other comes first. UTF-8 has the property that this orders characters by code
 * point. */
static int compare(const void *a, const void *b)
{
    const symbol *s = a, *t = b;
    int order = memcmp(s->bytes, t->bytes, s->size < t->size ? s->size : t->size);

    return order ? order : (s->size > t->size) - (s->size < t->size);
}

static symbol symbol_at(const lstm_vocab *v, size_t id)
{
    return (symbol) { v->bytes + v->offset[id], v->offset[id + 1] - v->offset[id] };
}

/* The same symbols in order; NULL and error without memory. */
static lstm_vocab *sorted(const lstm_vocab *draft, lstm_error *err)
{
    lstm_vocab *v = new_vocab(draft->tokens, err);
    symbol *symbols = calloc(draft->size, sizeof *symbols);
    bool failed = !v || !symbols;

    if (v && !symbols)
        fail_memory(err);
    for (size_t id = 0; !failed && id < draft->size; id++)
        symbols[id] = symbol_at(draft, id);
    if (!failed)
        qsort(symbols, draft->size, sizeof *symbols, compare);
    for (size_t id = 0; !failed && id < draft->size; id++)
        failed = add_symbol(v, symbols[id].bytes, symbols[id].size, err);
    free(symbols);
    if (!failed)
        return v;
    lstm_vocab_free(v);
    return NULL;
}

lstm_vocab *lstm_vocab_build(lstm_tokens tokens, const lstm_text *texts, size_t count, lstm_error *err)
{
    lstm_vocab *draft, *v = NULL;
    bool failed = false;

    if (!lstm_tokens_name(tokens)) {
        lstm_fail(err, "tokens", "no such kind of tokens: %d", (int)tokens);
        return NULL;
    }
    draft = new_vocab(tokens, err);
    for (size_t k = 0; draft && !failed && k < count; k++)
        failed = add_text(draft, &texts[k], err);
    if (draft && !failed && draft->size == 0)
        failed = lstm_fail(err, "", "a vocabulary cannot be made of an empty text");
    if (draft && !failed)
        v = sorted(draft, err);
    lstm_vocab_free(draft);
    return v;
}

size_t lstm_vocab_size(const lstm_vocab *v)
{
    return v->size;
}

size_t lstm_vocab_bytes(const lstm_vocab *v)
{
    return sizeof *v + v->bytes_room + v->room * sizeof *v->offset + v->slots * sizeof *v->slot;
}

lstm_tokens lstm_vocab_tokens(const lstm_vocab *v)
{
    return v->tokens;
}

bool lstm_vocab_equal(const lstm_vocab *a, const lstm_vocab *b)
{
    if (a == b)
        return true;
    return a->tokens == b->tokens && a->size == b->size
        && memcmp(a->offset, b->offset, (a->size + 1) * sizeof *a->offset) == 0
        && memcmp(a->bytes, b->bytes, a->offset[a->size]) == 0;
}

const char *lstm_vocab_symbol(const lstm_vocab *v, int32_t id, size_t *size)
{
    if (id < 0 || (size_t)id >= v->size)
        return NULL;
    *size = v->offset[id + 1] - v->offset[id];
    return v->bytes + v->offset[id];
}

/* ---- encode, decode ---------------------------------------------------------------------------------------- */

int lstm_reader_next(lstm_reader *r, int32_t *ids, size_t room, size_t *count, lstm_error *err)
{
    const lstm_vocab *v = r->vocab;
    size_t done = 0;

    while (done < room && r->offset < r->text.size) {
        const char *token = r->text.bytes + r->offset;
        size_t n = token_length(v->tokens, token, r->text.size - r->offset);
        if (n == 0)
            return fail_utf8(&r->text, r->offset, err);
        int32_t id = lstm_vocab_find(v, token, n);
        if (id < 0 && r->unknown < 0)
            return fail_unknown(r, n, err);
        ids[done++] = id < 0 ? r->unknown : id;
        r->offset += n;
    }
    *count = done;
    return 0;
}

int lstm_vocab_encode(const lstm_vocab *v, const lstm_text *text, int32_t unknown, int32_t *ids, size_t *count,
                      lstm_error *err)
{
    lstm_reader r = { v, *text, unknown, text->start };

    return lstm_reader_next(&r, ids, SIZE_MAX, count, err);
}

int lstm_vocab_decoded_size(const lstm_vocab *v, const int32_t *ids, size_t count, size_t *size, lstm_error *err)
{
    *size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t n;
        if (!lstm_vocab_symbol(v, ids[i], &n))
            return lstm_fail(err, "ids", "id %d at place %zu is not in the vocabulary (0 to %zu)", (int)ids[i], i + 1,
                             v->size - 1);
        if (n > SIZE_MAX - *size) /* GCOVR_EXCL_BR_LINE: with 64 bits it takes ids of 16 GiB */
            return fail_memory(err);
        *size += n;
    }
    return 0;
}

void lstm_vocab_decode(const lstm_vocab *v, const int32_t *ids, size_t count, char *text)
{
    for (size_t i = 0; i < count; i++) {
        symbol s = symbol_at(v, (size_t)ids[i]);
        memcpy(text, s.bytes, s.size);
        text += s.size;
    }
}

/* ---- serialise, restore ------------------------------------------------------------------------------------ */

/* magic; kind of tokens; V; V lengths; the symbols' bytes. Numbers are 32 bits, least significant byte first. */
static const char magic[8] = { 'l', 's', 't', 'm', 'v', 'o', 'c', '1' };
enum { HEADER_SIZE = sizeof magic + 8 };

static void store_le32(uint8_t *p, uint32_t x)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(x >> 8 * i);
}

static uint32_t load_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

size_t lstm_vocab_serialized_size(const lstm_vocab *v)
{
    return HEADER_SIZE + 4 * v->size + v->offset[v->size];
}

void lstm_vocab_serialize(const lstm_vocab *v, void *bytes)
{
    uint8_t *p = bytes;

    memcpy(p, magic, sizeof magic);
    store_le32(p + sizeof magic, v->tokens);
    store_le32(p + sizeof magic + 4, (uint32_t)v->size);
    p += HEADER_SIZE;
    for (size_t id = 0; id < v->size; id++, p += 4)
        store_le32(p, (uint32_t)(v->offset[id + 1] - v->offset[id]));
    memcpy(p, v->bytes, v->offset[v->size]);
}

/* Takes symbol `id`, `size` of the `left` bytes at p, when it is one token and comes after the one before. */
static int restore_symbol(lstm_vocab *v, const char *p, size_t size, size_t left, lstm_error *err)
{
    symbol s = { p, size }, before;

    if (size == 0 || size > left || token_length(v->tokens, p, size) != size)
        return lstm_fail(err, "", "damaged vocabulary: symbol %zu is not one of %s", v->size, tokens_name[v->tokens]);
    if (v->size > 0) {
        before = symbol_at(v, v->size - 1);
        if (compare(&before, &s) >= 0)
            return lstm_fail(err, "", "damaged vocabulary: symbol %zu is out of order", v->size);
    }
    return add_symbol(v, p, size, err);
}

static int restore_symbols(lstm_vocab *v, const uint8_t *lengths, size_t count, size_t left, lstm_error *err)
{
    const char *p = (const char *)lengths + 4 * count;

    for (size_t id = 0; id < count; id++) {
        size_t size = load_le32(lengths + 4 * id);
        if (restore_symbol(v, p, size, left, err))
            return -1;
        p += size;
        left -= size;
    }
    return left == 0 ? 0 : lstm_fail(err, "", "damaged vocabulary: %zu bytes too many", left);
}

lstm_vocab *lstm_vocab_restore(const void *bytes, size_t size, lstm_error *err)
{
    const uint8_t *p = bytes;
    uint32_t tokens = 0, count = 0;
    lstm_vocab *v = NULL;

    if (size < HEADER_SIZE || memcmp(p, magic, sizeof magic) != 0) {
        lstm_fail(err, "", "not a vocabulary (or one of a newer version)");
        return NULL;
    }
    tokens = load_le32(p + sizeof magic);
    count = load_le32(p + sizeof magic + 4);
    p += HEADER_SIZE;
    size -= HEADER_SIZE;
    if (tokens >= LSTM_TOKENS_KINDS || count == 0 || count > size / 5) /* a length and a byte each, at least */
        lstm_fail(err, "", "damaged vocabulary: impossible header");
    else
        v = new_vocab((lstm_tokens)tokens, err);
    if (v && restore_symbols(v, p, count, size - 4 * (size_t)count, err)) {
        lstm_vocab_free(v);
        return NULL;
    }
    return v;
}
