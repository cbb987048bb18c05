#include "src/engine/secret.h"

#include <fmt/format.h>
#include <sodium.h>

#include <charconv>

#include "src/base/check.h"

namespace sluice {
namespace {

constexpr std::string_view kPrefix = "sluice1/";
constexpr int kBase64 = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

void ready_sodium() { SLUICE_CHECK(sodium_init() >= 0, "libsodium has no source of randomness"); }

template <std::size_t kBytes>
unsigned char* raw(std::array<std::byte, kBytes>& bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}
template <typename Bytes>
const unsigned char* raw(const Bytes& bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

Status not_an_address(std::string_view why) {
  // The text is not repeated: it may hold a secret.
  return {
      StatusCode::kInvalidArgument,
      fmt::format("not the address of an engine: {}; it looks like sluice1/HOST:PORT/SECRET", why)};
}

}  // namespace

Secret random_secret() {
  ready_sodium();
  Secret secret;
  randombytes_buf(secret.data(), secret.size());
  return secret;
}

Secret secret_of(std::string_view token) {
  ready_sodium();
  Secret secret;
  crypto_generichash(raw(secret), secret.size(), raw(token), token.size(), nullptr, 0);
  return secret;
}

Nonce random_nonce() {
  ready_sodium();
  Nonce nonce;
  randombytes_buf(nonce.data(), nonce.size());
  return nonce;
}

std::uint64_t random_generation() {
  ready_sodium();
  std::uint64_t generation = 0;
  while (generation == 0) randombytes_buf(&generation, sizeof(generation));
  return generation;
}

ProofBytes prove(const Secret& secret, End prover, const Nonce& connecting, const Nonce& accepting,
                 const wire::Limits& limits) {
  static_assert(crypto_auth_hmacsha256_BYTES == wire::kProofBytes);
  static_assert(crypto_auth_hmacsha256_KEYBYTES == sizeof(Secret));
  std::array<std::byte, 1024> text;
  ByteWriter writer(text);
  writer.u8(static_cast<std::uint8_t>(prover));
  writer.bytes(connecting);
  writer.bytes(accepting);
  limits.encode(writer);
  SLUICE_CHECK(writer.ok(), "limits over {} bytes", text.size());
  ProofBytes proof;
  crypto_auth_hmacsha256(raw(proof), raw(text), writer.written(), raw(secret));
  return proof;
}

bool same_proof(const ProofBytes& a, const ProofBytes& b) {
  return sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string Address::to_string() const {
  char text[sodium_base64_ENCODED_LEN(sizeof(Secret), kBase64)];
  sodium_bin2base64(text, sizeof(text), raw(secret), secret.size(), kBase64);
  const bool bracket = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}{}:{}/{}", kPrefix, bracket ? "[" : "", host, bracket ? "]" : "", port,
                     text);
}

Result<Address> Address::parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) return not_an_address("it does not begin with sluice1/");
  text.remove_prefix(kPrefix.size());
  const std::size_t slash = text.rfind('/');
  if (slash == std::string_view::npos) return not_an_address("it has no secret");
  const std::string_view place = text.substr(0, slash);
  const std::string_view secret = text.substr(slash + 1);
  const std::size_t colon = place.rfind(':');
  if (colon == std::string_view::npos) return not_an_address("it has no port");

  Address address;
  std::string_view host = place.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) return not_an_address("it has no host");
  address.host = host;
  const std::string_view port = place.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port == 0) {
    return not_an_address("its port is not a number from 1 to 65535");
  }
  std::size_t decoded = 0;
  if (sodium_base642bin(raw(address.secret), address.secret.size(), secret.data(), secret.size(),
                        nullptr, &decoded, nullptr, kBase64) != 0 ||
      decoded != address.secret.size()) {
    return not_an_address("its secret is damaged");
  }
  return address;
}

}  // namespace sluice
