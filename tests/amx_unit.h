/* SPDX-License-Identifier: MIT
 *
 * amx_unit.h - the matrix unit that a processor hasn't got: its instructions are illegal there, and are carried out by a
 * handler of that signal. So the code for AMX is tested on any x86-64 machine under Linux, instruction by instruction.
 */
#ifndef AMX_UNIT_H
#define AMX_UNIT_H

#include <stdbool.h>
#include <stddef.h>

/* From now on, in every thread. What else is illegal ends the program. */
void amx_unit_install(void);
/* A unit that adds up in another order. */
void amx_unit_spoil(bool spoilt);
/* Products of two tiles so far, in all threads. */
size_t amx_unit_dots(void);

#endif
