#pragma once
/// \file
/// For this room's tests of S3: a body from memory, a client that signs, and a whole S3 without sockets.

#include <pugixml.hpp>

#include "base/hash.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/file.h"
#include "rehearsal/s3_service.h"

namespace ferry::rehearsal {

/// A body in memory, given out in small pieces, as long as it says or not.
class MemoryBody final : public os::BodyReader {
 public:
  explicit MemoryBody(std::string bytes, std::optional<std::uint64_t> length = std::nullopt, std::size_t piece = 4096)
      : bytes_(std::move(bytes)), length_(length), piece_(piece) {}
  std::optional<std::uint64_t> length() const override { return length_; }
  Result<std::size_t> read(std::span<char> into) override {
    const auto count = std::min({into.size(), piece_, bytes_.size() - at_});
    std::copy_n(bytes_.data() + at_, count, into.data());
    at_ += count;
    if (before_end && count == 0) std::exchange(before_end, {})();
    return count;
  }
  std::size_t taken() const { return at_; }
  /// Called once, when all is read and before the end is told: what happens while an upload is under way.
  std::function<void()> before_end;

 private:
  std::string bytes_;
  std::optional<std::uint64_t> length_;
  std::size_t piece_, at_ = 0;
};

/// What came back.
struct S3Answer {
  int status = 0;
  bool dropped = false;
  os::HeaderLines headers;
  std::string body;            ///< from a file, too
  std::uint64_t promised = 0;  ///< how long the file was said to be
  std::string header(std::string_view name) const {
    for (const auto& [key, value] : headers)
      if (lower(key) == lower(name)) return value;
    return {};
  }
  std::vector<std::string> all(const std::string& path) const {
    pugi::xml_document xml;
    xml.load_string(body.c_str());
    std::vector<std::string> out;
    for (const auto& found : xml.select_nodes(path.c_str())) out.emplace_back(found.node().text().get());
    return out;
  }
  /// Text at an XPath; "" if there is none.
  std::string at(const std::string& path) const {
    const auto found = all(path);
    return found.empty() ? std::string() : found.front();
  }
  std::string code() const { return at("/Error/Code"); }
};

struct S3Ask {
  std::string method = "GET", target = "/";
  os::HeaderLines headers = {};
  std::string body = {};
  std::string region = "us-east-1";
  std::string payload = {};  ///< x-amz-content-sha256; "": the body's
};

/// Signs as AWS describes it.
inline os::ServedRequest signed_s3(const S3Ask& ask, const std::string& key_id, const S3Key& key, std::int64_t now_ms) {
  os::ServedRequest out;
  out.method = ask.method;
  out.target = ask.target;
  out.peer = "127.0.0.1";
  out.headers = ask.headers;
  auto time = os::iso_time(now_ms);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  const auto payload = ask.payload.empty() ? hex(sha256(ask.body)) : ask.payload;
  const auto has = [&](std::string_view name) {
    return std::any_of(out.headers.begin(), out.headers.end(), [&](const auto& line) { return line.first == name; });
  };
  if (!has("host")) out.headers.emplace_back("host", "127.0.0.1:4566");
  out.headers.emplace_back("x-amz-date", time);
  out.headers.emplace_back("x-amz-content-sha256", payload);
  if (!key.token.empty()) out.headers.emplace_back("x-amz-security-token", key.token);
  const bool sends_length = ask.method == "PUT" || ask.method == "POST";
  SignatureClaim claim;
  claim.key_id = key_id;
  claim.day = time.substr(0, 8);
  claim.region = ask.region;
  claim.service = "s3";
  claim.time = time;
  std::set<std::string> names;
  for (const auto& [name, value] : out.headers) names.insert(name);
  claim.signed_headers.assign(names.begin(), names.end());
  const auto request = read_s3_request(out);
  const auto canonical = request ? s3_canonical_request(*request, claim, payload) : "";
  const auto signature = hex(hmac_sha256(s3_signing_key(key.secret, claim), string_to_sign(claim, canonical)));
  if (sends_length) out.headers.emplace_back("content-length", std::to_string(ask.body.size()));
  out.headers.emplace_back(
      "authorization",
      fmt::format("AWS4-HMAC-SHA256 Credential={}/{}/{}/s3/aws4_request, SignedHeaders={}, Signature={}", key_id,
                  claim.day, claim.region, join(claim.signed_headers, ";"), signature));
  return out;
}

/// A whole S3 in a folder of its own, with a clock that is turned by hand.
class TestS3 {
 public:
  os::TempDir dir{"s3"};
  os::FakeClock clock;
  std::string key_id = "AKIATEST";
  S3Key key{"secret", "arn:aws:iam::123456789012:user/rehearsal", "", 0, {}};
  std::map<std::string, S3Key> sessions;
  Faults faults;
  std::unique_ptr<S3Service> service;

  TestS3() { restart(); }
  /// As after a kill -9: what is on the disk is all that is left.
  void restart() {
    service.reset();
    S3World world;
    world.find_key = [this](const std::string& id) -> std::optional<S3Key> {
      if (id == key_id) return key;
      const auto found = sessions.find(id);
      return found == sessions.end() ? std::nullopt : std::optional(found->second);
    };
    world.now_ms = [this] { return clock.now_ms(); };
    world.trouble = [this](const Asked& asked, bool conditional) { return faults.s3_trouble(asked, conditional); };
    world.sleep = [this](Millis time) { clock.sleep(time); };
    service = std::make_unique<S3Service>(S3Store::open(dir.path() / "s3").value(), std::move(world));
  }

  S3Answer send(const os::ServedRequest& request, os::BodyReader& body) {
    auto reply = service->handle(request, body);
    S3Answer answer{reply.status, reply.drop, std::move(reply.headers), std::move(reply.body), reply.file_bytes};
    if (reply.file) {
      const auto all = os::read_to_end(reply.file.get()).value();
      answer.body = all.substr(static_cast<std::size_t>(reply.file_offset), static_cast<std::size_t>(reply.file_bytes));
    }
    return answer;
  }
  S3Answer send(const os::ServedRequest& request, const std::string& body) {
    MemoryBody reader(body, body.size());
    return send(request, reader);
  }
  S3Answer ask(const S3Ask& ask) { return send(signed_s3(ask, key_id, key, clock.now), ask.body); }
  S3Answer ask_as(const std::string& session, const S3Ask& ask) {
    return send(signed_s3(ask, session, sessions.at(session), clock.now), ask.body);
  }

  S3Answer put(const std::string& target, const std::string& body, os::HeaderLines headers = {}) {
    return ask({"PUT", target, std::move(headers), body});
  }
  S3Answer get(const std::string& target, os::HeaderLines headers = {}) {
    return ask({"GET", target, std::move(headers)});
  }
  S3Answer remove(const std::string& target, os::HeaderLines headers = {}) {
    return ask({"DELETE", target, std::move(headers)});
  }
  S3Answer post(const std::string& target, const std::string& body = "", os::HeaderLines headers = {}) {
    return ask({"POST", target, std::move(headers), body});
  }

  /// Files that hold an object's or a part's bytes.
  std::size_t data_files() const {
    std::size_t count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir.path() / "s3" / "data"))
      count += entry.is_regular_file() ? 1 : 0;
    return count;
  }
};

}  // namespace ferry::rehearsal
