//! The program as a user meets it.

mod place;
mod refusals;
mod runs;
