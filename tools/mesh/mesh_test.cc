#include <gtest/gtest.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "tools/mesh/hosts.h"
#include "tools/mesh/matrix.h"
#include "tools/mesh/messages.h"
#include "tools/mesh/schedule.h"

namespace sluice::mesh {
namespace {

using Nics = std::vector<std::vector<std::string>>;

TEST(ParseHosts, TakesHostFilesOfOpenMpi) {
  const auto hosts =
      parse_hosts("# all\nnode-0 slots=8\r\n\n  10.0.0.2\t# the second\nfe80::1%eth0");
  ASSERT_TRUE(hosts.ok()) << hosts.status().to_string();
  EXPECT_EQ(*hosts, (std::vector<std::string>{"node-0", "10.0.0.2", "fe80::1%eth0"}));
}

TEST(ParseHosts, NamesTheWrongLine) {
  for (const auto& [text, part] :
       std::map<std::string, std::string>{{"a\nb c\n", "line 2"},
                                          {"a\n\nhttp://b\n", "line 3"},
                                          {"only-one\n", "1 hosts"},
                                          {"", "0 hosts"},
                                          {"a\n" + std::string(256, 'b'), "line 2"},
                                          {std::string("a\nb\0c", 5), "line 2"}}) {
    const auto hosts = parse_hosts(text);
    ASSERT_FALSE(hosts.ok()) << text;
    EXPECT_NE(hosts.status().message().find(part), std::string_view::npos)
        << hosts.status().to_string();
  }
  std::string many;
  for (std::size_t i = 0; i <= kMostHosts; ++i) many += "h\n";
  EXPECT_FALSE(parse_hosts(many).ok());
}

Result<std::optional<Launched>> launched_with(const std::map<std::string, std::string>& variables) {
  return find_launcher([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

TEST(FindLauncher, KnowsThoseThatTheDocumentNames) {
  EXPECT_FALSE(launched_with({})->has_value());
  for (const auto& [rank, size] :
       std::map<std::string, std::string>{{"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                          {"PMI_RANK", "PMI_SIZE"},
                                          {"SLURM_PROCID", "SLURM_NTASKS"}}) {
    const auto launched = launched_with({{rank, "3"}, {size, "8"}});
    ASSERT_TRUE(launched.ok() && launched->has_value()) << rank;
    EXPECT_EQ((*launched)->rank, 3u);
    EXPECT_EQ((*launched)->size, 8u);
    EXPECT_EQ((*launched)->by, rank);
  }
  const auto job = launched_with({{"JOB_COMPLETION_INDEX", "5"}});
  EXPECT_EQ((*job)->rank, 5u);
  EXPECT_FALSE((*job)->size.has_value());
  // mpirun in an allocation of Slurm.
  const auto both = launched_with({{"SLURM_PROCID", "0"}, {"OMPI_COMM_WORLD_RANK", "2"}});
  EXPECT_EQ((*both)->rank, 2u);
}

TEST(FindLauncher, RefusesWhatIsNoRank) {
  for (const char* text : {"", "x", "-1", "5000", "1 2"}) {
    const auto launched = launched_with({{"SLURM_PROCID", text}});
    ASSERT_FALSE(launched.ok()) << text;
    EXPECT_NE(launched.status().message().find("SLURM_PROCID"), std::string_view::npos);
  }
  EXPECT_FALSE(launched_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "many"}}).ok());
}

// Every pair of engines of different hosts exactly once, and each NIC once a round each way.
void check(const Nics& nics, const std::vector<std::vector<Pair>>& rounds) {
  std::set<std::array<std::uint32_t, 4>> seen;
  for (const auto& round : rounds) {
    EXPECT_FALSE(round.empty());
    std::set<std::pair<std::uint32_t, std::string>> senders;
    std::set<std::pair<std::uint32_t, std::string>> receivers;
    for (const Pair& pair : round) {
      EXPECT_NE(pair.from.host, pair.to.host);
      EXPECT_TRUE(
          seen.insert({pair.from.host, pair.from.engine, pair.to.host, pair.to.engine}).second);
      EXPECT_TRUE(senders.insert({pair.from.host, nics[pair.from.host][pair.from.engine]}).second);
      EXPECT_TRUE(receivers.insert({pair.to.host, nics[pair.to.host][pair.to.engine]}).second);
    }
  }
  std::size_t pairs = 0;
  for (const auto& a : nics) {
    for (const auto& b : nics) {
      if (&a != &b) pairs += a.size() * b.size();
    }
  }
  EXPECT_EQ(seen.size(), pairs);
}

TEST(MakeSchedule, HasTheFewestRoundsWhereHostsAreAlike) {
  const std::vector<std::string> a3_high = {"eth1", "eth1", "eth2", "eth2",
                                            "eth3", "eth3", "eth4", "eth4"};
  for (const auto& [nics, rounds] : std::vector<std::pair<Nics, std::size_t>>{
           {Nics(8, {"eth0"}), 7},
           {Nics(2, {"", ""}), 4},             // One NIC for all that is known.
           {Nics(5, {"a", "b", "c"}), 4 * 3},  // A NIC each.
           {Nics(4, a3_high), 3 * 8 * 8 / 4}}) {
    const auto schedule = make_schedule(nics);
    check(nics, schedule);
    EXPECT_EQ(schedule.size(), rounds);
  }
}

TEST(MakeSchedule, CoversHostsThatDiffer) {
  std::mt19937 random(5);
  for (int i = 0; i < 30; ++i) {
    Nics nics(2 + random() % 5);
    for (auto& host : nics) {
      host.resize(random() % 5);  // One that never came has none.
      for (auto& nic : host) nic = std::string(1, static_cast<char>('a' + random() % 3));
    }
    check(nics, make_schedule(nics));
  }
}

TEST(Messages, ComeBackAsTheyWere) {
  Join join{2, 8, {{"gpu0", "eth1", "sluice1/10.0.0.1:1/x"}, {"gpu1", "", "y"}}};
  auto message = decode(encode(join));
  ASSERT_TRUE(message.ok()) << message.status().to_string();
  const Join& again = std::get<Join>(*message);
  EXPECT_EQ(again.rank, 2u);
  EXPECT_EQ(again.hosts, 8u);
  ASSERT_EQ(again.engines.size(), 2u);
  EXPECT_EQ(again.engines[0].nic, "eth1");
  EXPECT_EQ(again.engines[1].address, "y");

  message = decode(encode(Task{7, 1, 5, "address"}));
  EXPECT_EQ(std::get<Task>(*message).to, 5u);
  message = decode(encode(Outcome{7, 1.5, 10, 20, std::string(5000, '\n')}));
  EXPECT_EQ(std::get<Outcome>(*message).p99_us, 20);
  EXPECT_EQ(std::get<Outcome>(*message).why, std::string(300, '?'));
  EXPECT_TRUE(std::holds_alternative<End>(*decode(encode(End{}))));
  EXPECT_EQ(std::get<Refusal>(*decode(encode(Refusal{"no"}))).why, "no");
}

TEST(Messages, OfEveryEngineThatMayBeFit) {
  Join join{0, 2, {}};
  for (std::uint32_t i = 0; i < kMostEngines; ++i) {
    join.engines.push_back(
        {std::string(500, '\xff'), std::string(500, '\x01'), std::string(512, 'a')});
  }
  EXPECT_TRUE(decode(encode(join)).ok());
  join.engines.push_back(join.engines[0]);
  EXPECT_FALSE(decode(encode(join)).ok());
}

TEST(Messages, RefuseWhatIsOutOfRange) {
  for (const char* text :
       {"", "[]", "{}", R"({"message":"no such"})", R"({"message":"task"})",
        R"({"message":"task","id":1,"engine":64,"to":1,"address":"a"})",
        R"({"message":"task","id":1,"engine":0,"to":1,"address":""})",
        R"({"message":"task","id":-1,"engine":0,"to":1,"address":"a"})",
        R"({"message":"outcome","id":1,"gbytes_per_s":-1,"p50_us":1,"p99_us":1,"why":""})",
        R"({"message":"outcome","id":1,"gbytes_per_s":1e999,"p50_us":1,"p99_us":1,"why":""})",
        R"({"message":"join","version":2,"rank":0,"hosts":2,"engines":[]})",
        R"({"message":"join","version":1,"rank":0,"hosts":2,"engines":[]})",
        R"({"message":"join","version":1,"rank":2,"hosts":2,
            "engines":[{"name":"a","nic":"","address":"b"}]})",
        R"({"message":"join","version":1,"rank":0,"hosts":2,"engines":[7]})",
        R"({"message":"join","version":1,"rank":0,"hosts":2,"engines":[{"name":"a"}]})"}) {
    EXPECT_FALSE(decode(text).ok()) << text;
  }
  EXPECT_FALSE(decode(std::string(kMessageBytes + 1, ' ')).ok());
  // Whatever bytes come.
  const std::string good = encode(Join{1, 3, {{"gpu0", "eth1", "sluice1/10.0.0.1:1/x"}}});
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    std::string text = good;
    for (int k = 0; k < 3; ++k) text[random() % text.size()] = static_cast<char>(random());
    const auto message = decode(text.substr(0, random() % (text.size() + 1)));
    if (message.ok() && std::holds_alternative<Join>(*message)) {
      EXPECT_LT(std::get<Join>(*message).rank, std::get<Join>(*message).hosts);
    }
  }
}

