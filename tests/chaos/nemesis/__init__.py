"""The crash test of the whole: real processes, real connections, and somebody who kills them."""
