// The sending end of a striped channel.
#pragma once

#include <memory>
#include <vector>

#include "src/net/striped/striped_channel.h"

namespace sluice {

class StripedSender final : public StripedChannel {
 public:
  // kUnavailable: no more threads.
  static Result<std::unique_ptr<StripedChannel>> create(std::vector<Fd> sockets,
                                                        StripedOptions options);
  // What was not Done is given up; what was is on its way.
  ~StripedSender() override { stop(); }

 private:
  using StripedChannel::StripedChannel;

  [[nodiscard]] bool can_move(const Stripe& stripe) const override {
    return stripe.message != nullptr || claiming_ < posted_;
  }
  [[nodiscard]] bool wants_helper() const override { return true; }
  bool begin(Stripe& stripe) override;
  Move move(Stripe& stripe, Wait wait) override;
  void finish(Stripe& stripe) override { chunk_through(stripe); }
  void posted(const Message& message, Lock& lock) override;
  void poll() override {}

  // Long enough to be worth a system call, short enough that every socket gets its part.
  [[nodiscard]] std::uint64_t chunk_bytes(std::uint64_t total) const;

  std::uint64_t claiming_ = 0;  // The oldest message of which not all is claimed.
};

}  // namespace sluice
