//! Refuses statements over a length. PDK form of the ABI: Extism's PDK for Rust, as it comes, gives
//! input, output, configuration and log; all that it lacks is the verdict.

use extism_pdk::*;

const DENY: u32 = 3;

const MANIFEST: &str = r#"{
  "abi": 1, "name": "length-limit", "version": "1.0.0",
  "hooks": [{ "name": "onTrafficFromClient", "messages": ["Query", "Parse"] }],
  "config": {
    "type": "object", "additionalProperties": false,
    "properties": { "bytesMax": { "type": "integer", "minimum": 1, "default": 10000 } }
  }
}"#;

#[link(wasm_import_module = "postern")]
extern "C" {
    /// What becomes of the message; never called: it goes on as it is.
    fn verdict(kind: u32);
}

#[plugin_fn]
pub fn describe() -> FnResult<String> {
    Ok(MANIFEST.to_string())
}

/// What is returned is the payload: of a refusal, its reason as JSON.
#[plugin_fn]
pub fn on_traffic_from_client(message: Vec<u8>) -> FnResult<Option<String>> {
    let bytes_max: usize = config::get("bytesMax")?.unwrap_or_default().parse()?;
    if message.len() <= bytes_max {
        return Ok(None);
    }
    warn!("refused {} bytes", message.len());
    unsafe { verdict(DENY) };
    let reason = format!("a statement may have {bytes_max} bytes at most");
    Ok(Some(format!(r#"{{"code":"54000","message":"{reason}"}}"#)))
}
