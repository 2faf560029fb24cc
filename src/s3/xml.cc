#include "s3/xml.h"

#include <algorithm>
#include <pugixml.hpp>
#include <sstream>

#include "aws/sources.h"
#include "base/text.h"
#include "s3/session.h"

namespace ferry::s3 {
namespace {

constexpr std::size_t most_xml = std::size_t{16} << 20;
constexpr const char* xml_namespace = "http://s3.amazonaws.com/doc/2006-03-01/";

/// `root`: what the outermost element's name begins with (some servers say …Response for …Result). pugixml
/// expands no entities of a DOCTYPE, so size bounds the memory used.
Status load(pugi::xml_document& document, std::string_view xml, const char* root) {
  if (xml.size() <= most_xml && document.load_buffer(xml.data(), xml.size()) &&
      std::string_view(document.document_element().name()).starts_with(root)) {
    return {};
  }
  return fail(Kind::corrupt, "S3's answer cannot be read",
              std::string("it is no ") + root + ": " + short_line(xml, 100),
              "check the endpoint's address: something else may answer there");
}

std::string text_of(const pugi::xml_node& node, const char* name) { return std::string(trim(node.child_value(name))); }

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f && c != '"'; });
}

}  // namespace

std::string unquoted(std::string_view etag) {
  etag = trim(etag);
  if (etag.size() >= 2 && etag.front() == '"' && etag.back() == '"') etag = etag.substr(1, etag.size() - 2);
  return std::string(etag);
}

std::int64_t parse_time(std::string_view text) { return aws::parse_expiry(text); }

Result<ListPage> parse_list(std::string_view xml) {
  pugi::xml_document document;
  TRY("", load(document, xml, "ListBucketResult"));
  ListPage page;
  const auto root = document.document_element();
  for (const auto& item : root.children("Contents")) {
    Listed one;
    one.key = percent_decoded(item.child_value("Key"), true);
    one.etag = unquoted(item.child_value("ETag"));
    const auto bytes = parse_int(text_of(item, "Size"));
    if (one.key.empty() || !bytes || *bytes < 0 || !is_plain(one.etag)) {
      return fail(Kind::corrupt, "S3's list cannot be right", "an object without a key or size");
    }
    one.bytes = static_cast<std::uint64_t>(*bytes);
    one.modified_ms = parse_time(text_of(item, "LastModified"));
    page.objects.push_back(std::move(one));
  }
  if (text_of(root, "IsTruncated") == "true") {
    page.next = text_of(root, "NextContinuationToken");
    if (page.next.empty())
      return fail(Kind::corrupt, "S3's list cannot be right", "more is promised, but not how to get it");
  }
  return page;
}

Result<UploadsPage> parse_uploads(std::string_view xml) {
  pugi::xml_document document;
  TRY("", load(document, xml, "ListMultipartUploads"));
  UploadsPage page;
  const auto root = document.document_element();
  for (const auto& item : root.children("Upload")) {
    BegunUpload one{percent_decoded(item.child_value("Key"), true), text_of(item, "UploadId"),
                    parse_time(text_of(item, "Initiated"))};
    if (one.key.empty() || one.id.empty() || one.id.size() > 2048 || !is_plain(one.id))
      return fail(Kind::corrupt, "S3's list of uploads cannot be right", "one without a key or a name");
    page.uploads.push_back(std::move(one));
  }
  if (text_of(root, "IsTruncated") == "true") {
    page.next_key = percent_decoded(root.child_value("NextKeyMarker"), true);
    page.next_id = text_of(root, "NextUploadIdMarker");
    if (page.next_key.empty() || !is_plain(page.next_id))
      return fail(Kind::corrupt, "S3's list of uploads cannot be right", "more is promised, but not how to get it");
  }
  return page;
}

Result<std::string> parse_upload_id(std::string_view xml) {
  pugi::xml_document document;
  TRY("", load(document, xml, "InitiateMultipartUpload"));
  std::string id = text_of(document.document_element(), "UploadId");
  if (id.empty() || id.size() > 2048 || !is_plain(id))
    return fail(Kind::corrupt, "S3 began an upload without a name that can be used");
  return id;
}

