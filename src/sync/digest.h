#pragma once
/// \file
/// Two values that keep a list of a million files small.

#include <array>
#include <compare>
#include <concepts>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>

namespace ferry::sync {

/// The SHA-256 of a content in 32 raw bytes; empty as long as it is not known. Nobody can make a content whose
/// SHA-256 is 32 zero bytes, which stand for that.
class Digest {
 public:
  Digest() = default;
  /// Empty if `raw` is not 32 bytes.
  template <class Text>
  requires std::convertible_to<const Text&, std::string_view> Digest(
      const Text& raw) {  // NOLINT(google-explicit-constructor): what base/hash.h gives
    const std::string_view bytes = raw;
    if (bytes.size() == bytes_.size()) std::memcpy(bytes_.data(), bytes.data(), bytes_.size());
  }
  bool empty() const { return bytes_ == std::array<char, 32>{}; }
  std::size_t size() const { return empty() ? 0 : bytes_.size(); }
  void clear() { bytes_ = {}; }
  /// Its bytes, or none; good as long as this lives.
  operator std::string_view() const { return {bytes_.data(), size()}; }

  template <class Text>
  requires std::convertible_to<const Text&, std::string_view>
  friend bool operator==(const Digest& a, const Text& b) {
    return std::string_view(a) == static_cast<std::string_view>(b);
  }
  friend std::strong_ordering operator<=>(const Digest& a, const Digest& b) { return a.bytes_ <=> b.bytes_; }

 private:
  std::array<char, 32> bytes_{};
};

/// A string that is nearly always empty, and is a pointer then.
class RareString {
 public:
  RareString() = default;
  template <class Text>
  requires std::convertible_to<const Text&, std::string_view> RareString(
      const Text& text) {  // NOLINT(google-explicit-constructor): takes the place of a string
    if (const std::string_view bytes = text; !bytes.empty()) text_ = std::make_unique<std::string>(bytes);
  }
  RareString(const RareString& from) : RareString(from.str()) {}
  RareString& operator=(const RareString& from) { return *this = RareString(from); }
  RareString(RareString&&) noexcept = default;
  RareString& operator=(RareString&&) noexcept = default;
  ~RareString() = default;

  const std::string& str() const {
    static const std::string none;
    return text_ ? *text_ : none;
  }
  operator std::string_view() const { return str(); }
  bool empty() const { return !text_; }
  std::size_t size() const { return str().size(); }

  template <class Text>
  requires std::convertible_to<const Text&, std::string_view>
  friend bool operator==(const RareString& a, const Text& b) {
    return std::string_view(a) == static_cast<std::string_view>(b);
  }

 private:
  std::unique_ptr<std::string> text_;
};

}  // namespace ferry::sync
