#include "agent_sockets.hpp"
#include "websocket_frame.hpp"

#include <doctest/doctest.h>

#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

using namespace sipbridge;

namespace {

const int STREAM = 7;
const size_t LIMIT = 1600;

std::string frame(int first, const std::string &payload) {
    std::string bytes(1, static_cast<char>(first));
    if (payload.size() < 126) {
        bytes.push_back(static_cast<char>(payload.size()));
    } else {
        bytes.push_back(126);
        bytes.push_back(static_cast<char>(payload.size() >> 8));
        bytes.push_back(static_cast<char>(payload.size()));
    }
    return bytes + payload;
}

/** A frame with three bytes of audio, or as many as the payload has. */
std::string media(const std::string &payload = "AQID") {
    return frame(0x81, R"({"event":"media","streamSid":"MZ1","media":{"payload":")" + payload + R"("}})");
}

const std::string MARK = frame(0x81, R"({"event":"mark","streamSid":"MZ1","mark":{"name":"m"}})");

/** The two ends of a connection: ours is open as the socket of a stream. */
struct Agent {
    AudioCounters counters;
    const int stream;
    std::shared_ptr<AudioQueue> queue;
    int ends[2];

    explicit Agent(int stream = STREAM, size_t limit = LIMIT)
        : stream(stream), queue(std::make_shared<AudioQueue>(limit, &counters)) {
        REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
        openSocket(stream, queue, ends[0], "MZ1");
        socketReads(stream, true);
    }

    ~Agent() {
        closeSocket(stream);
        close(ends[0]);
        hangUp();
    }

    void hangUp() {
        if (ends[1] >= 0)
            close(ends[1]);
        ends[1] = -1;
    }

