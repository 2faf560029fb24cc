#include "agent/data.h"

#include <sys/stat.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "agent/data_order.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/http.h"
#include "os/process.h"
#include "s3/copy.h"
#include "s3/role.h"

namespace ferry::agent {
namespace {

constexpr std::size_t most_order = std::size_t{4} << 20;
constexpr std::int64_t tell_every_ms = 500;
/// A role that was made a moment ago is refused for seconds.
constexpr Millis newcomer{60'000};

/// As many as keep the network busy: one takes some 90 MB/s of S3, and the half of a processor.
int connections_here() { return std::clamp(static_cast<int>(std::thread::hardware_concurrency()) * 4, 8, 64); }

std::string uri_of(const DataItem& item) { return "s3://" + item.bucket + "/" + printable(item.key); }

/// Tells events, and knows when nobody hears them any more.
class Teller {
 public:
  explicit Teller(int out) : out_(out) {}

  bool tell(const DataEvent& event) {
    const std::lock_guard lock(mutex_);
    return write(event);
  }
  void kept(std::uint64_t bytes, std::uint64_t files) {
    const std::lock_guard lock(mutex_);
    now_.kept_bytes += bytes;
    now_.kept_files += files;
  }
  bool moved(std::uint64_t bytes, std::uint64_t files) {
    const std::lock_guard lock(mutex_);
    now_.bytes += bytes;
    now_.files += files;
    const auto steady = os::system_clock().steady_ms();
    if (steady - told_ms_ < tell_every_ms) return is_heard_;
    told_ms_ = steady;
    return write(now_);
  }

 private:
  bool write(const DataEvent& event) {
    is_heard_ = is_heard_ && os::write_all(out_, dump_json(to_json(event)) + "\n");
    return is_heard_;
  }
  int out_;
  std::mutex mutex_;
  DataEvent now_;
  std::int64_t told_ms_ = 0;
  bool is_heard_ = true;
};

struct Opened {
  std::shared_ptr<s3::Session> session;
  s3::Found found;
};

class Carrier {
 public:
  /// `written_ms`: when the order was.
  Carrier(DataOrder order, std::int64_t written_ms, int out)
      : order_(std::move(order)), written_ms_(written_ms), teller_(out) {
    role_ = s3::role_of_this_machine(*http_, os::system_clock());
    if (order_.region.empty() && order_.endpoint.empty())
      order_.region = s3::region_of_this_machine(*http_).value_or("");  // likely; S3 corrects it
  }

  Status carry() {
    std::optional<Error> first;
    for (std::size_t i = 0; i < order_.items.size(); ++i) {
      auto done = order_.goes_back ? back(i) : find(i);
      if (!done && !first) first = std::move(done).error();
    }
    for (std::size_t i = 0; i < opened_.size() && !first; ++i) {
      if (auto done = copy(i); !done) first = std::move(done).error();
    }
    if (!first) return {};
    first->advice.clear();  // who ordered it has better
    teller_.tell({.is = DataEvent::Is::failed, .text = first->code, .error = first});
    return tl::unexpected(*std::move(first));
  }

 private:
  std::shared_ptr<s3::Session> session_of(const DataItem& item, bool is_anonymous, Millis patience) {
    s3::Limits limits;
    limits.newcomer = patience;
    const s3::Place place{.bucket = item.bucket,
                          .prefix = {},
                          .region = order_.region,
                          .endpoint = order_.endpoint,
                          .account = {},
                          .ca_bundle = {}};
    return std::make_shared<s3::Session>(place, is_anonymous ? nullptr : role_, os::system_clock(), limits);
  }

  /// With the role, then without credentials, then with a role that S3 may know by now.
  Result<Opened> open(const DataItem& item) {
    Error refused;
    const auto role = role_->get();
    if (role || order_.has_new_role) {
      auto found = attempt(item, false, Millis(0));
      if (found || found.error().kind != Kind::denied) return found;
      refused = std::move(found).error();
    } else {
      refused = role.error();
    }
    auto found = attempt(item, true, Millis(0));
    if (found || found.error().kind != Kind::denied) return found;
    if (order_.has_new_role) {
      auto again = attempt(item, false, newcomer);
      if (again || again.error().kind != Kind::denied) return again;
      refused = std::move(again).error();
    }
    return fail(Kind::denied, uri_of(item) + " may not be read by this machine",
                (role || order_.has_new_role ? "as its role: " : "it has no role: ") + refused.what +
                    (refused.why.empty() ? "" : " (" + refused.why + ")") + "; and it is not public",
                {}, refused.code);
  }

  Result<Opened> attempt(const DataItem& item, bool is_anonymous, Millis patience) {
    auto session = session_of(item, is_anonymous, patience);
    const auto listing = [this](std::uint64_t, std::uint64_t) { return teller_.moved(0, 0); };
    auto found = item.only_looks ? s3::find_first(session, item.key) : s3::find_objects(session, item.key, listing);
    // (A bucket that is not there has a code.)
    const bool is_empty = !found && found.error().kind == Kind::not_found && found.error().code.empty();
    if (is_empty && item.may_be_empty) found = s3::Found{};
    if (!found) return tl::unexpected(std::move(found).error());
    return Opened{std::move(session), *std::move(found)};
  }

  Status find(std::size_t index) {
    TRY_SET(opened, "", open(order_.items[index]));
    teller_.tell({.is = DataEvent::Is::found,
                  .item = index,
                  .files = opened.found.objects.size(),
                  .bytes = opened.found.bytes,
                  .region = opened.session->place().region,
                  .is_anonymous = opened.session->is_anonymous(),
                  .is_file = opened.found.is_file});
    opened_.push_back(std::move(opened));
    return {};
  }

  Status copy(std::size_t index) {
    const auto& item = order_.items[index];
    if (item.only_looks) return {};
    auto& [session, found] = opened_[index];
    s3::CopyOrder order{.to = item.to, .connections = connections_here()};
    order.moved = [this](std::uint64_t bytes, std::uint64_t files) { return teller_.moved(bytes, files); };
    order.kept = [this](std::uint64_t bytes, std::uint64_t files) { teller_.kept(bytes, files); };
    TRY_SET(copied, uri_of(item), s3::copy_down(session, found, order));
    found = {};
    for (const auto& line : copied.skipped) teller_.tell({.is = DataEvent::Is::skipped, .item = index, .text = line});
    tell_done(index, copied);
    return {};
  }

  Status back(std::size_t index) {
    const auto& item = order_.items[index];
    TRY_SET(copied, "write to " + uri_of(item),
            s3::copy_back(session_of(item, false, Millis(0)), item.to, item.key, written_ms_));
    tell_done(index, copied);
    return {};
  }

  void tell_done(std::size_t index, const s3::Copied& copied) {
    teller_.tell({.is = DataEvent::Is::done,
                  .item = index,
                  .files = copied.files,
                  .bytes = copied.bytes,
                  .kept_files = copied.kept_files,
                  .kept_bytes = copied.kept_bytes});
  }

  DataOrder order_;
  std::int64_t written_ms_;
  Teller teller_;
  std::unique_ptr<os::HttpClient> http_ = os::make_http_client();
  std::shared_ptr<aws::Provider> role_;
  std::vector<Opened> opened_;
};

Result<std::string> read_order(int in) {
  std::string text;
  while (text.size() <= most_order) {
    TRY_SET(part, "read the order", os::read_some(in));
    if (part.empty()) return text;
    text += part;
  }
  return fail(Kind::bad_input, "the order is too large");
}

}  // namespace

Status run_data(int in, int out) {
  os::ignore_sigpipe();
  TRY_SET(text, "", read_order(in));
  TRY_SET(json, "", parse_json(text));
  TRY_SET(order, "", data_order_from(json));
  struct stat info;
  if (::fstat(in, &info) < 0) return fail_errno("look at the order");
  if (order.goes_back && !S_ISREG(info.st_mode))
    return fail(Kind::bad_input, "the order to copy back is no file", "its time says since when");
  const auto written_ms = std::int64_t{info.st_mtim.tv_sec} * 1000 + info.st_mtim.tv_nsec / 1'000'000;
  return Carrier(std::move(order), written_ms, out).carry();
}

}  // namespace ferry::agent
