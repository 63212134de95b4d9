#include "unreadable.hpp"

#include "message_headers.hpp"
#include "text.hpp"

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

/** A header that requests need: all of them, or those of these methods. */
const struct {
    const char *name;
    const char *title;
    const char *methods;
} NEEDED[] = {
    {"from", "From", nullptr},
    {"to", "To", nullptr},
    {"cseq", "CSeq", nullptr},
    {"via", "Via", nullptr},
    {"max-forwards", "Max-Forwards", nullptr},
    {"content-type", "Content-Type", nullptr},
    {"content-length", "Content-Length", nullptr},
    {"require", "Require", nullptr},
    // Their URIs are the targets of our own requests (RFC 3261, 8.1.1.8 and 12.1.1).
    {"contact", "Contact", " INVITE UPDATE REFER SUBSCRIBE "},
    {"record-route", "Record-Route", " INVITE "},
};

// Several headers of such a name are one list, which PJSIP keeps in an array.
const char *const LISTS[] = {"allow", "supported", "accept", "require", "unsupported", "allow-events"};

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

/** Replace a start line by one that PJSIP can read, and note the fault; false if the message cannot have one. */
bool repairStart(string &start, Fault &fault) {
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

/** The tag of an unreadable From or To, which identifies the dialog of a response or a BYE; empty if there is none. */
string tagIn(const string &value) {
    const std::vector<string> parameters =
        partsOf(value.substr(value.rfind('>') == string::npos ? 0 : value.rfind('>')), ';');
    for (const string &each : parameters) {
        const size_t equals = each.find('=');
        if (equals == string::npos || lower(trimmed(each.substr(0, equals))) != "tag")
            continue;
        const string tag = trimmed(each.substr(equals + 1));
        return tag.substr(0, std::find_if_not(tag.begin(), tag.end(), isTokenByte) - tag.begin());
    }
    return "";
}

/** Merge all headers of that name into the first, up to PJSIP's limit; false if that changes nothing. */
bool mergeList(MessageText &message, const string &name) {
    std::vector<string> values;
    std::set<string> known;
    HeaderText *first = nullptr;
    string before;
    for (HeaderText &header : message.headers) {
        if (header.name != name)
            continue;
        before += header.text;
        for (const string &each : partsOf(valueOf(header), ','))
            if (values.size() < MAX_LIST_VALUES && known.insert(lower(each)).second)
                values.push_back(each);
        header.text.clear();
        header.done = true;
        first = first ? first : &header;
    }
    const string merged = headerLine(name, joined(values, ", "));
    first->text = merged == before ? "" : merged;
    return merged != before;
}

/**
 * The Digest challenges of a header, one per line: PJSIP reads no other scheme, and one challenge per line (RFC 7235,
 * 4.1).
 */
string digestOnly(const HeaderText &header) {
    string lines;
    bool isDigest = false;
    std::vector<string> parameters;
    const auto finish = [&] {
        if (isDigest && !parameters.empty())
            lines += headerLine(header.name, "Digest " + joined(parameters, ", "));
        parameters.clear();
    };
    for (const string &each : partsOf(valueOf(header), ',')) {
        string rest = each;
        const size_t end = std::find_if_not(each.begin(), each.end(), isTokenByte) - each.begin();
        const size_t next = each.find_first_not_of(" \t", end);
        // A scheme is alone, or followed by a blank and its first parameter; the name of a parameter is followed by
        // "=".
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
 * A Via without empty parameters and parts (`;;,`) and with the version that PJSIP reads, so that a response can be
 * sent; empty if that changes nothing.
 */
string repairedVia(const HeaderText &header) {
    std::vector<string> hops;
    for (const string &each : partsOf(valueOf(header), ','))
        hops.push_back(joined(partsOf(each, ';'), ";"));
    string value = joined(hops, ", ");
    const size_t version = value.find('/') + 1, end = value.find('/', version);
    if (version && end != string::npos)
        value.replace(version, end - version, "2.0");
    return value == valueOf(header) ? "" : headerLine(header.name, value);
}

/**
 * Another text for a header that the message does not need, which PJSIP may be able to read; empty if there is none.
 */
string repaired(const HeaderText &header) {
    const bool challenges = header.name == "www-authenticate" || header.name == "proxy-authenticate";
    // An empty parameter, as in `1800;`, has no meaning.
    const string text =
        challenges ? digestOnly(header) : headerLine(header.name, joined(partsOf(valueOf(header), ';'), ";"));
    const string value = trimmed(text.substr(std::min(text.find(':') + 1, text.size())));
    return value.empty() || value == valueOf(header) ? "" : text;
}

/** The title of a header that a request of this method needs; null if it does not. */
const char *neededTitle(const string &name, const string &method) {
    for (const auto &each : NEEDED)
        if (name == each.name && (!each.methods || std::strstr(each.methods, (" " + method + " ").c_str())))
            return each.title;
    return nullptr;
}

/** A message that is being rewritten. */
class Repair {
public:
    Repair(const string &text, const std::vector<int> &places)
        : message_(splitMessage(text)),
          marked_(places.begin(), places.end()),
          isResponse_(lower(message_.start.substr(0, 4)) == "sip/"),
          method_(isResponse_ ? "" : message_.start.substr(0, message_.start.find_first_of(" \t"))),
          // A request that ends a call or a transaction is never refused for its headers.
          ends_(method_ == "BYE" || method_ == "CANCEL" || method_ == "ACK") {}

    Frame run() {
        bool changed = marked_.count(0) > 0;
        if (changed && (isResponse_ || !repairStart(message_.start, fault_)))
            return Frame();
        bool viaSeen = false;
        for (HeaderText &header : message_.headers) {
            const bool isTop = header.name == "via" && !viaSeen;
            viaSeen = viaSeen || isTop;
            if (header.done || (!header.name.empty() && !marked_.count(static_cast<int>(header.begin))))
                continue;
            repair(header);
            if (header.text.empty() && (isTop || header.name == "call-id"))
                return Frame();
            changed = true;
        }
        return changed ? written() : Frame();
    }

private:
    void repair(HeaderText &header) {
        const auto *const list = std::find(std::begin(LISTS), std::end(LISTS), header.name);
        if (list != std::end(LISTS) && mergeList(message_, header.name))
            return;
        header.text = replacement(header);
        if (isResponse_ || (ends_ && (header.name != "cseq" || method_ == "ACK")))
            return;
        if (header.name.empty())
            fault_.note(BAD_REQUEST, "a header line has no name");
        else if (const char *title = neededTitle(header.name, method_))
            fault_.note(BAD_REQUEST, string(title) + " cannot be read");
    }

    /**
     * The text that PJSIP gets instead: for a header that a response copies, a placeholder. Our own module prints the
     * original in the response (responses.hpp).
     */
    string replacement(const HeaderText &header) const {
        if (header.name == "from" || header.name == "to") {
            const string tag = tagIn(valueOf(header));
            return headerLine(header.name, "<sip:unreadable.invalid>" + (tag.empty() ? "" : ";tag=" + tag));
        }
        if (header.name == "cseq" && !isResponse_)
            return headerLine(header.name, "1 " + method_);
        if (header.name == "via")
            return repairedVia(header);
        return header.name.empty() || neededTitle(header.name, method_) ? "" : repaired(header);
    }

    Frame written() const {
        string text = message_.start + "\r\n";
        for (const HeaderText &header : message_.headers)
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

    MessageText message_;
    const std::set<int> marked_;
    const bool isResponse_;
    const string method_;
    const bool ends_;
    Fault fault_;
};

}  // namespace

Frame withoutUnreadable(const string &bytes, const std::vector<int> &places) { return Repair(bytes, places).run(); }

}  // namespace sipbridge
