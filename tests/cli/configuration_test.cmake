# docs/configuration.md is what `sluice settings --markdown` prints.
execute_process(COMMAND ${SLUICE} settings --markdown
  OUTPUT_VARIABLE printed RESULT_VARIABLE status)
file(READ ${PAGE} page)
if(NOT status EQUAL 0 OR NOT printed STREQUAL page)
  message(FATAL_ERROR "docs/configuration.md differs from the table of settings: "
                      "run `sluice settings --markdown > docs/configuration.md`")
endif()
