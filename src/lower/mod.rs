//! `System` and lock → recipes: the graph of what has to be made.
