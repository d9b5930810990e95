//! The doors: translation and limits, no decisions.

pub mod translate;
