#include "cloud/volumes.h"

#include <algorithm>

#include "aws/ec2_standing.h"
#include "base/text.h"
#include "cloud/aws_client.h"

namespace ferry::cloud {

bool is_volume_id(std::string_view text) {
  constexpr std::string_view prefix = "vol-";
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return (text.size() == 8 || text.size() == 17) && text.find_first_not_of("0123456789abcdef") == text.npos;
}

Result<std::vector<Volume>> find_volumes(aws::Client& client, const std::string& named) {
  const bool by_id = is_volume_id(named);
  TRY_SET(records, "",
          aws::describe_volumes(client, {{by_id ? "volume-id" : "tag:Name", {by_id ? named : literal(named)}}}));
  std::vector<Volume> out;
  for (auto& record : records) {
    const auto tag = record.tags.find("Name");
    const auto name = tag == record.tags.end() ? std::string() : tag->second;
    // An endpoint that ignores the filter must not make us take what is someone else's.
    if ((by_id ? record.id : name) != named || record.state.starts_with("delet")) continue;
    out.push_back({.id = std::move(record.id),
                   .name = name,
                   .zone = std::move(record.zone),
                   .region = client.config().region,
                   .gib = record.gib,
                   .state = std::move(record.state),
                   .instance = std::move(record.instance),
                   .device = std::move(record.device),
                   .attachment = std::move(record.attachment),
                   .ends_with_instance = record.ends_with_instance});
  }
  return out;
}

}  // namespace ferry::cloud
