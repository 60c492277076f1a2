# cmake --install: the headers, one archive of core and the lean XNNPACK, the command line, licences, and the files that let
# find_package(bertlens) give the target bertlens::bertlens.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(objects)
foreach(folder base json text model compute encoder tasks)
  list(APPEND objects $<TARGET_OBJECTS:bert_${folder}>)
endforeach()
add_library(bertlens_archive STATIC ${objects})
set_target_properties(bertlens_archive PROPERTIES OUTPUT_NAME bertlens LINKER_LANGUAGE CXX)

install(DIRECTORY core/include/bert TYPE INCLUDE)
install(TARGETS bertlens_archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES $<TARGET_PROPERTY:xnnpack,IMPORTED_LOCATION> DESTINATION ${CMAKE_INSTALL_LIBDIR}/bertlens)
install(FILES LICENSE NOTICE.md TYPE DOC)
install(DIRECTORY ${BERTLENS_XNNPACK_PREFIX}/licenses TYPE DOC)
# as Debian's packages of these libraries have them
foreach(library nlohmann-json3 libcli11 libexpected)
  install(FILES /usr/share/doc/${library}-dev/copyright
    DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses RENAME ${library} OPTIONAL)
endforeach()
if(TARGET bertlens_cli)
  install(TARGETS bertlens_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  # where the command line looks for the model that comes with it
  install(DIRECTORY models/default DESTINATION share/bertlens/models OPTIONAL)
endif()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/bertlens)
configure_package_config_file(cmake/bertlensConfig.cmake.in ${PROJECT_BINARY_DIR}/bertlensConfig.cmake
  INSTALL_DESTINATION ${package} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bertlensConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/bertlensConfig.cmake ${PROJECT_BINARY_DIR}/bertlensConfigVersion.cmake DESTINATION ${package})
