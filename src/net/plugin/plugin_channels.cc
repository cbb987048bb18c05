#include "src/net/plugin/plugin_channels.h"

#include <fmt/format.h>

#include <algorithm>
#include <climits>
#include <utility>

#include "src/base/check.h"
#include "src/base/log.h"
#include "src/net/plugin/plugin_library.h"
#include "src/net/plugin/plugin_log.h"

namespace sluice {
namespace {

using nccl_abi::ResultCode;

// What no plugin writes as a size: it tells those that write none.
constexpr int kNoSize = INT_MIN;
// Tests between two looks at the clock.
constexpr std::uint32_t kTestsPerLook = 8;
// Looks further apart than this, or than a quarter of the stall timeout, are no waiting.
constexpr Nanoseconds kAbsence = from_ms(100);

std::uint32_t take_slot(std::vector<bool>& taken) {
  const auto free = std::find(taken.begin(), taken.end(), false);
  const auto slot = static_cast<std::uint32_t>(free - taken.begin());
  if (free == taken.end()) taken.push_back(false);
  taken[slot] = true;
  return slot;
}

}  // namespace

PluginComm::PluginComm(PluginContext& context, void* comm, bool receives)
    : context_(context), ref_{comm, take_slot(context.slots_taken), receives} {}

void PluginComm::close() {
  if (ref_.comm == nullptr) return;
  context_.enter();
  for (PluginMemory* memory : context_.memories) memory->forget(ref_);
  const ResultCode code =
      ref_.receives ? context_.table.close_recv(ref_.comm) : context_.table.close_send(ref_.comm);
  if (code != ResultCode::kSuccess) {
    SLUICE_LOG(kWarning, "plugin", "{}", plugin_error(context_.table, "close", code).message());
  }
  context_.slots_taken[ref_.slot] = false;
  ref_.comm = nullptr;
}

void PluginComm::fail(Status status) {
  if (failure_.ok()) failure_ = std::move(status);
  if (held_ == 0) close();
}

void PluginComm::release() {
  --held_;
  if (held_ == 0 && !is_usable()) close();
}

void PluginComm::fail(std::string_view call, ResultCode code) {
  fail(plugin_error(context_.table, call, code, StatusCode::kPeerLost));
}

void PluginComm::abort() { fail({StatusCode::kClosed, "the channel was given up"}); }

void PluginComm::still_pending() {
  if (context_.stall_timeout == 0 || ++tests_ % kTestsPerLook != 0) return;
  const Nanoseconds now = context_.clock.now();
  const Nanoseconds since_look = now - std::exchange(last_look_, now);
  if (waiting_since_ == 0) {
    waiting_since_ = now;
  } else if (since_look > std::max(context_.stall_timeout / 4, kAbsence)) {
    waiting_since_ += since_look;  // Nobody asked: the machine or the caller was elsewhere.
  } else if (now - waiting_since_ > context_.stall_timeout) {
    fail({StatusCode::kTimedOut,
          fmt::format("plugin {} has finished no chunk for {} ms (peer_timeout_ms){}",
                      context_.table.name(), context_.stall_timeout / from_ms(1),
                      plugin_warning_clause())});
  }
}

PostAnswer PluginSendChannel::post(const std::byte* from, std::uint64_t bytes, NetMemory& memory) {
  if (!comm_.is_usable()) return PostAnswer::kFailed;
  PluginContext& context = comm_.context();
  SLUICE_CHECK(bytes <= context.largest_chunk, "{} bytes of {}", bytes, context.largest_chunk);
  if (posted_ - tested_ >= context.window) return PostAnswer::kBusy;
  context.enter();
  Status failure;
  void* handle = static_cast<PluginMemory&>(memory).handle_for(comm_.ref(), from, failure);
  if (handle == nullptr) {
    comm_.fail(failure);
    return PostAnswer::kFailed;
  }
  void* request = nullptr;
  // The interface has no const: a plugin only reads what is sent.
  const ResultCode code =
      context.table.isend(comm_.ref().comm, const_cast<std::byte*>(from), bytes, handle, &request);
  if (code != ResultCode::kSuccess) {
    comm_.fail("isend", code);
    return PostAnswer::kFailed;
  }
  if (request == nullptr) return PostAnswer::kBusy;
  if (posted_ == tested_) comm_.moved();
  requests_[posted_++ % requests_.size()] = request;
  return PostAnswer::kPosted;
}

TestAnswer PluginSendChannel::test_oldest() {
  SLUICE_CHECK(tested_ < posted_, "nothing posted");
  if (comm_.is_usable()) {
    PluginContext& context = comm_.context();
    context.enter();
    int done = 0;
    int size = kNoSize;
    const ResultCode code = context.table.test(requests_[tested_ % requests_.size()], &done, &size);
    if (code != ResultCode::kSuccess) {
      comm_.fail("test of a send", code);
    } else if (done != 0) {
      ++tested_;
      comm_.moved();
      return TestAnswer::kDone;
    } else {
      comm_.still_pending();
    }
    if (comm_.is_usable()) return TestAnswer::kPending;
  }
  ++tested_;
  return TestAnswer::kFailed;
}

PostAnswer PluginRecvChannel::post(std::byte* into, std::uint64_t bytes, NetMemory& memory) {
  if (!comm_.is_usable()) return PostAnswer::kFailed;
  PluginContext& context = comm_.context();
  SLUICE_CHECK(bytes <= context.largest_chunk, "{} bytes of {}", bytes, context.largest_chunk);
  // A request is the plugin's until it is consumed.
  if (posted_ - consumed_ >= context.window) return PostAnswer::kBusy;
  context.enter();
  Status failure;
  void* handle = static_cast<PluginMemory&>(memory).handle_for(comm_.ref(), into, failure);
  if (handle == nullptr) {
    comm_.fail(failure);
    return PostAnswer::kFailed;
  }
  void* request = nullptr;
  const ResultCode code = context.table.irecv(comm_.ref().comm, into, bytes, handle, &request);
  if (code != ResultCode::kSuccess) {
    comm_.fail("irecv", code);
    return PostAnswer::kFailed;
  }
  if (request == nullptr) return PostAnswer::kBusy;
  if (posted_ == tested_) comm_.moved();
  requests_[posted_++ % requests_.size()] = {request, bytes};
  return PostAnswer::kPosted;
}

TestAnswer PluginRecvChannel::test_oldest(Arrival& arrival) {
  SLUICE_CHECK(tested_ < posted_, "nothing posted");
  if (comm_.is_usable()) {
    PluginContext& context = comm_.context();
    context.enter();
    const Posted& oldest = requests_[tested_ % requests_.size()];
    int done = 0;
    int size = kNoSize;
    const ResultCode code = context.table.test(oldest.request, &done, &size);
    if (code != ResultCode::kSuccess) {
      comm_.fail("test of a receive", code);
    } else if (done == 0) {
      comm_.still_pending();
    } else if (Status status = take(oldest, size, arrival); !status.ok()) {
      comm_.fail(std::move(status));
    } else {
      if (unpack_ != nullptr) comm_.hold();
      ++tested_;
      comm_.moved();
      return TestAnswer::kDone;
    }
    if (comm_.is_usable()) return TestAnswer::kPending;
  }
  ++tested_;
  return TestAnswer::kFailed;
}

// How long an arrival is: the sum of its fragments; else what the plugin says; else, where it says
// nothing, what was posted, because an engine posts exactly what a manifest has announced.
Status PluginRecvChannel::take(const Posted& oldest, int size, Arrival& arrival) {
  if (unpack_ != nullptr) return unpack_->take(tested_, oldest.bytes, arrival);
  if (size == kNoSize) {
    PluginContext& context = comm_.context();
    if (!std::exchange(context.told_of_sizes, true)) {
      SLUICE_LOG(kInfo, "plugin", "{} does not say how long an arrival is: as long as its receive",
                 context.table.name());
    }
    arrival = {oldest.bytes, {}, {}};
    return {};
  }
  if (size < 0) {
    return {StatusCode::kProtocol, fmt::format("test says that {} bytes have arrived", size)};
  }
  arrival = {static_cast<std::uint64_t>(size), {}, {}};
  if (arrival.bytes <= oldest.bytes) return {};
  return {StatusCode::kTooLong,
          fmt::format("a chunk of {} bytes met room for {}", arrival.bytes, oldest.bytes)};
}

void PluginRecvChannel::consume_oldest() {
  SLUICE_CHECK(consumed_ < tested_, "nothing to consume");
  const Posted& oldest = requests_[consumed_++ % requests_.size()];
  PluginContext& context = comm_.context();
  if (comm_.is_usable() && context.table.wants_consumed()) {
    context.enter();
    const ResultCode code = context.table.irecv_consumed(comm_.ref().comm, oldest.request);
    if (code != ResultCode::kSuccess) comm_.fail("irecvConsumed", code);
  }
  if (unpack_ != nullptr) comm_.release();
}

}  // namespace sluice
