"""The digital channels of CXone, each a `DigitalChannel`: the chat gateway, bring-your-own channels and patron chat."""
