// Downloads with libcurl.
#include "io/download.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <new>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include "io/error_line.h"
#include "io/hash.h"
#include "io/mapped_file.h"
#include "io/progress.h"

namespace bert::cli {
namespace {

// What the headers of a response say. Those of a redirection are read too: the hub names the hash there.
struct Response {
  std::string etag, linked_etag;
  std::optional<std::uint64_t> length, linked_length, range_start, range_total;

  /// What tells versions of a file apart.
  const std::string& identity() const { return linked_etag.empty() ? etag : linked_etag; }
  /// The first tag of `digits` hexadecimal digits; empty if none is.
  std::string tag_of(std::size_t digits) const {
    for (const std::string* tag : {&linked_etag, &etag}) {
      if (tag->size() == digits && tag->find_first_not_of("0123456789abcdef") == std::string::npos)
        return *tag;
    }
    return {};
  }
  /// The SHA-256, which the hub names of large files.
  std::string hash() const { return tag_of(64); }
  /// The SHA-1 that git names a file by, which the hub names of small ones.
  std::string blob() const { return tag_of(40); }
};

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec != std::errc() || result.ptr == text.data()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

std::string tag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

std::size_t on_header(char* data, std::size_t, std::size_t count, void* context) {
  Response& response = *static_cast<Response*>(context);
  const std::string_view line = trimmed({data, count});
  if (line.starts_with("HTTP/")) {
    // a new response after a redirection: what the hub itself linked to stays
    response = {.etag = {},
                .linked_etag = response.linked_etag,
                .length = {},
                .linked_length = response.linked_length,
                .range_start = {},
                .range_total = {}};
    return count;
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return count;
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "etag") response.etag = tag(value);
  if (name == "x-linked-etag") response.linked_etag = tag(value);
  if (name == "x-linked-size") response.linked_length = number(value);
  if (name == "content-length") response.length = number(value);
  if (name == "content-range" && value.starts_with("bytes ")) {  // bytes 100-199/200
    response.range_start = number(value.substr(6));
    const std::size_t slash = value.find('/');
    if (slash != std::string_view::npos) response.range_total = number(value.substr(slash + 1));
  }
  return count;
}

// The file that grows while bytes arrive.
struct Target {
  CURL* curl = nullptr;
  Response* response = nullptr;
  Progress* progress = nullptr;
  int fd = -1;
  std::uint64_t offset = 0;    // bytes that were there
  std::uint64_t written = 0;   // bytes that are there
  std::string known_identity;  // of the bytes that were there
  bool started = false;
  bool changed = false;  // the server has another version, or answers another range: begin again
  int error = 0;
};

std::size_t on_body(char* data, std::size_t, std::size_t count, void* context) {
  Target& target = *static_cast<Target*>(context);
  long status = 0;
  curl_easy_getinfo(target.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status != 200 && status != 206) return count;  // the text of an error page
  if (!target.started) {
    target.started = true;
    if (status == 200 && target.offset > 0) {
      target.written = 0;  // the server sends it all
      if (::ftruncate(target.fd, 0) != 0) target.error = errno;
    }
    if (status == 206 && (target.response->range_start != target.offset ||
                          target.response->identity() != target.known_identity)) {
      target.changed = true;
      return 0;
    }
  }
  for (std::size_t done = 0; done < count && target.error == 0;) {
    const ssize_t wrote = ::pwrite(target.fd, data + done, count - done, static_cast<off_t>(target.written));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      target.error = errno;
      break;
    }
    done += static_cast<std::size_t>(wrote);
    target.written += static_cast<std::uint64_t>(wrote);
  }
  const auto& total = status == 206 ? target.response->range_total : target.response->length;
  target.progress->update(target.written, total.value_or(0));
  return target.error == 0 ? count : 0;
}

// Ends a response at its body, where only the headers are wanted.
std::size_t refuse_body(char*, std::size_t, std::size_t, void*) {
  return 0;
}

std::uint64_t size_of(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_size) : 0;
}

// A file's hash of the kind that the server names for it.
struct Digest {
  std::string_view kind;
  std::string wanted;
  std::string own;
};

// Nothing where the server names none: nobody can tell.
Expected<std::optional<Digest>> digest_of(const std::string& path, const Response& remote) {
  const std::string hash = remote.hash(), blob = remote.blob();
  if (hash.empty() && blob.empty()) return std::nullopt;
  Expected<std::string> own = MappedFile::open(path).and_then([&](const MappedFile& file) {
    return hash.empty() ? git_blob_sha1(file.bytes()) : sha256(file.bytes());
  });
  if (!own) return tl::unexpected(own.error());
  return hash.empty() ? Digest{"git hash", blob, std::move(*own)} : Digest{"SHA-256", hash, std::move(*own)};
}

