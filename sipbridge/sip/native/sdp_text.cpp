#include "sdp_text.hpp"

#include <algorithm>
#include <cctype>

namespace sipbridge {

namespace {

const size_t SHORT_LINE = 256;

bool isVisible(char c) { return c > 0x20 && c < 0x7f; }

/** The value of `a=NAME:VALUE`, empty for `a=NAME`; a view with null data if the line has another attribute. */
std::string_view valueOf(std::string_view line, std::string_view name) {
    if (line.substr(0, 2) != "a=" || line.substr(2, name.size()) != name)
        return {};
    const std::string_view rest = line.substr(2 + name.size());
    if (rest.empty())
        return rest;
    return rest[0] == ':' ? rest.substr(1) : std::string_view();
}

/** Read an m= line: `<kind> <port>[/<count>] <protocol> <format>…`. */
bool readMedia(std::string_view line, SdpMedia &media) {
    const SdpLines parts = words(line.substr(2));
    if (parts.size() < 3)
        return false;
    for (const std::string_view part : parts)
        if (!std::all_of(part.begin(), part.end(), isVisible))
            return false;
    const size_t slash = std::min(parts[1].find('/'), parts[1].size());
    const int port = number(parts[1].substr(0, slash), 65535);
    if (port < 0 || (port > 0 && parts.size() < 4))
        return false;
    media.line = line;
    media.kind = parts[0];
    media.port = static_cast<unsigned>(port);
    media.protocol = parts[2];
    media.formats.assign(parts.begin() + 3, parts.end());
    return true;
}

}  // namespace

SdpText::SdpText(std::string_view sdp) {
    const char *ends = "\r\n";
    size_t begin = std::min(sdp.find_first_not_of(ends), sdp.size());
    while (valid_ && begin < sdp.size()) {
        const size_t end = std::min(sdp.find_first_of(ends, begin), sdp.size());
        const std::string_view line = sdp.substr(begin, end - begin);
        // Empty lines are valid only at the end.
        valid_ = line.empty() ? sdp.find_first_not_of(ends, begin) == std::string_view::npos : add(line);
        begin = std::min(end + (sdp.substr(end, 2) == ends ? 2 : 1), sdp.size());
    }
    connection = firstLine(session, 'c');
    direction = directionOf(session);
}

bool SdpText::add(std::string_view line) {
    if (line.size() < 2 || line[0] < 'a' || line[0] > 'z' || line[1] != '=' ||
        line.find('\0') != std::string_view::npos)
        return false;
    // Blanks at the end of a line have no meaning, except in s=, which may be a single blank.
    if (line[0] != 's')
        line = line.substr(0, line.find_last_not_of(" \t") + 1);
    if (line[0] != 'm') {
        (media.empty() ? session : media.back().lines).push_back(line);
        return true;
    }
    media.emplace_back();
    return readMedia(line, media.back());
}

SdpRtpmaps::SdpRtpmaps(const SdpLines &lines) {
    for (const std::string_view line : lines) {
        const std::string_view value = valueOf(line, "rtpmap");
        const int format = number(value.substr(0, std::min(value.find_first_of(" \t"), value.size())), 127);
        if (format >= 0 && line.size() <= SHORT_LINE && lines_[format].empty())
            lines_[format] = line;
    }
}

std::string SdpRtpmaps::nameOf(std::string_view format) const {
    const int type = number(format, 127);
    if (type < 0)
        return "";
    // Static payload types (RFC 3551, table 4). PJMEDIA reads those by their number alone.
    std::string fixed = type == 0 ? "PCMU" : type == 8 ? "PCMA" : type == 9 ? "G722" : "";
    const std::string_view line = lines_[type];
    if (type < 96 && (fixed.empty() || line.empty()))
        return fixed;
    const SdpLines parts = words(valueOf(line, "rtpmap"));
    std::string name = parts.size() == 2 ? std::string(parts[1]) : "";
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    for (const std::string_view clock : {"/8000", "/8000/1"})
        if (name.size() > clock.size() && name.compare(name.size() - clock.size(), clock.size(), clock) == 0) {
            name.resize(name.size() - clock.size());
            return type >= 96 || name == fixed ? name : "";
        }
    return "";
}

std::string_view SdpRtpmaps::lineOf(std::string_view format) const {
    const int type = number(format, 127);
    return type < 0 ? std::string_view() : lines_[type];
}

SdpLines words(std::string_view text) {
    SdpLines found;
    size_t begin = 0;
    while ((begin = text.find_first_not_of(" \t", begin)) != std::string_view::npos) {
        const size_t end = std::min(text.find_first_of(" \t", begin), text.size());
        found.push_back(text.substr(begin, end - begin));
        begin = end;
    }
    return found;
}

int number(std::string_view digits, int most) {
    if (digits.empty() || digits.size() > 5 || digits.find_first_not_of("0123456789") != std::string_view::npos)
        return -1;
    const int value = std::stoi(std::string(digits));
    return value <= most ? value : -1;
}

std::string_view firstLine(const SdpLines &lines, char kind) {
    for (const std::string_view line : lines)
        if (line[0] == kind)
            return line;
    return {};
}

std::string_view attributeLine(const SdpLines &lines, const char *name) {
    for (const std::string_view line : lines)
        if (line.size() <= SHORT_LINE && valueOf(line, name).data())
            return line;
    return {};
}

std::vector<std::string_view> attributeValues(const SdpLines &lines, const char *name) {
    std::vector<std::string_view> values;
    for (const std::string_view line : lines)
        if (const std::string_view value = valueOf(line, name); value.data())
            values.push_back(value);
    return values;
}

std::string directionOf(const SdpLines &lines) {
    bool any = false, sends = true, receives = true;
    for (const std::string_view line : lines) {
        const std::string_view name = line.substr(0, 2) == "a=" ? line.substr(2) : "";
        const bool inactive = name == "inactive";
        if (name != "sendrecv" && name != "sendonly" && name != "recvonly" && !inactive)
            continue;
        any = true;
        sends = sends && !inactive && name != "recvonly";
        receives = receives && !inactive && name != "sendonly";
    }
    if (!any)
        return "";
    return sends ? receives ? "sendrecv" : "sendonly" : receives ? "recvonly" : "inactive";
}

}  // namespace sipbridge
