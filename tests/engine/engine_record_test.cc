// What an engine's recording says of what happened.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "src/engine/wire.h"
#include "src/observe/recording.h"
#include "tests/engine/one_sided_fixture.h"

namespace sluice {
namespace {

class EngineRecord : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "record_XXXXXX";
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] Recording record(Engine& engine) const {
    const std::string path = folder_ + "/one";
    const Status status = engine.record_to(path);
    EXPECT_TRUE(status.ok()) << status.to_string();
    Result<Recording> recording = read_recording(path);
    EXPECT_TRUE(recording.ok()) << recording.status().to_string();
    return recording.ok() ? recording.take() : Recording();
  }
  // Names of files, those that contain `part`.
  [[nodiscard]] std::vector<std::string> files(std::string_view part) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      if (entry.path().native().find(part) != std::string::npos) names.push_back(entry.path());
    }
    return names;
  }

  std::string folder_;
};

std::vector<Event> of_kind(const Recording& recording, EventKind kind, std::uint8_t detail) {
  std::vector<Event> result;
  for (const Event& event : recording.events) {
    if (event.kind == kind && event.detail == detail) result.push_back(event);
  }
  return result;
}

TEST_F(EngineRecord, AListOfBlocksIsBroughtTwiceAndThenNamed) {
  constexpr std::size_t kBlocks = 10'000;
  OneSidedPair pair(kBlocks * 8);
  std::vector<RemoteSlice> there;
  for (std::size_t i = 0; i < kBlocks; ++i) there.push_back(pair.at_b(i * 7919 % kBlocks * 8, 8));
  std::vector<std::size_t> parts;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(pair.write({pair.at_a(0, kBlocks * 8)}, there).ok());
    const Recording recording = record(*pair.a.engine);
    const auto type = static_cast<std::uint8_t>(wire::FrameType::kPart);
    parts.push_back(of_kind(recording, EventKind::kFrameOut, type).size());
  }
  EXPECT_GT(parts[0], 2u);
  EXPECT_EQ(parts[1], 2 * parts[0]);
  EXPECT_EQ(parts[2], parts[1]);
  EXPECT_EQ(parts[3], parts[1]);
}

TEST_F(EngineRecord, BothEndsTellTheSameStory) {
  constexpr std::size_t kBytes = 3'000'001;
  Options options = loopback_options();
  options.name = "one end";
  Pair pair(options, options);
  std::vector<std::byte> from = random_bytes(kBytes, 1);
  std::vector<std::byte> into(kBytes);
  const auto received = pair.b.engine->recv(pair.a_at_b, {pair.b.add(into), 0, kBytes});
  const auto sent = pair.a.engine->send(pair.b_at_a, {pair.a.add(from), 0, kBytes});
  ASSERT_TRUE(pair.finish(*sent, *received));

  const Recording a = record(*pair.a.engine);
  const Recording b = record(*pair.b.engine);
  EXPECT_EQ(a.name, "one end");
  EXPECT_EQ(a.recorded, a.events.size());
  ASSERT_EQ(a.peers.size(), 1u);
  ASSERT_EQ(b.peers.size(), 1u);
  EXPECT_EQ(a.peers[0].generation, b.generation);
  EXPECT_EQ(b.peers[0].generation, a.generation);
  EXPECT_EQ(a.peers[0].id, static_cast<std::uint64_t>(pair.b_at_a));

  const auto posted = of_kind(a, EventKind::kPosted, kSends);
  std::uint64_t bytes = 0;
  std::array<std::uint32_t, 2> chunks{};  // By channel.
  for (const Event& event : posted) {
    EXPECT_EQ(event.number, chunks.at(event.channel)++);
    EXPECT_EQ(event.transfer, static_cast<std::uint64_t>(*sent));
    bytes += event.bytes;
  }
  EXPECT_EQ(bytes, kBytes);
  EXPECT_EQ(of_kind(a, EventKind::kReleased, kSends).size(), posted.size());
  EXPECT_EQ(of_kind(b, EventKind::kPosted, kReceives).size(), posted.size());
  EXPECT_EQ(of_kind(b, EventKind::kArrived, kReceives).size(), posted.size());
  EXPECT_EQ(of_kind(b, EventKind::kReleased, kReceives).size(), posted.size());

  for (const auto& [recording, way, id] :
       {std::tuple(a, kSends, *sent), std::tuple(b, kReceives, *received)}) {
    const auto asked = of_kind(recording, EventKind::kAsked, way);
    const auto completed = of_kind(recording, EventKind::kCompleted, 0);
    ASSERT_EQ(asked.size(), 1u);
    ASSERT_EQ(completed.size(), 1u);
    EXPECT_EQ(asked[0].transfer, static_cast<std::uint64_t>(id));
    EXPECT_EQ(length_of(asked[0]), kBytes);
    EXPECT_EQ(length_of(completed[0]), kBytes);
    EXPECT_LE(asked[0].time, completed[0].time);
  }

  // A frame is of the same number and type at both ends, whichever way it goes.
  for (const auto& [out, in] : {std::pair(a, b), std::pair(b, a)}) {
    std::map<std::uint32_t, std::uint8_t> types;
    for (const Event& event : out.events) {
      if (event.kind == EventKind::kFrameOut) types[event.number] = event.detail;
    }
    std::size_t both = 0;
    for (const Event& event : in.events) {
      if (event.kind != EventKind::kFrameIn || !types.contains(event.number)) continue;
      EXPECT_EQ(types[event.number], event.detail) << event.number;
      ++both;
    }
    EXPECT_GT(both, 0u);
  }
}

TEST_F(EngineRecord, OffThereIsNothingToWrite) {
  Options options = loopback_options();
  options.recorder_events = 0;
  options.recorder_dir = folder_;
  {
    Pair pair(options, options);
    EXPECT_EQ(pair.a.engine->record_to(folder_ + "/one").code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(pair.a.engine->report().find("recorded in"), std::string::npos);
  }
  EXPECT_TRUE(files("").empty());
}

TEST_F(EngineRecord, IsKeptForAReportAndWhenTheEngineCloses) {
  Options options = loopback_options();
  options.recorder_dir = folder_;
  options.name = "gpu0 ../x";
  options.log_level = "error";
  {
    Host host(options);
    for (int i = 0; i < 20; ++i) (void)host.engine->report();  // More than it may keep.
  }
  ASSERT_EQ(files(".recording").size(), 16u);
  ASSERT_EQ(files("gpu0_.._x-").size(), 16u);
  EXPECT_TRUE(read_recording(files("-16-report").at(0)).ok());
  std::filesystem::remove_all(folder_);
  std::filesystem::create_directory(folder_);
  { const Host host(options); }
  EXPECT_EQ(files("-1-closed.recording").size(), 1u);

  options.recorder_dir = folder_ + "/no/such/folder";
  Host host(options);
  EXPECT_EQ(host.engine->report().find("recorded in"), std::string::npos);
}

}  // namespace
}  // namespace sluice
