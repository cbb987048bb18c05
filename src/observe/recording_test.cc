#include "src/observe/recording.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>

namespace sluice {
namespace {

Recording sample() {
  Recording recording;
  recording.generation = 0xfedc'ba98'7654'3210;
  recording.taken_at = 5000;
  recording.wall_clock = 1'790'000'000'000'000'000;
  recording.recorded = 1000;
  recording.window = 16;
  recording.name = "gpu0";
  recording.net = "tcp";
  recording.reason = "stall";
  recording.peers = {{0x1000001, 7, "gpu1 (10.0.0.2:20000)"}, {0x1000002, 8, ""}};
  recording.events = {{100, 3, 0, 524'288, 0x1000001, 1, EventKind::kPosted, kSends},
                      {200, 1'000, 2, 0, 0, 0, EventKind::kSlept, 0}};
  return recording;
}

// Why it was refused; "" if it was not.
std::string refusal(std::span<const std::byte> bytes) {
  const Result<Recording> recording = decode_recording(bytes);
  if (recording.ok()) return "";
  EXPECT_EQ(recording.status().code(), StatusCode::kProtocol);
  return std::string(recording.status().message());
}

TEST(Recording, ComesBackAsItWas) {
  const Recording empty;
  for (const Recording& recording : {sample(), empty}) {
    const Result<Recording> decoded = decode_recording(encode(recording));
    ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
    EXPECT_EQ(*decoded, recording);
  }
}

TEST(Recording, BytesAreThoseOfTheDocument) {
  Recording recording = sample();
  recording.peers.clear();
  recording.events.resize(1);
  const std::vector<std::byte> bytes = encode(recording);
  const std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  EXPECT_EQ(text.substr(0, 16), std::string("SLUREC\r\n\x01\x00\x20\x00\x10\x00\x00\x00", 16));
  EXPECT_EQ(text.substr(16, 8), "\x10\x32\x54\x76\x98\xba\xdc\xfe");
  EXPECT_EQ(text.substr(48, 8), std::string("\0\0\0\0\1\0\0\0", 8));
  EXPECT_EQ(text.substr(56, 18), std::string("\4\0gpu0\3\0tcp\5\0stall", 18));
  EXPECT_EQ(text.substr(74), std::string("\x64\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0\0\0\0\0\0\0\x08\0"
                                         "\1\0\0\1\1\0\2\1",
                                         32));
}

TEST(Recording, RefusesWhatIsCutOrHasMore) {
  std::vector<std::byte> bytes = encode(sample());
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(refusal(std::span(bytes).first(length)), "") << length;
  }
  bytes.push_back({});
  EXPECT_NE(refusal(bytes), "");
}

TEST(Recording, RefusesWhatNoEngineWrites) {
  const auto changed = [](std::size_t at, int value) {
    std::vector<std::byte> bytes = encode(sample());
    bytes[at] = static_cast<std::byte>(value);
    return refusal(bytes);
  };
  EXPECT_NE(changed(0, 'X').find("SLUREC"), std::string::npos);
  EXPECT_NE(changed(8, 2).find("version 2"), std::string::npos);
  EXPECT_NE(changed(10, 40).find("events of 40"), std::string::npos);
  EXPECT_NE(changed(49, 0xff).find("peers"), std::string::npos);
  EXPECT_NE(changed(55, 0xff).find("events"), std::string::npos);  // Four billion of them.

  Recording recording = sample();
  recording.recorded = 1;
  EXPECT_NE(refusal(encode(recording)).find("2 of 1"), std::string::npos);
  recording = sample();
  recording.events[1].time = 99;
  EXPECT_NE(refusal(encode(recording)).find("event 1 lies before"), std::string::npos);
  recording.events[1].time = recording.taken_at + 1;
  EXPECT_NE(refusal(encode(recording)).find("or after the end"), std::string::npos);
  recording = sample();
  recording.taken_at = std::numeric_limits<Nanoseconds>::max();
  EXPECT_NE(refusal(encode(recording)).find("taken at"), std::string::npos);
  recording = sample();
  recording.wall_clock = -1;
  EXPECT_NE(refusal(encode(recording)).find("taken at"), std::string::npos);
  recording = sample();
  recording.events[1].kind = static_cast<EventKind>(200);
  EXPECT_NE(refusal(encode(recording)).find("event 1 is of kind 200"), std::string::npos);
}

TEST(Recording, CutsTextsThatAreTooLong) {
  Recording recording = sample();
  recording.name.assign(Recording::kLongestText + 1, 'n');
  recording.peers[0].label.assign(70'000, 'p');
  const Result<Recording> decoded = decode_recording(encode(recording));
  ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
  EXPECT_EQ(decoded->name.size(), Recording::kLongestText);
  EXPECT_EQ(decoded->peers[0].label.size(), Recording::kLongestText);
}

TEST(RecordingFile, IsWrittenWholeAndReadBack) {
  std::string folder = testing::TempDir() + "recording_XXXXXX";
  ASSERT_NE(::mkdtemp(folder.data()), nullptr);
  const std::string path = folder + "/one";
  ASSERT_TRUE(write_recording(path, sample()).ok());
  const Result<Recording> read = read_recording(path);
  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(*read, sample());
  EXPECT_NE(::access((path + ".partial").c_str(), F_OK), 0);

  EXPECT_EQ(write_recording(folder + "/no/such", sample()).code(), StatusCode::kSystem);
  EXPECT_EQ(read_recording(folder + "/none").status().code(), StatusCode::kSystem);
  std::ofstream(path) << "hello";
  const Status status = read_recording(path).status();
  EXPECT_EQ(status.code(), StatusCode::kProtocol);
  EXPECT_NE(status.message().find(path), std::string::npos);
  EXPECT_FALSE(read_recording(folder).ok());
  ::unlink(path.c_str());
  ::rmdir(folder.c_str());
}

TEST(EventKind, OnlyThoseOfTheFormatHaveANameAndAllAreDifferent) {
  std::vector<std::string> names;
  for (int kind = 0; kind < 256; ++kind) {
    const std::string_view name = to_string(static_cast<EventKind>(kind));
    if (name.empty()) continue;
    EXPECT_EQ(std::count(names.begin(), names.end(), name), 0);
    names.emplace_back(name);
  }
  EXPECT_EQ(names.size(), 16u);
}

}  // namespace
}  // namespace sluice
