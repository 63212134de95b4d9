#include "sdp.hpp"

#include "sdp_audio.hpp"
#include "sdp_text.hpp"
#include "text.hpp"

#include <algorithm>
#include <cstdlib>
#include <functional>

namespace sipbridge {

namespace {

// Text that PJMEDIA rejects; a new INVITE then gets 400.
const char NOT_SDP[] = "?\r\n";
// A reserved payload type (RFC 3551, table 4): PJMEDIA rejects a line without any other.
const char NO_FORMAT[] = "19";

// The limit of all rejected lines. Our answer must fit into a message of 65,535 bytes, or PJSIP would send no response.
const size_t MAX_REJECTED_BYTES = 60000;

bool isPlain(const SdpMedia &media) { return isSame(media.protocol, "RTP/AVP") || isSame(media.protocol, "RTP/AVPF"); }
bool isSecure(const SdpMedia &media) {
    return isSame(media.protocol, "RTP/SAVP") || isSame(media.protocol, "RTP/SAVPF");
}

/** The security of a line of an offer: 2 for SRTP, 1 for RTP with keys, 0 for RTP; -1 if it cannot be served. */
int rank(const SdpMedia &media, const SdpAudio &audio, int srtp) {
    if (!media.port || audio.formats.empty())
        return -1;
    if (isSecure(media))
        return srtp == SrtpDisabled || audio.keys.empty() ? -1 : 2;
    if (!isPlain(media) || srtp == SrtpMandatory)
        return -1;
    return srtp == SrtpOptional && !audio.keys.empty() ? 1 : 0;
}

/** The m= line for PJSIP, with the first of its keys, which the far end prefers (RFC 4568, 5.1.2). */
std::string mediaText(const SdpMedia &media, const SdpAudio &audio, unsigned port) {
    std::string text = "m=" + std::string(media.kind) + " " + std::to_string(port) + " " + std::string(media.protocol);
    text += audio.formats.empty() ? std::string(" ") + NO_FORMAT : audio.formats;
    text += "\r\n" + audio.attributes;
    return audio.keys.empty() ? text : text + audio.keys[0].line();
}

/** The rejection of a line: it repeats kind and protocol, and has a format, which is ignored (RFC 3264, 6). */
std::string rejected(const SdpMedia &media) {
    const std::string_view format = media.formats.empty() ? "0" : media.formats[0];
    return "m=" + std::string(media.kind) + " 0 " + std::string(media.protocol) + " " + std::string(format) + "\r\n";
}

/** The first lines for PJMEDIA, which does not use o= and s= and rejects some valid ones. */
std::string head(const SdpText &text) {
    std::string lines;
    if (const std::string_view version = firstLine(text.session, 'v'); !version.empty())
        lines.append(version).append("\r\n");
    // Without an o= line, PJMEDIA rejects the description.
    if (!firstLine(text.session, 'o').empty())
        lines += "o=- 0 0 IN IP4 0.0.0.0\r\n";
    return lines + "s=-\r\n";
}

std::string description(const SdpText &text, const std::string &connection, const std::string &media,
                        const std::string &direction) {
    return head(text) + connection + "t=0 0\r\n" + media + "a=" + (direction.empty() ? "sendrecv" : direction) + "\r\n";
}

/** The line of an offer that PJSIP gets. */
struct Choice {
    size_t index = 0;
    SdpAudio audio;
    bool isServed = false;
};

/**
 * Choose the line with the best service; if none can be served, one for PJSIP to reject, preferably audio with a port.
 */
Choice choose(const SdpText &text, int srtp, const std::string &codecs, size_t current) {
    Choice choice;
    int best = -1;
    for (size_t index = 0; index < text.media.size(); ++index) {
        const SdpMedia &media = text.media[index], &chosen = text.media[choice.index];
        if (media.kind != "audio")
            continue;
        SdpAudio audio = readAudio(text, media, codecs);
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

/** True if the far end has set the port of our audio to 0; false if a fax (T.38) replaces it, which is rejected. */
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
    if (offered_.before.size() + offered_.after.size() > MAX_REJECTED_BYTES)
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
    // Our offer had port 0 (RFC 3264, 8.2).
    if (agreed_.off)
        return description(text, agreed_.audio.connection, agreed_.audio.media, "inactive");
    SdpAudio audio = readAudio(text, media, codecs_);
    // An answer has one key line, for one that was offered (RFC 4568, 5.1.3). With another, neither side could decrypt.
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

/** Set the version, which grows by one if the description differs from the last one (RFC 3264, 8). */
std::string OfferAnswer::withOwnVersion(const std::string &sdp) {
    // The form is o=<username> <sess-id> <sess-version> …
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
