#include "src/engine/secret.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

const wire::Limits kLimits{1, 4096, 16, 2, 1000, 1 << 20, 1 << 16, false, "tcp", "me"};

TEST(Secret, ProofDependsOnEverythingThatItCovers) {
  const Secret secret = secret_of("token");
  const Nonce a = random_nonce();
  const Nonce b = random_nonce();
  const ProofBytes proof = prove(secret, End::kConnecting, a, b, kLimits);
  EXPECT_TRUE(same_proof(proof, prove(secret, End::kConnecting, a, b, kLimits)));
  EXPECT_FALSE(same_proof(proof, prove(secret, End::kAccepting, a, b, kLimits)));
  EXPECT_FALSE(same_proof(proof, prove(secret, End::kConnecting, b, a, kLimits)));
  EXPECT_FALSE(same_proof(proof, prove(secret_of("Token"), End::kConnecting, a, b, kLimits)));
  wire::Limits other = kLimits;
  other.small_bytes = 17;
  EXPECT_FALSE(same_proof(proof, prove(secret, End::kConnecting, a, b, other)));
  other = kLimits;
  other.checksum = true;
  EXPECT_FALSE(same_proof(proof, prove(secret, End::kConnecting, a, b, other)));
}

TEST(Secret, RandomOnesDiffer) {
  EXPECT_NE(random_secret(), random_secret());
  EXPECT_NE(random_nonce(), random_nonce());
  EXPECT_NE(random_generation(), 0u);
}

TEST(Address, ComesBackFromItsText) {
  for (const char* host : {"10.0.0.1", "::1", "fe80::1%eth0", "node-3"}) {
    const Address address{host, 20000, random_secret()};
    const auto parsed = Address::parse(address.to_string());
    ASSERT_TRUE(parsed.ok()) << parsed.status().to_string();
    EXPECT_EQ(parsed->host, host);
    EXPECT_EQ(parsed->port, 20000);
    EXPECT_EQ(parsed->secret, address.secret);
  }
}

TEST(Address, RefusesDamage) {
  const std::string good = Address{"10.0.0.1", 20000, random_secret()}.to_string();
  for (std::size_t length = 0; length < good.size(); ++length) {
    const auto parsed = Address::parse(good.substr(0, length));
    ASSERT_FALSE(parsed.ok()) << good.substr(0, length);
    EXPECT_EQ(parsed.status().code(), StatusCode::kInvalidArgument);
  }
  const std::string secret = good.substr(good.rfind('/'));
  for (const std::string& bad :
       {good + "A", good + "!", "sluice2/1.2.3.4:5" + secret, "sluice1/1.2.3.4" + secret,
        "sluice1/:5" + secret, "sluice1/1.2.3.4:0" + secret, "sluice1/1.2.3.4:65536" + secret,
        "sluice1/1.2.3.4:5x" + secret, std::string("http://10.0.0.1/")}) {
    const auto parsed = Address::parse(bad);
    EXPECT_FALSE(parsed.ok()) << bad;
    // An error message never repeats a secret.
    EXPECT_EQ(parsed.status().message().find(secret.substr(1)), std::string_view::npos);
  }
}

}  // namespace
}  // namespace sluice
