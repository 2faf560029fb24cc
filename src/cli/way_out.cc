#include "cli/way_out.h"

#include "base/text.h"
#include "cli/task_options.h"
#include "os/env.h"
#include "rehearsal/rehearsal.h"
#include "rehearsal/way_out.h"

namespace ferry::cli {

namespace {

/// What closes the way; empty: it is open.
std::string what_closes(const WayOutOptions& options, const task::RehearsalSettings& settings) {
  if (options.no_internet) return "--no-internet";
  if (says_no_internet()) return "FERRY_NO_INTERNET";
  return settings.internet == false ? "rehearsal: {internet: false} in config.yaml" : "";
}

std::string sentence(const std::string& walls, const ferry::sandbox::WayOut& way, const std::string& closed_by) {
  if (walls == "plain")
    return "rehearsal machines share this computer's network here" +
           (way.is_open ? std::string() : "; " + closed_by + " only keeps proxies and package indexes from them");
  if (!way.is_open) return "rehearsal machines have no way to the internet (" + closed_by + ")";
  if (const auto nowhere = rehearsal::why_nowhere(way); !nowhere.empty())
    return "rehearsal machines reach what this computer reaches, but " + nowhere;
  std::string named;
  for (const auto& target : way.named) named += (named.empty() ? "; named besides: " : ", ") + target.text();
  return "rehearsal machines reach the internet through this computer: pip, apt, git (not with --no-internet)" + named;
}

}  // namespace

bool says_no_internet() {
  const auto value = os::env("FERRY_NO_INTERNET").value_or("");
  return !value.empty() && value != "0" && value != "no" && value != "false";
}

void WayOutOptions::add_to(CLI::App& command) {
  constexpr const char* group = "On the rehearsal cloud";
  command.add_flag("--no-internet", no_internet, "Its machines have no way to the internet (also FERRY_NO_INTERNET=1)")
      ->group(group);
  command
      .add_option("--reach", reach, "A place of this computer or its network that they reach besides; may be repeated")
      ->type_name("HOST:PORT")
      ->allow_extra_args(false)
      ->group(group);
}

std::string internet_line(const std::string& walls) {
  const auto all = personal_settings();
  if (!all) return all.error().what;
  const auto& settings = all->rehearsal;
  const auto closed_by = what_closes({}, settings);
  const auto way =
      closed_by.empty() ? rehearsal::persons_way_out(settings.reach) : Result<sandbox::WayOut>(sandbox::WayOut());
  return way ? sentence(walls, *way, closed_by) : way.error().what;
}

Status lay_way_out(const WayOutOptions& options, run::RunRequest& order) {
  if (order.task.all_candidates()[0].infra.value_or(task::Infra{}).provider != task::Provider::rehearsal) return {};
  TRY_SET(all, "", personal_settings());
  const auto& settings = all.rehearsal;
  const auto closed_by = what_closes(options, settings);
  auto reach = settings.reach;
  reach.insert(reach.end(), options.reach.begin(), options.reach.end());
  TRY_SET(way, "", rehearsal::persons_way_out(reach));
  if (!closed_by.empty()) way = {};
  TRY_SET(word, "", rehearsal::note_way_out(rehearsal::default_dir(), way));
  const auto carry = [&](task::Resources& candidate) { candidate.labels[rehearsal::way_out_tag] = word; };
  carry(order.task.resources);
  for (auto& candidate : order.task.candidates) carry(candidate);
  order.cut_off =
      way.is_open ? rehearsal::why_nowhere(way) : "rehearsal machines have no way to the internet (" + closed_by + ")";
  order.way_out = [way, closed_by] {
    const auto cloud = rehearsal::running(rehearsal::default_dir());
    return sentence(cloud ? cloud->sandbox : "", way, closed_by);
  };
  return {};
}

}  // namespace ferry::cli
