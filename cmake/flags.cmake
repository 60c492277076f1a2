# Flags of our own code (target bertlens_flags, core adds bertlens_core_flags) and of the whole build (sanitizers).
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT EMSCRIPTEN) # there it would put a look-up before each address
  set(CMAKE_POSITION_INDEPENDENT_CODE ON)
endif()
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(bertlens_flags INTERFACE)
target_compile_options(bertlens_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Wshadow -Wnon-virtual-dtor -Wundef
  $<$<BOOL:${BERTLENS_WERROR}>:-Werror> -ffunction-sections -fdata-sections)
if(NOT APPLE AND NOT EMSCRIPTEN)
  target_link_options(bertlens_flags INTERFACE LINKER:--gc-sections)
endif()

add_library(bertlens_core_flags INTERFACE)
target_compile_options(bertlens_core_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)

if(BERTLENS_SANITIZE)
  # vptr needs RTTI, which core has not: it takes shared_ptrs made in core for broken ones
  add_compile_options(-fsanitize=${BERTLENS_SANITIZE} -fno-sanitize=vptr -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${BERTLENS_SANITIZE})
endif()
if(BERTLENS_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "BERTLENS_FUZZ needs clang (libFuzzer); the compiler is ${CMAKE_CXX_COMPILER}")
  endif()
  # core/ only: the rest guides no search, and would be the slower for it
  target_compile_options(bertlens_core_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# WebAssembly: every build has SIMD; relaxed SIMD and threads by option. Whole build, so that gtest and XNNPACK agree.
if(EMSCRIPTEN)
  option(BERTLENS_WASM_RELAXED "relaxed SIMD" OFF)
  option(BERTLENS_WASM_THREADS "threads (needs a cross-origin isolated page)" OFF)
  add_compile_options(-msimd128 $<$<BOOL:${BERTLENS_WASM_RELAXED}>:-mrelaxed-simd> $<$<BOOL:${BERTLENS_WASM_THREADS}>:-pthread>)
  add_link_options($<$<BOOL:${BERTLENS_WASM_THREADS}>:-pthread>)
endif()
