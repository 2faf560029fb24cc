#pragma once
/// \file
/// The rehearsal cloud's S3: any request of an S3 client, from its head and body to the answer. Strict where
/// the real one is: signatures of head, chunks and trailers, hashes, checksums, conditions, regions, owners.
///
/// The region that a request is signed for stands for the regional endpoint that it was sent to: who signs
/// for another one than a bucket's gets 301 PermanentRedirect, with x-amz-bucket-region. Buckets may be made
/// in any region. There are no versions, no keys of KMS, no ACLs, no anonymous access; what is missing
/// answers NotImplemented.

#include <mutex>

#include "rehearsal/asked.h"
#include "rehearsal/faults.h"
#include "rehearsal/s3_actions.h"

namespace ferry::rehearsal {

/// What the service knows of the rest of the cloud. All may be called from many threads.
struct S3World {
  FindKey find_key;
  std::function<std::int64_t()> now_ms;  ///< as this cloud's clock shows it
  /// What a request is to meet; `conditional`: it has a condition and writes.
  std::function<S3Trouble(const Asked& asked, bool conditional)> trouble;
  std::function<void(Millis)> sleep;
  std::function<void(const std::string&)> log;  ///< a line for each request: "s3:PutObject 200 4 ms"; may be empty
};

class S3Service {
 public:
  S3Service(std::unique_ptr<S3Store> store, S3World world) : store_(std::move(store)), world_(std::move(world)) {}
  /// For os::HttpServer. Safe from many threads at once.
  os::ServedReply handle(const os::ServedRequest& request, os::BodyReader& body);
  S3Store& store() { return *store_; }

 private:
  struct Progress {
    std::string action = "?";
    std::string resource = "/";
    std::string region;  // of the bucket, as far as it is known
  };
  S3Result<os::ServedReply> answer(const os::ServedRequest& served, os::BodyReader& body, Progress& progress);
  S3Result<os::ServedReply> run(const S3Action& action, S3Call& call, const S3Trouble& trouble);
  S3Status check_policies(const S3Request& request, const S3Key& key, const char* permission, const S3Bucket* bucket,
                          const std::string& key_name, bool plain_http);
  void carry_out_lifecycle_when_due();

  std::unique_ptr<S3Store> store_;
  const S3World world_;
  std::mutex mutex_;  // of what follows
  std::int64_t lifecycle_ms_ = 0;
};

}  // namespace ferry::rehearsal
