#include "src/net/tcp/tcp_channels.h"

#include <fmt/format.h>

#include <algorithm>

#include "src/base/check.h"

namespace sluice {
namespace {

// `direction` is 's' or 'r'; thread names have 15 characters.
PumpOptions pump_options(ChannelContext& context, char direction, const SocketAddress& remote) {
  const std::uint64_t number = context.channels_made++;
  PumpOptions options;
  options.window = context.window;
  options.spin_us = context.spin_us;
  options.name =
      fmt::format("channel {} {} {}", number, direction == 's' ? "to" : "from", remote.to_string());
  options.thread_name = fmt::format("sluice-{}{}", direction, number % 10'000'000);
  return options;
}

std::uint64_t bytes_of(std::span<const ChunkPiece> pieces) {
  std::uint64_t bytes = 0;
  for (const ChunkPiece& piece : pieces) bytes += piece.bytes;
  return bytes;
}

}  // namespace

Result<std::unique_ptr<SendChannel>> TcpSendChannel::create(ChannelContext& context,
                                                            std::unique_ptr<ChunkStream> stream,
                                                            const SocketAddress& remote) {
  auto pump =
      ChunkPump::create(std::move(stream), context.doorbell, pump_options(context, 's', remote));
  if (!pump.ok()) return pump.status();
  return std::unique_ptr<SendChannel>(new TcpSendChannel(context, pump.take()));
}

PostAnswer TcpSendChannel::post(const std::byte* from, std::uint64_t bytes, NetMemory&) {
  // The pump's chunks have one type for both directions; a SendStream only reads.
  return start(pump_->post(const_cast<std::byte*>(from), bytes), bytes);
}

PostAnswer TcpSendChannel::post_pieces(std::span<const ChunkPiece> pieces) {
  const std::uint64_t bytes = bytes_of(pieces);
  return start(pump_->post(pieces, bytes), bytes);
}

PostAnswer TcpSendChannel::start(PostAnswer posted, std::uint64_t bytes) {
  if (posted != PostAnswer::kPosted) return posted;
  const bool alone = bytes <= context_.inline_bytes && pump_->in_flight() == 1;
  if (!alone || !pump_->move_inline()) pump_->hand_over();
  return posted;
}

TestAnswer TcpSendChannel::test_oldest() {
  std::uint64_t bytes = 0;
  return pump_->test_oldest(bytes);
}

Result<std::unique_ptr<RecvChannel>> TcpRecvChannel::create(ChannelContext& context, Fd socket,
                                                            const SocketAddress& remote) {
  auto pump = ChunkPump::create(std::make_unique<RecvStream>(std::move(socket)), context.doorbell,
                                pump_options(context, 'r', remote));
  if (!pump.ok()) return pump.status();
  return std::unique_ptr<RecvChannel>(new TcpRecvChannel(context, pump.take()));
}

TcpRecvChannel::TcpRecvChannel(ChannelContext& context, std::unique_ptr<ChunkPump> pump)
    : context_(context), pump_(std::move(pump)) {
  context_.receivers.push_back(this);
}

TcpRecvChannel::~TcpRecvChannel() { std::erase(context_.receivers, this); }

PostAnswer TcpRecvChannel::post(std::byte* into, std::uint64_t bytes, NetMemory&) {
  return start(pump_->post(into, bytes), bytes);
}

PostAnswer TcpRecvChannel::post_pieces(std::span<const ChunkPiece> pieces) {
  const std::uint64_t bytes = bytes_of(pieces);
  return start(pump_->post(pieces, bytes), bytes);
}

PostAnswer TcpRecvChannel::start(PostAnswer posted, std::uint64_t bytes) {
  if (posted != PostAnswer::kPosted) return posted;
  const bool alone = bytes <= context_.inline_bytes && pump_->in_flight() == 1;
  if (!alone || context_.armed) pump_->hand_over();
  return posted;
}

TestAnswer TcpRecvChannel::test_oldest(Arrival& arrival) {
  pump_->move_inline();
  arrival = {};
  const TestAnswer answer = pump_->test_oldest(arrival.bytes);
  arrival.remainder = pump_->remainder();
  if (answer == TestAnswer::kDone) ++unconsumed_;
  return answer;
}

void TcpRecvChannel::consume_oldest() {
  SLUICE_CHECK(unconsumed_ > 0, "nothing arrived");
  --unconsumed_;
}

}  // namespace sluice
