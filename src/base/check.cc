#include "src/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace sluice {

// Past the logger: the check may have failed inside a sink, which holds the logger's lock.
void check_failed(const char* file, int line, const char* condition, const std::string& values) {
  std::fprintf(stderr, "sluice: check failed: %s (%s) at %s:%d\n", condition, values.c_str(), file,
               line);
  std::abort();
}

}  // namespace sluice
