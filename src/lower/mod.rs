//! `System` and lock → recipes: the graph of what has to be made.

pub mod about;
pub mod accounts;
pub mod base;
pub mod compose;
pub mod graph;
pub mod modules;
pub mod recipe;
pub mod sources;
pub mod tools;
pub mod why;
