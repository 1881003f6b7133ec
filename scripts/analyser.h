/* Included before every file that clang-tidy reads: tells it that dipp_fail returns the code it was given, which it
 * cannot see across files; without this every out-parameter looks unset behind `return dipp_fail(...)`. */
#include "../core/include/dipp/status.h"

#define dipp_fail(error, code, ...) (dipp_fail(error, code, __VA_ARGS__), (code))
