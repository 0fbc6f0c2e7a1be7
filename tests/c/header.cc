/* header.cc: header.c, for a compiler of C++. */
#include "header.c"
