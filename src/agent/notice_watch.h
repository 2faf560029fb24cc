#pragma once
/// \file
/// Asks the machine's metadata service (IMDSv2) whether the cloud takes the machine back: spot/instance-action and
/// events/recommendations/rebalance.
///
/// It asks for the one every second and for the other every fifth time, over a connection that is kept open: 0.4 ms of
/// one core a second where the service closes it each time. A service that does not answer is asked more and more
/// seldom, up to once a minute; one that answered before, every five seconds.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent/notice.h"
#include "base/units.h"
#include "os/fd.h"
#include "os/http.h"

namespace ferry::agent {

/// Speaks with the service. One thread.
class NoticeReader {
 public:
  /// `endpoint`: "http://169.254.169.254".
  NoticeReader(std::unique_ptr<os::HttpClient> http, std::string endpoint);
  /// The interruption, if there is one, else the rebalance recommendation. Times are moved from the service's clock
  /// to this machine's. Fails lost or timeout when nobody answers, corrupt for an answer that is none, denied when no
  /// token can be had.
  Result<std::optional<Notice>> read();

 private:
  Result<os::HttpResponse> ask(const std::string& method, const std::string& path, os::HttpRequest request);
  Result<std::optional<os::HttpResponse>> get(const std::string& path);
  Status renew_token();
  std::unique_ptr<os::HttpClient> http_;
  std::string endpoint_, token_;
  std::int64_t token_until_ = 0;  // steady_ms
  std::uint64_t reads_ = 0;
  std::optional<Notice> rebalance_;
};

/// How long to wait before the service is asked again, after so many failures in a row; 0: the last one succeeded.
Millis until_next_look(int failures, bool answered_before);

/// A thread that reads. Everything else from one other thread.
class NoticeWatch {
 public:
  /// Of this machine: AWS_EC2_METADATA_SERVICE_ENDPOINT is heeded. Nothing where AWS_EC2_METADATA_DISABLED is set, or
  /// no thread can be had.
  static std::unique_ptr<NoticeWatch> of_this_machine();
  explicit NoticeWatch(std::unique_ptr<NoticeReader> reader, os::Pipe pipe);
  /// Waits for an answer under way: a second or two.
  ~NoticeWatch();
  NoticeWatch(const NoticeWatch&) = delete;
  NoticeWatch& operator=(const NoticeWatch&) = delete;

  /// Can be read when there is news.
  int source() const { return pipe_.read.get(); }
  /// The last news.
  std::optional<Notice> take();

 private:
  void run();
  std::unique_ptr<NoticeReader> reader_;
  os::Pipe pipe_;
  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::optional<Notice> news_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace ferry::agent
