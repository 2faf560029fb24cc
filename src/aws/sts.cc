#include "aws/sts.h"

namespace ferry::aws {

Result<CallerIdentity> get_caller_identity(Client& client) {
  TRY_SET(xml, "", client.query("sts", "GetCallerIdentity", Params(), Repeat::freely));
  return parse_get_caller_identity(xml);
}

}  // namespace ferry::aws
