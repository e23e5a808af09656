//! Keys and chords by name, as `Enter`, `a` or `Control+Shift+k`.
//!
//! The names are those of `KeyboardEvent.key`. A single character is its own name; characters that a US keyboard
//! does not have are sent with their text and without a key code, which is what an input method does.

use chromiumoxide::cdp::browser_protocol::input::{DispatchKeyEventParams, DispatchKeyEventType};

use crate::error::BrowserError;

/// One key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// `KeyboardEvent.key`
    name: String,
    /// `KeyboardEvent.code`; empty when the keyboard has no such key.
    code: String,
    /// Windows virtual key code, which Chromium uses on every platform; 0 when there is none.
    number: i64,
    /// What it types; empty: nothing.
    text: String,
    /// Whether Shift is held to type it.
    shifted: bool,
}

/// A key with what is held meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chord {
    /// In the order they are pressed.
    modifiers: Vec<Modifier>,
    /// Absent for a modifier alone.
    key: Option<Key>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Modifier {
    Alt,
    Control,
    Meta,
    Shift,
}

impl Modifier {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "Alt" => Self::Alt,
            "Control" | "Ctrl" => Self::Control,
            "Meta" | "Command" => Self::Meta,
            "Shift" => Self::Shift,
            _ => return None,
        })
    }

    /// The protocol's bit.
    fn bit(self) -> i64 {
        match self {
            Self::Alt => 1,
            Self::Control => 2,
            Self::Meta => 4,
            Self::Shift => 8,
        }
    }

    fn key(self) -> Key {
        let (name, code, number) = match self {
            Self::Alt => ("Alt", "AltLeft", 18),
            Self::Control => ("Control", "ControlLeft", 17),
            Self::Meta => ("Meta", "MetaLeft", 91),
            Self::Shift => ("Shift", "ShiftLeft", 16),
        };
        Key { name: name.to_owned(), code: code.to_owned(), number, text: String::new(), shifted: false }
    }
}

/// Keys with a name: name, code, virtual key code, text.
const NAMED: [(&str, &str, i64, &str); 17] = [
    ("Enter", "Enter", 13, "\r"),
    ("Tab", "Tab", 9, ""),
    ("Escape", "Escape", 27, ""),
    ("Backspace", "Backspace", 8, ""),
    ("Delete", "Delete", 46, ""),
    ("Insert", "Insert", 45, ""),
    ("Home", "Home", 36, ""),
    ("End", "End", 35, ""),
    ("PageUp", "PageUp", 33, ""),
    ("PageDown", "PageDown", 34, ""),
    ("ArrowLeft", "ArrowLeft", 37, ""),
    ("ArrowUp", "ArrowUp", 38, ""),
    ("ArrowRight", "ArrowRight", 39, ""),
    ("ArrowDown", "ArrowDown", 40, ""),
    ("ContextMenu", "ContextMenu", 93, ""),
    ("CapsLock", "CapsLock", 20, ""),
    ("Pause", "Pause", 19, ""),
];

/// Signs of a US keyboard: plain, with Shift, code, virtual key code.
const SIGNS: [(char, char, &str, i64); 21] = [
    ('0', ')', "Digit0", 48),
    ('1', '!', "Digit1", 49),
    ('2', '@', "Digit2", 50),
    ('3', '#', "Digit3", 51),
    ('4', '$', "Digit4", 52),
    ('5', '%', "Digit5", 53),
    ('6', '^', "Digit6", 54),
    ('7', '&', "Digit7", 55),
    ('8', '*', "Digit8", 56),
    ('9', '(', "Digit9", 57),
    (';', ':', "Semicolon", 186),
    ('=', '+', "Equal", 187),
    (',', '<', "Comma", 188),
    ('-', '_', "Minus", 189),
    ('.', '>', "Period", 190),
    ('/', '?', "Slash", 191),
    ('`', '~', "Backquote", 192),
    ('[', '{', "BracketLeft", 219),
    ('\\', '|', "Backslash", 220),
    (']', '}', "BracketRight", 221),
    ('\'', '"', "Quote", 222),
];

impl Key {
    /// The key that types a character of a US keyboard.
    pub(crate) fn typing(character: char) -> Option<Self> {
        let key = |code: String, number: i64, shifted: bool| Self {
            name: character.to_string(),
            code,
            number,
            text: character.to_string(),
            shifted,
        };
        if character == ' ' {
            return Some(key("Space".to_owned(), 32, false));
        }
        if character.is_ascii_alphabetic() {
            let upper = character.to_ascii_uppercase();
            return Some(key(format!("Key{upper}"), i64::from(u32::from(upper)), character.is_ascii_uppercase()));
        }
        SIGNS.iter().find_map(|&(plain, shifted, code, number)| {
            (character == plain || character == shifted).then(|| key(code.to_owned(), number, character == shifted))
        })
    }

    fn parse(name: &str) -> Option<Self> {
        if name == "Space" {
            return Self::typing(' ');
        }
        if let Some(&(name, code, number, text)) = NAMED.iter().find(|(known, ..)| *known == name) {
            return Some(Self {
                name: name.to_owned(),
                code: code.to_owned(),
                number,
                text: text.to_owned(),
                shifted: false,
            });
        }
        if let Some(number) = name.strip_prefix('F').and_then(|digits| digits.parse::<u8>().ok())
            && (1..=12).contains(&number)
        {
            let number = i64::from(number) + 111;
            return Some(Self {
                name: name.to_owned(),
                code: name.to_owned(),
                number,
                text: String::new(),
                shifted: false,
            });
        }
        let mut characters = name.chars();
        let (first, rest) = (characters.next()?, characters.as_str());
        if rest.is_empty()
            && let Some(key) = Self::typing(first)
        {
            return Some(key);
        }
        // One character that no key has; marks may follow it. Longer names are mistakes.
        if first.is_ascii() || name.chars().count() > 4 {
            return None;
        }
        Some(Self { name: name.to_owned(), code: String::new(), number: 0, text: name.to_owned(), shifted: false })
    }

