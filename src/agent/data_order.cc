#include "agent/data_order.h"

#include <algorithm>
#include <array>

#include "agent/protocol.h"
#include "base/store_place.h"
#include "base/text.h"

namespace ferry::agent {
namespace {

constexpr std::array<std::string_view, 5> event_names = {"found", "moved", "done", "skipped", "failed"};

std::uint64_t count_at(const Json& json, const char* name) {
  return static_cast<std::uint64_t>(std::max<std::int64_t>(int_at(json, name), 0));
}

bool truth_at(const Json& json, const char* name) {
  const auto at = json.find(name);
  return at != json.end() && at->is_boolean() && at->get<bool>();
}

}  // namespace

Json to_json(const DataOrder& order) {
  Json out = {{"items", Json::array()},
              {"region", order.region},
              {"endpoint", order.endpoint},
              {"has_new_role", order.has_new_role},
              {"goes_back", order.goes_back}};
  for (const auto& item : order.items)
    out["items"].push_back({{"bucket", item.bucket},
                            {"key", item.key},
                            {"to", item.to},
                            {"may_be_empty", item.may_be_empty},
                            {"only_looks", item.only_looks}});
  return out;
}

Result<DataOrder> data_order_from(const Json& json) {
  const auto wrong = [](const std::string& why) {
    return fail(Kind::bad_input, "that does not say what is to be copied", why);
  };
  if (!json.is_object() || !json.contains("items") || !json["items"].is_array()) return wrong("there are no items");
  DataOrder order;
  for (const auto& one : json["items"]) {
    if (!one.is_object()) return wrong("an item is none");
    order.items.push_back({text_at(one, "bucket"), text_at(one, "key"), text_at(one, "to"),
                           truth_at(one, "may_be_empty"), truth_at(one, "only_looks")});
    const auto& item = order.items.back();
    if (!is_bucket_name(item.bucket)) return wrong("no bucket's name: " + short_line(item.bucket, 100));
    if (!item.to.starts_with('/') || item.to.find('\0') != item.to.npos)
      return wrong("no absolute place: " + short_line(item.to, 100));
  }
  order.region = text_at(json, "region");
  order.endpoint = text_at(json, "endpoint");
  order.has_new_role = truth_at(json, "has_new_role");
  order.goes_back = truth_at(json, "goes_back");
  return order;
}

Json to_json(const DataEvent& event) {
  Json out = {{"is", event_names[static_cast<std::size_t>(event.is)]},
              {"item", event.item},
              {"files", event.files},
              {"bytes", event.bytes}};
  if (event.is == DataEvent::Is::found) {
    out["region"] = event.region;
    out["is_anonymous"] = event.is_anonymous;
    out["is_file"] = event.is_file;
  }
  if (event.is == DataEvent::Is::done || event.is == DataEvent::Is::moved) {
    out["kept_files"] = event.kept_files;
    out["kept_bytes"] = event.kept_bytes;
  }
  if (!event.text.empty()) out["text"] = event.text;
  if (event.error) out["error"] = to_json(*event.error);
  return out;
}

Result<DataEvent> data_event_from(const Json& json) {
  if (!json.is_object()) return fail(Kind::corrupt, "no event of a copy");
  const auto found = std::ranges::find(event_names, text_at(json, "is"));
  if (found == event_names.end())
    return fail(Kind::corrupt, "no event of a copy: " + short_line(text_at(json, "is"), 40));
  DataEvent event;
  event.is = static_cast<DataEvent::Is>(found - event_names.begin());
  event.item = count_at(json, "item");
  event.files = count_at(json, "files");
  event.bytes = count_at(json, "bytes");
  event.kept_files = count_at(json, "kept_files");
  event.kept_bytes = count_at(json, "kept_bytes");
  event.region = short_line(text_at(json, "region"), 40);
  event.is_anonymous = truth_at(json, "is_anonymous");
  event.is_file = truth_at(json, "is_file");
  event.text = short_line(text_at(json, "text"), 400);
  if (event.is == DataEvent::Is::failed) event.error = error_from(json.value("error", Json::object()));
  return event;
}

}  // namespace ferry::agent
