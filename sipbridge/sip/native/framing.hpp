/*
 * SIP messages in received bytes: bytes in, frames out. No sockets, and nothing of PJSIP.
 */
#ifndef SIPBRIDGE_FRAMING_HPP
#define SIPBRIDGE_FRAMING_HPP

#include "message_head.hpp"

#include <cstddef>
#include <string>

namespace sipbridge {

/** The longest message that is accepted (RFC 3261, 18.1.1). No datagram is longer. */
const size_t MAX_MESSAGE_BYTES = 65535;

enum FrameKind {
    FrameNone,     // there is no frame before more bytes are received
    FrameMessage,  // a whole message, in `text`
    FrameRefused,  // a request that is refused with `status` and `reason`; `text` has what a response to it needs
    FramePing,     // CR LF CR LF between messages, to which CR LF is the response (RFC 5626, 3.5.1)
    FrameEnd,      // the start of the next message cannot be found, so the connection must be closed
};

struct Frame {
    Frame(FrameKind kind = FrameNone) : kind(kind) {}

    FrameKind kind;
    std::string text;
    int status = 0;      // 400 or 513
    std::string reason;  // for a Warning header
};

/** A reader of the messages of one TCP or TLS connection. It keeps only the bytes of an unfinished message. */
class StreamFramer {
public:
    /** Add received bytes. */
    void feed(const std::string &bytes);
    /** Return the next frame. There is none after FrameEnd. */
    Frame next();
    /** End an unfinished message: return FrameRefused if it can get a response. */
    Frame giveUp();
    /** True if a message, or the skipped rest of one, is unfinished. */
    bool isUnfinished() const { return state_ == State::Head || state_ == State::Body; }
    /** True if the unfinished message is too long, and what a response needs is not there yet. */
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
    std::string input_;  // received bytes, not read from at_ on
    size_t at_ = 0;
    HeadReader head_;
    std::string text_;        // the message so far; if it is skipped, what a response needs
    size_t left_ = 0;         // bytes of the body that are still missing
    size_t skipped_ = 0;      // bytes of the head beyond the limit
    int crlfs_ = 0;           // line ends since the last message or ping
    bool skipping_ = false;   // the message is not accepted
    bool answered_ = false;   // its refusal has been returned, or it is a response
    bool endsAfter_ = false;  // FrameEnd is next
};

/**
 * Read a datagram: FrameMessage without the bytes after the body, FrameRefused, or FrameNone if it is to be ignored.
 */
Frame readDatagram(const std::string &datagram);

}  // namespace sipbridge

#endif
