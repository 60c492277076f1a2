// Several workers on one stream: the command line's loop over lines, with handlers in the place of a model.
#include "app/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "io/parallel.h"

namespace {

using bert::cli::Emit;
using bert::cli::InputOptions;
using bert::cli::StreamHandler;
using bert::cli::StreamLine;

class StreamTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "bertlens-stream-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const char* name) const { return folder_ + "/" + name; }
  InputOptions lines_of_file(int count, std::size_t batch) const {
    std::ofstream file(path("lines"));
    for (int i = 1; i <= count; ++i) file << "line " << i << "\n";
    return {.texts = {}, .file = path("lines"), .batch = batch};
  }
  // Runs the stream into a file and gives what is in it.
  std::string run(const InputOptions& input, const std::vector<StreamHandler>& handlers) {
    std::FILE* file = std::fopen(path("answers").c_str(), "w");
    bert::cli::Output out(::fileno(file), "the file");
    try {
      status_ = bert::cli::run_stream(input, out, "test", handlers);
    } catch (...) {
      std::fclose(file);
      throw;
    }
    std::fclose(file);
    return answers();
  }
  std::string answers() const {
    std::ifstream file(path("answers"));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  bert::Expected<int> status_ = 0;

 private:
  std::string folder_;
};

void echo(StreamLine& line) {
  line.answer([&](bert::cli::JsonWriter& json) { json.string(line.text); });
}

std::string echoes(int count) {
  std::string text;
  for (int i = 1; i <= count; ++i) text += "\"line " + std::to_string(i) + "\"\n";
  return text;
}

TEST_F(StreamTest, AnswersComeInTheOrderOfTheLines) {
  const StreamHandler handler = [](std::span<StreamLine> lines, const Emit&) {
    std::this_thread::sleep_for(std::chrono::microseconds(lines.front().number * 7919 % 1500));
    for (StreamLine& line : lines) echo(line);
  };
  for (const std::size_t workers : {1u, 2u, 5u}) {
    const std::vector<StreamHandler> handlers(workers, handler);
    EXPECT_EQ(run(lines_of_file(1000, 7), handlers), echoes(1000)) << workers;
    EXPECT_EQ(status_, 0);
  }
  EXPECT_EQ(run(lines_of_file(0, 7), {handler, handler}), "");
}

TEST_F(StreamTest, ABadLineIsAnsweredAndTheStreamGoesOn) {
  const StreamHandler handler = [](std::span<StreamLine> lines, const Emit&) {
    for (StreamLine& line : lines) {
      if (line.number == 3) line.refuse({bert::ErrorCode::kInvalidText, "no"});
      if (line.number != 3 && line.number != 4) echo(line);
    }
  };
  EXPECT_EQ(run(lines_of_file(5, 2), {handler, handler}),
            "\"line 1\"\n\"line 2\"\n"
            "{\"error\":{\"code\":\"invalid_text\",\"message\":\"no\"}}\n"
            "{\"error\":{\"code\":\"internal\",\"message\":\"the line was left without an answer\"}}\n"
            "\"line 5\"\n");
  EXPECT_EQ(status_, 1);
}

TEST_F(StreamTest, AnswersDoNotWaitForInput) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  int answers[2];
  ASSERT_EQ(::pipe(answers), 0);
  const StreamHandler handler = [](std::span<StreamLine> lines, const Emit&) {
    for (StreamLine& line : lines) echo(line);
  };
  std::jthread program([&] {
    bert::cli::Output out(answers[1], "the pipe");
    const InputOptions input{.texts = {}, .file = path("fifo"), .batch = 0};
    EXPECT_EQ(bert::cli::run_stream(input, out, "test", std::vector(3, handler)), 0);
    ::close(answers[1]);
  });
  std::ofstream writer(path("fifo"));
  std::FILE* reader = ::fdopen(answers[0], "r");
  char line[64];
  for (int i = 1; i <= 5; ++i) {
    writer << "a\nb\nhalf of" << std::flush;
    for (const char* wanted : {"\"a\"\n", "\"b\"\n"}) {
      ASSERT_NE(std::fgets(line, sizeof line, reader), nullptr);
      EXPECT_STREQ(line, wanted);
    }
    writer << " it\n" << std::flush;
    ASSERT_NE(std::fgets(line, sizeof line, reader), nullptr);
    EXPECT_STREQ(line, "\"half of it\"\n");
  }
  writer.close();
  EXPECT_EQ(std::fgets(line, sizeof line, reader), nullptr);
  std::fclose(reader);
}

