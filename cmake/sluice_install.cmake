# What `make install` installs: the archive, its headers, the files by which CMake and pkg-config
# find them, and the plugin for NCCL. All of it may be moved afterwards.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
set(pkgconfig_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(TARGETS sluice EXPORT sluice_targets FILE_SET HEADERS)
install(TARGETS nccl_net_sluice LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT sluice_targets FILE sluice_targets.cmake NAMESPACE sluice::
  DESTINATION ${package_dir})

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/sluice-config.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/sluice-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/sluice-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES
  ${CMAKE_CURRENT_BINARY_DIR}/sluice-config.cmake
  ${CMAKE_CURRENT_BINARY_DIR}/sluice-config-version.cmake
  DESTINATION ${package_dir})

file(RELATIVE_PATH prefix_from_pkgconfig /${pkgconfig_dir} /)
string(REGEX REPLACE "/$" "" prefix_from_pkgconfig ${prefix_from_pkgconfig})
configure_file(${PROJECT_SOURCE_DIR}/cmake/sluice.pc.in
  ${CMAKE_CURRENT_BINARY_DIR}/sluice.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/sluice.pc DESTINATION ${pkgconfig_dir})
