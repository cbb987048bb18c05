// What two engines prove to each other before anything else, and the address text that carries it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "sluice/status.h"
#include "src/engine/wire.h"

namespace sluice {

// A key; the token itself is neither kept nor sent.
using Secret = std::array<std::byte, 32>;
using Nonce = std::array<std::byte, wire::kNonceBytes>;
using ProofBytes = std::array<std::byte, wire::kProofBytes>;

[[nodiscard]] Secret random_secret();
[[nodiscard]] Secret secret_of(std::string_view token);  // BLAKE2b-256; "" is a token too.
[[nodiscard]] Nonce random_nonce();
[[nodiscard]] std::uint64_t random_generation();  // Never 0.

enum class End : std::uint8_t { kConnecting = 'c', kAccepting = 'a' };

// HMAC-SHA-256 under `secret` over the prover's end, both nonces and its Limits as encoded: a proof
// can be neither reflected, replayed nor moved to other limits.
[[nodiscard]] ProofBytes prove(const Secret& secret, End prover, const Nonce& connecting,
                               const Nonce& accepting, const wire::Limits& limits);
[[nodiscard]] bool same_proof(const ProofBytes& a, const ProofBytes& b);  // In constant time.

// "sluice1/<host:port>/<base64url secret>", the host numeric, an IPv6 one in brackets.
struct Address {
  std::string host;
  std::uint16_t port = 0;
  Secret secret{};

  [[nodiscard]] std::string to_string() const;
  static Result<Address> parse(std::string_view text);
};

}  // namespace sluice
