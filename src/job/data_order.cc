#include "job/data_order.h"

#include "base/text.h"
#include "fleet/store_access.h"
#include "job/agent_lines.h"

namespace ferry::job {
namespace {

std::string advice_for(Kind kind, const std::string& code, bool is_own_machine) {
  if (kind == Kind::disk_full)
    return "rent a larger disk: resources: {disk_size: GIB}; or copy a part of it; or let it be mounted (mode: MOUNT) "
           "on a machine whose image has mount-s3 or rclone";
  if (code == "InvalidObjectState") return "it is archived (Glacier): restore it first";
  if (kind == Kind::denied && is_own_machine)
    return "a machine of your own reads buckets with the role that EC2 gave it, and public ones; ferry does not use "
           "its "
           "AWS settings: fetch the data in setup:, as by  aws s3 sync";
  if (kind == Kind::denied)
    return "check the bucket's policy, and that it is not another account's; of a requester-pays bucket, fetch in "
           "setup: "
           "aws s3 sync --request-payer requester";
  if (code == "NoSuchBucket" || code == "NoSuchKey") return "check the name, as by  aws s3 ls";
  return "try again; what was copied is not copied twice as long as the machine is there";
}

}  // namespace

std::string shown_address(const std::string& url) {
  return printable(url.starts_with("s3://") ? url : url.substr(0, url.find('?')));
}

Status complete_order(fleet::Context& context, const task::Task& task, const fleet::CloudLocation& location,
                      agent::DataOrder& order) {
  order.has_new_role = location.provider == "aws" && task.aws.instance_profile.empty();
  if (location.provider != "rehearsal") return {};
  TRY_SET(session, "",
          fleet::open_s3(context, "s3://" + order.items.front().bucket, "", location.profile, location.provider));
  order.endpoint = session->place().endpoint;
  order.region = session->place().region;
  return {};
}

Status carry_out(fleet::Context& context, Connection& connection, const agent::DataOrder& order,
                 const std::string& doing, const std::function<Status(const agent::DataEvent&)>& hear) {
  TRY_SET(agent, "", connection.start_agent_program({"data", connection.paths().run_dir}));
  TRY("tell the machine of the data", os::write_all(agent.in.get(), dump_json(to_json(order))));
  agent.in.reset();
  const auto hear_line = [&](std::string_view line) -> Result<bool> {
    const auto json = parse_json(line);
    if (!json || !json->is_object()) return false;  // a login shell's noise
    TRY_SET(event, "", agent::data_event_from(*json));
    if (event.item >= order.items.size())
      return fail(Kind::corrupt, "the machine tells of a data set that it was not asked for");
    if (event.is == agent::DataEvent::Is::failed) {
      Error error = *std::move(event.error);
      error.advice = advice_for(error.kind, event.text, connection.instance().provider == "ssh");
      return fail(doing, std::move(error));
    }
    TRY("", hear(event));
    return false;
  };
  TRY_SET(heard, "", hear_lines(context, agent, "the data", hear_line));
  (void)heard;  // it is over when all was said
  const auto ended = agent.wait(Millis(10'000));
  if (!ended || ended->code != 0)
    return tl::unexpected(
        explain(agent, {Kind::lost, "the connection broke while the data were brought", {}, {}, {}, {}}));
  return {};
}

}  // namespace ferry::job
