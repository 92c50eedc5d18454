//! Problems with their place in the user's text: file, line, column, reason, what to write instead.