TEST_F(StreamTest, WhatIsToldIsWrittenAtOnce) {
  std::string meanwhile;
  const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    ASSERT_EQ(lines.size(), 3u);
    echo(lines[0]);
    echo(lines[1]);
    emit(1);
    meanwhile = answers();
    echo(lines[2]);
  };
  EXPECT_EQ(run(lines_of_file(3, 0), {handler}), echoes(3));
  EXPECT_EQ(meanwhile, echoes(2));
}

TEST_F(StreamTest, ALongBatchShowsHowFarItIs) {
  if (::isatty(STDOUT_FILENO) != 0) GTEST_SKIP() << "results on a terminal, no progress beside them";
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(::grantpt(terminal), 0);
  ASSERT_EQ(::unlockpt(terminal), 0);
  const int slave = ::open(::ptsname(terminal), O_RDWR | O_NOCTTY);
  const int before = ::dup(STDERR_FILENO);
  ASSERT_GE(slave, 0);
  ::dup2(slave, STDERR_FILENO);
  const StreamHandler handler = [](std::span<StreamLine> lines, const Emit& emit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(350));
    emit.computed(1);
    std::this_thread::sleep_for(std::chrono::milliseconds(120));
    for (StreamLine& line : lines) echo(line);
    emit(2);
  };
  const std::string written = run(lines_of_file(4, 0), {handler});
  ::dup2(before, STDERR_FILENO);
  std::string shown;
  pollfd waiting{.fd = terminal, .events = POLLIN, .revents = 0};
  while (shown.find("75 %") == std::string::npos && ::poll(&waiting, 1, 1000) > 0) {
    char text[4096];
    shown.append(text, static_cast<std::size_t>(std::max<ssize_t>(0, ::read(terminal, text, sizeof text))));
  }
  for (const int fd : {terminal, slave, before}) ::close(fd);
  EXPECT_EQ(written, echoes(4));
  EXPECT_NE(shown.find("] 25 %  0.0 kB of 0.0 kB"), std::string::npos) << shown;
  EXPECT_NE(shown.find("] 75 %"), std::string::npos) << shown;
}

TEST_F(StreamTest, FewBatchesAreReadAhead) {
  constexpr std::size_t kWorkers = 3, kBatch = 4;
  std::atomic<std::size_t> seen{0}, seen_meanwhile{0};
  const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit&) {
    seen += lines.size();
    if (lines.front().number == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      seen_meanwhile = seen.load();
    }
    for (StreamLine& line : lines) echo(line);
  };
  EXPECT_EQ(run(lines_of_file(200, kBatch), std::vector(kWorkers, handler)), echoes(200));
  EXPECT_LE(seen_meanwhile.load(), (kWorkers + 2) * kBatch);
}

TEST_F(StreamTest, LongAnswersAreNotHeldForManyLines) {
  // Answers of a batch that is not the first wait in the worker once they are some megabytes.
  constexpr std::size_t kMegabyte = 1 << 20;
  std::atomic<std::size_t> made{0}, made_meanwhile{0};
  const StreamHandler handler = [&](std::span<StreamLine> lines, const Emit& emit) {
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].number == 1) {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        made_meanwhile = made.load();
      }
      lines[i].answer([&](bert::cli::JsonWriter& json) { json.string(std::string(kMegabyte, 'x')); });
      ++made;
      emit(i);
    }
  };
  const std::string all = run(lines_of_file(40, 20), {handler, handler});
  EXPECT_EQ(all.size(), 40 * (kMegabyte + 3));
  EXPECT_LE(made_meanwhile.load(), 10u);
}

TEST_F(StreamTest, WhatAHandlerThrowsEndsTheStreamAfterTheAnswersBefore) {
  const StreamHandler handler = [](std::span<StreamLine> lines, const Emit&) {
    for (StreamLine& line : lines) {
      if (line.number == 50) throw std::bad_alloc();
      echo(line);
    }
  };
  EXPECT_THROW(run(lines_of_file(500, 10), {handler, handler, handler}), std::bad_alloc);
  EXPECT_EQ(answers(), echoes(40));
}

TEST(ParallelFor, ThrowsOnTheCallersThreadWhatAnyHasThrown) {
  for (const std::size_t threads : {1U, 4U}) {
    std::atomic<std::size_t> done{0};
    const auto body = [&](std::size_t i) {
      if (i == 7) throw std::bad_alloc();
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      ++done;
    };
    EXPECT_THROW(bert::cli::parallel_for(10000, threads, body), std::bad_alloc);
    EXPECT_LT(done, 9000u);  // the others end early
    done = 0;
    bert::cli::parallel_for(100, threads, [&](std::size_t) { ++done; });
    EXPECT_EQ(done, 100u);
  }
}

}  // namespace
