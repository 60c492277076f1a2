// Downloads files over HTTP(S): resumes what was cut off, tries again, checks size and hash.
#pragma once

#include <memory>
#include <string>

#include "bert/result.h"

namespace bert::cli {

enum class Fetched {
  kDownloaded,
  kPresent,  ///< the file was there already, with the hash that the server names
  kMissing,  ///< the server has no such file (404)
};

/// `name` as one part of an address: a revision may be refs/pr/1, a file's name may hold a blank.
std::string percent_encoded(const std::string& name);

/// One connection, used for one file after the other. Not for two threads at once.
class Downloader {
 public:
  /// `tries` in a row may fail without a new byte before it gives up. `token`, unless it is empty, is shown
  /// to the host of each address (Authorization: Bearer), and not to others that it redirects to.
  static Expected<Downloader> create(int tries, const std::string& token);
  Downloader(Downloader&&) noexcept;
  ~Downloader();

  /// Downloads `url` to `path`, unless a file is there with the hash that the server names: a SHA-256 (the
  /// Hugging Face hub's X-Linked-ETag, else an ETag of 64 hexadecimal digits), or git's own (an ETag of 40).
  /// Without one it is fetched again. What has arrived lies in `path`.part until it is whole and its hash,
  /// where one is named, is checked; a later call goes on from there. `label` names the file on the progress
  /// line. Errors: kIo (connection, status, disk), kInvalidModel for bytes with another hash; each names the
  /// address.
  Expected<Fetched> fetch(const std::string& url, const std::string& path, const std::string& label);

  /// Whether the server has this file.
  Expected<bool> exists(const std::string& url);

 private:
  struct State;
  explicit Downloader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace bert::cli
