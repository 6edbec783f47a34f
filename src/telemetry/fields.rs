//! Fields of a line of the text format: each is one word or stands in quotes, so that no text can pass for another
//! field.

use std::fmt::{self, Debug};
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{self, Writer};

/// `name=value`, and the message as it is.
pub(super) fn quoted() -> impl for<'writer> FormatFields<'writer> + 'static {
    format::debug_fn(|writer: &mut Writer<'_>, field: &Field, value: &dyn Debug| {
        write_field(writer, field.name(), value)
    })
    .delimited(" ")
}

fn write_field(writer: &mut Writer<'_>, name: &str, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    match name {
        "message" => text.chars().try_for_each(|c| match c {
            '"' | '\'' | '\\' => writer.write_char(c),
            c => c.escape_debug().try_for_each(|c| writer.write_char(c)),
        }),
        name if is_word(&text) || is_quoted(&text) => write!(writer, "{name}={text}"),
        name => write!(writer, "{name}={text:?}"),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'=' | b'\\'))
}

/// Whether it is one string, as `Debug` writes it.
fn is_quoted(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return false };
    let mut escaped = false;
    let whole = inner.chars().all(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        !ends && !c.is_control()
    });
    whole && !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, value: &dyn Debug) -> String {
        let mut text = String::new();
        write_field(&mut Writer::new(&mut text), name, value).unwrap();
        text
    }

    #[test]
    fn no_value_passes_for_another_field() {
        let shown = |text: &str| written("client", &format_args!("{text}"));
        for (text, expected) in [
            ("nightly", "client=nightly"),
            ("https://a.test/x?y", "client=https://a.test/x?y"),
            ("", "client=\"\""),
            ("eve owner=\"board\"", r#"client="eve owner=\"board\"""#),
            ("\"eve\" owner=\"board\"", r#"client="\"eve\" owner=\"board\"""#),
            ("eve=owner", r#"client="eve=owner""#),
            ("\"eve\\\"", r#"client="\"eve\\\"""#),
            ("\"eve\n\"", r#"client="\"eve\n\"""#),
            ("a\nb", r#"client="a\nb""#),
        ] {
            assert_eq!(shown(text), expected);
        }
        assert_eq!(written("client", &"eve \"x\""), r#"client="eve \"x\"""#);
        assert_eq!(written("count", &7), "count=7");
        assert_eq!(written("page", &Some("a b")), r#"page="Some(\"a b\")""#);
        assert_eq!(written("message", &format_args!("a \"b\"\nc")), "a \"b\"\\nc");
    }
}
