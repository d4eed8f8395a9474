"""Tables of known programs: which options take values, which ones leave the program's usual purpose."""
