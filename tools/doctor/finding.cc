#include "tools/doctor/finding.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace sluice::doctor {
namespace {

std::int64_t count(const Findings& findings, Verdict verdict) {
  return std::count_if(findings.begin(), findings.end(),
                       [&](const Finding& one) { return one.verdict == verdict; });
}

}  // namespace

const char* to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kUnknown:
      return "unknown";
    case Verdict::kWarning:
      return "warning";
    case Verdict::kFailure:
      return "FAILURE";
  }
  return "?";
}

std::string findings_text(const Findings& findings) {
  std::string text;
  for (const Finding& one : findings) {
    text += fmt::format("{:<8} {:<24} {}\n", to_string(one.verdict), one.check, one.seen);
    if (!one.why.empty()) text += fmt::format("{:33} why: {}\n", "", one.why);
    if (!one.fix.empty()) text += fmt::format("{:33} fix: {}\n", "", one.fix);
  }
  return text + fmt::format("{} checks: {} failures, {} warnings, {} unknown\n", findings.size(),
                            count(findings, Verdict::kFailure), count(findings, Verdict::kWarning),
                            count(findings, Verdict::kUnknown));
}

std::string findings_json(const Findings& findings) {
  using Json = nlohmann::ordered_json;
  Json document{{"findings", Json::array()},
                {"failures", count(findings, Verdict::kFailure)},
                {"warnings", count(findings, Verdict::kWarning)}};
  for (const Finding& one : findings) {
    document["findings"].push_back(
        {{"check", one.check},
         {"verdict", one.verdict == Verdict::kFailure ? "failure" : to_string(one.verdict)},
         {"seen", one.seen},
         {"why", one.why},
         {"fix", one.fix}});
  }
  return document.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

int exit_status_of(const Findings& findings) {
  return count(findings, Verdict::kFailure) > 0 ? 1 : 0;
}

}  // namespace sluice::doctor
