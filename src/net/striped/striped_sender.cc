#include "src/net/striped/striped_sender.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace sluice {
namespace {

constexpr std::uint64_t kLeastChunk = 128 << 10;
constexpr std::uint64_t kMostChunk = 1 << 20;
constexpr std::uint64_t kPage = 4096;  // Chunks begin at multiples of it: aligned copies.

}  // namespace

Result<std::unique_ptr<StripedChannel>> StripedSender::create(std::vector<Fd> sockets,
                                                              StripedOptions options) {
  std::unique_ptr<StripedSender> sender(new StripedSender(std::move(sockets), std::move(options)));
  if (Status status = sender->start(); !status.ok()) return status;
  return std::unique_ptr<StripedChannel>(std::move(sender));
}

std::uint64_t StripedSender::chunk_bytes(std::uint64_t total) const {
  const std::uint64_t part = (total + stripes_.size() - 1) / stripes_.size();
  return std::clamp((part + kPage - 1) / kPage * kPage, kLeastChunk, kMostChunk);
}

void StripedSender::posted(const Message& message, Lock& lock) {
  Stripe& first = *stripes_.front();
  const bool alone = in_flight() == 1 && message.bytes <= options_.inline_bytes;
  if (alone && !dead() && !first.taken && can_move(first)) drive(first, lock, Wait::kNo);
  const std::uint64_t chunks = message.bytes / chunk_bytes(message.bytes) + 1;
  if (unfinished_ > 0) wake_helpers(chunks);
}

bool StripedSender::begin(Stripe& stripe) {
  if (stripe.message != nullptr) return true;
  Message& message = at(claiming_);
  const std::uint64_t length =
      std::min(chunk_bytes(message.bytes), message.bytes - message.claimed);
  stripe.message = &message;
  stripe.at = message.at + message.claimed;
  stripe.moved = 0;
  stripe.header_moved = 0;
  stripe.chunk = {.length = static_cast<std::uint32_t>(length),
                  .message = message.number,
                  .offset = message.claimed,
                  .total = message.bytes};
  encode_chunk_header(stripe.chunk, stripe.header);
  message.claimed += length;
  if (message.claimed == message.bytes) ++claiming_;
  return true;
}

Move StripedSender::move(Stripe& stripe, Wait wait) {
  const int flags = MSG_NOSIGNAL | (wait == Wait::kYes ? 0 : MSG_DONTWAIT);
  const std::uint64_t length = stripe.chunk.length;
  while (stripe.header_moved < kChunkHeaderBytes || stripe.moved < length) {
    iovec parts[2] = {
        {stripe.header.data() + stripe.header_moved, kChunkHeaderBytes - stripe.header_moved},
        {stripe.at + stripe.moved, length - stripe.moved}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    const ssize_t sent = ::sendmsg(stripe.socket.get(), &message, flags);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return Move::kNotYet;
      stripe.failure = Status::from_errno(
          errno, fmt::format("send of message {}, {} of {} bytes at {}", stripe.chunk.message,
                             stripe.moved, length, stripe.chunk.offset));
      return Move::kFailed;
    }
    const auto bytes = static_cast<std::size_t>(sent);
    const std::size_t of_header = std::min(bytes, parts[0].iov_len);
    stripe.header_moved += of_header;
    stripe.moved += bytes - of_header;
  }
  return Move::kAll;
}

}  // namespace sluice
