// The steps of a process on the stage, and their names: its writes to the ledger, its calls to the store.
#include <set>

#include "base/text.h"
#include "run/stage.h"

namespace ferry::run {

namespace {

std::string side(bool done) { return done ? "after " : "before "; }

/// What a write of the run says that those before did not.
std::string words_of(const ledger::Run& run) {
  if (run.outputs_home) return "that outputs are home";
  if (run.outputs_stored) return "that all is stored";
  if (run.train_end_ms > 0 || run.outcome != ledger::Outcome::none) return "how the training ended";
  if (run.train_start_ms > 0) return "that the training began";
  return "the run";
}

std::string words_of(const std::string& kind) {
  return kind == "key-pair" ? "key pair" : kind == "security-group" ? "security group" : kind;
}

/// The object without the run's name, which is another one each time, and without what depends on contents.
std::string words_of_key(const std::string& key) {
  const auto words = split(key, '/');
  if (words.size() <= 2) return "the run's objects";
  if (words.size() == 3) return words[2];
  return words.back().find('.') != std::string::npos ? words.back() : "a rank's " + words.at(words.size() > 4 ? 4 : 3);
}

}  // namespace

/// The real ledger, each of whose writes is two steps of the process and may be refused.
class SteppedLedger final : public ledger::Ledger {
 public:
  SteppedLedger(Stage& stage, std::unique_ptr<Ledger> real) : stage_(stage), real_(std::move(real)) {}

  Status add_run(const ledger::Run& run) override {
    return write("add_run", "a new run", [&] { return real_->add_run(run); });
  }
  Result<ledger::Run> run(std::string_view name) override { return real_->run(name); }
  Result<std::vector<ledger::Run>> runs(bool unfinished) override { return real_->runs(unfinished); }
  Status move(std::string_view run, ledger::Phase to) override {
    return write("move", fmt::format("phase {}", ledger::name(to)), [&] {
      auto moved = real_->move(run, to);
      if (moved) next_ = ledger::name(to);
      return moved;
    });
  }
  Status update(const ledger::Run& run) override {
    return write("update", words_of(run), [&] { return real_->update(run); });
  }
  Status record_intent(const ledger::Instance& instance) override {
    return write("note_intent", "the intent to rent", [&] { return real_->record_intent(instance); });
  }
  Status record_instance(const ledger::Instance& instance) override {
    return write("note_instance", fmt::format("the machine for {}", ledger::name(instance.state)),
                 [&] { return real_->record_instance(instance); });
  }
  Result<std::vector<ledger::Instance>> instances(std::string_view run) override { return real_->instances(run); }
  Result<std::vector<ledger::Instance>> unreleased() override { return real_->unreleased(); }
  Status record_resource(const ledger::Resource& resource) override {
    return write("note_resource", "the " + words_of(resource.kind) + (resource.released ? " as removed" : ""),
                 [&] { return real_->record_resource(resource); });
  }
  Result<std::vector<ledger::Resource>> resources(std::string_view run) override { return real_->resources(run); }
  Result<std::vector<ledger::Resource>> unreleased_resources() override { return real_->unreleased_resources(); }
  Status adopt(const ledger::Run& run, const ledger::Instance& instance,
               const std::vector<ledger::Resource>& resources) override {
    return write("adopt", "a machine that was found", [&] { return real_->adopt(run, instance, resources); });
  }
  Status take_history(const ledger::Run& run, const ledger::History& history) override {
    return write("take_history", "what another computer did", [&] { return real_->take_history(run, history); });
  }
  Status reserve(const ledger::Reservation& reservation, const Caps& caps) override {
    const auto reserve = [&] { return real_->reserve(reservation, caps); };
    return stage_.reservations_are_steps ? write("reserve", "what it may cost", reserve) : reserve();
  }
  Status let_go(std::string_view run) override { return real_->let_go(run); }
  Result<std::optional<ledger::Reservation>> reservation(std::string_view run) override {
    return real_->reservation(run);
  }
  Result<ledger::Use> use(std::string_view provider) override { return real_->use(provider); }
  Status reserve_purchase(const ledger::Purchase& purchase, const Caps& caps) override {
    return real_->reserve_purchase(purchase, caps);
  }
  Status record_purchase(const ledger::Purchase& purchase) override { return real_->record_purchase(purchase); }
  Result<std::vector<ledger::Purchase>> purchases() override { return real_->purchases(); }
  Status add_event(std::string_view run, std::string_view kind, const Json& data) override {
    return write("add_event", fmt::format("the event {}", kind), [&] { return real_->add_event(run, kind, data); });
  }
  Result<std::vector<ledger::Event>> events(std::string_view run) override { return real_->events(run); }
  Result<std::vector<ledger::Attempt>> attempts(std::string_view run) override { return real_->attempts(run); }
  Result<int> begin_attempt(std::string_view run, const std::string& resumed_from) override {
    int n = 0;
    auto begun = write("begin_attempt", "another attempt", [&]() -> Status {
      TRY_SET(number, "", real_->begin_attempt(run, resumed_from));
      n = number;
      next_ = ledger::name(ledger::Phase::planning);
      return {};
    });
    if (!begun) return tl::unexpected<Error>(std::move(begun).error());
    return n;
  }
  Result<std::vector<ledger::Node>> nodes(std::string_view run) override { return real_->nodes(run); }
  Status record_objects(std::string_view run, const std::vector<ledger::Object>& objects) override {
    return write("record_objects", "what is stored", [&] { return real_->record_objects(run, objects); });
  }
  Result<std::vector<ledger::Object>> objects(std::string_view run) override { return real_->objects(run); }

