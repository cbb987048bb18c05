// In place of the CUDA GPUs: one whose memory is the host's, and whose copies are late.
#include <cstring>
#include <deque>

#include "plugins/nccl/gpus.h"
#include "src/gpu/host_gpu.h"

namespace sluice::nccl_plugin {
namespace {

// Copies when it has been asked about often enough, in the order of the tickets.
class LateGpu final : public Gpu {
 public:
  [[nodiscard]] const std::string& description() const override { return host_.description(); }
  std::uint64_t unpack(std::span<const Unpack> batch) override { return host_.unpack(batch); }
  std::uint64_t pack(std::span<const Piece> pieces) override {
    for (const Piece& piece : pieces) waiting_.push_back(piece);
    return ++packs_;
  }
  std::uint64_t checksum(std::span<const Checksum> batch) override { return host_.checksum(batch); }
  GpuAnswer test(std::uint64_t ticket) override {
    if (++asked_ % 3 == 0 && !waiting_.empty()) {
      std::memcpy(waiting_.front().to, waiting_.front().from, waiting_.front().length);
      waiting_.pop_front();
    }
    return ticket <= packs_ - waiting_.size() ? GpuAnswer::kDone : GpuAnswer::kPending;
  }
  [[nodiscard]] Status failure() const override { return {}; }
  Result<GpuMemory> allocate_pinned(std::size_t bytes) override {
    return host_.allocate_pinned(bytes);
  }
  Result<GpuMemory> allocate_device(std::size_t bytes) override {
    return host_.allocate_device(bytes);
  }
  [[nodiscard]] Status check_device(std::span<const std::byte> range) const override {
    return host_.check_device(range);
  }
  Status read_device(std::span<std::byte> into, const void* from) override {
    return host_.read_device(into, from);
  }

 private:
  HostGpu host_{HostGpu::Pose::kPosing};
  std::deque<Piece> waiting_;
  std::uint64_t packs_ = 0;
  std::uint64_t asked_ = 0;
};

class PosingGpus final : public Gpus {
 public:
  [[nodiscard]] std::uint32_t count() const override { return 1; }
  [[nodiscard]] Result<std::uint32_t> current() const override { return 0u; }
  [[nodiscard]] Result<std::unique_ptr<Gpu>> open(std::uint32_t) const override {
    return std::unique_ptr<Gpu>(std::make_unique<LateGpu>());
  }
};

}  // namespace

std::unique_ptr<Gpus> make_gpus() { return std::make_unique<PosingGpus>(); }

}  // namespace sluice::nccl_plugin
