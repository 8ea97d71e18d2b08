//! What becomes of a reservation while the server does not answer.

/// The rule of a meter while the server cannot be asked. It is another one than
/// [`OnOutage`](crate::OnOutage), which is about what may be used: of a limit, a grant that nobody has
/// counted may be one too many.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum UsageOutage {
    /// It is an error, [`Error::Unavailable`](crate::Error::Unavailable).
    #[default]
    Deny,
    /// It is granted, marked, and recorded under its key once the server is back, also beyond the limit.
    /// For monthly meters: of a level nothing can be recorded, and
    /// [`reconcile`](crate::Entitlements::reconcile) finds it.
    Allow,
}
