#include "rehearsal/catalog.h"

#include "base/hash.h"
#include "base/text.h"
#include "base/units.h"

extern "C" const char ferry_embed_instances_csv[], ferry_embed_instances_csv_end[];
extern "C" const char ferry_embed_prices_csv[], ferry_embed_prices_csv_end[];

namespace ferry::rehearsal {
namespace {

/// Types that are in no catalog of ferry's, as AWS has many: whoever names one finds that EC2 is asked.
constexpr std::string_view further_types =
    "name,accelerator,count,memory_of_one,vcpus,memory,arch,network,disk\n"
    "m7a.large,,0,,2,8192,x86_64,Up to 12.5 Gigabit,0\n"
    "m7a.xlarge,,0,,4,16384,x86_64,Up to 12.5 Gigabit,0\n"
    "m8g.large,,0,,2,8192,arm64,Up to 12.5 Gigabit,0\n"
    "r8g.large,,0,,2,16384,arm64,Up to 12.5 Gigabit,0\n";

std::vector<InstanceType> load_types() {
  std::vector<InstanceType> types;
  auto rows = parse_csv({ferry_embed_instances_csv, ferry_embed_instances_csv_end});
  std::ranges::copy(parse_csv(further_types), std::back_inserter(rows));
  for (const auto& row : rows) {
    if (row.size() < 9) continue;
    const auto number = [&](std::size_t at) { return parse_int(row[at]).value_or(0); };
    InstanceType type;
    type.name = row[0];
    type.accelerator = row[1];
    type.accelerators = number(2);
    type.accelerator_mib = number(3);
    type.vcpus = number(4);
    type.memory_mib = number(5);
    type.arch = row[6];
    type.network = row[7];
    type.nvme_gb = number(8);
    types.push_back(std::move(type));
  }
  std::sort(types.begin(), types.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  for (const auto& row : parse_csv({ferry_embed_prices_csv, ferry_embed_prices_csv_end})) {
    if (row.size() < 4 || row[1] != region_name) continue;
    for (auto& type : types)
      if (type.name == row[0]) {
        type.on_demand = row[2];
        type.spot = row[3];
      }
  }
  return types;
}

struct ImageLine {
  std::string name, description;
  std::string_view arch, owner_id, owner_alias, root_device, login_user;
  std::int64_t gib;
  std::vector<std::string> parameters;
  std::array<const char*, 2> days = {"20260117", "20251108"};  ///< of its builds, the newest first
};

std::vector<ImageLine> make_lines() {
  constexpr std::string_view dlami = "/aws/service/deeplearning/ami/";
  constexpr std::string_view canonical = "/aws/service/canonical/ubuntu/server/";
  const auto deep = [&](std::string_view arch, const std::string& type) {
    return std::vector{fmt::format("{}{}/{}/latest/ami-id", dlami, arch, type)};
  };
  const auto ubuntu = [&](std::string_view version, std::string_view arch) {
    std::vector<std::string> names;
    for (const char* disk : {"ebs-gp2", "ebs-gp3"})
      names.push_back(fmt::format("{}{}/stable/current/{}/hvm/{}/ami-id", canonical, version, arch, disk));
    return names;
  };
  std::vector<ImageLine> out = {
      {"ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-", "Canonical, Ubuntu, 22.04 LTS, amd64 jammy image",
       "x86_64", "099720109477", "", "/dev/sda1", "ubuntu", 8, ubuntu("22.04", "amd64")},
      {"ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-arm64-server-", "Canonical, Ubuntu, 22.04 LTS, arm64 jammy image",
       "arm64", "099720109477", "", "/dev/sda1", "ubuntu", 8, ubuntu("22.04", "arm64")},
      {"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-amd64-server-", "Canonical, Ubuntu, 24.04 LTS, amd64 noble image",
       "x86_64", "099720109477", "", "/dev/sda1", "ubuntu", 8, ubuntu("24.04", "amd64")},
      {"ubuntu/images/hvm-ssd-gp3/ubuntu-noble-24.04-arm64-server-", "Canonical, Ubuntu, 24.04 LTS, arm64 noble image",
       "arm64", "099720109477", "", "/dev/sda1", "ubuntu", 8, ubuntu("24.04", "arm64")},
      {"al2023-ami-2023.9-kernel-6.1-x86_64-",
       "Amazon Linux 2023 AMI x86_64 HVM kernel-6.1",
       "x86_64",
       "137112412989",
       "amazon",
       "/dev/xvda",
       "ec2-user",
       8,
       {"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"}},
      {"al2023-ami-2023.9-kernel-6.1-arm64-",
       "Amazon Linux 2023 AMI arm64 HVM kernel-6.1",
       "arm64",
       "137112412989",
       "amazon",
       "/dev/xvda",
       "ec2-user",
       8,
       {"/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64",
        "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"}},
  };
  const std::string gpus = "Supported EC2 instances: G4dn, G5, G6, Gr6, G6e, P4d, P4de, P5, P5e, P5en, P6-B200";
  const auto add = [&](std::string_view arch, std::string name, std::string description, std::string_view system,
                       std::int64_t gib, std::vector<std::string> parameters) {
    const bool amazon_linux = system.starts_with("Amazon");
    out.push_back({fmt::format("{} ({}) ", name, system),
                   std::move(description),
                   arch,
                   "898082745236",
                   "amazon",
                   amazon_linux ? "/dev/xvda" : "/dev/sda1",
                   amazon_linux ? "ec2-user" : "ubuntu",
                   gib,
                   std::move(parameters),
                   {"20260117", "20251108"}});
  };
  const auto word = [](std::string_view system) {
    auto text = lower(system);
    std::ranges::replace(text, ' ', '-');
    return text;
  };
  for (const char* system : {"Ubuntu 22.04", "Ubuntu 24.04", "Amazon Linux 2023"}) {
    add("x86_64", "Deep Learning Base OSS Nvidia Driver GPU AMI", gpus, system, 35,
        deep("x86_64", "base-oss-nvidia-driver-gpu-" + word(system)));
    add("x86_64", "Deep Learning Base AMI with Single CUDA", gpus + ", G7, P6-B300", system, 30,
        deep("x86_64", "base-with-single-cuda-" + word(system)));
  }
  for (const char* system : {"Ubuntu 22.04", "Ubuntu 24.04"}) {
    add("arm64", "Deep Learning ARM64 Base OSS Nvidia Driver GPU AMI", "Supported EC2 instances: G5g, P6e-GB200",
        system, 35, deep("arm64", "base-oss-nvidia-driver-gpu-" + word(system)));
    add("x86_64", "Deep Learning AMI Neuron", "Supported EC2 instances: Inf2, Trn1, Trn1n, Trn2", system, 60,
        {fmt::format("/aws/service/neuron/dlami/multi-framework/{}/latest/image_id", word(system))});
  }
  // All versions of a framework are built anew on the same day.
  const std::pair<const char*, const char*> frameworks[] = {{"2.7", "Ubuntu 22.04"},
                                                            {"2.9", "Ubuntu 24.04"},
                                                            {"2.10", "Ubuntu 24.04"},
                                                            {"2.11", "Ubuntu 24.04"},
                                                            {"2.11", "Amazon Linux 2023"}};
  for (const auto& [version, system] : frameworks) {
    const auto kind = fmt::format("oss-nvidia-driver-gpu-pytorch-{}-{}", version, word(system));
    add("x86_64", fmt::format("Deep Learning OSS Nvidia Driver AMI GPU PyTorch {}", version), gpus, system, 45,
        deep("x86_64", kind));
    if (!std::string_view(system).starts_with("Amazon"))
      add("arm64", fmt::format("Deep Learning ARM64 AMI OSS Nvidia Driver GPU PyTorch {}", version),
          "Supported EC2 instances: G5g", system, 45, deep("arm64", kind));
  }
  // Whose time is over, and which AWS has built no more since.
  add("x86_64", "Deep Learning OSS Nvidia Driver AMI GPU PyTorch 2.4", gpus, "Ubuntu 22.04", 45, {});
  out.back().days = {"20240830", "20240801"};
  // For machines that AWS has retired: a rehearsal has them still.
  const std::string old = "Supported EC2 instances: P2, P3, P3dn, G3";
  add("x86_64", "Deep Learning Base Proprietary Nvidia Driver GPU AMI", old, "Ubuntu 22.04", 35,
      deep("x86_64", "base-proprietary-nvidia-driver-gpu-ubuntu-22.04"));
  add("x86_64", "Deep Learning Proprietary Nvidia Driver AMI GPU PyTorch 2.3", old, "Ubuntu 22.04", 45,
      deep("x86_64", "proprietary-nvidia-driver-gpu-pytorch-2.3-ubuntu-22.04"));
  add("x86_64", "Deep Learning AMI Habana PyTorch 2.0.1 SynapseAI 1.12.0", "Supported EC2 instances: DL1",
      "Ubuntu 20.04", 45, {});
  return out;
}

const std::vector<ImageLine>& image_lines() {
  static const std::vector<ImageLine> lines = make_lines();
  return lines;
}

std::vector<Image> make_images() {
  std::vector<Image> out;
  for (const auto& line : image_lines()) {
    bool newest = true;
    for (const char* day : line.days) {
      const std::string full = line.name + day;
      const std::string digits = hex(sha256(full));
      const std::string created = fmt::format("{:.4}-{:.2}-{:.2}T06:12:35.000Z", day, day + 4, day + 6);
      out.push_back({.id = "ami-" + digits.substr(0, 17),
                     .name = full,
                     .description = line.description,
                     .arch = std::string(line.arch),
                     .owner_id = std::string(line.owner_id),
                     .owner_alias = std::string(line.owner_alias),
                     .created = created,
                     .snapshot_id = "snap-" + digits.substr(17, 17),
                     .root_device = std::string(line.root_device),
                     .login_user = std::string(line.login_user),
                     .deprecated = std::to_string(parse_int(created.substr(0, 4)).value_or(0) + 2) + created.substr(4),
                     .gib = line.gib,
                     .parameters = std::exchange(newest, false) ? line.parameters : std::vector<std::string>{}});
    }
  }
  return out;
}

}  // namespace

std::vector<std::vector<std::string>> parse_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows;
  bool heading = true;
  for (const auto& line : split(text, '\n'))
    if (!trim(line).empty() && !std::exchange(heading, false)) rows.push_back(split(trim(line), ','));
  return rows;
}

const std::vector<InstanceType>& instance_types() {
  static const std::vector<InstanceType> types = load_types();
  return types;
}

const InstanceType* find_type(std::string_view name) {
  const auto& all = instance_types();
  const auto found = std::find_if(all.begin(), all.end(), [&](const InstanceType& type) { return type.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string spot_price(const InstanceType& type, std::string_view zone) {
  const auto lowest = parse_usd(type.spot);
  if (!lowest || type.spot.empty() || zone.empty()) return {};
  const auto byte_of = [](const std::string& text) { return static_cast<unsigned char>(sha256(text)[0]); };
  const bool cheapest = zone.back() == 'a' + byte_of(type.name) % 6;
  const int percent = cheapest ? 0 : 1 + byte_of(type.name + std::string(zone)) % 12;
  auto micros = lowest->micros + lowest->micros * percent / 100;
  if (const auto limit = parse_usd(type.on_demand); limit && limit->micros > lowest->micros)
    micros = std::min(micros, limit->micros);
  return fmt::format("{}.{:06}", micros / 1'000'000, micros % 1'000'000);
}

std::string quota_bucket(const InstanceType& type, bool spot) {
  const auto family = type.family();
  if (spot && family.starts_with("p5")) return "spot-p5";
  for (const char* letters : {"trn", "inf", "dl", "hpc", "g", "p", "f", "x", "u"}) {
    if (family.starts_with(letters)) return (spot ? "spot-" : "") + std::string(letters);
  }
  return spot ? "spot-standard" : "standard";
}

const std::vector<Image>& images() {
  static const std::vector<Image> all = make_images();
  return all;
}

const Image* find_image(std::string_view id) {
  const auto& all = images();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Image& image) { return image.id == id; });
  return found == all.end() ? nullptr : &*found;
}

const std::vector<std::string>& zones() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> out;
    for (char letter = 'a'; letter <= 'f'; ++letter) out.push_back(std::string(region_name) + letter);
    return out;
  }();
  return all;
}

std::string zone_id(std::string_view zone) {
  constexpr std::array<int, 6> numbers = {4, 6, 1, 2, 3, 5};
  const auto index = static_cast<std::size_t>(zone.empty() ? 0 : zone.back() - 'a');
  return fmt::format("use1-az{}", numbers[std::min(index, numbers.size() - 1)]);
}

}  // namespace ferry::rehearsal
