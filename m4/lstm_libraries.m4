# SPDX-License-Identifier: MIT
# The two libraries lstmrun needs. Each is looked for in this order: what the user said (X_CFLAGS and X_LIBS), pkg-config
# under the distributions' names, plain compiler defaults and well-known places. A candidate counts when a program links.

# LSTM_LUA_TRY(CFLAGS, LIBS)
# Sets LUA_CFLAGS, LUA_LIBS and lstm_have_lua=yes when these build a program with Lua 5.4.
AC_DEFUN([LSTM_LUA_TRY],
[AS_IF([test $lstm_have_lua = no],
    [lstm_save_CPPFLAGS=$CPPFLAGS
     lstm_save_LIBS=$LIBS
     CPPFLAGS="$CPPFLAGS $1"
     LIBS="$2 $LIBS"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([[
#include <lua.h>
#include <lauxlib.h>
#if LUA_VERSION_NUM != 504
#error "not Lua 5.4"
#endif
]], [[return luaL_newstate() == NULL;]])],
         [lstm_have_lua=yes
          LUA_CFLAGS="$1"
          LUA_LIBS="$2"])
     CPPFLAGS=$lstm_save_CPPFLAGS
     LIBS=$lstm_save_LIBS])])

# LSTM_LUA
# Sets LUA_CFLAGS and LUA_LIBS for Lua 5.4, and LUA, the interpreter, or empty.
AC_DEFUN([LSTM_LUA],
[AC_ARG_VAR([LUA_CFLAGS], [compiler flags for Lua 5.4])
AC_ARG_VAR([LUA_LIBS], [linker flags for Lua 5.4])
AC_ARG_VAR([LUA], [Lua 5.4 interpreter, for the test of the loadable module])
AC_MSG_CHECKING([for Lua 5.4])
lstm_have_lua=no
AS_IF([test "x$LUA_CFLAGS$LUA_LIBS" != x],
    [LSTM_LUA_TRY([$LUA_CFLAGS], [$LUA_LIBS])],
    [for lstm_name in lua5.4 lua-5.4 lua54 lua; do
         AS_IF([test "x$PKG_CONFIG" != x && $PKG_CONFIG --exists $lstm_name 2>/dev/null],
             [lstm_cflags=`$PKG_CONFIG --cflags $lstm_name`
              lstm_libs=`$PKG_CONFIG --libs $lstm_name`
              LSTM_LUA_TRY([$lstm_cflags], [$lstm_libs])])
     done
     for lstm_cflags in "" -I/usr/include/lua5.4 -I/usr/include/lua-5.4 -I/usr/include/lua54; do
         for lstm_libs in -llua5.4 -llua-5.4 -llua54 -llua; do
             LSTM_LUA_TRY([$lstm_cflags], [$lstm_libs])
             LSTM_LUA_TRY([$lstm_cflags], [$lstm_libs -lm -ldl])
         done
     done])
AC_MSG_RESULT([$lstm_have_lua $LUA_CFLAGS $LUA_LIBS])
AS_IF([test $lstm_have_lua = no],
    [AC_MSG_ERROR([Lua 5.4 (header files and library) was not found. Install it:
    Debian, Ubuntu:  apt-get install liblua5.4-dev
    Fedora:          dnf install lua-devel
    Arch:            pacman -S lua54
  or, if it is in a place of its own, pass LUA_CFLAGS and LUA_LIBS, as in
    ./configure LUA_CFLAGS=-I/opt/lua/include LUA_LIBS="-L/opt/lua/lib -llua -lm -ldl"])])
AS_IF([test "x$LUA" = x],
    [AC_PATH_PROGS_FEATURE_CHECK([LUA], [lua5.4 lua-5.4 lua54 lua],
        [AS_IF([test "`$ac_path_LUA -e 'io.write(_VERSION)' 2>/dev/null`" = "Lua 5.4"],
             [ac_cv_path_LUA=$ac_path_LUA ac_path_LUA_found=:])],
        [ac_cv_path_LUA=])
     LUA=$ac_cv_path_LUA])])

