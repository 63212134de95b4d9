// A wall clock that a test may set, for a program that is started with this library preloaded. The monotonic clock, and
// with it all sleeping and waiting, is the machine's own.
//
// The file that WALL_CLOCK names holds the offset in seconds, as 8 bytes, lowest first.

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

namespace {

const volatile int64_t none = 0;

const volatile int64_t *find_offset() {
    const char *name = getenv("WALL_CLOCK");
    const int file = name ? open(name, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return &none;
    void *memory = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? &none : static_cast<const volatile int64_t *>(memory);
}

int64_t offset() {
    static const volatile int64_t *const found = find_offset();
    return *found;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec *now) noexcept {
    const long result = syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += offset();
    return static_cast<int>(result);
}

int gettimeofday(timeval *__restrict now, void *__restrict) noexcept {
    timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) noexcept {
    timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now)
        *now = precise.tv_sec;
    return precise.tv_sec;
}

}
