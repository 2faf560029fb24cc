// file_mounts: files of this computer, of buckets and of the web that are to be on the machine; in SkyPilot's forms.
#include <fmt/format.h>

#include <array>

#include "base/text.h"
#include "task/data_url.h"
#include "task/field_reader.h"
#include "task/fields.h"
#include "task/variables.h"

namespace ferry::task {
namespace {

using Type = Node::Type;

constexpr std::array<std::string_view, 3> modes = {"mount", "copy", "mount_cached"};

MountMode mode_of(std::string_view word) {
  if (word == "copy") return MountMode::copy;
  return word == "mount" ? MountMode::mount : MountMode::cached;
}

bool is_given(const Entry* entry) { return entry && entry->value->type != Type::null; }

/// What a local folder is called: "b" of "~/a/b/".
std::string base_name(std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  return std::string(path.substr(path.rfind('/') + 1));
}

}  // namespace

void MountsReader::read(const Entry& mounts) {
  if (mounts.value->type == Type::text && trim(mounts.value->text).empty()) return;
  if (mounts.value->type != Type::map) return keep(wrong_type(mounts, "a mapping"));
  for (const auto& mount : mounts.value->entries) {
    const bool is_empty = mount.value->type != Type::text && mount.value->entries.empty();
    if (!is_empty) keep(read_one(mount));
  }
}

Status MountsReader::read_one(const Entry& mount) {
  if (mount.value->type == Type::list)
    return wrong_type(mount, "text or a mapping", "write TARGET: SOURCE, or TARGET: {source: [SOURCE, SOURCE]}");
  std::string target(trim(mount.name));
  if (target.find('$') == target.npos) {
    auto place = mount_target(target);
    if (!place) return complain(file_, mount.at, "file_mounts: " + place.error().what, {}, place.error().advice);
    target = *std::move(place);
  }
  if (mount.value->type == Type::map) return read_storage(mount, target);
  return add_source(mount, target, MountMode::copy, false);
}

Status MountsReader::read_storage(const Entry& mount, const std::string& target) {
  const auto before = found_.size();
  check_fields(file_, *mount.value, "storage", task_.not_yet, found_);
  if (found_.size() > before) return {};
  MountMode mode = MountMode::mount;
  if (const auto* field = mount.value->find("mode"); is_given(field)) {
    TRY_SET(word, "", choice_of(*field, modes));
    mode = mode_of(word);
  }
  TRY_SET(read_only, "", is_read_only(*mount.value));
  const bool is_written = mode != MountMode::copy && !read_only;
  const auto* source = mount.value->find("source");
  const auto* name = mount.value->find("name");
  if (!is_given(source)) {
    if (!is_given(name))
      return complain_at(mount.at,
                         fmt::format("file_mounts: '{}' has neither a source nor a name", printable(mount.name)), {},
                         "write source: s3://BUCKET/PATH, or name: BUCKET for what the training writes there");
    TRY_SET(bucket, "", text_of(*name));
    return add_output_folder(mount, target, bucket);
  }
  if (source->value->type != Type::list) return add_source(*source, target, mode, is_written);
  // Each is called there as it is here.
  for (const auto& item : source->value->entries) {
    if (item.value->type != Type::text || is_url(item.value->text))
      return complain_at(item.at, "file_mounts: a list of sources holds files and folders of this computer", {},
                         "mount each bucket at a place of its own");
    keep(add_source(item, target + "/" + base_name(trim(item.value->text)), mode, is_written));
  }
  return {};
}

Result<bool> MountsReader::is_read_only(const Node& storage) const {
  if (const auto* type = storage.find("type"); is_given(type)) {
    TRY_SET(word, "", text_of(*type));
    if (lower(trim(word)).ends_with("_ro")) return true;
  }
  const auto* config = storage.find("config");
  if (!is_given(config) || config->value->type != Type::map) return false;
  for (const char* kind : {"mount", "mount_cached"}) {
    const auto* inside = config->value->find(kind);
    if (!is_given(inside) || inside->value->type != Type::map) continue;
    if (const auto* field = inside->value->find("read_only"); is_given(field)) return bool_of(*field);
  }
  return false;
}

Status MountsReader::add_source(const Entry& source, const std::string& target, MountMode mode, bool is_written) {
  TRY_SET(text, "", text_of(source));
  const std::string written(trim(text));
  const auto at = show(file_, source.value->at);
  if (written.empty()) return complain_at(source.value->at, "file_mounts: nothing is named");
  if (!is_url(written)) {
    task_.mounts.push_back({target, written, at, is_written});
    return {};
  }
  auto url = Result<std::string>(written);
  if (written.find('$') == written.npos) url = data_url(written);
  if (!url)
    return complain_at(source.value->at, "file_mounts: " + url.error().what, url.error().why, url.error().advice,
                       url.error().kind);
  const bool is_bucket = url->starts_with("s3://");
  task_.data.push_back({target, *url, is_bucket ? mode : MountMode::copy, is_bucket && is_written, at});
  return {};
}

Status MountsReader::add_output_folder(const Entry& mount, const std::string& target, const std::string& bucket) {
  task_.output_folders.push_back({target, std::string(trim(bucket)), show(file_, mount.at)});
  const auto shown = printable(trim(bucket));
  task_.not_yet.push_back(fmt::format(
      "{}:{}: file_mounts: {}: no bucket is made of the name {}: what is written there comes home, as {}/, and is in "
      "the run's store meanwhile, where it has one (to reach a bucket that is there: source: s3://{})",
      printable(file_), mount.at.line, printable(mount.name), shown, printable(home_place(target)), shown));
  return {};
}

void MountsReader::check_variables() {
  auto envs = task_.envs;
  for (const auto& name : task_.missing_envs) envs.try_emplace(name);
  const auto check = [&](const std::string& at, const std::string& text, const char* field = "file_mounts") {
    if (const auto filled = filled_in(text, envs); !filled)
      found_.push_back(fail(filled.error().kind, fmt::format("{}: {}: {}", at, field, filled.error().what), {},
                            filled.error().advice)
                           .value());
  };
  for (const auto& mount : task_.mounts) {
    check(mount.at, mount.target);
    check(mount.at, mount.source.string());
  }
  for (const auto& data : task_.data) {
    check(data.at, data.target);
    check(data.at, data.url);
  }
  for (const auto& folder : task_.output_folders) {
    check(folder.at, folder.target);
    check(folder.at, folder.bucket);
  }
  for (const auto& volume : task_.volumes) {
    check(volume.at, volume.target, "volumes");
    check(volume.at, volume.name, "volumes");
  }
}

Status add_volume(std::string_view written, std::string_view at, Task& task) {
  constexpr std::string_view form = "-v SRC:DST, -v SRC:DST:ro or -v SRC:DST:rw";
  const auto wrong = [&](const std::string& why) {
    return fail(Kind::bad_input, fmt::format("{}: not a mount: '{}'", at, printable(written)), why, std::string(form));
  };
  std::string_view rest = written;
  bool is_written = false;
  if (rest.ends_with(":rw") || rest.ends_with(":ro")) {
    is_written = rest.ends_with(":rw");
    rest.remove_suffix(3);
  }
  const auto scheme = rest.find("://");
  // Of a URL, the colons of its scheme and port are its own: the target's is the last.
  const auto colon = scheme == rest.npos ? rest.find(':') : rest.rfind(':');
  if (colon == rest.npos || colon == scheme || colon == 0 || colon + 1 == rest.size())
    return wrong("a source and a place on the machine are named, with a colon between");
  const auto source = rest.substr(0, colon), target = rest.substr(colon + 1);
  const bool is_bucket_or_web = scheme != rest.npos;
  if (target.find(':') != target.npos) return wrong("behind the place there may be ro or rw");
  TRY_SET(place, at, mount_target(target));
  if (!is_bucket_or_web) {
    task.mounts.push_back({place, std::string(source), std::string(at), is_written});
    return {};
  }
  TRY_SET(url, at, data_url(source));
  if (is_written && !url.starts_with("s3://")) return wrong("what is on the web cannot be written");
  task.data.push_back({place, url, is_written ? MountMode::mount : MountMode::copy, is_written, std::string(at)});
  return {};
}

}  // namespace ferry::task
