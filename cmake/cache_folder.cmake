# BERTLENS_CACHE: where set-up keeps toolchains, sources, prebuilt libraries and the vocabulary; all checkouts share it.
if(DEFINED ENV{BERTLENS_CACHE})
  set(BERTLENS_CACHE $ENV{BERTLENS_CACHE})
elseif(DEFINED ENV{XDG_CACHE_HOME})
  set(BERTLENS_CACHE $ENV{XDG_CACHE_HOME}/bertlens)
else()
  set(BERTLENS_CACHE $ENV{HOME}/.cache/bertlens)
endif()
