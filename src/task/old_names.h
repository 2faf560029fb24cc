#pragma once
/// \file
/// Names that articles and AWS's own pages use for images and their environments, today's and those of years
/// ago, and what they mean now. Nothing here touches the machine.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "task/task.h"

namespace ferry::task {

/// An image as people write it, and a line for them where it is not what they may expect (else empty).
struct NamedImage {
  Image image;
  std::string note;
};

/// `base`, `pytorch`, `tensorflow`, each also with a version and a system (`pytorch-2.11`,
/// `base-ubuntu-22.04`, `pytorch-amazon-linux-2023`), a system alone; or a name as AWS's console and articles
/// have it: "Deep Learning AMI (Amazon Linux) Version 26.0", "Deep Learning OSS Nvidia Driver AMI GPU PyTorch
/// 2.11 (Ubuntu 24.04) 20261009". Nothing for a name that is none of these; unsupported for Windows.
Result<std::optional<NamedImage>> named_image(std::string_view written);

/// The container image that `written` names: docker:IMAGE, or, as a registry has it, HOST/NAME or OWNER/NAME with or
/// without a tag. Empty for anything else, Google's projects/… among it.
std::string container_named(std::string_view written);

/// True for the environments of AWS's images of 2017 to 2024: tensorflow_p36, pytorch_p310, pytorch_latest_p37,
/// aws_neuron_pytorch_p36; and for the plain names pytorch, tensorflow, python3 and their like.
bool is_aws_environment(std::string_view name);

/// Takes out of setup and run, and out of `environment`, the choice of an environment that only those images
/// had (`source activate tensorflow_p36`, `conda activate pytorch_p310`); the command becomes `:`. One line
/// for each name. Nothing is done where the machine may have it: on one of the user's own, from an image of
/// their own or in a container, or when the task itself makes environments with conda.
std::vector<std::string> leave_out_old_environments(Task& task);

/// The commands in a shell text that leave_out_old_environments would leave out, with the number of their line.
std::vector<std::pair<std::size_t, std::string>> old_activations(std::string_view shell_text);

}  // namespace ferry::task
