// `sluice perf server` as a child process on loopback, at a free port, with a secret of its own.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "sluice/status.h"
#include "tools/in_force.h"
#include "tools/perf_common.h"

namespace sluice::tools {

class ChildServer {
 public:
  // Returns once it can be connected to. It has the settings that are in force here.
  static Result<std::unique_ptr<ChildServer>> start(const InForce& in_force,
                                                    const EndOptions& options);
  // Asks it to end and waits for that; kills it if it does not within two seconds.
  ~ChildServer();
  ChildServer(const ChildServer&) = delete;
  ChildServer& operator=(const ChildServer&) = delete;

  [[nodiscard]] const std::string& address() const { return address_; }

 private:
  explicit ChildServer(pid_t child) : child_(child) {}

  pid_t child_;
  std::string address_;
};

}  // namespace sluice::tools
