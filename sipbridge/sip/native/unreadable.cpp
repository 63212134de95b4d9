#include "unreadable.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

namespace sipbridge {

using std::string;

namespace {

const int BAD_REQUEST = 400;
const int UNSUPPORTED_URI_SCHEME = 416;
const int VERSION_NOT_SUPPORTED = 505;

/** What a request cannot do without: all requests, or those of these methods. */
const struct {
    const char *name;
    const char *title;
    const char *methods;
} ESSENTIAL[] = {
    {"from", "From", nullptr},
    {"to", "To", nullptr},
    {"cseq", "CSeq", nullptr},
    {"via", "Via", nullptr},
    {"max-forwards", "Max-Forwards", nullptr},
    {"content-type", "Content-Type", nullptr},
    {"content-length", "Content-Length", nullptr},
    {"require", "Require", nullptr},
    // Where our requests go to (RFC 3261, 8.1.1.8 and 12.1.1).
    {"contact", "Contact", " INVITE UPDATE REFER SUBSCRIBE "},
    {"record-route", "Record-Route", " INVITE "},
};

// Several headers of such a name are one list, of which PJSIP has an array.
const char *const LISTS[] = {"allow", "supported", "accept", "require", "unsupported", "allow-events"};

struct Header {
    size_t begin;
    string name;  // empty: the line has none
    string text;  // with its line ends
    bool done = false;
};

struct Message {
    string start;
    std::vector<Header> headers;
    string rest;  // from the blank line on
};

struct Fault {
    int status = 0;
    string reason;

    void note(int code, const string &why) {
        if (!status) {
            status = code;
            reason = why;
        }
    }
};

// ---------------------------------------------------------------- text

bool isBlank(char c) { return c == ' ' || c == '\t'; }
bool isBreak(char c) { return c == '\r' || c == '\n'; }
bool isTokenByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || (c && std::strchr("-.!%*_+`'~", c)); }

bool isToken(const string &text) { return !text.empty() && std::all_of(text.begin(), text.end(), isTokenByte); }

string trimmed(const string &text) {
    const size_t begin = text.find_first_not_of(" \t\r\n");
    return begin == string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

string lower(string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
}

/** Where the next line begins. A CR or LF alone ends one, as it does to PJSIP. */
size_t endOfLine(const string &text, size_t at) {
    const size_t end = text.find_first_of("\r\n", at);
    return end == string::npos ? text.size() : end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
}

Message split(const string &text) {
    Message message;
    size_t at = endOfLine(text, 0);
    message.start = trimmed(text.substr(0, at));
    while (at < text.size() && !isBreak(text[at])) {
        size_t end = endOfLine(text, at);
        while (end < text.size() && isBlank(text[end]))
            end = endOfLine(text, end);
        Header header{at, "", text.substr(at, end - at)};
        const size_t colon = header.text.find(':');
        if (colon != string::npos && isToken(trimmed(header.text.substr(0, colon))))
            header.name = nameOf(header.text);
        message.headers.push_back(header);
        at = end;
    }
    message.rest = text.substr(at);
    return message;
}

/** A header's value, in one line. */
string valueOf(const Header &header) {
    string value = trimmed(header.text.substr(header.text.find(':') + 1));
    std::replace_if(value.begin(), value.end(), isBreak, ' ');
    return value;
}

string line(const string &name, const string &value) { return name + ": " + value + "\r\n"; }

/** The parts between separators; those in quotes or angle brackets separate nothing. Empty parts are left out. */
std::vector<string> parts(const string &value, char separator) {
    std::vector<string> found(1);
    bool quoted = false, bracketed = false;
    for (size_t at = 0; at < value.size(); ++at) {
        const char c = value[at];
        if (quoted && c == '\\' && at + 1 < value.size()) {
            found.back() += c;
            found.back() += value[++at];
            continue;
        }
        if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '<' || c == '>'))
            bracketed = c == '<';
        if (c == separator && !quoted && !bracketed)
            found.emplace_back();
        else
            found.back() += c;
    }
    for (string &each : found)
        each = trimmed(each);
    found.erase(std::remove(found.begin(), found.end(), ""), found.end());
    return found;
}

