# Header-only libraries from the system, as targets whose include folder holds links to them alone: so a WebAssembly
# build never sees the rest of /usr/include.
function(bert_header_library target folder header)
  find_path(${target}_ROOT ${folder}/${header} NO_CMAKE_FIND_ROOT_PATH PATHS /usr/include /usr/local/include /opt/homebrew/include)
  if(NOT ${target}_ROOT)
    message(FATAL_ERROR "${folder}/${header} not found: run `./run setup` first")
  endif()
  set(stage ${PROJECT_BINARY_DIR}/stage/third_party/${folder})
  file(MAKE_DIRECTORY ${stage})
  file(CREATE_LINK ${${target}_ROOT}/${folder} ${stage}/${folder} SYMBOLIC)
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE $<BUILD_INTERFACE:${stage}>)
endfunction()

bert_header_library(bertlens_expected tl expected.hpp)
bert_header_library(bertlens_json nlohmann json.hpp)
