#include "fleet/images.h"

#include "base/text.h"

namespace ferry::fleet {

namespace {

constexpr std::int64_t image_remembered_ms = 24 * 3600 * 1000;
constexpr std::size_t images_limit = 1 << 20;

os::Path file_in(const Context& context) { return context.data / "images.json"; }

Json remembered(const Context& context) {
  const auto text = os::read_file(file_in(context), images_limit);
  auto json = text ? parse_json(*text) : Result<Json>(Json::object());
  return json && json->is_object() ? std::move(*json) : Json::object();
}

Json json_of(const cloud::Image& image, std::int64_t found_ms) {
  return {{"id", image.id},
          {"name", image.name},
          {"created", image.created},
          {"login_user", image.login_user},
          {"root_device", image.root_device},
          {"root_size_gib", image.root_size_gib},
          {"supported_until", image.supported_until},
          {"found_ms", found_ms}};
}

std::optional<cloud::Image> image_of(const Json& json, std::int64_t now_ms) {
  const auto age = now_ms - int_at(json, "found_ms");
  cloud::Image image{text_at(json, "id"),
                     text_at(json, "name"),
                     text_at(json, "login_user"),
                     text_at(json, "root_device"),
                     static_cast<int>(int_at(json, "root_size_gib")),
                     text_at(json, "created"),
                     text_at(json, "supported_until")};
  const bool good = age >= 0 && age < image_remembered_ms && image.id.starts_with("ami-") && !image.root_device.empty();
  return good ? std::optional(std::move(image)) : std::nullopt;
}

/// Everything that decides which image is the newest suitable one.
std::string key_of(const CloudLocation& location, const plan::Offer& offer, const task::Image& wanted,
                   const std::string& framework) {
  const bool gpu = offer.type.accelerator_count > 0;
  return join(
      std::vector<std::string>{offer.region, offer.type.arch,
                               gpu ? offer.type.name.substr(0, offer.type.name.find('.')) : "cpu", wanted.flavour,
                               wanted.version, wanted.system, gpu ? framework : "", location.endpoint},
      " ");
}

}  // namespace

Result<cloud::Image> find_image(Context& context, cloud::Cloud& cloud, const CloudLocation& location,
                                const plan::Offer& offer, const task::Image& wanted, const std::string& framework) {
  const bool remember = location.provider == "aws" && wanted.amis.empty();
  const auto key = key_of(location, offer, wanted, framework);
  if (remember) {
    const auto known = remembered(context);
    if (const auto found = known.find(key); found != known.end() && found->is_object()) {
      if (auto image = image_of(*found, context.clock.now_ms())) return std::move(*image);
    }
  }
  TRY_SET(image, "",
          cloud.newest_image({offer.type.name, offer.type.arch, offer.type.accelerator_count > 0, wanted, framework}));
  if (remember) {
    auto known = remembered(context);
    known[key] = json_of(image, context.clock.now_ms());
    (void)os::write_file(file_in(context), dump_json(known), 0600);  // only a cache
  }
  return image;
}

bool is_unsupported(const std::string& supported_until, std::int64_t now_ms) {
  return !supported_until.empty() && supported_until <= os::iso_time(now_ms).substr(0, 10);
}

std::string support_words(const std::string& supported_until, std::int64_t now_ms) {
  if (supported_until.empty()) return {};
  return (is_unsupported(supported_until, now_ms) ? "AWS stopped supporting this image on " : "supported until ") +
         printable(supported_until);
}

void warn_of_support(Context& context, const cloud::Image& image, std::string_view phase) {
  const auto now = context.clock.now_ms();
  if (is_unsupported(image.supported_until, now))
    context.progress.warn(phase, support_words(image.supported_until, now) + ": " + image.name + " (" + image.id + ")");
}

void forget_image(Context& context, const std::string& id) {
  auto known = remembered(context);
  Json kept = Json::object();
  for (const auto& [key, value] : known.items()) {
    if (text_at(value, "id") != id) kept[key] = value;
  }
  if (kept.size() != known.size()) (void)os::write_file(file_in(context), dump_json(kept), 0600);
}

}  // namespace ferry::fleet