// Whether a file has the hash that the server names.
bool is_known(const std::string& path, const Response& remote) {
  const Expected<std::optional<Digest>> digest = digest_of(path, remote);
  return digest && *digest && (*digest)->own == (*digest)->wanted;
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// Worth another try: the connection failed or the server is busy.
bool may_pass(CURLcode result, long status) {
  switch (result) {
    case CURLE_OK:
      return status == 408 || status == 429 || status >= 500;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
      return true;
    default:
      return false;
  }
}

std::string status_text(long status, bool with_token) {
  switch (status) {
    case 401:
    case 403:
      return "the server refuses (HTTP " + std::to_string(status) + "): there is no such repository, or " +
             (with_token ? "the token in HF_TOKEN does not open it"
                         : "it can be read only with a token of the hub, in HF_TOKEN and over https");
    case 404:
      return "there is no such file (HTTP 404)";
    default:
      return "the server answers HTTP " + std::to_string(status);
  }
}

}  // namespace

struct Downloader::State {
  CURL* curl = nullptr;
  int tries = 5;
  std::string token;

  ~State() {
    if (curl) curl_easy_cleanup(curl);
  }

  // Options that every request has.
  void prepare(const std::string& url, Response& response, char* message) {
    curl_easy_reset(curl);
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    // what was asked for with encryption is not fetched without it
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, url.starts_with("https:") ? "https" : "http,https");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, 10L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 30L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 60L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "bertlens/" BERTLENS_VERSION);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    if (!token.empty()) {
      curl_easy_setopt(curl, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      curl_easy_setopt(curl, CURLOPT_XOAUTH2_BEARER, token.c_str());
    }
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &response);
  }

  // Size and hash of the file as the server tells them; the status is 200 or an error of HTTP.
  Expected<long> ask(const std::string& url, Response& response) {
    Progress progress("pull", Progress::Unit::kBytes, true);
    bool head = true;
    for (int failed = 0;;) {
      char message[CURL_ERROR_SIZE] = "";
      response = {};
      prepare(url, response, message);
      if (head) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
      } else {
        curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, refuse_body);
      }
      CURLcode result = curl_easy_perform(curl);
      long status = 0;
      curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
      if (!head && result == CURLE_WRITE_ERROR) result = CURLE_OK;
      // a small server of one's own may know GET alone
      if (head && result == CURLE_OK && (status == 405 || status == 501)) {
        head = false;
        continue;
      }
      if (may_pass(result, status) && ++failed < tries) {
        wait(failed, progress);
        continue;
      }
      if (result != CURLE_OK) return fail(ErrorCode::kIo, in_quotes(url) + ": " + reason(result, message));
      return status;
    }
  }

  std::string text_of(long status) const { return status_text(status, !token.empty()); }
  // Before the next try; a person is told, as it may take seconds.
  void wait(int failed, Progress& progress) const {
    progress.say(failed == 0
                     ? "the connection broke, it goes on"
                     : "no answer, try " + std::to_string(failed + 1) + " of " + std::to_string(tries));
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(8000, 250 << std::min(failed, 5))));
  }
  static std::string reason(CURLcode result, const char* message) {
    return *message ? message : curl_easy_strerror(result);
  }
};

Downloader::Downloader(std::unique_ptr<State> state) : state_(std::move(state)) {}
Downloader::Downloader(Downloader&&) noexcept = default;
Downloader::~Downloader() = default;

Expected<Downloader> Downloader::create(int tries, const std::string& token) {
  auto state = std::make_unique<State>();
  state->curl = curl_easy_init();
  if (!state->curl) return fail(ErrorCode::kInternal, "libcurl cannot be started");
  state->tries = tries;
  state->token = token;
  return Downloader(std::move(state));
}

Expected<bool> Downloader::exists(const std::string& url) {
  Response response;
  const Expected<long> status = state_->ask(url, response);
  if (!status) return tl::unexpected(status.error());
  return *status == 200;
}

