/*
 * Limits on the rate of messages, digits and reports. The time is an argument.
 */
#ifndef SIPBRIDGE_RATE_LIMITS_HPP
#define SIPBRIDGE_RATE_LIMITS_HPP

#include <algorithm>
#include <chrono>

namespace sipbridge {

using Clock = std::chrono::steady_clock;

/**
 * A token bucket, which is full at first: CAPACITY tokens at once, and a new one every MILLISECONDS. Memory of zeros is
 * a full bucket.
 */
template <int MILLISECONDS, int CAPACITY> class TokenBucket {
public:
    /** Take a token; false if the bucket is empty. */
    bool take(Clock::time_point now) {
        const std::chrono::milliseconds interval(MILLISECONDS);
        const Clock::time_point full = std::max(full_, now) + interval;
        if (full - now > CAPACITY * interval)
            return false;
        full_ = full;
        return true;
    }

private:
    Clock::time_point full_;  // when the bucket will be full again
};

/** A count that is reported at most once in SECONDS. */
template <int SECONDS> class ReportedCount {
public:
    /** Count one; return the count since the last report if it is to be reported now, else 0. */
    int add(Clock::time_point now) {
        ++count_;
        if (now < next_)
            return 0;
        next_ = now + std::chrono::seconds(SECONDS);
        const int count = count_;
        count_ = 0;
        return count;
    }

private:
    Clock::time_point next_;
    int count_ = 0;
};

}  // namespace sipbridge

#endif
