#pragma once
/// \file
/// Signed calls to S3: what all connections to one place share (Session), and one connection of it (Line).
///
/// What is retried, with growing pauses of random length, until `attempts` are used up or `patience` is over:
/// connections that broke, silence, short bodies, 500, 502, 503, 504, SlowDown, RequestTimeout, and conflicts
/// of writes that S3 asks to repeat. Once each: BadDigest (the bytes are read again), another region's bucket
/// (signed for that from then on), a wrong clock, expired credentials. AccessDenied and InvalidAccessKeyId
/// while a role may still be unknown to S3 (`newcomer`).
///
/// The body: over TLS unsigned, over plain HTTP by its SHA-256; either way with x-amz-checksum-sha256, which
/// S3 holds the bytes against. SHA-256, because it is computed anyway: it is what a manifest promises, and
/// what a signature over plain HTTP needs. A CRC would be a weaker promise.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "aws/provider.h"
#include "base/error.h"
#include "os/clock.h"
#include "os/transport.h"
#include "s3/place.h"

namespace ferry::s3 {

struct Limits {
  int attempts = 8;          ///< of each request
  Millis patience{300'000};  ///< from a request's first attempt to the beginning of its last
  Millis newcomer{0};        ///< since the session began: how long a refusal may mean that S3 does not know us yet
  Millis silence{30'000};    ///< without a byte; then the connection counts as broken
  Millis longest_pause{20'000};
  /// Of a transfer in pieces, at least 5 MiB; grows where 10,000 are too few. Measured: 1 GiB to a server
  /// that takes 90 MB/s a connection and 60 ms a request went in 28, 24, 21, 18, 17 s in parts of 5, 8, 16,
  /// 32, 64 MiB over one connection; over 4 and 8 in 8.4 and 4.6 s in parts of 16 MiB. Larger ones win little
  /// and lose more when they break.
  std::uint64_t part = std::uint64_t{16} << 20;
  /// At once, of one transfer. Each takes about 0.2 MiB: a static program that sends 1 GiB over TLS needs 9
  /// MiB in all.
  int connections = 8;
  /// Where uploads under way are noted, so that another process goes on with them; "": who fails removes the
  /// pieces.
  os::Path state_folder = {};
};

/// Safe from any thread. Clock and provider must be.
class Session {
 public:
  using MakeTransport = std::function<std::unique_ptr<os::Transport>()>;
  /// Without `credentials` calls are anonymous: unsigned, as public buckets take them.
  /// `random` gives numbers in [0, 1); the default is unpredictable.
  Session(Place place, std::shared_ptr<aws::Provider> credentials, os::Clock& clock, Limits limits = {},
          MakeTransport make_transport = os::make_transport, std::function<double()> random = {});

  /// With the region as it is known by now.
  Place place() const;
  void set_region(const std::string& region);
  std::int64_t skew_ms() const;
  void set_skew_ms(std::int64_t skew);
  double random();

  const Limits& limits() const { return limits_; }
  bool is_anonymous() const { return !credentials_; }
  aws::Provider& credentials() { return *credentials_; }  ///< unless it is anonymous
  os::Clock& clock() { return clock_; }
  std::int64_t began_ms() const { return began_ms_; }
  std::unique_ptr<os::Transport> make_transport() const { return make_transport_(); }

 private:
  mutable std::mutex mutex_;
  Place place_;
  std::int64_t skew_ms_ = 0;
  std::function<double()> random_;
  std::shared_ptr<aws::Provider> credentials_;
  os::Clock& clock_;
  Limits limits_;
  MakeTransport make_transport_;
  std::int64_t began_ms_;
};

struct Call {
  std::string action;  ///< as in a policy: "PutObject"
  std::string doing;   ///< for errors: "store runs/x/lease"
  std::string method = "GET";
  std::string key;    ///< whole, with the place's prefix; "": the bucket
  std::string query;  ///< encoded; "uploads=" for a name without a value
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  os::Streams streams = {};
  std::string sha256 = {};  ///< of the file's bytes in `streams`, hexadecimal; the body's is computed
  Millis silence{0};        ///< longer than Limits::silence where the answer takes its time
  int attempts = 0;         ///< fewer than Limits::attempts, for what is better left undone than waited for; 0: as many
  /// Before each attempt: a download begins again where it began.
  std::function<Status()> begin = {};
  /// Which answers of status 200 hold an error all the same: the code, or "".
  std::function<std::string(const os::HttpResponse&)> late_error = {};
};

/// What a caller of conditional changes must know: whether an earlier attempt may have worked.
struct History {
  bool uncertain = false;
};

/// One connection. Use from one thread.
class Line {
 public:
  explicit Line(std::shared_ptr<Session> session)
      : session_(std::move(session)), transport_(session_->make_transport()) {}
  /// An answer of 200 to 299, or an error (errors.h: its `code` is S3's).
  Result<os::HttpResponse> call(const Call& call, History* history = nullptr);
  Session& session() { return *session_; }
  const std::shared_ptr<Session>& shared() const { return session_; }

 private:
  struct Once;
  os::HttpRequest signed_request(const Call& call, const aws::Credentials& credentials) const;
  bool pause(int attempt, std::int64_t began_ms, const Call& call);
  bool is_once_more(const os::HttpResponse& answer, const std::string& code, const aws::Credentials& used, Once& once);

  std::shared_ptr<Session> session_;
  std::unique_ptr<os::Transport> transport_;
  bool stopped_ = false;  ///< the caller said so while this waited
};

/// The 32 bytes that a SHA-256 in hexadecimal stands for, in base64, as S3's headers have them.
std::string base64_of_hex(std::string_view hex);

}  // namespace ferry::s3
