#include "job/packages.h"

#include <algorithm>

#include "base/text.h"
#include "job/local_log.h"

namespace ferry::job {

namespace {

struct Row {
  const char *module, *packages;
};
/// Where '-', '_' and '.' are all that differs, nothing need be said: package indexes take them for the same.
constexpr Row rows[] = {
    {"Bio", "biopython"},
    {"Crypto", "pycryptodome"},
    {"Cryptodome", "pycryptodomex"},
    {"IPython", "ipython"},
    {"Levenshtein", "levenshtein python-levenshtein"},
    {"MySQLdb", "mysqlclient"},
    {"OpenSSL", "pyopenssl"},
    {"PIL", "pillow"},
    {"absl", "absl-py"},
    {"attr", "attrs"},
    {"bs4", "beautifulsoup4"},
    {"cairo", "pycairo"},
    {"cv2", "opencv-python-headless opencv-python opencv-contrib-python opencv-contrib-python-headless"},
    {"dateutil", "python-dateutil"},
    {"docx", "python-docx"},
    {"dotenv", "python-dotenv"},
    {"faiss", "faiss-cpu faiss-gpu"},
    {"fitz", "pymupdf"},
    {"git", "gitpython"},
    {"google", "protobuf google"},
    {"google.cloud.storage", "google-cloud-storage"},
    {"googleapiclient", "google-api-python-client"},
    {"grpc", "grpcio"},
    {"hydra", "hydra-core"},
    {"imblearn", "imbalanced-learn"},
    {"jose", "python-jose"},
    {"jwt", "pyjwt"},
    {"keras", "keras tensorflow"},
    {"lightning_fabric", "lightning pytorch-lightning"},
    {"magic", "python-magic"},
    {"mpl_toolkits", "matplotlib"},
    {"nacl", "pynacl"},
    {"open_clip", "open-clip-torch"},
    {"osgeo", "gdal"},
    {"pkg_resources", "setuptools"},
    {"pptx", "python-pptx"},
    {"psycopg2", "psycopg2-binary psycopg2"},
    {"pytorch_lightning", "pytorch-lightning lightning"},
    {"pywt", "pywavelets"},
    {"ruamel", "ruamel.yaml"},
    {"serial", "pyserial"},
    {"skimage", "scikit-image"},
    {"sklearn", "scikit-learn"},
    {"skopt", "scikit-optimize"},
    {"slugify", "python-slugify"},
    {"snappy", "python-snappy"},
    {"socks", "pysocks"},
    {"tensorboard", "tensorboard tensorflow"},
    {"torch.utils.tensorboard", "tensorboard tensorflow"},
    {"torchaudio", "torchaudio torch"},
    {"torchvision", "torchvision torch"},
    {"umap", "umap-learn"},
    {"usb", "pyusb"},
    {"websocket", "websocket-client"},
    {"wx", "wxpython"},
    {"yaml", "pyyaml"},
    {"zmq", "pyzmq"},
};

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' ||
           c == '-';
  });
}

/// What stands in `line` behind `before`, up to `end`, if it can be a name.
std::string_view between(std::string_view line, std::string_view before, std::string_view end) {
  const auto at = line.find(before);
  if (at == line.npos) return {};
  line.remove_prefix(at + before.size());
  const auto name = line.substr(0, line.find_first_of(end));
  return is_name(name) ? name : std::string_view();
}

std::optional<Lacking> lacking_in_line(std::string_view line) {
  if (const auto module = between(line, "ModuleNotFoundError: No module named '", "'"); !module.empty())
    return Lacking{std::string(module), packages_of(module)[0]};
  if (line.find("ImportError: ") == line.npos) return std::nullopt;
  // As pandas and transformers say it: by the package's name.
  for (const auto& [before, end] : {std::pair("Missing optional dependency '", "'"), std::pair("requires the ", " "),
                                    std::pair("requires `", "`<>=~! ")}) {
    if (const auto package = between(line, before, end); !package.empty()) return Lacking{{}, std::string(package)};
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::string> packages_of(std::string_view module) {
  for (auto name = module;; name = name.substr(0, name.rfind('.'))) {
    for (const auto& row : rows) {
      if (name == row.module) return split(row.packages, ' ');
    }
    if (name.find('.') == name.npos) return {std::string(name)};
  }
}

std::string package_table() {
  std::string out;
  for (const auto& row : rows) out += fmt::format("{} {}\n", row.module, row.packages);
  return out;
}

std::optional<Lacking> lacking_in(std::string_view text) {
  constexpr std::size_t last_lines = 40;  // a traceback of several processes, and what a launcher says of it
  const auto lines = split(trim(text), '\n');
  for (std::size_t i = lines.size(); i-- > (lines.size() > last_lines ? lines.size() - last_lines : 0);) {
    if (auto found = lacking_in_line(lines[i])) return found;
  }
  return std::nullopt;
}

std::string lacking_line(const os::Path& log, const os::Path& workdir) {
  constexpr std::size_t most = 64 * 1024;
  std::string end;
  (void)LogReader(log).read([&](const agent::LogChunk& chunk) {
    end += chunk.bytes;
    if (end.size() > 2 * most) end.erase(0, end.size() - most);
    return Status();
  });
  const auto lacking = lacking_in(end);
  if (!lacking) return {};
  const auto first = lacking->module.substr(0, lacking->module.find('.'));
  if (!first.empty() && (os::is_directory(workdir / first) || os::exists(workdir / (first + ".py"))))
    return fmt::format(
        "{} is in the workdir, but not where Python looked: start the training there, or set  envs: {{PYTHONPATH: .}}",
        lacking->module);
  const auto what = first.empty() ? lacking->package : lacking->module;
  return fmt::format("{} was not there: write  {}  into requirements.txt, or  setup: pip install {}", what,
                     lacking->package, lacking->package);
}

}  // namespace ferry::job
