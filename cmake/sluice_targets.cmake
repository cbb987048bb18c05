# One target per folder of src/: what a folder may include is what its target links.

# sluice_folder(<name> SOURCES ... [LINKS ...]): the library of one folder.
function(sluice_folder name)
  cmake_parse_arguments(arg "" "" "SOURCES;LINKS" ${ARGN})
  add_library(sluice_${name} STATIC ${arg_SOURCES})
  target_include_directories(sluice_${name} PUBLIC ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(sluice_${name} PUBLIC ${arg_LINKS})
  target_compile_options(sluice_${name} PRIVATE ${fuzzed_flags})
endfunction()

# sluice_test(<name> LABEL unit|contract|e2e|sim|fuzz-smoke SOURCES ... LINKS ...
#             [TIMEOUT seconds] [THREADS]):
# a GoogleTest program, one ctest entry. Does nothing when tests are off. THREADS, which contract and
# e2e imply: it has more than one thread, so that it is worth building under the thread sanitizer
# (target sluice_threads, label threads).
function(sluice_test name)
  if(NOT SLUICE_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "THREADS" "LABEL;TIMEOUT" "SOURCES;LINKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)  # `eventually` of the tests ends before that, so that it can say what hangs.
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LINKS} sluice_test_bytes GTest::gmock GTest::gtest_main)
  # Optimising a test takes longer than what it saves; what is tested has its own options.
  target_compile_options(${name} PRIVATE -O0)
  target_precompile_headers(${name} REUSE_FROM sluice_test_headers)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME ${name} COMMAND ${name})
  if(arg_THREADS OR arg_LABEL MATCHES "contract|e2e")
    set(arg_LABEL "${arg_LABEL};threads")
    add_dependencies(sluice_threads ${name})
  endif()
  set_tests_properties(${name} PROPERTIES LABELS "${arg_LABEL}")
  sluice_limit(${arg_TIMEOUT} ${name})
endfunction()

# sluice_limit(<seconds> <test> ...): how long they may take. Those that may take longest start
# first, so that no core is idle while the last one runs.
function(sluice_limit seconds)
  set_tests_properties(${ARGN} PROPERTIES TIMEOUT ${seconds} COST ${seconds})
endfunction()