string joined(const std::vector<string> &values, const char *between) {
    string text;
    for (const string &each : values)
        text += (text.empty() ? "" : between) + each;
    return text;
}

// ---------------------------------------------------------------- parts of a message

/** A start line that PJSIP can read. False: there is none of this message. */
bool mendStart(string &start, Fault &fault) {
    const size_t first = start.find_first_of(" \t"), last = start.find_last_of(" \t");
    if (first == string::npos || !isToken(start.substr(0, first)) || last == first)
        return false;
    const string version = lower(start.substr(last + 1)), uri = trimmed(start.substr(first, last - first));
    if (version.compare(0, 4, "sip/") != 0)
        return false;
    const size_t colon = uri.find(':');
    const string scheme = lower(uri.substr(0, colon == string::npos ? 0 : colon));
    const bool isScheme = !scheme.empty() && std::isalpha(static_cast<unsigned char>(scheme[0])) && isToken(scheme);
    if (version != "sip/2.0")
        fault.note(VERSION_NOT_SUPPORTED, "the version is not SIP/2.0");
    else if (isScheme && scheme != "sip" && scheme != "sips" && scheme != "tel")
        fault.note(UNSUPPORTED_URI_SCHEME, "the Request-URI is of another scheme than sip, sips and tel");
    else
        fault.note(BAD_REQUEST, "the Request-URI cannot be read");
    start = start.substr(0, first) + " sip:unreadable.invalid SIP/2.0";
    return true;
}

/** The tag of a From or To of which the rest cannot be read: by it a response and a BYE find their dialog. */
string tagIn(const string &value) {
    const std::vector<string> parameters =
        parts(value.substr(value.rfind('>') == string::npos ? 0 : value.rfind('>')), ';');
    for (const string &each : parameters) {
        const size_t equals = each.find('=');
        if (equals == string::npos || lower(trimmed(each.substr(0, equals))) != "tag")
            continue;
        const string tag = trimmed(each.substr(equals + 1));
        return tag.substr(0, std::find_if_not(tag.begin(), tag.end(), isTokenByte) - tag.begin());
    }
    return "";
}

/** All headers of that name as one list, no longer than PJSIP's, in the first of them; false where it is that already. */
bool mergeList(Message &message, const string &name) {
    std::vector<string> values;
    std::set<string> known;
    Header *first = nullptr;
    string before;
    for (Header &header : message.headers) {
        if (header.name != name)
            continue;
        before += header.text;
        for (const string &each : parts(valueOf(header), ','))
            if (values.size() < MAX_LIST_VALUES && known.insert(lower(each)).second)
                values.push_back(each);
        header.text.clear();
        header.done = true;
        first = first ? first : &header;
    }
    const string merged = line(name, joined(values, ", "));
    first->text = merged == before ? "" : merged;
    return merged != before;
}

/** The Digest challenges of a header, a line each: PJSIP knows no other scheme, and one per line (RFC 7235, 4.1). */
string digestOnly(const Header &header) {
    string lines;
    bool isDigest = false;
    std::vector<string> parameters;
    const auto finish = [&] {
        if (isDigest && !parameters.empty())
            lines += line(header.name, "Digest " + joined(parameters, ", "));
        parameters.clear();
    };
    for (const string &each : parts(valueOf(header), ',')) {
        string rest = each;
        const size_t end = std::find_if_not(each.begin(), each.end(), isTokenByte) - each.begin();
        const size_t next = each.find_first_not_of(" \t", end);
        // A scheme stands alone, or before its first parameter; a parameter's name stands before "=".
        if (end > 0 && (next == string::npos || (next > end && each[next] != '='))) {
            finish();
            isDigest = lower(each.substr(0, end)) == "digest";
            rest = next == string::npos ? "" : each.substr(next);
        }
        if (!rest.empty())
            parameters.push_back(rest);
    }
    finish();
    return lines;
}

/**
 * A Via without what has nothing in it (`;;,`), of the version that PJSIP reads: a response that refuses the request can
 * find its way by that.
 */