Expected<Fetched> Downloader::fetch(const std::string& url, const std::string& path,
                                    const std::string& label) {
  // what is there already is kept if it is what the server has
  Response remote;
  const Expected<long> asked = state_->ask(url, remote);
  if (!asked) return tl::unexpected(asked.error());
  if (*asked == 404) return Fetched::kMissing;
  if (*asked != 200) return fail(ErrorCode::kIo, in_quotes(url) + ": " + state_->text_of(*asked));
  const auto wanted_size = remote.linked_length ? remote.linked_length : remote.length;
  if (::access(path.c_str(), F_OK) == 0 && wanted_size.value_or(size_of(path)) == size_of(path) &&
      is_known(path, remote))
    return Fetched::kPresent;

  const std::string part = path + ".part", tag_file = part + ".etag";
  Progress progress(label, Progress::Unit::kBytes, true);
  Response response;
  Target target{.curl = state_->curl, .response = &response, .progress = &progress, .known_identity = {}};
  target.fd = ::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (target.fd < 0) return fail(ErrorCode::kIo, in_quotes(part) + ": " + std::strerror(errno));
  const struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{target.fd};
  target.written = size_of(part);
  target.known_identity = first_line(tag_file);
  // bytes of an unknown version are no start
  if (target.written > 0 && (remote.identity().empty() || remote.identity() != target.known_identity)) {
    target.written = 0;
    if (::ftruncate(target.fd, 0) != 0)
      return fail(ErrorCode::kIo, in_quotes(part) + ": " + std::strerror(errno));
  }
  target.known_identity = remote.identity();
  std::ofstream(tag_file) << target.known_identity << "\n";
  progress.begin(target.written, wanted_size.value_or(0));

  bool restarted = false;
  for (int failed = 0; !wanted_size || target.written < *wanted_size;) {
    char message[CURL_ERROR_SIZE] = "";
    response = {};
    state_->prepare(url, response, message);
    target.offset = target.written;
    target.started = target.changed = false;
    const std::string range = std::to_string(target.offset) + "-";
    if (target.offset > 0) curl_easy_setopt(state_->curl, CURLOPT_RANGE, range.c_str());
    curl_easy_setopt(state_->curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(state_->curl, CURLOPT_WRITEDATA, &target);
    const CURLcode result = curl_easy_perform(state_->curl);
    long status = 0;
    curl_easy_getinfo(state_->curl, CURLINFO_RESPONSE_CODE, &status);
    if (target.error != 0) return fail(ErrorCode::kIo, in_quotes(part) + ": " + std::strerror(target.error));
    if ((target.changed || status == 416) && !restarted) {
      restarted = true;
      target.written = 0;
      if (::ftruncate(target.fd, 0) != 0)
        return fail(ErrorCode::kIo, in_quotes(part) + ": " + std::strerror(errno));
      target.known_identity = remote.identity();
      continue;
    }
    if (result == CURLE_OK && (status == 200 || status == 206)) {
      if (!wanted_size || target.written >= *wanted_size) break;
    } else if (!may_pass(result, status)) {
      return fail(ErrorCode::kIo,
                  in_quotes(url) + ": " +
                      (result == CURLE_OK ? state_->text_of(status) : State::reason(result, message)));
    }
    failed = target.written > target.offset ? 0 : failed + 1;
    if (failed >= state_->tries) {
      const bool too_few = result == CURLE_OK && (status == 200 || status == 206);
      return fail(ErrorCode::kIo, in_quotes(url) + ": " +
                                      (too_few ? std::to_string(target.written) + " of " +
                                                     std::to_string(*wanted_size) + " bytes came"
                                       : result == CURLE_OK ? state_->text_of(status)
                                                            : State::reason(result, message)) +
                                      "; gave up after " + std::to_string(failed) +
                                      (failed == 1 ? " try" : " tries") + ", the same command goes on");
    }
    state_->wait(failed, progress);
  }

  if (wanted_size && target.written != *wanted_size) {
    ::unlink(part.c_str());
    ::unlink(tag_file.c_str());
    return fail(ErrorCode::kIo, in_quotes(url) + ": " + std::to_string(target.written) + " bytes came, " +
                                    std::to_string(*wanted_size) + " were announced");
  }
  const Expected<std::optional<Digest>> digest = digest_of(part, remote);
  if (!digest) return tl::unexpected(digest.error());
  if (*digest && (*digest)->own != (*digest)->wanted) {
    ::unlink(part.c_str());
    ::unlink(tag_file.c_str());
    return fail(ErrorCode::kInvalidModel, in_quotes(url) + ": the bytes that came have the " +
                                              std::string((*digest)->kind) + " " +
                                              (*digest)->own.substr(0, 16) + "..., the server names " +
                                              (*digest)->wanted.substr(0, 16) + "...; they were thrown away");
  }
  if (::fsync(target.fd) != 0 || ::rename(part.c_str(), path.c_str()) != 0) {
    return fail(ErrorCode::kIo, in_quotes(path) + ": " + std::strerror(errno));
  }
  ::unlink(tag_file.c_str());
  progress.finish(target.written, wanted_size.value_or(0));
  return Fetched::kDownloaded;
}

std::string percent_encoded(const std::string& name) {
  const std::unique_ptr<char, void (*)(void*)> encoded(
      curl_easy_escape(nullptr, name.data(), static_cast<int>(name.size())), curl_free);
  if (encoded == nullptr) throw std::bad_alloc();
  return encoded.get();
}

}  // namespace bert::cli
