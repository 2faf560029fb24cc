# How rooms, tests, fuzz targets, benchmarks and programs are built.

find_program(CCACHE ccache)
if(CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # The precompiled header is safe to cache only when ccache may trust its definitions. Paths below the checkout are
  # cached as relative ones, so that another checkout is served as well.
  set(CCACHE ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE})
  set(launcher ${CCACHE})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
endif()
find_program(MOLD mold)
if(MOLD AND NOT CMAKE_CROSSCOMPILING)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion)
# Designated initialisers leave members at their defaults on purpose.
add_compile_options(-Wno-missing-field-initializers)
add_compile_definitions(_FILE_OFFSET_BITS=64)
# base/fmt.cc compiles {fmt} once; it knows version 9 (Debian 12, Ubuntu 24.04).
find_package(fmt REQUIRED)
if(NOT fmt_VERSION VERSION_GREATER_EQUAL 9 OR NOT fmt_VERSION VERSION_LESS 10)
  add_compile_definitions(FMT_HEADER_ONLY)
endif()
# GCC 12 reports false positives in its own string and variant code at -O2.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A newer compiler's new warnings are for us to mend, not for people to stumble over.
  if(FERRY_WERROR AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    add_compile_options(-Werror)
  endif()
  add_compile_options(-Wno-restrict -Wno-maybe-uninitialized -Wno-stringop-overflow -Wno-array-bounds
                      -Wno-stringop-overread -Wno-dangling-pointer)
  # With ccache, which must see through the precompiled header.
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
endif()
include_directories(${CMAKE_SOURCE_DIR}/src)
if(FERRY_SANITIZE)
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
endif()
if(FERRY_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
endif()

# What distributions build with. Before CMAKE_CXX_FLAGS, so that a packager's own flags have the last word.
if(FERRY_HARDEN)
  include(CheckCXXCompilerFlag)
  set(hardening -fstack-protector-strong -fPIE)
  foreach(flag -fstack-clash-protection -fcf-protection -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER HAS${flag} has)
    check_cxx_compiler_flag(${flag} ${has})
    if(${has})
      list(APPEND hardening ${flag})
    endif()
  endforeach()
  if(NOT CMAKE_CXX_FLAGS MATCHES "_FORTIFY_SOURCE")
    set(fortify 2)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_GREATER_EQUAL 12)
      set(fortify 3)
    endif()
    list(APPEND hardening -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=${fortify})
  endif()
  # The same bytes from whatever folder; SOURCE_DATE_EPOCH is honoured by the compiler and by CPack.
  list(APPEND hardening -ffile-prefix-map=${CMAKE_BINARY_DIR}=. -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
  list(JOIN hardening " " hardening_flags)
  string(PREPEND CMAKE_CXX_FLAGS "${hardening_flags} ")
  add_link_options(-Wl,-z,relro,-z,now)
endif()

if(FERRY_TESTS)
  enable_testing()
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    message(FATAL_ERROR "The tests need GoogleTest: scripts/setup --tests installs it; "
                        "or build without them (-DFERRY_TESTS=OFF).")
  endif()
  add_library(test_main STATIC ${CMAKE_SOURCE_DIR}/cmake/test_main.cc)
  target_link_libraries(test_main PUBLIC GTest::gtest GTest::gmock)
  target_precompile_headers(test_main PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch_tests.h)
  if(FERRY_FUZZ)
    target_compile_options(test_main PRIVATE -O0)
  endif()
endif()

# Instantiated once for everybody (base/json.cc, base/fmt.cc), and not ours to check: without sanitizers, which make
# them ten times slower to compile.
set(OTHERS_TEMPLATES ${CMAKE_SOURCE_DIR}/src/base/json.cc ${CMAKE_SOURCE_DIR}/src/base/fmt.cc)
if(FERRY_SANITIZE OR FERRY_FUZZ)
  set_source_files_properties(${OTHERS_TEMPLATES} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all
                              SKIP_UNITY_BUILD_INCLUSION ON SKIP_PRECOMPILE_HEADERS ON)
endif()

# The version's one file: a commit recompiles nothing else.
set(VERSION_SOURCE ${CMAKE_BINARY_DIR}/version.cc)
file(CONFIGURE OUTPUT ${VERSION_SOURCE} CONTENT [[
#include "base/version.h"

namespace ferry {

std::string ferry_version() { return "@FERRY_VERSION@"; }

}  // namespace ferry
]] @ONLY)

# With sanitizers, optimizing takes most of a compilation. In the tree of the fuzz targets, whose inputs a second count,
# only what they run is optimized: not the tests, and not the rooms without such a target (but the ledger, whose tests
# compute).
if(FERRY_FUZZ)
  add_library(not_optimized STATIC EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/cmake/empty.cc)
  target_compile_options(not_optimized PRIVATE -O0)
  target_precompile_headers(not_optimized PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
endif()

# ferry_room(NAME [ROOMS rooms…] [LINK libraries…] [APART files…])
# src/NAME/*.cc become the library; *_test.cc the program NAME_test (run in the build folder); *_fuzz.cc one fuzz
# program each; *_bench.cc one benchmark each. What is APART is not in the library.
function(ferry_room name)
  cmake_parse_arguments(ROOM "" "" "ROOMS;LINK;APART" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS src/${name}/*.cc)
  file(GLOB tests CONFIGURE_DEPENDS src/${name}/*_test.cc)
  file(GLOB fuzzers CONFIGURE_DEPENDS src/${name}/*_fuzz.cc)
  file(GLOB benches CONFIGURE_DEPENDS src/${name}/*_bench.cc)
  list(TRANSFORM ROOM_APART PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/src/${name}/)
  if(tests OR fuzzers OR benches OR ROOM_APART)
    list(REMOVE_ITEM sources ${tests} ${fuzzers} ${benches} ${ROOM_APART})
  endif()
  if(name STREQUAL "base")
    list(APPEND sources ${VERSION_SOURCE})
    set_source_files_properties(${VERSION_SOURCE} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  endif()
  if(NOT sources)
    set(sources ${CMAKE_SOURCE_DIR}/cmake/empty.cc)
  endif()
  add_library(${name} STATIC ${sources})
  # Several files compiled as one: a clean build takes a third of the time. The dev preset compiles each on its own.
  set_target_properties(${name} PROPERTIES UNITY_BUILD ${FERRY_UNITY} UNITY_BUILD_BATCH_SIZE 8)
  target_link_libraries(${name} PUBLIC ${ROOM_ROOMS} ${ROOM_LINK})
  if(name STREQUAL "base")
    target_precompile_headers(base PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
  elseif(FERRY_SMALL AND name STREQUAL "sync")
    target_compile_options(${name} PRIVATE -O2)
    target_precompile_headers(${name} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)  # compiled so, too
  elseif(FERRY_FUZZ AND NOT fuzzers AND NOT name STREQUAL "ledger")
    target_compile_options(${name} PRIVATE -O0)
    target_precompile_headers(${name} REUSE_FROM not_optimized)
  else()
    target_precompile_headers(${name} REUSE_FROM base)
  endif()
  if(FERRY_TESTS AND tests)
    add_executable(${name}_test ${tests})
    target_link_libraries(${name}_test PRIVATE ${name} test_main)
    target_precompile_headers(${name}_test REUSE_FROM test_main)
    set_target_properties(${name}_test PROPERTIES UNITY_BUILD ${FERRY_UNITY} UNITY_BUILD_BATCH_SIZE 8)
    if(FERRY_FUZZ)
      target_compile_options(${name}_test PRIVATE -O0)
    endif()
    add_test(NAME ${name}_test COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set(environment AWS_EC2_METADATA_DISABLED=true)
    if(NOT FERRY_SANITIZE AND NOT FERRY_FUZZ)  # the agent as it is shipped: static, which a sanitizer cannot be
      list(APPEND environment FERRY_AGENT=${CMAKE_BINARY_DIR}/ferry-agent)
    endif()
    set_tests_properties(${name}_test PROPERTIES TIMEOUT 900 ENVIRONMENT "${environment}")
  endif()
  if(FERRY_FUZZ)
    foreach(fuzzer ${fuzzers})
      get_filename_component(program ${fuzzer} NAME_WE)
      add_executable(${program} ${fuzzer})
      target_link_libraries(${program} PRIVATE ${name} -fsanitize=fuzzer)
      target_precompile_headers(${program} REUSE_FROM base)
    endforeach()
  endif()
  if(FERRY_BENCHMARKS)
    foreach(bench ${benches})
      get_filename_component(program ${bench} NAME_WE)
      add_executable(${program} ${bench})
      target_link_libraries(${program} PRIVATE ${name} benchmark)
    endforeach()
  endif()
endfunction()

# ferry_embed(TARGET FILE [NAME]) puts FILE's bytes into TARGET as
#   extern "C" const char ferry_embed_NAME[]; extern "C" const char ferry_embed_NAME_end[];
# NAME is the file's name with every other character than letters and digits as '_'.
function(ferry_embed target file)
  get_filename_component(base ${file} NAME)
  if(ARGC GREATER 2)
    set(base ${ARGV2})
  endif()
  string(MAKE_C_IDENTIFIER ${base} symbol)
  set(assembly ${CMAKE_BINARY_DIR}/embed/${symbol}.S)
  file(CONFIGURE OUTPUT ${assembly} @ONLY CONTENT [[
.section .rodata
.global ferry_embed_@symbol@
.global ferry_embed_@symbol@_end
.balign 16
ferry_embed_@symbol@:
.incbin "@file@"
ferry_embed_@symbol@_end:
.byte 0
.section .note.GNU-stack,"",@progbits
]])
  set_source_files_properties(${assembly} PROPERTIES OBJECT_DEPENDS ${file})
  target_sources(${target} PRIVATE ${assembly})
endfunction()

# The data files as one library `data`, for the rooms that read them.
function(ferry_data)
  add_library(data STATIC ${CMAKE_SOURCE_DIR}/cmake/empty.cc)
  foreach(file ${ARGN})
    ferry_embed(data ${CMAKE_SOURCE_DIR}/${file})
  endforeach()
endfunction()

# The agent in FILE, for machines of ARCHITECTURE (as uname -m has it), goes into TARGET, packed.
function(ferry_carries target file architecture)
  set(packed ${CMAKE_BINARY_DIR}/embed/agent-${architecture}.zst)
  set(packer)
  if(FERRY_HARDEN)
    find_program(ZSTD zstd)  # packs smaller than CMake, which goes to level 9 only; takes seconds
    if(ZSTD)
      set(packer -DZSTD=${ZSTD})
    endif()
  endif()
  add_custom_command(OUTPUT ${packed}
                     COMMAND ${CMAKE_COMMAND} -DFROM=${file} -DTO=${packed} ${packer}
                             -P ${CMAKE_SOURCE_DIR}/cmake/Pack.cmake
                     DEPENDS ${file} ${CMAKE_SOURCE_DIR}/cmake/Pack.cmake VERBATIM)
  ferry_embed(${target} ${packed} ferry_agent_${architecture})
  string(TOUPPER ${architecture} name)
  target_compile_definitions(${target} PRIVATE FERRY_HAS_${name}_AGENT)
endfunction()

# ferry-agent for aarch64 machines, where this computer has the cross compiler and the static libraries for it:
#   dpkg --add-architecture arm64; apt-get install g++-aarch64-linux-gnu lib{ssl,zstd,pugixml}-dev:arm64
function(ferry_agent_aarch64 target)
  find_program(CROSS_CXX aarch64-linux-gnu-g++)
  find_library(CROSS_CRYPTO libcrypto.a PATHS /usr/lib/aarch64-linux-gnu NO_DEFAULT_PATH)
  find_library(CROSS_SSL libssl.a PATHS /usr/lib/aarch64-linux-gnu NO_DEFAULT_PATH)
  find_library(CROSS_ZSTD libzstd.a PATHS /usr/lib/aarch64-linux-gnu NO_DEFAULT_PATH)
  find_library(CROSS_PUGIXML libpugixml.a PATHS /usr/lib/aarch64-linux-gnu NO_DEFAULT_PATH)
  if(NOT CROSS_CXX OR NOT CROSS_CRYPTO OR NOT CROSS_SSL OR NOT CROSS_ZSTD OR NOT CROSS_PUGIXML)
    return()
  endif()
  set(folder ${CMAKE_BINARY_DIR}/aarch64)
  # Without optimization: what is hot is in zstd, OpenSSL and the kernel, and it halves the time.
  set(optimized -O0)
  if(FERRY_HARDEN)
    set(optimized -O2 -DNDEBUG -fstack-protector-strong -ffile-prefix-map=${CMAKE_BINARY_DIR}=.
        -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
  endif()
  set(compile ${CCACHE} ${CROSS_CXX} -std=c++20 ${optimized} -DFERRY_LITTLE_JSON -ffunction-sections
      -I${CMAKE_SOURCE_DIR}/src -D_FILE_OFFSET_BITS=64)
  set(header ${CMAKE_SOURCE_DIR}/cmake/pch.h)
  add_custom_command(OUTPUT ${folder}/pch.h.gch
                     COMMAND ${compile} -x c++-header -MD -MF ${folder}/pch.d ${header} -o ${folder}/pch.h.gch
                     DEPENDS ${header} DEPFILE ${folder}/pch.d VERBATIM)
  # Made beside the other precompiled header, while every other compilation waits for that.
  add_custom_target(aarch64-pch DEPENDS ${folder}/pch.h.gch)
  add_dependencies(base aarch64-pch)
  # The files of a room are compiled together, as in the quick preset; those that speak HTTP, apart.
  set(objects)
  foreach(room base os transport store aws s3 sync agent)
    file(GLOB sources CONFIGURE_DEPENDS src/${room}/*.cc)
    # libcurl and the server are not for machines; the rest are tests.
    list(FILTER sources EXCLUDE REGEX "_(test|fuzz|bench)\\.cc$|/(http(_[a-z]+)?|machine_http|transport)\\.cc$")
    if(room STREQUAL "transport")
      set(sources ${CMAKE_SOURCE_DIR}/src/os/transport.cc ${CMAKE_SOURCE_DIR}/src/os/machine_http.cc)
    endif()
    if(room STREQUAL "agent")
      list(APPEND sources ${CMAKE_SOURCE_DIR}/apps/ferry-agent.cc ${CMAKE_SOURCE_DIR}/apps/static_names.cc)
    endif()
    list(TRANSFORM sources REPLACE "(.+)" "#include \"\\1\"" OUTPUT_VARIABLE includes)
    list(JOIN includes "\n" includes)
    file(CONFIGURE OUTPUT ${folder}/${room}.cc CONTENT "${includes}\n" @ONLY)
    set(object ${folder}/${room}.o)
    add_custom_command(OUTPUT ${object}
                       COMMAND ${compile} -include ${folder}/pch.h -MD -MF ${object}.d
                               -c ${folder}/${room}.cc -o ${object}
                       DEPENDS ${folder}/${room}.cc ${folder}/pch.h.gch DEPFILE ${object}.d VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  add_custom_command(OUTPUT ${folder}/version.o
                     COMMAND ${compile} -c ${VERSION_SOURCE} -o ${folder}/version.o
                     DEPENDS ${VERSION_SOURCE} ${CMAKE_SOURCE_DIR}/src/base/version.h VERBATIM)
  list(APPEND objects ${folder}/version.o)
  set(program ${CMAKE_BINARY_DIR}/ferry-agent-aarch64)
  add_custom_command(OUTPUT ${program}
                     COMMAND ${CROSS_CXX} -static -s -Wl,--gc-sections -o ${program} ${objects}
                             ${CROSS_PUGIXML} ${CROSS_ZSTD} ${CROSS_SSL} ${CROSS_CRYPTO}
                     DEPENDS ${objects} VERBATIM)
  ferry_carries(${target} ${program} aarch64)
endfunction()

# The two programs. ferry carries the agents for both architectures: this one's, and the other's, which
# FERRY_OTHER_AGENT names or the cross compiler makes. With FERRY_STATIC there is a third, ferry-static: ferry in one
# file that needs no library.
function(ferry_apps)
  add_executable(ferry-agent apps/ferry-agent.cc)
  target_link_libraries(ferry-agent PRIVATE agent)
  # S3 without libcurl.
  set_target_properties(ferry-agent PROPERTIES FERRY_ON_MACHINE ON)
  if(NOT FERRY_SANITIZE AND NOT FERRY_FUZZ)
    # Static, so that it runs on any Linux of this architecture, whatever libraries it has.
    target_sources(ferry-agent PRIVATE apps/static_names.cc)
    target_link_options(ferry-agent PRIVATE -static -Wl,--gc-sections -s)
  endif()
  add_library(ferry_main OBJECT apps/ferry.cc)
  target_link_libraries(ferry_main PUBLIC cli)
  target_precompile_headers(ferry_main REUSE_FROM base)
  add_dependencies(ferry_main ferry-agent)
  ferry_carries(ferry_main ${CMAKE_BINARY_DIR}/ferry-agent ${CMAKE_SYSTEM_PROCESSOR})
  if(FERRY_OTHER_AGENT AND CMAKE_SYSTEM_PROCESSOR STREQUAL aarch64)
    ferry_carries(ferry_main ${FERRY_OTHER_AGENT} x86_64)
  elseif(FERRY_OTHER_AGENT)
    ferry_carries(ferry_main ${FERRY_OTHER_AGENT} aarch64)
  elseif(CMAKE_SYSTEM_PROCESSOR STREQUAL x86_64 AND NOT FERRY_SANITIZE AND NOT FERRY_FUZZ)
    ferry_agent_aarch64(ferry_main)
  endif()
  add_executable(ferry $<TARGET_OBJECTS:ferry_main>)
  target_link_libraries(ferry PRIVATE cli)
  if(FERRY_HARDEN)
    target_link_options(ferry PRIVATE -pie)
  endif()
  if(FERRY_STATIC)
    add_executable(ferry-static EXCLUDE_FROM_ALL $<TARGET_OBJECTS:ferry_main> apps/static_names.cc)
    set_target_properties(ferry-static PROPERTIES FERRY_IS_STATIC ON)
    target_link_libraries(ferry-static PRIVATE cli)
    target_link_options(ferry-static PRIVATE -static-pie -Wl,--gc-sections -s)
    if(MOLD AND NOT CMAKE_CROSSCOMPILING)
      # 3 % less: relocations in a tenth of the place. glibc knows them since 2.36.
      target_link_options(ferry-static PRIVATE -Wl,--pack-dyn-relocs=relr)
    endif()
  endif()
endfunction()
