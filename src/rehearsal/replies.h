#pragma once
/// \file
/// Answers in the words of each service's protocol: EC2's XML, the Query protocol's (STS, IAM), JSON 1.1.

#include <string>
#include <string_view>

#include "rehearsal/api_error.h"
#include "rehearsal/http_message.h"
#include "rehearsal/xml.h"

namespace ferry::rehearsal {

HttpReply ec2_error(const ApiError& error, const std::string& id);
HttpReply ec2_reply(const std::string& action, std::string_view version, const Xml& inside, const std::string& id);

/// `service`: one that speaks_query() (asked.h).
HttpReply query_error(std::string_view service, const ApiError& error, const std::string& id);
/// <ACTIONResponse> with <ACTIONResult> around `result`, which is left out where that is empty.
HttpReply query_reply(std::string_view service, const std::string& action, const Xml& result, const std::string& id);

HttpReply json_error(const ApiError& error, const std::string& id);
HttpReply json_text_reply(std::string text, const std::string& id);

}  // namespace ferry::rehearsal
