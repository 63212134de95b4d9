#include "framing.hpp"

#include <algorithm>

namespace sipbridge {

using std::string;

namespace {

const int BAD_REQUEST = 400;
const int TOO_LARGE = 513;
const char *const TOO_LONG = "the message is longer than 65535 bytes";

Frame refused(int status, const string &reason, const string &head) {
    Frame frame(FrameRefused);
    frame.text = essentials(head);
    frame.status = status;
    frame.reason = reason;
    return frame.text.empty() ? Frame() : frame;
}

}  // namespace

void StreamFramer::feed(const string &bytes) {
    if (state_ != State::Ended)
        input_ += bytes;
}

Frame StreamFramer::next() {
    if (endsAfter_)
        return end();
    while (at_ < input_.size()) {
        Frame frame = state_ == State::Between ? readBetween() : state_ == State::Head ? readHead() : readBody();
        if (frame.kind != FrameNone)
            return frame;
        if (endsAfter_)
            return end();
    }
    // swap() frees the memory, so that an idle connection has none; clear() would keep it.
    string().swap(input_);
    at_ = 0;
    return Frame();
}

Frame StreamFramer::giveUp() {
    endsAfter_ = true;
    if (answered_)
        return Frame();
    return skipping_ ? refused(TOO_LARGE, TOO_LONG, text_) : refused(BAD_REQUEST, "the message does not end", text_);
}

/** Ignore the line ends before a message (RFC 3261, 7.5). Two of them are a ping. */
Frame StreamFramer::readBetween() {
    const char byte = input_[at_];
    if (byte != '\r' && byte != '\n') {
        state_ = State::Head;
        return Frame();
    }
    ++at_;
    // Only the LF of a line end counts.
    if (byte == '\r' || ++crlfs_ < 2)
        return Frame();
    crlfs_ = 0;
    return FramePing;
}

Frame StreamFramer::readHead() {
    while (at_ < input_.size()) {
        const char byte = input_[at_++];
        const bool ended = head_.take(byte);
        if (head_.isJunk())
            return end();
        if (!answered_)
            text_ += byte;
        if (ended)
            return endHead();
        if (skipping_ && ++skipped_ > MAX_SKIPPED_BYTES)
            return skipped_ = 0, answered_ ? end() : giveUp();
        if (text_.size() >= MAX_MESSAGE_BYTES) {
            Frame frame = overflow();
            if (frame.kind != FrameNone)
                return frame;
        }
    }
    return Frame();
}

/** Refuse a head that is too long, as soon as the part that a response needs is there, and skip its rest. */
Frame StreamFramer::overflow() {
    skipping_ = true;
    Frame frame = refused(TOO_LARGE, TOO_LONG, text_);
    answered_ = frame.kind == FrameRefused || head_.isResponse();
    const EssentialLines kept = essentialLines(text_);
    // "X:" makes the rest of a line that is left out a header without a meaning.
    text_ = answered_ ? "" : kept.lines + (kept.unfinished.empty() ? "X:" : kept.unfinished);
    return text_.size() > MAX_MESSAGE_BYTES / 2 ? end() : frame;
}

Frame StreamFramer::endHead() {
    const string fault = head_.hasLength() ? head_.fault() : "there is no Content-Length";
    left_ = head_.agrees() ? head_.length() : 0;
    // On a stream, only Content-Length shows where the body ends (RFC 3261, 18.3).
    endsAfter_ = !head_.agrees() || left_ > MAX_SKIPPED_BYTES;
    const bool tooLong = skipping_ || text_.size() + left_ > MAX_MESSAGE_BYTES;
    state_ = State::Body;
    Frame frame;
    if (tooLong || !fault.empty()) {
        const bool isBad = !skipping_ && !fault.empty();
        if (!answered_)
            frame = refused(isBad ? BAD_REQUEST : TOO_LARGE, isBad ? fault : TOO_LONG, text_);
        skipping_ = answered_ = true;
        string().swap(text_);
    }
    if (left_ > 0 || endsAfter_)
        return frame;
    return skipping_ ? (endMessage(), frame) : readBody();
}

Frame StreamFramer::readBody() {
    const size_t taken = std::min(left_, input_.size() - at_);
    if (!skipping_)
        text_.append(input_, at_, taken);
    at_ += taken;
    left_ -= taken;
    if (left_ > 0)
        return Frame();
    Frame frame(skipping_ ? FrameNone : FrameMessage);
    frame.text.swap(text_);
    endMessage();
    return frame;
}

void StreamFramer::endMessage() {
    state_ = State::Between;
    head_ = HeadReader();
    string().swap(text_);
    skipped_ = 0;
    crlfs_ = 0;
    skipping_ = answered_ = false;
}

Frame StreamFramer::end() {
    endMessage();
    state_ = State::Ended;
    endsAfter_ = true;
    string().swap(input_);
    at_ = 0;
    return FrameEnd;
}

Frame readDatagram(const string &datagram) {
    const size_t begin = datagram.find_first_not_of("\r\n");
    HeadReader head;
    size_t end = std::min(begin, datagram.size());
    bool ended = false;
    while (end < datagram.size() && !ended && !head.isJunk())
        ended = head.take(datagram[end++]);
    if (begin == string::npos || head.isJunk())
        return Frame();
    // Without a blank line the datagram is incomplete, and so is its last line.
    string fault = ended ? head.fault() : "the head has no blank line at its end";
    size_t size = datagram.size();
    if (fault.empty() && head.hasLength()) {
        if (head.length() > datagram.size() - end)
            fault = "the body is shorter than Content-Length says";
        else
            size = end + head.length();
    }
    if (!fault.empty())
        return refused(BAD_REQUEST, fault, datagram.substr(begin, end - begin));
    Frame frame(FrameMessage);
    frame.text = datagram.substr(begin, size - begin);
    return frame;
}

}  // namespace sipbridge
