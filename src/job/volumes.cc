#include "job/volumes.h"

#include "base/text.h"
#include "fleet/volumes.h"
#include "job/environment.h"
#include "job/long_command.h"
#include "job/shell_words.h"

extern "C" {
extern const char ferry_embed_scratch_sh[], ferry_embed_scratch_sh_end[];
extern const char ferry_embed_volumes_sh[], ferry_embed_volumes_sh_end[];
}

namespace ferry::job {
namespace {

constexpr const char* volumes_phase = "data";
constexpr int cannot_be_used = 3;  // volumes.sh
constexpr Seconds unmount_limit{30};

std::string list_of(const Connection& connection) { return connection.paths().run_dir + "-volumes"; }

std::string whole_script() {
  return std::string(ferry_embed_scratch_sh, ferry_embed_scratch_sh_end) +
         std::string(ferry_embed_volumes_sh, ferry_embed_volumes_sh_end);
}

void tell(fleet::Context& context, const task::Volume& wanted, const cloud::Volume& volume,
          const std::vector<std::string>& said) {
  const bool is_new = said[1] == "new";
  const auto free = parse_int(said[4]).value_or(0);
  context.progress.done(
      volumes_phase,
      fmt::format("{}: {} at {}, {} free{}", fleet::describe_volume(volume),
                  is_new ? "held nothing, and was formatted (ext4);" : short_line(said[2]) + ",",
                  printable(wanted.target), show_bytes(static_cast<std::uint64_t>(std::max<std::int64_t>(0, free))),
                  wanted.read_only ? ", read-only" : ""),
      {{"volume", volume.id}, {"at", wanted.target}, {"is_new", is_new}, {"read_only", wanted.read_only}});
}

}  // namespace

Result<std::vector<std::string>> mount_volumes(fleet::Context& context, Connection& connection, const task::Task& task,
                                               const std::vector<cloud::Volume>& volumes) {
  std::vector<std::string> words = {"mount", is_rented(connection.instance()) ? "1" : "0", list_of(connection)};
  for (std::size_t i = 0; i < volumes.size(); ++i)
    words.insert(words.end(), {volumes[i].id, volumes[i].device.empty() ? fleet::device_of(i) : volumes[i].device,
                               task.volumes[i].read_only ? "read_only" : "read_write"});
  TRY_SET(ended, "",
          run_for_long(context, connection.session(), "bash -s " + shell_quoted(words), whole_script(),
                       "volumes were mounted"));
  std::vector<std::string> places;
  for (const auto& line : split(trim(ended.out), '\n')) {
    const auto parts = split(line, '\t');
    if (parts.size() != 5 || !parts[0].starts_with('/') || places.size() == volumes.size()) continue;
    tell(context, task.volumes[places.size()], volumes[places.size()], parts);
    places.push_back(parts[0]);
  }
  if (ended.exit.code == 0 && places.size() == volumes.size()) return places;
  const auto& at = task.volumes[std::min(places.size(), volumes.size() - 1)].at;
  const auto lines = split(trim(ended.err), '\n');
  const auto why = lines.empty() ? std::string("nothing was said") : short_line(lines.back(), 400);
  if (ended.exit.code == cannot_be_used)
    return fail(Kind::conflict, fmt::format("{}: volumes: {}", at, why), "nothing on it was changed",
                "look at it on a machine of your own, or name another volume");
  return fail(Kind::io, fmt::format("{}: volumes: the machine cannot mount them", at), why,
              "try again; ferry logs has what the machine said");
}

void unmount_volumes(Connection& connection) {
  const auto words = shell_quoted(std::vector<std::string>{"end", list_of(connection)});
  (void)connection.session().run("timeout 25 bash -s " + words, whole_script(), unmount_limit);
}

}  // namespace ferry::job
