//! The real binary, from outside. One module for each group of requirements; a test's name begins with the row or
//! promise that it checks.
