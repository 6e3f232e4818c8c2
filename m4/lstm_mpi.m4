# SPDX-License-Identifier: MIT

# LSTM_MPI_TRY(CFLAGS, LIBS)
# Sets MPI_CFLAGS, MPI_LIBS and lstm_have_mpi=yes when these build a program with MPI, 3.0 or newer.
AC_DEFUN([LSTM_MPI_TRY],
[AS_IF([test $lstm_have_mpi = no],
    [lstm_save_CPPFLAGS=$CPPFLAGS
     lstm_save_LIBS=$LIBS
     CPPFLAGS="$CPPFLAGS $1"
     LIBS="$2 $LIBS"
     AC_LINK_IFELSE([AC_LANG_PROGRAM([[
#include <mpi.h>
#if MPI_VERSION < 3
#error "older than MPI 3.0"
#endif
]], [[MPI_Request request; return MPI_Ibarrier(MPI_COMM_WORLD, &request);]])],
         [lstm_have_mpi=yes
          MPI_CFLAGS="$1"
          MPI_LIBS="$2"])
     CPPFLAGS=$lstm_save_CPPFLAGS
     LIBS=$lstm_save_LIBS])])

# LSTM_MPI --with-mpi[=yes|no|check]: sets MPI_CFLAGS and MPI_LIBS, and the conditional HAVE_MPI. Looked for in this
# order: what the user said, the wrapper mpicc that is in the PATH (so that it belongs to the mpirun that is),
# pkg-config.
AC_DEFUN([LSTM_MPI],
[AC_ARG_WITH([mpi],
    [AS_HELP_STRING([--with-mpi@<:@=yes|no|check@:>@], [train over MPI (default: if it is found)])],
    [], [with_mpi=check])
AC_ARG_VAR([MPI_CFLAGS], [compiler flags for MPI])
AC_ARG_VAR([MPI_LIBS], [linker flags for MPI])
AC_ARG_VAR([MPICC], [MPI's compiler wrapper, asked for the library's place])
lstm_have_mpi=no
AS_IF([test "x$with_mpi" != xno],
    [AC_CHECK_PROGS([MPICC], [mpicc])
     AC_MSG_CHECKING([for MPI])
     AS_IF([test "x$MPI_CFLAGS$MPI_LIBS" != x],
         [LSTM_MPI_TRY([$MPI_CFLAGS], [$MPI_LIBS])],
         [AS_IF([test "x$MPICC" != x],
              [lstm_cflags=
               lstm_libs=
               for lstm_word in `$MPICC -show 2>/dev/null`; do
                   AS_CASE([$lstm_word],
                       [-I*], [lstm_cflags="$lstm_cflags $lstm_word"],
                       [-L* | -l* | -Wl,*], [lstm_libs="$lstm_libs $lstm_word"])
               done
               LSTM_MPI_TRY([$lstm_cflags], [$lstm_libs])])
          for lstm_name in mpi-c ompi-c ompi mpich; do
              AS_IF([test "x$PKG_CONFIG" != x && $PKG_CONFIG --exists $lstm_name 2>/dev/null],
                  [lstm_cflags=`$PKG_CONFIG --cflags $lstm_name`
                   lstm_libs=`$PKG_CONFIG --libs $lstm_name`
                   LSTM_MPI_TRY([$lstm_cflags], [$lstm_libs])])
          done])
     AC_MSG_RESULT([$lstm_have_mpi $MPI_CFLAGS $MPI_LIBS])])
AS_IF([test "x$with_mpi" = xyes && test $lstm_have_mpi = no],
    [AC_MSG_ERROR([--with-mpi: MPI (3.0 or newer, with its header files) was not found. Install it:
    Debian, Ubuntu:  apt-get install libopenmpi-dev openmpi-bin
    Fedora:          dnf install openmpi-devel, and: module load mpi
    Arch:            pacman -S openmpi
  or, if it is in a place of its own, pass MPICC, or MPI_CFLAGS and MPI_LIBS])])
AM_CONDITIONAL([HAVE_MPI], [test $lstm_have_mpi = yes])])
