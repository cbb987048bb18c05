// `sluice perf server` as a child process on loopback, at a free port, with a secret of its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "sluice/status.h"
#include "tools/in_force.h"
#include "tools/perf_common.h"

namespace sluice::tools {

class ChildServer {
 public:
  // Returns once it can be connected to. It has the settings that are in force here.
  static Result<std::unique_ptr<ChildServer>> start(const InForce& in_force,
                                                    const EndOptions& options);
  // `sluice command...`, a server that announces that many addresses.
  static Result<std::unique_ptr<ChildServer>> start(const InForce& in_force,
                                                    std::vector<std::string> command,
                                                    std::size_t addresses);
  // Asks it to end and waits for that; kills it if it does not within two seconds.
  ~ChildServer();
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  [[nodiscard]] const std::string& address(std::size_t engine = 0) const {
    return addresses_[engine];
  }

 private:
  explicit ChildServer(pid_t child) : child_(child) {}

  pid_t child_;
  std::vector<std::string> addresses_;
};

}  // namespace sluice::tools
