#include "framing.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace sipbridge {

using std::string;

namespace {

const int BAD_REQUEST = 400;
const int TOO_LARGE = 513;
const char *const TOO_LONG = "the message is longer than 65535 bytes";
// Of a line no more is looked at: a start line's end is looked for in the last of these, a name in the first.
const size_t LINE_BYTES = 256;

bool isBlank(char c) { return c == ' ' || c == '\t'; }

string trimmed(const string &text) {
    const size_t begin = text.find_first_not_of(" \t\r");
    return begin == string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r") - begin + 1);
}

string lower(string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return ::tolower(c); });
    return text;
}

/** True if this begins a response. SIP-Version is in any case (RFC 3261, 7.1). */
bool beginsResponse(const string &text) { return lower(text.substr(0, 4)) == "sip/"; }

bool isNumber(const string &text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/** Of a head, or its beginning: the start line, and what a response needs. */
struct Kept {
    string lines;
    string unfinished;  // a last line that has not ended, if it belongs to these or may yet
    bool complete = false;
};

Kept keep(const string &head) {
    static const char *const needed[] = {"via", "from", "to", "call-id", "cseq"};
    bool found[5] = {};
    Kept kept;
    bool keeps = true;  // folded lines go with their header
    const auto judge = [&](const string &line) {
        if (kept.lines.empty() || isBlank(line[0]))
            return -1;
        const string name = nameOf(line);
        const auto *const match =
            std::find_if(std::begin(needed), std::end(needed), [&](const char *each) { return name == each; });
        keeps = match != std::end(needed);
        return keeps ? static_cast<int>(match - std::begin(needed)) : -1;
    };
    size_t at = 0;
    for (size_t end; (end = head.find('\n', at)) != string::npos; at = end + 1) {
        string line = head.substr(at, end - at);
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.empty())
            break;
        const int which = judge(line);
        if (which >= 0)
            found[which] = true;
        if (keeps)
            kept.lines += line + "\r\n";
    }
    const string last = head.substr(at);
    if (!last.empty())
        judge(last);
    if (keeps || last.find(':') == string::npos)
        kept.unfinished = last;
    kept.complete = std::all_of(std::begin(found), std::end(found), [](bool each) { return each; });
    return kept;
}

Frame refused(int status, const string &reason, const string &head) {
    Frame frame(FrameRefused);
    frame.text = essentials(head);
    frame.status = status;
    frame.reason = reason;
    return frame.text.empty() ? Frame() : frame;
}

}  // namespace

string nameOf(const string &line) {
    const size_t colon = line.find(':');
    if (colon == string::npos)
        return "";
    string name = lower(trimmed(line.substr(0, colon)));
    static const char *const compact[][2] = {{"v", "via"},          {"f", "from"},           {"t", "to"},
                                             {"i", "call-id"},      {"l", "content-length"}, {"c", "content-type"},
                                             {"m", "contact"},      {"k", "supported"},      {"o", "event"},
                                             {"u", "allow-events"}, {"x", "session-expires"}};
    for (const auto &each : compact)
        if (name == each[0])
            return each[1];
    return name;
}

// ---------------------------------------------------------------- a head

bool HeadReader::take(char byte) {
    if (byte == '\n') {
        // The line's own CR.
        if (!line_.empty() && line_.back() == '\r')
            line_.pop_back();
        const bool blank = line_.empty() && !first_;
        endLine();
        return blank;
    }
    if (first_ && static_cast<unsigned char>(byte) < 0x20 && byte != '\r' && byte != '\t')
        junk_ = true;
    if (line_.size() < LINE_BYTES)
        line_ += byte;
    else if (first_)
        line_.erase(0, LINE_BYTES / 2) += byte;
    else if (byte != '\r')
        cut_ = true;
    response_ = response_ || (first_ && line_.size() == 4 && beginsResponse(line_));
    return false;
}

void HeadReader::endLine() {
    if (first_) {
        junk_ = junk_ || (!response_ && lower(line_).find(" sip/") == string::npos);
        first_ = false;
    } else if (!line_.empty() && isBlank(line_[0])) {
        if (inLength_)
            lengths_.back() += line_ + (cut_ ? "?" : "");
    } else {
        inLength_ = nameOf(line_) == "content-length";
        if (inLength_)
            lengths_.push_back(line_.substr(line_.find(':') + 1) + (cut_ ? "?" : ""));
    }
    line_.clear();
    cut_ = false;
}

string HeadReader::fault() const {
    if (lengths_.size() > 1)
        return "Content-Length came several times";
    return lengths_.empty() || agrees() ? "" : "Content-Length is not a number";
}

bool HeadReader::agrees() const {
    for (const string &each : lengths_)
        if (!isNumber(trimmed(each)) || trimmed(each) != trimmed(lengths_[0]))
            return false;
    return !lengths_.empty();
}

size_t HeadReader::length() const {
    size_t number = 0;
    for (const char digit : trimmed(lengths_[0]))
        number = std::min(number * 10 + static_cast<size_t>(digit - '0'), MAX_SKIPPED_BYTES + 1);
    return number;
}

// ---------------------------------------------------------------- a stream

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
    // Not clear(): a connection at rest keeps no memory.
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

/** Line ends before a message are ignored (RFC 3261, 7.5); two of them are a ping. */
Frame StreamFramer::readBetween() {
    const char byte = input_[at_];
    if (byte != '\r' && byte != '\n') {
        state_ = State::Head;
        return Frame();
    }
    ++at_;
    // A CR alone is ignored; the LF counts for both.
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

/** The head is longer than a message may be: answered as soon as it says whom, and skipped. */
Frame StreamFramer::overflow() {
    skipping_ = true;
    Frame frame = refused(TOO_LARGE, TOO_LONG, text_);
    answered_ = frame.kind == FrameRefused || head_.isResponse();
    const Kept kept = keep(text_);
    // Of a line that is left out, what is still to come must not look like another.
    text_ = answered_ ? "" : kept.lines + (kept.unfinished.empty() ? "X:" : kept.unfinished);
    return text_.size() > MAX_MESSAGE_BYTES / 2 ? end() : frame;
}

Frame StreamFramer::endHead() {
    const string fault = head_.hasLength() ? head_.fault() : "there is no Content-Length";
    left_ = head_.agrees() ? head_.length() : 0;
    // On a stream nothing else says where the body ends (RFC 3261, 18.3).
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

// ---------------------------------------------------------------- a datagram

Frame readDatagram(const string &datagram) {
    const size_t begin = datagram.find_first_not_of("\r\n");
    HeadReader head;
    size_t end = std::min(begin, datagram.size());
    bool ended = false;
    while (end < datagram.size() && !ended && !head.isJunk())
        ended = head.take(datagram[end++]);
    if (begin == string::npos || head.isJunk())
        return Frame();
    // Cut on its way, or never whole: its last line is only the beginning of one.
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

string essentials(const string &head) {
    const Kept kept = keep(head);
    return kept.complete && !beginsResponse(head) ? kept.lines + "Content-Length: 0\r\n\r\n" : "";
}

}  // namespace sipbridge
