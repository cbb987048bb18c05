// What `sluice doctor` says about one thing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::doctor {

enum class Verdict : std::uint8_t {
  kOk,
  kUnknown,  // This machine does not say.
  kWarning,  // It works, slower or less safely than it could.
  kFailure,  // It will not work.
};

struct Finding {
  std::string check;  // "eth1 mtu"
  Verdict verdict = Verdict::kOk;
  std::string seen;  // "1460"
  std::string why;   // Why it matters; "" when all is well.
  std::string fix;   // The command that changes it; "" when there is nothing to change.
};
using Findings = std::vector<Finding>;

// "ok"
[[nodiscard]] const char* to_string(Verdict verdict);

// For people: a line each, with why and fix below where there are any, and a summary.
[[nodiscard]] std::string findings_text(const Findings& findings);
// For programs: {"findings": [{"check", "verdict", "seen", "why", "fix"}], "failures", "warnings"}.
[[nodiscard]] std::string findings_json(const Findings& findings);
// 1 if anything failed, else 0.
[[nodiscard]] int exit_status_of(const Findings& findings);

}  // namespace sluice::doctor
