#include "agent/protocol.h"

#include <gtest/gtest.h>

namespace ferry::agent {
namespace {

TEST(Protocol, FramesComeOutWholeHoweverTheBytesArrive) {
  const std::string stream = encode(FrameType::request, "{}") + encode(FrameType::answer, "") +
                             encode(FrameType::log, std::string(70'000, 'x'));
  for (const std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{4096}, stream.size()}) {
    FrameReader reader;
    std::vector<Frame> frames;
    for (std::size_t at = 0; at < stream.size(); at += step) {
      reader.add(std::string_view(stream).substr(at, step));
      while (true) {
        const auto frame = reader.next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        frames.push_back(**frame);
      }
    }
    ASSERT_EQ(frames.size(), 3u);
    EXPECT_EQ(frames[0].type, FrameType::request);
    EXPECT_EQ(frames[0].body, "{}");
    EXPECT_EQ(frames[1].body, "");
    EXPECT_EQ(frames[2].body.size(), 70'000u);
  }
}

TEST(Protocol, AnImpossibleLengthOrTypeIsCorruptAtOnce) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\x7fL", 5), std::string("\0\0\0\0L", 5), std::string("\1\0\0\0Z", 5),
        std::string("\2\0\1\0S", 5), std::string("\2\0\1\0H", 5)}) {  // 64 KiB and one
    FrameReader reader;
    reader.add(bytes);
    const auto frame = reader.next();
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().kind, Kind::corrupt);
  }
}

TEST(Protocol, TheHelloIsFoundBehindWhatALoginShellPrints) {
  FrameReader reader;
  const std::string noise =
      "Welcome to Ubuntu\r\n\x05\x16"
      "ferry";
  reader.add(noise);
  EXPECT_FALSE(reader.skip_to_hello());
  EXPECT_EQ(reader.noise(), noise);
  reader.add("not yet\n" + std::string(greeting) + encode(FrameType::hello, "{}"));
  EXPECT_TRUE(reader.skip_to_hello());
  const auto frame = reader.next();
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ((*frame)->type, FrameType::hello);
}

TEST(Protocol, ALogChunkComesBackAsItWas) {
  const LogChunk chunk{.offset = 0x123456789a,
                       .stream = LogStream::err,
                       .phase = LogPhase::setup,
                       .time_ms = -5,
                       .bytes = std::string("\0\r\xff\n", 4)};
  const std::string frame = encode_log(chunk);
  const auto back = decode_log(std::string_view(frame).substr(5));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->offset, chunk.offset);
  EXPECT_EQ(back->stream, chunk.stream);
  EXPECT_EQ(back->phase, chunk.phase);
  EXPECT_EQ(back->time_ms, chunk.time_ms);
  EXPECT_EQ(back->bytes, chunk.bytes);
}

TEST(Protocol, ALogChunkThatCannotBeIsCorrupt) {
  std::string body = encode_log({.offset = ~std::uint64_t{0}, .bytes = "ab"}).substr(5);
  EXPECT_FALSE(decode_log(body));
  EXPECT_FALSE(decode_log(body.substr(0, 17)));
  body = encode_log({.bytes = "ab"}).substr(5);
  body[8] = 3;
  EXPECT_FALSE(decode_log(body));
}

TEST(Protocol, AStatusComesBackAsItWas) {
  const JobStatus status{.state = JobState::done,
                         .setup_exit = 0,
                         .run_exit = 137,
                         .reason = "max_duration",
                         .note = "n",
                         .log_size = std::uint64_t{1} << 60,
                         .started_ms = 1,
                         .run_started_ms = 2,
                         .ended_ms = 3,
                         .deadline_ms = 4,
                         .cpu_percent = 97.5};
  const auto back = status_from(*parse_json(dump_json(to_json(status))));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(status));
}

TEST(Protocol, WhatIsStoredComesBackAsItWas) {
  using State = StoreStatus::State;
  for (const State state : {State::none, State::storing, State::stored, State::failed}) {
    JobStatus status{.state = JobState::running};
    status.store = {
        .state = state, .files = 3, .bytes = std::uint64_t{1} << 60, .stored_ms = 7, .problem = "the bucket is full"};
    if (state == State::none) status.store = {};
    const auto back = status_from(*parse_json(dump_json(to_json(status))));
    ASSERT_TRUE(back);
    EXPECT_EQ(back->store, status.store) << name(state);
    EXPECT_EQ(to_json(status).contains("store"), state != State::none);
  }
}

