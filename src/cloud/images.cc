#include "cloud/images.h"

#include <fmt/format.h>

#include <algorithm>

#include "aws/ec2.h"
#include "aws/ssm.h"
#include "base/text.h"

namespace ferry::cloud {
namespace {

constexpr std::string_view canonical_account = "099720109477";

Image image_of(const aws::ImageRecord& record) {
  return {.id = record.id,
          .name = record.name,
          .login_user = login_user_of(record.name),
          .root_device = record.root_device.empty() ? "/dev/sda1" : record.root_device,
          .root_size_gib = record.root_size_gib,
          .created = record.creation_date,
          .supported_until = record.deprecation_time.substr(0, 10)};
}

/// By the published parameter. Nothing where the parameter, or the right to read it, is missing.
Result<std::optional<Image>> by_parameter(aws::Client& client, const ImageSource& source) {
  auto id = aws::get_parameter(client, source.parameter);
  if (!id) {
    const Kind kind = id.error().kind;
    if (kind == Kind::not_found || kind == Kind::denied || kind == Kind::unsupported) return std::nullopt;
    return fail("", std::move(id).error());
  }
  auto record = aws::Ec2(client).describe_image(*id);
  if (!record && record.error().kind == Kind::not_found) return std::nullopt;
  if (!record) return fail("", std::move(record).error());
  return image_of(*record);
}

/// The numbers behind the framework in an image's name: {2, 11} of "… GPU PyTorch 2.11 (Ubuntu 24.04) 20261009".
/// Its images of all versions are built on the same day, so that their dates say nothing.
std::vector<int> version_of(std::string_view name, std::string_view framework) {
  std::vector<int> numbers;
  const auto at = framework.empty() ? name.npos : name.find(framework);
  if (at == name.npos) return numbers;
  const auto rest = trim(name.substr(at + framework.size()));
  for (const auto& part : split(rest.substr(0, rest.find(' ')), '.'))
    numbers.push_back(static_cast<int>(parse_int(part).value_or(0)));
  return numbers;
}

bool has_version(const std::string& name, const ImageSource& source) {
  if (source.version.empty()) return true;
  const auto has = version_of(name, source.framework), wanted = version_of("x " + source.version, "x");
  return has.size() >= wanted.size() && std::equal(wanted.begin(), wanted.end(), has.begin());
}

Result<std::optional<Image>> by_name(aws::Client& client, const ImageSource& source, const std::string& arch,
                                     bool with_deprecated) {
  TRY_SET(found, "",
          aws::Ec2(client).describe_images(
              {source.owner}, {{"name", {source.pattern}}, {"architecture", {arch}}, {"state", {"available"}}},
              with_deprecated));
  std::erase_if(found, [&](const auto& one) { return !has_version(one.name, source); });
  const auto age = [&](const aws::ImageRecord& one) {
    return std::pair(version_of(one.name, source.framework), one.creation_date);  // ISO dates sort as text
  };
  const auto newest =
      std::max_element(found.begin(), found.end(), [&](const auto& a, const auto& b) { return age(a) < age(b); });
  if (newest == found.end()) return std::nullopt;
  return image_of(*newest);
}

/// The AMI that the task names for this region.
Result<Image> own_image(aws::Client& client, const std::map<std::string, std::string>& amis) {
  const auto& region = client.config().region;
  auto at = amis.find(region);
  if (at == amis.end()) at = amis.find("");
  if (at == amis.end()) {
    return fail(Kind::not_found, "the task's image_id names no AMI for " + region, "",
                "add a line for " + region + ", or choose another region");
  }
  auto record = aws::Ec2(client).describe_image(at->second);
  if (!record) {
    auto error = std::move(record).error();
    error.advice = "an AMI belongs to one region: check that " + printable(at->second) + " is one of " + region;
    return fail("the task's image_id", std::move(error));
  }
  return image_of(*record);
}

/// What AWS calls a system in its images' names, and in its parameters.
struct System {
  std::string_view name, in_names, in_parameters;
};
constexpr System ubuntu_24{"ubuntu-24.04", "Ubuntu 24.04", "ubuntu-24.04"};
constexpr System ubuntu_22{"ubuntu-22.04", "Ubuntu 22.04", "ubuntu-22.04"};
constexpr System amazon_linux{"amazon-linux-2023", "Amazon Linux 2023", "amazon-linux-2023"};

std::vector<System> systems_for(const ImageQuery& query, bool old_gpu) {
  for (const auto& one : {ubuntu_24, ubuntu_22, amazon_linux}) {
    if (query.image.system == one.name) return {one};
  }
  if (old_gpu) return {ubuntu_22};
  return {ubuntu_24, ubuntu_22};
}

/// Without drivers, for machines without accelerators.
ImageSource plain_image(const System& system, const std::string& arch) {
  if (system.name == amazon_linux.name) {
    return {"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-" + arch, "amazon",
            "al2023-ami-2023.*-" + arch + "*"};
  }
  const bool new_one = system.name == ubuntu_24.name;
  const std::string version = new_one ? "24.04" : "22.04", code = new_one ? "noble" : "jammy";
  const std::string debian_arch = arch == "arm64" ? "arm64" : "amd64";
  return {"/aws/service/canonical/ubuntu/server/" + version + "/stable/current/" + debian_arch + "/hvm/ebs-" +
              (new_one ? "gp3" : "gp2") + "/ami-id",
          std::string(canonical_account),
          "ubuntu/images/hvm-ssd*/ubuntu-" + code + "-" + version + "-" + debian_arch + "-server-*"};
}

}  // namespace

std::vector<ImageSource> image_sources(const ImageQuery& query) {
  const std::string family = query.type.substr(0, query.type.find('.'));
  const auto is_one_of = [&](std::initializer_list<std::string_view> families) {
    return std::find(families.begin(), families.end(), family) != families.end();
  };
  // docs.aws.amazon.com/dlami: NVIDIA's open driver needs Turing or newer, so V100 and older have the other.
  const bool old_gpu = is_one_of({"p2", "p3", "p3dn", "g3", "g3s"});
  const bool is_arm = query.arch == "arm64";
  const std::string driver = old_gpu ? "Proprietary" : "OSS";
  const auto systems = systems_for(query, old_gpu);
  const auto parameter = [&](const std::string& kind, const System& system) {
    return fmt::format("/aws/service/deeplearning/ami/{}/{}-{}/latest/ami-id", query.arch, kind, system.in_parameters);
  };
  std::vector<ImageSource> base, framework, neuron, plain;
  for (const auto& system : systems) {
    // The newest GPUs are listed for this one only.
    if (is_one_of({"g7", "g7e", "p6-b300"}) && !is_arm) {
      base.push_back({parameter("base-with-single-cuda", system), "amazon",
                      fmt::format("Deep Learning Base AMI with Single CUDA ({})*", system.in_names)});
    }
    base.push_back({parameter("base-" + lower(driver) + "-nvidia-driver-gpu", system), "amazon",
                    fmt::format("Deep Learning {}Base {} Nvidia Driver GPU AMI ({})*", is_arm ? "ARM64 " : "", driver,
                                system.in_names)});
    framework.push_back(
        {"", "amazon",
         is_arm ? fmt::format("Deep Learning ARM64 AMI {} Nvidia Driver GPU PyTorch 2.* ({})*", driver, system.in_names)
                : fmt::format("Deep Learning {} Nvidia Driver AMI GPU PyTorch 2.* ({})*", driver, system.in_names),
         "PyTorch", query.image.version});
    neuron.push_back({fmt::format("/aws/service/neuron/dlami/multi-framework/{}/latest/image_id", system.in_parameters),
                      "amazon", fmt::format("Deep Learning AMI Neuron ({})*", system.in_names)});
    plain.push_back(plain_image(system, query.arch));
  }
  const auto then = [](std::vector<ImageSource> first, const std::vector<ImageSource>& others) {
    first.insert(first.end(), others.begin(), others.end());
    return first;
  };
  if (query.image.flavour == "pytorch") return framework;
  if (query.image.flavour == "base" || query.image.flavour == "tensorflow") return base;
  if (is_one_of({"inf1", "inf2", "trn1", "trn1n", "trn2", "trn3"})) return neuron;
  if (is_one_of({"dl1"})) return then({{"", "amazon", "Deep Learning AMI Habana*Ubuntu*"}}, base);
  if (query.gpu) return query.framework == "pytorch" ? then(framework, base) : base;
  return then(plain, base);
}

std::string login_user_of(std::string_view image_name) {
  const std::string name = lower(image_name);
  if (name.find("ubuntu") != std::string::npos) return "ubuntu";
  for (const char* amazon : {"amazon linux", "al2023", "amzn", "al2-ami"}) {
    if (name.find(amazon) != std::string::npos) return "ec2-user";
  }
  return name.find("debian") != std::string::npos ? "admin" : "ubuntu";
}

Result<Image> newest_image(aws::Client& client, const ImageQuery& query) {
  const auto& region = client.config().region;
  if (!query.image.amis.empty()) return own_image(client, query.image.amis);
  const auto sources = image_sources(query);
  for (const auto& source : sources) {
    if (!source.parameter.empty()) {
      TRY_SET(published, "find the newest image", by_parameter(client, source));
      if (published) return *std::move(published);
    }
    TRY_SET(named, "find the newest image", by_name(client, source, query.arch, false));
    if (named) return *std::move(named);
  }
  // Better one that is no longer supported, which says so, than none.
  for (const auto& source : sources) {
    TRY_SET(named, "find the newest image", by_name(client, source, query.arch, true));
    if (named) return *std::move(named);
  }
  return fail(Kind::not_found,
              "no " + std::string(query.gpu ? "GPU " : "") + "image for " + query.arch + " in " + region,
              "looked for images named " + sources.front().pattern +
                  (sources.front().version.empty() ? "" : " with version " + sources.front().version),
              "choose another region, or name an image yourself: image_id: ami-…");
}

}  // namespace ferry::cloud
