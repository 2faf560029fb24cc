#pragma once
/// \file
/// For tests: moto, an EC2, STS and SSM that nobody here wrote, on a loopback port the kernel picks.

#include <optional>
#include <string>

#include "os/process.h"

namespace ferry::cloud {

/// Serves until destroyed.
class MotoServer {
 public:
  /// Nothing when python3 has no moto (with its server).
  static std::optional<MotoServer> start();
  MotoServer(MotoServer&&) = default;
  MotoServer& operator=(MotoServer&&) = delete;
  ~MotoServer();
  const std::string& url() const { return url_; }

 private:
  MotoServer(os::Process process, std::string url) : process_(std::move(process)), url_(std::move(url)) {}
  std::optional<os::Process> process_;
  std::string url_;
};

/// The SSM parameter and the image that the server is seeded with.
inline constexpr const char* moto_gpu_parameter =
    "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id";
inline constexpr const char* moto_gpu_image = "ami-dca37ea5";
/// An image renamed to the pattern that newest_image looks for by name.
inline constexpr const char* moto_ubuntu_image = "ami-785db401";

}  // namespace ferry::cloud
