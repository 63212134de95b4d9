#include "sdp.hpp"

#include "sdp_text.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace sipbridge {

namespace {

// PJMEDIA refuses it; a new INVITE then gets 400.
const char NOT_SDP[] = "?\r\n";
// A payload type without a meaning (RFC 3551, table 4): PJMEDIA refuses a line that has it alone.
const char NO_FORMAT[] = "19";

// Bytes of rejected lines. Our answer must fit a message, too (65,535 bytes); PJSIP would send no response at all.
const size_t MOST_REJECTED = 60000;

/** The part of an m= line that matters here. */
struct Audio {
    std::string formats;     // of ours, each after a blank; empty if no codec is among them
    std::string attributes;  // without keys and direction
    std::string direction;
    std::string connection;
    std::vector<Crypto> keys;
    size_t keyLines = 0;

    bool isIp4() const { return connection.compare(0, 9, "c=IN IP4 ") == 0; }
    bool isIp6() const { return connection.compare(0, 9, "c=IN IP6 ") == 0; }
};

bool isPlain(const SdpMedia &media) { return isSame(media.protocol, "RTP/AVP") || isSame(media.protocol, "RTP/AVPF"); }
bool isSecure(const SdpMedia &media) {
    return isSame(media.protocol, "RTP/SAVP") || isSame(media.protocol, "RTP/SAVPF");
}

/** Formats of ours, the first of each name: PJMEDIA has room for a few. */
void readFormats(const SdpMedia &media, const std::string &codecs, Audio &audio) {
    const SdpRtpmaps rtpmaps(media.lines);
    std::string taken = " ", formats, maps;
    bool speaks = false;
    for (const std::string_view format : media.formats) {
        const std::string name = rtpmaps.nameOf(format);
        const bool isCodec = !name.empty() && (" " + codecs + " ").find(" " + name + " ") != std::string::npos;
        if ((!isCodec && name != "TELEPHONE-EVENT") || taken.find(" " + name + " ") != std::string::npos)
            continue;
        speaks = speaks || isCodec;
        taken += name + " ";
        formats.append(" ").append(format);
        if (const std::string_view map = rtpmaps.lineOf(format); !map.empty())
            maps.append(map).append("\r\n");
    }
    // DTMF digits alone are not audio.
    if (speaks) {
        audio.formats = formats;
        audio.attributes = maps;
    }
}

/** A c= line as PJMEDIA reads it, which knows `IN`, `IP4` and `IP6` in capitals and single blanks alone. */
std::string connectionLine(std::string_view line) {
    const SdpLines parts = words(line.substr(2));
    if (parts.size() < 3 || !isSame(parts[0], "IN"))
        return std::string(line) + "\r\n";
    std::string type(parts[1]);
    for (const char *known : {"IP4", "IP6"})
        if (isSame(type, known))
            type = known;
    return "c=IN " + type + " " + std::string(parts[2]) + "\r\n";
}

/**
 * The a=rtcp line for PJMEDIA, which rejects the audio for an address that it cannot use: a port, alone or with an address
 * of the audio's family (RFC 3605, 2.1). Another is ignored: RTCP then goes to the port above RTP's.
 */
std::string rtcpLine(std::string_view value, const Audio &audio) {
    const SdpLines parts = words(value);
    const int port = parts.empty() ? 0 : number(parts[0], 65535);
    if (port <= 0)
        return "";
    const std::string line = "a=rtcp:" + std::to_string(port);
    if (parts.size() == 1)
        return line + "\r\n";
    if (parts.size() != 4 || !isSame(parts[1], "IN"))
        return "";
    const std::string address(parts[3]);
    in6_addr read;
    if (audio.isIp4() && isSame(parts[2], "IP4") && inet_pton(AF_INET, address.c_str(), &read) == 1)
        return line + " IN IP4 " + address + "\r\n";
    if (audio.isIp6() && isSame(parts[2], "IP6") && inet_pton(AF_INET6, address.c_str(), &read) == 1)
        return line + " IN IP6 " + address + "\r\n";
    return "";
}

Audio readAudio(const SdpText &text, const SdpMedia &media, const std::string &codecs) {
    Audio audio;
    readFormats(media, codecs, audio);
    for (const char *name : {"ptime", "maxptime"})
        if (const std::string_view line = attributeLine(media.lines, name); !line.empty())
            audio.attributes.append(line).append("\r\n");
    std::string_view connection = firstLine(media.lines, 'c');
    if (connection.empty())
        connection = text.connection;
    if (!connection.empty())
        audio.connection = connectionLine(connection);
    if (const auto values = attributeValues(media.lines, "rtcp"); !values.empty())
        audio.attributes += rtcpLine(values[0], audio);
    audio.direction = directionOf(media.lines);
    if (audio.direction.empty())
        audio.direction = text.direction;
    const std::vector<std::string_view> keys = attributeValues(media.lines, "crypto");
    audio.keyLines = keys.size();
    audio.keys = servable(keys);
    return audio;
}

/** How well a line of an offer can be served, -1 if it cannot. */
int rank(const SdpMedia &media, const Audio &audio, int srtp) {
    if (!media.port || audio.formats.empty())
        return -1;
    if (isSecure(media))
        return srtp == SrtpDisabled || audio.keys.empty() ? -1 : 2;
    if (!isPlain(media) || srtp == SrtpMandatory)
        return -1;
    return srtp == SrtpOptional && !audio.keys.empty() ? 1 : 0;
}

/** The m= line as PJSIP is given it; the first of its keys is the far end's preference (RFC 4568, 5.1.2). */
std::string mediaText(const SdpMedia &media, const Audio &audio, unsigned port) {
    std::string text = "m=" + std::string(media.kind) + " " + std::to_string(port) + " " + std::string(media.protocol);
    text += audio.formats.empty() ? std::string(" ") + NO_FORMAT : audio.formats;
    text += "\r\n" + audio.attributes;
    return audio.keys.empty() ? text : text + audio.keys[0].line();
}

/** RFC 3264, 6: a rejected line repeats kind and protocol, and has a format, which is ignored. */
std::string rejected(const SdpMedia &media) {
    const std::string_view format = media.formats.empty() ? "0" : media.formats[0];
    return "m=" + std::string(media.kind) + " 0 " + std::string(media.protocol) + " " + std::string(format) + "\r\n";
}

/** The first lines for PJMEDIA, which uses nothing of o= and s= and rejects some that senders write. */
std::string head(const SdpText &text) {
    std::string lines;
    if (const std::string_view version = firstLine(text.session, 'v'); !version.empty())
        lines.append(version).append("\r\n");
    // Without an origin it is not a description.
    if (!firstLine(text.session, 'o').empty())
        lines += "o=- 0 0 IN IP4 0.0.0.0\r\n";
    return lines + "s=-\r\n";
}

std::string description(const SdpText &text, const std::string &connection, const std::string &media,
                        const std::string &direction) {
    return head(text) + connection + "t=0 0\r\n" + media + "a=" + (direction.empty() ? "sendrecv" : direction) + "\r\n";
}

/** The line of an offer that PJSIP is given. */
struct Choice {
    size_t index = 0;
    Audio audio;
    bool isServed = false;
};

/** Choose the line that is served best; if there is none, one for PJSIP to refuse: audio, if that can be, at a port. */
Choice choose(const SdpText &text, int srtp, const std::string &codecs, size_t current) {
    Choice choice;
    int best = -1;
    for (size_t index = 0; index < text.media.size(); ++index) {
        const SdpMedia &media = text.media[index], &chosen = text.media[choice.index];
        if (media.kind != "audio")
            continue;
        Audio audio = readAudio(text, media, codecs);
        const int security = rank(media, audio, srtp);
        const int value = security < 0 ? -1 : security * 4 + audio.isIp4() * 2 + (index == current);
        const bool refusedBetter = best < 0 && (chosen.kind != "audio" || (!chosen.port && media.port));
        if (value > best || refusedBetter)
            choice = Choice{index, std::move(audio), value >= 0};
        best = std::max(best, value);
    }
    if (!choice.isServed)
        choice.audio = readAudio(text, text.media[choice.index], codecs);
    return choice;
}

bool wantsFax(const SdpText &text) {
    return std::any_of(text.media.begin(), text.media.end(),
                       [](const SdpMedia &media) { return media.port && media.kind == "image"; });
}

}  // namespace

