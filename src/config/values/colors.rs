//! The colours of the pages, and whether people can tell them apart (WCAG 2.2 §§1.4.3 and 1.4.11).

use std::fmt::Write;

use crate::config::diagnostic::{Mistake, shown};
use crate::config::key::{KeyShape, RawValue, Report};
use crate::config::spec::KeySpec;

/// The colours of both schemes, if any of them is the operator's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PageColors(Option<[Scheme; 2]>);

/// sRGB, each channel from 0 to 255.
type Rgb = [f64; 3];

/// The colours that an operator may choose; the others follow from them.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Scheme {
    ground: Rgb,
    card: Rgb,
    ink: Rgb,
    accent: Rgb,
}

/// Ours, as the style sheet has them.
const LIGHT: Scheme = Scheme {
    ground: [238.0, 241.0, 246.0],
    card: [255.0, 255.0, 255.0],
    ink: [27.0, 36.0, 48.0],
    accent: [36.0, 87.0, 214.0],
};
const DARK: Scheme = Scheme {
    ground: [18.0, 22.0, 29.0],
    card: [27.0, 33.0, 43.0],
    ink: [232.0, 237.0, 245.0],
    accent: [122.0, 162.0, 255.0],
};

/// Text: WCAG 2.2 §1.4.3.
const TEXT: f64 = 4.5;
/// Borders and marks: WCAG 2.2 §1.4.11.
const SHAPE: f64 = 3.0;

impl PageColors {
    /// The rules of a style sheet that comes after ours. Empty without colours of one's own.
    pub fn stylesheet(&self) -> String {
        let Some([light, dark]) = &self.0 else { return String::new() };
        format!(":root {{{}}}\n@media (prefers-color-scheme: dark) {{ :root {{{}}} }}\n", light.css(), dark.css())
    }
}

impl Scheme {
    /// Text that is less important.
    fn soft(self) -> Rgb {
        mix(self.ink, self.card, 0.72)
    }

    /// The border of what is typed into.
    fn field(self) -> Rgb {
        mix(self.ink, self.card, 0.55)
    }

    /// Text on a button.
    fn accent_ink(self) -> Rgb {
        let (white, black) = ([255.0; 3], [13.0, 20.0, 32.0]);
        if contrast(white, self.accent) >= contrast(black, self.accent) { white } else { black }
    }

    fn css(self) -> String {
        let Self { ground, card, ink, accent } = self;
        let colors = [
            ("ground", ground),
            ("card", card),
            ("ink", ink),
            ("soft", self.soft()),
            ("line", mix(ink, card, 0.15)),
            ("field", self.field()),
            ("accent", accent),
            ("accent-ink", self.accent_ink()),
        ];
        let mut css = String::new();
        for (name, [r, g, b]) in colors {
            let _ = write!(css, " --{name}: #{:02x}{:02x}{:02x};", channel(r), channel(g), channel(b));
        }
        css
    }

    /// The pairs that people have to tell apart, and how far they are from that.
    fn faults(self) -> impl Iterator<Item = (&'static str, &'static str, f64, f64)> {
        let Self { ground, card, ink, accent } = self;
        [
            ("ink", "card", contrast(ink, card), TEXT),
            ("ink", "ground", contrast(ink, ground), TEXT),
            ("ink, softened,", "card", contrast(self.soft(), card), TEXT),
            ("ink, softened,", "ground", contrast(self.soft(), ground), TEXT),
            ("ink, as a border,", "card", contrast(self.field(), card), SHAPE),
            ("accent", "card", contrast(accent, card), TEXT),
            ("accent", "ground", contrast(accent, ground), TEXT),
        ]
        .into_iter()
        .filter(|(.., ratio, least)| ratio < least)
    }
}

/// A list of colours. They are judged together, when each of them is right.
pub(in crate::config) fn page_colors<'a>() -> KeySpec<'a, PageColors> {
    KeySpec::new(KeyShape::List, |raw, report: &mut Report<'_>| {
        let RawValue::List(items) = raw else { return None };
        if items.is_empty() {
            return Some(PageColors(None));
        }
        let mut schemes = [LIGHT, DARK];
        // All are read before the first wrong one decides.
        let read: Vec<_> = items.iter().map(|item| report.judge(set(&mut schemes, item))).collect();
        read.into_iter().collect::<Option<Vec<()>>>()?;
        let mut clear = true;
        for (scheme, name) in schemes.iter().zip(["light", "dark"]) {
            for (of, on, ratio, least) in scheme.faults() {
                clear = false;
                report.judge::<()>(Err(Mistake::new(
                    format!("In the {name} scheme, {of} stands out from {on} by {ratio:.2} : 1 only, which many cannot see."),
                    format!("Choose colours that differ by {least} : 1 at least, one for each scheme: `accent=#2457d6/#7aa2ff`."),
                )));
            }
        }
        clear.then_some(PageColors(Some(schemes)))
    })
}

fn set(schemes: &mut [Scheme; 2], item: &str) -> Result<(), Mistake> {
    let refused = || {
        Mistake::new(
            format!("{} is not a name and its colours.", shown(item)),
            "Write `accent`, `card`, `ground` or `ink`, and a colour for light and for dark: `accent=#2457d6/#7aa2ff`.",
        )
    };
    let (name, colors) = item.split_once('=').ok_or_else(refused)?;
    let (light, dark) = colors.split_once('/').unwrap_or((colors, colors));
    for (scheme, color) in schemes.iter_mut().zip([light, dark]) {
        let place = match name.trim() {
            "accent" => &mut scheme.accent,
            "card" => &mut scheme.card,
            "ground" => &mut scheme.ground,
            "ink" => &mut scheme.ink,
            _ => return Err(refused()),
        };
        *place = rgb(color.trim()).ok_or_else(refused)?;
    }
    Ok(())
}

/// `#2457d6`
fn rgb(text: &str) -> Option<Rgb> {
    let hex = text.strip_prefix('#').filter(|hex| hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let value = u32::from_str_radix(hex, 16).ok()?;
    let [_, r, g, b] = value.to_be_bytes();
    Some([r, g, b].map(f64::from))
}

fn mix(a: Rgb, b: Rgb, part: f64) -> Rgb {
    std::array::from_fn(|i| a[i] * part + b[i] * (1.0 - part))
}

/// A channel lies within 0 and 255.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a channel lies within 0 and 255")]
fn channel(value: f64) -> u8 {
    value.round() as u8
}

/// WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(a: Rgb, b: Rgb) -> f64 {
    let luminance = |color: Rgb| {
        let linear = |c: f64| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
        let [r, g, b] = color.map(|c| linear(c / 255.0));
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_colours_can_be_told_apart_also_those_that_follow() {
        for scheme in [LIGHT, DARK] {
            assert_eq!(scheme.faults().collect::<Vec<_>>(), []);
            assert!(contrast(scheme.accent_ink(), scheme.accent) >= TEXT);
        }
    }

    #[test]
    fn ours_are_those_of_the_style_sheet() {
        let sheet = include_str!("../../web/pages/style.css");
        for (name, light, dark) in [
            ("ground", LIGHT.ground, DARK.ground),
            ("card", LIGHT.card, DARK.card),
            ("ink", LIGHT.ink, DARK.ink),
            ("accent", LIGHT.accent, DARK.accent),
        ] {
            let said: Vec<_> =
                sheet.lines().filter_map(|line| line.trim().strip_prefix(&format!("--{name}: "))).collect();
            let said: Vec<_> = said.iter().filter_map(|value| rgb(value.trim_end_matches(';'))).collect();
            assert_eq!(said, [light, dark], "{name}");
        }
    }
}
