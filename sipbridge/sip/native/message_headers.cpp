#include "message_headers.hpp"

#include "message_head.hpp"
#include "text.hpp"

#include <algorithm>
#include <cctype>
#include <cstring>

namespace sipbridge {

using std::string;

namespace {

bool isBreak(char c) { return c == '\r' || c == '\n'; }

/** The position after the line end that follows `at`. A CR or LF alone ends a line, as for PJSIP. */
size_t endOfLine(const string &text, size_t at) {
    const size_t end = text.find_first_of("\r\n", at);
    return end == string::npos ? text.size() : end + (text.compare(end, 2, "\r\n") == 0 ? 2 : 1);
}

}  // namespace

bool isTokenByte(char c) { return std::isalnum(static_cast<unsigned char>(c)) || (c && std::strchr("-.!%*_+`'~", c)); }

bool isToken(const string &text) { return !text.empty() && std::all_of(text.begin(), text.end(), isTokenByte); }

MessageText splitMessage(const string &text) {
    MessageText message;
    size_t at = endOfLine(text, 0);
    message.start = trimmed(text.substr(0, at));
    while (at < text.size() && !isBreak(text[at])) {
        size_t end = endOfLine(text, at);
        while (end < text.size() && isBlank(text[end]))
            end = endOfLine(text, end);
        HeaderText header{at, "", text.substr(at, end - at)};
        const size_t colon = header.text.find(':');
        if (colon != string::npos && isToken(trimmed(header.text.substr(0, colon))))
            header.name = nameOf(header.text);
        message.headers.push_back(header);
        at = end;
    }
    message.rest = text.substr(at);
    return message;
}

string valueOf(const HeaderText &header) {
    string value = trimmed(header.text.substr(header.text.find(':') + 1));
    std::replace_if(value.begin(), value.end(), isBreak, ' ');
    return value;
}

string headerLine(const string &name, const string &value) { return name + ": " + value + "\r\n"; }

std::vector<string> partsOf(const string &value, char separator) {
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

}  // namespace sipbridge
