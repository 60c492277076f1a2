# After every project() of a WebAssembly build: compile with the front that calls clang directly (made by tools/setup), and
# index archives as they are written; both save the start of a Python program per file.
if(EXISTS ${BERTLENS_CACHE}/emscripten/bin/emcc)
  set(CMAKE_C_COMPILER ${BERTLENS_CACHE}/emscripten/bin/emcc)
  set(CMAKE_CXX_COMPILER ${BERTLENS_CACHE}/emscripten/bin/em++)
  find_program(BERTLENS_LLVM_AR llvm-ar-19)
  set(CMAKE_AR ${BERTLENS_LLVM_AR})
  find_program(BERTLENS_TRUE true REQUIRED) # one word: CMake takes a list for the name of one program
  set(CMAKE_RANLIB ${BERTLENS_TRUE})
endif()
