#include "rate_limits.hpp"

#include <doctest/doctest.h>

using namespace sipbridge;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const Clock::time_point START{std::chrono::hours(1)};

}  // namespace

TEST_CASE("a bucket gives its tokens at once, and then one per interval") {
    TokenBucket<50, 3> bucket;
    for (int token = 0; token < 3; ++token)
        CHECK(bucket.take(START));
    CHECK_FALSE(bucket.take(START));
    CHECK_FALSE(bucket.take(START + milliseconds(49)));
    CHECK(bucket.take(START + milliseconds(50)));
    CHECK_FALSE(bucket.take(START + milliseconds(51)));
    CHECK(bucket.take(START + milliseconds(100)));
}

TEST_CASE("a bucket at rest has no more tokens than its capacity") {
    TokenBucket<50, 3> bucket;
    for (int token = 0; token < 3; ++token)
        CHECK(bucket.take(START + seconds(3600)));
    CHECK_FALSE(bucket.take(START + seconds(3600)));
}

TEST_CASE("a request that finds an empty bucket does not delay the next token") {
    TokenBucket<50, 1> bucket;
    CHECK(bucket.take(START));
    for (int turn = 1; turn < 50; ++turn)
        CHECK_FALSE(bucket.take(START + milliseconds(turn)));
    CHECK(bucket.take(START + milliseconds(50)));
}

TEST_CASE("a count is reported at once, and then with all that came since, at most once per interval") {
    ReportedCount<10> count;
    CHECK(count.add(START) == 1);
    CHECK(count.add(START + seconds(1)) == 0);
    CHECK(count.add(START + seconds(9)) == 0);
    CHECK(count.add(START + seconds(10)) == 3);
    CHECK(count.add(START + seconds(30)) == 1);
}
