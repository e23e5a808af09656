//! What a file is, from its first bytes, when it is not what it should be.

use wasmparser::{Encoding, Parser, Payload};

/// Whether `bytes` are a whole WebAssembly component.
///
/// # Errors
/// One sentence: what they are, what was expected, what to do.
pub(super) fn component(bytes: &[u8]) -> Result<(), String> {
    const BUILD: &str = "build it for wasm32-wasip2 (`cargo build --target wasm32-wasip2`)";
    if bytes.is_empty() {
        return Err(format!("this file is empty, expected a WebAssembly component; {BUILD}"));
    }
    if bytes.starts_with(b"\x7fELF") || bytes.starts_with(b"MZ") || bytes.starts_with(&[0xcf, 0xfa, 0xed, 0xfe]) {
        return Err(
            "this is native code (a compiled program or a .cwasm file), which would run outside the sandbox and is \
             never accepted; give the .wasm component that it was made from"
                .into(),
        );
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(match std::str::from_utf8(&bytes[..bytes.len().min(4096)]) {
            Ok(text) if text.trim_start().starts_with('(') => format!(
                "this is WebAssembly in its text format, expected the binary one; {BUILD}, or convert it with `wasm-tools parse`"
            ),
            Ok(text) if is_text(text) => {
                format!("this is a text file, expected a WebAssembly component; {BUILD}")
            }
            // Cut inside a character at the 4,096th byte.
            Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => {
                format!("this is a text file, expected a WebAssembly component; {BUILD}")
            }
            _ => format!("this is no WebAssembly at all, expected a component; {BUILD}"),
        });
    }
    match whole(bytes) {
        Ok(Some(Encoding::Component)) => Ok(()),
        Ok(Some(Encoding::Module)) => Err(format!(
            "this is a core WebAssembly module, expected a component; {BUILD}, or wrap it with `wasm-tools component new`"
        )),
        Ok(None) => Err("this WebAssembly file ends after its first bytes; copy or download it again".into()),
        Err(error) if bytes.len() < 8 || ends_early(&error) => {
            Err(format!("this WebAssembly file is cut off after {} bytes; copy or download it again", bytes.len()))
        }
        Err(error) => Err(format!(
            "this WebAssembly file is damaged or of an unknown version ({}); rebuild it or download it again",
            // wasmparser pads numbers.
            error.message().split_whitespace().collect::<Vec<_>>().join(" ")
        )),
    }
}

/// Reads the file's frame, sections but not their contents, to its end.
fn whole(bytes: &[u8]) -> Result<Option<Encoding>, wasmparser::BinaryReaderError> {
    let mut outermost = None;
    for payload in Parser::new(0).parse_all(bytes) {
        if let Payload::Version { encoding, .. } = payload? {
            outermost = outermost.or(Some(encoding));
        }
    }
    Ok(outermost)
}

fn ends_early(error: &wasmparser::BinaryReaderError) -> bool {
    error.message().contains("unexpected end") || error.message().contains("unexpected-eof")
}

fn is_text(text: &str) -> bool {
    !text.contains('\0') && text.chars().all(|c| !c.is_control() || c.is_whitespace())
}