    void send(const std::string &bytes) {
        REQUIRE(::send(ends[1], bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    }

    /** Send bytes; return what Python gets of them. */
    std::string exchange(const std::string &bytes) {
        send(bytes);
        std::string received;
        while (socketsReady())
            for (const SocketTurn &turn : readSockets())
                received += turn.received;
        return received;
    }

    /** Bytes of audio that were queued. */
    long long written() { return queue->position().written; }

    /** All that we have sent to the agent. */
    std::string read() {
        char buffer[65536];
        const ssize_t count = recv(ends[1], buffer, sizeof(buffer), MSG_DONTWAIT);
        return std::string(buffer, static_cast<size_t>(std::max<ssize_t>(count, 0)));
    }
};

}  // namespace

TEST_CASE("audio goes to the queue, and everything else to Python") {
    Agent agent;
    CHECK(agent.exchange(media() + media()) == "");
    CHECK(agent.written() == 6);
    for (const std::string &other :
         {MARK, frame(0x82, "binary"), frame(0x89, "ping"), frame(0x8a, ""), frame(0x88, "\x03\xe8"),
          frame(0xc1, "compressed"), frame(0x83, "reserved"), frame(0x81, "")})
        CHECK(agent.exchange(other) == other);
    CHECK(agent.written() == 6);
}

TEST_CASE("after a message for Python, the rest of the read is Python's too") {
    Agent agent;
    CHECK(agent.exchange(media() + MARK + media()) == MARK + media());
    CHECK(agent.written() == 3);
    CHECK(agent.exchange(media()) == "");
    CHECK(agent.written() == 6);
}

TEST_CASE("a message may come in any pieces") {
    Agent agent;
    std::string received;
    for (const char byte : media() + MARK + media())
        received += agent.exchange(std::string(1, byte));
    CHECK(received == MARK);
    CHECK(agent.written() == 6);
}

TEST_CASE("a masked frame is for Python") {
    Agent agent;
    std::string masked;
    appendTextFrame(R"({"event":"media","streamSid":"MZ1","media":{"payload":"AQID"}})", &masked);
    CHECK(agent.exchange(masked + media()) == masked + media());
    CHECK(agent.exchange(media()) == "");
}

TEST_CASE("a long frame is for Python, and the next one is read here") {
    Agent agent;
    const std::string end = media(std::string(8000, 'A'));
    CHECK(agent.exchange(end) == end);
    CHECK(agent.written() == 0);
    CHECK(agent.exchange(media()) == "");
    CHECK(agent.written() == 3);
}

TEST_CASE("the frames of a message are for Python, and all between them") {
    Agent agent;
    const std::string parts = frame(0x01, "a") + frame(0x89, "") + media() + frame(0x00, "b");
    CHECK(agent.exchange(parts) == parts);
    CHECK(agent.exchange(media()) == media());
    CHECK(agent.exchange(frame(0x80, "c")) == frame(0x80, "c"));
    CHECK(agent.exchange(media()) == "");
    CHECK(agent.written() == 3);
}

TEST_CASE("audio that does not fit is for Python") {
    Agent agent;
    CHECK(agent.exchange(media(std::string(2000, 'A'))) == "");
    CHECK(agent.written() == 1500);
    const std::string large = media(std::string(400, 'A'));
    CHECK(agent.exchange(large) == large);
    CHECK(agent.written() == 1500);
}

TEST_CASE("a frame that is longer than memory is for Python, for ever") {
    Agent agent;
    const std::string endless("\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10);
    CHECK(agent.exchange(endless + media()) == endless + media());
    CHECK(agent.exchange(media()) == media());
}

TEST_CASE("the begin of a frame is returned when the socket is closed") {
    Agent agent;
    CHECK(agent.exchange(MARK + media().substr(0, 20)) == MARK);
    CHECK(closeSocket(STREAM) == media().substr(0, 20));
    CHECK(closeSocket(STREAM) == "");
}

TEST_CASE("the end of a socket is reported once, after all that came before") {
    Agent agent;
    agent.send(MARK);
    agent.hangUp();
    auto turns = readSockets();
    REQUIRE(turns.size() == 1);
    CHECK((turns[0].stream == STREAM && turns[0].received == MARK && !turns[0].ended));
    turns = readSockets();
    REQUIRE(turns.size() == 1);
    CHECK((turns[0].received.empty() && turns[0].ended));
    CHECK_FALSE(socketsReady());
}

TEST_CASE("a paused socket is not read") {
    Agent agent;
    socketReads(STREAM, false);
    agent.send(MARK);
    CHECK_FALSE(socketsReady());
    CHECK(readSockets().empty());
    socketReads(STREAM, true);
    CHECK(agent.exchange("") == MARK);
}

TEST_CASE("a tick reads a socket once if that has anything for Python") {
    Agent agent;
    agent.send(std::string(200, 'x') + std::string(10000, 'x'));
    const auto turns = readSockets();
    REQUIRE(turns.size() == 1);
    CHECK(turns[0].received.size() <= 4096);
    CHECK(socketsReady());
}

TEST_CASE("a tick reads the audio of few sockets eight times, so that what follows it does not wait") {
    Agent agent(STREAM, 100000);
    const std::string second = media(std::string(216, 'A'));
    std::string sent;
    while (sent.size() < 20000)
        sent += second;
    agent.send(sent + MARK);
    const auto turns = readSockets();
    REQUIRE(turns.size() == 1);
    CHECK(turns[0].received == MARK);
    CHECK_FALSE(socketsReady());
    for (int i = 0; i < 4; ++i)
        agent.send(sent);
    CHECK(readSockets().empty());
    CHECK(socketsReady());
    CHECK(agent.exchange("") == "");
    CHECK(agent.written() % 162 == 0);
    CHECK(agent.written() == 162 * 5 * static_cast<long long>(sent.size() / second.size()));
}

TEST_CASE("a tick reads each of many sockets once") {
    std::vector<std::unique_ptr<Agent>> agents;
    std::string sent;
    while (sent.size() < 20000)
        sent += media(std::string(216, 'A'));
    for (int stream = 0; stream < 9; ++stream) {
        agents.push_back(std::make_unique<Agent>(stream, 100000));
        agents.back()->send(sent);
    }
    CHECK(readSockets().empty());
    for (const auto &each : agents)
        CHECK((each->written() > 0 && each->written() < 4096));
}

TEST_CASE("audio of the caller is sent in messages of 20 ms") {
    Agent agent;
    std::string audio(320, '\xff'), unsent;
    CHECK(sendToSocket(STREAM, &audio, &unsent));
    CHECK((audio.empty() && unsent.empty()));
    const std::string sent = agent.read();
    FrameHeader header;
    REQUIRE(readFrameHeader(sent, &header));
    const size_t first = header.size + header.payload;
    REQUIRE(readFrameHeader(sent.substr(first), &header));
    CHECK(sent.size() == first + header.size + header.payload);
    const MediaCounts counts = socketCounts(STREAM, 1, 0, 160);
    CHECK((counts.sequence == 3 && counts.chunk == 2 && counts.bytes == 480));
}

TEST_CASE("Python gets a turn whose audio was sent only if it asks for it") {
    Agent agent;
    socketReports(STREAM, true);
    std::string audio(160, '\xff'), unsent;
    CHECK_FALSE(sendToSocket(STREAM, &audio, &unsent));
    CHECK(audio.empty());
    socketReports(STREAM, false);
    audio.assign(160, '\xff');
    CHECK(sendToSocket(STREAM, &audio, &unsent));
}

TEST_CASE("Python sends what the socket does not take, and audio until it is settled") {
    Agent agent;
    std::string audio, unsent;
    size_t read = 0;
    do {
        audio.assign(16000, '\xff');
    } while (sendToSocket(STREAM, &audio, &unsent));
    CHECK((audio.empty() && !unsent.empty()));
    unsent.clear();
    audio.assign(160, '\xff');
    CHECK_FALSE(sendToSocket(STREAM, &audio, &unsent));
    CHECK((audio.size() == 160 && unsent.empty()));
    for (std::string part = agent.read(); !part.empty(); part = agent.read())
        read += part.size();
    CHECK(read > 0);
    socketSends(STREAM, true);
    CHECK(sendToSocket(STREAM, &audio, &unsent));
}

TEST_CASE("a socket that has failed leaves its bytes to Python") {
    Agent agent;
    agent.hangUp();
    std::string audio(160, '\xff'), unsent;
    CHECK_FALSE(sendToSocket(STREAM, &audio, &unsent));
    CHECK(!unsent.empty());
}

TEST_CASE("without a descriptor, Python reads and writes the bytes") {
    AudioCounters counters;
    const auto queue = std::make_shared<AudioQueue>(LIMIT, &counters);
    openSocket(STREAM, queue, -1, "MZ1");
    CHECK(siftSocket(STREAM, media() + MARK + media().substr(0, 20)) == MARK);
    CHECK(siftSocket(STREAM, media().substr(20)) == "");
    CHECK(queue->position().written == 6);
    for (int i = 0; i < 2; ++i) {
        std::string audio(160, '\xff'), unsent;
        CHECK_FALSE(sendToSocket(STREAM, &audio, &unsent));
        CHECK((audio.empty() && unsent.size() > 216));
    }
    CHECK_FALSE(socketsReady());
    closeSocket(STREAM);
    CHECK(siftSocket(STREAM, MARK) == MARK);
}

TEST_CASE("without a socket, audio is Python's") {
    std::string audio(160, '\xff'), unsent;
    CHECK_FALSE(sendToSocket(STREAM, &audio, &unsent));
    CHECK(audio.size() == 160);
    CHECK_FALSE(anySocket());
    CHECK_FALSE(socketsReady());
    CHECK(readSockets().empty());
}
