#pragma once
/// \file
/// A run's machine: where it is, how to reach it, and giving it back. launch.h rents it.

#include <memory>
#include <span>

#include "fleet/context.h"
#include "fleet/run_dir.h"
#include "ssh/session.h"

namespace ferry::fleet {

/// What the machine's own end-of-life timer is set to, and what the agent gets.
struct TimeLimits {
  Seconds max_duration{24 * 3600};  ///< default when the task sets none
  /// How long outputs may wait on the machine after max_duration before it powers off.
  Seconds retention() const;
  /// When the boot-time timer ends the machine, whatever else happens.
  Seconds until_power_off() const { return max_duration + retention() + Seconds(900); }
};

/// Where machines are rented.
struct CloudLocation {
  std::string provider;  ///< "aws", "rehearsal", or "ssh" for a machine of the user's own
  std::string region;    ///< empty: the provider's default
  std::string endpoint;  ///< of EC2; empty: AWS's own. With ssh: the host
  std::string account;   ///< AWS account that must be the one spoken to; empty: whichever it is
  std::string profile;   ///< of the AWS settings files; empty: as the environment says
  auto operator<=>(const CloudLocation&) const = default;
};
/// Of a ledger::Instance or Resource.
template <class Noted>
CloudLocation location_of(const Noted& one) {
  return {one.provider, one.region, one.endpoint, one.account, one.profile};
}

/// As whom and where to call for `place`, which is filled in where it was left empty: for calls that are
/// AWS's alone.
Result<cloud::AwsContext> open_aws_context(Context& context, CloudLocation& location);

/// Opens the cloud at `place`, and fills in what was left empty there. The rehearsal cloud is started if need
/// be; its endpoint may be another one than last time. Makes no call: whose account it is, confirm_account()
/// says.
Result<std::unique_ptr<cloud::Cloud>> open_cloud(Context& context, CloudLocation& location);

/// Fails denied when today's credentials are those of another account than the place's. What an account does
/// not know may well exist in another one: to be called before "not found" is taken for "gone".
Status confirm_account(cloud::Cloud& cloud, const CloudLocation& location);

/// Shell words that arm the machine's own timer: `after`, in seconds, as a shell writes it.
std::string power_off_timer(const std::string& after, const std::string& run);

/// cloud-config that gives the machine its host key and arms its timer (bootcmd: at every boot). When the time is over,
/// the timer waits as long as /run/ferry-end-RUN names a later one, in seconds of /proc/uptime: by that alone `ferry
/// extend` puts it off (agent/power.h), so that the machine is never without a timer. What cannot be read there puts
/// nothing off.
std::string user_data(const std::string& host_private_key, const std::string& host_public_key, Seconds power_off_after,
                      const std::string& run);

/// Notes the machine of the user's own at `place` as the run's; it is not billed.
Result<ledger::Instance> attach_host(Context& context, const ledger::Run& run, const CloudLocation& location);

/// Where and how to reach the machine by ssh.
ssh::Target target_of(const RunDir& run_dir, const ledger::Instance& instance);

/// Where and as whom to log in today. A machine whose image's usual user does not exist says so in a tag.
void record_access(const cloud::Instance& now, ledger::Instance& instance);

/// ssh::Session::open(), or what Context has in its place.
Result<ssh::Session> open_session(Context& context, const ssh::Target& target, Millis limit);

/// Error::code of look(), refresh() and all that use them for a machine that is stopped: it exists, and
/// nothing runs on it.
inline constexpr const char* stopped_code = "stopped";

/// How the machine is by the cloud, writing nothing. Fails not_found when it is gone or on its way out,
/// conflict with stopped_code when it is stopped, denied when the credentials are those of an account that
/// cannot know.
Result<cloud::Instance> look(cloud::Cloud& cloud, const ledger::Instance& instance);

/// "i-0abc is stopped: nothing trains on it, its disk costs $8.00 a month, and no timer ends it".
std::string stopped_words(const ledger::Instance& instance, cloud::State state = cloud::State::stopped);
/// What can be done about that.
std::string stopped_advice(const std::string& run);

/// Notes in the ledger since when a machine is stopped, or that it runs again: only the disk of a stopped one is
/// billed. Writes only what changed.
Status record_power(Context& context, const cloud::Instance& now, ledger::Instance& instance);

/// Brings address, port and price up to date from the cloud, in the ledger, too. Fails as look() does.
Result<ledger::Instance> refresh(Context& context, cloud::Cloud& cloud, ledger::Instance instance);

/// Starts a machine that was stopped and waits until it runs; its own timer begins anew with the boot. Calm
/// when it runs already; may be cancelled.
Result<ledger::Instance> start_again(Context& context, cloud::Cloud& cloud, ledger::Instance instance);

/// Stops a machine and waits until the cloud says that it is, which is noted: from then on it costs its disk. Calm when
/// it is stopped already. Fails not_found when it is gone.
Result<ledger::Instance> stop_and_wait(Context& context, cloud::Cloud& cloud, ledger::Instance instance);

/// Terminates every instance of the run that may exist (found by id, by token and by tag), waits until they
/// are gone, then removes the security group, key pair and role, and notes each. A role that cannot be removed is told
/// and stays noted: it costs nothing. Does nothing where things are gone
/// already; may be repeated until it succeeds. A machine's end is noted as the cloud tells it. Returns the ids
/// that are gone.
Result<std::vector<std::string>> release_all(Context& context, const ledger::Run& run,
                                             ssh::Session* connected = nullptr);

}  // namespace ferry::fleet
