/* SPDX-License-Identifier: MIT
 *
 * tap.h - what a C test needs to speak TAP (Test Anything Protocol). Include it in one file per test program.
 *
 *     int main(void)
 *     {
 *         tap_ok(n == 3, "three layers");
 *         tap_string(err.field, "hidden", "the error names the field");
 *         tap_near(loss, 4.17, 1e-9, "loss");     // relative tolerance
 *         return tap_done();                      // prints the plan; 1 when something failed
 *     }
 *
 * Descriptions are printf formats. Every check returns whether it passed.
 */
#ifndef TAP_H
#define TAP_H

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__GNUC__)
#define TAP_FORMAT(string, first) __attribute__((format(printf, string, first), unused))
#else
#define TAP_FORMAT(string, first)
#endif

static int tap_count, tap_failed;

/* A line of explanation, shown in the log. */
TAP_FORMAT(1, 2) static void tap_note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("# ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

TAP_FORMAT(4, 5) static bool tap_check(bool passed, const char *file, int line, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%s %d - ", passed ? "ok" : "not ok", ++tap_count);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    if (!passed) {
        tap_failed++;
        tap_note("failed at %s:%d", file, line);
    }
    fflush(stdout); /* what ran before a crash stays visible */
    return passed;
}

#define tap_ok(condition, ...) tap_check((condition), __FILE__, __LINE__, __VA_ARGS__)

/* Equal strings; NULL equals only NULL. */
#define tap_string(got, want, ...) tap_check_string((got), (want), __FILE__, __LINE__, __VA_ARGS__)
/* |got - want| <= tolerance * max(|want|, tiny); never true for NaN. */
#define tap_near(got, want, tolerance, ...) tap_check_near((got), (want), (tolerance), __FILE__, __LINE__, __VA_ARGS__)

TAP_FORMAT(5, 6)
static bool tap_check_string(const char *got, const char *want, const char *file, int line, const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool passed = got && want ? strcmp(got, want) == 0 : got == want;
    tap_check(passed, file, line, "%s", text);
    if (!passed)
        tap_note("got \"%s\", expected \"%s\"", got ? got : "(null)", want ? want : "(null)");
    return passed;
}

TAP_FORMAT(6, 7)
static bool tap_check_near(double got, double want, double tolerance, const char *file, int line, const char *format,
                           ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    bool passed = got == want || (isfinite(want) && fabs(got - want) <= tolerance * fmax(fabs(want), 1e-300));
    tap_check(passed, file, line, "%s", text);
    if (!passed)
        tap_note("got %.17g, expected %.17g, relative tolerance %g", got, want, tolerance);
    return passed;
}

/* Stands in for a check that cannot run here. */
TAP_FORMAT(1, 2) static void tap_skip(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("ok %d # SKIP ", ++tap_count);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
}

/* Ends a program none of whose checks can run here. */
TAP_FORMAT(1, 2) static void tap_skip_all(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("1..0 # SKIP ", stdout);
    vprintf(format, args);
    putchar('\n');
    va_end(args);
    exit(EXIT_SUCCESS);
}

/* Prints the plan; the value for main to return. */
static inline int tap_done(void)
{
    printf("1..%d\n", tap_count);
    fflush(stdout); /* the leak checker may end the program before it does */
    return tap_failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
