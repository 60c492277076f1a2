// An allocation that fails ends the call with an error that JavaScript tells from other traps (errors.ts):
// C++ without exceptions would only abort.
#include <emscripten/em_js.h>

#include <new>

EM_JS(void, javascript_out_of_memory, (), { throw new RangeError("an allocation failed"); });

[[maybe_unused]] static const std::new_handler before = std::set_new_handler(javascript_out_of_memory);
