#include "src/net/tcp/chunk_stream.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "src/base/bytes.h"
#include "src/net/tcp/testing.h"

namespace sluice {
namespace {

using Wait = ChunkStream::Wait;

constexpr std::size_t kHeader = ChunkStream::kHeaderBytes;

std::vector<std::byte> header(std::uint32_t length, std::uint32_t number) {
  std::vector<std::byte> bytes(kHeader);
  ByteWriter writer(bytes);
  writer.u32(length);
  writer.u32(number);
  return bytes;
}

void write_all(const Fd& fd, std::span<const std::byte> bytes) {
  ASSERT_EQ(::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(bytes.size()));
}

struct Ends {
  Ends() : Ends(testing::small_pair()) {}
  explicit Ends(std::pair<Fd, Fd> fds)
      : sender(std::move(fds.first)), receiver(std::move(fds.second)) {}
  SendStream sender;
  RecvStream receiver;
};

// A receiver, and the bare socket at its other end.
struct Bare {
  Bare() : Bare(testing::small_pair()) {}
  explicit Bare(std::pair<Fd, Fd> fds)
      : peer(std::move(fds.first)), receiver(std::move(fds.second)) {}
  Fd peer;
  RecvStream receiver;
};

TEST(ChunkStream, ChunksOfAllSizesArriveInOrder) {
  Ends ends;
  const std::size_t sizes[] = {0, 1, 7, 8, 9, 0, 0, 4096, 4097, 1 << 20, 3, (8 << 20) + 5, 0, 1};
  std::thread sending([&] {
    std::uint64_t seed = 0;
    for (const std::size_t size : sizes) {
      auto data = pattern(size, seed++);
      Chunk chunk{data.data(), size, 0};
      ASSERT_EQ(ends.sender.move(chunk, Wait::kYes), Move::kAll);
      ASSERT_EQ(chunk.moved, size);
    }
  });
  std::uint64_t seed = 0;
  for (const std::size_t size : sizes) {
    std::vector<std::byte> data(size + 100, std::byte{0xee});
    Chunk chunk{data.data(), data.size(), 0};  // More room than is sent.
    ASSERT_EQ(ends.receiver.move(chunk, Wait::kYes), Move::kAll)
        << ends.receiver.failure().to_string();
    ASSERT_EQ(chunk.moved, size);
    data.resize(size + 1);
    ASSERT_EQ(data.back(), std::byte{0xee}) << "wrote past what was sent";
    data.resize(size);
    ASSERT_TRUE(same_bytes(data, pattern(size, seed++)));
  }
  sending.join();
}

// `data` in pieces of random lengths, with a gap behind each; and what lies there.
struct Spread {
  Spread(std::span<const std::byte> data, std::size_t most, std::uint64_t seed)
      : memory(2 * data.size() + kMostTcpPieces, std::byte{0xee}) {
    std::mt19937_64 random(seed);
    std::size_t at = 0;
    while (!data.empty()) {
      const bool last = pieces.size() + 1 == most;
      const std::size_t bytes =
          last ? data.size() : 1 + random() % std::min<std::size_t>(data.size(), 9000);
      std::ranges::copy(data.first(bytes), memory.begin() + static_cast<long>(at));
      pieces.push_back({memory.data() + at, bytes});
      at += bytes + 1;
      data = data.subspan(bytes);
    }
  }
  [[nodiscard]] std::vector<std::byte> gathered() const {
    std::vector<std::byte> bytes;
    for (const ChunkPiece& piece : pieces)
      bytes.insert(bytes.end(), piece.at, piece.at + piece.bytes);
    return bytes;
  }
  std::vector<std::byte> memory;
  std::vector<ChunkPiece> pieces;
};

TEST(ChunkStream, PiecesOfAnyShapeAtEitherEnd) {
  Ends ends;
  const std::size_t sizes[] = {1, 2, 4096, 700'001, 100'000};
  constexpr int kRounds = 10;
  std::thread sending([&] {
    for (std::uint64_t i = 0; i < kRounds * std::size(sizes); ++i) {
      const auto data = pattern(sizes[i % std::size(sizes)], i);
      const Spread from(data, kMostTcpPieces, i);
      Chunk chunk;
      chunk.bytes = data.size();
      chunk.pieces = from.pieces;
      // The socket stops it anywhere, in the middle of a piece, too.
      while (ends.sender.move(chunk, i % 2 == 0 ? Wait::kYes : Wait::kNo) == Move::kNotYet) {
        std::this_thread::yield();
      }
      ASSERT_TRUE(ends.sender.failure().ok()) << ends.sender.failure().to_string();
    }
  });
  for (std::uint64_t i = 0; i < kRounds * std::size(sizes); ++i) {
    const auto data = pattern(sizes[i % std::size(sizes)], i);
    const std::vector<std::byte> blank(data.size(), std::byte{0x11});
    const Spread into(blank, i % 3 == 0 ? 1 : kMostTcpPieces, i + 77);
    Chunk chunk;
    chunk.bytes = data.size();
    chunk.pieces = into.pieces;
    ASSERT_EQ(ends.receiver.move(chunk, Wait::kYes), Move::kAll)
        << ends.receiver.failure().to_string();
    ASSERT_TRUE(same_bytes(into.gathered(), data)) << i;
    std::vector<std::byte> gaps = into.memory;
    for (const ChunkPiece& piece : into.pieces) {
      std::fill_n(gaps.begin() + (piece.at - into.memory.data()), piece.bytes, std::byte{0xee});
    }
    ASSERT_EQ(std::ranges::count(gaps, std::byte{0xee}), static_cast<long>(gaps.size())) << i;
  }
  sending.join();
}

TEST(ChunkStream, WithoutWaitingItGoesOnWhereItStopped) {
  Ends ends;
  auto data = pattern(1 << 20, 1);
  std::vector<std::byte> arrived(data.size());
  Chunk out{data.data(), data.size(), 0};
  Chunk in{arrived.data(), arrived.size(), 0};
  EXPECT_EQ(ends.receiver.move(in, Wait::kNo), Move::kNotYet);
  EXPECT_EQ(ends.sender.move(out, Wait::kNo), Move::kNotYet);  // The buffer is full.
  EXPECT_GT(out.moved, 0u);
  Move sent = Move::kNotYet;
  Move received = Move::kNotYet;
  while (received == Move::kNotYet) {
    if (sent == Move::kNotYet) sent = ends.sender.move(out, Wait::kNo);
    received = ends.receiver.move(in, Wait::kNo);
  }
  EXPECT_EQ(sent, Move::kAll);
  EXPECT_EQ(received, Move::kAll);
  EXPECT_EQ(arrived, data);
}

TEST(ChunkStream, AnySplitOfTheStreamIsTheSame) {
  std::vector<std::byte> stream;
  const std::size_t sizes[] = {5, 0, 130, 1};
  for (std::uint32_t i = 0; i < 4; ++i) {
    const auto head = header(static_cast<std::uint32_t>(sizes[i]), i);
    const auto body = pattern(sizes[i], i);
    stream.insert(stream.end(), head.begin(), head.end());
    stream.insert(stream.end(), body.begin(), body.end());
  }
  std::mt19937 random(3);
  for (std::size_t largest = 1; largest < 40; ++largest) {
    Bare bare;
    std::size_t sent = 0;
    for (std::uint32_t i = 0; i < 4; ++i) {
      std::vector<std::byte> arrived(200);
      Chunk chunk{arrived.data(), arrived.size(), 0};
      while (bare.receiver.move(chunk, Wait::kNo) == Move::kNotYet) {
        ASSERT_LT(sent, stream.size());
        const std::size_t part = std::min(1 + random() % largest, stream.size() - sent);
        write_all(bare.peer, std::span(stream).subspan(sent, part));
        sent += part;
      }
      arrived.resize(chunk.moved);
      ASSERT_TRUE(same_bytes(arrived, pattern(sizes[i], i))) << "pieces up to " << largest;
    }
  }
}

TEST(RecvStream, ALongerChunkThanPostedFails) {
  Bare bare;
  write_all(bare.peer, header(101, 0));
  std::vector<std::byte> room(100, std::byte{0xee});
  Chunk chunk{room.data(), room.size(), 0};
  ASSERT_EQ(bare.receiver.move(chunk, Wait::kYes), Move::kFailed);
  EXPECT_EQ(bare.receiver.failure().code(), StatusCode::kTooLong);
  const auto message = bare.receiver.failure().message();
  EXPECT_NE(message.find("101"), std::string_view::npos) << message;
  EXPECT_NE(message.find("100"), std::string_view::npos) << message;
  EXPECT_EQ(room, std::vector<std::byte>(100, std::byte{0xee}));
}

TEST(RecvStream, NonsenseInsteadOfAHeaderFails) {
  for (const auto& bytes :
       {header(1, 1), header(1, UINT32_MAX), header((1u << 30) + 1, 0), header(UINT32_MAX, 0)}) {
    Bare bare;
    write_all(bare.peer, bytes);
    std::byte room{};
    Chunk chunk{&room, 1, 0};
    ASSERT_EQ(bare.receiver.move(chunk, Wait::kYes), Move::kFailed);
    EXPECT_EQ(bare.receiver.failure().code(), StatusCode::kProtocol);
  }
}

TEST(RecvStream, AnEndSaysWhereItCame) {
  const struct {
    std::size_t bytes;
    const char* text;
  } cases[] = {{0, "before chunk 0"},
               {3, "in the middle of chunk 0"},
               {kHeader, "in the middle of chunk 0: 0 of 10 bytes"},
               {kHeader + 4, "in the middle of chunk 0: 4 of 10 bytes"}};
  for (const auto& c : cases) {
    Bare bare;
    auto stream = header(10, 0);
    stream.resize(kHeader + 10);
    write_all(bare.peer, std::span(stream).first(c.bytes));
    bare.peer.reset();
    std::vector<std::byte> room(10);
    Chunk chunk{room.data(), room.size(), 0};
    ASSERT_EQ(bare.receiver.move(chunk, Wait::kYes), Move::kFailed);
    EXPECT_EQ(bare.receiver.failure().code(), StatusCode::kPeerLost);
    EXPECT_NE(bare.receiver.failure().message().find(c.text), std::string_view::npos)
        << bare.receiver.failure().message();
  }
}

TEST(SendStream, ABrokenConnectionIsNoSignal) {
  Ends ends;
  ends.receiver.shut_down();
  std::byte data{};
  Chunk chunk{&data, 1, 0};
  ASSERT_EQ(ends.sender.move(chunk, Wait::kYes), Move::kFailed);
  EXPECT_EQ(ends.sender.failure().code(), StatusCode::kPeerLost);
}

TEST(ChunkStream, ShutDownWakesWhoIsBlocked) {
  Ends ends;
  std::vector<std::byte> data(8 << 20);
  std::thread blocked_sender([&] {
    Chunk chunk{data.data(), data.size(), 0};
    EXPECT_EQ(ends.sender.move(chunk, Wait::kYes), Move::kFailed);
  });
  ends.sender.shut_down();
  blocked_sender.join();

  Ends others;
  std::thread blocked_receiver([&] {
    Chunk chunk{data.data(), data.size(), 0};
    EXPECT_EQ(others.receiver.move(chunk, Wait::kYes), Move::kFailed);
  });
  others.receiver.shut_down();
  blocked_receiver.join();
}

}  // namespace
}  // namespace sluice
