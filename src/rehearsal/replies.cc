#include "rehearsal/replies.h"

#include <fmt/format.h>

#include "base/json.h"

namespace ferry::rehearsal {
namespace {

constexpr std::string_view xml_heading = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
constexpr std::string_view json_type = "application/x-amz-json-1.1";

HttpReply reply_with(int status, std::string body, const std::string& request_id,
                     std::string_view type = "text/xml;charset=UTF-8") {
  HttpReply reply;
  reply.status = status;
  reply.content_type = type;
  reply.headers = {{"x-amzn-RequestId", request_id}, {"Cache-Control", "no-cache, no-store"}};
  reply.body = std::move(body);
  return reply;
}

std::string_view namespace_of(std::string_view service) {
  if (service == "elasticloadbalancing") return "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
  if (service == "autoscaling") return "http://autoscaling.amazonaws.com/doc/2011-01-01/";
  return service == "iam" ? "https://iam.amazonaws.com/doc/2010-05-08/" : "https://sts.amazonaws.com/doc/2011-06-15/";
}

}  // namespace

HttpReply ec2_error(const ApiError& error, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).node("Response", [&] {
    xml.node("Errors", [&] { xml.node("Error", [&] { xml.text("Code", error.code).text("Message", error.message); }); })
        .text("RequestID", id);
  });
  return reply_with(error.status, xml.str(), id);
}

HttpReply ec2_reply(const std::string& action, std::string_view version, const Xml& inside, const std::string& id) {
  return reply_with(200,
                    fmt::format("{}<{}Response "
                                "xmlns=\"http://ec2.amazonaws.com/doc/{}/\"><requestId>{}</requestId>{}</{}Response>",
                                xml_heading, action, version, id, inside.str(), action),
                    id);
}

HttpReply query_error(std::string_view service, const ApiError& error, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).raw(fmt::format("<ErrorResponse xmlns=\"{}\">", namespace_of(service)));
  xml.node("Error", [&] {
    xml.text("Type", error.status < 500 ? "Sender" : "Receiver")
        .text("Code", error.code)
        .text("Message", error.message);
  });
  xml.text("RequestId", id).raw("</ErrorResponse>");
  return reply_with(error.status, xml.str(), id);
}

HttpReply query_reply(std::string_view service, const std::string& action, const Xml& result, const std::string& id) {
  Xml xml;
  xml.raw(xml_heading).raw(fmt::format("<{}Response xmlns=\"{}\">", action, namespace_of(service)));
  if (!result.str().empty()) xml.node(action + "Result", [&] { xml.raw(result.str()); });
  xml.node("ResponseMetadata", [&] { xml.text("RequestId", id); }).raw(fmt::format("</{}Response>", action));
  return reply_with(200, xml.str(), id);
}

HttpReply json_error(const ApiError& error, const std::string& id) {
  return reply_with(error.status, dump_json({{"__type", error.code}, {"message", error.message}}), id, json_type);
}

HttpReply json_text_reply(std::string text, const std::string& id) {
  return reply_with(200, std::move(text), id, json_type);
}

}  // namespace ferry::rehearsal
