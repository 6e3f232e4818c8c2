/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "h5file.h"

#include "fileio.h"
#include "h5txn.h"
#include "utf8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NAME_LIMIT 63

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static H5E_auto2_t old_printer;
static void *old_printer_data;

void h5_enter(void)
{
    static bool started;
    pthread_mutex_lock(&lock);
    if (!started) {
        /* At exit libhdf5 would flush files that are still open: after an error that is the last thing we want. */
        H5dont_atexit();
        H5open();
        started = true;
    }
    H5Eget_auto2(H5E_DEFAULT, &old_printer, &old_printer_data);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
}

void h5_leave(void)
{
    H5Eset_auto2(H5E_DEFAULT, old_printer, old_printer_data);
    pthread_mutex_unlock(&lock);
}

/* ---- names and errors ------------------------------------------------------------------------------------------- */

bool h5_name_ok(const char *name, size_t length)
{
    if (length == 0 || length > NAME_LIMIT || lstm_utf8_fault(name, length) != length)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == '/' || name[i] == 127)
            return false;
    if (name[0] == ' ' || name[length - 1] == ' ')
        return false;
    return !(name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.')));
}

static herr_t innermost(unsigned n, const H5E_error2_t *e, void *data)
{
    const char **reason = data;
    if (n == 0)
        *reason = e->desc;
    return 0;
}

int h5_fail(lstm_error *err, const char *what, const char *path)
{
    const char *reason = NULL;
    char room[128];
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
    return lstm_fail(err, "", "%s %s: HDF5: %s", what, fileio_short_path(path, room), reason ? reason : "failed");
}

/* ---- types ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    size_t size;
} type_table[H5_TYPES] = {
    [H5_F32] = {"float32", 4}, [H5_F64] = {"float64", 8}, [H5_I32] = {"int32", 4},
    [H5_I64] = {"int64", 8},   [H5_U64] = {"uint64", 8},  [H5_U8] = {"uint8", 1},
    [H5_TEXT] = {"text", sizeof(char *)},
};

size_t h5type_size(h5type type)
{
    return (unsigned)type < H5_TYPES ? type_table[type].size : 0;
}

const char *h5type_name(h5type type)
{
    return (unsigned)type < H5_TYPES ? type_table[type].name : "?";
}

hid_t h5_type_in_file(h5type type)
{
    switch (type) {
    case H5_F32: return H5T_IEEE_F32LE;
    case H5_F64: return H5T_IEEE_F64LE;
    case H5_I32: return H5T_STD_I32LE;
    case H5_I64: return H5T_STD_I64LE;
    case H5_U64: return H5T_STD_U64LE;
    case H5_U8: return H5T_STD_U8LE;
    default: return -1;
    }
}

hid_t h5_type_in_memory(h5type type)
{
    switch (type) {
    case H5_F32: return H5T_NATIVE_FLOAT;
    case H5_F64: return H5T_NATIVE_DOUBLE;
    case H5_I32: return H5T_NATIVE_INT32;
    case H5_I64: return H5T_NATIVE_INT64;
    case H5_U64: return H5T_NATIVE_UINT64;
    case H5_U8: return H5T_NATIVE_UINT8;
    default: return -1;
    }
}

bool h5_type_of(hid_t type, h5type *out)
{
    for (int t = 0; t < H5_TEXT; t++)
        if (H5Tequal(type, h5_type_in_file((h5type)t)) > 0) {
            *out = (h5type)t;
            return true;
        }
    return false;
}

static hid_t utf8_type(size_t size, H5T_str_t padding)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, size) >= 0 && H5Tset_strpad(type, padding) >= 0 &&
        H5Tset_cset(type, H5T_CSET_UTF8) >= 0)
        return type;
    h5_close(type);
    return -1;
}

hid_t h5_text_type(void)
{
    return utf8_type(H5T_VARIABLE, H5T_STR_NULLTERM);
}

hid_t h5_fixed_text_type(size_t length)
{
    return utf8_type(length ? length : 1, H5T_STR_NULLPAD);
}

/* ---- attributes ------------------------------------------------------------------------------------------------- */

