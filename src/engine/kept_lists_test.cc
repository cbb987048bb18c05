#include "src/engine/kept_lists.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using Telling = ToldLists::Telling;

constexpr std::uint64_t kLongest = 1000;

std::vector<std::byte> list_of(std::size_t number, std::size_t length = 100) {
  std::vector<std::byte> list(length, std::byte{7});
  list[length / 2] = static_cast<std::byte>(number);
  return list;
}

// What the target would then name the list by; only after it has been asked for twice.
std::uint16_t told(ToldLists& lists, std::size_t number) {
  EXPECT_EQ(lists.choose(list_of(number), kLongest).telling, Telling::kWhole);
  const ToldLists::Choice choice = lists.choose(list_of(number), kLongest);
  EXPECT_EQ(choice.telling, Telling::kKeep);
  lists.sent(choice.id);
  return choice.id;
}

TEST(ToldLists, AreKeptTheSecondTimeAndNamedFromThenOn) {
  ToldLists lists;
  const std::uint16_t first = told(lists, 1);
  const std::uint16_t second = told(lists, 2);
  EXPECT_NE(first, second);
  for (int i = 0; i < 3; ++i) {
    const ToldLists::Choice again = lists.choose(list_of(1), kLongest);
    EXPECT_EQ(again.telling, Telling::kName);
    EXPECT_EQ(again.id, first);
  }
  EXPECT_EQ(lists.choose(list_of(3), kLongest).telling, Telling::kWhole);
}

TEST(ToldLists, AreNotNamedBeforeTheyAreOutNorWhenTheyNeverWere) {
  ToldLists lists;
  static_cast<void>(lists.choose(list_of(1), kLongest));
  const ToldLists::Choice kept = lists.choose(list_of(1), kLongest);
  ASSERT_EQ(kept.telling, Telling::kKeep);
  EXPECT_EQ(lists.choose(list_of(1), kLongest).telling, Telling::kWhole);
  lists.withdrawn(kept.id);
  EXPECT_EQ(lists.choose(list_of(1), kLongest).telling, Telling::kKeep);
}

TEST(ToldLists, TooShortAndTooLongOnesAreBrought) {
  ToldLists lists;
  for (const std::size_t length : {63u, 1001u}) {
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(lists.choose(list_of(1, length), kLongest).telling, Telling::kWhole);
    }
  }
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(lists.choose(list_of(1), 0).telling, Telling::kWhole) << "the target keeps none";
  }
}

TEST(ToldLists, TheOneUsedLeastLatelyMakesRoom) {
  ToldLists lists;
  std::vector<std::uint16_t> ids;
  for (std::size_t i = 0; i < wire::kMostKeptLists; ++i) ids.push_back(told(lists, i));
  EXPECT_EQ(lists.choose(list_of(0), kLongest).telling, Telling::kName);
  EXPECT_EQ(told(lists, 200), ids[1]);
  EXPECT_EQ(lists.choose(list_of(0), kLongest).telling, Telling::kName);
  EXPECT_NE(lists.choose(list_of(1), kLongest).telling, Telling::kName);
}

TEST(ToldLists, WhatIsOnItsWayMakesNoRoom) {
  ToldLists lists;
  std::vector<std::uint16_t> ids;
  for (std::size_t i = 0; i < wire::kMostKeptLists; ++i) {
    static_cast<void>(lists.choose(list_of(i), kLongest));
    ids.push_back(lists.choose(list_of(i), kLongest).id);
  }
  static_cast<void>(lists.choose(list_of(200), kLongest));
  EXPECT_EQ(lists.choose(list_of(200), kLongest).telling, Telling::kWhole);
  lists.sent(ids[5]);
  const ToldLists::Choice choice = lists.choose(list_of(200), kLongest);
  EXPECT_EQ(choice.telling, Telling::kKeep);
  EXPECT_EQ(choice.id, ids[5]);
}

TEST(KeptLists, WhatIsInUseOutlivesItsId) {
  KeptLists lists;
  EXPECT_EQ(lists.find(3), nullptr);
  lists.keep(3, list_of(1));
  const auto used = lists.find(3);
  lists.keep(3, list_of(2, 500));
  EXPECT_EQ(*used, list_of(1));
  EXPECT_EQ(*lists.find(3), list_of(2, 500));
}

}  // namespace
}  // namespace sluice
