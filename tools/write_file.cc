#include "tools/write_file.h"

#include <cerrno>
#include <fstream>

namespace sluice::tools {

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file ? Status() : Status::from_errno(errno, "writing " + path);
}

}  // namespace sluice::tools
