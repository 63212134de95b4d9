#include "text.hpp"

#include <doctest/doctest.h>

using namespace sipbridge;
using std::string;

TEST_CASE("only letters of ASCII have a lower case") {
    CHECK(lower("Call-ID: AZ[@`{") == "call-id: az[@`{");
    CHECK(lower("\xc3\x84\xdc") == "\xc3\x84\xdc");
}

TEST_CASE("blanks and line breaks are trimmed at both ends only") {
    CHECK(trimmed(" \t a b \r\n") == "a b");
    CHECK(trimmed("a\r\n b") == "a\r\n b");
    CHECK(trimmed(" \r\n").empty());
    CHECK(trimmed("").empty());
}

TEST_CASE("texts are the same in any case of their letters") {
    CHECK(isSame("RTP/avp", "rtp/AVP"));
    CHECK(isSame("", ""));
    CHECK_FALSE(isSame("RTP/AVP", "RTP/AVPF"));
    CHECK_FALSE(isSame("RTP/AVPF", "RTP/AVP"));
    CHECK_FALSE(isSame("[", "{"));
}
