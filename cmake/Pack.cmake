# cmake -DFROM=FILE -DTO=FILE.zst [-DZSTD=PROGRAM] -P Pack.cmake: FILE as one zstd frame; the same bytes for the same
# file.
if(ZSTD)
  execute_process(COMMAND ${ZSTD} -q -f -19 -o ${TO} ${FROM} COMMAND_ERROR_IS_FATAL ANY)
else()
  file(ARCHIVE_CREATE OUTPUT ${TO} PATHS ${FROM} FORMAT raw COMPRESSION Zstd COMPRESSION_LEVEL 9)
endif()
