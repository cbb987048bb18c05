#include "plugins/nccl/staged_sender.h"

#include <sched.h>

#include <utility>

namespace sluice::nccl_plugin {

StagedSender::StagedSender(GpuPool::Extent extent, StripedChannel& channel)
    : extent_(std::move(extent)), channel_(channel), room_(extent_.bytes()) {}

PostAnswer StagedSender::post(std::byte* at, std::uint64_t bytes, From from, std::uint32_t& place) {
  Message& message = messages_[posted_ % messages_.size()];
  if (message.step != Step::kFree) return PostAnswer::kBusy;
  const bool staged = from == From::kGpu && bytes > 0;
  message = {.at = at, .bytes = bytes, .staged = staged};
  if (staged) {
    message.at = room_.take(bytes);
    if (message.at == nullptr) return PostAnswer::kBusy;
    message.ticket = extent_.pool().copy({at, bytes}, message.at);
    last_ticket_.store(message.ticket, std::memory_order_release);
  }
  message.step = Step::kCopying;
  place = static_cast<std::uint32_t>(posted_++ % messages_.size());
  advance();
  return PostAnswer::kPosted;
}

TestAnswer StagedSender::test(std::uint32_t place, std::uint64_t& bytes) {
  advance();
  Message& tested = messages_.at(place);
  if (tested.step != Step::kPosted) {
    return failure().ok() ? TestAnswer::kPending : TestAnswer::kFailed;
  }
  const TestAnswer answer = channel_.test(tested.place, bytes);
  if (answer != TestAnswer::kDone) return answer;
  tested.step = Step::kDone;
  for (; freed_ < handed_; ++freed_) {
    Message& oldest = messages_[freed_ % messages_.size()];
    if (oldest.step != Step::kDone) break;
    if (oldest.staged) room_.free_oldest();
    oldest.step = Step::kFree;
  }
  return TestAnswer::kDone;
}

// What has been copied goes into the channel. It has as many places as there are here, and they
// come free in the same order.
void StagedSender::advance() {
  for (; handed_ < posted_; ++handed_) {
    Message& next = messages_[handed_ % messages_.size()];
    if (next.ticket != 0 && extent_.pool().test(next.ticket) != GpuAnswer::kDone) return;
    if (channel_.post(next.at, next.bytes, next.place) != PostAnswer::kPosted) return;
    next.step = Step::kPosted;
  }
}

Status StagedSender::failure() const {
  Status status = extent_.pool().failure();
  return status.ok() ? channel_.failure() : status;
}

void StagedSender::wait_for_copies() {
  const std::uint64_t last = last_ticket_.load(std::memory_order_acquire);
  if (last == 0) return;
  while (extent_.pool().test(last) == GpuAnswer::kPending) ::sched_yield();
}

}  // namespace sluice::nccl_plugin
