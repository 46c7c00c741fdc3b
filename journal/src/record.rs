//! One line of a journal (being written).
