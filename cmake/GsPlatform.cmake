# What the machine has, and how the core is to be built on it: sets GS_SWITCH to asm or ucontext, and
# for asm GS_SWITCH_SOURCE, the machine's file; and
# GS_POLLER_SOURCE, how it waits for descriptors. Stops with the reason where nothing can work.

set(supported "pygostop runs on 64-bit POSIX systems: Linux on x86-64 and aarch64, and, with the \
portable build (GS_PORTABLE=ON), on other POSIX systems that have ucontext.")

if(WIN32 OR NOT UNIX)
  message(FATAL_ERROR "pygostop cannot be built for ${CMAKE_SYSTEM_NAME}. ${supported} "
                      "On Windows, use it inside the Windows Subsystem for Linux.")
endif()
if(NOT CMAKE_SIZEOF_VOID_P EQUAL 8)
  message(FATAL_ERROR "pygostop cannot be built for a 32-bit machine. ${supported}")
endif()
if(NOT CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  message(FATAL_ERROR "pygostop needs GCC or Clang, and the C compiler here is "
                      "${CMAKE_C_COMPILER_ID} (${CMAKE_C_COMPILER}). Set CC=gcc or CC=clang.")
endif()

string(TOLOWER "${CMAKE_SYSTEM_PROCESSOR}" machine)
if(machine MATCHES "^(x86_64|amd64)$")
  set(asm_source switch_x86_64.S)
elseif(machine MATCHES "^(aarch64|arm64)$")
  set(asm_source switch_aarch64.S)
else()
  set(asm_source "")
endif()

# The assembler files are written for ELF, and the quick sleep is Linux's futex.
if(NOT CMAKE_SYSTEM_NAME STREQUAL "Linux" AND NOT GS_PORTABLE)
  message(STATUS "pygostop: ${CMAKE_SYSTEM_NAME} gets the portable build")
  set(GS_PORTABLE ON CACHE BOOL "Use POSIX and ucontext only: no assembler, no futex" FORCE)
endif()

if(GS_PORTABLE)
  set(GS_POLLER_SOURCE poller_poll.c)
else()
  set(GS_POLLER_SOURCE poller_epoll.c)
endif()
if(GS_SWITCH STREQUAL "")
  if(GS_PORTABLE OR asm_source STREQUAL "")
    set(GS_SWITCH ucontext)
  else()
    set(GS_SWITCH asm)
  endif()
endif()
if(GS_SWITCH STREQUAL "asm")
  if(asm_source STREQUAL "")
    message(FATAL_ERROR "GS_SWITCH=asm: there is no assembler switch for ${CMAKE_SYSTEM_PROCESSOR}, "
                        "only for x86_64 and aarch64. Use GS_SWITCH=ucontext.")
  endif()
  enable_language(ASM)
  set(GS_SWITCH_SOURCE "${asm_source}")
elseif(GS_SWITCH STREQUAL "ucontext")
  include(CheckSymbolExists)
  set(CMAKE_REQUIRED_DEFINITIONS -D_GNU_SOURCE -D_XOPEN_SOURCE=700)
  check_symbol_exists(makecontext ucontext.h GS_HAVE_MAKECONTEXT)
  unset(CMAKE_REQUIRED_DEFINITIONS)
  if(NOT GS_HAVE_MAKECONTEXT)
    message(FATAL_ERROR "${CMAKE_SYSTEM_NAME} on ${CMAKE_SYSTEM_PROCESSOR} has no makecontext, which "
                        "the portable build needs (musl has it in libucontext). ${supported}")
  endif()
  set(GS_SWITCH_SOURCE switch_ucontext.c)
else()
  message(FATAL_ERROR "GS_SWITCH is \"${GS_SWITCH}\"; it can be asm or ucontext.")
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
