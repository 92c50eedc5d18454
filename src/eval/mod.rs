//! Checked values and templates → `System`, what the machine shall be.
