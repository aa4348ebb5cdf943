/**
 * Makes instances with Extism's SDK. The SDK calls guests through promises, and hooks must not
 * wait; so exports are called directly, and what the SDK does around a call is done in pdk.ts.
 */
import type { HostFunction } from './host.ts'
import type { PdkFunction } from './pdk.ts'

/** What a running instance exports, by name. */
export type Exports = Readonly<Record<string, unknown>>

/** A running instance. Its exports stand apart: a promise would call one that is named `then`. */
export interface Sandbox {
  readonly exports: Exports
}

/** Functions for the guest by import module and name. */
export type Imports = Readonly<Record<string, Readonly<Record<string, HostFunction | PdkFunction>>>>

/** Makes an instance of a compiled module. Throws what the engine or the guest's start throws. */
export async function instantiate(module: WebAssembly.Module, imports: Imports): Promise<Sandbox> {
  // Loaded here so that a gateway without such plugins never pays for it.
  const { createPlugin } = await import('@extism/extism')
  const functions: Record<string, Record<string, HostFunction | PdkFunction>> = {}
  for (const [name, group] of Object.entries(imports)) functions[name] = { ...group }
  // No name: the SDK would take it for an alias. No WASI of the SDK: ours is among the imports.
  const plugin = await createPlugin({ wasm: [{ module }] }, { functions, useWasi: false })
  const { exports } = await plugin.getInstance()
  return { exports }
}
