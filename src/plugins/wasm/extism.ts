/**
 * Makes instances with Extism's SDK. The SDK calls guests through promises, and hooks must not
 * wait; so exports are called directly, and what the SDK does around a call is done in pdk.ts.
 */
import type { HostFunction } from './host.ts'
import type { PdkFunction } from './pdk.ts'

/** A running instance. */
export interface Sandbox {
  readonly exports: Readonly<Record<string, unknown>>
  /** Gives back the Extism memory that was allocated since the last time. */
  free(): void
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
  const free = (): void => {
    // Done before it returns, though dressed as a promise; nothing in it can fail.
    plugin.reset().catch(() => undefined)
  }
  return { exports, free }
}
