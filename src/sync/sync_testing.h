#pragma once
/// \file
/// For this room's tests: trees to move, both ends at once, and a look at what stands on disk.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <thread>

#include "base/hash.h"
#include "base/text.h"
#include "os/env.h"
#include "sync/channel.h"
#include "sync/root.h"
#include "sync/send.h"
#include "sync/sync.h"

namespace ferry::sync {

#define ASSERT_OK(expr)                                        \
  do {                                                         \
    const auto& done_ = (expr);                                \
    ASSERT_TRUE(done_.has_value()) << describe(done_.error()); \
  } while (false)

inline void write(const os::Path& path, std::string_view content, mode_t mode = 0644) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
  ::chmod(path.c_str(), mode);
}

/// Bytes that nothing compresses, of others for each seed.
inline std::string noise(std::size_t size, std::uint64_t seed) {
  std::string made;
  std::uint64_t state = seed + 88172645463325252ULL;
  while (made.size() < size) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    for (int i = 0; i < 8; ++i) made += static_cast<char>(state >> (8 * i));
  }
  return made.substr(0, size);
}

inline std::string read(const os::Path& path) { return os::read_file(path).value_or("(unreadable)"); }

inline void set_time(const os::Path& path, std::int64_t seconds, long nanoseconds = 0) {
  const timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  ::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW);
}

/// Path → one line with everything that must survive the journey.
inline std::map<std::string, std::string> picture(const os::Path& root, bool times = true) {
  std::map<std::string, std::string> seen;
  auto tree = scan(root, {});
  EXPECT_TRUE(tree.has_value());
  if (!tree) return seen;
  EXPECT_TRUE(hash_tree(root, *tree, {}).has_value());
  for (const Entry& entry : tree->entries) {
    seen[entry.path] = std::to_string(static_cast<int>(entry.type)) + " " +
                       std::to_string(entry.type == Type::link ? 0 : entry.mode) + " " + std::to_string(entry.size) +
                       " " + (times ? std::to_string(entry.mtime_ns) : "") + " " + hex(entry.sha256) + " " +
                       entry.target.str();
  }
  return seen;
}

struct Both {
  Result<Report> sent = fail(Kind::bug, "not run");
  Result<Report> received = fail(Kind::bug, "not run");
};

/// Sends `from` and receives into `to`, in two threads over a socket pair.
inline Both move_listed(Tree tree, const os::Path& from, const os::Path& to, const ReceiveOptions& receiving = {},
                        const Options& sending = {}, const std::function<void(Sender&)>& prepare = {}) {
  Both both;
  auto pair = os::make_socketpair();
  std::thread receiver([&] {
    const os::Fd end = std::move(pair->write);
    both.received = receive_tree(end.get(), end.get(), to, receiving);
  });
  {
    const os::Fd end = std::move(pair->read);
    Sender sender(end.get(), end.get(), from, std::move(tree), sending);
    if (prepare) prepare(sender);
    both.sent = sender.run();
  }
  receiver.join();
  return both;
}

inline Both move_tree(const os::Path& from, const os::Path& to, const ReceiveOptions& receiving = {},
                      const Selection& what = {}, const Options& sending = {},
                      const std::function<void(Sender&)>& prepare = {}) {
  Both both;
  auto tree = scan(from, what);
  if (!tree) {
    both.sent = fail("", tree.error());
    return both;
  }
  const auto hashed = hash_tree(from, *tree, {});
  if (!hashed) {
    both.sent = fail("", hashed.error());
    return both;
  }
  return move_listed(*std::move(tree), from, to, receiving, sending, prepare);
}

/// A sender written by hand, to say what ours never would. `speak` runs after the greeting.
inline Result<Report> receive_from(const os::Path& to, const std::function<void(Channel&)>& speak,
                                   const ReceiveOptions& receiving = {}) {
  auto pair = os::make_socketpair();
  std::thread hostile([&] {
    const os::Fd end = std::move(pair->read);
    Channel channel(end.get(), end.get(), nullptr);
    if (channel.greet()) speak(channel);
    (void)channel.flush();
    ::shutdown(end.get(), SHUT_WR);
    while (channel.byte()) {
    }
  });
  Result<Report> received = fail(Kind::bug, "not run");
  {
    const os::Fd end = std::move(pair->write);
    received = receive_tree(end.get(), end.get(), to, receiving);
  }
  hostile.join();
  return received;
}

inline std::vector<std::string> listing(const os::Path& folder) {
  return os::list_dir(folder).value_or(std::vector<std::string>{"(unreadable)"});
}

}  // namespace ferry::sync
