//! Durations as Go writes them: `300ms`, `1.5h`, `2h45m`; `0` needs no unit.

use std::time::Duration;

/// Units and their nanoseconds; longer names before those they begin with.
const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
];

/// Reads a duration; `None` if it is not one, is negative, or does not fit.
pub fn parse(text: &str) -> Option<Duration> {
    let mut left = text.strip_prefix('+').unwrap_or(text);
    if left == "0" {
        return Some(Duration::ZERO);
    }
    if left.is_empty() {
        return None;
    }
    let mut nanoseconds: u64 = 0;
    while !left.is_empty() {
        let digits = left.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(left.len());
        let (number, rest) = left.split_at(digits);
        let (name, unit) = UNITS.into_iter().find(|(name, _)| rest.starts_with(name))?;
        nanoseconds = nanoseconds.checked_add(scaled(number, unit)?)?;
        left = &rest[name.len()..];
    }
    Some(Duration::from_nanos(nanoseconds))
}

/// A decimal number times `unit`, rounded down.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut rest = 0;
    let mut worth = unit;
    for digit in part.chars() {
        worth /= 10;
        rest += worth * u64::from(digit.to_digit(10)?);
    }
    whole.checked_mul(unit)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        let cases = [
            ("0", 0),
            ("10m", 600_000),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("1.5s", 1_500),
            ("300ms", 300),
            (".5s", 500),
            ("2000us", 2),
            ("2000µs", 2),
        ];
        for (text, milliseconds) in cases {
            assert_eq!(parse(text), Some(Duration::from_millis(milliseconds)), "{text}");
        }
        for bad in ["", "5", "s", "-5s", "5x", "1.2.3s", ".s", "5s ", "99999999999h"] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
