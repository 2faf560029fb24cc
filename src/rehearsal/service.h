#pragma once
/// \file
/// The rehearsal cloud at work: takes HTTP requests, checks who asks, runs actions on the state, and keeps it
/// durable.

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>

#include "os/clock.h"
#include "rehearsal/asked.h"
#include "rehearsal/faults.h"
#include "rehearsal/http_message.h"
#include "rehearsal/machines.h"
#include "rehearsal/model.h"
#include "rehearsal/query.h"
#include "rehearsal/s3_service.h"
#include "rehearsal/sigv4.h"
#include "rehearsal/spot.h"
#include "rehearsal/store.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

/// The state with its lock. Every change is on disk before anyone sees it. Safe from any thread.
class Guarded {
 public:
  Guarded(State state, Store& store) : state_(std::move(state)), store_(store) {}

  State copy() const;
  /// Calls `change` with a copy of the state; if it returns true, the copy is saved and becomes the state.
  /// False (and no change) when saving fails or `change` says false.
  bool update(const std::function<bool(State&)>& change);
  /// Runs `read` under the lock.
  void look(const std::function<void(const State&)>& read) const;
  /// Waits until the state changed, wake() is called, or `limit` passed. Negative waits for ever.
  void wait_for_change(Millis limit);
  void wake();

 private:
  State state_;
  Store& store_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t version_ = 0, seen_ = 0;  // seen_: by the one waiter
};

class Service {
 public:
  Service(Guarded& state, os::Clock& clock, std::int64_t boot_ms, Machines& machines);
  /// Any request of an AWS client. Safe from many threads at once.
  HttpReply handle(const HttpRequest& request);

  Status add_fault(const Json& fault);
  Json faults();
  void set_boot_ms(std::int64_t ms);
  /// How long before its end a spot machine is told.
  void set_spot_notice_ms(std::int64_t ms);
  /// Takes spot machines back that the faults say. Call it now and then.
  void interrupt_spot();
  /// Makes Auto Scaling's groups true (autoscaling.h). How long until that may be needed by time alone; negative: for
  /// ever.
  Millis scale_groups();
  /// The notice comes at once. bad_input where it is no running spot machine.
  Status interrupt(const std::string& instance, std::int64_t after_ms);
  /// What its S3 needs to know of it: keys, clock and faults. This object must outlive those who ask.
  S3World s3_world();
  std::int64_t server_ms();  ///< as this cloud's clock shows it
  /// How long new sessions of machines' roles last.
  std::int64_t session_ms();
  /// This computer's address, as checkip.amazonaws.com would tell it.
  std::string caller();

 private:
  /// Answers requests for higher limits as the faults say, before anybody looks at them.
  void answer_quotas();
  HttpReply answer(const HttpRequest& request, const std::string& id);
  HttpReply answer_ec2(const std::string& action, const Params& params, const std::string& id);
  HttpReply answer_session(const Asked& asked, const RoleSession& session, const std::string& id);
  HttpReply answer_sts(const std::string& action, const Params& params, const std::string& id);
  HttpReply answer_iam(const std::string& action, const Params& params, const std::string& id);
  HttpReply answer_load_balancing(const std::string& action, const std::string& id);
  /// `session`: of the machine that asks, if it is one.
  HttpReply answer_autoscaling(const Asked& asked, const Params& params, const RoleSession* session,
                               const std::string& id);
  HttpReply answer_fis(const Asked& asked, const HttpRequest& request, const std::string& id);
  HttpReply answer_json(const Asked& asked, const HttpRequest& request, const std::string& id);
  Api<Xml> run_ec2(const std::string& action, const Params& params);

  Guarded& state_;
  os::Clock& clock_;
  Machines& machines_;
  std::mutex mutex_;  // of what follows
  Faults faults_;
  std::int64_t boot_ms_, spot_notice_ms_ = usual_spot_notice_ms;
  AccessKey key_;
};

}  // namespace ferry::rehearsal