Matrix sample() {
  Matrix matrix({{"node-0", {"gpu0", "gpu1"}}, {"node-1", {"gpu0", "gpu1"}}, {"node-2", {}}});
  for (std::uint32_t a : {0u, 1u}) {
    for (std::uint32_t i : {0u, 1u}) {
      for (std::uint32_t k : {0u, 1u}) {
        matrix.at({{a, i}, {1 - a, k}}) = {Cell::State::kMeasured, 10.0 + a + i + k, 20, 30, ""};
      }
    }
  }
  return matrix;
}

TEST(Matrix, TellsWhatWasMeasuredAndWhatWasNot) {
  Matrix matrix = sample();
  EXPECT_TRUE(matrix.whole());
  matrix.lose(2, 0, "not within 120 s");
  matrix.lose(1, 3, "silent for \"10000\" ms");
  matrix.lose(1, 4, "told once");
  matrix.at({{0, 1}, {1, 0}}) = {Cell::State::kFailed, 0, 0, 0, "host 1 was lost"};
  EXPECT_FALSE(matrix.whole());
  const std::string text = matrix_text(matrix);
  for (const char* part : {
           "GB/s from \\ to    0:gpu0    0:gpu1    1:gpu0    1:gpu1\n",
           "        0:gpu0         -         -     10.00     11.00\n",
           "        0:gpu1         -         -    failed     12.00\n",
           "slowest: 0:gpu0 to 1:gpu0: 10.00 GB/s, latency 20.0 us (p99 30.0)\n",
           "host 1 (node-1) was lost in round 3: silent for \"10000\" ms\n",
           "host 2 (node-2) did not come: not within 120 s\n",
           "failed: 0:gpu1 to 1:gpu0: host 1 was lost\n",
       }) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  }
  const auto json = nlohmann::json::parse(matrix_json(matrix, 4));
  EXPECT_EQ(json.at("rounds"), 4);
  EXPECT_EQ(json.at("pairs").size(), 8u);
  EXPECT_TRUE(json.at("hosts")[0].at("lost").is_null());
  EXPECT_EQ(json.at("hosts")[1].at("lost").at("round"), 3);
  EXPECT_EQ(json.at("pairs")[0].at("gbytes_per_s"), 10.0);
  int failed = 0;
  for (const auto& pair : json.at("pairs")) failed += pair.at("gbytes_per_s").is_null() ? 1 : 0;
  EXPECT_EQ(failed, 1);
}

