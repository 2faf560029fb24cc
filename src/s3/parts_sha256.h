#pragma once
/// \file
/// The SHA-256 of a file and, in the same pass, those of its parts: what a manifest promises, and what S3 holds each
/// part against.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/hash.h"

namespace ferry::s3 {

/// Hashes bytes as they come, twice. Where the processor has instructions for SHA-256 (x86-64) the second hash is free:
/// they wait for each other's results most of the time, and what is done to the bytes before is the same for both.
/// Not copyable; use from one thread.
class PartsSha256 {
 public:
  PartsSha256();
  /// `quick`: with those instructions. For tests: the other way must come to the same.
  explicit PartsSha256(bool quick);
  ~PartsSha256();
  PartsSha256(const PartsSha256&) = delete;
  PartsSha256& operator=(const PartsSha256&) = delete;

  void add(std::string_view bytes);
  /// The 32 raw bytes of what came since the last part's end; the next part begins. All parts but the last must have
  /// a multiple of 64 bytes.
  std::string end_part();
  /// The 32 raw bytes of all. Call once, last.
  std::string finish();

  static bool is_quick_here();

 private:
  struct Quick;
  struct Plain;
  std::unique_ptr<Quick> quick_;
  std::unique_ptr<Plain> plain_;
};

}  // namespace ferry::s3
