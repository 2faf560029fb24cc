#include "task/yaml.h"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "base/text.h"
#include "task/yaml_text.h"

namespace ferry::task {
namespace {

constexpr int max_height = 64;
constexpr std::size_t max_merged = 10'000, most_documents = 100;

/// Leaves yaml-cpp's callbacks, which have no other way to stop a parse. Caught in read_yaml.
struct Stop {
  Place at;
  std::string what, why, advice;
};

Place place_of(const YAML::Mark& mark) { return {std::max(0, mark.line) + 1, std::max(0, mark.column) + 1}; }

/// Builds the tree out of yaml-cpp's events and refuses what yaml-cpp lets pass.
class Builder final : public YAML::EventHandler {
 public:
  explicit Builder(std::string_view text) : text_(text) {}

  /// What was read; a single document with the name of a first one that had nothing else.
  Documents documents() {
    Documents out{header_ ? header_->entries.front().value->text : "", std::move(roots_)};
    if (out.roots.size() > 1)
      std::erase_if(out.roots, [](const NodePtr& one) { return one->type == Node::Type::null; });
    if (out.roots.empty()) out.roots.push_back(std::make_shared<Node>());
    auto& first = out.roots.front();
    if (!header_ || out.roots.size() > 1 || first->type != Node::Type::map || first->find("name")) return out;
    auto named = std::make_shared<Node>(*first);
    named->entries.insert(named->entries.begin(), header_->entries.front());
    first = std::move(named);
    return out;
  }
  /// Where the last quoted or plain text began, in bytes.
  std::optional<std::size_t> last_text() const { return last_text_; }
  /// Where the innermost list or map began that has not ended.
  Place innermost() const { return open_.empty() ? Place{} : open_.back().node->at; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ == 1) return;
    const auto rest = text_.substr(std::min(text_.size(), static_cast<std::size_t>(mark.pos)));
    if (!rest.starts_with("---") && !trim(rest).empty()) {
      throw Stop{place_of(mark), "not valid YAML: this does not fit what stands above it",
                 "a file is one mapping of fields; a list or a value beside it has no name",
                 "give it a name, as in 'outputs:', and indent what belongs to it"};
    }
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    // A closing `---` makes an empty last document.
    if (documents_ > 1 && open_.empty() && trim(text_.substr(position(mark))).empty()) return;
    add(made(Node::Type::null, mark), mark, anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Stop{place_of(mark), "this alias stands inside what it names", {}, {}};
    add(found->second, mark, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    last_text_ = position(mark);
    if (value.find('\0') != value.npos) {
      throw Stop{place_of(mark), "text with a NUL byte (\\0) in it", "no program can be given such text", {}};
    }
    auto node = made(Node::Type::text, mark);
    node->text = value;
    add(std::move(node), mark, anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Type::list, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Type::map, mark, tag, anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    std::shared_ptr<Node> node;
    YAML::Mark mark;
    YAML::anchor_t anchor = 0;
    bool named = false;           ///< in a map: the name of the next value has been read
    std::set<std::string> names;  ///< of this map
    std::vector<Entry> merges;    ///< what `<<` names
  };

  /// A name; and perhaps that they run one after the other, as they do.
  static bool is_name_only(const Node* node) {
    if (!node || node->type != Node::Type::map || node->entries.empty()) return false;
    const auto& first = node->entries.front();
    const bool is_serial =
        node->entries.size() == 1 ||
        (node->entries.size() == 2 && node->entries[1].name == "execution" && node->entries[1].value->text == "serial");
    return is_serial && first.name == "name" && first.value->type == Node::Type::text;
  }

  std::size_t position(const YAML::Mark& mark) const {
    return std::min(text_.size(), static_cast<std::size_t>(std::max(0, mark.pos)));
  }

  static std::shared_ptr<Node> made(Node::Type type, const YAML::Mark& mark) {
    auto node = std::make_shared<Node>();
    node->type = type;
    node->at = place_of(mark);
    return node;
  }

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    static const std::set<std::string_view> known = {"",
                                                     "?",
                                                     "!",
                                                     "tag:yaml.org,2002:str",
                                                     "tag:yaml.org,2002:int",
                                                     "tag:yaml.org,2002:float",
                                                     "tag:yaml.org,2002:bool",
                                                     "tag:yaml.org,2002:null",
                                                     "tag:yaml.org,2002:map",
                                                     "tag:yaml.org,2002:seq",
                                                     "tag:yaml.org,2002:set"};
    if (known.contains(tag)) return;
    throw Stop{place_of(mark),
               fmt::format("unknown YAML tag '{}'", printable(tag)),
               {},
               "leave the tag out; to begin a text with '!', put it in quotes"};
  }

  void open(Node::Type type, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    check_tag(mark, tag);
    if (open_.size() >= max_height) too_deep(mark);
    open_.push_back({made(type, mark), mark, anchor, false, {}, {}});
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    for (const auto& merge : done.merges) merge_into(*done.node, done.names, merge);
    add(std::move(done.node), done.mark, done.anchor);
  }

  /// `node` is complete: it becomes the root, an item, a name or a value.
  void add(NodePtr node, const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor) anchors_[anchor] = node;
    if (open_.empty()) {
      // SkyPilot's pipelines begin with a document that has their name; behind it, one task is one task.
      if (documents_ == 2 && roots_.size() == 1 && is_name_only(roots_.front().get())) {
        header_ = roots_.front();
        roots_.clear();
      }
      if (roots_.size() >= most_documents)
        throw Stop{place_of(mark), fmt::format("more than {} documents", most_documents), {}, "write several files"};
      roots_.push_back(std::move(node));
      return;
    }
    Open& parent = open_.back();
    if (parent.node->type == Node::Type::map && !parent.named) return add_name(parent, *node, mark);
    parent.node->height = std::max(parent.node->height, node->height + 1);
    if (parent.node->height > max_height) too_deep(mark);
    if (parent.node->type == Node::Type::list) {
      parent.node->entries.push_back({{}, place_of(mark), std::move(node)});
      return;
    }
    parent.named = false;
    parent.node->entries.back().value = std::move(node);
    if (parent.node->entries.back().name == "<<") {
      parent.merges.push_back(std::move(parent.node->entries.back()));
      parent.node->entries.pop_back();
    }
  }