OfferAnswer::Lines OfferAnswer::around(const SdpText &text, size_t index) {
    Lines lines;
    lines.index = index;
    for (size_t each = 0; each < text.media.size(); ++each)
        if (each != index)
            (each < index ? lines.before : lines.after) += rejected(text.media[each]);
    return lines;
}

/** True if the far end has set the port of our audio to 0; not if a fax (T.38) takes its place: then the audio goes on. */
bool OfferAnswer::turnsOff(const SdpText &text) const {
    if (agreed_.audio.media.empty() || agreed_.index >= text.media.size() || wantsFax(text))
        return false;
    const SdpMedia &own = text.media[agreed_.index];
    return own.kind == "audio" && !own.port;
}

std::string OfferAnswer::readOffer(const std::string &sdp, int number) {
    const SdpText text(sdp);
    if (!text.isValid())
        return NOT_SDP;
    if (text.media.empty())
        return head(text) + "t=0 0\r\n";
    const Choice choice = choose(text, srtp_, codecs_, agreed_.index);
    offerNumber_ = number;
    const bool off = !choice.isServed && turnsOff(text);
    offered_ = around(text, off ? agreed_.index : choice.index);
    if (offered_.before.size() + offered_.after.size() > MOST_REJECTED)
        return NOT_SDP;
    if (off) {
        offered_.audio = agreed_.audio;
        offered_.off = true;
        return description(text, offered_.audio.connection, offered_.audio.media, "inactive");
    }
    const SdpMedia &media = text.media[choice.index];
    offered_.audio = Stream{choice.audio.connection, mediaText(media, choice.audio, media.port)};
    return description(text, offered_.audio.connection, offered_.audio.media, choice.audio.direction);
}

