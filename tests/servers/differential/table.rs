//! The one table of differences.

use super::call::Call;
use super::case::Case;
use crate::server::Kind;

/// Who is right according to AWS's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    Fake,
    Server,
    /// The documentation leaves it open.
    Either,
}

pub(crate) struct Known {
    pub(crate) server: Kind,
    pub(crate) operation: &'static str,
    pub(crate) field: &'static str,
    pub(crate) situation: &'static str,
    pub(crate) server_says: &'static str,
    pub(crate) fake_says: &'static str,
    pub(crate) right: Right,
    pub(crate) rule: &'static str,
    pub(crate) when: fn(&Case<'_>) -> bool,
}

pub(crate) const KNOWN: &[Known] = &[];

pub(crate) fn find(server: Kind, case: &Case<'_>) -> Option<&'static Known> {
    KNOWN.iter().find(|known| {
        known.server == server
            && known.operation == case.call.operation()
            && known.field == case.difference.field
            && (known.when)(case)
    })
}

pub(crate) fn is_not_asked(server: Kind, call: &Call) -> bool {
    use super::call::{List, Token};
    server == Kind::Kinesalite
        && matches!(call, Call::ListShards(List { token: Some(Token::Garbage | Token::Empty), .. }))
}
