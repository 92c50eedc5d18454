//! Host files and module schemas: text with places → checked values.