/* Creates (or replaces) an attribute and writes it; closes type and space, which may be invalid already. */
static int put_attribute(hid_t object, const char *name, hid_t type, hid_t space, hid_t memory_type, const void *value)
{
    int result = -1;
    hid_t attribute = -1;
    if (type < 0 || space < 0)
        goto done;
    htri_t there = H5Aexists(object, name);
    if (there < 0 || (there > 0 && H5Adelete(object, name) < 0))
        goto done;
    hid_t plist = H5Pcreate(H5P_ATTRIBUTE_CREATE);
    if (plist < 0 || H5Pset_char_encoding(plist, H5T_CSET_UTF8) < 0) {
        h5_close(plist);
        goto done;
    }
    attribute = H5Acreate2(object, name, type, space, plist, H5P_DEFAULT);
    H5Pclose(plist);
    if (attribute >= 0 && H5Awrite(attribute, memory_type, value) >= 0)
        result = 0;
done:
    if (attribute >= 0 && H5Aclose(attribute) < 0)
        result = -1;
    h5_close(space);
    return result;
}

int h5_put_text(hid_t object, const char *name, const char *text)
{
    hid_t type = h5_text_type();
    int result = put_attribute(object, name, type, H5Screate(H5S_SCALAR), type, &text);
    h5_close(type);
    return result;
}

int h5_put_texts(hid_t object, const char *name, int n, const char *const *texts)
{
    hsize_t size = (hsize_t)n;
    hid_t type = h5_text_type();
    int result = put_attribute(object, name, type, H5Screate_simple(1, &size, NULL), type, texts);
    h5_close(type);
    return result;
}

int h5_put_integer(hid_t object, const char *name, int64_t value)
{
    return put_attribute(object, name, H5T_STD_I64LE, H5Screate(H5S_SCALAR), H5T_NATIVE_INT64, &value);
}

int h5_put_number(hid_t object, const char *name, double value)
{
    return put_attribute(object, name, H5T_IEEE_F64LE, H5Screate(H5S_SCALAR), H5T_NATIVE_DOUBLE, &value);
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

/* Opens or makes one group below parent. */
static hid_t make_one_group(hid_t parent, const char *name)
{
    htri_t there = H5Lexists(parent, name, H5P_DEFAULT);
    if (there != 0)
        return there < 0 ? -1 : H5Gopen2(parent, name, H5P_DEFAULT);
    hid_t group = -1;
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    hid_t link = H5Pcreate(H5P_LINK_CREATE);
    if (create >= 0 && link >= 0 && H5Pset_char_encoding(link, H5T_CSET_UTF8) >= 0 &&
        H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0 &&
        H5Pset_attr_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED) >= 0)
        group = H5Gcreate2(parent, name, link, create, H5P_DEFAULT);
    h5_close(create);
    h5_close(link);
    return group;
}

hid_t h5_make_group(hid_t file, const char *path)
{
    hid_t group = H5Gopen2(file, "/", H5P_DEFAULT);
    while (group >= 0 && *path) {
        char part[NAME_LIMIT + 1];
        size_t n = strcspn(path, "/");
        if (n > NAME_LIMIT) {
            H5Gclose(group);
            return -1;
        }
        memcpy(part, path, n);
        part[n] = 0;
        hid_t next = make_one_group(group, part);
        H5Gclose(group);
        group = next;
        path += n + (path[n] == '/');
    }
    return group;
}

static void close_object(hid_t object)
{
    switch (H5Iget_type(object)) {
    case H5I_FILE: H5Fclose(object); break;
    case H5I_GROUP: H5Gclose(object); break;
    case H5I_DATATYPE: H5Tclose(object); break;
    case H5I_DATASPACE: H5Sclose(object); break;
    case H5I_DATASET: H5Dclose(object); break;
    case H5I_ATTR: H5Aclose(object); break;
    case H5I_GENPROP_LST: H5Pclose(object); break;
    default: break;
    }
}

hid_t h5_open_to_read(const char *path, lstm_error *err)
{
    hid_t fapl = H5Pcreate(H5P_FILE_ACCESS), file = -1;
    if (fapl >= 0 && h5txn_set_driver(fapl, NULL) >= 0 && H5Pset_fclose_degree(fapl, H5F_CLOSE_STRONG) >= 0)
        file = H5Fopen(path, H5F_ACC_RDONLY, fapl);
    if (file < 0)
        h5_fail(err, "cannot read", path); /* the reason is only there until the next call of the library */
    h5_close(fapl);
    return file;
}

void h5_close(hid_t object)
{
    if (object < 0)
        return;
    hid_t reasons = H5Eget_num(H5E_DEFAULT) > 0 ? H5Eget_current_stack() : -1;
    close_object(object);
    if (reasons >= 0)
        H5Eset_current_stack(reasons);
}