 private:
  template <class Act>
  Status write(const char* name, const std::string& words, Act act) {
    const auto phase = stage_.phase_;
    stage_.step(phase + ": before the ledger notes " + words);
    if (stage_.refuse_write) {
      if (auto error = stage_.refuse_write(name)) return tl::unexpected<Error>(std::move(*error));
    }
    auto done = act();
    if (!next_.empty()) stage_.phase_ = std::exchange(next_, {});
    stage_.step(phase + ": after the ledger noted " + words);
    return done;
  }

  Stage& stage_;
  std::unique_ptr<Ledger> real_;
  std::string next_;  // the phase that a move led to
};

/// Files come by threads, which are no steps of the process.
class SteppedStore final : public store::Store {
 public:
  SteppedStore(Stage& stage, std::unique_ptr<Store> real) : stage_(stage), real_(std::move(real)) {}

  Result<std::string> put_file(const std::string& key, const os::Path& path, const store::Content& content,
                               const store::Condition& condition, const store::Moved& moved) override {
    return step("put", key, [&] { return real_->put_file(key, path, content, condition, moved); });
  }
  Result<std::string> put(const std::string& key, std::string_view bytes, const store::Condition& condition) override {
    return step("put", key, [&] { return real_->put(key, bytes, condition); });
  }
  Result<store::Object> get_file(const std::string& key, const os::Path& path,
                                 const std::optional<store::Content>& expected, const store::Moved& moved,
                                 store::Flush flush) override {
    return real_->get_file(key, path, expected, moved, flush);
  }
  Result<store::SmallObject> get(const std::string& key, std::size_t limit) override {
    return step("get", key, [&] { return real_->get(key, limit); });
  }
  Result<store::Object> look(const std::string& key) override {
    return step("look at", key, [&] { return real_->look(key); });
  }
  Status list(const std::string& prefix, const std::function<Status(const store::Object&)>& each) override {
    return step("list", prefix, [&] { return real_->list(prefix, each); });
  }
  Status remove(const std::string& key, const store::Condition& condition) override {
    return step("remove", key, [&] { return real_->remove(key, condition); });
  }
  Status remove_all(const std::string& prefix) override {
    return step("remove", prefix, [&] { return real_->remove_all(prefix); });
  }
  std::string uri() const override { return real_->uri(); }

 private:
  template <class Act>
  auto step(const char* verb, const std::string& key, Act act) -> decltype(act()) {
    const auto point = [&](bool done) {
      return fmt::format("{}: {}store {} {}", stage_.phase_, side(done), verb, words_of_key(key));
    };
    stage_.step(point(false));
    auto done = act();
    stage_.step(point(true));
    return done;
  }

  Stage& stage_;
  std::unique_ptr<Store> real_;
};

std::unique_ptr<ledger::Ledger> Stage::in_steps(std::unique_ptr<ledger::Ledger> real) {
  return std::make_unique<SteppedLedger>(*this, std::move(real));
}

std::unique_ptr<store::Store> Stage::in_steps(std::unique_ptr<store::Store> real) {
  return std::make_unique<SteppedStore>(*this, std::move(real));
}

void Stage::pass(const std::string& point) {
  if (!passed_.insert(point).second) return;
  points_.push_back(point);
  if (on_point) on_point(point);
}

void Stage::lose_laptop() {
  ledger_.reset();
  std::filesystem::remove_all(data());
  std::filesystem::remove_all(dir_.path() / "runs");
  must(os::make_dirs(data() / "rehearsal", 0700));
  open_ledger();
}

std::string point_of_call(const std::string& phase, const std::string& call, bool done) {
  static const std::map<std::string, std::string> words = {{"whoami", "sts GetCallerIdentity"},
                                                           {"newest_image", "ec2 DescribeImages"},
                                                           {"import_key", "ec2 ImportKeyPair"},
                                                           {"delete_key", "ec2 DeleteKeyPair"},
                                                           {"public_key", "ec2 DescribeKeyPairs"},
                                                           {"ensure_group", "ec2 CreateSecurityGroup"},
                                                           {"delete_group", "ec2 DeleteSecurityGroup"},
                                                           {"zones_with", "ec2 DescribeInstanceTypeOfferings"},
                                                           {"launch", "ec2 RunInstances"},
                                                           {"describe", "ec2 DescribeInstances of the machine"},
                                                           {"find_by_tag", "ec2 DescribeInstances by tag"},
                                                           {"find_by_token", "ec2 DescribeInstances by token"},
                                                           {"terminate", "ec2 TerminateInstances"},
                                                           {"tag", "ec2 CreateTags"},
                                                           {"caller_cidr", "this computer's own address is asked for"}};
  const auto found = words.find(call);
  return phase + ": " + side(done) + (found == words.end() ? call : found->second);
}

std::string point_of_line(const std::string& phase, const std::string& line) {
  const bool begins = line.starts_with("begin "), ends = line.starts_with("done ");
  if (!begins && !ends) return {};
  const auto about = line.substr(line.find(' ') + 1);
  return phase + ": " + about.substr(0, about.find(':')) + (begins ? " begins" : " is done");
}

}  // namespace ferry::run
