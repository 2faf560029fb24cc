#include "run/lease_register.h"

#include "fleet/labels.h"
#include "store/keys.h"

namespace ferry::run {

namespace {

constexpr std::size_t most_bytes = 4096;

class StoreRegister final : public Register {
 public:
  StoreRegister(std::unique_ptr<store::Store> store, std::string key)
      : store_(std::move(store)), key_(std::move(key)) {}

  Result<Value> read() override {
    const auto object = store_->get(key_, most_bytes);
    if (!object && object.error().kind == Kind::not_found) return Value();
    if (!object) return tl::unexpected<Error>(object.error());
    return Value{object->bytes, object->object.version};
  }
  Result<std::string> write(const std::string& text, const std::string& expected) override {
    return store_->put(key_, text, expected.empty() ? store::if_absent() : store::if_still(expected));
  }
  bool is_conditional() const override { return true; }

 private:
  std::unique_ptr<store::Store> store_;
  std::string key_;
};

class TagRegister final : public Register {
 public:
  TagRegister(std::unique_ptr<cloud::Cloud> cloud, std::string id) : cloud_(std::move(cloud)), id_(std::move(id)) {}

  Result<Value> read() override {
    TRY_SET(now, "", cloud_->describe(id_));
    if (!now.alive()) return fail(Kind::not_found, id_ + " is " + std::string(name(now.state)), now.state_reason);
    const auto tag = now.tags.find(fleet::lease_tag);
    if (tag != now.tags.end()) return Value{tag->second, tag->second};
    // Nobody has taken it yet but who rented the machine.
    const auto ledger = now.tags.find(fleet::ledger_tag), owner = now.tags.find(fleet::owner_tag);
    if (ledger == now.tags.end()) return Value();
    return Value{dump_json({{"ledger", ledger->second}, {"who", owner == now.tags.end() ? "" : owner->second}}), "none"};
  }
  Result<std::string> write(const std::string& text, const std::string&) override {
    TRY("", cloud_->tag(id_, {{fleet::lease_tag, text}}));
    return text;
  }
  bool is_conditional() const override { return false; }

 private:
  std::unique_ptr<cloud::Cloud> cloud_;
  std::string id_;
};

}  // namespace

std::unique_ptr<Register> store_register(std::unique_ptr<store::Store> store, const std::string& run) {
  return std::make_unique<StoreRegister>(std::move(store), store::lease_key(run));
}

std::unique_ptr<Register> tag_register(std::unique_ptr<cloud::Cloud> cloud, std::string instance_id) {
  return std::make_unique<TagRegister>(std::move(cloud), std::move(instance_id));
}

}  // namespace ferry::run
