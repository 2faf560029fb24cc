#include "account/image_list.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/text.h"
#include "cloud/images.h"
#include "os/env.h"
#include "os/file.h"

namespace ferry::account {

namespace {

struct Sort {
  const char *kind, *arch, *type, *flavour;
};
/// For each a machine that boots it.
constexpr std::array sorts = {
    Sort{"gpu", "x86_64", "g5.xlarge", ""},       Sort{"pytorch", "x86_64", "g5.xlarge", "pytorch"},
    Sort{"neuron", "x86_64", "trn1.2xlarge", ""}, Sort{"cpu", "x86_64", "m7i.large", ""},
    Sort{"gpu", "arm64", "g5g.xlarge", ""},       Sort{"pytorch", "arm64", "g5g.xlarge", "pytorch"},
    Sort{"cpu", "arm64", "m7g.large", ""},
};

os::Path kept_file() { return os::cache_dir() / "catalog" / "images.json"; }

Json kept() {
  const auto text = os::read_file(kept_file(), 4 << 20);
  auto json = text ? parse_json(*text) : Result<Json>(Json::array());
  return json && json->is_array() ? std::move(*json) : Json::array();
}

/// Empty: none of those that are listed.
std::string_view kind_of(const plan::InstanceType& type, const task::Image& wanted) {
  if (!wanted.amis.empty() || !wanted.version.empty() || !wanted.system.empty()) return {};
  if (wanted.flavour == "pytorch") return "pytorch";
  if (!wanted.flavour.empty()) return {};
  if (type.accelerator_count == 0) return "cpu";
  return type.name.starts_with("trn") || type.name.starts_with("inf") ? "neuron" : "gpu";
}

}  // namespace

Result<std::vector<ListedImage>> list_images(aws::Client& client) {
  std::vector<ListedImage> out;
  for (const auto& sort : sorts) {
    cloud::ImageQuery interrupt{.type = sort.type, .arch = sort.arch, .gpu = std::string_view(sort.kind) != "cpu"};
    interrupt.image.flavour = sort.flavour;
    auto image = cloud::newest_image(client, interrupt);
    if (!image && image.error().kind == Kind::not_found) continue;
    if (!image) return tl::unexpected<Error>(image.error());
    out.push_back({client.config().region, sort.kind, sort.arch, *std::move(image)});
  }
  return out;
}

Status store_images(const std::vector<ListedImage>& images, const std::string& today) {
  if (images.empty()) return {};
  Json all = Json::array();
  for (const auto& old : kept()) {
    const auto region = text_at(old, "region");
    if (std::ranges::none_of(images, [&](const auto& one) { return one.region == region; })) all.push_back(old);
  }
  for (const auto& [region, kind, arch, image] : images) {
    all.push_back({{"region", region},
                   {"kind", kind},
                   {"arch", arch},
                   {"id", image.id},
                   {"name", image.name},
                   {"created", image.created},
                   {"supported_until", image.supported_until},
                   {"root_size_gib", image.root_size_gib},
                   {"seen", today}});
  }
  TRY("", os::make_dirs(kept_file().parent_path()));
  return os::write_file(kept_file(), dump_json(all));
}

std::optional<KnownImage> known_image(const plan::Offer& offer, const task::Image& wanted) {
  const auto kind = kind_of(offer.type, wanted);
  if (kind.empty()) return std::nullopt;
  for (const auto& one : kept()) {
    if (text_at(one, "region") != offer.region || text_at(one, "kind") != kind ||
        text_at(one, "arch") != offer.type.arch)
      continue;
    cloud::Image image;
    image.id = text_at(one, "id");
    image.name = text_at(one, "name");
    image.created = text_at(one, "created");
    image.supported_until = text_at(one, "supported_until");
    image.root_size_gib = static_cast<int>(std::clamp<std::int64_t>(int_at(one, "root_size_gib"), 0, 65'536));
    return KnownImage{std::move(image), text_at(one, "seen")};
  }
  return std::nullopt;
}

}  // namespace ferry::account
