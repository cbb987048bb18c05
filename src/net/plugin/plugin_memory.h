// Memory as plugins know it. A plugin registers memory with a comm, and an engine with a Net: what
// a region needs on a channel is registered when the first chunk of it is posted there, and stays
// until the region or the channel goes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "src/net/net.h"
#include "src/net/plugin/plugin_context.h"

namespace sluice {

// A comm, as registrations need to know it.
struct CommRef {
  void* comm;
  std::uint32_t slot;  // No other live comm of the Net has it.
  bool receives;
};

class PluginMemory final : public NetMemory {
 public:
  // One registration covers so much, and a chunk more, where its size is an int: every chunk that
  // begins in its first kPieceBytes lies in it as a whole.
  static constexpr std::uint64_t kPieceBytes = 1ul << 30;
  static constexpr std::uint64_t kPageBytes = 4096;

  PluginMemory(PluginContext& context, std::span<std::byte> range, Memory kind);
  ~PluginMemory() override;
  PluginMemory(const PluginMemory&) = delete;
  PluginMemory& operator=(const PluginMemory&) = delete;

  // The plugin's name on `comm` for a chunk that begins at `from`; nullptr with `failure` filled if
  // the plugin refuses. Allocates and registers for the first chunk of a piece on a comm, never
  // after. `from` lies in the range.
  void* handle_for(const CommRef& comm, const std::byte* from, Status& failure);
  // Deregisters what is registered with it. Before the comm closes.
  void forget(const CommRef& comm);

 private:
  struct OfComm {
    void* comm = nullptr;
    std::vector<void*> pieces;  // nullptr: not yet.
  };
  struct Extent {
    std::byte* begin;
    std::uint64_t bytes;
  };
  [[nodiscard]] bool one_page_is_enough(const CommRef& comm) const;
  [[nodiscard]] Extent extent_of(std::size_t piece, const CommRef& comm) const;
  void* register_piece(const CommRef& comm, std::size_t piece, Status& failure);

  PluginContext& context_;
  const std::span<std::byte> range_;
  const int type_;  // nccl_abi::kPointer...
  const std::uint64_t piece_bytes_;
  std::vector<OfComm> comms_;  // By slot.
};

}  // namespace sluice
