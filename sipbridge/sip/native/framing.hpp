/*
 * Where a SIP message begins and ends in what comes over the wire: bytes in, frames out. No sockets, and nothing of PJSIP.
 */
#ifndef SIPBRIDGE_FRAMING_HPP
#define SIPBRIDGE_FRAMING_HPP

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sipbridge {

/** The longest message that is taken (RFC 3261, 18.1.1). No datagram is longer. */
const size_t MAX_MESSAGE_BYTES = 65535;
/** The longest rest of a message that is skipped, so that the connection can go on. */
const size_t MAX_SKIPPED_BYTES = 16 * 1024 * 1024;

enum FrameKind {
    FrameNone,     // more bytes must come
    FrameMessage,  // text is a whole message
    FrameRefused,  // a request that is not taken: status and reason say why, text is what a response to it needs
    FramePing,     // CR LF CR LF between messages, which waits for a CR LF (RFC 5626, 3.5.1)
    FrameEnd,      // where the next message begins cannot be known: close the connection
};

struct Frame {
    Frame(FrameKind kind = FrameNone) : kind(kind) {}

    FrameKind kind;
    std::string text;
    int status = 0;      // 400 or 513
    std::string reason;  // for a Warning header
};

/** Reads the head of a message byte by byte: where it ends, and how long the body is. It keeps next to nothing. */
class HeadReader {
public:
    /** Take the next byte; true if it ends the head (the end of its blank line). */
    bool take(char byte);
    /** True if this is not a SIP message, as far as the start line is known. */
    bool isJunk() const { return junk_; }
    bool isResponse() const { return response_; }
    /** What is wrong with Content-Length; empty if nothing is, or if there is none. Once the head has ended. */
    std::string fault() const;
    bool hasLength() const { return !lengths_.empty(); }
    /** True if all Content-Length headers state one number. */
    bool agrees() const;
    /** The number, MAX_SKIPPED_BYTES + 1 if it is larger; only if agrees(). */
    size_t length() const;

private:
    void endLine();

    std::string line_;  // the beginning of the line that is being read
    std::vector<std::string> lengths_;
    bool cut_ = false;  // line_ is not all of it
    bool first_ = true;
    bool inLength_ = false;
    bool junk_ = false;
    bool response_ = false;
};

/** Takes a TCP or TLS connection apart into messages. What is whole is not kept. */
class StreamFramer {
public:
    /** Add bytes that have come. */
    void feed(const std::string &bytes);
    /** The next frame. After FrameEnd there is no other. */
    Frame next();
    /** The frame for a message that has begun and does not go on: FrameRefused if a response to it is possible. */
    Frame giveUp();
    /** True if a message, or the skipped rest of one, has begun and not ended. */
    bool isUnfinished() const { return state_ == State::Head || state_ == State::Body; }
    /** True if one has begun that is too long, and so far does not name its sender and its call. */
    bool isLost() const { return state_ == State::Head && skipping_ && !answered_; }

private:
    enum class State {
        Between,
        Head,
        Body,
        Ended
    };

    Frame readBetween();
    Frame readHead();
    Frame readBody();
    Frame endHead();
    Frame overflow();
    Frame end();
    void endMessage();

    State state_ = State::Between;
    std::string input_;  // what has come and is not read yet, from at_ on
    size_t at_ = 0;
    HeadReader head_;
    std::string text_;        // the message so far; of one that is skipped, what a response needs
    size_t left_ = 0;         // bytes of the body that have not come
    size_t skipped_ = 0;      // bytes of the head beyond what a message may have
    int crlfs_ = 0;           // in a row, since the last message or ping
    bool skipping_ = false;   // the message is not taken
    bool answered_ = false;   // nor is there more to say of it
    bool endsAfter_ = false;  // FrameEnd comes next
};

/** Judge a datagram: FrameMessage without what follows the body, FrameRefused, or FrameNone to ignore it. */
Frame readDatagram(const std::string &datagram);

/** A header's name, in lower case and, of those that are asked for here, without its compact form; empty if there is none. */
std::string nameOf(const std::string &line);

/**
 * What a response to a request needs (RFC 3261, 8.2.6.2), as a request without a body. Empty if that is not all there, or
 * if it is a response. An unfinished last line is left out.
 */
std::string essentials(const std::string &head);

}  // namespace sipbridge

#endif