TEST(Protocol, WhatTheCloudToldAMachineComesBackAsItWas) {
  JobStatus status{.state = JobState::running, .killed = true};
  status.notice = Notice{.kind = Notice::Kind::interruption, .action = "terminate", .time_ms = 120'000};
  const auto back = status_from(*parse_json(dump_json(to_json(status))));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->notice, status.notice);
  EXPECT_TRUE(back->killed);
  EXPECT_FALSE(status_from(to_json(JobStatus()))->notice);
  for (const char* wrong : {R"(3)", R"({})", R"({"kind": "flood", "time_ms": 1})", R"({"kind": "rebalance"})",
                            R"({"kind": "rebalance", "time_ms": "soon"})"}) {
    Json json = to_json(JobStatus());
    json["notice"] = *parse_json(wrong);
    EXPECT_FALSE(status_from(json)) << wrong;
  }
}

TEST(Protocol, AStatusOfAnAgentOfVersionOneHasNoStore) {
  const auto status = status_from(*parse_json(R"({"state":"running","reason":"","note":"","log_size":12,"dropped":0,
      "started_ms":1,"run_started_ms":2,"ended_ms":0,"deadline_ms":9,"cpu_percent":3.5,"setup_exit":0})"));
  ASSERT_TRUE(status);
  EXPECT_EQ(status->store, StoreStatus());
  EXPECT_EQ(status->log_size, 12u);
}

TEST(Protocol, WhatTheMachineSaysOfAStoreIsOneShortLineOrCorrupt) {
  const auto back =
      status_from(*parse_json(R"({"state":"done","store":{"state":"failed","stored_ms":-5,"problem":"a\nb )" +
                              std::string(5000, 'x') + "\"}}"));
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->store.problem.starts_with("a\\x0ab "));
  EXPECT_LT(back->store.problem.size(), 2000u);
  EXPECT_EQ(back->store.stored_ms, 0);
  for (const char* store : {"[]", "{}", "7", R"({"state":"elsewhere"})", R"({"state":"stored","files":-1})",
                            R"({"state":"stored","bytes":"1"})", R"({"state":"stored","problem":1})",
                            R"({"state":"stored","stored_ms":1.5})"})
    EXPECT_EQ(status_from(*parse_json(R"({"state":"done","store":)" + std::string(store) + "}")).error().kind,
              Kind::corrupt)
        << store;
}

TEST(Protocol, AStatusOfWrongTypesIsCorrupt) {
  for (const char* text : {"[]", "{}", R"({"state":"elsewhere"})", R"({"state":"done","log_size":-1})",
                           R"({"state":"done","reason":7})", R"({"state":"done","ended_ms":1e300})"}) {
    EXPECT_FALSE(status_from(*parse_json(text))) << text;
  }
}

TEST(Protocol, ASpecComesBackAsItWas) {
  JobSpec spec{.run = "r",
               .workdir = "/w",
               .setup = "a\nb",
               .command = "c",
               .max_duration_s = 7,
               .retention_s = 8,
               .power_off = false};
  spec.env = {{"A", "1"}, {"B", ""}};
  spec.secrets = {{"TOKEN", "s3cret=="}};
  spec.notices = NoticeSpec{.signal = "SIGUSR1", .grace_s = 7};
  spec.on_limit = NoticeSpec{.signal = "SIGINT", .grace_s = 8};
  spec.limited_by = "budget";
  spec.idle_s = 1200;
  const auto back = spec_from(*parse_json(dump_json(to_json(spec))));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(spec));
}

TEST(Protocol, ASpecWithAStoreComesBackAsItWas) {
  JobSpec spec{.run = "digits-gvw", .attempt = 3, .rank = 2, .workdir = "/w", .command = "c"};
  spec.store = {.uri = "s3://bucket/some/prefix",
                .region = "eu-west-1",
                .endpoint = "http://127.0.0.1:9000",
                .outputs = {"outputs/", "*.pt"},
                .checkpoints = {"checkpoints/"},
                .every_s = 5};
  const auto back = spec_from(*parse_json(dump_json(to_json(spec))));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->store, spec.store);
  EXPECT_EQ(back->attempt, 3);
  EXPECT_EQ(back->rank, 2);
}

TEST(Protocol, ASpecOfAFerryOfVersionOneHasNoStoreAndWhatIsNotKnownIsSkipped) {
  const auto spec = spec_from(*parse_json(R"({"run":"r","workdir":"/w","setup":"","command":"c","env":[],"secrets":[],
      "max_duration_s":0,"linger_s":600,"power_off":true,"of a later version":{"x":1}})"));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->store, StoreSpec());
  EXPECT_EQ(spec->attempt, 1);
  EXPECT_EQ(spec->rank, 0);
}

