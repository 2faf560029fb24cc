#pragma once
/// \file
/// The sending end. After the greetings:
///
///   sender                                             receiver
///   'M' manifest                                 ──▶
///                                                ◀──   'W' count, then each index wanted as the distance
///                                                from the last
///   for each wanted, in order:                   ──▶
///     'F' index size mode mtime, pieces (number, bytes), 0, then one of
///         'k' SHA-256    whole, keep it
///         'a'            it changed meanwhile: forget this, the same index comes again
///         'v'            it could not be read to its end: leave it out
///     'V' index          it cannot be read (any more): leave it out
///   'L' lines                                    ──▶   (where there are any) what does not come
///   'Z' notes                                    ──▶
///                                                ◀──   'D' notes: everything is in place and durable
///
/// 'E' and an error may stand where any of these letters may, and ends the conversation. 'B' may come before
/// any letter: still at work.

#include "sync/channel.h"
#include "sync/content.h"
#include "sync/sync.h"

namespace ferry::sync {

class Sender {
 public:
  Sender(int in, int out, os::Path root, Tree tree, const Options& options);
  Result<Report> run();

  /// Called after each piece of a file was read, before it is known whether the file changed. For tests.
  std::function<void(std::string_view path)> while_reading;

 private:
  enum class Fate { kept, again, gone };
  Result<Report> converse();
  Status expect(char wanted);
  Result<std::vector<std::size_t>> read_wants();
  Status send_file(std::size_t index);
  Result<Fate> send_once(std::size_t index, int attempt);
  Status put_pieces(const Entry& entry, int fd, const Standing& marks, Result<Hashed>& read);
  Result<Fate> leave_out(std::size_t index, std::string_view letter, const Error& reason);
  void show(bool always);
  Report report();

  os::Path root_path_;
  std::optional<Root> root_;
  Tree tree_;
  const Options& options_;
  Channel channel_;
  bool peer_failed_ = false;
  std::string buffer_;
  Progress progress_;
  std::chrono::steady_clock::time_point shown_{};
  std::vector<std::string> notes_;
  std::vector<std::string> left_out_, receivers_notes_;
};

}  // namespace ferry::sync
