// What the tests of Gpus share: one on HostGpu, posing as a GPU's, and several on CUDA, which are
// skipped, and say so, where there is none.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "src/gpu/cuda_gpu.h"
#include "src/gpu/host_gpu.h"

namespace sluice {

using Bytes = std::vector<std::byte>;

struct GpuCase {
  const char* name;
  bool cuda;
  CudaGpuOptions options;
};

inline std::ostream& operator<<(std::ostream& out, const GpuCase& value) {
  return out << value.name;
}

// Only a hang reaches it.
inline constexpr std::chrono::seconds kPatience{60};

class GpuTest : public testing::TestWithParam<GpuCase> {
 protected:
  void SetUp() override {
    if (!GetParam().cuda) {
      gpu_ = std::make_unique<HostGpu>(HostGpu::Pose::kPosing);
      mover_ = std::make_unique<HostGpu>(HostGpu::Pose::kPosing);
      return;
    }
    auto opened = open_cuda_gpu(GetParam().options);
    if (opened.status().code() == StatusCode::kUnavailable) {
      GTEST_SKIP() << opened.status().message();
    }
    ASSERT_TRUE(opened.ok()) << opened.status().to_string();
    gpu_ = opened.take();
    // Moves by the copy engine alone what the tests prepare: independent of the kernel.
    auto mover = open_cuda_gpu({.unpack = CopyBy::kCopy, .pack = CopyBy::kCopy});
    ASSERT_TRUE(mover.ok()) << mover.status().to_string();
    mover_ = mover.take();
  }

  [[nodiscard]] static testing::AssertionResult finish(Gpu& gpu, std::uint64_t ticket) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      const GpuAnswer answer = gpu.test(ticket);
      if (answer == GpuAnswer::kDone) return testing::AssertionSuccess();
      if (answer == GpuAnswer::kFailed) {
        return testing::AssertionFailure() << gpu.failure().to_string();
      }
    }
    return testing::AssertionFailure() << "ticket " << ticket << " is still pending";
  }

  // What is packed or unpacked next follows closely, which is when kernels linger.
  void do_something_small() {
    if (scratch_.bytes().empty()) scratch_ = pinned(4);
    const std::span<std::byte> bytes = scratch_.bytes();
    const Piece piece{&bytes[0], &bytes[1], 1};
    const Fragment fragment{0, 1, 0};
    const Unpack unpack{{&fragment, 1}, bytes.subspan(2, 1), bytes.last(1)};
    gpu_->pack({&piece, 1});
    gpu_->unpack({&unpack, 1});
  }
  GpuMemory pinned(std::size_t bytes) {
    auto memory = gpu_->allocate_pinned(bytes);
    EXPECT_TRUE(memory.ok()) << memory.status().to_string();
    return memory.take();
  }
  GpuMemory device(std::size_t bytes) {
    auto memory = gpu_->allocate_device(bytes);
    EXPECT_TRUE(memory.ok()) << memory.status().to_string();
    return memory.take();
  }
  void put(std::span<std::byte> to, const Bytes& bytes) {
    auto staging = mover_->allocate_pinned(bytes.size());
    ASSERT_TRUE(staging.ok());
    std::copy(bytes.begin(), bytes.end(), staging->bytes().begin());
    const Piece piece{staging->bytes().data(), to.data(), bytes.size()};
    ASSERT_TRUE(finish(*mover_, mover_->pack({&piece, 1})));
  }
  Bytes get(std::span<const std::byte> from) {
    Bytes bytes(from.size());
    const Status status = mover_->read_device(bytes, from.data());
    EXPECT_TRUE(status.ok()) << status.to_string();
    return bytes;
  }

  std::unique_ptr<Gpu> gpu_;
  std::unique_ptr<Gpu> mover_;

 private:
  GpuMemory scratch_;
};

inline Bytes random_bytes(std::size_t count, std::mt19937_64& random) {
  Bytes bytes(count);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

inline constexpr GpuCase kGpuCases[] = {
    {"host", false, {}},
    {"cuda_auto", true, {}},
    {"cuda_kernel", true, {.unpack = CopyBy::kKernel, .pack = CopyBy::kKernel}},
    {"cuda_kernel_lingering",
     true,
     {.unpack = CopyBy::kKernel, .pack = CopyBy::kKernel, .linger = from_us(100)}},
    {"cuda_kernel_lingering_on_three",
     true,
     {.sms = 3, .unpack = CopyBy::kKernel, .pack = CopyBy::kKernel, .linger = from_us(20)}},
    {"cuda_kernel_one_sm", true, {.sms = 1, .unpack = CopyBy::kKernel, .pack = CopyBy::kKernel}},
    {"cuda_kernel_many_sms",
     true,
     {.sms = 132, .unpack = CopyBy::kKernel, .pack = CopyBy::kKernel}},
    {"cuda_copy", true, {.unpack = CopyBy::kCopy, .pack = CopyBy::kCopy}},
};

inline std::string name_of(const testing::TestParamInfo<GpuCase>& info) { return info.param.name; }

}  // namespace sluice
