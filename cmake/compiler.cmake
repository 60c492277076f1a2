# Before project(): the compiler where the caller named none, and ccache with its store in the project's cache folder.
include(cache_folder)

if(NOT CMAKE_TOOLCHAIN_FILE AND NOT CMAKE_CXX_COMPILER AND NOT DEFINED ENV{CXX})
  find_program(BERTLENS_CLANGXX NAMES clang++-19 clang++-20 clang++-18 clang++-17)
  if(BERTLENS_CLANGXX)
    string(REPLACE "clang++" "clang" _clang "${BERTLENS_CLANGXX}")
    set(CMAKE_CXX_COMPILER ${BERTLENS_CLANGXX} CACHE FILEPATH "C++ compiler")
    set(CMAKE_C_COMPILER ${_clang} CACHE FILEPATH "C compiler")
  endif()
endif()

find_program(BERTLENS_CCACHE ccache)
if(BERTLENS_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # paths inside the checkout are made relative, so that every checkout and build folder shares the same store
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_DIR=${BERTLENS_CACHE}/ccache CCACHE_BASEDIR=${CMAKE_CURRENT_SOURCE_DIR}
      CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=3G ${BERTLENS_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher} CACHE STRING "ccache")
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher} CACHE STRING "ccache")
endif()
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "build type")
endif()
