# The compiler's flags, in interface targets: gs_flags for all C of the project, gs_strict for what is
# free of Python.h, whose macros are not pedantic.

include(CheckCSourceCompiles)

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")

# What ships is optimised as one program: the core's functions are short, and the bindings call many of them.
if(GS_LTO AND NOT GS_SANITIZE)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT GS_HAVE_LTO OUTPUT words LANGUAGES C)
  if(GS_HAVE_LTO)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  else()
    message(STATUS "pygostop: without link-time optimisation, which this compiler has not: ${words}")
  endif()
endif()

add_library(gs_flags INTERFACE)
target_compile_options(gs_flags INTERFACE
  -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wshadow -Wpointer-arith
  -Wstrict-prototypes -Wvla -fno-strict-overflow)
if(GS_WERROR)
  target_compile_options(gs_flags INTERFACE -Werror)
endif()
if(GS_PORTABLE)
  target_compile_definitions(gs_flags INTERFACE GS__PORTABLE=1)
endif()
if(GS_VALGRIND)
  target_compile_definitions(gs_flags INTERFACE GS__VALGRIND=1)
endif()
if(GS_SWITCH STREQUAL "ucontext")
  target_compile_definitions(gs_flags INTERFACE GS__SWITCH_UCONTEXT=1)
endif()

add_library(gs_strict INTERFACE)
target_link_libraries(gs_strict INTERFACE gs_flags)
target_compile_options(gs_strict INTERFACE $<$<COMPILE_LANGUAGE:C>:-Wpedantic -Wmissing-prototypes>)

# A thread-local of the core is one instruction away in the initial-exec model. glibc keeps room for
# that in libraries that are loaded late; other C libraries do not promise it.
check_c_source_compiles("#include <features.h>
#ifndef __GLIBC__
#error
#endif
int main(void) { return 0; }" GS_HAVE_GLIBC)

if(GS_SANITIZE STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all)
elseif(GS_SANITIZE STREQUAL "thread")
  set(sanitize -fsanitize=thread)
elseif(NOT GS_SANITIZE STREQUAL "")
  message(FATAL_ERROR "GS_SANITIZE is \"${GS_SANITIZE}\"; it can be address, thread or empty.")
endif()
if(GS_SANITIZE)
  target_compile_options(gs_flags INTERFACE ${sanitize} -fno-omit-frame-pointer -g)
  target_link_options(gs_flags INTERFACE ${sanitize})
endif()
if(GS_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "GS_FUZZ needs clang (CC=clang), and the C compiler is ${CMAKE_C_COMPILER}.")
  endif()
  target_compile_options(gs_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
