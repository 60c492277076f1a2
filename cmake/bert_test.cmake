# bert_test() and bert_fuzz(): how the tests of all parts are declared (usage in tests/CMakeLists.txt).
find_path(GTEST_SOURCE CMakeLists.txt NO_CMAKE_FIND_ROOT_PATH PATHS /usr/src/googletest NO_DEFAULT_PATH)
if(NOT GTEST_SOURCE)
  message(FATAL_ERROR "GoogleTest's sources not found in /usr/src/googletest: run `./run setup` first")
endif()
set(INSTALL_GTEST OFF)
set(BUILD_GMOCK ON)
if(EMSCRIPTEN)
  set(gtest_disable_pthreads ON)
endif()
add_subdirectory(${GTEST_SOURCE} ${PROJECT_BINARY_DIR}/googletest EXCLUDE_FROM_ALL SYSTEM)
foreach(library gtest gmock gmock_main)
  target_compile_options(${library} PRIVATE -O1) # half the time of a release build, and tests wait for nothing in it
endforeach()

# The environment of every test: where its files are. The reference files beside the checkout are optional.
set(BERTLENS_TEST_ENVIRONMENT
  BERTLENS_TESTS=${PROJECT_SOURCE_DIR}/tests
  BERTLENS_VOCAB=${BERTLENS_CACHE}/vocab/bert-base-uncased.txt)
if(DEFINED ENV{BERTLENS_SHARED})
  list(APPEND BERTLENS_TEST_ENVIRONMENT BERTLENS_SHARED=$ENV{BERTLENS_SHARED})
else()
  cmake_path(SET _shared NORMALIZE ${PROJECT_SOURCE_DIR}/../shared)
  list(APPEND BERTLENS_TEST_ENVIRONMENT BERTLENS_SHARED=${_shared})
endif()

if(TARGET bertlens_cuda)
  add_custom_target(cuda_tests) # all that have a part for it
endif()

function(bert_test name)
  cmake_parse_arguments(test "NATIVE_ONLY;CUDA" "LABEL" "SOURCES;LINKS" ${ARGN})
  if(EMSCRIPTEN AND test_NATIVE_ONLY)
    return()
  endif()
  add_executable(${name} ${test_SOURCES})
  target_link_libraries(${name} PRIVATE bertlens::bertlens bertlens_flags bertlens_json GTest::gmock_main ${test_LINKS})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  if(test_CUDA AND TARGET bertlens_cuda)
    target_link_libraries(${name} PRIVATE bertlens_cuda)
    add_dependencies(cuda_tests ${name})
    list(APPEND test_LABEL cuda)
  endif()
  if(EMSCRIPTEN)
    # .cjs: the checkout's package.json makes every .js an ES module, which this glue is not
    set_target_properties(${name} PROPERTIES SUFFIX .cjs)
    # -O1: the linker's pass of optimisations takes up to half a minute for each test; the package's tests run fully optimised modules
    target_link_options(${name} PRIVATE -O1 -sNODERAWFS=1 -sEXIT_RUNTIME=1 -sALLOW_MEMORY_GROWTH=1 -sSTACK_SIZE=1MB
      -sENVIRONMENT=node,worker
      $<$<BOOL:${BERTLENS_WASM_THREADS}>:-sPTHREAD_POOL_SIZE=4>
      -Wno-pthreads-mem-growth --pre-js=${PROJECT_SOURCE_DIR}/tests/support/node_environment.js)
  endif()
  add_test(NAME ${name} COMMAND ${name} --gtest_output=json:${PROJECT_BINARY_DIR}/reports/${name}.json)
  set_tests_properties(${name} PROPERTIES LABELS "${test_LABEL}" ENVIRONMENT "${BERTLENS_TEST_ENVIRONMENT}")
endfunction()

function(bert_fuzz name)
  cmake_parse_arguments(fuzz "" "CORPUS" "SOURCES" ${ARGN})
  add_executable(${name} ${fuzz_SOURCES})
  target_link_libraries(${name} PRIVATE bertlens::bertlens bertlens_flags bertlens_json)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  # `./run test` reads this list: name, committed corpus
  file(APPEND ${PROJECT_BINARY_DIR}/fuzz_targets.txt "${name} ${CMAKE_CURRENT_SOURCE_DIR}/${fuzz_CORPUS}\n")
endfunction()
if(BERTLENS_FUZZ)
  file(WRITE ${PROJECT_BINARY_DIR}/fuzz_targets.txt "")
endif()
