// ferry images: what machines boot, and until when it is supported. Spends nothing.

#include "account/image_list.h"
#include "base/text.h"
#include "cli/command.h"
#include "cloud/aws_client.h"
#include "fleet/images.h"
#include "os/env.h"
#include "os/terminal.h"
#include "watch/table.h"

namespace ferry::cli {

namespace {

Result<int> images(const std::string& region) {
  const auto own = cloud::aws_region_from_environment(region);
  TRY_SET(context, "", cloud::aws_context_from_environment(own.value_or("us-east-1")));
  const auto http = os::make_http_client();
  auto& clock = os::system_clock();
  auto client = cloud::aws_client(context, *http, clock);
  TRY_SET(list, "", account::list_images(client));
  const auto now = clock.now_ms();
  if (in_json()) {
    Json all = Json::array();
    for (const auto& [where, kind, arch, image] : list) {
      const auto& until = image.supported_until;
      all.push_back({{"region", where},
                     {"kind", kind},
                     {"arch", arch},
                     {"id", image.id},
                     {"name", image.name},
                     {"created", image.created},
                     {"supported_until", until.empty() ? Json() : Json(until)},
                     {"supported", !fleet::is_unsupported(until, now)}});
    }
    reply("ferry.images/1", {{"region", context.region}, {"images", std::move(all)}});
    return 0;
  }
  watch::Table table({"FOR", "ARCH", "ID", "SUPPORTED UNTIL", "IMAGE"}, {4});
  for (const auto& [where, kind, arch, image] : list) {
    const bool over = fleet::is_unsupported(image.supported_until, now);
    table.add({kind, arch, printable(image.id), printable(image.supported_until) + (over ? " (over)" : ""),
               printable(image.name)});
  }
  const auto width = os::is_terminal(1) ? static_cast<std::size_t>(os::terminal_width(1)) : 0;
  fmt::print("{}the newest in {}; a task may name another: image_id, or --image\n", table.text(width), context.region);
  return 0;
}

}  // namespace

void add_images_command(CLI::App& app, Program& program) {
  struct Options {
    std::string region;
  };
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("images", "Images that machines boot, and until when AWS supports them");
  command->add_option("--region", options->region, "Instead of your own region");
  command->callback([&program, options] {
    program.chosen = [options] {
      const auto done = images(options->region);
      return done ? *done : report(done.error());
    };
  });
}

}  // namespace ferry::cli
