//! Every bound of a policy document, with its unit and its reason.

/// Characters of a policy without its blanks. Documented as 6,144.
pub const MAX_CHARACTERS: usize = 6_144;

/// Bytes of a policy with its blanks. Blanks are free of charge by the documented limit, but not without end: indented by a tool, a full policy has
/// some 20 KB.
pub const MAX_BYTES: usize = 64 * 1024;

/// Objects and lists within each other. A policy needs six: policy, list of statements, statement, condition, operator, list of values.
pub const MAX_DEPTH: usize = 8;

/// Characters of a policy's text that a message repeats.
pub const MAX_SHOWN: usize = 96;
