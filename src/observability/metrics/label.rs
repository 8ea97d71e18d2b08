//! Labels whose values are all known in advance.

use std::fmt;

/// A label that has a counter for each of its values from the start.
pub(crate) trait MetricLabel: Copy + fmt::Debug + Send + Sync + 'static {
    /// All values, in the order of their numbers.
    const ALL: &'static [Self];

    /// The position of this value in [`Self::ALL`].
    fn number(self) -> usize;

    /// The value's name in the metrics.
    fn word(self) -> &'static str;
}

/// Makes an enum a label: its variants, each with its name in the metrics.
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
