//! Refuses statements with the words of its configuration. Direct form of the ABI, no crate.

use std::cell::RefCell;

const CONTINUE: u32 = 0;
const DENY: u32 = 3;
const WARN: u32 = 3;
const HEADER_BYTES: usize = 5;

const MANIFEST: &str = r#"{
  "abi": 1, "name": "forbidden-words", "version": "1.0.0",
  "hooks": [{ "name": "onTrafficFromClient", "messages": ["Query", "Parse"] }],
  "metrics": [{
    "name": "forbidden_words_refused_total", "type": "counter",
    "help": "Statements refused, by word", "labels": ["word"]
  }],
  "config": {
    "type": "object", "additionalProperties": false,
    "properties": {
      "words": { "type": "array", "items": { "type": "string" }, "default": ["drop", "truncate"] }
    }
  }
}"#;

/// What the gateway grants us; the names are those of the ABI.
mod host {
    #[link(wasm_import_module = "postern")]
    extern "C" {
        pub fn output(at: *const u8, length: usize);
        pub fn log(level: u32, at: *const u8, length: usize);
        pub fn config(key: *const u8, key_length: usize, at: *mut u8, room: usize) -> i32;
        pub fn metric(id: u32, value: f64, labels: *const u8, length: usize);
    }
}

thread_local! {
    /// Where the gateway writes a message before it calls us; the same room serves every call.
    static INPUT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// Read from the configuration by the first call: during `describe` there is none yet.
    static WORDS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// A value of the entry's `config`, with the manifest's default where it says nothing.
fn config(key: &str) -> String {
    let mut room = vec![0; 4096];
    let length = unsafe { host::config(key.as_ptr(), key.len(), room.as_mut_ptr(), room.len()) };
    // -1: none. More than there is room for: nothing was written.
    room.truncate(usize::try_from(length).ok().filter(|has| *has <= 4096).unwrap_or(0));
    String::from_utf8(room).unwrap_or_default()
}

/// The list comes as JSON, `["drop","truncate"]`; words are what is left of it without marks.
fn words() -> Vec<String> {
    let marks = |one: char| !one.is_alphanumeric() && one != '_';
    let list = config("words").to_lowercase();
    list.split(marks).filter(|word| !word.is_empty()).map(String::from).collect()
}

/// The first forbidden word of a message's text.
fn found(message: &[u8], words: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(message.get(HEADER_BYTES..)?);
    text.split(|one: char| !one.is_alphanumeric() && one != '_')
        .map(str::to_lowercase)
        .find(|word| words.contains(word))
}

#[no_mangle]
pub extern "C" fn describe() -> u32 {
    unsafe { host::output(MANIFEST.as_ptr(), MANIFEST.len()) };
    0
}

#[no_mangle]
pub extern "C" fn postern_alloc(length: usize) -> *mut u8 {
    INPUT.with_borrow_mut(|input| {
        input.clear();
        // Where memory is used up, null says so, and the call fails instead of trapping.
        if input.try_reserve(length).is_err() {
            return std::ptr::null_mut();
        }
        input.as_mut_ptr()
    })
}

/// # Safety
/// The gateway has written `length` bytes at `at`: one message, with its header.
#[no_mangle]
pub unsafe extern "C" fn on_traffic_from_client(at: *const u8, length: usize) -> u32 {
    let message = std::slice::from_raw_parts(at, length);
    let word = WORDS.with_borrow_mut(|list| found(message, list.get_or_insert_with(words)));
    let Some(word) = word else { return CONTINUE };
    let refusal = format!(r#"{{"code":"42501","message":"the word {word} is not permitted"}}"#);
    let line = format!("refused for the word {word}");
    host::metric(0, 1.0, word.as_ptr(), word.len());
    host::log(WARN, line.as_ptr(), line.len());
    host::output(refusal.as_ptr(), refusal.len());
    DENY
}
