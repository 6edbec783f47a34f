//! What people have to see of a page stands out from what is beside it (WCAG 2.2 §§1.4.3 and 1.4.11), in light and in
//! dark: computed from the colours that the style sheets say.

use std::collections::HashMap;
use std::path::Path;

/// A style sheet, what is to be seen in it, and on which ground: by selector and property, or by a colour's name.
struct Sheet {
    file: &'static str,
    /// Text: 4.5 : 1.
    text: &'static [(&'static str, &'static str)],
    /// Borders of what is typed into or pressed, and marks: 3 : 1.
    shapes: &'static [(&'static str, &'static str)],
    /// Selectors with an `outline`, each against these grounds: 3 : 1.
    grounds: &'static [&'static str],
}

const SHEETS: [Sheet; 4] = [
    Sheet {
        file: "deploy/nginx/auth-api-outage.html",
        text: &[("var(--ink)", "var(--card)"), ("var(--soft)", "var(--card)"), ("var(--accent-ink)", "var(--accent)")],
        shapes: &[(".button border", "var(--card)"), (".mark color", "var(--card)")],
        grounds: &["var(--card)", "var(--ground)"],
    },
    Sheet {
        file: "src/web/pages/style.css",
        text: &[
            ("var(--ink)", "var(--card)"),
            ("var(--soft)", "var(--card)"),
            ("var(--soft)", "var(--ground)"),
            ("var(--ink)", "var(--ground)"),
            ("var(--accent-ink)", "var(--accent)"),
            ("var(--accent)", "var(--card)"),
            ("var(--good)", "var(--card)"),
            ("var(--bad)", "var(--card)"),
        ],
        shapes: &[
            (".button border", "var(--card)"),
            (".button.danger border-color", "var(--card)"),
            (".choice input border", "var(--card)"),
            (".field input border", "var(--card)"),
            (".notice border", "var(--card)"),
        ],
        grounds: &["var(--card)", "var(--ground)"],
    },
    Sheet {
        file: "src/dev/pool/pages/pool.css",
        text: &[
            ("var(--ink)", "var(--paper)"),
            ("var(--soft)", "var(--paper)"),
            ("var(--soft)", "var(--ground)"),
            ("var(--bad)", "var(--bad-ground)"),
            (".links a color", "var(--paper)"),
            (".secret a color", "var(--paper)"),
            (".primary color", ".primary background"),
        ],
        shapes: &[
            (".fields input[type=\"text\"] border", "var(--paper)"),
            (".fields input[type=\"email\"] border", "var(--paper)"),
            (".notice border", "var(--paper)"),
            (".provider, .choice border", "var(--paper)"),
            (".primary background", "var(--paper)"),
        ],
        grounds: &["var(--paper)", "var(--ground)"],
    },
    Sheet {
        file: "src/dev/cms/pages/site.css",
        text: &[
            ("var(--ink)", "var(--ground)"),
            ("var(--soft)", "var(--ground)"),
            ("var(--soft)", "var(--paper)"),
            ("var(--accent)", "var(--ground)"),
            ("var(--accent)", "var(--tint)"),
            ("var(--on-accent)", "var(--accent)"),
        ],
        shapes: &[(".button border", "var(--paper)"), (".button border", "var(--ground)")],
        grounds: &["var(--paper)", "var(--ground)"],
    },
];

type Rules = Vec<(String, HashMap<String, String>)>;

/// Every rule with its declarations: those that always hold, and those of the dark scheme.
fn rules(css: &str) -> (Rules, Rules) {
    let (mut light, mut dark, mut other, mut rest, mut media) = (Vec::new(), Vec::new(), Vec::new(), css, "");
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = (rest[..at].trim(), &rest[at + 1..]);
        if rest.as_bytes()[at] == b'}' {
            (media, rest) = ("", after);
        } else if before.starts_with("@media") {
            (media, rest) = (before, after);
        } else {
            let (body, next) = after.split_once('}').unwrap();
            let pairs = body.split(';').filter_map(|line| line.split_once(':'));
            let pairs = pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect();
            let selector = before.split_whitespace().collect::<Vec<_>>().join(" ");
            let rules = match media {
                "" => &mut light,
                "@media (prefers-color-scheme: dark)" => &mut dark,
                _ => &mut other,
            };
            rules.push((selector, pairs));
            rest = next;
        }
    }
    (light, dark)
}

/// A sheet in one of the two schemes.
struct Scheme {
    rules: Rules,
    colors: HashMap<String, String>,
}

impl Scheme {
    fn both(css: &str) -> [Self; 2] {
        let (light, dark) = rules(css);
        let root = |rules: &Rules| rules.iter().find(|(s, _)| s == ":root").map(|(_, p)| p.clone()).unwrap_or_default();
        let colors = root(&light);
        let mut night = colors.clone();
        night.extend(root(&dark));
        let all: Rules = light.iter().chain(&dark).cloned().collect();
        [Self { rules: light, colors }, Self { rules: all, colors: night }]
    }

