# One static library per folder of core/, with include paths that make a forbidden include fail to build.
#
#   bert_core_rule(text SEES result.h tokenizer.h)      in core/CMakeLists.txt: the public headers that a folder may include
#   bert_core_library(text a.cpp b.cpp)                 in core/text/CMakeLists.txt: the folder's sources
#
# Sources of text include "bert/tokenizer.h" (from a staged folder with links to the headers of its rule) and "text/a.h"
# (its own internals); nothing else of core is on their path, save the internal headers of the folders that USES names. LINKS
# names the folders whose code it calls, for the linker only.
function(bert_core_rule folder)
  cmake_parse_arguments(rule "" "" "SEES;USES;LINKS" ${ARGN})
  set(stage ${PROJECT_BINARY_DIR}/stage/core/${folder})
  file(REMOVE_RECURSE ${stage})
  file(MAKE_DIRECTORY ${stage}/public/bert ${stage}/private)
  foreach(header IN LISTS rule_SEES)
    file(CREATE_LINK ${PROJECT_SOURCE_DIR}/core/include/bert/${header} ${stage}/public/bert/${header} SYMBOLIC)
  endforeach()
  file(CREATE_LINK ${PROJECT_SOURCE_DIR}/core/${folder} ${stage}/private/${folder} SYMBOLIC)
  set_property(GLOBAL PROPERTY bert_${folder}_uses ${rule_USES})
  set_property(GLOBAL PROPERTY bert_${folder}_links ${rule_USES} ${rule_LINKS})
  add_subdirectory(${PROJECT_SOURCE_DIR}/core/${folder})
  target_link_libraries(bertlens INTERFACE bert_${folder})
endfunction()

function(bert_core_library folder)
  set(stage ${PROJECT_BINARY_DIR}/stage/core/${folder})
  get_property(links GLOBAL PROPERTY bert_${folder}_links)
  list(TRANSFORM links PREPEND "bert_")
  if(NOT ARGN)
    add_library(bert_${folder} INTERFACE)
    return()
  endif()
  add_library(bert_${folder} STATIC ${ARGN})
  target_include_directories(bert_${folder} PRIVATE ${stage}/public ${stage}/private)
  target_link_libraries(bert_${folder} PRIVATE bertlens_flags bertlens_core_flags bertlens_expected)
  get_property(uses GLOBAL PROPERTY bert_${folder}_uses)
  foreach(other IN LISTS uses)
    target_include_directories(bert_${folder} PRIVATE ${PROJECT_BINARY_DIR}/stage/core/${other}/private)
  endforeach()
  foreach(link IN LISTS links)
    target_link_libraries(bert_${folder} PRIVATE $<LINK_ONLY:${link}>)
  endforeach()
endfunction()
