#include "fleet/interrupt.h"

#include "aws/ec2.h"
#include "aws/errors.h"
#include "aws/fis.h"
#include "aws/iam.h"
#include "aws/services.h"
#include "aws/sts.h"
#include "base/hash.h"
#include "base/text.h"
#include "cloud/aws_client.h"
#include "fleet/labels.h"
#include "fleet/polling.h"
#include "fleet/store_role.h"

namespace ferry::fleet {
namespace {

constexpr const char* role_of_interruption = "role";  // as a store's is noted: who ends the run removes it
/// A role that was made a moment ago cannot be taken on yet.
constexpr Seconds young_role_limit{60};
constexpr Seconds experiment_limit{300};

Error cannot_interrupt(Error error) {
  if (error.kind != Kind::denied || aws::is_expired(error)) return error;
  error.why = "a notice is sent by AWS's Fault Injection Service, with a role that is made for it" +
              (error.why.empty() ? "" : "; AWS says: " + error.why);
  error.advice = "`ferry policy --interrupt` prints what allows it";
  return error;
}

class Interruption {
 public:
  Interruption(Context& context, const ledger::Run& run, const ledger::Instance& machine, CloudLocation location,
               aws::Client& client)
      : context_(context),
        run_(run),
        machine_(machine),
        location_(std::move(location)),
        client_(client),
        name_(interrupt_role_name(run.name, launch_id(run))),
        tags_(tags_of(run)) {
    tags_.erase("ferry:version");
  }

  Result<std::string> send() {
    TRY("", look());
    auto sent = make_and_start();
    const auto removed = tidy();
    if (!sent) return fail("", cannot_interrupt(std::move(sent).error()));
    if (!removed) {
      context_.progress.warn("interrupt", fmt::format("the role {} is left; it costs nothing: {}; to try again: ferry "
                                                      "down --all",
                                                      name_, removed.error().what));
    }
    return sent;
  }

 private:
  std::string partition() const { return aws::partition_of(location_.region); }

  /// The machine is there, and can be interrupted.
  Status look() {
    TRY_SET(found, "look at the machine",
            patiently(context_, [&] { return aws::Ec2(client_).describe_instances({machine_.id}, {}); }));
    if (found.empty() || found.front().state != "running")
      return fail(Kind::not_found, "the machine " + machine_.id + " does not run",
                  found.empty() ? "" : "it is " + printable(found.front().state), "");
    if (found.front().lifecycle != "spot")
      return fail(Kind::bad_input, "the machine " + machine_.id + " is no spot machine, and AWS interrupts no other",
                  "", "rent one: use_spot: true under resources:, or ferry run --spot");
    if (location_.account.empty()) {
      TRY_SET(caller, "", patiently(context_, [&] { return aws::get_caller_identity(client_); }));
      location_.account = caller.account;
    }
    return {};
  }

  Result<std::string> make_and_start() {
    TRY_SET(role, "make the role of the interruption", make_role());
    const aws::InterruptionOrder order{
        .instance_arn = arn_of_machine(),
        .role_arn = role,
        .description = "ferry interrupt " + run_.name,
        .client_token = hex(random_bytes(16)),
        .tags = tags_,
    };
    TRY_SET(made, "", patiently(context_, [&] { return aws::create_interruption_template(client_, order); }));
    template_ = made;
    const auto end = context_.clock.steady_ms() + young_role_limit.count() * 1000;
    while (true) {
      TRY_SET(ended, "", run_experiment());
      if (ended.state == aws::Experiment::State::completed) return ended.id;
      const bool is_young = lower(ended.reason).find("role") != std::string::npos;
      const bool again = is_young && context_.clock.steady_ms() < end && context_.sleep(Millis(3000), true);
      if (!again) return fail(Kind::conflict, "AWS did not interrupt the machine", printable(ended.reason));
    }
  }

  Result<aws::Experiment> run_experiment() {
    const auto token = hex(random_bytes(16));
    TRY_SET(experiment, "",
            patiently(context_, [&] { return aws::start_experiment(client_, template_, token, tags_); }));
    TRY("", poll_until(context_, experiment_limit, true, "the notice was sent", [&]() -> Result<bool> {
          if (experiment.state != aws::Experiment::State::under_way) return true;
          TRY_SET(now, "", patiently(context_, [&] { return aws::get_experiment(client_, experiment.id); }));
          experiment = now;
          return experiment.state != aws::Experiment::State::under_way;
        }));
    return experiment;
  }

  std::string arn_of_machine() const {
    return fmt::format("arn:{}:ec2:{}:{}:instance/{}", partition(), location_.region, location_.account, machine_.id);
  }

  /// Its ARN.
  Result<std::string> make_role() {
    const Json trust{
        {"Version", "2012-10-17"},
        {"Statement", Json::array({{{"Effect", "Allow"},
                                    {"Principal", {{"Service", "fis.amazonaws.com"}}},
                                    {"Action", "sts:AssumeRole"},
                                    {"Condition", {{"StringEquals", {{"aws:SourceAccount", location_.account}}}}}}})}};
    const Json policy{{"Version", "2012-10-17"},
                      {"Statement", Json::array({{{"Effect", "Allow"},
                                                  {"Action", Json::array({"ec2:SendSpotInstanceInterruptions"})},
                                                  {"Resource", Json::array({arn_of_machine()})}}})}};
    const aws::RoleOrder order{
        .name = name_,
        .path = iam_path,
        .trust = dump_json(trust),
        .boundary = "arn:" + partition() + ":iam::aws:policy/service-role/AWSFaultInjectionSimulatorEC2Access",
        .description = "ferry interrupt " + run_.name,
        .tags = tags_};
    TRY("", note(false));
    const auto made = patiently(context_, [&] { return aws::create_role(client_, order); });
    if (!made) {
      if (made.error().kind == Kind::denied) TRY("", note(true));  // there is none
      return tl::unexpected(made.error());
    }
    TRY("", patiently(context_,
                      [&] { return aws::put_role_policy(client_, name_, interrupt_policy_name, dump_json(policy)); }));
    return made->arn;
  }

  Status tidy() {
    Status removed;
    if (!template_.empty())
      removed = patiently(context_, [&] { return aws::delete_experiment_template(client_, template_); });
    if (!noted_) return removed;
    TRY("", remove_store_role(context_, location_, name_));
    TRY("", note(true));
    return removed;
  }

  Status note(bool released) {
    noted_ = !released;
    return context_.ledger.record_resource({run_.name, location_.provider, location_.region, location_.endpoint,
                                            role_of_interruption, name_, released, location_.account,
                                            location_.profile});
  }

  Context& context_;
  const ledger::Run& run_;
  const ledger::Instance& machine_;
  CloudLocation location_;
  aws::Client& client_;
  std::string name_, template_;
  cloud::Tags tags_;
  bool noted_ = false;
};

}  // namespace

std::string interrupt_role_name(const std::string& run, const std::string& launch_id) {
  return store_role_name("interrupt-" + run, launch_id);
}

Result<std::string> send_interruption(Context& context, const ledger::Run& run, const ledger::Instance& machine) {
  if (machine.provider == "ssh")
    return fail(Kind::unsupported, "nobody takes back a machine of your own", "", "ferry cancel " + run.name);
  auto location = location_of(machine);
  TRY_SET(access, "", open_aws_context(context, location));
  auto client = cloud::aws_client(access, context.http, context.clock);
  return Interruption(context, run, machine, location, client).send();
}

}  // namespace ferry::fleet
