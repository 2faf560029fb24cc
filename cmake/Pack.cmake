# cmake -DFROM=FILE -DTO=FILE.zst -P Pack.cmake: FILE as one zstd frame; the same bytes for the same file.
file(ARCHIVE_CREATE OUTPUT ${TO} PATHS ${FROM} FORMAT raw COMPRESSION Zstd COMPRESSION_LEVEL 9)
