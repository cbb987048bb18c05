#include "sluice/status.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <set>
#include <string>

namespace sluice {
namespace {

constexpr int kCodes = static_cast<int>(StatusCode::kCorrupted) + 1;

TEST(StatusTest, EveryCodeHasItsOwnName) {
  std::set<std::string> names;
  for (int code = 0; code < kCodes; ++code) {
    names.insert(to_string(static_cast<StatusCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(kCodes));
  EXPECT_EQ(names.count("Unknown"), 0u);
  EXPECT_STREQ(to_string(StatusCode::kPeerLost), "PeerLost");
  EXPECT_STREQ(to_string(StatusCode::kOk), "OK");
}

TEST(StatusTest, NumbersThatAreNoCodeHaveAName) {
  EXPECT_STREQ(to_string(static_cast<StatusCode>(kCodes)), "Unknown");
  EXPECT_STREQ(to_string(static_cast<StatusCode>(255)), "Unknown");
}

TEST(StatusTest, OkHasNoMessage) {
  const Status ok;
  EXPECT_TRUE(ok.ok());
  EXPECT_EQ(ok.code(), StatusCode::kOk);
  EXPECT_EQ(ok.message(), "");
  EXPECT_EQ(ok.to_string(), "OK");
}

TEST(StatusTest, CodeOkIsOkWhateverTheMessage) {
  const Status status(StatusCode::kOk, "all is well");
  EXPECT_TRUE(status.ok());
  EXPECT_EQ(status.message(), "");
}

TEST(StatusTest, FailureCarriesCodeAndMessage) {
  const Status lost(StatusCode::kPeerLost, "peer 3 (10.0.0.2:20000) closed its connection");
  EXPECT_FALSE(lost.ok());
  EXPECT_EQ(lost.code(), StatusCode::kPeerLost);
  EXPECT_EQ(lost.to_string(), "PeerLost: peer 3 (10.0.0.2:20000) closed its connection");
}

TEST(StatusTest, CopiesShareTheirMessageAndOutliveTheOriginal) {
  auto original = std::make_unique<Status>(StatusCode::kClosed, std::string(1000, 'x'));
  const Status copy = *original;
  EXPECT_EQ(copy.message().data(), original->message().data());
  original.reset();
  EXPECT_EQ(copy.message(), std::string(1000, 'x'));
}

TEST(StatusTest, ContextIsPutInFrontAndLeavesTheOriginalAlone) {
  const Status inner(StatusCode::kTimedOut, "no hello within 5000 ms");
  const Status outer = inner.with_context("peer 10.0.0.2:20000").with_context("connect");
  EXPECT_EQ(outer.code(), StatusCode::kTimedOut);
  EXPECT_EQ(outer.message(), "connect: peer 10.0.0.2:20000: no hello within 5000 ms");
  EXPECT_EQ(inner.message(), "no hello within 5000 ms");
}

TEST(StatusTest, ContextLeavesOkAlone) { EXPECT_TRUE(Status().with_context("connect").ok()); }

TEST(StatusTest, ErrnoChoosesTheCode) {
  const struct {
    int error;
    StatusCode code;
  } cases[] = {
      {ECONNREFUSED, StatusCode::kUnavailable},
      {EHOSTUNREACH, StatusCode::kUnavailable},
      {ENETUNREACH, StatusCode::kUnavailable},
      {EADDRINUSE, StatusCode::kUnavailable},
      {EADDRNOTAVAIL, StatusCode::kUnavailable},
      {ETIMEDOUT, StatusCode::kTimedOut},
      {ECONNRESET, StatusCode::kPeerLost},
      {ECONNABORTED, StatusCode::kPeerLost},
      {EPIPE, StatusCode::kPeerLost},
      {EAGAIN, StatusCode::kWouldBlock},
      {EMFILE, StatusCode::kSystem},
      {EINVAL, StatusCode::kSystem},
      {EACCES, StatusCode::kSystem},
      {987654, StatusCode::kSystem},
  };
  for (const auto& [error, code] : cases) {
    EXPECT_EQ(Status::from_errno(error, "bind").code(), code) << "errno " << error;
  }
}

TEST(StatusTest, ErrnoIsToldInWordsAndAsNumber) {
  const Status status = Status::from_errno(EADDRINUSE, "bind 127.0.0.1:20000");
  EXPECT_EQ(status.message(), "bind 127.0.0.1:20000: Address already in use (errno 98)");
}

TEST(ResultTest, HoldsAValueThatCanOnlyBeMoved) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(7));
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result.status().ok());
  EXPECT_EQ(**result, 7);
  const std::unique_ptr<int> taken = result.take();
  EXPECT_EQ(*taken, 7);
}

TEST(ResultTest, HoldsTheReasonThatThereIsNoValue) {
  const Result<int> result = Status(StatusCode::kNotFound, "region 9 is not registered");
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.status().to_string(), "NotFound: region 9 is not registered");
}

}  // namespace
}  // namespace sluice