string mendedVia(const Header &header) {
    std::vector<string> hops;
    for (const string &each : parts(valueOf(header), ','))
        hops.push_back(joined(parts(each, ';'), ";"));
    string value = joined(hops, ", ");
    const size_t version = value.find('/') + 1, end = value.find('/', version);
    if (version && end != string::npos)
        value.replace(version, end - version, "2.0");
    return value == valueOf(header) ? "" : line(header.name, value);
}

/** Another text of a header that a message can do without: one that PJSIP may be able to read, or none. */
string mended(const Header &header) {
    const bool challenges = header.name == "www-authenticate" || header.name == "proxy-authenticate";
    // `1800;`: an empty parameter says nothing.
    const string text = challenges ? digestOnly(header) : line(header.name, joined(parts(valueOf(header), ';'), ";"));
    const string value = trimmed(text.substr(std::min(text.find(':') + 1, text.size())));
    return value.empty() || value == valueOf(header) ? "" : text;
}

// ---------------------------------------------------------------- a message

/** What a request of this method cannot do without: its title; null if it can. */
const char *essential(const string &name, const string &method) {
    for (const auto &each : ESSENTIAL)
        if (name == each.name && (!each.methods || std::strstr(each.methods, (" " + method + " ").c_str())))
            return each.title;
    return nullptr;
}

class Mending {
public:
    Mending(const string &text, const std::vector<int> &places)
        : message_(split(text)),
          marked_(places.begin(), places.end()),
          isResponse_(lower(message_.start.substr(0, 4)) == "sip/"),
          method_(isResponse_ ? "" : message_.start.substr(0, message_.start.find_first_of(" \t"))),
          // What ends a call or a transaction is not held up by headers.
          ends_(method_ == "BYE" || method_ == "CANCEL" || method_ == "ACK") {}

    Frame mend() {
        bool changed = marked_.count(0) > 0;
        if (changed && (isResponse_ || !mendStart(message_.start, fault_)))
            return Frame();
        bool viaSeen = false;
        for (Header &header : message_.headers) {
            const bool isTop = header.name == "via" && !viaSeen;
            viaSeen = viaSeen || isTop;
            if (header.done || (!header.name.empty() && !marked_.count(static_cast<int>(header.begin))))
                continue;
            mend(header);
            if (header.text.empty() && (isTop || header.name == "call-id"))
                return Frame();
            changed = true;
        }
        return changed ? written() : Frame();
    }

private:
    void mend(Header &header) {
        const auto *const list = std::find(std::begin(LISTS), std::end(LISTS), header.name);
        if (list != std::end(LISTS) && mergeList(message_, header.name))
            return;
        header.text = replacement(header);
        if (isResponse_ || (ends_ && (header.name != "cseq" || method_ == "ACK")))
            return;
        if (header.name.empty())
            fault_.note(BAD_REQUEST, "a header line has no name");
        else if (const char *title = essential(header.name, method_))
            fault_.note(BAD_REQUEST, string(title) + " cannot be read");
    }

    /** The text that PJSIP gets instead: a stand-in for what a response copies; our own module prints what was written. */
    string replacement(const Header &header) const {
        if (header.name == "from" || header.name == "to") {
            const string tag = tagIn(valueOf(header));
            return line(header.name, "<sip:unreadable.invalid>" + (tag.empty() ? "" : ";tag=" + tag));
        }
        if (header.name == "cseq" && !isResponse_)
            return line(header.name, "1 " + method_);
        if (header.name == "via")
            return mendedVia(header);
        return header.name.empty() || essential(header.name, method_) ? "" : mended(header);
    }

    Frame written() const {
        string text = message_.start + "\r\n";
        for (const Header &header : message_.headers)
            text += header.text;
        Frame frame(FrameMessage);
        frame.text = text + message_.rest;
        if (fault_.status) {
            frame.text = essentials(text + "\r\n");
            frame.status = fault_.status;
            frame.reason = fault_.reason;
            frame.kind = frame.text.empty() ? FrameNone : FrameRefused;
        }
        return frame;
    }

    Message message_;
    const std::set<int> marked_;
    const bool isResponse_;
    const string method_;
    const bool ends_;
    Fault fault_;
};

}  // namespace

Frame withoutUnreadable(const string &bytes, const std::vector<int> &places) { return Mending(bytes, places).mend(); }

}  // namespace sipbridge
