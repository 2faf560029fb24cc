#pragma once
/// \file
/// SageMaker's endpoints and notebooks: what people who train leave running there. All calls only read.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "aws/client.h"

namespace ferry::aws {

struct SageMakerEndpoint {
  std::string name;
  std::string status;  ///< "InService", "Creating", "Failed", "Deleting" and others
  std::int64_t created_ms = 0;
  /// "ml.g5.xlarge" and how many ("": not known); without what is serverless, which costs only while it is asked.
  std::vector<std::pair<std::string, int>> machines;
};

struct SageMakerNotebook {
  std::string name, type;
  std::string status;  ///< "InService", "Stopped", "Pending", "Failed" and others
  std::int64_t created_ms = 0;
};

/// Each with its machines, by two more calls for each.
Result<std::vector<SageMakerEndpoint>> list_sagemaker_endpoints(Client& client);
Result<std::vector<SageMakerNotebook>> list_sagemaker_notebooks(Client& client);

}  // namespace ferry::aws