std::string OfferAnswer::readAnswer(const std::string &sdp) {
    const SdpText text(sdp);
    if (!text.isValid())
        return NOT_SDP;
    if (agreed_.index >= text.media.size() || text.media[agreed_.index].kind != "audio")
        return head(text) + "t=0 0\r\n";
    const SdpMedia &media = text.media[agreed_.index];
    // We have offered port 0 (RFC 3264, 8.2).
    if (agreed_.off)
        return description(text, agreed_.audio.connection, agreed_.audio.media, "inactive");
    Audio audio = readAudio(text, media, codecs_);
    // RFC 4568, 5.1.3: one line, for one that was offered. A far end that answers otherwise, and we, would not understand
    // each other.
    const bool keyFits =
        audio.keyLines == 1 && audio.keys.size() == 1 &&
        std::any_of(ours_.begin(), ours_.end(), [&](const Crypto &each) { return each.isFor(audio.keys[0]); });
    const bool mayBePlain = isPlain(media) && srtp_ != SrtpMandatory && audio.keyLines == 0;
    const bool usable = media.port && !audio.formats.empty() && (mayBePlain || (keyFits && srtp_ != SrtpDisabled));
    const std::string line = mediaText(media, audio, usable ? media.port : 0);
    if (usable)
        agreed_.audio = Stream{audio.connection, line};

    return description(text, audio.connection, line, audio.direction);
}

std::string OfferAnswer::writeAnswer(const std::string &sdp, int number) {
    if (number == offerNumber_) {
        agreed_ = std::move(offered_);
        offerNumber_ = -1;
    }
    return write(sdp);
}

std::string OfferAnswer::write(const std::string &sdp) {
    const SdpText text(sdp);
    if (!text.isValid() || text.media.size() != 1)
        return sdp;
    ours_ = servable(attributeValues(text.media[0].lines, "crypto"));
    std::string written;
    for (const std::string_view line : text.session)
        written.append(line).append("\r\n");
    written += agreed_.before;
    if (agreed_.off)
        written += rejected(text.media[0]);
    else {
        written.append(text.media[0].line).append("\r\n");
        for (const std::string_view line : text.media[0].lines)
            written.append(line).append("\r\n");
    }
    return withOwnVersion(written + agreed_.after);
}

/** RFC 3264, 8: the version grows by one if the description differs from the last, and else stays. */
std::string OfferAnswer::withOwnVersion(const std::string &sdp) {
    // o=<username> <sess-id> <sess-version> …
    const size_t origin = sdp.find("\no=") + 1;
    const size_t begin = sdp.find(' ', sdp.find(' ', origin) + 1) + 1, end = sdp.find(' ', begin);
    if (origin == 0 || begin == 0 || end == std::string::npos)
        return sdp;
    const std::string before = sdp.substr(0, begin), after = sdp.substr(end);
    const size_t now = std::hash<std::string>()(before + after);
    if (!version_)
        version_ = std::strtoull(sdp.c_str() + begin, nullptr, 10);
    else if (now != written_)
        ++version_;
    written_ = now;
    return before + std::to_string(version_) + after;
}

}  // namespace sipbridge
