//! Money: never a float.

use std::{fmt, iter::Sum};

/// An amount in the catalogue's currency, exact to its hundredth. The ERP's columns are
/// `numeric(10,2)`.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Money {
    hundredths: i64,
}

impl Money {
    /// Parses a decimal number, `9999`, `9999.5` or `9999.00`; `None` if it is not one, or finer
    /// than a hundredth.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |digits| (-1, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        // Trailing zeros of a wider column mean nothing.
        let fraction_kept = fraction.trim_end_matches('0');
        if !all_digits(whole) || !all_digits(fraction) || fraction_kept.len() > 2 {
            return None;
        }
        let hundredths = format!("{whole}{fraction_kept:0<2}").parse::<i64>().ok()?;
        Some(Self { hundredths: sign * hundredths })
    }
}

impl Money {
    /// The amount in hundredths.
    pub fn hundredths(self) -> i64 {
        self.hundredths
    }

    /// Can it be a price: not negative, and with at most ten digits, as a `numeric(10,2)` holds?
    pub fn is_price(self) -> bool {
        (0..10_000_000_000).contains(&self.hundredths)
    }
}

impl Sum for Money {
    /// Saturates: a sum that exceeds 64 bits is the largest amount.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        let hundredths = amounts.fold(0_i64, |sum, amount| sum.saturating_add(amount.hundredths));
        Self { hundredths }
    }
}

impl fmt::Display for Money {
    /// With two decimals: `9999.00`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.hundredths < 0 { "-" } else { "" };
        let amount = self.hundredths.unsigned_abs();
        write!(f, "{sign}{}.{:02}", amount / 100, amount % 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_read_to_the_hundredth() {
        for (text, shown) in [
            ("9999", "9999.00"),
            ("9999.5", "9999.50"),
            ("0.07", "0.07"),
            ("-0.30", "-0.30"),
            ("12.340000", "12.34"),
            ("99999999.99", "99999999.99"),
        ] {
            assert_eq!(
                Money::parse(text).map(|money| money.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for bad in
            ["", "-", ".5", "1.", "NaN", "1e3", "1.005", "+1", " 1", "1,5", "99999999999999999999"]
        {
            assert_eq!(Money::parse(bad), None, "{bad:?}");
        }
    }
}
