/* SPDX-License-Identifier: MIT */
#include "h5scale.h"

#include "h5file.h"

#include <stdlib.h>
#include <string.h>

/* An element of a scale's REFERENCE_LIST: who uses it, for which dimension. */
typedef struct user {
    hobj_ref_t dataset;
    unsigned dimension;
} user;

/* The specification wants NUL-terminated ASCII. */
static int put_name(hid_t dataset, const char *attribute, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), a = -1;
    if (type >= 0 && space >= 0 && H5Tset_size(type, strlen(text) + 1) >= 0)
        a = H5Acreate2(dataset, attribute, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int result = a >= 0 && H5Awrite(a, type, text) >= 0 ? 0 : -1;
    h5_close(a);
    h5_close(space);
    h5_close(type);
    return result;
}

int h5scale_set(hid_t dataset, const char *dimension)
{
    return put_name(dataset, "CLASS", "DIMENSION_SCALE") || put_name(dataset, "NAME", dimension) ? -1 : 0;
}

/* DIMENSION_LIST of the dataset: for each dimension a list of references, here of one. */
static int put_dimension_list(hid_t dataset, int n, const hid_t *scales)
{
    hobj_ref_t refs[H5S_MAX_RANK];
    hvl_t lists[H5S_MAX_RANK];
    hsize_t size = (hsize_t)n;
    for (int k = 0; k < n; k++) {
        if (H5Rcreate(&refs[k], scales[k], ".", H5R_OBJECT, -1) < 0)
            return -1;
        lists[k] = (hvl_t){1, &refs[k]};
    }
    hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ), space = H5Screate_simple(1, &size, NULL), a = -1;
    if (type >= 0 && space >= 0)
        a = H5Acreate2(dataset, "DIMENSION_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT);
    int result = a >= 0 && H5Awrite(a, type, lists) >= 0 ? 0 : -1;
    h5_close(a);
    h5_close(space);
    h5_close(type);
    return result;
}

static hid_t user_type(void)
{
    hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(user));
    if (type >= 0 && H5Tinsert(type, "dataset", HOFFSET(user, dataset), H5T_STD_REF_OBJ) >= 0 &&
        H5Tinsert(type, "dimension", HOFFSET(user, dimension), H5T_NATIVE_UINT) >= 0)
        return type;
    h5_close(type);
    return -1;
}

/* The users of a scale so far, with room for one more. To be freed; NULL: failed. */
static user *read_users(hid_t scale, hid_t type, size_t *n)
{
    *n = 0;
    htri_t there = H5Aexists(scale, "REFERENCE_LIST");
    if (there < 0)
        return NULL;
    if (!there)
        return calloc(1, sizeof(user));
    hid_t a = H5Aopen(scale, "REFERENCE_LIST", H5P_DEFAULT), space = a >= 0 ? H5Aget_space(a) : -1;
    hssize_t count = space >= 0 ? H5Sget_simple_extent_npoints(space) : -1;
    user *users = count >= 0 ? calloc((size_t)count + 1, sizeof *users) : NULL;
    if (users && H5Aread(a, type, users) < 0) {
        free(users);
        users = NULL;
    }
    h5_close(space);
    h5_close(a);
    *n = (size_t)count;
    return users;
}

static int write_users(hid_t scale, hid_t type, const user *users, size_t n)
{
    hsize_t size = n;
    htri_t there = H5Aexists(scale, "REFERENCE_LIST");
    if (there < 0 || (there && H5Adelete(scale, "REFERENCE_LIST") < 0))
        return -1;
    hid_t space = H5Screate_simple(1, &size, NULL), a = -1;
    if (space >= 0)
        a = H5Acreate2(scale, "REFERENCE_LIST", type, space, H5P_DEFAULT, H5P_DEFAULT);
    int result = a >= 0 && H5Awrite(a, type, users) >= 0 ? 0 : -1;
    h5_close(a);
    h5_close(space);
    return result;
}

/* REFERENCE_LIST of the scale: one more. */
static int add_user(hid_t scale, hid_t dataset, int dimension)
{
    size_t n;
    int result = -1;
    hid_t type = user_type();
    user *users = type >= 0 ? read_users(scale, type, &n) : NULL;
    if (users && H5Rcreate(&users[n].dataset, dataset, ".", H5R_OBJECT, -1) >= 0) {
        users[n].dimension = (unsigned)dimension;
        result = write_users(scale, type, users, n + 1);
    }
    free(users);
    h5_close(type);
    return result;
}

int h5scale_attach(hid_t dataset, int n, const hid_t *scales)
{
    if (put_dimension_list(dataset, n, scales))
        return -1;
    for (int k = 0; k < n; k++)
        if (add_user(scales[k], dataset, k))
            return -1;
    return 0;
}

/* The name of the scale that a reference leads to: its attribute's. (Where the scale is, libhdf5 would look for through
 * the whole file.) */
static void read_name(hid_t dataset, const hvl_t *list, char name[H5SCALE_NAME])
{
    name[0] = 0;
    if (list->len == 0 || !list->p)
        return;
    hid_t scale = H5Rdereference2(dataset, H5P_DEFAULT, H5R_OBJECT, list->p);
    hid_t a = scale >= 0 && H5Aexists(scale, "NAME") > 0 ? H5Aopen(scale, "NAME", H5P_DEFAULT) : -1;
    hid_t type = H5Tcopy(H5T_C_S1);
    if (a < 0 || type < 0 || H5Tset_size(type, H5SCALE_NAME) < 0 || H5Aread(a, type, name) < 0)
        name[0] = 0;
    name[H5SCALE_NAME - 1] = 0;
    if (!h5_name_ok(name, strlen(name)))
        name[0] = 0;
    h5_close(type);
    h5_close(a);
    h5_close(scale);
}

void h5scale_names(hid_t dataset, int n, char (*name)[H5SCALE_NAME])
{
    hvl_t lists[H5S_MAX_RANK] = {0};
    if (n <= 0 || n > H5S_MAX_RANK || H5Aexists(dataset, "DIMENSION_LIST") <= 0)
        return;
    hid_t a = H5Aopen(dataset, "DIMENSION_LIST", H5P_DEFAULT), space = a >= 0 ? H5Aget_space(a) : -1;
    hid_t type = H5Tvlen_create(H5T_STD_REF_OBJ);
    if (space >= 0 && type >= 0 && H5Sget_simple_extent_npoints(space) == n && H5Aread(a, type, lists) >= 0) {
        for (int d = 0; d < n; d++)
            read_name(dataset, &lists[d], name[d]);
        H5Dvlen_reclaim(type, space, H5P_DEFAULT, lists);
    }
    h5_close(type);
    h5_close(space);
    h5_close(a);
}
