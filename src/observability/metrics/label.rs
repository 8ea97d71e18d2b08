//! Labels: words that are all known before anything is counted.

use std::fmt;

/// A label, each of whose words has a counter from the start.
pub(crate) trait MetricLabel: Copy + fmt::Debug + Send + Sync + 'static {
    /// All of them, in the order of their numbers.
    const ALL: &'static [Self];

    /// Its place among all.
    fn number(self) -> usize;

    /// What the metrics call it.
    fn word(self) -> &'static str;
}

/// Makes an enum a label: its variants, each with its word.
macro_rules! label {
    ($(#[$about:meta])* $visible:vis enum $name:ident { $($(#[$each:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        $visible enum $name {
            $($(#[$each])* $variant,)+
        }

        impl $crate::observability::metrics::MetricLabel for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn number(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}
pub(crate) use label;
