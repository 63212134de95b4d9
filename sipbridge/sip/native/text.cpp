#include "text.hpp"

#include <algorithm>

namespace sipbridge {

namespace {

char lowerOf(char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c); }

}  // namespace

std::string lower(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), lowerOf);
    return text;
}

std::string trimmed(const std::string &text) {
    const char *const ends = " \t\r\n";
    const size_t begin = text.find_first_not_of(ends);
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(ends) - begin + 1);
}

bool isSame(std::string_view one, std::string_view other) {
    return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                      [](char a, char b) { return lowerOf(a) == lowerOf(b); });
}

}  // namespace sipbridge
