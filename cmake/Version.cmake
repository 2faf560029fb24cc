# FERRY_VERSION: what git says of this checkout when the build is configured; the file VERSION where there is no git, or
# no tag. "0.1.0" (at the tag v0.1.0, or a folder without git), "0.1.0+12.g1a2b3c4" (12 commits later), "0.1.0+g1a2b3c4"
# (no tag).
set(FERRY_VERSION ${FERRY_BASE_VERSION})
find_program(GIT git)
# Not the version of a repository around a folder that was unpacked in one.
if(GIT AND EXISTS ${CMAKE_SOURCE_DIR}/.git)
  execute_process(COMMAND ${GIT} -C ${CMAKE_SOURCE_DIR} describe --tags --always --long --abbrev=7 --match "v[0-9]*"
                  OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
  if(NOT failed AND described MATCHES "^v([0-9A-Za-z.~]+)-([0-9]+)-(g[0-9a-f]+)$")
    set(FERRY_VERSION ${CMAKE_MATCH_1})
    if(CMAKE_MATCH_2 GREATER 0)
      string(APPEND FERRY_VERSION "+${CMAKE_MATCH_2}.${CMAKE_MATCH_3}")
    endif()
  elseif(NOT failed AND described MATCHES "^[0-9a-f]+$")
    string(APPEND FERRY_VERSION "+g${described}")
  endif()
endif()
