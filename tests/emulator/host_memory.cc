#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <vector>

#include "tests/emulator/device_memory.h"

namespace sluice::emulator {
namespace {

class HostStaging : public Staging {
 public:
  HostStaging(std::byte* pool, std::size_t bytes) : pool_(pool), buffer_(bytes) {}

  std::span<std::byte> buffer() override { return buffer_; }
  bool copy_to_pool(std::uint64_t pool_offset, const std::byte* from, std::size_t bytes) override {
    std::memcpy(pool_ + pool_offset, from, bytes);
    return true;
  }
  bool copy_from_device(std::byte* to, std::uint64_t address, std::size_t bytes) override {
    std::memcpy(to, reinterpret_cast<const void*>(address), bytes);
    return true;
  }

 private:
  std::byte* pool_;
  std::vector<std::byte> buffer_;
};

class HostMemory : public DeviceMemory {
 public:
  HostMemory(void* pool, std::size_t bytes) : pool_(static_cast<std::byte*>(pool)), bytes_(bytes) {}
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  ~HostMemory() override { ::munmap(pool_, bytes_); }

  std::byte* host_pool() override { return pool_; }
  std::unique_ptr<Staging> make_staging(std::size_t bytes) override {
    return std::make_unique<HostStaging>(pool_, bytes);
  }

 private:
  std::byte* pool_;
  std::size_t bytes_;
};

}  // namespace

std::unique_ptr<DeviceMemory> make_host_memory(int pool_fd, std::size_t pool_bytes,
                                               std::string* wrong) {
  void* pool = ::mmap(nullptr, pool_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, pool_fd, 0);
  ::close(pool_fd);
  if (pool == MAP_FAILED) {
    *wrong = "mapping the bounce pool: " + std::string(std::strerror(errno));
    return nullptr;
  }
  return std::make_unique<HostMemory>(pool, pool_bytes);
}

}  // namespace sluice::emulator
