#include "src/net/plugin/plugin_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/plugin/plugin_library.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

std::uint64_t piece_bytes_for(const PluginTable& table) {
  return table.largest_registration() == UINT64_MAX ? UINT64_MAX : PluginMemory::kPieceBytes;
}

}  // namespace

// An unpacking plugin takes registrations of host memory, and then copies where it should not: all
// of its memory is device memory, also where host memory plays the device.
PluginMemory::PluginMemory(PluginContext& context, std::span<std::byte> range, Memory kind)
    : context_(context),
      range_(range),
      type_(context.unpacks || kind == Memory::kCuda ? nccl_abi::kPointerCuda
                                                     : nccl_abi::kPointerHost),
      piece_bytes_(piece_bytes_for(context.table)) {
  context_.memories.push_back(this);
}

PluginMemory::~PluginMemory() {
  for (std::uint32_t slot = 0; slot < comms_.size(); ++slot) {
    if (comms_[slot].comm != nullptr) forget({comms_[slot].comm, slot, false});
  }
  std::erase(context_.memories, this);
}

// What arrives at an unpacking plugin goes where the caller unpacks it to; the registration only
// says that it is device memory.
bool PluginMemory::one_page_is_enough(const CommRef& comm) const {
  return comm.receives && context_.unpacks;
}

void* PluginMemory::handle_for(const CommRef& comm, const std::byte* from, Status& failure) {
  const std::size_t piece = one_page_is_enough(comm) || piece_bytes_ == UINT64_MAX
                                ? 0
                                : static_cast<std::uint64_t>(from - range_.data()) / piece_bytes_;
  if (comm.slot < comms_.size()) [[likely]] {
    const OfComm& known = comms_[comm.slot];
    if (piece < known.pieces.size() && known.pieces[piece] != nullptr) return known.pieces[piece];
  }
  return register_piece(comm, piece, failure);
}

// Whole pages: what a device maps, and what GPUDirect-TCPX insists on.
PluginMemory::Extent PluginMemory::extent_of(std::size_t piece, const CommRef& comm) const {
  const auto base = reinterpret_cast<std::uintptr_t>(range_.data());
  std::uint64_t begin = base;
  std::uint64_t end = base + range_.size();
  if (one_page_is_enough(comm)) {
    end = std::min(end, begin + 1);
  } else if (piece_bytes_ != UINT64_MAX) {
    begin = base + piece * piece_bytes_;
    end = std::min(end, begin + piece_bytes_ + context_.largest_chunk);
  }
  begin = begin / kPageBytes * kPageBytes;
  end = (end + kPageBytes - 1) / kPageBytes * kPageBytes;
  if (end == begin) end += kPageBytes;
  return {range_.data() + static_cast<std::ptrdiff_t>(begin - base), end - begin};
}

void* PluginMemory::register_piece(const CommRef& comm, std::size_t piece, Status& failure) {
  if (range_.data() == nullptr) {
    failure = {StatusCode::kInvalidArgument, "memory at address 0 cannot be registered"};
    return nullptr;
  }
  const Extent extent = extent_of(piece, comm);
  void* handle = nullptr;
  const ResultCode code =
      context_.table.reg_mr(comm.comm, extent.begin, extent.bytes, type_, &handle);
  if (code != ResultCode::kSuccess || handle == nullptr) {
    failure = plugin_error(context_.table,
                           fmt::format("regMr of {} bytes of {} memory at {}", extent.bytes,
                                       type_ == nccl_abi::kPointerCuda ? "CUDA" : "host",
                                       static_cast<void*>(extent.begin)),
                           code);
    return nullptr;
  }
  if (comm.slot >= comms_.size()) comms_.resize(comm.slot + 1);
  OfComm& known = comms_[comm.slot];
  SLUICE_CHECK(known.comm == nullptr || known.comm == comm.comm, "slot {}", comm.slot);
  known.comm = comm.comm;
  if (piece >= known.pieces.size()) known.pieces.resize(piece + 1, nullptr);
  known.pieces[piece] = handle;
  return handle;
}

void PluginMemory::forget(const CommRef& comm) {
  if (comm.slot >= comms_.size()) return;
  OfComm& known = comms_[comm.slot];
  for (void* handle : known.pieces) {
    if (handle == nullptr) continue;
    const ResultCode code = context_.table.dereg_mr(known.comm, handle);
    if (code != ResultCode::kSuccess) {
      SLUICE_LOG(kWarning, "plugin", "{}", plugin_error(context_.table, "deregMr", code).message());
    }
  }
  known = {};
}

}  // namespace sluice
