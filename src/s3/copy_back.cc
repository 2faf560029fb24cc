#include <sys/stat.h>

#include <atomic>

#include "base/text.h"
#include "s3/copy.h"
#include "s3/objects.h"
#include "store/content.h"

namespace ferry::s3 {
namespace {

struct Written {
  std::string name;  ///< below the folder; "" of a single file
  os::Path path;
  std::uint64_t bytes = 0;
};

/// A regular file that was changed, in whatever way, after `since_ms`: dates that programs set say nothing.
bool is_written(const os::Path& path, std::int64_t since_ms, std::uint64_t& bytes) {
  struct stat info;
  if (::lstat(path.c_str(), &info) < 0 || !S_ISREG(info.st_mode)) return false;
  bytes = static_cast<std::uint64_t>(info.st_size);
  const auto ms = [](const struct timespec& time) {
    return std::int64_t{time.tv_sec} * 1000 + time.tv_nsec / 1'000'000;
  };
  return ms(info.st_ctim) > since_ms;
}

Result<std::vector<Written>> written_below(const os::Path& from, std::int64_t since_ms) {
  std::vector<Written> out;
  Written one{.name = {}, .path = from};
  std::error_code failed;
  if (!os::is_directory(from)) {
    if (is_written(from, since_ms, one.bytes)) out.push_back(std::move(one));
    return out;
  }
  std::filesystem::recursive_directory_iterator at(from, failed), end;
  for (; !failed && at != end; at.increment(failed)) {
    one = {.name = at->path().lexically_relative(from).string(), .path = at->path()};
    const bool is_own = at->path().filename().string().starts_with(".ferry-part-");
    if (!is_own && is_written(one.path, since_ms, one.bytes)) out.push_back(std::move(one));
  }
  if (failed) return fail(Kind::io, "read " + from.string() + ": " + failed.message());
  return out;
}

}  // namespace

Result<Copied> copy_back(const std::shared_ptr<Session>& session, const os::Path& from, const std::string& key,
                         std::int64_t since_ms, int connections) {
  TRY_SET(files, "", written_below(from, since_ms));
  std::string base = key;
  if (!base.empty() && !base.ends_with('/')) base += '/';
  Copied copied;
  Together together({});
  std::atomic<std::size_t> next{0};
  Together::run(std::min(connections, static_cast<int>(files.size())), [&] {
    Line line(session);
    for (auto at = next.fetch_add(1); at < files.size() && !together.has_failed(); at = next.fetch_add(1)) {
      const auto& file = files[at];
      auto content = store::content_of(file.path);
      if (!content) return together.fail_with(std::move(content).error());
      const Upload what{.key = file.name.empty() ? key : base + file.name, .path = file.path, .content = *content};
      if (auto done = upload(line, what); !done) return together.fail_with(std::move(done).error());
    }
  });
  if (auto error = together.error()) return tl::unexpected(*std::move(error));
  for (const auto& file : files) {
    ++copied.files;
    copied.bytes += file.bytes;
  }
  return copied;
}

}  // namespace ferry::s3
