/**
 * Postern's WASM ABI 1 for AssemblyScript, direct form, by names: what is written in
 * wasm-plugins/sdk, where everything else that plugins want lies beside it.
 */
import { Bytes } from '../../sdk/assembly/bytes'
import {
  keyOf,
  kvDeleteAt,
  kvGetAt,
  kvOutputAt,
  kvSetAt,
  sessionGetAt,
  sessionSetAt,
  signalAt,
} from '../../sdk/assembly/host'
import { NONE, slice } from '../../sdk/assembly/slice'

export { Bytes } from '../../sdk/assembly/bytes'
export {
  answer,
  CLOSE,
  config,
  connection,
  CONTINUE,
  DEBUG,
  DENY,
  ERROR,
  INFO,
  log,
  logEnabled,
  metric,
  nowMs,
  output,
  outputAt,
  outputText,
  postern_alloc,
  random,
  REPLACE,
  RESPOND,
  ROUTE,
  TRACE,
  WARN,
} from '../../sdk/assembly/host'

export function sessionGet(name: string): bool {
  return sessionGetAt(keyOf(name)) != NONE
}

export function kvGet(name: string): bool {
  return kvGetAt(keyOf(name)) != NONE
}

export function sessionSet(name: string, ptr: usize, len: i32): bool {
  return sessionSetAt(keyOf(name), slice(ptr, len))
}

export function kvSet(name: string, ptr: usize, len: i32, ttlMs: i32): bool {
  return kvSetAt(keyOf(name), slice(ptr, len), ttlMs)
}

export function kvDelete(name: string): bool {
  return kvDeleteAt(keyOf(name))
}

export function kvOutput(name: string): bool {
  return kvOutputAt(keyOf(name)) >= 0
}

export function signal(name: string, json: Bytes): bool {
  return signalAt(keyOf(name), json.slice)
}