TEST(Protocol, AStoreThatIsNoneIsBadInput) {
  JobSpec good{.run = "r", .workdir = "/w", .command = "true"};
  good.store.uri = "/mnt/shared";
  ASSERT_TRUE(spec_from(to_json(good)));
  const auto refused = [&](auto change) {
    JobSpec spec = good;
    change(spec);
    const auto back = spec_from(to_json(spec));
    return !back && back.error().kind == Kind::bad_input;
  };
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "relative/folder"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "gs://bucket"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "s3://"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "/a\nb"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "/w/./outputs/store"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.uri = "/w"; }));
  EXPECT_FALSE(refused([](JobSpec& spec) { spec.store.uri = "/wider"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.outputs = {"../out"}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.checkpoints = {"/ckpt"}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.region = "eu\nwest"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.outputs = {""}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.checkpoints = {std::string("a\0b", 3)}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.outputs.assign(1001, "x"); }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.every_s = 0; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.store.every_s = 86401; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.attempt = 0; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.rank = -1; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.run = "no/name"; }));
  Json json = to_json(good);
  json["store"]["outputs"] = {1, 2};
  EXPECT_EQ(spec_from(json).error().kind, Kind::bad_input);
}

TEST(Protocol, ASpecThatCannotRunIsBadInput) {
  const JobSpec good{.workdir = "/w", .command = "true"};
  ASSERT_TRUE(spec_from(to_json(good)));
  const auto refused = [&](auto change) {
    JobSpec spec = good;
    change(spec);
    const auto back = spec_from(to_json(spec));
    return !back && back.error().kind == Kind::bad_input;
  };
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.command.clear(); }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.command = std::string("a\0b", 3); }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.workdir = "relative"; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.env = {{"A=B", "c"}}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.secrets = {{"", "c"}}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.max_duration_s = -1; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.notices = NoticeSpec{.signal = "SIGKILL"}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.notices = NoticeSpec{.grace_s = -1}; }));
  EXPECT_TRUE(refused([](JobSpec& spec) { spec.retention_s = std::int64_t{1} << 60; }));
}

TEST(Protocol, WhatTheMachineSaysIsOneShortLine) {
  JobStatus status{.state = JobState::done, .reason = "lost\n", .note = std::string(50'000, '\n')};
  status.ended_ms = -1;
  status.cpu_percent = 1e9;
  const auto back = status_from(to_json(status));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->reason, "lost\\x0a");
  EXPECT_EQ(back->note.find('\n'), std::string::npos);
  EXPECT_LT(back->note.size(), 8'000u);
  EXPECT_EQ(back->ended_ms, 0);
  EXPECT_EQ(back->cpu_percent, 100);
  EXPECT_LT(dump_json(to_json(status)).size(), most_body(FrameType::state));
}

TEST(Protocol, ARefusedStartSaysWhyAndHasNoExitCode) {
  const auto status = refused_start({Kind::io, "start the run", "Argument list too long", "", ""});
  EXPECT_EQ(status.state, JobState::done);
  EXPECT_EQ(status.reason, not_started);
  EXPECT_EQ(status.note, "start the run: Argument list too long");
  EXPECT_FALSE(status.setup_exit || status.run_exit);
}

TEST(Protocol, AnErrorKeepsItsKindOnTheWireAndTheMachinesAdviceIsNotFerrys) {
  const Error error{Kind::disk_full, "what", "why", "rm -rf ~\nferry: all is well", "RequestExpired"};
  const Error back = error_from(to_json(error));
  EXPECT_EQ(back.kind, error.kind);
  EXPECT_EQ(describe(back), "what\n  why:  why; the machine says: rm -rf ~\\x0aferry: all is well");
  EXPECT_EQ(back.code, "");
  EXPECT_EQ(error_from(Json("nonsense")).kind, Kind::corrupt);
  // Whether it is gone, or whether someone cancelled, is not the machine's to say.
  for (const Kind kind : {Kind::not_found, Kind::cancelled, Kind::lost, Kind::bug})
    EXPECT_EQ(error_from(to_json(Error{kind, "what", "", "", ""})).kind, Kind::io);
  EXPECT_LT(error_from(Json{{"kind", "io"}, {"what", std::string(60'000, 'x')}}).what.size(), 2'000u);
}

}  // namespace
}  // namespace ferry::agent
