#pragma once
/// \file
/// Reading files whole without holding them: what they hold, and copies of them that are checked.

#include "os/fd.h"
#include "store/store.h"

namespace ferry::store {

/// What a file holds. Fails cancelled when `moved` says so (it is told of bytes read).
Result<Content> content_of(const os::Path& path, const Moved& moved = {});

/// Copies the rest of `from` to `to`; answers what went over. Flushes nothing.
Result<Content> copy(int from, int to, const Moved& moved = {});

/// Bytes as content.
Content content_of_bytes(std::string_view bytes);

/// The 32 bytes that a SHA-256 in hexadecimal (keys.h: is_sha256) stands for.
std::string raw_sha256(std::string_view hex);

/// Fails corrupt unless `found` is `expected`; `what` names the thing ("model.pt"), `advice` the way on.
Status check_content(const Content& found, const Content& expected, const std::string& what, const std::string& advice);

/// The error of who was told to stop.
tl::unexpected<Error> stopped(const std::string& doing);

/// Where a file at `path` is made before it is whole: beside it, hidden, always the same for the same path.
os::Path part_of(const os::Path& path);

/// Flushes the file, then puts it at `path` and flushes the folder: after this it survives a power cut. With Flush::no
/// it is only put there.
Status into_place(int fd, const os::Path& temp, const os::Path& path, Flush flush = Flush::yes);
/// fsync of a folder. Does nothing about file systems that cannot.
Status flush_folder(const os::Path& folder);

}  // namespace ferry::store
