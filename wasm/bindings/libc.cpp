// Stands in for three functions of the C library that nlohmann's parser and embind call (linked with --wrap,
// see CMakeLists.txt): musl's bring its whole formatting and 128-bit arithmetic in software, 8 KB of a
// download with brotli.
#include <emscripten/em_js.h>

#include <cstddef>
#include <cstring>

// The parser has checked the number's grammar, which is JavaScript's too, and both round to the nearest
// double.
EM_JS(double, javascript_number, (const char* text), {
  let digits = "";
  while (HEAPU8[text]) digits += String.fromCharCode(HEAPU8[text++]);
  return Number(digits);
});

extern "C" double __wrap_strtod(const char* text, char** end) {
  *end = const_cast<char*>(text) + std::strlen(text);
  return javascript_number(text);
}

// Formats control characters for the parser's own error text, which core/json/scan.cpp replaces. Another use
// would need the real function.
extern "C" int __wrap_snprintf(char* out, std::size_t size, const char* format, ...) {
  if (size == 0 || std::strcmp(format, "<U+%.4X>") != 0) __builtin_trap();
  *out = '\0';
  return 0;
}

// Writes the address of a type, for embind's message on one that no binding declares.
extern "C" int __wrap_siprintf(char* out, const char* format, ...) {
  if (std::strcmp(format, "%p") != 0) __builtin_trap();
  *out = '\0';
  return 0;
}