    fn event(&self, kind: DispatchKeyEventType, held: i64, text: bool) -> DispatchKeyEventParams {
        let mut event = DispatchKeyEventParams::new(kind);
        event.key = Some(self.name.clone());
        event.modifiers = Some(held);
        if !self.code.is_empty() {
            event.code = Some(self.code.clone());
        }
        if self.number != 0 {
            event.windows_virtual_key_code = Some(self.number);
            event.native_virtual_key_code = Some(self.number);
        }
        if text && !self.text.is_empty() {
            event.text = Some(self.text.clone());
            event.unmodified_text = Some(self.text.clone());
        }
        event
    }
}

impl Chord {
    /// Parses `Enter`, `Control+a`, `Shift++`.
    pub(crate) fn parse(keys: &str) -> Result<Self, BrowserError> {
        let unknown = |name: &str| {
            let name: String = name.chars().take(40).collect();
            BrowserError::Invalid(format!(
                "`{name}` is not a key; write a character, or a name such as Enter, Tab, Escape, ArrowDown or F5, \
                 with modifiers before it as in `Control+a`"
            ))
        };
        let mut modifiers = Vec::new();
        let mut rest = keys;
        // A plus sign is a separator only behind a modifier, so `+` and `Control++` mean the key.
        while let Some((modifier, after)) =
            rest.split_once('+').and_then(|(name, after)| Some((Modifier::parse(name)?, after)))
        {
            if !modifiers.contains(&modifier) {
                modifiers.push(modifier);
            }
            rest = after;
        }
        if let Some(modifier) = Modifier::parse(rest) {
            if !modifiers.contains(&modifier) {
                modifiers.push(modifier);
            }
            return Ok(Self { modifiers, key: None });
        }
        let key = Key::parse(rest).ok_or_else(|| unknown(if rest.is_empty() { keys } else { rest }))?;
        Ok(Self { modifiers, key: Some(key) })
    }

    /// A key with nothing held.
    pub(crate) fn plain(key: Key) -> Self {
        Self { modifiers: Vec::new(), key: Some(key) }
    }

    /// The events of pressing and releasing it, in order.
    pub(crate) fn events(&self) -> Vec<DispatchKeyEventParams> {
        let mut events = Vec::new();
        let mut held = 0;
        for modifier in &self.modifiers {
            held |= modifier.bit();
            events.push(modifier.key().event(DispatchKeyEventType::RawKeyDown, held, false));
        }
        if let Some(key) = &self.key {
            // With Control, Alt or Meta held a key is a command and types nothing.
            let command = self.modifiers.iter().any(|modifier| *modifier != Modifier::Shift);
            let types = !command && !key.text.is_empty();
            let bits = if key.shifted && !command { held | Modifier::Shift.bit() } else { held };
            let down = if types { DispatchKeyEventType::KeyDown } else { DispatchKeyEventType::RawKeyDown };
            events.push(key.event(down, bits, types));
            events.push(key.event(DispatchKeyEventType::KeyUp, bits, false));
        }
        for modifier in self.modifiers.iter().rev() {
            held &= !modifier.bit();
            events.push(modifier.key().event(DispatchKeyEventType::KeyUp, held, false));
        }
        events
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn trace(keys: &str) -> Vec<String> {
        let events = Chord::parse(keys).unwrap().events();
        events
            .iter()
            .map(|event| {
                format!(
                    "{} {} {} {}",
                    event.r#type.as_ref(),
                    event.key.as_deref().unwrap_or_default(),
                    event.modifiers.unwrap_or_default(),
                    event.text.as_deref().unwrap_or_default().escape_default()
                )
            })
            .collect()
    }

    #[test]
    fn a_key_goes_down_with_its_text_and_up() {
        assert_eq!(trace("Enter"), ["keyDown Enter 0 \\r", "keyUp Enter 0 "]);
        assert_eq!(trace("ArrowDown"), ["rawKeyDown ArrowDown 0 ", "keyUp ArrowDown 0 "]);
    }

    #[test]
    fn a_chord_types_nothing() {
        assert_eq!(trace("Control+a"), ["rawKeyDown Control 2 ", "rawKeyDown a 2 ", "keyUp a 2 ", "keyUp Control 0 "]);
    }

    #[test]
    fn plus_is_a_key_too() {
        assert_eq!(trace("+"), ["keyDown + 8 +", "keyUp + 8 "]);
        assert_eq!(trace("Control++").len(), 4);
    }

    #[test]
    fn a_modifier_alone_is_pressed_and_released() {
        assert_eq!(trace("Shift"), ["rawKeyDown Shift 8 ", "keyUp Shift 0 "]);
    }

    #[test]
    fn unknown_names_are_refused() {
        for keys in ["", "enter", "Control+", "Hyper+a", "F13", "ab"] {
            let error = Chord::parse(keys).unwrap_err();
            assert!(error.to_string().contains("is not a key"), "{keys}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_press_is_released_and_nothing_stays_held(keys in "(Control\\+|Shift\\+|Alt\\+){0,3}([ -~]|é|Enter)") {
            let events = Chord::parse(&keys).unwrap().events();
            let up = events.iter().filter(|event| event.r#type == DispatchKeyEventType::KeyUp).count();
            prop_assert_eq!(up * 2, events.len());
        }
    }
}
