#include "aws/xml.h"

#include <limits>

#include "base/text.h"

namespace ferry::aws {
namespace {

/// A full page of 1,000 instances is about 5 MB.
constexpr std::size_t largest_answer = std::size_t{64} << 20;

}  // namespace

Status load_xml(XmlAnswer& answer, std::string_view xml, const std::string& root) {
  const std::string advice = "check that AWS_ENDPOINT_URL (if set) names an AWS endpoint, and repeat";
  const std::string what = "AWS's answer is not a " + root;
  if (xml.size() > largest_answer) return fail(Kind::corrupt, what, "it is too large", advice);
  const auto parsed = answer.document.load_buffer(xml.data(), xml.size(), pugi::parse_default, pugi::encoding_utf8);
  if (!parsed) return fail(Kind::corrupt, what, std::string("XML: ") + parsed.description(), advice);
  answer.root = answer.document.document_element();
  if (answer.root.name() != root) {
    return fail(Kind::corrupt, what, "it is <" + printable(std::string_view(answer.root.name()).substr(0, 80)) + ">",
                advice);
  }
  return {};
}

std::string xml_text(const pugi::xml_node& parent, const char* name) {
  return std::string(trim(parent.child(name).text().get()));
}

std::map<std::string, std::string> xml_tags(const pugi::xml_node& parent) {
  std::map<std::string, std::string> tags;
  for (const auto& item : parent.child("tagSet").children("item")) {
    tags[item.child("key").text().get()] = item.child("value").text().get();
  }
  return tags;
}

int xml_number(const pugi::xml_node& parent, const char* name, int otherwise) {
  const auto value = parse_int(xml_text(parent, name));
  if (!value || *value < std::numeric_limits<int>::min() || *value > std::numeric_limits<int>::max()) return otherwise;
  return static_cast<int>(*value);
}

}  // namespace ferry::aws
