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
          .root_size_gib = record.root_size_gib};
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

}  // namespace

std::vector<ImageSource> image_sources(std::string_view arch, bool gpu) {
  const ImageSource deep_learning = {"/aws/service/deeplearning/ami/" + std::string(arch) +
                                         "/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id",
                                     "amazon",
                                     "Deep Learning*Base OSS Nvidia Driver GPU AMI (Ubuntu 22.04)*"};
  if (gpu) return {deep_learning};
  const std::string debian_arch = arch == "arm64" ? "arm64" : "amd64";
  return {{"/aws/service/canonical/ubuntu/server/22.04/stable/current/" + debian_arch + "/hvm/ebs-gp2/ami-id",
           std::string(canonical_account),
           "ubuntu/images/hvm-ssd*/ubuntu-jammy-22.04-" + debian_arch + "-server-*"},
          deep_learning};
}

std::string login_user_of(std::string_view image_name) {
  const std::string name = lower(image_name);
  if (name.find("ubuntu") != std::string::npos) return "ubuntu";
  for (const char* amazon : {"amazon linux", "al2023", "amzn", "al2-ami"}) {
    if (name.find(amazon) != std::string::npos) return "ec2-user";
  }
  return name.find("debian") != std::string::npos ? "admin" : "ubuntu";
}

Result<Image> newest_image(aws::Client& client, const std::string& arch, bool gpu) {
  const auto sources = image_sources(arch, gpu);
  for (const auto& source : sources) {
    TRY_SET(published, "find the newest image", by_parameter(client, source));
    if (published) return *std::move(published);
    TRY_SET(named, "find the newest image", by_name(client, source, arch));
    if (named) return *std::move(named);
  }
  return fail(Kind::not_found,
              "no " + std::string(gpu ? "GPU " : "") + "image for " + arch + " in " + client.config().region,
              "looked for " + sources.front().parameter + " and for images named " + sources.front().pattern,
              "choose another region: this one does not carry AWS's current images");
}

}  // namespace ferry::cloud
