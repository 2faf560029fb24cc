// The HTTP parser in pieces of changing size, then the form parser and the signature check on whatever came
// through.
#include <cstddef>

#include "rehearsal/http_message.h"
#include "rehearsal/query.h"
#include "rehearsal/sigv4.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace ferry;
  using namespace ferry::rehearsal;
  std::string_view left(reinterpret_cast<const char*>(data), size);
  RequestParser parser;
  std::size_t piece = 1;
  auto step = RequestParser::Step::more;
  while (!left.empty() && step != RequestParser::Step::bad) {
    const auto part = left.substr(0, piece++ % 7 + 1);
    left.remove_prefix(part.size());
    step = parser.feed(part);
    for (; step == RequestParser::Step::complete; step = parser.feed("")) {
      const auto request = parser.take();
      const auto params = Params::parse(request.body);
      (void)params.items("Filter");
      (void)params.list("InstanceId");
      (void)check_signature(request, {"AKIA", "secret"}, "us-east-1", 0, Millis(1000));
    }
  }
  return 0;
}
