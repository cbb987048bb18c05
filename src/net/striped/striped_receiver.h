// The receiving end of a striped channel.
#pragma once

#include <memory>
#include <vector>

#include "src/net/striped/striped_channel.h"

namespace sluice {

class StripedReceiver final : public StripedChannel {
 public:
  // kUnavailable: no more threads.
  static Result<std::unique_ptr<StripedChannel>> create(std::vector<Fd> sockets,
                                                        StripedOptions options);
  ~StripedReceiver() override { stop(); }

 private:
  using StripedChannel::StripedChannel;

  [[nodiscard]] bool can_move(const Stripe& stripe) const override;
  // The data thread polls for small messages in test(). A helper that waited for them in the socket
  // would cost a thread switch each.
  [[nodiscard]] bool wants_helper() const override {
    return unfinished_bytes_.load(std::memory_order_relaxed) > options_.inline_bytes;
  }
  bool begin(Stripe& stripe) override;
  Move move(Stripe& stripe, Wait wait) override;
  void finish(Stripe& stripe) override;
  void posted(const Message& message, Lock& lock) override;
  void poll() override;

  [[nodiscard]] static bool has_header(const Stripe& stripe) {
    return stripe.header_moved == kChunkHeaderBytes;
  }
  // The stripe's header is complete, and the message that it names is posted: checks one against
  // the other. OK: the chunk is claimed.
  Status claim(Stripe& stripe);
  void read_header(Stripe& stripe);
  void fail_if_ended();
  static Move end_of_stream(Stripe& stripe);
};

}  // namespace sluice
