# SPDX-License-Identifier: MIT

# LSTM_CHECK_CFLAGS(FLAGS, [IF-ACCEPTED], [IF-NOT])
# Does the C compiler take FLAGS without a warning?
AC_DEFUN([LSTM_CHECK_CFLAGS],
[AS_VAR_PUSHDEF([cache], [lstm_cv_cflags_$1])dnl
AC_CACHE_CHECK([whether $CC accepts $1], [cache],
    [lstm_save_CFLAGS=$CFLAGS
     CFLAGS="$CFLAGS -Werror $1"
     AC_COMPILE_IFELSE([AC_LANG_PROGRAM], [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
     CFLAGS=$lstm_save_CFLAGS])
AS_VAR_IF([cache], [yes], [$2], [$3])
AS_VAR_POPDEF([cache])])

# LSTM_WARNINGS
# Sets WARN_CFLAGS. Warnings are errors only for those who ask (--enable-werror): a newer compiler's new warning must
# not break a user's build. They also get to see conversions that lose something, but for those of the sign.
AC_DEFUN([LSTM_WARNINGS],
[AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors (for developers)])],
    [], [enable_werror=no])
LSTM_CHECK_CFLAGS([-Wall -Wextra], [WARN_CFLAGS="-Wall -Wextra"])
AS_IF([test "x$OPENMP_CFLAGS" = x],
    [LSTM_CHECK_CFLAGS([-Wno-unknown-pragmas], [WARN_CFLAGS="$WARN_CFLAGS -Wno-unknown-pragmas"])])
AS_IF([test "x$enable_werror" = xyes],
    [WARN_CFLAGS="$WARN_CFLAGS -Werror"
     LSTM_CHECK_CFLAGS([-Wconversion -Wno-sign-conversion],
         [WARN_CFLAGS="$WARN_CFLAGS -Wconversion -Wno-sign-conversion"])])
AC_SUBST([WARN_CFLAGS])])

# LSTM_STRICT_ARITHMETIC
# Sets ENGINE_CFLAGS. Results must not depend on what the compiler makes of an expression: no contraction into fused
# operations that are not written as such, and no "fast" mathematics, not even by CFLAGS.
AC_DEFUN([LSTM_STRICT_ARITHMETIC],
[AC_CACHE_CHECK([that the arithmetic is strict], [lstm_cv_strict_arithmetic],
    [AC_COMPILE_IFELSE([AC_LANG_SOURCE([[
#ifdef __FAST_MATH__
#error "-ffast-math"
#endif
int strict;
]])], [lstm_cv_strict_arithmetic=yes], [lstm_cv_strict_arithmetic=no])])
AS_IF([test "$lstm_cv_strict_arithmetic" = no],
    [AC_MSG_ERROR([lstmrun's results are exactly repeatable, which -ffast-math and -Ofast would break: take them out of CFLAGS ($CFLAGS)])])
LSTM_CHECK_CFLAGS([-ffp-contract=off], [ENGINE_CFLAGS="-ffp-contract=off"])
LSTM_CHECK_CFLAGS([-fno-math-errno], [ENGINE_CFLAGS="$ENGINE_CFLAGS -fno-math-errno"])
AC_SUBST([ENGINE_CFLAGS])])

# LSTM_KERNELS
# The kernels are compiled for AVX2, AVX-512, AVX512-BF16 and AMX beside plain C where the compiler can; the choice is made
# at run time.
AC_DEFUN([LSTM_KERNELS],
[AVX2_CFLAGS="-mavx2 -mfma"
AVX512_CFLAGS="-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512"
lstm_x86_kernels=no
AS_CASE([$host_cpu], [x86_64],
    [LSTM_CHECK_CFLAGS([-mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512],
         [lstm_x86_kernels=yes])])
AM_CONDITIONAL([X86_KERNELS], [test $lstm_x86_kernels = yes])
BF16_CFLAGS="$AVX512_CFLAGS -mavx512bf16"
lstm_bf16_kernel=no
AS_IF([test $lstm_x86_kernels = yes],
    [AC_CACHE_CHECK([whether $CC knows AVX512-BF16], [lstm_cv_avx512bf16],
        [lstm_save_CFLAGS=$CFLAGS
         CFLAGS="$CFLAGS $BF16_CFLAGS"
         AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <immintrin.h>]],
             [[__m512 x = _mm512_setzero_ps();
               x = _mm512_dpbf16_ps(x, (__m512bh)_mm512_setzero_si512(), (__m512bh)_mm512_setzero_si512());
               return __builtin_cpu_supports("avx512bf16") && _mm512_cvtss_f32(x) > 0;]])],
             [lstm_cv_avx512bf16=yes], [lstm_cv_avx512bf16=no])
         CFLAGS=$lstm_save_CFLAGS])
     lstm_bf16_kernel=$lstm_cv_avx512bf16])
AM_CONDITIONAL([BF16_KERNEL], [test $lstm_bf16_kernel = yes])
AMX_CFLAGS="-mamx-tile -mamx-bf16"
lstm_amx_kernel=no
AS_IF([test $lstm_x86_kernels = yes],
    [AS_CASE([$host_os], [linux*], [LSTM_CHECK_CFLAGS([-mamx-tile -mamx-bf16], [lstm_amx_kernel=yes])])])
AM_CONDITIONAL([AMX_KERNEL], [test $lstm_amx_kernel = yes])
AC_SUBST([AMX_CFLAGS])
AC_SUBST([BF16_CFLAGS])
AC_SUBST([AVX2_CFLAGS])
AC_SUBST([AVX512_CFLAGS])])

# LSTM_SANITIZER
# Sets SANITIZER_CFLAGS: AddressSanitizer and UndefinedBehaviorSanitizer, any finding ends the program; and
# KERNEL_CFLAGS, the kernels' optimisation. Their unrolled bodies would take a checking compiler half an hour at -O3 with
# every check; what is left out there AddressSanitizer and the processor (alignment) notice as well.
AC_DEFUN([LSTM_SANITIZER],
[AC_ARG_ENABLE([sanitizer],
    [AS_HELP_STRING([--enable-sanitizer], [build with address and undefined behaviour checks (slow, for developers)])],
    [], [enable_sanitizer=no])
KERNEL_CFLAGS=-O3
AS_IF([test "x$enable_sanitizer" = xyes],
    [KERNEL_CFLAGS="-O1 -fno-sanitize=null,pointer-overflow,object-size,alignment"
     SANITIZER_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer"
     lstm_save_CFLAGS=$CFLAGS
     CFLAGS="$CFLAGS $SANITIZER_CFLAGS"
     AC_MSG_CHECKING([whether $CC links with $SANITIZER_CFLAGS])
     AC_LINK_IFELSE([AC_LANG_PROGRAM], [AC_MSG_RESULT([yes])],
         [AC_MSG_RESULT([no])
          AC_MSG_ERROR([--enable-sanitizer: $CC cannot link with $SANITIZER_CFLAGS; install the sanitizer's libraries (Fedora: libasan libubsan) or leave the option out])])
     CFLAGS=$lstm_save_CFLAGS])
AC_SUBST([KERNEL_CFLAGS])
AC_SUBST([SANITIZER_CFLAGS])
AC_SUBST([SANITIZER], [$enable_sanitizer])])
