// One-sided transfers that must not happen: refused by type, told, and without a byte moved.
#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

constexpr std::size_t kBytes = 100'000;

TEST(OneSidedDenied, ByAccess) {
  OneSidedPair pair(kBytes);
  const std::vector<std::byte> before = pair.remote;
  const RemoteRegionId readable = pair.import(Access::kRead);
  const RemoteRegionId writable = pair.import(Access::kWrite);
  const std::vector<Slice> here{pair.at_a(0, kBytes)};
  EXPECT_EQ(pair.write(here, {{readable, 0, kBytes}}).code(), StatusCode::kDenied);
  EXPECT_EQ(pair.read(here, {{writable, 0, kBytes}}).code(), StatusCode::kDenied);
  EXPECT_EQ(pair.remote, before);
  EXPECT_TRUE(pair.read(here, {{readable, 0, kBytes}}).ok());
  EXPECT_EQ(pair.local, before);
}

// Byte 20 is the kind of memory, 21 begins the region's id, 29 is its access, 30 begins the proof.
TEST(OneSidedDenied, ByTheTargetWhatWasAlteredOrIsGone) {
  OneSidedPair pair(kBytes);
  const std::vector<std::byte> before = pair.remote;
  const std::vector<Slice> here{pair.at_a(0, kBytes)};
  const std::string exported = *pair.b.engine->export_region(pair.remote_region, Access::kRead);
  auto altered = [&](std::size_t at, char value) {
    std::string bytes = exported;
    bytes[at] = value;
    return pair.a.engine->import_region(pair.b_at_a, bytes);
  };
  const auto more_access = altered(29, 3);
  ASSERT_TRUE(more_access.ok());
  const Status forged = pair.write(here, {{*more_access, 0, kBytes}}, telling("never"));
  EXPECT_EQ(forged.code(), StatusCode::kDenied);
  EXPECT_NE(forged.message().find("altered"), std::string_view::npos) << forged.to_string();
  const auto longer = altered(14, 127);  // Of its length: the local check does not catch it.
  ASSERT_TRUE(longer.ok());
  const Status outside = pair.read(here, {{*longer, 1 << 20, kBytes}});
  EXPECT_EQ(outside.code(), StatusCode::kInvalidArgument) << outside.to_string();
  EXPECT_FALSE(altered(0, 'x').ok());
  EXPECT_EQ(altered(4, static_cast<char>(exported[4] + 1)).status().code(), StatusCode::kNotFound);

  ASSERT_TRUE(pair.b.engine->deregister(pair.remote_region).ok());
  const Status gone = pair.write(here, {pair.at_b(0, kBytes)}, telling("never"));
  EXPECT_EQ(gone.code(), StatusCode::kNotFound) << gone.to_string();
  EXPECT_EQ(pair.remote, before);
  EXPECT_EQ(pair.b.hear(), 0u);
  // The pair is none the worse for it.
  const auto told = pair.a.engine->notify(pair.b_at_a, {});
  ASSERT_TRUE(pair.drive([&] { return pair.a.finished(*told) && pair.b.hear() == 1; }));
}

