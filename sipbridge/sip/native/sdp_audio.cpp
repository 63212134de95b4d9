#include "sdp_audio.hpp"

#include "text.hpp"

#include <arpa/inet.h>

namespace sipbridge {

namespace {

/** Read the formats that are served, the first of each name, since PJMEDIA has space for a few. */
void readFormats(const SdpMedia &media, const std::string &codecs, SdpAudio &audio) {
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

/** A c= line in the form that PJMEDIA reads: `IN`, `IP4` and `IP6` in capitals, and single blanks. */
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
 * The a=rtcp line for PJMEDIA: a port, alone or with an address of the audio's family (RFC 3605, 2.1). PJMEDIA rejects
 * the audio for any other line, so that is left out, and RTCP goes to the port above RTP's.
 */
std::string rtcpLine(std::string_view value, const SdpAudio &audio) {
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

}  // namespace

SdpAudio readAudio(const SdpText &text, const SdpMedia &media, const std::string &codecs) {
    SdpAudio audio;
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

}  // namespace sipbridge
