#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tests/tcpx_standin/tcpx_comm.h"

namespace sluice::standin {
namespace {

// What is in metadata that nobody has published: nothing that can be mistaken for a fragment.
constexpr int kGarbage = 0xA5;

}  // namespace

TcpxRecv::TcpxRecv(std::shared_ptr<Connection> connection, const Knobs& knobs)
    : TcpxComm(Side::kReceive, std::move(connection), knobs),
      pool_(Owner::get().pool(knobs.pool_pages)),
      meta_(std::make_unique_for_overwrite<nccl_abi::UnpackMeta>()),
      device_{meta_.get(), pool_->base(), ~0ull} {
  std::memset(static_cast<void*>(meta_.get()), kGarbage, sizeof(*meta_));
}

void TcpxRecv::fill(nccl_abi::DeviceHandle* handle) {
  if (handle == nullptr) return;
  *handle = {nccl_abi::kDeviceUnpack, nccl_abi::kUnpackVersion, &device_, sizeof(device_), 1};
  has_device_handle_ = true;
}

void TcpxRecv::connected(Connection::Sockets sockets) {
  control_ = std::move(sockets.control);
  for (Socket& socket : sockets.data) {
    sockets_.push_back(
        std::make_unique<RecvSocket>(std::move(socket), knobs_.faults, *pool_, this));
  }
}

void TcpxRecv::retire_tasks() {
  for (const auto& socket : sockets_) {
    while (const Task* task = socket->finished()) {
      retire(*task);
      socket->retire();
    }
  }
}

void TcpxRecv::retire(const Task& task) {
  Request& request = at(task.request);
  request.pending -= task.bytes;
  for (const nccl_abi::UnpackEntry& fragment : task.fragments) {
    if (counts_[task.slot] == nccl_abi::kUnpackEntries) {
      SLUICE_STANDIN_LOG(kWarn, "more than 2048 fragments in a request");
      std::exit(1);
    }
    meta_->entries[task.slot][counts_[task.slot]++] = fragment;
  }
}

bool TcpxRecv::advance(Request& request, ResultCode& result) {
  if (!has_device_handle_) crash("accept was given no storage for the device handle");
  for (;;) {
    if (!has_message_ && !read_message(result)) return false;
    if (!request.announced) take_slot(request);
    if (message_.total == 0) break;
    if (message_.socket >= sockets_.size()) {
      result = ResultCode::kInternalError;
      return false;
    }
    RecvSocket& socket = *sockets_[message_.socket];
    if (!socket.has_room()) {
      SLUICE_STANDIN_LOG(kWarn, "No free space for recv task, socket %u", message_.socket);
      return false;
    }
    Task task;
    task.request = request.position;
    task.at = request.type == nccl_abi::kPointerHost ? request.data + message_.offset : nullptr;
    task.bytes = message_.bytes;
    task.offset = message_.offset;
    task.slot = request.slot;
    request.handed += message_.bytes;
    request.pending += message_.bytes;
    socket.enqueue(std::move(task));
    if (request.handed >= request.bytes) break;
    has_message_ = false;
  }
  has_message_ = false;
  return true;
}

// The size is what the sender says; what was posted is forgotten.
void TcpxRecv::take_slot(Request& request) {
  request.announced = true;
  request.bytes = message_.total;
  request.slot = static_cast<std::uint32_t>(slot_tail_++ % nccl_abi::kUnpackSlots);
  counts_[request.slot] = 0;
}

// Reads as much as there is when nothing is left of the last time: so the end of the connection is
// an error even while messages came before it. They are kept, for whoever tests again.
bool TcpxRecv::read_message(ResultCode& result) {
  const bool refill = buffered_ < sizeof(ControlMessage);
  while (refill && buffered_ < buffer_.size()) {
    const ssize_t received =
        ::recv(control(), buffer_.data() + buffered_, buffer_.size() - buffered_, MSG_DONTWAIT);
    if (received > 0) {
      buffered_ += static_cast<std::size_t>(received);
    } else if (received < 0 && errno == EAGAIN) {
      break;
    } else if (received == 0 || errno != EINTR) {
      SLUICE_STANDIN_LOG(kWarn, "control receive ended with errno %d", errno);
      result = ResultCode::kSystemError;
      return false;
    }
  }
  if (buffered_ < sizeof(ControlMessage)) return false;
  std::memcpy(&message_, buffer_.data(), sizeof(message_));
  buffered_ -= sizeof(message_);
  std::memmove(buffer_.data(), buffer_.data() + sizeof(message_), buffered_);
  has_message_ = true;
  return true;
}

void TcpxRecv::finish(Request& request) {
  publish(request);
  spoil(request);
  // The count last: a device that polls it may read the entries then.
  std::atomic_ref(meta_->counts[request.slot])
      .store(counts_[request.slot], std::memory_order_release);
}

// Nobody promises an order: fragments are dealt like a pack of cards, the same every time.
void TcpxRecv::publish(Request& request) {
  if (knobs_.faults.on(Fault::kAligned)) return;
  const std::uint64_t count = counts_[request.slot];
  auto& entries = meta_->entries[request.slot];
  for (std::uint64_t i = count; i > 1; --i) {
    std::swap(entries[i - 1], entries[(request.position * 31 + i * 7919) % i]);
  }
}

void TcpxRecv::spoil(Request& request) {
  std::uint64_t& count = counts_[request.slot];
  if (count == 0) return;
  nccl_abi::UnpackEntry& last = meta_->entries[request.slot][count - 1];
  const Faults& faults = knobs_.faults;
  if (faults.hits(Fault::kBadSource, request.position)) {
    last.source_offset = pool_->pages() * BouncePool::kPageBytes - last.length / 2;
  }
  if (faults.hits(Fault::kBadDestination, request.position)) {
    last.destination_offset = request.bytes - last.length / 2;
  }
  if (faults.hits(Fault::kBadLength, request.position)) last.length = 1u << 31;
  if (faults.hits(Fault::kBadCount, request.position)) count = nccl_abi::kUnpackEntries + 1;
  if (faults.hits(Fault::kShortSum, request.position)) --count;
}

// The order of the checks is TCPX's.
ResultCode TcpxRecv::consumed(int count, Request& request) {
  const Entry entry(*this);
  if (count != 1) return ResultCode::kInternalError;
  const bool oldest = freed_ < finished_ && &at(freed_) == &request;
  if (!oldest) violation(knobs_.strict, "irecvConsumed of what is not the oldest done receive");
  // A request of no bytes is let go of unchecked; where there is nothing to let go of, TCPX loses
  // count, and the stand-in does nothing.
  if (request.bytes != 0 && !request.announced) return ResultCode::kInternalError;
  if (freed_ == finished_) {
    return request.bytes == 0 ? ResultCode::kSuccess : ResultCode::kInternalError;
  }
  if (request.bytes != 0) {
    if (!oldest || slot_head_ == slot_tail_) return ResultCode::kInternalError;
    if (slot_head_ % nccl_abi::kUnpackSlots != request.slot) return ResultCode::kInternalError;
    let_go_of_pages(request);
  }
  // Whoever reads the slot now reads garbage.
  const std::uint64_t slot = slot_head_++ % nccl_abi::kUnpackSlots;
  std::memset(static_cast<void*>(meta_->entries[slot]), kGarbage, sizeof(meta_->entries[slot]));
  std::memset(&meta_->counts[slot], kGarbage, sizeof(meta_->counts[slot]));
  at(freed_).announced = false;
  ++freed_;
  ++consumed_;
  ++Owner::get().counters.receives_consumed;
  return ResultCode::kSuccess;
}

void TcpxRecv::let_go_of_pages(const Request& request) {
  const std::uint64_t nth = knobs_.faults.at(Fault::kLeak);
  const bool lose = nth > 0 && (consumed_ + 1) % nth == 0;
  for (const auto& socket : sockets_) {
    for (const std::uint32_t page : socket->take_pages(request.slot)) {
      if (lose) {
        pool_->lose(page);
      } else {
        pool_->give_back(page);
      }
    }
  }
}

// Lost pages come back here and nowhere else.
void TcpxRecv::release() {
  sockets_.clear();
  pool_->give_back_all_of(this);
  pool_.reset();
  meta_.reset();
  device_ = {};
}

}  // namespace sluice::standin
