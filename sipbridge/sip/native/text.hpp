/*
 * Text of messages and descriptions. Letters are those of ASCII, whatever the locale is.
 */
#ifndef SIPBRIDGE_TEXT_HPP
#define SIPBRIDGE_TEXT_HPP

#include <string>
#include <string_view>

namespace sipbridge {

/** True for a space or a tab. */
inline bool isBlank(char c) { return c == ' ' || c == '\t'; }
/** The text in lower case. */
std::string lower(std::string text);
/** The text without the blanks and line breaks at its ends. */
std::string trimmed(const std::string &text);
/** True if two texts differ at most in the case of their letters. */
bool isSame(std::string_view one, std::string_view other);

}  // namespace sipbridge

#endif