Result<PartPage> parse_parts(std::string_view xml) {
  pugi::xml_document document;
  TRY("", load(document, xml, "ListParts"));
  PartPage page;
  const auto root = document.document_element();
  for (const auto& item : root.children("Part")) {
    const auto number = parse_int(text_of(item, "PartNumber"));
    const std::string etag = unquoted(item.child_value("ETag"));
    if (!number || *number < 1 || *number > 10'000 || !is_plain(etag))
      return fail(Kind::corrupt, "S3's list of parts cannot be right");
    page.etags[static_cast<int>(*number)] = etag;
  }
  if (text_of(root, "IsTruncated") == "true") {
    const auto next = parse_int(text_of(root, "NextPartNumberMarker"));
    if (!next || *next < 1 || *next > 10'000) return fail(Kind::corrupt, "S3's list of parts cannot be right");
    page.next = static_cast<int>(*next);
  }
  return page;
}

Completed parse_completed(std::string_view xml) {
  pugi::xml_document document;
  if (load(document, xml, "Error")) {
    std::string code = short_line(text_of(document.document_element(), "Code"), 100);
    return {"", code.empty() ? "InternalError" : code};
  }
  // CompleteMultipartUploadResult; not every server calls it so.
  std::string etag = unquoted(document.document_element().child_value("ETag"));
  // What cannot be read says nothing: as if the answer had been lost.
  if (etag.empty() || !is_plain(etag)) return {"", "InternalError"};
  return {std::move(etag), ""};
}

std::vector<std::pair<std::string, std::string>> parse_delete_errors(std::string_view xml) {
  pugi::xml_document document;
  std::vector<std::pair<std::string, std::string>> errors;
  if (!load(document, xml, "DeleteResult")) return {{"", "InternalError"}};
  for (const auto& item : document.document_element().children("Error")) {
    errors.emplace_back(item.child_value("Key"), short_line(text_of(item, "Code"), 100));
  }
  return errors;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&apos;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string complete_xml(const std::vector<UploadedPart>& parts) {
  std::string xml = std::string("<CompleteMultipartUpload xmlns=\"") + xml_namespace + "\">";
  for (const UploadedPart& part : parts) {
    xml += "<Part><PartNumber>" + std::to_string(part.number) + "</PartNumber><ETag>&quot;" + escaped(part.etag) +
           "&quot;</ETag><ChecksumSHA256>" + base64_of_hex(part.sha256) + "</ChecksumSHA256></Part>";
  }
  return xml + "</CompleteMultipartUpload>";
}

std::string delete_xml(const std::vector<std::string>& keys) {
  std::string xml = std::string("<Delete xmlns=\"") + xml_namespace + "\">";
  for (const auto& key : keys) xml += "<Object><Key>" + escaped(key) + "</Key></Object>";
  return xml + "<Quiet>true</Quiet></Delete>";
}

Result<std::string> merged_lifecycle(std::string_view xml, std::string_view rule) {
  pugi::xml_document document, ours;
  if (!ours.load_buffer(rule.data(), rule.size())) return fail(Kind::bug, "a lifecycle rule that is no XML");
  if (xml.empty()) {
    document.append_child("LifecycleConfiguration").append_attribute("xmlns").set_value(xml_namespace);
  } else {
    TRY("", load(document, xml, "LifecycleConfiguration"));
  }
  auto root = document.document_element();
  const auto words = [](const pugi::xml_node& node) {
    std::ostringstream out;
    node.print(out, "", pugi::format_raw);
    return out.str();
  };
  for (auto one = root.child("Rule"); one;) {
    const auto next = one.next_sibling("Rule");
    if (text_of(one, "ID") == text_of(ours.document_element(), "ID")) {
      if (words(one) == words(ours.document_element())) return std::string();
      root.remove_child(one);
    }
    one = next;
  }
  root.append_copy(ours.document_element());
  std::ostringstream out;
  document.save(out, "", pugi::format_raw | pugi::format_no_declaration);
  return out.str();
}

}  // namespace ferry::s3
