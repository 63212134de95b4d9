#include "sdes.hpp"
#include "sdp.hpp"
#include "unreadable.hpp"

#include <doctest/doctest.h>

#include <random>

using namespace sipbridge;
using std::string;

namespace {

const string HEAD = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
const string AUDIO = "m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\na=sendrecv\r\n";
const string KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

void mutate(string *bytes, std::mt19937 *random) {
    for (unsigned changes = (*random)() % 10; changes; --changes) {
        const size_t at = bytes->empty() ? 0 : (*random)() % bytes->size();
        switch ((*random)() % 4) {
        case 0:
            bytes->insert(at, 1, "\r\n\0:=/ ;|0"[(*random)() % 10]);
            break;
        case 1:
            bytes->erase(at, (*random)() % 30);
            break;
        case 2:
            bytes->insert(at, bytes->substr(at, (*random)() % 60));
            break;
        default:
            if (!bytes->empty())
                (*bytes)[at] = static_cast<char>((*random)());
        }
    }
}

}  // namespace

TEST_CASE("the audio of an offer is passed on, and our answer rejects the other media") {
    OfferAnswer session(SrtpDisabled, "PCMU PCMA telephone-event ");
    const string given = session.readOffer(HEAD + AUDIO + "m=video 5000 RTP/AVP 96\r\na=rtpmap:96 VP8/90000\r\n", 1);
    CHECK(given.find("m=audio 4000") != string::npos);
    CHECK(given.find("m=video") == string::npos);
    const string answer = session.writeAnswer(HEAD + "m=audio 6000 RTP/AVP 0\r\na=sendrecv\r\n", 1);
    CHECK(answer.find("m=audio 6000") < answer.find("m=video 0"));
}

TEST_CASE("a key is served exactly as it is meant, or not at all") {
    const string key = "1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY;
    CHECK(servable({key}).size() == 1);
    CHECK(servable({key, key}).empty());
    for (const string tail : {"|2^20|1:4", "|1:4", " UNENCRYPTED_SRTP", " KDR=1", " WSH=63"})
        CHECK_MESSAGE(servable({key + tail}).empty(), tail);
    for (const string tail : {"", "|2^48", " WSH=64", " -NAME"})
        CHECK_MESSAGE(servable({key + tail}).size() == 1, tail);
    CHECK(servable({"1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY.substr(4)}).empty());
    CHECK(servable({"1 F8_128_HMAC_SHA1_80 inline:" + KEY}).empty());
    CHECK(servable({""}).empty());
}

TEST_CASE("mutated descriptions and keys do no harm, and the SDP for PJSIP has a limited length") {
    std::mt19937 random(8866);
    const string crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:" + KEY + "|2^48 WSH=64\r\n";
    for (int round = 0; round < 20000; ++round) {
        OfferAnswer session(static_cast<int>(random() % 3), "PCMU PCMA telephone-event ");
        for (int number = 1; number < 3; ++number) {
            string offer = HEAD + AUDIO + crypto + "m=audio 0 RTP/SAVP 8\r\nm=video 7 UDP/TLS/RTP/SAVPF 96\r\n";
            mutate(&offer, &random);
            CHECK(session.readOffer(offer, number).size() <= offer.size() + 4096);
            string answer = HEAD + AUDIO + crypto;
            mutate(&answer, &random);
            session.writeAnswer(answer, number);
            session.writeOffer(answer);
            session.readAnswer(offer);
        }
        string line = crypto.substr(9);
        mutate(&line, &random);
        servable({line});
    }
}

TEST_CASE("mutated messages are rewritten for another attempt, or not at all") {
    std::mt19937 random(3261);
    const string good =
        "INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n"
        "Call-ID: 1\r\nCSeq: 1 INVITE\r\nContact: <sip:c@h>\r\nX-A: 1\r\nContent-Length: 0\r\n\r\n";
    for (int round = 0; round < 20000; ++round) {
        string bytes = good;
        mutate(&bytes, &random);
        std::vector<int> places;
        for (unsigned count = random() % 4; count; --count)
            places.push_back(static_cast<int>(random() % (bytes.size() + 2)));
        const Frame frame = withoutUnreadable(bytes, places);
        CHECK(frame.text.size() <= bytes.size() + 1024);
    }
}
