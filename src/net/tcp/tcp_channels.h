// The channels of the tcp Net: a ChunkPump each, and the choice which chunks the engine thread
// moves itself.
//
// A chunk of at most inline_bytes on a channel that has nothing else under way is moved by the
// engine thread while it polls, without a thread switch: that is what a lone small message waits
// for. Everything else goes to the helper, so that channels copy in parallel, and so does
// everything that is left when the engine arms the Net to sleep.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "src/net/net.h"
#include "src/net/tcp/chunk_pump.h"
#include "src/net/tcp/doorbell.h"
#include "src/net/tcp/host_address.h"

namespace sluice {

class TcpRecvChannel;

// What the channels of one TcpNet share. Engine thread, but for the doorbell.
struct ChannelContext {
  Doorbell& doorbell;
  std::uint32_t window;
  std::uint32_t spin_us;
  std::uint64_t inline_bytes;
  bool armed = false;
  std::uint64_t channels_made = 0;
  std::vector<TcpRecvChannel*> receivers;  // All that live.
};

class TcpSendChannel final : public SendChannel {
 public:
  // The stream's socket is connected, blocking, and past its hello.
  static Result<std::unique_ptr<SendChannel>> create(ChannelContext& context,
                                                     std::unique_ptr<ChunkStream> stream,
                                                     const SocketAddress& remote);

  PostAnswer post(const std::byte* from, std::uint64_t bytes, NetMemory& memory) override;
  PostAnswer post_pieces(std::span<const ChunkPiece> pieces) override;
  TestAnswer test_oldest() override;
  void take_remainders(bool on) override { pump_->take_remainders(on); }
  [[nodiscard]] std::uint32_t remainder() const override { return pump_->remainder(); }
  void abort() override { pump_->abort(); }
  [[nodiscard]] Status failure() const override { return pump_->failure(); }
  [[nodiscard]] std::string diagnosis() const override { return pump_->diagnosis(); }

 private:
  TcpSendChannel(ChannelContext& context, std::unique_ptr<ChunkPump> pump)
      : context_(context), pump_(std::move(pump)) {}
  PostAnswer start(PostAnswer posted, std::uint64_t bytes);

  ChannelContext& context_;
  const std::unique_ptr<ChunkPump> pump_;
};

class TcpRecvChannel final : public RecvChannel {
 public:
  static Result<std::unique_ptr<RecvChannel>> create(ChannelContext& context, Fd socket,
                                                     const SocketAddress& remote);
  ~TcpRecvChannel() override;

  PostAnswer post(std::byte* into, std::uint64_t bytes, NetMemory& memory) override;
  PostAnswer post_pieces(std::span<const ChunkPiece> pieces) override;
  TestAnswer test_oldest(Arrival& arrival) override;
  void consume_oldest() override;
  void take_remainders(bool on) override { pump_->take_remainders(on); }
  void abort() override { pump_->abort(); }
  [[nodiscard]] Status failure() const override { return pump_->failure(); }
  [[nodiscard]] std::string diagnosis() const override { return pump_->diagnosis(); }

  // The engine is about to sleep: from now on the helper waits for what is posted.
  void stop_polling() { pump_->hand_over(); }

 private:
  TcpRecvChannel(ChannelContext& context, std::unique_ptr<ChunkPump> pump);
  PostAnswer start(PostAnswer posted, std::uint64_t bytes);

  ChannelContext& context_;
  const std::unique_ptr<ChunkPump> pump_;
  std::uint64_t unconsumed_ = 0;
};

}  // namespace sluice
