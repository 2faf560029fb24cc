#include "base/text.h"
#include "sandbox/sandbox.h"

namespace ferry::sandbox {

std::string_view name(Mode mode) {
  switch (mode) {
    case Mode::root:
      return "root";
    case Mode::unmapped:
      return "root-unmapped";
    case Mode::user:
      return "user";
    case Mode::plain:
      return "plain";
  }
  return "plain";
}

std::optional<Mode> mode_named(std::string_view name_of_mode) {
  for (const Mode mode : {Mode::root, Mode::unmapped, Mode::user, Mode::plain}) {
    if (name(mode) == name_of_mode) return mode;
  }
  return std::nullopt;
}

std::string_view wall_of(Mode mode) {
  switch (mode) {
    case Mode::root:
      return "root and everybody else inside are nobody on this computer";
    case Mode::unmapped:
      return "root inside is root of this computer, with few capabilities and system calls";
    case Mode::user:
      return "everything inside is you, in namespaces of its own";
    case Mode::plain:
      return "none: what runs inside can do whatever you can";
  }
  return "";
}

std::string_view name(State state) {
  switch (state) {
    case State::absent:
      return "absent";
    case State::booting:
      return "booting";
    case State::running:
      return "running";
    case State::stopped:
      return "stopped";
  }
  return "absent";
}

Json to_json(const Spec& spec) {
  return Json{{"instance_id", spec.instance_id},
              {"hostname", spec.hostname},
              {"private_ip", spec.private_ip},
              {"listen_address", spec.listen_address},
              {"has_public_ip", spec.has_public_ip},
              {"login_user", spec.login_user},
              {"authorized_keys", spec.authorized_keys},
              {"user_data", base64(spec.user_data)},
              {"metadata", spec.metadata},
              {"imds_token_required", spec.imds_token_required},
              {"boot_ms", spec.boot_ms},
              {"mode", spec.mode},
              {"first_boot", spec.first_boot},
              {"disk_mib", spec.disk_mib},
              {"way_out", to_json(spec.way_out)},
              {"kept", spec.kept}};
}

Json to_json(const Live& live) {
  return Json{{"metadata", live.metadata}, {"s3_port", live.s3_port}, {"api_port", live.api_port}};
}

Result<Live> live_from(const Json& json) {
  const auto metadata = json.find("metadata");
  const auto s3 = int_at(json, "s3_port"), api = int_at(json, "api_port");
  const bool are_ports = s3 >= 0 && s3 <= 65535 && api >= 0 && api <= 65535;
  if (!json.is_object() || metadata == json.end() || !metadata->is_object() || !are_ports)
    return fail(Kind::corrupt, "what an instance is told");
  return Live{*metadata, static_cast<int>(s3), static_cast<int>(api)};
}

Result<Spec> spec_from(const Json& json) try {
  Spec spec;
  spec.instance_id = text_at(json, "instance_id");
  spec.hostname = text_at(json, "hostname");
  spec.private_ip = text_at(json, "private_ip");
  spec.listen_address = text_at(json, "listen_address");
  spec.has_public_ip = json.value("has_public_ip", true);
  spec.login_user = text_at(json, "login_user", "ubuntu");
  spec.authorized_keys = json.value("authorized_keys", std::vector<std::string>());
  TRY_SET(user_data, "user_data", from_base64(text_at(json, "user_data")));
  spec.user_data = std::move(user_data);
  spec.metadata = json.value("metadata", Json::object());
  spec.imds_token_required = json.value("imds_token_required", true);
  spec.boot_ms = int_at(json, "boot_ms");
  spec.mode = text_at(json, "mode");
  spec.first_boot = json.value("first_boot", true);
  spec.disk_mib = int_at(json, "disk_mib");
  TRY_SET(way_out, "", way_out_from(json.value("way_out", Json())));
  spec.way_out = std::move(way_out);
  spec.kept = text_at(json, "kept");
  if (spec.instance_id.empty()) return fail(Kind::corrupt, "spec without an instance_id");
  return spec;
} catch (const Json::exception& wrong) {
  return fail(Kind::corrupt, "spec of an instance", wrong.what());
}

}  // namespace ferry::sandbox
