#include <algorithm>

#include "base/text.h"
#include "s3/copy.h"
#include "s3/objects.h"

namespace ferry::s3 {
namespace {

enum class HowMuch { all, first };

/// Adds what is below `prefix`, but for a console's "folder/" markers.
Status list_below(Line& line, const std::string& prefix, HowMuch wanted, const Copying& moved, Found& found) {
  for (std::string token;;) {
    Call call{.action = "ListBucket", .doing = "list s3://" + line.session().place().bucket + "/" + printable(prefix)};
    call.query = "list-type=2&encoding-type=url&prefix=" + percent_encoded(prefix);
    if (wanted == HowMuch::first) call.query += "&max-keys=2";  // a marker may be the first
    if (!token.empty()) call.query += "&continuation-token=" + percent_encoded(token);
    if (moved) call.streams.moved = [&](std::uint64_t) { return moved(0, 0); };
    TRY_SET(answer, "", line.call(call));
    TRY_SET(page, call.doing, parse_list(answer.body));
    for (auto& one : page.objects) {
      if (!one.key.starts_with(prefix))
        return fail(Kind::corrupt, call.doing + ": S3 listed something else", printable(one.key));
      if (one.key.ends_with('/') || one.key.size() == prefix.size()) continue;
      found.bytes += one.bytes;
      found.objects.push_back(std::move(one));
    }
    if (page.next.empty() || wanted == HowMuch::first) return {};
    token = page.next;
  }
}

Result<Found> find(const std::shared_ptr<Session>& session, const std::string& key, HowMuch wanted,
                   const Copying& moved) {
  Line line(session);
  Found found;
  found.base = key.empty() || key.ends_with('/') ? key : key + "/";
  auto listed = list_below(line, found.base, wanted, moved, found);
  if (listed && !found.objects.empty()) return found;
  if (!listed && listed.error().kind != Kind::denied) return tl::unexpected(std::move(listed).error());
  const auto nothing = [&] {
    return fail(Kind::not_found, "there is nothing at s3://" + session->place().bucket + "/" + printable(key), {},
                "check the name, as by  aws s3 ls");
  };
  const bool may_be_file = !key.empty() && !key.ends_with('/');
  if (!may_be_file) return listed ? nothing() : tl::unexpected(std::move(listed).error());
  auto head = head_object(line, key);
  if (head) {
    found.is_file = true;
    found.bytes = head->bytes;
    found.objects.push_back({key, head->etag, head->bytes, head->modified_ms});
    return found;
  }
  if (head.error().kind != Kind::not_found && head.error().kind != Kind::denied)
    return tl::unexpected(std::move(head).error());
  return listed ? nothing() : tl::unexpected(std::move(listed).error());
}

}  // namespace

Result<Found> find_objects(const std::shared_ptr<Session>& session, const std::string& key, const Copying& moved) {
  return find(session, key, HowMuch::all, moved);
}

Result<Found> find_first(const std::shared_ptr<Session>& session, const std::string& key) {
  return find(session, key, HowMuch::first, {});
}

}  // namespace ferry::s3