# LSTM_HDF5_TRY(CFLAGS, LIBS)
# Sets HDF5_CFLAGS, HDF5_LIBS, lstm_cv_hdf5_version and lstm_have_hdf5=yes when these build a program with HDF5, 1.10
# or newer, serial.
AC_DEFUN([LSTM_HDF5_TRY],
[AS_IF([test $lstm_have_hdf5 = no],
    [lstm_save_CPPFLAGS=$CPPFLAGS
     lstm_save_LIBS=$LIBS
     CPPFLAGS="$CPPFLAGS $1"
     LIBS="$2 $LIBS"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([[
#include <hdf5.h>
#if !H5_VERSION_GE(1, 10, 0)
#error "older than 1.10"
#endif
#ifdef H5_HAVE_PARALLEL
#error "the parallel (MPI) library"
#endif
]], [[return H5open() < 0;]])],
         [lstm_have_hdf5=yes
          HDF5_CFLAGS="$1"
          HDF5_LIBS="$2"])
     CPPFLAGS=$lstm_save_CPPFLAGS
     LIBS=$lstm_save_LIBS])])

# LSTM_HDF5
# Sets HDF5_CFLAGS and HDF5_LIBS.
AC_DEFUN([LSTM_HDF5],
[AC_ARG_VAR([HDF5_CFLAGS], [compiler flags for HDF5 (1.10 or newer, serial)])
AC_ARG_VAR([HDF5_LIBS], [linker flags for HDF5])
AC_ARG_VAR([H5CC], [HDF5's compiler wrapper, asked for the library's place])
AC_PATH_PROGS([H5CC], [h5cc h5cc-serial])
AC_MSG_CHECKING([for HDF5])
lstm_have_hdf5=no
AS_IF([test "x$HDF5_CFLAGS$HDF5_LIBS" != x],
    [LSTM_HDF5_TRY([$HDF5_CFLAGS], [$HDF5_LIBS])],
    [for lstm_name in hdf5-serial hdf5; do
         AS_IF([test "x$PKG_CONFIG" != x && $PKG_CONFIG --exists $lstm_name 2>/dev/null],
             [lstm_cflags=`$PKG_CONFIG --cflags $lstm_name`
              lstm_libs=`$PKG_CONFIG --libs $lstm_name`
              LSTM_HDF5_TRY([$lstm_cflags], [$lstm_libs])])
     done
     AS_IF([test "x$H5CC" != x],
         [lstm_cflags=
          lstm_libs=
          for lstm_word in `$H5CC -show 2>/dev/null`; do
              AS_CASE([$lstm_word],
                  [-I*], [lstm_cflags="$lstm_cflags $lstm_word"],
                  [-L*], [lstm_libs="$lstm_libs $lstm_word"],
                  [*/libhdf5.a | */libhdf5.so], [lstm_libs="$lstm_libs -L`dirname $lstm_word`"])
          done
          LSTM_HDF5_TRY([$lstm_cflags], [$lstm_libs -lhdf5])])
     LSTM_HDF5_TRY([], [-lhdf5])
     for lstm_dir in /usr/lib/$host_cpu-linux-gnu /usr/lib64 /usr/lib; do
         LSTM_HDF5_TRY([-I/usr/include/hdf5/serial], [-L$lstm_dir/hdf5/serial -lhdf5])
     done
     LSTM_HDF5_TRY([-I/usr/include/hdf5/serial], [-lhdf5_serial])
     LSTM_HDF5_TRY([-I/usr/local/include], [-L/usr/local/lib -lhdf5])])
AC_MSG_RESULT([$lstm_have_hdf5 $HDF5_CFLAGS $HDF5_LIBS])
AS_IF([test $lstm_have_hdf5 = no],
    [AC_MSG_ERROR([HDF5 (1.10 or newer, the serial library and its header files) was not found. Install it:
    Debian, Ubuntu:  apt-get install libhdf5-dev
    Fedora:          dnf install hdf5-devel
    Arch:            pacman -S hdf5
  or, if it is in a place of its own, pass HDF5_CFLAGS and HDF5_LIBS, as in
    ./configure HDF5_CFLAGS=-I/opt/hdf5/include HDF5_LIBS="-L/opt/hdf5/lib -lhdf5"])])
lstm_save_CPPFLAGS=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $HDF5_CFLAGS"
AC_CACHE_CHECK([which HDF5], [lstm_cv_hdf5_version],
    [AC_COMPUTE_INT([lstm_hdf5_minor], [H5_VERS_MAJOR * 1000 + H5_VERS_MINOR], [#include <hdf5.h>], [lstm_hdf5_minor=0])
     AC_COMPUTE_INT([lstm_hdf5_release], [H5_VERS_RELEASE], [#include <hdf5.h>], [lstm_hdf5_release=0])
     lstm_cv_hdf5_version=`expr $lstm_hdf5_minor / 1000`.`expr $lstm_hdf5_minor % 1000`.$lstm_hdf5_release])
CPPFLAGS=$lstm_save_CPPFLAGS])
