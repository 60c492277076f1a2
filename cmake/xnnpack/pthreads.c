/* pthreadpool's threads, which wait for some 50 to 100 us of turns before they sleep. Upstream's million turns are
   15 to 50 ms: on a machine with other work a waiting thread then takes the time that a piece of ours needs, and two
   threads become ten times slower than one. Without any turn each of the hundred parallel steps of an encoder
   begins with waking a thread, which takes as long as these turns. */
#include "threadpool-common.h"
#undef PTHREADPOOL_SPIN_WAIT_ITERATIONS
#if defined(__x86_64__) || defined(__i386__)
#define PTHREADPOOL_SPIN_WAIT_ITERATIONS 2000 /* turns with a pause in each */
#else
#define PTHREADPOOL_SPIN_WAIT_ITERATIONS 20000
#endif
#include <pthreads.c>
