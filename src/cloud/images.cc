#include "cloud/images.h"

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
          .created = record.creation_date};
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

Result<std::optional<Image>> by_name(aws::Client& client, const ImageSource& source,
                                     const std::string& arch) {
  TRY_SET(
      found, "",
      aws::Ec2(client).describe_images(
          {source.owner}, {{"name", {source.pattern}}, {"architecture", {arch}}, {"state", {"available"}}}));
  const auto newest = std::max_element(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return a.creation_date < b.creation_date;  // ISO dates sort as text
  });
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
    error.advice =
        "an AMI belongs to one region: check that " + printable(at->second) + " is one of " + region;
    return fail("the task's image_id", std::move(error));
  }
  return image_of(*record);
}

}  // namespace

std::vector<ImageSource> image_sources(const ImageWish& wish) {
  const std::string family = wish.type.substr(0, wish.type.find('.'));
  const auto is_one_of = [&](std::initializer_list<std::string_view> families) {
    return std::find(families.begin(), families.end(), family) != families.end();
  };
  const std::string dlami = "/aws/service/deeplearning/ami/" + wish.arch + "/";
  // docs.aws.amazon.com/dlami: NVIDIA's open driver needs Turing or newer, so V100 and older have the other.
  const bool old_gpu = is_one_of({"p2", "p3", "p3dn", "g3", "g3s"});
  const std::string driver = old_gpu ? "Proprietary" : "OSS";
  const ImageSource base = {dlami + "base-" + lower(driver) + "-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
                            "amazon",
                            "Deep Learning*Base " + driver + " Nvidia Driver GPU AMI (Ubuntu 22.04)*"};
  const auto with = [&](std::string_view flavour) {
    const std::string framework = flavour == "pytorch" ? "PyTorch" : "TensorFlow";
    return ImageSource{"", "amazon",
                       "Deep Learning " + driver + " Nvidia Driver AMI GPU " + framework + " 2.* (Ubuntu 2*"};
  };
  if (wish.image.flavour == "pytorch" || wish.image.flavour == "tensorflow")
    return {with(wish.image.flavour)};
  if (wish.gpu && wish.image.flavour.empty() && !wish.framework.empty()) return {with(wish.framework), base};
  if (is_one_of({"inf1", "inf2", "trn1", "trn1n", "trn2"})) {
    return {{"/aws/service/neuron/dlami/multi-framework/ubuntu-22.04/latest/image_id", "amazon",
             "Deep Learning AMI Neuron (Ubuntu 22.04)*"}};
  }
  if (is_one_of({"dl1"})) return {{"", "amazon", "Deep Learning AMI Habana*Ubuntu*"}, base};
  if (wish.gpu || wish.image.flavour == "base") return {base};
  const std::string debian_arch = wish.arch == "arm64" ? "arm64" : "amd64";
  return {{"/aws/service/canonical/ubuntu/server/22.04/stable/current/" + debian_arch + "/hvm/ebs-gp2/ami-id",
           std::string(canonical_account),
           "ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-" + debian_arch + "-server-*"},
          base};
}

std::string login_user_of(std::string_view image_name) {
  const std::string name = lower(image_name);
  if (name.find("ubuntu") != std::string::npos) return "ubuntu";
  for (const char* amazon : {"amazon linux", "al2023", "amzn", "al2-ami"}) {
    if (name.find(amazon) != std::string::npos) return "ec2-user";
  }
  return name.find("debian") != std::string::npos ? "admin" : "ubuntu";
}

Result<Image> newest_image(aws::Client& client, const ImageWish& wish) {
  const auto& region = client.config().region;
  if (!wish.image.amis.empty()) return own_image(client, wish.image.amis);
  const auto sources = image_sources(wish);
  for (const auto& source : sources) {
    if (!source.parameter.empty()) {
      TRY_SET(published, "find the newest image", by_parameter(client, source));
      if (published) return *std::move(published);
    }
    TRY_SET(named, "find the newest image", by_name(client, source, wish.arch));
    if (named) return *std::move(named);
  }
  return fail(Kind::not_found,
              "no " + std::string(wish.gpu ? "GPU " : "") + "image for " + wish.arch + " in " + region,
              "looked for images named " + sources.front().pattern,
              "choose another region, or name an image yourself: image_id: ami-…");
}

}  // namespace ferry::cloud
