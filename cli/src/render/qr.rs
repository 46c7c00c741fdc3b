//! A text as a QR code in half blocks, two rows to a line.

use anstyle::{AnsiColor, Style};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use super::screen::Stream;

/// The code, with its quiet zone; none if the text is too long for one.
///
/// Scanners want dark on light. Where there are colours they are said; else the terminal is taken to be a dark one, as
/// most are.
pub(crate) fn draw(text: &str, stream: Stream) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    let mut renderer = code.render::<Dense1x2>();
    if !stream.colour {
        return Some(renderer.dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build());
    }
    let style =
        Style::new().fg_color(Some(AnsiColor::Black.into())).bg_color(Some(AnsiColor::BrightWhite.into()));
    let lines = renderer.build();
    Some(lines.lines().map(|line| stream.paint(style, line)).collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use qrcode::Color;

    use super::*;

    /// What is dark on the screen, row by row: without colours a drawn half block is light.
    fn dark(drawn: &str) -> Vec<Vec<bool>> {
        let mut rows = Vec::new();
        for line in drawn.lines() {
            for upper in [true, false] {
                let is_light = |half| match half {
                    '█' => true,
                    '▀' => upper,
                    '▄' => !upper,
                    _ => false,
                };
                rows.push(line.chars().map(|half| !is_light(half)).collect());
            }
        }
        rows
    }

    #[test]
    fn every_module_of_the_code_is_drawn_within_a_quiet_zone_of_four() {
        let text = "http://100.64.0.7:7788/login?code=0123456789abcdef";
        let drawn = draw(text, Stream { terminal: false, colour: false }).unwrap();
        let code = QrCode::new(text).unwrap();
        let (width, rows) = (code.width(), dark(&drawn));
        assert!(rows[..4].iter().flatten().all(|dark| !dark), "{drawn}");
        for y in 0..width {
            assert_eq!(rows[y + 4].len(), width + 8);
            for x in 0..width {
                assert_eq!(rows[y + 4][x + 4], code[(x, y)] == Color::Dark, "{x} {y}\n{drawn}");
            }
        }
        let coloured = draw(text, Stream { terminal: true, colour: true }).unwrap();
        assert!(coloured.lines().all(|line| line.starts_with('\u{1b}') && line.ends_with("\u{1b}[0m")));
        assert!(draw(&"x".repeat(5000), Stream { terminal: true, colour: true }).is_none());
    }
}
