/* SPDX-License-Identifier: MIT
 *
 * coverage.h - comes before every source in the build of `make coverage`: children that end by _exit, as those that try
 * a checkpoint first, write down what they have executed.
 */
#ifndef COVERAGE_H
#define COVERAGE_H

void __gcov_dump(void); /* gcov's */
void _Exit(int status) __attribute__((noreturn));

__attribute__((noreturn, unused)) static void coverage_exit(int status)
{
    __gcov_dump();
    _Exit(status);
}

#define _exit coverage_exit

#endif
