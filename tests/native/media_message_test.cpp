#include "media_message.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace sipbridge;

namespace {

/** The audio of a message for the stream MZ1; "-" if Python has to read it. */
std::string audioOf(const std::string &message) {
    std::string audio;
    return readMedia(message, "MZ1", &audio) ? audio : "-";
}

/** A usual message with this payload. */
std::string withPayload(const std::string &payload) {
    return R"({"event":"media","streamSid":"MZ1","media":{"payload":")" + payload + R"("}})";
}

}  // namespace

TEST_CASE("the audio of a usual message is read, whatever the order of its fields and the space between them") {
    CHECK(audioOf(withPayload("AQID")) == "\x01\x02\x03");
    CHECK(audioOf(R"({ "media" : { "payload" : "AQID" } , "streamSid" : "MZ1" , "event" : "media" } )") ==
          "\x01\x02\x03");
    CHECK(audioOf("\n{\t\"event\":\r\"media\",\"streamSid\":\"MZ1\",\"media\":{\"payload\":\"AQID\"}}\n") ==
          "\x01\x02\x03");
}

TEST_CASE("every byte has its base64, with padding at the end") {
    std::string all;
    for (int i = 0; i < 256; ++i)
        all.push_back(static_cast<char>(i));
    for (size_t size = 1; size <= all.size(); ++size) {
        MediaCounts counts;
        std::string message;
        appendMedia(all.substr(0, size), "MZ1", &counts, &message);
        const size_t begin = message.find("payload\":\"") + 10;
        const std::string payload = message.substr(begin, message.find('"', begin) - begin);
        CHECK(payload.size() == (size + 2) / 3 * 4);
        CHECK(audioOf(withPayload(payload)) == all.substr(0, size));
    }
    CHECK(audioOf(withPayload("//8=")) == "\xff\xff");
    CHECK(audioOf(withPayload("/w==")) == "\xff");
}

TEST_CASE("Python reads every other message") {
    for (const char *message : {
             "",
             "{}",
             "[]",
             "media",
             R"({"event":"media")",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"}}})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"}} x)",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"},})",
             R"({"event":"media","streamSid":"MZ2","media":{"payload":"AQID"}})",
             R"({"event":"media","media":{"payload":"AQID"}})",
             R"({"streamSid":"MZ1","media":{"payload":"AQID"}})",
             R"({"event":"media","streamSid":"MZ1"})",
             R"({"event":"media","streamSid":"MZ1","media":{}})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":1}})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID","track":"outbound"}})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"},"other":"1"})",
             R"({"event":"media","event":"media","streamSid":"MZ1","media":{"payload":"AQID"}})",
             R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"},"media":{"payload":"AQID"}})",
             R"({"event":"mark","streamSid":"MZ1","mark":{"name":"m"}})",
             R"({"event":"clear","streamSid":"MZ1"})",
             R"({"event":"m\u0065dia","streamSid":"MZ1","media":{"payload":"AQID"}})",
         })
        CHECK_MESSAGE(audioOf(message) == "-", message);
}

TEST_CASE("Python reads what is not base64, or empty") {
    for (const char *payload :
         {"", "A", "AQ", "AQI", "AQIDB", "AQ=D", "A===", "====", "AQ-D", "AQ\\/D", "AQ D", "AQI\xff", "AQ==AQID"})
        CHECK_MESSAGE(audioOf(withPayload(payload)) == "-", payload);
}

TEST_CASE("messages to the agent are numbered and timed") {
    MediaCounts counts{4, 0, 0};
    std::string message;
    appendMedia("\x01\x02\x03", "MZ1", &counts, &message);
    CHECK(message == R"({"event":"media","sequenceNumber":"5","media":{"track":"inbound","chunk":"1","timestamp":"0",)"
                     R"("payload":"AQID"},"streamSid":"MZ1"})");
    counts.bytes = 320;
    message.clear();
    appendMedia("\x01", "MZ1", &counts, &message);
    CHECK(message == R"({"event":"media","sequenceNumber":"6","media":{"track":"inbound","chunk":"2","timestamp":"40",)"
                     R"("payload":"AQ=="},"streamSid":"MZ1"})");
    CHECK((counts.sequence == 6 && counts.chunk == 2 && counts.bytes == 321));
}
