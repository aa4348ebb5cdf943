/**
 * Postern's WASM ABI 1 as tables of exact types, and the check of a module against them: what it
 * imports must be granted, what it exports must have a form that can be called.
 */
import { GatewayError } from '../../base/errors.ts'
import { HOOKS, type HookName, snakeCase } from '../../hooks/hook.ts'
import type { FunctionType, ModuleImport, ModuleShape } from './module.ts'

/**
 * How a hook is called. `direct`: the input lies in guest memory, the verdict is returned.
 * `pdk`: input and output go through any Extism PDK.
 */
export type HookForm = 'direct' | 'pdk'

/** What a module that keeps to the ABI offers. */
export interface GuestShape {
  readonly hooks: ReadonlyMap<HookName, HookForm>
  /** True where the module wants `_initialize` called once. */
  readonly initialize: boolean
}

const FORMS: ReadonlyMap<FunctionType, HookForm> = new Map([
  ['(i32, i32) -> i32', 'direct'],
  ['() -> i32', 'pdk'],
])

/** What the host grants, by module and name. WASI is granted by name alone: it denies anyway. */
const GRANTED: ReadonlyMap<string, ReadonlyMap<string, FunctionType | null>> = new Map([
  [
    'postern',
    new Map([
      ['output', '(i32, i32) -> ()'],
      ['verdict', '(i32) -> ()'],
      ['log', '(i32, i32, i32) -> ()'],
      ['log_enabled', '(i32) -> i32'],
      ['config', '(i32, i32, i32, i32) -> i32'],
      ['connection', '(i32, i32) -> i32'],
      ['session_get', '(i32, i32, i32, i32) -> i32'],
      ['session_set', '(i32, i32, i32, i32) -> i32'],
      ['kv_get', '(i32, i32, i32, i32) -> i32'],
      ['kv_set', '(i32, i32, i32, i32, i32) -> i32'],
      ['kv_delete', '(i32, i32) -> i32'],
      ['kv_output', '(i32, i32) -> i32'],
      ['signal', '(i32, i32, i32, i32) -> i32'],
      ['metric', '(i32, f64, i32, i32) -> ()'],
      ['now_ms', '() -> f64'],
      ['random', '(i32, i32) -> ()'],
    ]),
  ],
  [
    'extism:host/env',
    new Map([
      ['alloc', '(i64) -> i64'],
      ['free', '(i64) -> ()'],
      ['length', '(i64) -> i64'],
      ['length_unsafe', '(i64) -> i64'],
      ['load_u8', '(i64) -> i32'],
      ['load_u64', '(i64) -> i64'],
      ['store_u8', '(i64, i32) -> ()'],
      ['store_u64', '(i64, i64) -> ()'],
      ['input_offset', '() -> i64'],
      ['input_length', '() -> i64'],
      ['input_load_u8', '(i64) -> i32'],
      ['input_load_u64', '(i64) -> i64'],
      ['output_set', '(i64, i64) -> ()'],
      ['error_set', '(i64) -> ()'],
      ['config_get', '(i64) -> i64'],
      ['var_get', '(i64) -> i64'],
      ['var_set', '(i64, i64) -> ()'],
      ['log_trace', '(i64) -> ()'],
      ['log_debug', '(i64) -> ()'],
      ['log_info', '(i64) -> ()'],
      ['log_warn', '(i64) -> ()'],
      ['log_error', '(i64) -> ()'],
      ['get_log_level', '() -> i32'],
      // Engines that carry a whole PDK import these, used or not: calling one is a trap.
      ['http_request', '(i64, i64) -> i64'],
      ['http_status_code', '() -> i32'],
      ['http_headers', '() -> i64'],
    ]),
  ],
  ['env', new Map([['abort', '(i32, i32, i32, i32) -> ()']])],
])

function importFlaw(wanted: ModuleImport, wasi: ReadonlySet<string>): string | null {
  const name = `${wanted.module}.${wanted.name}`
  if (wanted.module === 'wasi_snapshot_preview1') {
    return wasi.has(wanted.name) ? null : `it imports ${name}, which WASI preview 1 does not have`
  }
  const type = GRANTED.get(wanted.module)?.get(wanted.name)
  if (type === undefined) return `it imports ${name}, which is not granted to plugins`
  if (type === wanted.type) return null
  return `it imports ${name} as ${wanted.type}, but the host gives ${type}`
}

function exportFlaw(shape: ModuleShape, name: string, type: FunctionType): string | null {
  const found = shape.functions.get(name)
  if (found === undefined) return `it does not export the function ${name}`
  return found === type ? null : `it exports ${name} as ${found}, but it must be ${type}`
}

/** Checks a module against ABI 1; throws a PLUGIN_WASM that names the first thing out of line. */
export function checkAbi(shape: ModuleShape, where: string, wasi: ReadonlySet<string>): GuestShape {
  const refuse = (flaw: string | null): void => {
    if (flaw !== null) throw new GatewayError('PLUGIN_WASM', `${where}: ${flaw}`)
  }
  for (const wanted of shape.imports) refuse(importFlaw(wanted, wasi))
  refuse(shape.memories.has('memory') ? null : 'it does not export its memory as `memory`')
  refuse(exportFlaw(shape, 'describe', '() -> i32'))
  const hooks = new Map<HookName, HookForm>()
  for (const { name } of HOOKS) {
    const type = shape.functions.get(snakeCase(name))
    if (type === undefined) continue
    const form = FORMS.get(type)
    if (form !== undefined) hooks.set(name, form)
    else
      refuse(`it exports ${snakeCase(name)} as ${type}; a hook is (i32, i32) -> i32 or () -> i32`)
  }
  const direct = [...hooks.values()].includes('direct')
  if (direct || shape.functions.has('postern_alloc')) {
    refuse(exportFlaw(shape, 'postern_alloc', '(i32) -> i32'))
  }
  const initialize = shape.functions.has('_initialize')
  if (initialize) refuse(exportFlaw(shape, '_initialize', '() -> ()'))
  return { hooks, initialize }
}