  static void add_name(Open& parent, const Node& name, const YAML::Mark& mark) {
    if (name.type != Node::Type::text || name.text.empty()) {
      throw Stop{place_of(mark), "a field's name must be plain text", {}, {}};
    }
    if (!parent.names.insert(name.text).second) {
      int first = 0;
      for (const auto& entry : parent.node->entries) {
        if (entry.name == name.text) first = entry.at.line;
      }
      throw Stop{place_of(mark), fmt::format("'{}' is written twice", printable(name.text)),
                 first ? fmt::format("the first is on line {}", first) : "", "keep one of them"};
    }
    parent.named = true;
    parent.node->entries.push_back({name.text, place_of(mark), nullptr});
  }

  void merge_into(Node& into, std::set<std::string>& names, const Entry& merge) {
    std::vector<NodePtr> sources;
    if (merge.value->type == Node::Type::list) {
      for (const auto& item : merge.value->entries) sources.push_back(item.value);
    } else {
      sources.push_back(merge.value);
    }
    for (const auto& source : sources) {
      if (source->type != Node::Type::map) {
        throw Stop{merge.at, "'<<' takes a mapping or a list of mappings", {}, "write it like '<<: *name'"};
      }
      for (const auto& entry : source->entries) {
        if (++merged_ > max_merged) throw Stop{merge.at, "'<<' brings in more than 10,000 fields", {}, {}};
        if (names.insert(entry.name).second) into.entries.push_back(entry);
      }
      into.height = std::max(into.height, source->height);
    }
  }

  [[noreturn]] static void too_deep(const YAML::Mark& mark) {
    throw Stop{place_of(mark), fmt::format("nested deeper than {} levels", max_height), {}, {}};
  }

  std::string_view text_;
  int documents_ = 0;
  std::size_t merged_ = 0;
  NodePtr header_;
  std::vector<NodePtr> roots_;
  std::vector<Open> open_;
  std::map<YAML::anchor_t, NodePtr> anchors_;
  std::optional<std::size_t> last_text_;
};

}  // namespace

const Entry* Node::find(std::string_view name) const {
  for (const auto& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::string show(std::string_view file, Place at) {
  return fmt::format("{}:{}:{}", printable(file), at.line, at.column);
}

tl::unexpected<Error> complain(std::string_view file, Place at, std::string_view what, std::string why,
                               std::string advice, Kind kind) {
  return fail(kind, fmt::format("{}: {}", show(file, at), what), std::move(why), std::move(advice));
}

Result<Documents> read_documents(std::string_view text, std::string_view file) try {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  if (auto flaw = flaw_in_bytes(text)) return complain(file, flaw->at, flaw->what, flaw->why, flaw->advice);
  Builder builder(text);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const YAML::Exception& e) {
    const auto flaw = explained(text, e, builder.last_text().value_or(0), builder.innermost());
    return complain(file, flaw.at, flaw.what, flaw.why, flaw.advice);
  }
  if (builder.last_text()) {
    if (auto flaw = open_quote(text, *builder.last_text())) {
      return complain(file, flaw->at, flaw->what, flaw->why, flaw->advice);
    }
  }
  return builder.documents();
} catch (const Stop& stop) {
  return complain(file, stop.at, stop.what, stop.why, stop.advice);
}

Result<NodePtr> read_yaml(std::string_view text, std::string_view file) {
  TRY_SET(read, "", read_documents(text, file));
  if (read.roots.size() > 1)
    return complain(file, read.roots[1]->at, "more than one document (separated by '---')",
                    "a file with several documents is a pipeline of tasks; here one is expected",
                    "write each task to a file of its own");
  return read.roots.front();
}

}  // namespace ferry::task
