#include <unistd.h>

#include "tests/emulator/cuda_driver.h"
#include "tests/emulator/device_memory.h"

namespace sluice::emulator {
namespace {

// Page-locked memory and a stream of its own, which waits for no other: a kernel of the application
// that never ends must not stop the socket.
class CudaStaging : public Staging {
 public:
  CudaStaging(const CudaDriver& driver, CuContext context, CuPointer pool, std::size_t bytes)
      : driver_(driver), context_(context), pool_(pool), bytes_(bytes) {
    const CurrentContext current(driver_, context_);
    if (!current.ok()) return;
    if (driver_.host_alloc(&memory_, bytes_, kCuHostAllocPortable) != 0) memory_ = nullptr;
    if (driver_.stream_create(&stream_, kCuStreamNonBlocking) != 0) stream_ = nullptr;
  }
  CudaStaging(const CudaStaging&) = delete;
  CudaStaging& operator=(const CudaStaging&) = delete;
  ~CudaStaging() override {
    const CurrentContext current(driver_, context_);
    if (stream_ != nullptr) driver_.stream_destroy(stream_);
    if (memory_ != nullptr) driver_.host_free(memory_);
  }

  [[nodiscard]] bool ok() const { return memory_ != nullptr && stream_ != nullptr; }
  std::span<std::byte> buffer() override { return {static_cast<std::byte*>(memory_), bytes_}; }
  bool copy_to_pool(std::uint64_t pool_offset, const std::byte* from, std::size_t bytes) override {
    const CurrentContext current(driver_, context_);
    return current.ok() && driver_.copy_to_device(pool_ + pool_offset, from, bytes, stream_) == 0 &&
           driver_.stream_synchronize(stream_) == 0;
  }
  bool copy_from_device(std::byte* to, std::uint64_t address, std::size_t bytes) override {
    const CurrentContext current(driver_, context_);
    return current.ok() && driver_.copy_to_host(to, address, bytes, stream_) == 0 &&
           driver_.stream_synchronize(stream_) == 0;
  }

 private:
  const CudaDriver& driver_;
  CuContext context_;
  CuPointer pool_;
  std::size_t bytes_;
  void* memory_ = nullptr;
  CuStream stream_ = nullptr;
};

// Lives as long as the process: a driver that shuts down frees the mapping.
class CudaMemory : public DeviceMemory {
 public:
  CudaMemory(std::unique_ptr<CudaDriver> driver, CuContext context, CuPointer pool)
      : driver_(std::move(driver)), context_(context), pool_(pool) {}

  std::byte* host_pool() override { return nullptr; }
  std::unique_ptr<Staging> make_staging(std::size_t bytes) override {
    auto staging = std::make_unique<CudaStaging>(*driver_, context_, pool_, bytes);
    if (!staging->ok()) return nullptr;
    return staging;
  }

 private:
  std::unique_ptr<CudaDriver> driver_;
  CuContext context_;
  CuPointer pool_;
};

// Maps the pool a second time, beside the plugin's own mapping of it. 0 on failure.
CuPointer map_pool(const CudaDriver& driver, int fd, std::size_t bytes, CuDevice device) {
  const CuAllocationProperties properties = pool_properties(device);
  std::size_t granularity = 0;
  if (driver.granularity(&granularity, &properties, 0) != 0) return 0;
  bytes = (bytes + granularity - 1) / granularity * granularity;  // As it was allocated.
  CuAllocation allocation = 0;
  void* handle = reinterpret_cast<void*>(static_cast<std::intptr_t>(fd));
  if (driver.import_handle(&allocation, handle, kCuHandleTypePosixFd) != 0) return 0;
  CuPointer pool = 0;
  const CuAccess access{{kCuLocationDevice, device}, kCuAccessReadWrite};
  const bool mapped = driver.reserve(&pool, bytes, 0, 0, 0) == 0 &&
                      driver.map(pool, bytes, 0, allocation, 0) == 0 &&
                      driver.set_access(pool, bytes, &access, 1) == 0;
  driver.release(allocation);  // The mapping keeps it.
  return mapped ? pool : 0;
}

}  // namespace

std::unique_ptr<DeviceMemory> make_cuda_memory(int pool_fd, std::size_t pool_bytes,
                                               const std::string& gpu, std::string* wrong) {
  std::unique_ptr<CudaDriver> driver = CudaDriver::load(wrong);
  CuDevice device = 0;
  CuContext context = nullptr;
  CuPointer pool = 0;
  if (driver != nullptr) {
    if (driver->device_by_pci(&device, gpu.c_str()) != 0 ||
        driver->primary_retain(&context, device) != 0) {
      *wrong = "no GPU at " + gpu;
    } else if (const CurrentContext current(*driver, context); current.ok()) {
      pool = map_pool(*driver, pool_fd, pool_bytes, device);
      if (pool == 0) *wrong = "the bounce pool cannot be imported";
    }
  }
  ::close(pool_fd);
  if (pool == 0) return nullptr;
  return std::make_unique<CudaMemory>(std::move(driver), context, pool);
}

}  // namespace sluice::emulator
