#include "src/net/striped/striped_receiver.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace sluice {

Result<std::unique_ptr<StripedChannel>> StripedReceiver::create(std::vector<Fd> sockets,
                                                                StripedOptions options) {
  std::unique_ptr<StripedReceiver> receiver(
      new StripedReceiver(std::move(sockets), std::move(options)));
  if (Status status = receiver->start(); !status.ok()) return status;
  return std::unique_ptr<StripedChannel>(std::move(receiver));
}

bool StripedReceiver::can_move(const Stripe& stripe) const {
  if (stripe.closed || unfinished_ == 0) return false;
  return !has_header(stripe) || stripe.message != nullptr || stripe.chunk.message < posted_;
}

void StripedReceiver::posted(const Message&, Lock&) {
  fail_if_ended();
  if (wants_helper()) wake_helpers(stripes_.size());
}

void StripedReceiver::poll() {
  if (wants_helper()) return;
  Lock lock(mutex_);
  for (const auto& stripe : stripes_) {
    while (!wants_helper() && !dead() && !stripe->taken && can_move(*stripe)) {
      if (drive(*stripe, lock, Wait::kNo) != Move::kAll) break;
    }
  }
}

bool StripedReceiver::begin(Stripe& stripe) {
  if (!has_header(stripe) || stripe.message != nullptr) return true;
  Status status = claim(stripe);
  if (status.ok()) return true;
  fail(std::move(status));
  return false;
}

Status StripedReceiver::claim(Stripe& stripe) {
  const ChunkHeader& chunk = stripe.chunk;
  Message& message = at(chunk.message);
  if (message.number != chunk.message || message.finished.load(std::memory_order_relaxed)) {
    return {StatusCode::kProtocol,
            fmt::format("a chunk of message {}, which is complete", chunk.message)};
  }
  if (chunk.total > message.bytes) {
    return {StatusCode::kTooLong,
            fmt::format("message {} has {} bytes, the receive that it met has room for {}",
                        chunk.message, chunk.total, message.bytes)};
  }
  if (message.announced && chunk.total != message.total) {
    return {StatusCode::kProtocol, fmt::format("message {} has {} bytes and {}", chunk.message,
                                               message.total, chunk.total)};
  }
  message.announced = true;
  message.total = chunk.total;
  if (chunk.length > message.total - message.claimed) {
    return {StatusCode::kProtocol,
            fmt::format("message {} of {} bytes: more than that came", chunk.message, chunk.total)};
  }
  message.claimed += chunk.length;
  stripe.message = &message;
  stripe.at = message.at + chunk.offset;
  stripe.moved = 0;
  return {};
}

Move StripedReceiver::move(Stripe& stripe, Wait wait) {
  const int flags = wait == Wait::kYes ? 0 : MSG_DONTWAIT;
  const bool payload = stripe.message != nullptr;
  const std::uint64_t length = stripe.chunk.length;
  while (payload ? stripe.moved < length : !has_header(stripe)) {
    // The next header is taken along if it is there, which spares a steady stream a system call per
    // chunk.
    iovec parts[2] = {{stripe.at + stripe.moved, length - stripe.moved},
                      {stripe.next_header.data(), kChunkHeaderBytes}};
    if (!payload) {
      parts[0] = {stripe.header.data() + stripe.header_moved,
                  kChunkHeaderBytes - stripe.header_moved};
    }
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = payload ? 2 : 1;
    const ssize_t received = ::recvmsg(stripe.socket.get(), &message, flags);
    if (received == 0) return end_of_stream(stripe);
    if (received < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Move::kNotYet;
      stripe.failure = Status::from_errno(errno, "receive");
      return Move::kFailed;
    }
    const auto bytes = static_cast<std::size_t>(received);
    const std::size_t of_first = std::min(bytes, parts[0].iov_len);
    (payload ? stripe.moved : stripe.header_moved) += of_first;
    stripe.next_header_moved = bytes - of_first;
  }
  return Move::kAll;
}

Move StripedReceiver::end_of_stream(Stripe& stripe) {
  if (stripe.message == nullptr && stripe.header_moved == 0) {
    stripe.at_end = true;
    return Move::kAll;
  }
  stripe.failure = Status(
      StatusCode::kPeerLost,
      fmt::format("the peer closed the connection in the middle of message {}: {} of {} bytes at "
                  "{} arrived",
                  stripe.chunk.message, stripe.moved, stripe.chunk.length, stripe.chunk.offset));
  return Move::kFailed;
}

void StripedReceiver::finish(Stripe& stripe) {
  stripe.closed = stripe.at_end;
  if (stripe.closed) return fail_if_ended();
  if (stripe.message != nullptr) {
    chunk_through(stripe);
    stripe.header = stripe.next_header;
    stripe.header_moved = std::exchange(stripe.next_header_moved, 0);
  }
  if (has_header(stripe)) read_header(stripe);
}

// What another socket still has is for its messages; only the end of all of them is the end. To who
// waits for nothing it is none.
void StripedReceiver::fail_if_ended() {
  const bool ended = std::all_of(stripes_.begin(), stripes_.end(),
                                 [](const auto& stripe) { return stripe->closed; });
  if (ended && unfinished_ > 0) fail({StatusCode::kPeerLost, "the peer closed the connection"});
}

void StripedReceiver::read_header(Stripe& stripe) {
  if (decode_chunk_header(stripe.header, stripe.chunk)) return;
  fail({StatusCode::kProtocol, "what came is no chunk of ours"});
}

}  // namespace sluice
