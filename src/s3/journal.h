#pragma once
/// \file
/// What of a transfer in pieces is done, in a file that another process reads to go on: first a line of JSON
/// that says of what, then a line for each piece. Nothing hangs on it: a line that is lost, torn or wrong
/// costs a piece again.

#include <map>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "os/file.h"

namespace ferry::s3 {

class Journal {
 public:
  /// With a path of "" it remembers nothing.
  explicit Journal(os::Path path) : path_(std::move(path)) {}
  /// What an earlier process noted of the same thing: its first line, or null.
  Json load();
  /// Begins anew.
  void begin(const Json& of_what);
  void add(int piece, const std::string& words);
  void forget();
  /// By piece; filled by load(), grows by add().
  const std::map<int, std::string>& pieces() const { return pieces_; }

 private:
  os::Path path_;
  std::map<int, std::string> pieces_;
};

}  // namespace ferry::s3
