//! What the image, the boot loader and `nexus-init` agree on: partition names and kernel arguments.
//!
//! Built without the `builder` feature too, for the program in the initrd.
