//! Counts and dates, in the forms that languages have for them.

/// The forms of a count (Unicode's plural categories).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluralCategory {
    /// 0, where a language has a form for it.
    Zero,
    /// 1, and what is treated like it.
    One,
    /// 2, where a language has a form for it.
    Two,
    /// A few.
    Few,
    /// Many.
    Many,
    /// All others.
    Other,
}

/// A sentence with `{count}`, in each form of its language. An empty form is the same as `other`.
#[derive(Debug, Clone, Copy)]
pub struct Plural {
    /// [`PluralCategory::Zero`]
    pub zero: &'static str,
    /// [`PluralCategory::One`]
    pub one: &'static str,
    /// [`PluralCategory::Two`]
    pub two: &'static str,
    /// [`PluralCategory::Few`]
    pub few: &'static str,
    /// [`PluralCategory::Many`]
    pub many: &'static str,
    /// [`PluralCategory::Other`]
    pub other: &'static str,
}

impl Plural {
    /// One form for all counts.
    pub(super) const fn same(other: &'static str) -> Self {
        Self { zero: "", one: "", two: "", few: "", many: "", other }
    }

    /// One form for 1, another for all others.
    pub(super) const fn one(one: &'static str, other: &'static str) -> Self {
        Self { one, ..Self::same(other) }
    }

    /// The sentence for `count`, which has the form `category`.
    pub fn of(&self, category: PluralCategory, count: u64) -> String {
        let form = match category {
            PluralCategory::Zero => self.zero,
            PluralCategory::One => self.one,
            PluralCategory::Two => self.two,
            PluralCategory::Few => self.few,
            PluralCategory::Many => self.many,
            PluralCategory::Other => self.other,
        };
        super::fill(if form.is_empty() { self.other } else { form }, "count", &count.to_string())
    }
}

/// Japanese: one form.
pub(super) fn no_plural(_: u64) -> PluralCategory {
    PluralCategory::Other
}

/// English, German and Spanish: 1, and all others.
pub(super) fn one_or_other(count: u64) -> PluralCategory {
    if count == 1 { PluralCategory::One } else { PluralCategory::Other }
}

/// French: 0 and 1, and all others.
pub(super) fn zero_and_one_or_other(count: u64) -> PluralCategory {
    if count <= 1 { PluralCategory::One } else { PluralCategory::Other }
}

/// Arabic: all six.
pub(super) fn arabic_plural(count: u64) -> PluralCategory {
    match (count, count % 100) {
        (0, _) => PluralCategory::Zero,
        (1, _) => PluralCategory::One,
        (2, _) => PluralCategory::Two,
        (_, 3..=10) => PluralCategory::Few,
        (_, 11..=99) => PluralCategory::Many,
        _ => PluralCategory::Other,
    }
}

/// A day of the Gregorian calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CivilDate {
    /// The year.
    pub year: i32,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl CivilDate {
    /// The month's name among the twelve of a language.
    pub(super) fn month_of(self, months: &[&'static str; 12]) -> &'static str {
        months.get(usize::from(self.month.saturating_sub(1))).copied().unwrap_or_default()
    }
}
