#include "s3/s3_store.h"

#include "base/text.h"
#include "s3/objects.h"
#include "s3/xml.h"
#include "store/keys.h"

namespace ferry::s3 {
namespace {

class S3Store final : public store::Store {
 public:
  explicit S3Store(std::shared_ptr<Session> session)
      : session_(std::move(session)), prefix_(session_->place().prefix), line_(session_) {}

  Result<std::string> put_file(const std::string& key, const os::Path& path, const store::Content& content,
                               const store::Condition& condition, const store::Moved& moved) override {
    TRY("", store::check_key(key));
    return upload(line_, {prefix_ + key, path, content, condition, moved});
  }

  Result<std::string> put(const std::string& key, std::string_view bytes, const store::Condition& condition) override {
    TRY("", store::check_key(key));
    if (bytes.size() > store::most_small)
      return fail(Kind::bad_input, "too much at once for the stored " + printable(key));
    return put_bytes(line_, prefix_ + key, bytes, condition);
  }

  Result<store::Object> get_file(const std::string& key, const os::Path& path,
                                 const std::optional<store::Content>& expected, const store::Moved& moved,
                                 store::Flush flush) override {
    TRY("", store::check_key(key));
    TRY_SET(head, "", download(line_, {prefix_ + key, path, expected, moved, flush}));
    return object_of(key, head);
  }

  Result<store::SmallObject> get(const std::string& key, std::size_t limit) override {
    TRY("", store::check_key(key));
    // A refusal of somebody new would be asked about again and again.
    if (session_->limits().newcomer > Millis(0)) {
      TRY_SET(listed, "", is_listed(key));
      if (!listed) return missing(key);
    }
    auto got = get_bytes(line_, prefix_ + key, limit);
    if (!got && is_only_unlisted(got.error(), key)) return missing(key);
    if (!got) return tl::unexpected<Error>(std::move(got).error());
    return store::SmallObject{std::move(got->first), object_of(key, got->second)};
  }

  Result<store::Object> look(const std::string& key) override {
    TRY("", store::check_key(key));
    const auto head = head_object(line_, prefix_ + key);
    if (!head && is_only_unlisted(head.error(), key)) return missing(key);
    if (!head) return tl::unexpected<Error>(head.error());
    return object_of(key, *head);
  }

  Status list(const std::string& prefix, const std::function<Status(const store::Object&)>& each) override {
    TRY("", store::check_prefix(prefix));
    for (std::string token;;) {
      Call call{.action = "ListBucket", .doing = "list what is stored below " + printable(prefix_ + prefix)};
      call.query = "list-type=2&encoding-type=url&prefix=" + percent_encoded(prefix_ + prefix);
      if (!token.empty()) call.query += "&continuation-token=" + percent_encoded(token);
      TRY_SET(answer, "", line_.call(call));
      TRY_SET(page, call.doing, parse_list(answer.body));
      for (const Listed& one : page.objects) {
        if (!one.key.starts_with(prefix_ + prefix))
          return fail(Kind::corrupt, call.doing + ": S3 listed something else", printable(one.key));
        const std::string key = one.key.substr(prefix_.size());
        if (!store::check_key(key)) continue;  // another tool's, such as a console's "folder/"
        TRY("", each({key, one.bytes, one.etag, "", one.modified_ms}));
      }
      if (page.next.empty()) return {};
      token = page.next;
    }
  }

  Status remove(const std::string& key, const store::Condition& condition) override {
    TRY("", store::check_key(key));
    if (condition.is == store::Condition::Is::absent)
      return fail(Kind::bad_input, "nothing to remove where nothing may be");
    return remove_object(line_, prefix_ + key, condition);
  }

  Status remove_all(const std::string& prefix) override {
    if (!prefix.ends_with('/')) return fail(Kind::bad_input, "no whole level of the store: " + printable(prefix));
    constexpr std::size_t page = 1000;  // S3's limit of DeleteObjects
    std::vector<std::string> keys;
    Line other(session_);  // while a page of the list is being walked
    TRY("", list(prefix, [&](const store::Object& object) -> Status {
          keys.push_back(prefix_ + object.key);
          if (keys.size() < page) return {};
          return remove_objects(other, std::exchange(keys, {}));
        }));
    return remove_objects(other, keys);
  }

  std::string uri() const override { return uri_of(session_->place()); }

 private:
  /// An object of just that key is there.
  Result<bool> is_listed(const std::string& key) {
    std::optional<bool> first;  // of the keys that begin so it is the least
    const auto listed = list(key, [&](const store::Object& object) -> Status {
      first = object.key == key;
      return fail(Kind::cancelled, "one is enough");
    });
    if (!listed && !first) return tl::unexpected<Error>(listed.error());
    return first.value_or(false);
  }
  /// To who may list a prefix only, S3 says that what is missing is denied.
  bool is_only_unlisted(const Error& error, const std::string& key) {
    if (error.kind != Kind::denied) return false;
    const auto listed = is_listed(key);
    return listed && !*listed;
  }
  static tl::unexpected<Error> missing(const std::string& key) {
    return fail(Kind::not_found, "there is nothing stored at " + printable(key));
  }
  static store::Object object_of(const std::string& key, const Head& head) {
    return {key, head.bytes, head.etag, head.sha256, head.modified_ms};
  }

  std::shared_ptr<Session> session_;
  std::string prefix_;
  Line line_;
};

}  // namespace

std::unique_ptr<store::Store> make_store(std::shared_ptr<Session> session) {
  return std::make_unique<S3Store>(std::move(session));
}

}  // namespace ferry::s3
