# What `cmake --install` puts where (GNUInstallDirs), and the packages that cpack makes of it (-G DEB, -G TGZ).
include(GNUInstallDirs)
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

install(TARGETS ferry RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES LICENSE README.md ${CMAKE_BINARY_DIR}/copyright AGENTS.md llms.txt DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR})

# What is linked into the agent, into the static ferry, or compiled in from headers, is given on with its own licences,
# as Debian's packages and scripts/static-libraries have them.
file(READ LICENSE copyright)
string(PREPEND copyright
       "ferry is under the Apache License 2.0; what it has inside from others, under the licences behind it.\n\n")
string(REGEX MATCH "^[0-9]+" major "${CMAKE_CXX_COMPILER_VERSION}")
file(GLOB licences /usr/share/doc/gcc-${major}-base/copyright ${CMAKE_BINARY_DIR}/libraries/COPYING)
foreach(package libboost-dev libc6-dev libcli11-dev libexpected-dev libfmt-dev libpugixml-dev libsqlite3-dev libssl-dev
        libyaml-cpp-dev libzstd-dev nlohmann-json3-dev)
  file(GLOB found /usr/share/doc/${package}/copyright)
  list(APPEND licences ${found})
endforeach()
foreach(licence ${licences})
  file(READ ${licence} text)
  string(APPEND copyright "\n======== ${licence}\n\n${text}")
endforeach()
string(REPLACE ${CMAKE_BINARY_DIR}/libraries/COPYING "libcurl" copyright "${copyright}")
file(WRITE ${CMAKE_BINARY_DIR}/copyright "${copyright}")
if(NOT FERRY_SANITIZE AND NOT FERRY_FUZZ AND NOT CMAKE_CROSSCOMPILING)
  # Made by the program from its own options whenever it is linked, so that whatever was built can be installed.
  set(generated ${CMAKE_BINARY_DIR}/generated)
  file(MAKE_DIRECTORY ${generated})
  set(each "for what in man bash zsh fish; do \"$1\" generate $what >\"$2/$what\" || exit 1; done")
  add_custom_command(TARGET ferry POST_BUILD VERBATIM
                     COMMAND sh -c "${each}" sh $<TARGET_FILE:ferry> ${generated})
  install(FILES ${generated}/man DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 RENAME ferry.1)
  install(FILES ${generated}/bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ferry)
  install(FILES ${generated}/zsh DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions RENAME _ferry)
  install(FILES ${generated}/fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d RENAME ferry.fish)
endif()

set(CPACK_PACKAGE_NAME ferry)
set(CPACK_PACKAGE_VENDOR ferry)
set(CPACK_PACKAGE_CONTACT "ferry maintainers <maintainers@ferry.invalid>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "train any ML model on AWS with one command")
set(CPACK_PACKAGE_VERSION ${FERRY_VERSION})
string(TOLOWER ${CMAKE_SYSTEM_NAME}-${CMAKE_SYSTEM_PROCESSOR} CPACK_SYSTEM_NAME)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_DEPENDS openssh-client)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates, python3")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS openssh-server)  # a rehearsal machine's sshd
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