TEST(Matrix, OfManyEnginesIsShownByHost) {
  std::vector<MeshHost> hosts(3, {"node", std::vector<std::string>(8, "gpu")});
  Matrix matrix(hosts);
  for (const EngineAt& from : matrix.engines()) {
    for (const EngineAt& to : matrix.engines()) {
      if (from.host == 0 && to.host == 1) {
        matrix.at({from, to}) = {Cell::State::kMeasured, from.engine < 4 ? 1.0 : 3.0, 1, 1, ""};
      }
    }
  }
  matrix.at({{0, 0}, {1, 0}}).state = Cell::State::kFailed;
  matrix.at({{2, 0}, {1, 0}}).state = Cell::State::kFailed;
  const std::string text = matrix_text(matrix);
  EXPECT_NE(text.find("             0         -     2.02!         -\n"), std::string::npos) << text;
  EXPECT_NE(text.find("             2         -    failed         -\n"), std::string::npos) << text;
}

TEST(HeatMap, HasACellForEveryPair) {
  const std::string script = heat_map(sample(), "it's").commands;
  EXPECT_NE(script.find("set title 'it''s'"), std::string::npos);
  EXPECT_NE(script.find("NaN NaN 10.0000 11.0000 \nNaN NaN 11.0000 12.0000 \n"), std::string::npos)
      << script;
  EXPECT_NE(script.find("'0:gpu0' 0, '0:gpu1' 1, '1:gpu0' 2, '1:gpu1' 3"), std::string::npos);
}

}  // namespace
}  // namespace sluice::mesh
