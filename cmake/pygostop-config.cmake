# find_package(pygostop CONFIG): the target pygostop::pygostop, whose one property is the directory of
# pygostop.h. A C task links nothing. A project that scikit-build-core builds, with pygostop in its
# [build-system] requires, finds it by itself; others with -Dpygostop_DIR="$(python -m pygostop --cmakedir)".
if(NOT TARGET pygostop::pygostop)
  add_library(pygostop::pygostop INTERFACE IMPORTED)
  get_filename_component(pygostop_include "${CMAKE_CURRENT_LIST_DIR}/../pygostop/include" ABSOLUTE)
  set_target_properties(pygostop::pygostop PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${pygostop_include}")
  unset(pygostop_include)
endif()
