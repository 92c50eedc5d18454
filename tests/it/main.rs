//! Integration tests: the built program and the library, used as a user uses them.
