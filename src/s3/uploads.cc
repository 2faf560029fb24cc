#include "s3/uploads.h"

#include "base/text.h"

namespace ferry::s3 {

Result<std::vector<BegunUpload>> list_uploads(const std::shared_ptr<Session>& session, const std::string& prefix) {
  Line line(session);
  const std::string whole = session->place().prefix + prefix;
  std::vector<BegunUpload> all;
  for (std::string key, id;;) {
    Call call{.action = "ListBucketMultipartUploads", .doing = "list unfinished uploads below " + printable(whole)};
    call.query = "encoding-type=url";
    if (!key.empty()) call.query += "&key-marker=" + percent_encoded(key);
    call.query += "&prefix=" + percent_encoded(whole);
    if (!id.empty()) call.query += "&upload-id-marker=" + percent_encoded(id);
    call.query += "&uploads=";
    TRY_SET(answer, "", line.call(call));
    TRY_SET(page, call.doing, parse_uploads(answer.body));
    for (auto& one : page.uploads) {
      if (one.key.starts_with(whole)) all.push_back(std::move(one));
    }
    if (page.next_key.empty()) return all;
    if (page.next_key == key && page.next_id == id)
      return fail(Kind::corrupt, call.doing + ": S3's list never comes to an end");
    key = page.next_key;
    id = page.next_id;
  }
}

Status abort_upload(const std::shared_ptr<Session>& session, const BegunUpload& upload) {
  Line line(session);
  Call call{.action = "AbortMultipartUpload",
            .doing = "remove the unfinished upload of " + printable(upload.key),
            .method = "DELETE",
            .key = upload.key,
            .query = "uploadId=" + percent_encoded(upload.id)};
  const auto done = line.call(call);
  if (!done && done.error().kind != Kind::not_found) return tl::unexpected(done.error());
  return {};
}

}  // namespace ferry::s3