TEST(OneSidedDenied, ByThisEndWhatItCanSee) {
  OneSidedPair pair(kBytes);
  OneSidedPair others(kBytes);
  auto code = [&](const std::vector<Slice>& from, const std::vector<RemoteSlice>& to) {
    return pair.write(from, to).code();
  };
  EXPECT_EQ(code({pair.at_a(0, 10)}, {pair.at_b(0, 11)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({pair.at_a(0, 10)}, {pair.at_b(kBytes - 9, 10)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({pair.at_a(kBytes - 9, 10)}, {pair.at_b(0, 10)}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code({{RegionId(77), 0, 10}}, {pair.at_b(0, 10)}), StatusCode::kNotFound);
  EXPECT_EQ(code({pair.at_a(0, 10)}, {{RemoteRegionId(77), 0, 10}}), StatusCode::kNotFound);
  ASSERT_TRUE(pair.a.engine->forget_region(pair.imported).ok());
  EXPECT_EQ(code({pair.at_a(0, 10)}, {pair.at_b(0, 10)}), StatusCode::kNotFound);
  EXPECT_EQ(pair.a.engine->forget_region(pair.imported).code(), StatusCode::kNotFound);
  const std::string foreign = *others.b.engine->export_region(others.remote_region, Access::kRead);
  EXPECT_EQ(pair.a.engine->import_region(pair.b_at_a, foreign).status().code(),
            StatusCode::kNotFound);
}

TEST(OneSidedDenied, AsStaleAlsoWhatWasImportedBeforeThePeerWasThere) {
  OneSidedPair pair(kBytes);
  const std::string exported = *pair.b.engine->export_region(pair.remote_region, Access::kWrite);
  Host anew;
  const auto joining = pair.a.engine->connect(anew.engine->address());
  ASSERT_TRUE(joining.ok());
  const auto imported = pair.a.engine->import_region(*joining, exported);
  ASSERT_TRUE(imported.ok()) << imported.status().to_string();
  auto write = [&] {
    return pair.a.engine->write(*joining, std::vector{pair.at_a(0, kBytes)},
                                std::vector{RemoteSlice{*imported, 0, kBytes}}, telling("never"));
  };
  std::vector<Result<TransferId>> ids{write()};
  auto drive_both = [&](const std::function<bool()>& condition) {
    return drive({&pair.a, &anew}, condition);
  };
  ASSERT_TRUE(drive_both([&] { return anew.event(PeerEventKind::kConnected) != nullptr; }));
  ids.push_back(write());
  for (const auto& id : ids) {
    ASSERT_TRUE(id.ok()) << id.status().to_string();
    ASSERT_TRUE(drive_both([&] { return pair.a.finished(*id); }));
    const Status& status = pair.a.done.at(*id).status;
    EXPECT_EQ(status.code(), StatusCode::kNotFound) << status.to_string();
    EXPECT_NE(status.message().find("stale"), std::string_view::npos) << status.to_string();
  }
  EXPECT_EQ(anew.hear(), 0u);
}

TEST(OneSidedDenied, FullTablesSayWouldBlockAndRegionsAreHeld) {
  Options options = loopback_options();
  options.max_transfers = 4;
  OneSidedPair pair(kBytes, options);
  auto write = [&](std::uint64_t at) {
    return pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(at, kBytes / 5)},
                                std::vector{pair.at_b(at, kBytes / 5)});
  };
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(write(i * kBytes / 5).ok());
  EXPECT_EQ(write(4 * kBytes / 5).status().code(), StatusCode::kWouldBlock);
  EXPECT_EQ(pair.a.engine->deregister(pair.local_region).code(), StatusCode::kWouldBlock);
  ASSERT_TRUE(pair.drive([&] { return pair.a.done.size() == 4; }));
  EXPECT_TRUE(pair.a.engine->deregister(pair.local_region).ok());
  EXPECT_TRUE(pair.b.engine->deregister(pair.remote_region).ok());
}

TEST(OneSidedDenied, EndsWithItsPeer) {
  constexpr std::size_t kHalf = 4 << 20;
  OneSidedPair pair(2 * kHalf);
  const auto written = pair.a.engine->write(pair.b_at_a, std::vector{pair.at_a(0, kHalf)},
                                            std::vector{pair.at_b(0, kHalf)}, telling("never"));
  const auto read = pair.a.engine->read(pair.b_at_a, std::vector{pair.at_a(kHalf, kHalf)},
                                        std::vector{pair.at_b(kHalf, kHalf)});
  ASSERT_TRUE(written.ok() && read.ok());
  for (int pass = 0; pass < 5; ++pass) {
    pair.a.pass();
    pair.b.pass();
  }
  ASSERT_TRUE(pair.b.engine->disconnect(pair.a_at_b).ok());
  ASSERT_TRUE(pair.drive([&] { return pair.a.event(PeerEventKind::kLost) != nullptr; }));
  ASSERT_TRUE(pair.a.finished(*written) && pair.a.finished(*read));
  EXPECT_EQ(pair.a.engine->import_region(pair.b_at_a, "x").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(pair.a.engine->forget_region(pair.imported).code(), StatusCode::kNotFound);
  ASSERT_TRUE(pair.drive([&] { return pair.b.event(PeerEventKind::kLost) != nullptr; }));
  ASSERT_TRUE(pair.drive([&] { return pair.b.engine->deregister(pair.remote_region).ok(); }));
  EXPECT_TRUE(pair.a.engine->deregister(pair.local_region).ok());
}

}  // namespace
}  // namespace sluice
