#include "message_head.hpp"

#include "text.hpp"

#include <algorithm>
#include <cctype>
#include <iterator>

namespace sipbridge {

using std::string;

namespace {

// The most bytes of a line that are kept: of a start line the last ones, for its end, and of a header the first, for
// its name.
const size_t LINE_BYTES = 256;

/** True if the text begins a response. The case of SIP-Version is ignored (RFC 3261, 7.1). */
bool beginsResponse(const string &text) { return lower(text.substr(0, 4)) == "sip/"; }

bool isNumber(const string &text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
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

bool HeadReader::take(char byte) {
    if (byte == '\n') {
        // The CR of the line end.
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

EssentialLines essentialLines(const string &head) {
    static const char *const needed[] = {"via", "from", "to", "call-id", "cseq"};
    bool found[5] = {};
    EssentialLines kept;
    bool keeps = true;  // true for a needed header, and for the folded lines that continue it
    // The index of the needed header that a line begins; -1 if it begins none.
    const auto match = [&](const string &line) {
        if (kept.lines.empty() || isBlank(line[0]))
            return -1;
        const string name = nameOf(line);
        const auto *const header =
            std::find_if(std::begin(needed), std::end(needed), [&](const char *each) { return name == each; });
        keeps = header != std::end(needed);
        return keeps ? static_cast<int>(header - std::begin(needed)) : -1;
    };
    size_t at = 0;
    for (size_t end; (end = head.find('\n', at)) != string::npos; at = end + 1) {
        string line = head.substr(at, end - at);
        if (!line.empty() && line.back() == '\r')
            line.pop_back();
        if (line.empty())
            break;
        const int which = match(line);
        if (which >= 0)
            found[which] = true;
        if (keeps)
            kept.lines += line + "\r\n";
    }
    const string last = head.substr(at);
    if (!last.empty())
        match(last);
    if (keeps || last.find(':') == string::npos)
        kept.unfinished = last;
    kept.complete = std::all_of(std::begin(found), std::end(found), [](bool each) { return each; });
    return kept;
}

string essentials(const string &head) {
    const EssentialLines kept = essentialLines(head);
    return kept.complete && !beginsResponse(head) ? kept.lines + "Content-Length: 0\r\n\r\n" : "";
}

}  // namespace sipbridge
