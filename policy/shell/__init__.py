"""The grammar of a POSIX shell and bash: text to a tree, and words to what they become. Pure."""