    /// What the last rule for `selector` that says it says.
    fn says(&self, selector: &str, property: &str) -> Option<&str> {
        let fits = |rule: &&(String, HashMap<String, String>)| {
            rule.0.split(',').any(|one| one.trim() == selector) || rule.0 == selector
        };
        let shorthand = property.split('-').next().unwrap_or(property);
        let found =
            self.rules.iter().rev().filter(fits).find_map(|(_, pairs)| pairs.get(property).or(pairs.get(shorthand)));
        found.map(String::as_str)
    }

    /// A colour over `ground`.
    fn color(&self, said: &str, ground: [f64; 3]) -> [f64; 3] {
        let said = said.trim();
        if let Some(name) = said.strip_prefix("var(").and_then(|rest| rest.strip_suffix(')')) {
            let value = self.colors.get(name.trim()).unwrap_or_else(|| panic!("{name} is not said in :root"));
            return self.color(value, ground);
        }
        if let Some(mix) = said.strip_prefix("color-mix(in srgb,").and_then(|rest| rest.strip_suffix(')')) {
            let (first, second) = mix.rsplit_once(',').unwrap();
            let (first, part) = first.trim().rsplit_once(' ').unwrap();
            let part: f64 = part.trim_end_matches('%').parse::<f64>().unwrap() / 100.0;
            let second = if second.trim() == "transparent" { ground } else { self.color(second, ground) };
            let first = self.color(first, ground);
            return std::array::from_fn(|i| first[i] * part + second[i] * (1.0 - part));
        }
        let hex = said.strip_prefix('#').unwrap_or_else(|| panic!("{said:?} is no colour that is known here"));
        let wide: String = if hex.len() == 3 { hex.chars().flat_map(|c| [c, c]).collect() } else { hex.to_owned() };
        assert_eq!(wide.len(), 6, "{said}");
        std::array::from_fn(|i| f64::from(u8::from_str_radix(&wide[2 * i..2 * i + 2], 16).unwrap()))
    }

    /// The colour behind a name such as `var(--ink)` or `.button border`.
    fn named(&self, name: &str, ground: [f64; 3]) -> [f64; 3] {
        if name.starts_with("var(") || name.starts_with('#') {
            return self.color(name, ground);
        }
        let (selector, property) = name.rsplit_once(' ').unwrap();
        let said = self.says(selector, property).unwrap_or_else(|| panic!("nothing says the {property} of {selector}"));
        self.color(color_of(said), ground)
    }
}

/// The colour in `1px solid var(--line)`.
fn color_of(said: &str) -> &str {
    let at = ["color-mix(", "var(", "#"].iter().filter_map(|start| said.find(start)).min();
    &said[at.unwrap_or_else(|| panic!("no colour in {said:?}"))..]
}

/// WCAG 2.2, "relative luminance" and "contrast ratio".
fn contrast(a: [f64; 3], b: [f64; 3]) -> f64 {
    let luminance = |color: [f64; 3]| {
        let linear =
            color.map(|c| c / 255.0).map(|c| if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn contrast_is_computed_as_the_standard_does() {
    let ratio = |a: &str, b: &str| {
        let scheme = Scheme { rules: vec![], colors: HashMap::new() };
        contrast(scheme.color(a, [0.0; 3]), scheme.color(b, [0.0; 3]))
    };
    for (a, b, expected) in
        [("#000", "#fff", 21.0), ("#fff", "#fff", 1.0), ("#777777", "#ffffff", 4.478), ("#d9e0e8", "#ffffff", 1.33)]
    {
        assert!((ratio(a, b) - expected).abs() < 0.01, "{a} on {b}: {}", ratio(a, b));
    }
}

#[test]
fn what_must_be_seen_stands_out_in_both_schemes() {
    let mut faults = Vec::new();
    for sheet in &SHEETS {
        let css = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(sheet.file)).unwrap();
        // A page that stands alone has its sheet within.
        let css = css.split("<style>").last().and_then(|css| css.split("</style>").next()).unwrap();
        for (scheme, name) in Scheme::both(css).iter().zip(["light", "dark"]) {
            let mut judge = |what: &str, ground: &str, least: f64| {
                let below = scheme.named(ground, [0.0; 3]);
                let ratio = contrast(scheme.named(what, below), below);
                if ratio < least {
                    faults.push(format!("{}, {name}: {what} on {ground}: {ratio:.2} : 1, not {least}", sheet.file));
                }
            };
            for (what, ground) in sheet.text {
                judge(what, ground, 4.5);
            }
            for (what, ground) in sheet.shapes {
                judge(what, ground, 3.0);
            }
            let rings: Vec<&str> =
                scheme.rules.iter().filter(|(_, p)| p.contains_key("outline")).map(|(s, _)| s.as_str()).collect();
            assert!(!rings.is_empty(), "{}: nothing shows the focus", sheet.file);
            for ring in rings {
                assert!(ring.contains(":focus-visible"), "{}: {ring}", sheet.file);
                for ground in sheet.grounds {
                    judge(&format!("{ring} outline"), ground, 3.0);
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}
